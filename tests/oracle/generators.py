#!/usr/bin/env python3
"""usage: generators.py RESULTS.json RUN.h5...
          generators.py exact MODEL RESULTS.json RUN.h5

Check the block "generators" against the tables of the files. With `exact`, of a model in
float32 (--precision f32 --store f32), against inputs of down projections that are computed
from the rows of ln_mlp and the checkpoint's weights."""
import json
import sys

import h5py
import numpy as np

from down_inputs import component_inputs, read_weights
from sampling import weighted_median


def kurtosis(x):
    off = x.astype(float) - x.astype(float).mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        return float((off**4).mean() / (off**2).mean() ** 2)


def close(found, expected, what, tolerance):
    if expected is None or not np.isfinite(expected):
        assert found is None, (what, found, expected)
    else:
        assert found is not None and abs(found - expected) <= tolerance * max(1e-9, abs(expected)), (what, found, expected)


def unit_name(unit):
    return unit["layer"], unit["kind"], unit["expert"]


def kinds_of(layer, n_experts, n):
    """(kind, expert, prefix of its tables, row in them) of every unit."""
    if layer.attrs["kind"] in ("dense", b"dense"):
        return [("mlp", None, "", 0)]
    return [("expert", u, "", u) if u < n_experts else ("shared", None, "shared_", 0) for u in range(n)]


def read(paths):
    """Of every unit: tokens, moments, maxima, sampled rows by key with their counts."""
    found = {}
    for path in paths:
        with h5py.File(path) as f:
            n_experts = int(f["model"].attrs["n_experts"])
            for name, layer in sorted(f["layers"].items()):
                s = layer["summary"]
                units, down = s["units"][...], s["down"]
                for u, (kind, expert, whose, row) in enumerate(kinds_of(layer, n_experts, len(units))):
                    one = found.setdefault((int(name), kind, expert), {"tokens": 0, "largest": -1, "moments": np.zeros(5), "max": -np.inf,
                                           "min": np.inf, "maxima": 0, "rows": {}, "n": down["sample"].shape[1]})
                    if units[u][0] == 0:
                        continue
                    moments = down["moments"][u]
                    one["tokens"] += int(units[u][0])
                    one["largest"] = max(one["largest"], abs(units[u][2]))
                    one["moments"] += moments[:5]
                    one["max"], one["min"] = max(one["max"], moments[5]), min(one["min"], moments[6])
                    one["maxima"] = np.maximum(one["maxima"], down[whose + "maxima"][row].astype(float))
                    for (key, count, _, _), x in zip(down["sample"][u], down[whose + "rows"][row]):
                        if count > 0:
                            one["rows"].setdefault(int(key) % 2**64, [0, x.astype(float)])[0] += int(count)
    return found


def sampled_median(one):
    """The median row's kurtosis over columns, rows weighted by what they stand for."""
    values, weights = [], []
    first = max(1, one["n"] // 8)
    for odd, room, tokens in ((1, first, one["moments"][0]), (0, one["n"] - first, one["tokens"] - one["moments"][0])):
        kept = [one["rows"][key] for key in sorted(one["rows"]) if key & 1 == odd][:room]
        for count, x in kept:
            values.append(kurtosis(x))
            weights.append(count * tokens / sum(c for c, _ in kept))
    known = ~np.isnan(values)
    return weighted_median(np.array(values)[known], np.array(weights)[known]) if known.any() else None


def expected(one):
    width = len(one["maxima"])
    n = one["tokens"] * width
    s1, s2, s3, s4 = one["moments"][1:] / n
    variance = s2 - s1**2
    return {"largest": one["largest"], "maximum": one["max"], "minimum": one["min"], "rms": np.sqrt(s2),
            "kurtosis": (s4 - 4 * s1 * s3 + 6 * s1**2 * s2 - 3 * s1**4) / variance**2}


def check(results, paths):
    block = json.load(open(results))["generators"]
    units = {name: one for name, one in read(paths).items() if one["tokens"]}
    assert block["n_units"] == len(units) > 0
    wanted = {name: expected(one) for name, one in units.items()}
    close(block["median_largest"], float(np.median([w["largest"] for w in wanted.values()])), "median", 1e-12)
    close(block["median_kurtosis"], float(np.median([w["kurtosis"] for w in wanted.values()])), "median", 1e-8)
    order = sorted(wanted, key=lambda name: -wanted[name]["largest"])  # stable: in the order of the model
    assert [unit_name(u) for u in block["units"]] == order[:32]
    for unit in block["units"]:
        name = unit_name(unit)
        assert unit["n_tokens"] == units[name]["tokens"]
        for key, value in wanted[name].items():
            close(unit[key], value, (name, key), 1e-8)
        close(unit["share_of_median"], wanted[name]["largest"] / block["median_largest"], name, 1e-12)
        close(unit["kurtosis_token_median"], sampled_median(units[name]), (name, "of tokens"), 1e-6)
        maxima = units[name]["maxima"]
        top = np.argsort(-maxima, kind="stable")[:4]
        assert [(c["column"], c["largest"]) for c in unit["columns"]] == [(int(c), float(maxima[c])) for c in top], name
    listed = {}
    for layer in block["layers"]:
        n = len(layer["largest"])
        assert n == len(layer["kurtosis"])
        for u in range(n):
            names = [k for k in wanted if k[0] == layer["layer"] and (k[2] == u if k[1] == "expert" else u == n - 1)]
            close(layer["largest"][u], wanted[names[0]]["largest"] if names else None, (layer["layer"], u), 1e-12)
            close(layer["kurtosis"][u], wanted[names[0]]["kurtosis"] if names else None, (layer["layer"], u), 1e-8)
            listed.update(dict.fromkeys(names))
    assert set(listed) == set(wanted)
    print(f"{len(units)} units")


def check_exact(model, results, path):
    block = json.load(open(results))["generators"]
    listed = {unit_name(u): u for u in block["units"]}
    with h5py.File(path) as f:
        lengths = f["input/lengths"][...]
        for name, _, key, row, at, x in component_inputs(f, read_weights(model + "/model.safetensors"), lengths):
            unit = listed.get((int(name), key.split("_")[0].rstrip("s"), row if key == "experts_down" else None))
            if unit is None:
                continue
            close(unit["kurtosis"], kurtosis(x), (name, key, row), 2e-2)
            close(unit["rms"], float(np.sqrt((x**2).mean())), (name, key, row), 3e-3)
            t, c = np.unravel_index(np.abs(x).argmax(), x.shape)
            close(unit["largest"], float(np.abs(x).max()), (name, key, row), 1e-4)
            assert unit["columns"][0]["column"] == c, (name, key, row)
            ends = np.cumsum(lengths)
            s = int(np.searchsorted(ends, at[t], side="right"))
            assert (unit["sequence"], unit["position"]) == (s, at[t] - (ends[s] - lengths[s])), (name, key, row)
            assert unit["token_id"] == f["input/token_ids"][s, unit["position"]]
            listed.pop(unit_name(unit))
    assert not listed, listed.keys()
    print(f"{len(block['units'])} units from the weights")


if __name__ == "__main__":
    if sys.argv[1] == "exact":
        check_exact(*sys.argv[2:])
    else:
        check(sys.argv[1], sys.argv[2:])
