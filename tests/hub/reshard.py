#!/usr/bin/env python3
"""A checkpoint as a repository in several shards, for runs that stream it. Each shard begins with
bytes that no model reads, as many as a first request for a header brings, so that whatever else
comes of it was asked for.

    reshard.py MODEL FOLDER SHARDS [TENSOR=HEX...]    bytes that tensors have instead"""
import json
import os
import shutil
import struct
import sys

PADDING = 100000


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
            for name, t in header.items()}


def write(path, tensors, padding):
    header, at = {padding: {"dtype": "U8", "shape": [PADDING], "data_offsets": [0, PADDING]}}, PADDING
    for name, (dtype, shape, data) in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"\1" * PADDING + b"".join(t[2] for _, t in tensors))


model, folder, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.makedirs(folder, exist_ok=True)
for name in os.listdir(model):
    if name.endswith(".json") and "index" not in name:
        shutil.copy(os.path.join(model, name), folder)
tensors = {}
for name in sorted(os.listdir(model)):
    if name.endswith(".safetensors"):
        tensors.update(read(os.path.join(model, name)))
for change in sys.argv[4:]:
    name, _, data = change.partition("=")
    tensors[name] = (*tensors[name][:2], bytes.fromhex(data))
# As they are written by whoever splits a model: layer by layer, and by name within.
order = sorted(tensors, key=lambda name: (int(next((w for w in name.split(".") if w.isdigit()), -1)), name))
size, map_, groups = sum(len(t[2]) for t in tensors.values()) / n, {}, [[] for _ in range(n)]
at = 0
for name in order:
    groups[min(n - 1, int(at / size))].append(name)
    at += len(tensors[name][2])
for i, group in enumerate(groups):
    shard = "model-%05d-of-%05d.safetensors" % (i + 1, n)
    write(os.path.join(folder, shard), [(name, tensors[name]) for name in group], "padding.%d" % i)
    map_.update({name: shard for name in group}, **{"padding.%d" % i: shard})
with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
    json.dump({"metadata": {}, "weight_map": map_}, file)
