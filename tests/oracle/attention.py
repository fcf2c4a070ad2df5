#!/usr/bin/env python3
"""usage: attention.py ids MODEL
       attention.py compare MODEL RUN.h5

The token ids of tests/golden/attention.json as ol-extract --ids takes them; and whether what the
run's summaries say of attention is what transformers' eager attention gives (the run must be in
float32): tables of heads and of what tokens receive, sinks by their definition."""
import json
import math
import pathlib
import sys

import h5py

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "attention.json"
LEAST_SEEING, TOP_KEYS, SINK_SHARE = 64, 4, 0.3
FIRST, TO_SINK, GATE, GATE_FIRST, N_SINKS, KEYS = range(6)


def near(what, found, want, error=3e-5):
    if math.isnan(want) and math.isnan(found):
        return
    if not abs(found - want) <= error + 2e-5 * abs(want):
        sys.exit(f"{what}: {found:.7g}, expected {want:.7g}")


def compare_head(what, row, layer, head):
    received, gates = layer["received"][head], layer.get("gates")
    nan = math.nan
    near(what + " first", row[FIRST], received[0])
    near(what + " learned sink", row[TO_SINK], layer["to_sink"][head] if "to_sink" in layer else nan)
    near(what + " gate", row[GATE], layer["gate"][head] if gates else nan)
    near(what + " gate of the first", row[GATE_FIRST], gates[head][0] if gates else nan)
    keys = [k for k, n in enumerate(layer["n_seeing"]) if k == 0 or n >= LEAST_SEEING]
    near(what + " sinks", row[N_SINKS], sum(received[k] > SINK_SHARE for k in keys))
    keys = sorted(keys, key=lambda k: -received[k])[:TOP_KEYS]
    for i in range(TOP_KEYS):
        position, share, gate = row[KEYS + 3 * i : KEYS + 3 * i + 3]
        if i >= len(keys):
            near(what + " no key", position, -1)
            continue
        near(f"{what} key {i}", share, received[keys[i]])
        near(f"{what} key {i}'s own share", share, received[int(position)])
        near(f"{what} key {i}'s gate", gate, gates[head][int(position)] if gates else nan)


def compare(model, path):
    golden = json.loads(GOLDEN.read_text())["models"][model]
    n_layers = n_sinks = 0
    with h5py.File(path) as f:
        for number in range(len(golden["layers"][0])):
            group = f.get(f"layers/{number:03d}/summary/attention")
            for s, layers in enumerate(golden["layers"]):
                layer = layers[number]
                if (layer is None) != (group is None):
                    sys.exit(f"{model}: layer {number} has attention in one of both only")
                if layer is None:
                    continue
                n_layers += 1
                heads, tokens = group["heads"][s], group["received"][s]
                what = f"{model} layer {number} sequence {s}"
                for h in range(len(layer["received"])):
                    compare_head(f"{what} head {h}", heads[h], layer, h)
                for t, n in enumerate(layer["n_seeing"]):
                    shares = [r[t] for r in layer["received"]]
                    counts = t == 0 or n >= LEAST_SEEING
                    n_heads = sum(x > SINK_SHARE for x in shares) if counts else 0
                    near(f"{what} token {t}", tokens[t, 0], sum(shares) / len(shares))
                    near(f"{what} token {t}'s heads", tokens[t, 1], n_heads)
                    n_sinks += n_heads
    print(f"{model}: {n_layers} sequences of layers, {n_sinks} sinks")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "ids":
        for ids in json.loads(GOLDEN.read_text())["models"][sys.argv[2]]["ids"]:
            print(*ids)
    elif len(sys.argv) == 4 and sys.argv[1] == "compare":
        compare(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)
