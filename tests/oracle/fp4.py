#!/usr/bin/env python3
"""usage: fp4.py RESULTS.json RUN.h5...
          fp4.py plant RUN.h5
          fp4.py known RESULTS.json
          fp4.py plant-kinds RUN.h5
          fp4.py known-kinds RESULTS.json

Check the block "fp4" against the tensors and the tables of the files, in double precision
but for the scales; rotations are matrices here. Several files are parts of one run, whose
sampled rows of units are not looked at.

`plant` puts two values into each token that every scale by block has without error, beside
noise, in blocks of their own; `known` looks for what rotations then do to MXFP4: what was
exact in two blocks is off in one block each, or, after a rotation of all columns, in all.
`plant-kinds` has a value in each block, of layers with full attention alone, beside which all
others vanish, as where full attention suffers and a delta net does not."""
import json
import sys

import h5py
import numpy as np

from checksums import renew
from sampling import draw, permutation_key, weighted_median

f = np.float32
FORMATS = ["nvfp4", "nvfp4 (four over six)", "mxfp4 (floor)", "mxfp4 (even)"]
ROTATIONS = ["none", "hadamard 16", "hadamard 32", "hadamard 128", "global"]
METHODS = [(a, b) for a in FORMATS for b in ROTATIONS]
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
E4M3 = np.array(sorted({m / 8 * 2.0**-6 for m in range(8)} | {(1 + m / 8) * 2.0**e for e in range(-6, 9) for m in range(8)}))
E4M3 = E4M3[E4M3 <= 448]


def nearest(x, numbers):
    """To the nearest, ties to the one of an even code."""
    a = np.abs(x).astype(float)
    hi = np.clip(np.searchsorted(numbers, a), 0, len(numbers) - 1)
    lo = np.maximum(hi - 1, 0)
    down, up = a - numbers[lo], numbers[hi] - a
    pick = np.where((down < up) | ((down == up) & (lo % 2 == 0)), lo, hi)
    return np.sign(x) * numbers[pick]


def fours(x, scale):
    scale = np.where(scale > 0, scale, f(1)).astype(f)
    return nearest((x / scale).astype(f), E2M1).astype(f) * scale


def e4m3_scale(top, most, over):
    return (nearest(over * (top / f(most)), E4M3).astype(f) / over).astype(f)


def rounded(fmt, x, largest):
    """In float, step by step as compressed-tensors does: ties depend on it."""
    x = x.astype(f)
    out = np.zeros(x.shape, f)
    width = 16 if fmt.startswith("nvfp4") else 32
    over = f(f((448 if fmt == "nvfp4" else 256) * 6) / f(largest))
    for c in range(0, x.shape[1], width):
        block = x[:, c : c + width]
        top = np.abs(block).max(axis=1, keepdims=True)
        if fmt == "nvfp4":
            out[:, c : c + width] = fours(block, e4m3_scale(top, 6, over))
        elif fmt.startswith("nvfp4"):
            six, four = fours(block, e4m3_scale(top, 6, over)), fours(block, e4m3_scale(top, 4, over))
            better = ((four - block) ** 2).sum(axis=1, keepdims=True) < ((six - block) ** 2).sum(axis=1, keepdims=True)
            out[:, c : c + width] = np.where(better, four, six)
        else:
            exponent = np.floor(np.log2(np.where(top > 0, top, 1).astype(float)))
            if fmt == "mxfp4 (even)":
                exponent += top / 2**exponent >= 1.75
            out[:, c : c + width] = fours(block, np.where(top > 0, 2.0 ** (exponent - 2), 0))
    return out.astype(float)


def hadamard(n):
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h / np.sqrt(n)


def matrix(rotation, n):
    if rotation == "none":
        return np.eye(n)
    if rotation == "global":
        power = n & -n
        odd = n // power
        angle = 2 * np.pi * np.outer(range(odd), range(odd)) / odd
        signs = np.array([-1 if permutation_key(0, c) & 1 else 1 for c in range(n)])
        return np.kron(hadamard(power), (np.cos(angle) + np.sin(angle)) / np.sqrt(odd)) * signs
    size, at, out = int(rotation.split()[1]), 0, np.zeros((n, n))
    while at < n:
        while size > n - at:
            size //= 2
        out[at : at + size, at : at + size] = hadamard(size)
        at += size
    return out


MATRICES = {}


def errors(x, largest):
    """[method][row]: squares of what is off; and of each row."""
    n = x.shape[1]
    if n not in MATRICES:
        MATRICES[n] = [matrix(r, n) for r in ROTATIONS]
        for m in MATRICES[n]:
            assert np.allclose(m @ m.T, np.eye(n), atol=1e-12)
    off = np.zeros((len(METHODS), len(x)))
    for r, m in enumerate(MATRICES[n]):
        y = x.astype(float) @ m.T
        most = largest if r == 0 else np.abs(y).max(initial=0)
        for k, fmt in enumerate(FORMATS):
            if most > 0:
                off[k * len(ROTATIONS) + r] = ((rounded(fmt, y, most) - y) ** 2).sum(axis=1)
    return off, (x.astype(float) ** 2).sum(axis=1)


def relative(off, all):
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(off / all)


def close(found, expected, what, tolerance=2e-3):
    if expected is None or not np.isfinite(expected):
        assert found is None, (what, found, expected)
    else:
        assert found is not None and abs(found - expected) <= tolerance * max(1e-6, expected), (what, found, expected)


def site_errors(files, layer, site):
    lengths = [int(n) for h in files for n in h["input/lengths"][...]]
    x = [row for h in files for row in h["layers"][layer][site][...].astype(f)]
    tokens = [(s, p) for s, n in enumerate(lengths) for p in range(n)]
    drawn, weights, _ = draw(tokens, 16, 240)
    every = np.concatenate([x[s][:n] for s, n in enumerate(lengths)])
    if not np.isfinite(every).all():
        return None, None, len(drawn)
    off, all = errors(np.array([x[s][p] for s, p in drawn]), float(np.abs(every).max()))
    return off @ weights, (all @ weights, [weighted_median(relative(o, all), weights) for o in off]), len(drawn)


def sampled(layer, u, n_experts, moe):
    """Rows of one unit of one file, and what each stands for; the largest of all tokens."""
    down = layer["summary/down"]
    whose, row = ("shared_", 0) if moe and u >= n_experts else ("", u)
    sample, first = down["sample"][u], down["moments"][u][0]
    kept = np.flatnonzero(sample[:, 1] > 0)
    x, maxima = down[whose + "rows"][row][kept].astype(f), down[whose + "maxima"][row].astype(f)
    tokens = float(layer["summary/units"][u][0])
    is_first = sample[kept, 0] & 1 == 1
    counts = sample[kept, 1].astype(float)
    stands = np.array([counts[i] * (first if is_first[i] else tokens - first) / counts[is_first == is_first[i]].sum() for i in range(len(kept))])
    return x, maxima, stands, tokens


def down_errors(h, layer):
    n_experts, moe = int(h["model"].attrs["n_experts"]), layer.attrs["kind"] in ("moe", b"moe")
    off, all, rows, weights, units = np.zeros(len(METHODS)), 0, [], [], {}
    finite = True
    for u, row in enumerate(layer["summary/units"][...]):
        if row[0] == 0:
            continue
        x, maxima, stands, tokens = sampled(layer, u, n_experts, moe)
        if not np.isfinite(maxima).all():
            finite = False
            continue
        o, a = errors(x, float(maxima.max()))
        w = stands / stands.sum()
        kind = ("expert", u) if moe and u < n_experts else ("shared" if moe else "mlp", None)
        units[kind] = relative(o @ w, a @ w), tokens
        off, all = off + tokens * (o @ w), all + tokens * (a @ w)
        rows.append(relative(o, a))
        weights.append(np.maximum(1, np.floor(tokens * w * 2**20)))
    n_rows = sum(len(w) for w in weights)
    if not finite or all == 0:
        return None, None, n_rows, units
    rows, weights = np.concatenate(rows, axis=1), np.concatenate(weights)
    return off, (all, [weighted_median(r, weights) for r in rows]), n_rows, units


def check(results, files):
    block = results["fp4"]
    assert [(m["format"], m["rotation"]) for m in block["methods"]] == METHODS
    found, attention = {}, {}
    units = {}
    places = [(p["layer"], p["site"]) for p in block["places"]]
    assert len(set(places)) == len(places)
    for p in block["places"]:
        layer = f"{p['layer']:03d}"
        what = (p["layer"], p["site"])
        attention[what] = p["attention"]
        if p["site"] == "down":
            if len(files) > 1:
                found[what] = np.array([np.nan if e is None else e for e in p["error"]])
                continue
            off, more, n, of = down_errors(files[0], files[0]["layers"][layer])
            units.update({(p["layer"], *who): v for who, v in of.items()})
        else:
            off, more, n = site_errors(files, layer, p["site"])
        assert p["n_rows"] == n, (what, p["n_rows"], n)
        expected = np.full(len(METHODS), np.nan) if more is None or more[0] == 0 else relative(off, more[0])
        medians = [None] * len(METHODS) if more is None else more[1]
        for m, method in enumerate(METHODS):
            close(p["error"][m], expected[m], (what, method))
            close(p["token_median"][m], medians[m], (what, method, "median"), 5e-3)
        found[what] = np.array([np.nan if e is None else e for e in p["error"]])
    check_summaries(block, places, found, attention)
    check_units(block, units) if len(files) == 1 else None


def check_summaries(block, places, found, attention):
    """What is said of the errors, from the errors in the file."""
    errors = np.array([found[p] for p in places]).reshape(-1, len(METHODS))
    medians = []
    for m in range(len(METHODS)):
        e = errors[:, m]
        known = e[np.isfinite(e)]
        medians.append(np.median(known) if len(known) else np.inf)
        has = block["methods"][m]
        close(has["median"], np.median(known) if len(known) else None, ("median", m), 1e-12)
        close(has["worst"], known.max() if len(known) else None, ("worst", m), 1e-12)
        assert has["n_best"] == sum(x[m] == np.nanmin(x) for x in errors if np.isfinite(x[m])), m
        plain = m // len(ROTATIONS) * len(ROTATIONS)
        assert has["n_worse"] == (None if m == plain else int((errors[:, m] > errors[:, plain]).sum())), m
        order = sorted((i for i in range(len(places)) if np.isfinite(e[i])), key=lambda i: (-e[i], i))[:8]
        ranked = [(r["layer"], r["site"], r["error"]) for r in block["ranking"] if (r["format"], r["rotation"]) == METHODS[m]]
        assert ranked == [(*places[i], e[i]) for i in order], m
    for m in range(len(METHODS)):
        rank = 1 + sum((medians[k], k) < (medians[m], m) for k in range(len(METHODS)))
        assert block["methods"][m]["rank"] == (rank if np.isfinite(medians[m]) else None), m
    kinds = list(dict.fromkeys((attention[p], p[1]) for p in places))
    assert [(k["attention"], k["site"]) for k in block["kinds"]] == kinds
    for k, kind in zip(block["kinds"], kinds):
        of = errors[[i for i, p in enumerate(places) if (attention[p], p[1]) == kind]]
        assert k["n_layers"] == len(of)
        for m in range(len(METHODS)):
            known = of[np.isfinite(of[:, m]), m]
            close(k["median"][m], np.median(known) if len(known) else None, ("kind", kind, m), 1e-12)


def check_units(block, units):
    for m in range(len(METHODS)):
        listed = [u for u in block["units"] if (u["format"], u["rotation"]) == METHODS[m]]
        known = sorted((e[m] for e, _ in units.values() if np.isfinite(e[m])), reverse=True)[:8]
        assert len(listed) == len(known), (m, len(listed), len(known))
        for u, e in zip(listed, known):
            own, tokens = units[u["layer"], u["kind"], u["expert"]]
            close(u["error"], own[m], ("unit", m, u))
            close(u["error"], e, ("unit of that rank", m, u))
            assert u["n_tokens"] == tokens


def plant(path):
    with h5py.File(path, "r+") as h:
        for layer in h["layers"].values():
            for site in ("ln_attn", "ln_mlp"):
                x = np.random.default_rng(1).standard_normal(layer[site].shape).astype(f)
                assert x.shape[2] == 64
                x[:, :, 3], x[:, :, 35] = 256, -384
                layer[site][...] = x
        renew(h)


def known(results):
    block = results["fp4"]
    places = [p for p in block["places"] if p["site"] != "down"]
    for fmt in ("mxfp4 (floor)", "mxfp4 (even)"):
        for p in places:
            none, _, block32, _, everything = (p["error"][METHODS.index((fmt, r))] for r in ROTATIONS)
            assert none < 0.03 and 0.05 < block32 < 0.07 and 0.18 < everything < 0.21, (fmt, p, none, block32, everything)
        m = block["methods"][METHODS.index((fmt, "global"))]
        assert m["n_worse"] >= len(places), m
    print("a rotation of all columns harms MXFP4")


def plant_kinds(path):
    with h5py.File(path, "r+") as h:
        for layer in h["layers"].values():
            full = layer.attrs["attention"] in ("full", b"full")
            x = np.full(layer["ln_attn"].shape, 0.203125 if full else 3, f)
            x[:, :, ::16] = 6
            layer["ln_attn"][...] = x
        renew(h)


def known_kinds(results):
    kinds = {k["attention"]: k for k in results["fp4"]["kinds"] if k["site"] == "ln_attn"}
    d = results["model"]["d_model"]
    large, small = (d + 15) // 16, d - (d + 15) // 16
    lost = np.sqrt(small * 0.203125**2 / (small * 0.203125**2 + large * 36))
    for fmt in FORMATS:
        m = METHODS.index((fmt, "none"))
        close(kinds["linear"]["median"][m], 0.0, fmt)
        if fmt in ("nvfp4", "mxfp4 (floor)"):
            close(kinds["full"]["median"][m], lost, fmt, 1e-6)
        assert kinds["full"]["median"][m] > 0.05, fmt
    print("full attention suffers, and the delta net does not")


if __name__ == "__main__" and sys.argv[1] == "plant-kinds":
    plant_kinds(sys.argv[2])
elif __name__ == "__main__" and sys.argv[1] == "known-kinds":
    with open(sys.argv[2]) as file:
        known_kinds(json.load(file))
elif __name__ == "__main__" and sys.argv[1] == "plant":
    plant(sys.argv[2])
elif __name__ == "__main__" and sys.argv[1] == "known":
    with open(sys.argv[2]) as file:
        known(json.load(file))
elif __name__ == "__main__":
    with open(sys.argv[1]) as file:
        results = json.load(file)
    files = [h5py.File(path) for path in sys.argv[2:]]
    check(results, files)
    print(f"errors of four-bit formats at {len(results['fp4']['places'])} places are as expected")
