#!/usr/bin/env python3
"""usage: mixed_heads.py ids MODEL
       mixed_heads.py compare MODEL RUN.h5
       mixed_heads.py check RESULTS.json RUN.h5...

The token ids of tests/golden/mixed_heads.json, which are those of attention.json, as ol-extract
--ids takes them; whether the table of mixed heads of a run in float32 over them is what
transformers puts into its output projections, and its sums those of
the squares of --imatrix; and whether the block "head_outputs" is what the runs' tables come to."""
import json
import math
import pathlib
import sys

import h5py
import numpy as np

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "mixed_heads.json"
WIDTH, SQUARES, MAX, MIN = 0, 1, slice(2, 5), slice(5, 8)


def near(found, wanted, what, error=1e-4):
    if wanted is None or math.isnan(wanted):
        assert found is None, (what, found)
        return
    assert found is not None and abs(found - wanted) <= error * max(1e-3, abs(wanted)), (what, found, wanted)


def compare(model, path):
    layers, n = json.loads(GOLDEN.read_text())[model]["layers"], 0
    with h5py.File(path) as f:
        for number, heads in enumerate(layers):
            summary = f[f"layers/{number:03d}/summary"]
            assert (heads is None) == ("mixed_heads" not in summary), (model, number)
            if heads is None:
                continue
            rows = summary["mixed_heads"][...]
            assert len(rows) == len(heads), (model, number)
            for h, (row, head) in enumerate(zip(rows, heads)):
                what = (model, number, h)
                assert row[WIDTH] == head["width"], what
                near(row[SQUARES], head["squares"], what)
                for found, wanted in ((row[MAX], head["max"]), (row[MIN], head["min"])):
                    near(found[0], wanted[0], what)
                    assert list(found[1:]) == wanted[1:], (what, list(found), wanted)
                n += 1
            if "squares" in summary and "mixed" in summary["squares"]:
                columns = summary["squares/mixed"][0].reshape(len(rows), -1).sum(1)
                np.testing.assert_allclose(rows[:, SQUARES], columns, rtol=1e-5)
    print(f"{model}: {n} heads")


def check(results, paths):
    block = json.load(open(results))["head_outputs"]
    files = [h5py.File(path) for path in paths]
    names = [n for n in sorted(files[0]["layers"]) if "mixed_heads" in files[0]["layers"][n].get("summary", {})]
    if not names:
        assert block is None
        return
    firsts = np.cumsum([0] + [len(f["input/lengths"]) for f in files])
    n_tokens = sum(int(f["input/lengths"][...].sum()) for f in files)
    assert [l["layer"] for l in block["layers"]] == [int(n) for n in names]
    heads = []
    for layer, name in zip(block["layers"], names):
        tables = [f[f"layers/{name}/summary/mixed_heads"][...] for f in files]
        assert layer["attention"] == files[0]["layers"][name].attrs["attention"]
        assert layer["width"] == tables[0][0, WIDTH] and len(layer["heads"]) == len(tables[0])
        for h, head in enumerate(layer["heads"]):
            squares = sum(t[h, SQUARES] for t in tables)
            rms = math.sqrt(squares / n_tokens / layer["width"])
            high = max(((t[h, 2], -i) for i, t in enumerate(tables)))
            low = min(((t[h, 5], i) for i, t in enumerate(tables)))
            up = high[0] >= -low[0]
            i = -high[1] if up else low[1]
            place = tables[i][h, 3:5] if up else tables[i][h, 6:8]
            near(head["rms"], rms, (name, h), 1e-12)
            assert (head["head"], head["maximum"], head["minimum"]) == (h, high[0], low[0])
            assert head["largest"] == max(high[0], -low[0])
            heads.append((head["largest"], int(name), h, rms, high[0] if up else low[0], int(place[0]) + int(firsts[i]), int(place[1])))
        near(layer["rms"], math.sqrt(sum(t[:, SQUARES].sum() for t in tables) / n_tokens / layer["width"] / len(tables[0])), name, 1e-12)
        assert layer["largest"] == max(x["largest"] for x in layer["heads"])
    assert block["n_heads"] == len(heads)
    median = float(np.median([x[0] for x in heads]))
    near(block["median_largest"], median, "median_largest", 1e-12)
    near(block["median_rms"], float(np.median([x[3] for x in heads])), "median_rms", 1e-12)
    heads.sort(key=lambda x: (-x[0], x[1], x[2]))
    assert len(block["extremes"]) == min(32, len(heads))
    for found, (largest, layer, h, rms, value, sequence, position) in zip(block["extremes"], heads):
        assert [found[k] for k in ("layer", "head", "value", "sequence", "position")] == [layer, h, value, sequence, position]
        near(found["share_of_median"], largest / median, "share_of_median", 1e-12)
        near(found["over_rms"], largest / rms, "over_rms", 1e-12)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "ids":
        for ids in json.loads(GOLDEN.read_text())[sys.argv[2]]["ids"]:
            print(*ids)
    elif len(sys.argv) == 4 and sys.argv[1] == "compare":
        compare(sys.argv[2], sys.argv[3])
    elif len(sys.argv) > 3 and sys.argv[1] == "check":
        check(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(__doc__)
