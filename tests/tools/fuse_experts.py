#!/usr/bin/env python3
"""Write a checkpoint as transformers 5 does: all experts of a layer in one tensor.

usage: fuse_experts.py MODEL OUT

MODEL/model.safetensors holds a tensor per expert (and, quantised, its scales); OUT, a
directory, gets the same numbers as mlp.experts.gate_up_proj [n_experts, 2 out, in], gate's
rows first, and mlp.experts.down_proj [n_experts, out, in], scales as X_scale or
X_scale_inv. config.json is copied."""
import json
import os
import re
import shutil
import struct
import sys

EXPERT = re.compile(r"(.*)\.(?:mlp|block_sparse_moe)\.experts\.(\d+)\."
                    r"(gate_proj|up_proj|down_proj|w1|w2|w3)\.weight(_scale|_scale_inv)?$")
PLACES = {"gate_proj": ("gate_up_proj", 0), "w1": ("gate_up_proj", 0),
          "up_proj": ("gate_up_proj", 1), "w3": ("gate_up_proj", 1),
          "down_proj": ("down_proj", 0), "w2": ("down_proj", 0)}


def load(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])])
            for name, t in header.items()}


def save(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = dict(dtype=dtype, shape=shape,
                            data_offsets=[len(data), len(data) + len(content)])
        data += content
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def fuse(tensors):
    plain, fused = {}, {}
    for name, tensor in tensors.items():
        m = EXPERT.match(name)
        if m is None:
            plain[name.replace(".block_sparse_moe.", ".mlp.")] = tensor
            continue
        base, half = PLACES[m[3]]
        key = f"{m[1]}.mlp.experts.{base}{m[4] or ''}"
        fused.setdefault(key, {})[int(m[2]), half] = tensor
    for key, parts in fused.items():
        dtype, (rows, cols), _ = parts[0, 0]
        halves = 1 + max(half for _, half in parts)
        plain[key] = (dtype, [len(parts) // halves, rows * halves, cols],
                      b"".join(parts[place][2] for place in sorted(parts)))
    assert fused, "there are no experts"
    return plain


def main():
    os.makedirs(sys.argv[2], exist_ok=True)
    shutil.copy(os.path.join(sys.argv[1], "config.json"), sys.argv[2])
    save(os.path.join(sys.argv[2], "model.safetensors"),
         fuse(load(os.path.join(sys.argv[1], "model.safetensors"))))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main()
