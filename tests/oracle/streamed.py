#!/usr/bin/env python3
"""usage: streamed.py LOG FOLDER RUN.h5 [FROM]   What a run that streamed asked the store for, by the
mock's log (JSON), beside what the run's file says that its tokens chose: of the layers from FROM on
(default 0) every byte of every tensor once, of experts that no token chose none, of the layers
before them none; layers in their order. The beginning of each shard, where its header is, does
not count."""
import json
import os
import re
import struct
import sys
from urllib.parse import parse_qs, urlsplit

import h5py

HEADER = 100000
log, folder, run = json.load(open(sys.argv[1])), sys.argv[2], h5py.File(sys.argv[3])
first_layer = int(sys.argv[4]) if len(sys.argv) > 4 else 0
repo = "/".join(folder.rstrip("/").split("/")[-2:])
n_layers = int(run["model"].attrs["n_layers"])
chosen = {int(name): set(run["layers"][name]["router_ids"][()].ravel().tolist())
          for name in run["layers"] if "router_ids" in run["layers"][name]}

got, begun = {}, {}
for entry in log:
    assert entry["method"] == "GET", entry
    if entry["at"] != "store":
        continue
    assert entry["token"] is None, entry
    if entry["repo"] == repo and entry["sent"] > 0:
        name = parse_qs(urlsplit(entry["path"]).query)["file"][0].split("/")[-1]
        got.setdefault(name, []).append((entry["first"], entry["first"] + entry["sent"], entry["time"]))
unchosen = whole = 0
for name in sorted(os.listdir(folder)):
    if not name.endswith(".safetensors"):
        continue
    pieces = sorted(got.get(name, []))
    for (_, end, _), (first, _, _) in zip(pieces, pieces[1:]):
        assert end <= first, "%s: the bytes from %d on came twice" % (name, first)
    with open(os.path.join(folder, name), "rb") as file:
        n = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(n))
    for tensor, t in header.items():
        layer = re.search(r"layers\.(\d+)\.", tensor)
        from_, to = (max(HEADER, 8 + n + at) for at in t["data_offsets"])
        if layer is None or from_ == to or tensor == "__metadata__":
            continue
        layer = int(layer.group(1))
        expert = re.search(r"\.experts\.(\d+)\.", tensor)
        bytes_ = sum(min(end, to) - max(first, from_) for first, end, _ in pieces if first < to and end > from_)
        wanted = layer >= first_layer and not (expert and int(expert.group(1)) not in chosen.get(layer, ()))
        assert bytes_ == (to - from_ if wanted else 0), "%s: %d bytes of %d came" % (tensor, bytes_, to - from_)
        unchosen, whole = unchosen + (not wanted), whole + wanted
        if wanted:
            begun.setdefault(layer, []).extend(time for first, end, time in pieces if first < to and end > from_)
assert sorted(begun) == list(range(first_layer, n_layers)), sorted(begun)
for layer in range(first_layer, n_layers - 1):
    assert min(begun[layer]) <= min(begun[layer + 1]), "layer %d after layer %d" % (layer, layer + 1)
print(whole, unchosen)
