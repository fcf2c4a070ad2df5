#!/usr/bin/env python3
"""Which experts are chosen together, counted plainly from router_ids.

    co_activation.py check RESULTS.json RUN.h5...   the block is what the choices say
    co_activation.py plant RUN.h5                   put in choices of a known answer
    co_activation.py known RESULTS.json             the results have that answer

Planted are 400 tokens that choose 2 of 6 experts. Needs h5py and numpy."""
import itertools
import json
import sys

import h5py
import numpy as np

from checksums import renew


def choices(paths, name):
    """[tokens, experts]: whether the token chose the expert."""
    rows = []
    for path in paths:
        with h5py.File(path) as f:
            ids, n = f[f"layers/{name}/router_ids"], int(f["model"].attrs["n_experts"])
            for s, length in enumerate(f["input/lengths"][...]):
                row = ids[s, :length].astype(int)
                rows.append((row[:, :, None] == np.arange(n)).any(axis=1))
    return np.concatenate(rows)


def close(found, wanted, what):
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15, err_msg=what)


def check_layer(found, chose):
    number = found["layer"]
    chose = chose[chose.any(axis=1)]
    n_tokens, n_experts = chose.shape
    count = chose.sum(axis=0)
    order = sorted(range(n_experts), key=lambda e: (-count[e], e))
    assert found["n_tokens"] == n_tokens
    assert [m["expert"] for m in found["committee"]] == [e for e in order if 10 * count[e] >= 9 * n_tokens > 0], number
    for m in found["committee"]:
        assert m["n_tokens"] == count[m["expert"]]
        close(m["share"], count[m["expert"]] / n_tokens, "share")
    held = [sum(count[e] for e in order[: m + 1]) for m in range(n_experts)]
    close(found["coverage"], np.array(held) / count.sum(), "coverage")
    others = [chose[:, order[m + 1:]].any(axis=1) for m in range(n_experts)]
    close(found["complete"], [(~o).mean() for o in others], "complete")
    assert found["n_for_half"] == 1 + next(m for m, h in enumerate(held) if 2 * h >= count.sum())
    assert found["n_for_most"] == 1 + next(m for m, h in enumerate(held) if 10 * h >= 9 * count.sum())
    pairs = []
    for a, b in itertools.combinations(range(n_experts), 2):
        both = int((chose[:, a] & chose[:, b]).sum())
        excess = both * n_tokens - int(count[a]) * int(count[b])
        if excess > 0:
            pairs.append((-excess, a, b, both))
    pairs = sorted(pairs)[:16]
    assert [(p["a"], p["b"], p["n_both"]) for p in found["pairs"]] == [p[1:] for p in pairs], number
    for p, (excess, a, b, both) in zip(found["pairs"], pairs):
        close(p["excess"], -excess / n_tokens**2, "excess")
        close(p["share_a"], both / count[a], "share_a")
        close(p["share_b"], both / count[b], "share_b")
        close(p["lift"], (both / n_tokens) / ((count[a] / n_tokens) * (count[b] / n_tokens)), "lift")


def check(results, paths):
    block = json.load(open(results))["co_activation"]
    with h5py.File(paths[0]) as f:
        names = [n for n in sorted(f["layers"]) if "router_ids" in f["layers"][n]]
    if not names:
        assert block is None
        return
    assert block["min_share"] == 0.9 and [l["layer"] for l in block["layers"]] == [int(n) for n in names]
    for layer, name in zip(block["layers"], names):
        check_layer(layer, choices(paths, name))


def plant(path):
    with h5py.File(path, "r+") as f:
        for name, limit in (("000", 360), ("001", 359)):
            ids = f[f"layers/{name}/router_ids"]
            assert ids.shape == (4, 100, 2)
            t = np.arange(400).reshape(4, 100)
            first = np.where(t < limit, 5, 0)
            second = np.where(t < 200, 1, np.where(t < limit, 2, 3))
            swap = t % 3 == 0  # slots do not matter
            ids[...] = np.stack([np.where(swap, second, first), np.where(swap, first, second)], axis=2)
        renew(f)


def known(results):
    first, second = json.load(open(results))["co_activation"]["layers"][:2]
    assert first["n_tokens"] == 400 and second["committee"] == []
    assert first["committee"] == [{"expert": 5, "n_tokens": 360, "share": 0.9}]
    close(first["coverage"], [0.45, 0.7, 0.9, 0.95, 1, 1], "coverage")  # of experts 5 1 2 0 3 4
    close(first["complete"], [0, 0.5, 0.9, 0.9, 1, 1], "complete")
    assert (first["n_for_half"], first["n_for_most"]) == (2, 3)
    assert [(p["a"], p["b"], p["n_both"]) for p in first["pairs"]] == [(0, 3, 40), (1, 5, 200), (2, 5, 160)]
    close([p["excess"] for p in first["pairs"]], [0.09, 0.05, 0.04], "excess")
    close([p["lift"] for p in first["pairs"]], [10, 10 / 9, 10 / 9], "lift")
    close([p["share_b"] for p in first["pairs"]], [1, 200 / 360, 160 / 360], "share_b")


{"check": lambda: check(sys.argv[2], sys.argv[3:]), "plant": lambda: plant(sys.argv[2]),
 "known": lambda: known(sys.argv[2])}[sys.argv[1]]()
