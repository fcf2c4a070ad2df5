#!/usr/bin/env python3
"""A repository as the Hub has them: an index and shards of the given sizes, of bytes that a seed
decides, what stands beside them, and copies in formats that no run needs.

    make_repository.py FOLDER BYTES...          several shards
    make_repository.py FOLDER --single BYTES    model.safetensors alone"""
import json
import os
import random
import sys

OTHERS = ["README.md", "pytorch_model.bin", "pytorch_model.bin.index.json", "original/consolidated.00.pth",
          "onnx/model.onnx", "model.Q4_K.gguf", "consolidated.safetensors", "original/config.json"]


def shard(name, n):
    """A header of one tensor of bytes, and the bytes."""
    header = json.dumps({name: {"dtype": "U8", "shape": [n], "data_offsets": [0, n]}}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(name + str(n)).randbytes(n)


def main(folder, sizes, single):
    def write(path, data):
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "wb") as file:
            file.write(data)

    write("config.json", b'{"model_type": "nothing"}\n')
    write("tokenizer.json", json.dumps({"filler": "x" * 100000}).encode())
    write("tokenizer_config.json", b"")
    for path in OTHERS:
        write(path, b"not needed: " + path.encode())
    if single:
        return write("model.safetensors", shard("weight", sizes[0]))
    names = ["model-%05d-of-%05d.safetensors" % (i + 1, len(sizes)) for i in range(len(sizes))]
    for i, (name, n) in enumerate(zip(names, sizes)):
        write(name, shard("weight.%d" % i, n))
    index = {"metadata": {}, "weight_map": {"weight.%d" % i: name for i, name in enumerate(names)}}
    return write("model.safetensors.index.json", json.dumps(index).encode())


numbers = [argument for argument in sys.argv[2:] if argument != "--single"]
main(sys.argv[1], [int(number) for number in numbers], "--single" in sys.argv)
