#!/usr/bin/env python3
"""usage: residual_sinks.py check RESULTS.json RUN.h5...
       residual_sinks.py plant RUN.h5
       residual_sinks.py known RESULTS.json

Check the block "residual_sinks" against the tables of the runs, counted again; where the runs have the
stream's tensors (all four sites, stored in float32), hold the shares to these as well. Put dimensions of
known answers into a run's tables (of tests/golden/models/qwen3_next with --store none); check that the
results have these answers."""
import json
import math
import sys

import h5py
import numpy as np

from checksums import renew
from plant_statistics import EIGHTH, clear, put_value
from statistics import Run, exact_maxima, largest, massive_features, massive_values, number, same, to_bf16

RATIO, SHARE = 10.0, 0.5


def bounds(n, total, squares, limit):
    """The least and the most of n values beyond the limit, from their sum and sum of squares."""
    if n == 0 or not math.isfinite(total) or not math.isfinite(squares):
        return 0, n
    squares, mean = max(squares, 0.0), abs(total) / n
    variance = max(squares / n - mean * mean, 0.0)
    most = int(squares / limit**2) if squares < limit**2 * n else n
    return (n - int(n * variance / (variance + (mean - limit) ** 2)) if mean > limit else 0), most


def dimension(run, layer, f, median, first, massive):
    limit = RATIO * median if median and median > 0 else math.nan
    known = (layer.top == f).any(axis=1)
    values = np.where(layer.top == f, layer.top_values, 0).sum(axis=1, where=layer.top == f)
    large = known & (np.abs(values) >= limit)
    crowded = ~first & (layer.top[:, 3] < run.d) & ~(np.abs(layer.top_values[:, 3]) < limit)
    rounded = to_bf16(values.astype(np.float32)).astype(np.float64)
    sums = [math.fsum(c[i, f] for c in layer.columns["output"]) if all(np.isfinite(c[i, f]) for c in layer.columns["output"]) else math.nan
            for i in (2, 3)]
    minus = lambda which: (sums[0] - math.fsum(rounded[which].tolist()), sums[1] - math.fsum((rounded[which] ** 2).tolist())) \
        if np.isfinite(rounded[which]).all() else (math.nan, math.nan)
    n_unknown = int((crowded & ~known).sum())
    least, most = bounds(int((~known).sum()), *minus(known), limit) if limit == limit else (0, 0)
    least = min(max(least - int((first & ~known).sum()), 0), n_unknown)
    most = min(max(most, least), n_unknown)
    n_others, n_first, n = int((~first).sum()), int(first.sum()), len(first) - int((first & known).sum())
    share = lambda count, of: float(count) / of if of and limit == limit else None
    total, squares = minus(first & known)
    mean = total / n if n else math.nan
    rms = math.sqrt(max(squares, 0) / n) if n and not math.isnan(squares) else math.nan
    return {"layer": layer.number, "share": share((large & ~first).sum() + least, n_others),
            "share_at_most": share((large & ~first).sum() + most, n_others), "first_share": share((large & first).sum(), n_first),
            "mean": number(mean), "rms": number(rms), "ratio": number(rms / median) if median else None,
            "n_massive": sum(m[0] == layer.number and m[2] == f for m in massive)}


def expected(run):
    massive, _, medians = massive_values(run)
    first = np.array([p == 0 for _, p in run.places])
    of_massive = massive_features(run, massive, medians)
    tokens = {f["feature"]: f["n_tokens"] for f in of_massive}
    sinks, others = [], {}
    for f in range(run.d):
        layers = [dimension(run, layer, f, median, first, massive) for layer, median in zip(run.layers, medians)]
        at = [l for l in layers if (l["share"] or 0) >= SHARE]
        if not at and f not in tokens:
            continue
        known = [l for l in at or layers if l["ratio"] is not None]
        best = max(known, key=lambda l: l["ratio"]) if known else dict.fromkeys(layers[0])
        entry = {"feature": f, "kind": "massive" if not at else "both" if f in tokens else "sink", "n_layers": len(at),
                 "first_layer": at[0]["layer"] if at else None, "last_layer": at[-1]["layer"] if at else None,
                 **{k: best[k] for k in ("layer", "ratio", "mean", "share", "first_share")},
                 "massive_tokens": tokens.get(f, 0), "max_magnitude": number(largest(exact_maxima(run, f))), "layers": layers}
        if at:
            sinks.append(entry)
        else:
            others[f] = entry
    sinks.sort(key=lambda f: (-f["ratio"], f["feature"]))
    rest = [others[f["feature"]] for f in of_massive if f["feature"] in others]
    return {"min_ratio": RATIO, "min_share": SHARE, "n_first": int(first.sum()), "n_others": int((~first).sum()),
            "n_sinks": len(sinks), "n_massive": len(of_massive), "n_both": sum(f["kind"] == "both" for f in sinks),
            "features": sinks[:32] + rest[:32]}


def hold_to_tensors(run, block):
    """What is so of all values lies between the shares, and the means are those of the values."""
    first, n = np.array([p == 0 for _, p in run.places]), 0
    for feature in block["features"]:
        for at, layer in zip(feature["layers"], run.layers):
            tensor = f"layers/{layer.number + 1:03d}/residual_attn"
            if not run.has(tensor) or at["share"] is None:
                continue
            x = run.rows(tensor).astype(np.float64)
            magnitudes = np.abs(x[:, feature["feature"]])
            large = magnitudes[~first] >= RATIO * np.median(np.abs(to_bf16(run.rows(tensor).astype(np.float32))))
            assert at["share"] <= large.mean() + 1e-12 and large.mean() <= at["share_at_most"] + 1e-12, (feature["feature"], at)
            n += 1
    return n


def check(results, paths):
    run, block = Run(paths, True), json.load(open(results))["residual_sinks"]
    if not run.summaries:
        assert block is None
        return
    same("residual_sinks", block, expected(run))
    print(block["n_sinks"], "sinks,", block["n_massive"], "massive,", hold_to_tensors(run, block), "held to tensors")


# ---- planted ----


def plant(path):
    """Medians are 1/8: large is 1.25. After layer 1 dimension 5 is large on all tokens, 6 on all but first
    ones, 7 on first ones alone and massive there, 8 on half of the others, 9 on one less; the fifth and
    sixth largest everywhere are 10 and 11: what is known of them are the columns."""
    with h5py.File(path, "r+") as f:
        clear(f, EIGHTH)
        lengths = f["input/lengths"][...]
        places = [(s, p) for s, n in enumerate(lengths) for p in range(n)]
        others = [x for x in places if x[1] > 0]
        columns = f["layers/001/summary/output/columns"][...]
        columns[2:4] = np.array([0.125, 0.125**2])[:, None] * len(places)
        for s, p in places:
            first = p == 0
            i = None if first else others.index((s, p))
            eighth = 8 if first or i < (len(others) + 1) // 2 else 20 + i % 8
            ninth = 9 if not first and i < (len(others) + 1) // 2 - 1 else 28 + p % 8
            row = [(7, 500.0) if first else (5, -3.0), (5, -3.0) if first else (6, 2.5), (eighth, 2.0), (ninth, 1.75)]
            for slot, (feature, value) in enumerate(row):
                put_value(f, 1, (s, p), slot, feature, value)
                columns[2, feature] += value - 0.125
                columns[3, feature] += value**2 - 0.125**2
        for feature, value in ((10, 1.5), (11, 1.0)):
            columns[2, feature], columns[3, feature] = value * len(places), value**2 * len(places)
        columns[0], columns[1] = 500, -3
        f["layers/001/summary/output/columns"][...] = columns
        renew(f)


def known(results):
    block = json.load(open(results))["residual_sinks"]
    found = {f["feature"]: f for f in block["features"]}
    assert {f: d["kind"] for f, d in found.items()} == {5: "sink", 6: "sink", 7: "massive", 8: "sink", 10: "sink"}, found.keys()
    assert (block["n_sinks"], block["n_massive"], block["n_both"]) == (4, 1, 0)
    n = block["n_others"]
    at = {f: d["layers"][1] for f, d in found.items()}
    assert (at[5]["share"], at[5]["first_share"], at[5]["mean"], at[5]["ratio"]) == (1, 1, -3, 24), at[5]
    assert (at[6]["share"], at[6]["first_share"]) == (1, 0), at[6]
    assert (at[7]["share"], at[7]["first_share"], at[7]["n_massive"]) == (0, 1, block["n_first"]), at[7]
    assert (found[7]["massive_tokens"], found[7]["max_magnitude"]) == (block["n_first"], 500)
    assert at[8]["share"] == math.ceil(n / 2) / n and at[8]["first_share"] == 1, at[8]
    # Of 10 no value is known; its mean is beyond the limit, and nothing varies.
    assert at[10]["share"] == at[10]["share_at_most"] == 1 and at[10]["first_share"] == 0, at[10]
    assert all(found[f]["layers"][0]["share"] == 0 for f in found)


if __name__ == "__main__":
    {"check": lambda: check(sys.argv[2], sys.argv[3:]), "plant": lambda: plant(sys.argv[2]),
     "known": lambda: known(sys.argv[2])}[sys.argv[1]]()
