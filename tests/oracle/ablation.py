#!/usr/bin/env python3
"""usage: ablation.py RUN.h5 RESULTS.json EXPECTED MODEL [FIRST.h5]

Checks what a run with --ablate recorded and what ol-analyze makes of it: mean likelihoods
beside those of EXPECTED (tests/golden/ablation.txt, by transformers), counts by numpy from the
bitmaps, and of the arm "first" beside FIRST.h5, a run of the same sequences without their first
tokens."""
import json
import sys

import h5py
import numpy as np

run, results, expected, model = sys.argv[1:5]
f = h5py.File(run)
block = json.load(open(results))["ablation"]
criterion = json.load(open(results))["criterion"]
arms = [a.decode() for a in f["ablation/arms"][()]]
left_out = f["ablation/left_out"][()]
lengths = f["input/lengths"][()]
n, d = len(lengths), int(f["model"].attrs["d_model"])


def fail(text):
    sys.exit(f"ablation: {text}")


def bits(packed):
    return np.unpackbits(packed, axis=-1, bitorder="little").astype(bool)


def close(a, b, bound, what):
    if not abs(a - b) <= bound:
        fail(f"{what}: {a}, expected {b}")


def counts(sites, positions, occurrences, tokens):
    """sites [n, d, S], positions [n, d, T], occurrences [n, d] of n sequences."""
    n_sites = 2 * len(f["layers"])
    size, pairs, unique = criterion["batch_size"], 0, np.zeros(d, bool)
    for first in range(0, n, size):
        batch = slice(first, first + size)
        good = (sites[batch].any(0).sum(-1) / n_sites >= criterion["min_layers"]) & \
            (positions[batch].any(0).sum(-1) / max(tokens[batch]) >= criterion["min_positions"])
        pairs, unique = pairs + int(good.sum()), unique | good
    wide = sites.any(0).sum(-1) / n_sites >= criterion["min_layers"]
    pooled = wide & (positions.sum((0, 2)) / tokens.sum() >= criterion["min_positions"])
    strict = wide & (occurrences.sum(0) / (n_sites * tokens.sum()) >= criterion["min_positions"])
    return {"pairs": pairs, "unique": int(unique.sum()), "pooled": int(pooled.sum()),
            "strict": int(strict.sum())}


def tensors(file):
    """The same three and maxima from the tensors of a file, rounded to bf16 when stored."""
    names = [f"layers/{l}/{s}" for l in sorted(file["layers"]) for s in ("ln_attn", "ln_mlp")]
    x = np.stack([file[name][()].astype(np.float32) for name in names], -1)
    hit = np.abs(x) >= criterion["threshold"]
    size = np.where(hit, np.abs(x), 0).max((1, 3))
    return hit.any(1), hit.any(3).transpose(0, 2, 1), hit.sum((1, 3)), size


base_nll = f["input/nll"][()]
known = dict(line.split()[1:3] for line in open(expected) if line.split()[0] == model)
if [a["arm"] for a in block["arms"]] != arms:
    fail("arms of the results are not those of the file")
for i, arm in enumerate(arms):
    rows = slice(i * n, (i + 1) * n)
    nll, tokens = f["ablation/nll"][rows], lengths - left_out[i]
    entry = block["arms"][i]
    there = [nll[s, 1:tokens[s]] for s in range(n)]
    if any(np.isnan(t).any() for t in there) or np.isfinite(nll).sum() != sum(map(len, there)):
        fail(f"{arm}: likelihoods where there are none, or none where there are")
    mean = np.concatenate(there).astype(float).mean()
    close(entry["mean_nll"], mean, 1e-12, arm)
    close(entry["mean_nll"], float(known[arm]), 5e-6, f"{arm}, by transformers")
    before = [base_nll[s, 1 + left_out[i]:lengths[s]] for s in range(n)]
    close(entry["mean_nll_difference"], mean - np.concatenate(before).astype(float).mean(), 1e-9,
          f"{arm}: difference")
    sites, positions = bits(f["ablation/sites"][rows]), bits(f["ablation/positions"][rows])
    occurrences = f["ablation/occurrences"][rows]
    for name, value in counts(sites, positions, occurrences, tokens).items():
        if entry[name] != value:
            fail(f"{arm}: {name} {entry[name]}, expected {value}")
    if arm.startswith("zero:") and occurrences[:, int(arm[5:].split(",")[0].split("+")[0])].any():
        fail(f"{arm}: the dimension has occurrences all the same")
    if arm == "first" and len(sys.argv) > 5:
        other = h5py.File(sys.argv[5])
        a = (sites, positions, occurrences, f["ablation/maxima"][rows])
        for x, y, what in zip(a, tensors(other), ("sites", "positions", "occurrences", "maxima")):
            if not np.array_equal(x[..., :y.shape[-1]], y):
                fail(f"{arm}: {what} are not those of a run without first tokens")
        if np.nansum(np.abs(other["input/nll"][()] - nll[:, :other["input/nll"].shape[1]])) != 0:
            fail(f"{arm}: likelihoods are not those of a run without first tokens")
a = tensors(f)
for name, value in counts(*a[:3], lengths).items():
    if block["baseline"][name] != value:
        fail(f"baseline: {name} {block['baseline'][name]}, expected {value}")
