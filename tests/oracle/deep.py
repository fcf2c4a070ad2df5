#!/usr/bin/env python3
"""Check the blocks sweep, uncertainty, tokens, positions, position_map, quantisation and
expert_quantisation of a results file against plain loops over the tensors.

    deep.py RESULTS.json RUN.h5 [BLOCK]...

RUN.h5 must hold bf16 tensors of ln_attn and ln_mlp, and summaries. With BLOCKs (sweep,
quantisation, uncertainty, expert_quantisation) only these are checked; the first two need
neither summaries nor bf16."""
import json
import math
import string
import sys

import h5py
import numpy as np

from sampling import draw, weighted_median

LAYERS = [(i + 1) / 20 for i in range(20)]
POSITIONS = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5]


def same(path, found, expected, tolerance=1e-9):
    if isinstance(expected, dict):
        assert set(found) == set(expected), f"{path}: keys {sorted(found)}, expected {sorted(expected)}"
        for key in expected:
            same(f"{path}.{key}", found[key], expected[key], tolerance)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), f"{path}: {len(found)} entries, expected {len(expected)}"
        for i, (a, b) in enumerate(zip(found, expected)):
            same(f"{path}[{i}]", a, b, tolerance)
    elif isinstance(expected, float):
        assert abs(found - expected) <= tolerance * max(1, abs(expected)), f"{path}: {found}, expected {expected}"
    else:
        assert found == expected, f"{path}: {found}, expected {expected}"


class Run:
    def __init__(self, path, results):
        self.results = results
        c = results["criterion"]
        self.threshold, self.min_layers, self.min_positions = c["threshold"], c["min_layers"], c["min_positions"]
        self.batch = c["batch_size"]
        with h5py.File(path) as f:
            self.lengths = [int(n) for n in f["input/lengths"][...]]
            self.ids = f["input/token_ids"][...]
            self.pieces = {}
            if "pieces" in f["input"]:
                self.pieces = {
                    int(i): p.decode() for i, p in zip(f["input/piece_ids"][...], f["input/pieces"][...])
                }
            self.sites = [
                (int(layer), site) for layer in sorted(f["layers"]) for site in ("ln_attn", "ln_mlp")
                if site in f["layers"][layer]
            ]
            self.x = [f["layers"][f"{l:03d}"][site][...].astype(np.float32) for l, site in self.sites]
            self.chosen = {
                int(l): f["layers"][l]["router_ids"][...] for l in f["layers"] if "router_ids" in f["layers"][l]
            }
            self.n_experts = int(f["model"].attrs["n_experts"])
            self.top = {}
            for name, layer in f["layers"].items():
                if "summary" not in layer:
                    continue
                histogram = layer["summary/output/histogram"][...]
                codes = np.arange(32768, dtype=np.uint32)
                counts = histogram[:32768] + histogram[32768:]
                counts[0x7F80:] = 0
                cumulated = np.cumsum(counts)
                n = cumulated[-1]
                at = [np.searchsorted(cumulated, k, side="right") for k in ((n - 1) // 2, n // 2)]
                median = float(np.mean((codes[at] << 16).view(np.float32).astype(float)))
                writes = layer["summary/writes"][...]
                values = writes.reshape(*writes.shape[:2], 4, -1)[..., 0]
                self.top[name] = (median, np.abs(values))
        self.d = self.x[0].shape[2]

    def batches(self):
        n = len(self.lengths)
        return [list(range(i, min(n, i + self.batch))) for i in range(0, n, self.batch)]

    def magnitudes(self, site, s, keep):
        x = np.abs(self.x[site][s, : self.lengths[s]])
        return np.where(np.isnan(x), 0, x)[keep[s]]

    def qualify(self, sequences, keep, threshold, min_layers, min_positions, by_sequence):
        """Features that qualify in these sequences; distinct positions, or (sequence, position)."""
        longest = max(int(keep[s].sum()) for s in sequences)
        total = sum(int(keep[s].sum()) for s in sequences)
        n_sites = np.zeros(self.d, int)
        any_site = [np.zeros((self.lengths[s], self.d), bool) for s in sequences]
        for site in range(len(self.sites)):
            here = np.zeros(self.d, bool)
            for i, s in enumerate(sequences):
                x = np.abs(self.x[site][s, : self.lengths[s]])
                hit = (np.where(np.isnan(x), 0, x) >= threshold) & keep[s][:, None]
                any_site[i] |= hit
                here |= hit.any(axis=0)
            n_sites += here
        if by_sequence:
            positions, of = sum(a.sum(axis=0) for a in any_site), total
        else:
            most = max(a.shape[0] for a in any_site)
            union = np.zeros((most, self.d), bool)
            for a in any_site:
                union[: a.shape[0]] |= a
            positions, of = union.sum(axis=0), longest
        layers, places = n_sites / len(self.sites), positions / max(of, 1)
        good = (layers >= min_layers) & (places >= min_positions) & (of > 0)
        return [(int(f), layers[f], places[f]) for f in np.flatnonzero(good)]

    def counts(self, keep):
        found = [
            self.qualify(b, keep, self.threshold, self.min_layers, self.min_positions, False) for b in self.batches()
        ]
        pooled = self.qualify(
            range(len(self.lengths)), keep, self.threshold, self.min_layers, self.min_positions, True
        )
        return found, pooled


def check_sweep(run):
    everything = [np.ones(n, bool) for n in run.lengths]
    sweep = run.results["sweep"]
    same("thresholds", sweep["thresholds"], list(range(3, 21)))
    same("layer_fractions", sweep["layer_fractions"], LAYERS)
    same("position_fractions", sweep["position_fractions"], POSITIONS)
    for t, threshold in enumerate(sweep["thresholds"]):
        found = [
            run.qualify([s], everything, threshold, 1e-9, 1e-9, False) for s in range(len(run.lengths))
        ]
        for i, l in enumerate(LAYERS):
            for k, p in enumerate(POSITIONS):
                cell = [[f for f, layers, places in one if layers >= l and places >= p] for one in found]
                same(f"pairs[{t}][{i}][{k}]", sweep["pairs"][t][i][k], sum(map(len, cell)))
                same(f"unique[{t}][{i}][{k}]", sweep["unique"][t][i][k], len(set(sum(cell, []))))


def random_numbers(seed):
    mask = (1 << 64) - 1
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        yield z ^ z >> 31


def check_uncertainty(run, resamples=60):
    """The intervals of the first resamples cannot be seen: so all are drawn, cheaply."""
    everything = [np.ones(n, bool) for n in run.lengths]
    found, _ = run.counts(everything)
    batches = run.batches()
    block = run.results["uncertainty"]
    check_margin(run, block["margin"], found)
    often = {}
    for f in {p[0] for one in found for p in one}:
        n = sum(f in {p[0] for p in one} for one in found)
        often[n] = often.get(n, 0) + 1
    same("consistency", block["consistency"], [{"batches": n, "n_features": often[n]} for n in sorted(often)])
    same("pairs.value", block["pairs"]["value"], float(sum(map(len, found))))
    if len(batches) < 2:
        assert block["split_half"] is None and block["resamples"] == 0
        assert all(block[k]["low"] is None for k in ("pairs", "unique", "pooled", "mean_layer_fraction"))
        return
    hit = [
        [(np.abs(np.nan_to_num(x[s, : run.lengths[s]], nan=0)) >= run.threshold) for x in run.x]
        for s in range(len(run.lengths))
    ]
    sites = np.array([[np.any([hit[s][i].any(axis=0) for s in b], axis=0) for i in range(len(run.sites))] for b in batches])
    positions = np.array([sum(np.any(hit[s], axis=0).sum(axis=0) for s in b) for b in batches])
    tokens = np.array([sum(run.lengths[s] for s in b) for b in batches])
    numbers = {key: [] for key in ("pairs", "unique", "pooled", "mean_layer_fraction", "mean_position_fraction")}
    random = random_numbers(block["seed"])

    def count(drawn):
        pairs = [p for b in drawn for p in found[b]]
        numbers["pairs"].append(len(pairs))
        numbers["unique"].append(len({p[0] for p in pairs}))
        pooled = (sites[drawn].any(axis=0).sum(axis=0) / len(run.sites) >= run.min_layers) & (
            positions[drawn].sum(axis=0) / tokens[drawn].sum() >= run.min_positions
        )
        numbers["pooled"].append(int(pooled.sum()))
        numbers["mean_layer_fraction"].append(np.mean([p[1] for p in pairs]) if pairs else math.nan)
        numbers["mean_position_fraction"].append(np.mean([p[2] for p in pairs]) if pairs else math.nan)

    for _ in range(block["resamples"]):
        count([(next(random) >> 32) * len(batches) >> 32 for _ in batches])
    for key, values in numbers.items():
        values = [v for v in values if not math.isnan(v)]
        low, high = np.percentile(values, [2.5, 97.5]) if values and key != "unique" else (None, None)
        same(f"{key}.low", block[key]["low"], low if low is None else float(low))
        same(f"{key}.high", block[key]["high"], high if high is None else float(high))
    a = {p[0] for b in found[0::2] for p in b}
    b = {p[0] for b in found[1::2] for p in b}
    same("split_half", block["split_half"], {
        "unique_a": len(a), "unique_b": len(b), "both": len(a & b),
        "jaccard": len(a & b) / len(a | b) if a | b else None,
    })


def bf16_step(threshold, steps):
    """The number so many codes from the smallest bf16 that reaches the threshold."""
    bits = int(np.array(threshold, np.float32).view(np.uint32))
    if float(np.array(threshold, np.float32)) < threshold:
        bits += 1
    code = (bits + 0xFFFF >> 16) + steps
    return float(np.array(code << 16, np.uint32).view(np.float32))


def check_margin(run, margin, found):
    """Counts at thresholds nearby, one by one; and how many pairs have nothing to spare."""
    everything = [np.ones(n, bool) for n in run.lengths]
    t = run.threshold
    thresholds = {"2 % lower": 0.98 * t, "1 bf16 step lower": bf16_step(t, -1), "1 bf16 step higher": bf16_step(t, 1), "2 % higher": 1.02 * t}
    same("margin.counts", margin["counts"], [
        {"change": change, "threshold": threshold, "pairs": sum(
            len(run.qualify(b, everything, threshold, run.min_layers, run.min_positions, False)) for b in run.batches())}
        for change, threshold in thresholds.items()
    ])
    n = len(run.sites)
    least = min(k for k in range(1, n + 1) if k / n >= run.min_layers)
    tight = 0
    for b, one in zip(run.batches(), found):
        longest = max(run.lengths[s] for s in b)
        tight += sum((round(p[2] * longest) - 1) / longest < run.min_positions for p in one)
    same("margin", {k: margin[k] for k in margin if k != "counts"}, {
        "least_sites": least, "pairs_at_least_positions": tight,
        "pairs_at_least_sites": sum(round(p[1] * n) == least for one in found for p in one),
    })


def check_tokens(run):
    everything = [np.ones(n, bool) for n in run.lengths]
    _, pooled = run.counts(everything)
    features = [p[0] for p in pooled]
    outliers = []
    for s, n in enumerate(run.lengths):
        hit = np.zeros((n, run.d), bool)
        for x in run.x:
            hit |= np.abs(np.nan_to_num(x[s, :n], nan=0)) >= run.threshold
        outliers.append(hit[:, features].sum(axis=1))
    total = int(sum(o.sum() for o in outliers))
    n_all = sum(run.lengths)

    def lift(n, tokens):
        share, base = n / total if total else None, tokens / n_all
        return {"share": share, "base_rate": base, "lift": share / base if total and base else None}

    share = lambda n, tokens: {"n": n, "n_tokens": tokens, **lift(n, tokens)}
    by_id = {}
    for s, n in enumerate(run.lengths):
        for p in range(n):
            entry = by_id.setdefault(int(run.ids[s, p]), [0, 0])
            entry[0] += 1
            entry[1] += int(outliers[s][p])
    ranked = sorted(by_id.items(), key=lambda item: (-item[1][1] / item[1][0], -item[1][1], item[0]))
    ascii_marks = set(string.punctuation + string.whitespace)
    marks = lambda i: run.pieces[i] != "" and all(c in ascii_marks for c in run.pieces[i])
    block = run.results["tokens"]

    def without(skip):
        found, left = run.counts([~m for m in skip])
        return {
            "pairs": sum(map(len, found)),
            "unique": len({p[0] for one in found for p in one}),
            "pooled": len(left),
        }

    first = [np.arange(n) == 0 for n in run.lengths]
    massive = [np.zeros(n, bool) for n in run.lengths]
    for median, values in run.top.values():
        for s, n in enumerate(run.lengths):
            massive[s] |= ((values[s, :n] > 100) & (values[s, :n] >= 1000 * median)).any(axis=1)
    same("tokens", block, {
        "n_tokens": sum(run.lengths),
        "n_positions": int(sum((o > 0).sum() for o in outliers)),
        "n_outliers": total,
        "first_token": share(int(sum(o[0] for o in outliers)), len(run.lengths)),
        "delimiters": share(sum(e[1] for i, e in by_id.items() if marks(i)), sum(e[0] for i, e in by_id.items() if marks(i)))
        if run.pieces else None,
        "min_tokens": 10,
        "pieces": [
            {"token_id": i, "piece": run.pieces.get(i), "n_tokens": n, "n_outliers": o, "per_token": o / n,
             **lift(o, n)}
            for i, (n, o) in ranked if o > 0 and n >= 10
        ][:40],
        "without_first": dict(without(first), n_tokens=len(run.lengths)),
        "without_massive": dict(without(massive), n_tokens=int(sum(m.sum() for m in massive))),
    })
    return outliers


def check_positions(run, outliers):
    longest = max(run.lengths)
    edges = [0] + [2**i for i in range(20) if 2**i < longest]

    def rate(first, end):
        n = sum(max(0, min(end, length) - first) for length in run.lengths)
        return n, (sum(int(o[first:end].sum()) for o in outliers) / n if n else None)

    buckets = [rate(e, 2 * e if e else 1) for e in edges]
    width = -(-longest // 256)
    same("positions", run.results["positions"], {
        "bucket_edges": edges,
        "n_positions": [b[0] for b in buckets],
        "outliers_per_token": [b[1] for b in buckets],
        "bin_width": width,
        "per_position": [rate(i, i + width)[1] for i in range(0, longest, width)],
    })


def check_position_map(run):
    everything = [np.ones(n, bool) for n in run.lengths]
    _, pooled = run.counts(everything)
    longest = max(run.lengths)
    edges = [e for e in [0, 1] + sorted(2**i * k // 2 for i in range(1, 20) for k in (2, 3)) if e < longest]
    ends = edges[1:] + [longest]
    hits = [
        [np.abs(np.nan_to_num(x[s, :n], nan=0)) >= run.threshold for x in run.x] for s, n in enumerate(run.lengths)
    ]
    bucket = lambda rows: [int(sum(r[a:b].sum() for r in rows)) for a, b in zip(edges, ends)]
    largest = {f: max(float(np.abs(np.nan_to_num(x[s, :n, f], nan=0)).max()) for x in run.x
                      for s, n in enumerate(run.lengths)) for f, _, _ in pooled}
    same("position_map", run.results["position_map"], {
        "bucket_edges": edges,
        "n_tokens": bucket([np.ones(n, int) for n in run.lengths]),
        "features": [
            {"feature": f, "n_outliers": bucket([np.any([h[:, f] for h in one], axis=0) for one in hits])}
            for f in sorted(largest, key=lambda f: (-largest[f], f))[:64]
        ],
        "sites": [
            {"layer": l, "site": site, "occurrences": bucket([one[i].sum(axis=1) for one in hits])}
            for i, (l, site) in enumerate(run.sites)
        ],
    })


def grid(values):
    """All numbers of a format, both signs, ascending; and which have an even code."""
    return np.array(sorted({-v for v in values} | set(values)))


E2M1 = grid([0, 0.5, 1, 1.5, 2, 3, 4, 6])
E4M3 = grid([m * 2.0**-9 for m in range(8)] + [
    (8 + m) * 2.0 ** (e - 3) for e in range(-6, 9) for m in range(8) if (e, m) != (8, 7)
])
EVEN = {id(E2M1): set(), id(E4M3): set()}
for table in (E2M1, E4M3):
    positive = [v for v in table if v >= 0]
    EVEN[id(table)] = {v for i, v in enumerate(positive) if i % 2 == 0} | {-v for i, v in enumerate(positive) if i % 2 == 0}


def nearest(x, table):
    x = np.clip(np.asarray(x, np.float32).astype(np.float64), table[0], table[-1])
    high = np.clip(np.searchsorted(table, x), 0, len(table) - 1)
    low = np.maximum(high - 1, 0)
    a, b = table[low], table[high]
    even = np.isin(b, list(EVEN[id(table)]))
    up = (b - x < x - a) | ((b - x == x - a) & even)
    return np.where(up, b, a)


def quantised(method, x, columns):
    """x rounded; columns: the largest magnitude of each column of all rows that share scales."""
    f = np.float32
    most = columns.max()
    if method.startswith("int8"):
        largest = {"int8_tensor": most, "int8_token": np.abs(x).max(axis=1, keepdims=True),
                   "int8_vector": columns[None]}[method]
        scale = (largest / f(127)).astype(f)
        scale = np.where(scale == 0, f(1), scale)
        return np.rint(x / scale).astype(f) * scale
    if method == "fp8_e4m3":
        scale = most / f(448) if most > 0 else f(1)
        return nearest(x / scale, E4M3).astype(f) * scale
    out = np.zeros_like(x)
    width = 16 if method == "nvfp4" else 32
    over = f(448 * 6) / most if most > 0 else f(0)
    for c in range(0, x.shape[1], width):
        block = x[:, c : c + width]
        top = np.abs(block).max(axis=1, keepdims=True).astype(float)
        if method == "nvfp4":
            scale = (nearest(over * (top.astype(f) / f(6)), E4M3).astype(f) / over).astype(f) if over > 0 else np.ones_like(top, f)
            scale = np.where(scale > 0, scale, f(1))
        else:
            exponent = np.floor(np.log2(np.where(top > 0, top, 1)))
            if method == "mxfp4 (even)":
                exponent += top / 2**exponent >= 1.75
            scale = np.where(top > 0, 2.0 ** (exponent - 2), 1).astype(f)
        out[:, c : c + width] = nearest(block / scale, E2M1).astype(f) * scale
    return out


METHODS = ["int8_tensor", "int8_token", "int8_vector", "fp8_e4m3", "mxfp4 (floor)", "mxfp4 (even)", "nvfp4"]


def cost(method, x, columns, weights, norm):
    q = quantised(method, x, columns).astype(float)
    off = ((q - x) ** 2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.sqrt(off / (x.astype(float) ** 2).sum(axis=1))
    return (float(np.sqrt((weights * off).sum()) / norm), weighted_median(each, weights),
            float((weights * ((q == 0) & (x != 0)).mean(axis=1)).sum() / weights.sum()))


def check_quantisation(run):
    block = run.results["quantisation"]
    tokens = [(s, p) for s, n in enumerate(run.lengths) for p in range(n)]
    sample, weights, n_first = draw(tokens, 16, 240)
    assert (block["sample_tokens"], block["sample_first"]) == (len(sample), n_first)
    assert block["methods"] == METHODS and block["int8_divisor"] == 127
    massive = {(s, p) for median, values in run.top.values() for s, n in enumerate(run.lengths) for p in range(n)
               if ((values[s, p] > 100) & (values[s, p] >= 1000 * median)).any()}
    assert block["kept_tokens"] == ("massive" if massive else "worst")
    assert block["k_tokens"] == (len(massive) or math.ceil(len(tokens) / 1000))
    ranked = {m: [] for m in METHODS}
    run.columns = {}
    for site, (entry, name) in enumerate(zip(block["sites"], run.sites)):
        assert (entry["layer"], entry["site"]) == name
        rows = np.stack([run.x[site][t] for t in tokens])
        x = np.stack([run.x[site][t] for t in sample])
        largest = np.abs(rows).max(axis=0)
        run.columns[name] = largest
        kept = massive or {tokens[i] for i in np.argsort(-np.abs(rows).max(axis=1), kind="stable")[: block["k_tokens"]]}
        others = [i for i, t in enumerate(tokens) if t not in kept]
        dims = np.argsort(-largest, kind="stable")[: block["k_dims"]]
        without_dims, without_tokens, left = x.copy(), x.copy(), largest.copy()
        without_dims[:, dims] = left[dims] = 0
        without_tokens[[i for i, t in enumerate(sample) if t in kept]] = 0
        norm = np.sqrt((weights[:, None] * x.astype(float) ** 2).sum())
        variants = {"error": (x, largest), "error_without_dims": (without_dims, left),
                    "error_without_tokens": (without_tokens, np.abs(rows[others]).max(axis=0) if others else largest * 0)}
        for key, (values, columns) in variants.items():
            for m, method in enumerate(METHODS):
                if not norm > 0:
                    assert entry[key][m] is None, (name, key)
                    continue
                error, median, zeroed = cost(method, values, columns, weights, norm)
                same(f"{name}.{key}.{method}", entry[key][m], error, 2e-5)
                if key == "error":
                    ranked[method].append((-entry[key][m], site))
                    same(f"{name}.token_median.{method}", entry["token_median"][m], median, 2e-5)
                    same(f"{name}.zeroed.{method}", entry["zeroed"][m], zeroed, 1e-9)
    same("ranking", block["ranking"], [
        {"layer": run.sites[site][0], "site": run.sites[site][1], "method": method, "error": -error}
        for method in METHODS for error, site in sorted(ranked[method])[:8]
    ])


def down_errors(down, u, kind, n_tokens):
    """What rounding the sampled rows of unit u costs: how many there are, and by method."""
    whose, i = ("shared_", 0) if kind == "shared" else ("", u)
    sample, first = down["sample"][u], down["moments"][u][0]
    kept = sample[:, 1] > 0
    keys, counts = sample[kept, 0], sample[kept, 1]
    odd = (keys & 1) == 1
    x, columns = down[whose + "rows"][i][kept].astype(np.float32), down[whose + "maxima"][i].astype(np.float32)
    of_kind = np.where(odd, first, n_tokens - first)
    sums = np.where(odd, counts[odd].sum(), counts[~odd].sum())
    weights = counts * of_kind / sums
    norm = np.sqrt((weights[:, None] * x.astype(float) ** 2).sum())
    return int(kept.sum()), [cost(m, x, columns, weights, norm)[0] if norm > 0 else None for m in METHODS]


def check_down(run, path):
    """The largest inputs of down projections, from the tables of units and of squares."""
    found = []
    with h5py.File(path) as f:
        for name, layer in sorted(f["layers"].items()):
            if "summary" not in layer:
                continue
            moe = layer.attrs["kind"] in ("moe", b"moe")
            for u, row in enumerate(layer["summary/units"][...]):
                if row[0] == 0:
                    continue
                kind = "mlp" if not moe else "expert" if u < run.n_experts else "shared"
                table = {"mlp": "mlp_down", "expert": "experts_down", "shared": "shared_down"}[kind]
                entry = {"layer": int(name), "kind": kind, "expert": u if kind == "expert" else None, "n_tokens": int(row[0]),
                         "largest": float(abs(row[2])), "column": int(row[3]), "rms": None, "energy_column": None, "energy_share": None}
                if f"summary/squares/{table}" in layer:
                    squares = layer[f"summary/squares/{table}"][u if kind == "expert" else 0]
                    entry.update(rms=float(np.sqrt(squares.sum() / (row[0] * len(squares)))), energy_column=int(squares.argmax()),
                                 energy_share=float(squares.max() / squares.sum()))
                if "down" in layer["summary"]:
                    entry["sampled"], entry["error"] = down_errors(layer["summary/down"], u, kind, row[0])
                found.append(entry)
    median = float(np.median([e["largest"] for e in found]))
    for e in found:
        e["share_of_median"] = e["largest"] / median
    found.sort(key=lambda e: -e["largest"])
    listed = run.results["quantisation"]["down"]
    for i, (has, wants) in enumerate(zip(listed or [], found)):
        if "error" in wants:
            has, errors = listed[i], wants.pop("error")
            for m, method in enumerate(METHODS):
                same(f"down[{i}].error.{method}", has["error"][m], errors[m], 2e-5)
            del has["error"]
    same("down", listed, found[:32] if found else None)


def check_expert_quantisation(run):
    block = run.results["expert_quantisation"]
    if not run.chosen:
        assert block is None
        return
    assert block["n_experts"] == run.n_experts and block["most_tokens"] == 32
    assert block["methods"] == METHODS
    found = {m: [] for m in METHODS}
    same("layers", [entry["layer"] for entry in block["layers"]], sorted(run.chosen))
    for entry in block["layers"]:
        l, x = entry["layer"], run.x[run.sites.index((entry["layer"], "ln_mlp"))]
        for e in range(run.n_experts):
            mine = [
                (s, p) for s, n in enumerate(run.lengths) for p in range(n) for k in run.chosen[l][s, p] if k == e
            ]
            tokens, weights, _ = draw(mine, 4, 28)
            same(f"{l}.{e}.n_tokens", entry["n_tokens"][e], len(tokens))
            if not tokens:
                assert all(errors[e] is None for errors in entry["error"]), (l, e)
                continue
            rows = np.stack([x[t] for t in tokens])
            norm = np.sqrt((weights[:, None] * rows.astype(float) ** 2).sum())
            for method, errors in zip(METHODS, entry["error"]):
                same(f"{l}.{e}.{method}", errors[e], cost(method, rows, run.columns[l, "ln_mlp"], weights, norm)[0], 2e-5)
                found[method].append((-errors[e], l, e, len(tokens)))
    ranking = [
        {"method": m, "layer": l, "expert": e, "n_tokens": n, "error": -error}
        for m in METHODS for error, l, e, n in sorted(found[m])[:16]
    ]
    same("expert_quantisation.ranking", block["ranking"], ranking)


def main():
    run = Run(sys.argv[2], json.load(open(sys.argv[1])))
    if len(sys.argv) > 3:
        for name in sys.argv[3:]:
            {"sweep": check_sweep, "quantisation": check_quantisation, "uncertainty": check_uncertainty,
             "expert_quantisation": check_expert_quantisation}[name](run)
        return
    check_uncertainty(run)
    check_positions(run, check_tokens(run))
    check_position_map(run)
    check_quantisation(run)
    check_down(run, sys.argv[2])
    check_expert_quantisation(run)
    if run.batch == 1:
        check_sweep(run)
    print("sweep, uncertainty, tokens, positions and what quantisation costs are as expected")


main()
