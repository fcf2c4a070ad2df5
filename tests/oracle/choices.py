#!/usr/bin/env python3
"""usage: choices.py RESULTS.json RUN.h5
          choices.py diff A.h5 B.h5 REPORT.md

Check the block "choices" against the file's choices; or what a comparison says of the
layers, and where it says that differences begin, against the choices of two files."""
import json
import re
import sys

import h5py
import numpy as np

from sampling import draw


def sample(h):
    lengths = [int(n) for n in h["input/lengths"][...]]
    return draw([(s, p) for s, n in enumerate(lengths) for p in range(n)], 8, 120)[:2]


def ids_of(h, layer, drawn):
    ids = h["layers"][layer]["router_ids"][...]
    n_experts = int(h["model"].attrs["n_experts"])
    return [[int(e) if e < n_experts else None for e in ids[s, p]] for s, p in drawn]


def check(results, h):
    block = results["choices"]
    layers = [name for name in sorted(h["layers"]) if "router_ids" in h["layers"][name]]
    if not layers:
        assert block is None
        return
    drawn, weights = sample(h)
    assert [(t["sequence"], t["position"]) for t in block["tokens"]] == drawn
    assert [t["token_id"] for t in block["tokens"]] == [int(h["input/token_ids"][s, p]) for s, p in drawn]
    found = np.array([t["weight"] for t in block["tokens"]], float)
    assert np.allclose(found / found.sum(), weights / weights.sum(), rtol=1e-12)
    assert [l["layer"] for l in block["layers"]] == [int(name) for name in layers]
    for l, name in zip(block["layers"], layers):
        expected = ids_of(h, name, drawn)
        assert l["top_k"] == len(expected[0]) and l["experts"] == [e for row in expected for e in row], name


def compare(a, b, report):
    drawn, weights = sample(a)
    w = weights / weights.sum()
    expected = []
    for name in sorted(a["layers"]):
        if "router_ids" not in a["layers"][name]:
            continue
        x, y = ids_of(a, name, drawn), ids_of(b, name, drawn)
        gone = np.array([len(set(i) - set(j)) for i, j in zip(x, y)])
        slots = np.array([sum(i != j for i, j in zip(*rows)) for rows in zip(x, y)])
        k = len(x[0])
        expected.append((int(name), (w * gone).sum() / k, (w * slots).sum() / k, w[gone > 0].sum()))
    text = open(report).read()
    text = text[text.index("## Choices of the routers"):]
    rows = [[float(c) for c in line.strip("| \n").split("|")] for line in text.splitlines() if re.match(r"\|\s+\d+ \|", line)]
    assert len(rows) == len(expected) > 0, rows
    for row, (layer, *shares) in zip(rows, expected):
        assert row[0] == layer and all(abs(r - 100 * s) < 0.0501 for r, s in zip(row[1:], shares)), (row, layer, shares)
    changed = [(layer, sets) for layer, _, _, sets in expected if sets > 0]
    if not changed:
        assert "All choices are the same" in text
    else:
        layer, sets = changed[0]
        assert f"stand at layer {layer} ({100 * sets:.3g} %" in " ".join(text.split()), (layer, sets, text)
    print(f"choices of {len(drawn)} tokens differ at {len(changed)} of {len(expected)} layers, as expected")


if sys.argv[1] == "diff":
    compare(h5py.File(sys.argv[2]), h5py.File(sys.argv[3]), sys.argv[4])
else:
    with open(sys.argv[1]) as file:
        check(json.load(file), h5py.File(sys.argv[2]))
