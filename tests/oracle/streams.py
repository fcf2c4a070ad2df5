#!/usr/bin/env python3
"""usage: streams.py compare MODEL RUN.h5
       streams.py check RESULTS.json RUN.h5...

Whether the table of residual streams of a run in float32 over a tiny model's ids.txt is what
transformers' layers give (tests/golden/streams.json); and whether the block "residual_streams" is
what the runs' tables come to."""
import json
import math
import pathlib
import sys

import h5py
import numpy as np

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "streams.json"
WIDTH, SQUARES, MAX, MIN = 0, 1, [2, 3, 4, 8], [5, 6, 7, 9]


def compare(model, path):
    layers, n = json.loads(GOLDEN.read_text())[model], 0
    with h5py.File(path) as f:
        assert len(f["layers"]) == len(layers)
        for number, streams in enumerate(layers):
            rows = f[f"layers/{number:03d}/summary/streams"][...]
            assert len(rows) == len(streams) and (rows[:, WIDTH] == f["model"].attrs["d_model"]).all()
            for row, stream in zip(rows, streams):
                what = (model, number, row, stream)
                assert abs(row[SQUARES] - stream["squares"]) <= 1e-5 * stream["squares"], what
                for columns, wanted in ((MAX, stream["max"]), (MIN, stream["min"])):
                    assert abs(row[columns[0]] - wanted[0]) <= 1e-5 * abs(wanted[0]), what
                    assert list(row[columns[1:]]) == wanted[1:], what
                n += 1
    print(f"{model}: {n} streams")


def near(found, wanted):
    assert (found is None) == (wanted is None), (found, wanted)
    assert wanted is None or abs(found - wanted) <= 1e-12 * abs(wanted), (found, wanted)


def joined(tables, firsts, stream, columns, sign):
    """The extreme of all files, the first of equal ones: value, sequence, position, dimension."""
    i = max(range(len(tables)), key=lambda i: (sign * tables[i][stream, columns[0]], -i))
    value, sequence, position, dimension = tables[i][stream, columns]
    return value, int(sequence) + int(firsts[i]), int(position), int(dimension)


def check(results, paths):
    block = json.load(open(results))["residual_streams"]
    files = [h5py.File(path) for path in paths]
    names = sorted(files[0]["layers"])
    firsts = np.cumsum([0] + [len(f["input/lengths"]) for f in files])
    n_tokens = sum(int(f["input/lengths"][...].sum()) for f in files)
    n = len(files[0][f"layers/{names[0]}/summary/streams"])
    assert block["n_streams"] == n and [l["layer"] for l in block["layers"]] == [int(name) for name in names]
    before, peaks = [None] * n, [None] * n
    for layer, name in zip(block["layers"], names):
        tables = [f[f"layers/{name}/summary/streams"][...] for f in files]
        d = tables[0][0, WIDTH]
        near(layer["rms"], math.sqrt(sum(t[:, SQUARES].sum() for t in tables) / n_tokens / d / n))
        assert layer["largest"] == max(s["largest"] for s in layer["streams"])
        for s, found in enumerate(layer["streams"]):
            assert found["stream"] == s
            near(found["rms"], math.sqrt(sum(t[s, SQUARES] for t in tables) / n_tokens / d))
            high, low = joined(tables, firsts, s, MAX, 1), joined(tables, firsts, s, MIN, -1)
            for key, wanted in (("maximum", high), ("minimum", low)):
                assert [found[key + end] for end in ("", "_sequence", "_position", "_feature")] == list(wanted), (key, wanted)
            best = high if high[0] >= -low[0] else low
            assert found["largest"] == abs(best[0])
            jump = None if before[s] is None else abs(best[0]) / before[s][0]
            near(found["jump"], jump)
            peak = peaks[s] or [s, (0,), None, None, None, None]
            if abs(best[0]) > abs(peak[1][0]):
                peak[1:3] = best, int(name)
            if jump is not None and (peak[3] is None or jump > peak[3]):
                peak[3:] = jump, before[s][1], int(name)
            peaks[s], before[s] = peak, (abs(best[0]), int(name))
    peaks.sort(key=lambda p: (-abs(p[1][0]), p[0]))
    assert len(block["streams"]) == n
    for found, (s, best, layer, jump, since, to) in zip(block["streams"], peaks):
        assert [found[k] for k in ("stream", "value", "sequence", "position", "feature", "layer")] == [s, *best, layer]
        assert [found[k] for k in ("jump_since", "jump_layer")] == [since, to]
        near(found["jump"], jump)
        token = next(f for f, first, end in zip(files, firsts, firsts[1:]) if first <= best[1] < end)
        assert found["token_id"] == token["input/token_ids"][best[1] - max(x for x in firsts[:-1] if x <= best[1]), best[2]]


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "compare":
        compare(sys.argv[2], sys.argv[3])
    elif len(sys.argv) > 3 and sys.argv[1] == "check":
        check(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(__doc__)
