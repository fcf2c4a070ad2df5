#!/usr/bin/env python3
"""usage: down_inputs.py MODEL RUN.h5

Compute the inputs of all down projections again, in double precision from the rows of ln_mlp
and the checkpoint's weights: silu(x Wg) * (x Wu) of dense MLPs, shared experts and, by
router_ids, routed experts. Compare with them what the file has, which must be of a model in
float32 (--precision f32 --store f32): sums of squares of the columns (--imatrix), moments,
the columns' largest magnitudes, and which rows are sampled, with their values."""
import json
import math
import struct
import sys

import h5py
import numpy as np

TYPES = {"F32": "<f4", "BF16": "<u2"}
MASK = 2**64 - 1


def read_weights(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    weights = {}
    for name, t in json.loads(data[8 : 8 + n]).items():
        if name == "__metadata__":
            continue
        first, end = (8 + n + x for x in t["data_offsets"])
        x = np.frombuffer(data[first:end], TYPES[t["dtype"]]).reshape(t["shape"])
        if t["dtype"] == "BF16":
            x = (x.astype(np.uint32) << 16).view(np.float32)
        weights[name] = x.astype(float)
    return weights


def keys_of(ids, length):
    """SplitMix64 of each token and the key before it, begun with 1; the first one's is odd."""
    keys, key = [], 1
    for position in range(length):
        z = (key + (int(ids[position]) + 1) * 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        key = z ^ z >> 31
        keys.append((key & ~1) | (position == 0))
    return keys


def expected_sample(tokens, n):
    """tokens: (key, sequence, position, row) in the order of the text. Of each kind the rows of
    the smallest keys: {key: [count, sequence, position, row]}, first tokens first."""
    sample = []
    for first, room in ((1, max(1, n // 8)), (0, n - max(1, n // 8))):
        found = {}
        for key, sequence, position, row in tokens:
            if key & 1 == first:
                found.setdefault(key, [key, 0, sequence, position, row])[1] += 1
        sample += [found[key] for key in sorted(found)[:room]]
    return sample


def check_component(group, u, whose, row, x, tokens, n, name):
    """x: [tokens, width] of component u, whose rows are number `row` of the tables."""
    moments = group["moments"][u]
    assert moments[0] == sum(key & 1 for key, *_ in tokens), name
    scale = np.abs(x).max(initial=0)
    for power in range(1, 5):
        np.testing.assert_allclose(moments[power], (x**power).sum(), rtol=2e-2, atol=2e-3 * x.size * scale**power, err_msg=name)
    if len(x) == 0:
        assert moments[5] == -np.inf and moments[6] == np.inf, name
    else:
        np.testing.assert_allclose(moments[5:7], [x.max(), x.min()], rtol=5e-3, err_msg=name)
    maxima = group[whose + "maxima"][row]
    np.testing.assert_allclose(maxima, np.abs(x).max(axis=0, initial=0), rtol=5e-3, atol=1e-6, err_msg=name)
    wanted = expected_sample(tokens, n)
    found = group["sample"][u]
    assert (found[len(wanted) :] == 0).all(), name
    rows = group[whose + "rows"][row]
    assert (rows[len(wanted) :] == 0).all(), name
    for i, (key, count, sequence, position, k) in enumerate(wanted):
        assert (int(found[i][0]) & MASK, *found[i][1:]) == (key, count, sequence, position), (name, i)
        np.testing.assert_allclose(rows[i], x[k], rtol=5e-3, atol=1e-6, err_msg=f"{name} {i}")
    # Where every row is kept the sums are exact: of rows, whose sums are in the order of 32 lanes.
    if sum(one[1] for one in wanted) == len(tokens):
        for power in range(1, 5):
            sums = [float(lane_sum(rows[i].astype(float) ** power)) for i, one in enumerate(wanted) for _ in range(one[1])]
            assert moments[power] == math.fsum(sums), (name, power)
    return len(wanted)


def lane_sum(values):
    lanes = np.zeros(32)
    for c in range(0, len(values), 32):
        lanes[: len(values[c : c + 32])] += values[c : c + 32]
    for half in (16, 8, 4, 2, 1):
        lanes[:half] += lanes[half : 2 * half]
    return lanes[0]


def component_inputs(f, weights, lengths):
    """Of every component with inputs of a down projection: layer, number among the layer's, name
    of the squares' table, row in it, its tokens and [tokens, width] of values."""

    def rows(dataset):
        return np.concatenate([dataset[s, :n] for s, n in enumerate(lengths)])

    def inputs(x, mlp):
        gate = x @ weights[mlp + ".gate_proj.weight"].T
        up = x @ weights[mlp + ".up_proj.weight"].T
        return gate / (1 + np.exp(-gate)) * up

    for name, layer in f["layers"].items():
        mlp = f"model.layers.{int(name)}.mlp"
        x = rows(layer["ln_mlp"]).astype(float)
        everyone = np.arange(len(x))
        if "router_ids" not in layer:
            yield name, 0, "mlp_down", 0, everyone, inputs(x, mlp)
            continue
        chosen = rows(layer["router_ids"])
        n_experts = int(f["model"].attrs["n_experts"])
        for e in range(n_experts):
            at = np.flatnonzero((chosen == e).any(axis=1))
            yield name, e, "experts_down", e, at, inputs(x[at], f"{mlp}.experts.{e}")
        shared = [s for s in ("shared_expert", "shared_experts") if f"{mlp}.{s}.up_proj.weight" in weights]
        if shared:
            yield name, n_experts, "shared_down", 0, everyone, inputs(x, f"{mlp}.{shared[0]}")


def main():
    model, run = sys.argv[1:]
    f = h5py.File(run)
    lengths = f["input/lengths"][...]
    ids = f["input/token_ids"][...]
    tokens = [(key, s, p) for s, n in enumerate(lengths) for p, key in enumerate(keys_of(ids[s], n))]
    n_compared = n_sampled = 0
    weights = read_weights(model + "/model.safetensors")
    for name, u, key, row, at, values in component_inputs(f, weights, lengths):
        summary = f["layers"][name]["summary"]
        if "squares" in summary:
            sums = (values**2).sum(axis=0)
            found = summary["squares"][key][row]
            np.testing.assert_allclose(found, sums, rtol=1e-4, atol=1e-6 * np.max(sums, initial=0), err_msg=f"{name} {key}")
            n_compared += np.size(sums)
        mine = [(*tokens[t], i) for i, t in enumerate(at)]
        whose = "shared_" if key == "shared_down" else ""
        n = summary["down/sample"].shape[1]
        n_sampled += check_component(summary["down"], u, whose, row, values, mine, n, f"{name} {key} {row}")
    assert n_sampled > 0
    print(f"{n_compared} columns, {n_sampled} rows")


if __name__ == "__main__":
    main()
