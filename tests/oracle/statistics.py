#!/usr/bin/env python3
"""Check the statistics of ol-analyze that rest on summaries against their definitions.

    statistics.py [--tables] RESULTS.json RUN.h5...

The files' tensors are read where they say the same as the summaries (record all four
sites: the stream after a layer is the next layer's residual_attn); with --tables the
summaries alone, for files whose summaries were changed. Needs h5py and numpy; shares
nothing with ol-analyze but the file formats. Prints what was found, or fails."""
import json
import math
import sys

import h5py
import numpy as np

from sampling import draw, weighted_median

TOLERANCE = 1e-10
LN = ("ln_attn", "ln_mlp")
LEVELS = ((0.5, 2), (0.9, 10), (0.99, 100), (0.999, 1000), (0.9999, 10000), (0.99999, 100000),
          (1, None))


# ---- comparing ----


class Mismatch(Exception):
    pass


def same(path, found, expected):
    if isinstance(expected, dict):
        if not isinstance(found, dict) or set(found) != set(expected):
            raise Mismatch(f"{path}: {found}, expected the members {sorted(expected)}")
        for key in expected:
            same(f"{path}.{key}", found[key], expected[key])
    elif isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            raise Mismatch(f"{path}: {found}, expected {expected}")
        for i, (a, b) in enumerate(zip(found, expected)):
            same(f"{path}[{i}]", a, b)
    elif isinstance(expected, float) and isinstance(found, (int, float)):
        if not abs(found - expected) <= TOLERANCE * max(1, abs(expected)):
            raise Mismatch(f"{path}: {found}, expected {expected}")
    elif found != expected or isinstance(found, bool) != isinstance(expected, bool):
        raise Mismatch(f"{path}: {found}, expected {expected}")


def number(x):
    return float(x) if x is not None and math.isfinite(x) else None


def mean(values):
    values = [float(v) for v in values if math.isfinite(v)]
    return math.fsum(values) / len(values) if values else None


# ---- reading ----


def to_bf16(x):
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32)
    return np.where(np.isnan(x), np.float32(np.nan), rounded.view(np.float32))


def widen(codes):
    return (np.asarray(codes).astype(np.uint32) << 16).view(np.float32)


class Layer:
    """All sequences of all files, one row per token."""


class Run:
    def __init__(self, paths, tables):
        files = [h5py.File(p) for p in paths]
        self.files, self.tables = files, tables
        model = files[0]["model"].attrs
        self.n_layers, self.n_experts = int(model["n_layers"]), int(model["n_experts"])
        self.d = int(model["d_model"])
        self.summaries = "summary" in files[0]
        self.places, self.ids, self.pieces = [], [], {}
        self.spans = []  # file, number in the file, length
        for f in files:
            for s, n in enumerate(f["input/lengths"][...]):
                for p in range(n):
                    self.places.append((len(self.spans), p))
                self.ids += f["input/token_ids"][s, :n].tolist()
                self.spans.append((f, s, int(n)))
            if "input/pieces" in f:
                self.pieces.update(zip(f["input/piece_ids"][...].tolist(),
                                       (t.decode() for t in f["input/pieces"][...])))
        self.starts = np.cumsum([0] + [n for _, _, n in self.spans]).tolist()
        self.layers = []
        if self.summaries:
            for name in sorted(files[0]["layers"]):
                self.layers.append(self.read_layer(name, tables))

    def rows(self, name):
        return np.concatenate([f[name][s, :n].reshape(n, -1) for f, s, n in self.spans])

    def has(self, name):
        return name in self.files[0]

    def first_of(self, number):
        """Which sites of a layer look at the stream before it: a layer may be an MLP alone."""
        path = f"layers/{number:03d}"
        return "mlp" if self.has(path) and self.files[0][path].attrs["attention"] in ("none", b"none") else "attn"

    def sum(self, name):
        return sum(f[name][...] for f in self.files)

    def read_layer(self, name, tables):
        layer, path = Layer(), f"layers/{name}"
        layer.number = int(name)
        layer.moe = self.files[0][path].attrs["kind"] in ("moe", b"moe")
        after = f"layers/{int(name) + 1:03d}/residual_{self.first_of(int(name) + 1)}"
        layer.values = {}
        layer.ln = {}
        # As stored, for what is asked about every occurrence.
        layer.tensors = {site: self.rows(f"{path}/{site}").astype(np.float64) for site in LN if self.has(f"{path}/{site}")}
        layer.columns = {site: [f[f"{path}/summary/{site}/columns"][...] for f in self.files]
                         for site in LN + ("output",) if self.has(f"{path}/summary/{site}")}
        for site in LN + ("output",):
            if not self.has(f"{path}/summary/{site}"):
                continue
            tensor = after if site == "output" else f"{path}/{site}"
            if not tables and self.has(tensor):
                values = to_bf16(self.rows(tensor).astype(np.float32))
                layer.values[site] = values.ravel()
                if site != "output":
                    layer.ln[site] = values
            else:
                histogram = self.sum(f"{path}/summary/{site}/histogram")
                layer.values[site] = np.repeat(widen(np.arange(65536)), histogram)
        self.read_writes(layer, path, None if tables or not self.has(after) else after)
        # A layer may have no MLP, and so no unit.
        layer.units = [f[f"{path}/summary/units"][...] if self.has(f"{path}/summary/units") else np.zeros((0, 10)) for f in self.files]
        return layer

    def read_writes(self, layer, path, after):
        n = len(self.places)
        layer.top = self.rows(f"{path}/summary/top_features").astype(int)
        writes = self.rows(f"{path}/summary/writes").reshape(n, 4, -1).astype(np.float64)
        layer.top_values, layer.attention, layer.parts = writes[..., 0], writes[..., 1], writes[..., 2:]
        if after is not None:
            x = self.rows(after).astype(np.float32)
            layer.top = np.argsort(-np.abs(x), axis=1, kind="stable")[:, :4]
            layer.top_values = np.take_along_axis(x, layer.top, axis=1).astype(np.float64)
        n_parts = layer.parts.shape[2]
        layer.writers = [[("mlp", None)] * n_parts for _ in range(n)]
        if layer.moe:
            ids = self.rows(f"{path}/router_ids")
            for row, chosen in zip(layer.writers, ids):
                row[: len(chosen)] = [("expert", int(e)) for e in chosen]
                row[len(chosen):] = [("shared", None)] * (n_parts - len(chosen))

    def token(self, token_id):
        return {"token_id": token_id, "piece": self.pieces.get(token_id)}

    def place(self, row):
        if row is None:
            return {"sequence": None, "position": None, **self.token(None)}
        s, p = self.places[row]
        return {"sequence": s, "position": p, **self.token(self.ids[row])}


# ---- distributions ----


def moments(x):
    if len(x) == 0:
        return None, None, None
    x = x.astype(np.float64)
    average = math.fsum(x) / len(x)
    second = math.fsum((x - average) ** 2) / len(x)
    fourth = math.fsum((x - average) ** 4) / len(x)
    return average, math.sqrt(second), fourth / second**2 if second > 0 else None


def token_kurtosis(run, layer, site):
    """The median over drawn tokens; of the stream by the next layer's input."""
    name, gains = f"layers/{layer.number:03d}/{site}", None
    if site == "output":
        after = f"layers/{layer.number + 1:03d}"
        first = run.first_of(layer.number + 1)
        name = f"{after}/residual_{first}"
        if not run.has(name) and run.has(f"{after}/ln_{first}") and run.has(f"{after}/summary/ln_{first}"):
            name, gains = f"{after}/ln_{first}", run.files[0][f"{after}/summary/ln_{first}/columns"][4]
            if not np.isfinite(gains).all() or (gains == 0).any():
                return None
    if not run.has(name) or not any(run.has(f"layers/{l.number:03d}/{s}") for l in run.layers for s in LN):
        return None  # without tensors of the ln sites a run is known from summaries alone
    tokens, weights, _ = draw(run.places, 64, 4032)
    rows = dict(zip(run.places, run.rows(name).astype(np.float64)))
    values = []
    for t in tokens:
        x = rows[t] / gains if gains is not None else rows[t]
        off = x - x.mean()
        with np.errstate(invalid="ignore", divide="ignore"):
            values.append((off**4).mean() / (off**2).mean() ** 2)
    values = np.array(values)
    return weighted_median(np.where(np.isfinite(values), values, np.nan), weights)


def distribution(run, layer, site):
    x = layer.values[site]
    finite = x[np.isfinite(x)]
    order = np.sort(np.abs(finite))
    n = len(order)
    average, deviation, kurtosis = moments(finite)
    logs = [0] * 40
    for v, count in zip(*np.unique(order[order > 0], return_counts=True)):
        e = math.frexp(v)[1] - 1
        logs[min(max(e + 24, 0), 39)] += int(count)
    return {
        "layer": layer.number, "site": site, "n": len(x), "n_nan": int(np.isnan(x).sum()),
        "n_inf": int(np.isinf(x).sum()), "n_zero": int((x == 0).sum()), "mean": average,
        "std": deviation, "kurtosis": kurtosis, "kurtosis_token_median": token_kurtosis(run, layer, site),
        "magnitudes": [float(order[n - (n // parts if parts else 0) - 1]) if n else None
                       for _, parts in LEVELS],
        "log2_counts": logs}


def distributions(run):
    sites = [distribution(run, layer, site) for layer in run.layers for site in layer.values]
    known = any(s["kurtosis_token_median"] is not None for s in sites)
    return {"quantile_levels": [float(p) for p, _ in LEVELS], "first_exponent": -24, "sites": sites,
            "kurtosis_tokens": len(draw(run.places, 64, 4032)[0]) if known else None}


# ---- massive ----


def massive_values(run):
    """(layer, row, feature, magnitude, ratio) of each, and the same of near misses, and each layer's median."""
    found, near, medians = [], [], []
    for layer in run.layers:
        x = np.abs(layer.values["output"].astype(np.float64))
        x = x[np.isfinite(x)]
        medians.append(float(np.median(x)) if len(x) else None)
        if medians[-1] is None:
            continue
        for row, k in np.argwhere(np.abs(layer.top_values) > 100):
            v, f = abs(float(layer.top_values[row, k])), int(layer.top[row, k])
            if f >= run.d or v < 500 * medians[-1]:
                continue
            ratio = v / medians[-1] if medians[-1] else math.inf
            (found if v >= 1000 * medians[-1] else near).append((layer.number, int(row), f, v, ratio))
    return found, near, medians


def exact_maxima(run, feature):
    """After each layer, over all tokens: exact where a token has it among its largest, else of bf16."""
    out = []
    for layer in run.layers:
        top = np.abs(layer.top_values[layer.top == feature])
        top = top[~np.isnan(top)]
        exact = float(top.max()) if len(top) else None
        ends = [(c[0, feature], -c[1, feature]) for c in layer.columns["output"] if c[0, feature] >= c[1, feature]]
        rounded = max((max(e) for e in ends), default=None)
        if exact is not None and (rounded is None or rounded <= to_bf16(np.float32(exact))):
            out.append(exact)
        else:
            out.append(rounded)
    return out


def largest(values):
    known = [v for v in values if v is not None]
    return max(known) if known else None


def massive_layer(run, layer, median, found):
    v = np.where(layer.top < run.d, np.abs(layer.top_values), np.nan)
    here = [m for m in found if m[0] == layer.number]
    by_sequence = [sorted(x[np.isfinite(x)].tolist(), reverse=True)
                   for a, b in zip(run.starts, run.starts[1:]) for x in [v[a:b]]]
    entry = {"layer": layer.number, "median_magnitude": median, "max_magnitude": None,
             "feature": None, **run.place(None), "n_values": len(here),
             "n_tokens": len({m[1] for m in here}), "mean_top": [mean(v[:, i]) for i in range(4)],
             "mean_top_published": [mean([x[i] for x in by_sequence if len(x) > i]) for i in range(4)]}
    if not np.isnan(v).all():
        row, k = np.unravel_index(np.nanargmax(v), v.shape)
        entry.update(max_magnitude=number(v[row, k]), feature=int(layer.top[row, k]),
                     **run.place(int(row)))
    return entry


def at_first(run, rows):
    return sum(run.places[row][1] == 0 for row in rows)


def values_of(run, f, found):
    """What massive dimensions and near misses have in common."""
    mine = [m for m in found if m[2] == f]
    layers, rows, most = sorted({m[0] for m in mine}), {m[1] for m in mine}, max(m[3] for m in mine)
    return rows, {
        "feature": f, "max_magnitude": most, "max_layer": min(m[0] for m in mine if m[3] == most),
        "max_ratio": number(max(m[4] for m in mine)), "n_values": len(mine), "n_tokens": len(rows),
        "at_first_token": at_first(run, rows), "n_layers": len(layers), "first_layer": layers[0], "last_layer": layers[-1]}


def life(run, f, rows, found, medians):
    out = []
    for layer, median, most in zip(run.layers, medians, exact_maxima(run, f)):
        above = sum(bool((np.abs(layer.top_values[row][layer.top[row] == f]) > 100).any()) for row in rows)
        # Not among the largest, which all are above; where no token's is above, this one's is not.
        unknown = sum(f not in layer.top[row] and bool((np.abs(layer.top_values[row]) > 100).all() and (layer.top[row] < run.d).all())
                      for row in rows) if most is not None and most > 100 else 0
        ratio = None if most is None or not median else number(most / median)
        out.append({"layer": layer.number, "max_magnitude": None if most is None else number(most), "ratio": ratio,
                    "n_massive": sum(m[0] == layer.number and m[2] == f for m in found), "n_above": above,
                    "n_unknown": unknown})
    return out


def in_order(features):
    features.sort(key=lambda f: (-f["max_magnitude"], f["feature"]))
    for f in features:
        f["max_magnitude"] = number(f["max_magnitude"])
    return features


def massive_features(run, found, medians):
    features = []
    for f in {m[2] for m in found}:
        rows, entry = values_of(run, f, found)
        maxima = exact_maxima(run, f)
        most = largest(maxima)
        if most is not None and most >= entry["max_magnitude"]:
            entry.update(max_magnitude=most, max_layer=run.layers[maxima.index(most)].number)
        layers = life(run, f, rows, found, medians)
        entry["above_until"] = max((l["layer"] for l in layers if l["n_above"]), default=None)
        entry["above_until_at_most"] = max((l["layer"] for l in layers if l["n_above"] + l["n_unknown"]), default=None)
        features.append({**entry, "layers": layers})
    return in_order(features)


def counted(run, rows, most):
    ids = [run.ids[row] for row in rows]
    order = sorted(((i, ids.count(i)) for i in set(ids)), key=lambda t: (-t[1], t[0]))
    return [{**run.token(i), "n_tokens": n} for i, n in order[:most]]


def near_features(run, near):
    features = []
    for f in {m[2] for m in near}:
        rows, entry = values_of(run, f, near)
        features.append({**entry, "tokens": counted(run, rows, 8)})
    return in_order(features)


def massive_tokens(run, found):
    rows = {m[1] for m in found}
    out = []
    for i in {run.ids[row] for row in rows}:
        every = [row for row, j in enumerate(run.ids) if j == i]
        mine = [row for row in every if row in rows]
        out.append({**run.token(i), "at_first": at_first(run, mine), "elsewhere": len(mine) - at_first(run, mine),
                    "text_at_first": at_first(run, every), "text_elsewhere": len(every) - at_first(run, every)})
    out.sort(key=lambda t: (-t["at_first"] - t["elsewhere"], t["token_id"]))
    return out[:20]


def massive(run):
    found, near, medians = massive_values(run)
    layers = sorted(m[0] for m in found) or [None]
    return {
        "criterion": {"min_magnitude": 100.0, "min_ratio": 1000.0, "near_ratio": 500.0},
        "layers": [massive_layer(run, l, m, found) for l, m in zip(run.layers, medians)],
        "features": massive_features(run, found, medians), "near": near_features(run, near),
        "tokens": massive_tokens(run, found), "onset_layer": layers[0], "offset_layer": layers[-1]}


# ---- super experts ----


def beyond(a, b):
    """NaN is larger than any."""
    return abs(a) > abs(b) or (math.isnan(a) and not math.isnan(b))


def units(run):
    """One entry per unit, over all files."""
    found = []
    for layer in run.layers:
        for u in range(len(layer.units[0])):
            kind = "mlp" if not layer.moe else "expert" if u < run.n_experts else "shared"
            unit = {"layer": layer.number, "kind": kind, "expert": u if kind == "expert" else None,
                    "n_tokens": 0, "gate_sum": 0.0, "input": None, "output": None, "place": None,
                    "feature": None, "input_column": None}
            first = 0
            for f, table in zip(run.files, layer.units):
                row = table[u]
                if row[0] > 0:
                    unit["n_tokens"] += int(row[0])
                    unit["gate_sum"] += row[1]
                    if unit["input"] is None or beyond(row[2], unit["input"]):
                        unit.update(input=row[2], input_column=int(row[3]))
                    if unit["output"] is None or beyond(row[6], unit["output"]):
                        unit.update(output=row[6], feature=int(row[7]),
                                    place=(first + int(row[8]), int(row[9])))
                first += len(f["input/lengths"])
            found.append(unit)
    return found


def gate_mean(unit):
    return unit["gate_sum"] / unit["n_tokens"] if unit["n_tokens"] else None


def named(unit, *keys):
    return {k: number(unit[k]) if k in ("input", "output") else unit[k] for k in keys}


def super_list(run, everything):
    with np.errstate(invalid="ignore"):
        routed = [abs(u["output"]) for u in everything
                  if u["kind"] == "expert" and u["n_tokens"] and math.isfinite(u["output"])]
        if not routed:
            return None, None, []
        limit = max(float(np.percentile(routed, 99.5)), max(routed) / 10)
    found = [u for u in everything
             if u["kind"] in ("expert", "shared") and u["n_tokens"] and abs(u["output"]) > limit
             and u["layer"] < 0.75 * run.n_layers]
    found.sort(key=lambda u: -abs(u["output"]))
    return limit, max(routed), found


def noise(run, everything):
    """Chance alone: those above the percentile are anywhere among the routed experts."""
    routed = [u for u in everything if u["kind"] == "expert" and u["n_tokens"] and math.isfinite(u["output"])]
    n = len(routed)
    early = sum(u["layer"] < 0.75 * run.n_layers for u in routed)
    if n == 0:
        return {"n_experts": 0, "n_above": 0, "expected": None, "probability": None, "meaningful": False}, None
    above = n - 1 - math.floor(0.995 * (n - 1))
    return {"n_experts": n, "n_above": above, "expected": above * early / n,
            "probability": 1 - math.comb(n - early, above) / math.comb(n, above),
            "meaningful": above > 1}, float(np.median([abs(u["output"]) for u in routed]))


def z_scores(everything):
    """By place in the list; NaN where there is no logarithm."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.array([math.log(abs(u["output"])) if u["n_tokens"] and math.isfinite(u["output"]) and u["output"]
                         else math.nan for u in everything])
        median = np.nanmedian(logs)
        return 0.6745 * (logs - median) / np.nanmedian(np.abs(logs - median))


def robust(everything, typical):
    used = [u for u in everything if u["n_tokens"] and math.isfinite(u["output"]) and u["output"] != 0]
    logs = np.log([abs(u["output"]) for u in used])
    if not used:
        return {"min_z": 10.0, "median": None, "mad": None, "experts": []}
    median = np.median(logs)
    mad = np.median(np.abs(logs - median))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = 0.6745 * (logs - median) / mad
    found = [(u, s) for u, s in zip(used, z) if 10 <= s < math.inf]
    found.sort(key=lambda p: -abs(p[0]["output"]))
    return {"min_z": 10.0, "median": float(median), "mad": float(mad),
            "experts": [{**named(u, "layer", "kind", "expert", "output"), "z": float(s),
                         "share_of_median": number(abs(u["output"]) / typical) if typical else None}
                        for u, s in found]}


def super_experts(run):
    everything = units(run)
    if not any(u["kind"] == "expert" for u in everything):
        return None
    limit, largest, found = super_list(run, everything)
    by_chance, typical = noise(run, everything)
    scores = z_scores(everything) if found else None
    experts = []
    for u in found:
        row = run.places.index(u["place"])
        experts.append({
            **named(u, "layer", "kind", "expert", "output", "feature", "input", "input_column", "n_tokens"),
            **run.place(row), "gate_mean": gate_mean(u), "share_of_max": number(abs(u["output"]) / largest),
            "share_of_median": number(abs(u["output"]) / typical),
            "z": number(scores[[v is u for v in everything].index(True)])})
    return {
        "criterion": {"percentile": 99.5, "min_share": 0.1, "first_layers": 0.75},
        "limit": limit, "max_output": largest, "experts": experts, "robust": robust(everything, typical),
        "noise": by_chance, "median_output": typical,
        "layers": [{"layer": layer.number,
                    "units": [{**named(u, "kind", "expert", "n_tokens", "input", "output"),
                               "gate_mean": gate_mean(u)}
                              for u in everything if u["layer"] == layer.number]}
                   for layer in run.layers if any(u["layer"] == layer.number for u in everything)]}


def check_load(run):
    """The units' tokens are what the router tables say."""
    for layer in run.layers:
        seen = [w for row in layer.writers for w in row]
        for u in (u for u in units(run) if u["layer"] == layer.number):
            assert u["n_tokens"] == seen.count((u["kind"], u["expert"])), (layer.number, u)


# ---- attribution ----
# Moments of a pass: 2 l is before layer l's attention has written, 2 l + 1 between it and the MLP.


def writer_order(writer):
    l, kind, expert = writer
    return l, ("attention", "expert", "shared", "mlp").index(kind), expert or 0


def follows(run, l):
    return run.layers[l].number == (run.layers[l - 1].number + 1 if l else 0)


def value_at(run, at, row, moment):
    """Of the stream at a moment: what the layer before left, else what the layer says it found; NaN: not known."""
    l, mlp = divmod(moment, 2)
    x = lambda i: float(run.layers[i].top_values[row, at[i]])
    value = math.nan
    if l > 0 and (l == len(run.layers) or follows(run, l)) and at[l - 1] is not None:
        value = x(l - 1)
    if l == len(run.layers):
        return value
    if mlp and math.isfinite(value):
        value = value + float(run.layers[l].attention[row, at[l]]) if at[l] is not None else math.nan
    if math.isfinite(value) or at[l] is None:
        return value if math.isfinite(value) else math.nan
    value = x(l) - float(run.layers[l].parts[row, at[l]].sum())
    return value if mlp else value - float(run.layers[l].attention[row, at[l]])


def largest_peak(run, at, row, good):
    """(moment, value) of the largest finite good value after a layer; NaN when none is finite; [] when none is good."""
    here = [(abs(float(run.layers[l].top_values[row, k])), l) for l, k in enumerate(at) if k is not None]
    here = [(v, l) for v, l in here if not math.isnan(v) and good(l, v)]
    finite = [(v, -l) for v, l in here if math.isfinite(v)]
    if finite:
        l = -max(finite)[1]
        return [(2 * l + 2, float(run.layers[l].top_values[row, at[l]]))]
    return [(0, math.nan)] if here else []


def peaks_of(run, outliers, event, f, row, at, medians):
    if event == "massive":
        return largest_peak(run, at, row, lambda l, v: v > 100 and medians[l] is not None and v >= 1000 * medians[l])
    if event == "all":
        return largest_peak(run, at, row, lambda l, v: True)
    return [(m, value_at(run, at, row, m)) for m in outliers.moments(run, f, row)]


def sign(x):
    return -1 if x < 0 else 1


def ask(run, outliers, f, event, medians):
    """Everything that is said of a dimension's event, but for what is listed."""
    ats = []
    for layer in run.layers:
        at = [None] * len(run.places)
        for row, k in np.argwhere(layer.top == f):
            at[row] = int(k)
        ats.append(at)
    q = {"rows": [], "values": [], "unknown": 0, "peaks": {}, "onsets": {}, "embedding": [], "before": {}, "after": {},
         "attention": [[] for _ in run.layers], "mlp": [[] for _ in run.layers]}
    for row in range(len(run.places)):
        at = [a[row] for a in ats]
        every = peaks_of(run, outliers, event, f, row, at, medians)
        peaks = [p for p in every if math.isfinite(p[1])]
        if not every:
            continue
        q["rows"].append(row)
        q["unknown"] += len(every) - len(peaks)
        if peaks:
            take_token(run, q, event, row, at, peaks)
    return q


def take_token(run, q, event, row, at, peaks):
    q["values"] += [v for _, v in peaks]
    for l in {m // 2 - (event != "outlier") for m, _ in peaks}:
        q["peaks"][l] = q["peaks"].get(l, 0) + 1
    embedding = value_at(run, at, row, 0) if run.layers[0].number == 0 else math.nan
    if math.isfinite(embedding):
        q["embedding"] += [sign(v) * embedding for _, v in peaks]
    last, best = peaks[-1], (0, None)
    for l, k in enumerate(at):
        if k is None:
            continue
        layer = run.layers[l]
        writes = [(2 * l, ("attention", None), float(layer.attention[row, k]))]
        writes += [(2 * l + 1, w, float(x)) for w, x in zip(layer.writers[row], layer.parts[row, k])]
        for moment, writer, x in writes:
            if not math.isfinite(x):
                continue
            for when, sides in (("before", [v for m, v in peaks if m > moment]), ("after", [v for m, v in peaks if m <= moment])):
                weight = sum(map(sign, sides))
                if weight:
                    q[when].setdefault((l, *writer), []).append(weight * x)
            if moment < last[0] and sign(last[1]) * x > best[0]:
                best = sign(last[1]) * x, l
        mlp = float(layer.parts[row, k].sum())
        q["attention"][l] += [sign(last[1]) * writes[0][2]]
        q["mlp"][l] += [sign(last[1]) * mlp]
    if best[1] is not None:
        q["onsets"][best[1]] = q["onsets"].get(best[1], 0) + 1


def listed(run, writes, magnitude, good):
    sums = {w: math.fsum(v) for w, v in writes.items()}
    return [{"layer": run.layers[w[0]].number, "kind": w[1], "expert": w[2], "n_tokens": len(writes[w]), "sum": sums[w],
             "share": sums[w] / magnitude if magnitude else None}
            for w in sorted(sums, key=lambda w: (-abs(sums[w]), writer_order(w))) if good(sums[w])]


def others(writers, magnitude):
    rest = math.fsum(w["sum"] for w in writers[16:])
    return {"n_writers": len(writers[16:]), "sum": rest, "share": rest / magnitude if magnitude else None}


def answer(run, outliers, f, event, medians):
    q = ask(run, outliers, f, event, medians)
    magnitude, embedding = math.fsum(map(abs, q["values"])), math.fsum(q["embedding"])
    made = listed(run, q["before"], magnitude, lambda x: x > 0)
    against = listed(run, q["before"], magnitude, lambda x: x < 0)
    erased = listed(run, q["after"], magnitude, lambda x: x < 0)
    positive = sum(v >= 0 for v in q["values"])
    layers = lambda counts: [{"layer": run.layers[l].number, "n_tokens": counts[l]} for l in sorted(counts)]
    most = largest(exact_maxima(run, f))
    known = math.fsum(w["sum"] for w in made + against)
    entry = {
        "feature": f, "event": event, "max_magnitude": None if most is None else number(most), "n_tokens": len(q["rows"]),
        "at_first_token": at_first(run, q["rows"]), "n_values": len(q["values"]), "n_unknown_values": q["unknown"],
        "sign": None if not q["values"] else "+" if positive == len(q["values"]) else "both" if positive else "-",
        "magnitude": magnitude, "peak_layers": layers(q["peaks"]), "onset_layers": layers(q["onsets"]),
        "made_by": made[:16], "counteracted_by": against[:16], "erased_by": erased[:16],
        "others": {"made_by": others(made, magnitude), "counteracted_by": others(against, magnitude),
                   "erased_by": others(erased, magnitude)},
        "embedding": embedding, "unknown": magnitude - embedding - known, "tokens": counted(run, q["rows"], 8)}
    return entry, [{"feature": f, "event": event, "layer": layer.number, "attention": mean(a), "mlp": mean(m)}
                   for layer, a, m in zip(run.layers, q["attention"], q["mlp"])]


def questions(run, outliers, features):
    """(dimension, event), as the man page has them."""
    last = run.layers[len(run.layers) - math.ceil(len(run.layers) / 4):]
    firsts = np.concatenate([layer.top[:, 0] for layer in last]).tolist()
    tops = set(np.concatenate([layer.top.ravel() for layer in run.layers]).tolist())
    some = [f["feature"] for f in features][:32]
    out = outliers.features[:48] if outliers.known else []
    others = sorted((f for f in set(firsts) if f < run.d), key=lambda f: (-firsts.count(f), f))
    every = [f for f in dict.fromkeys(some + out + others) if f in tops][:64]
    return [(f, "massive") for f in some] + [(f, "outlier") for f in out] + [(f, "all") for f in every]


def attribution(run, outliers):
    found, _, medians = massive_values(run)
    asked = questions(run, outliers, massive_features(run, found, medians))
    answers = {q: answer(run, outliers, *q, medians) for q in asked}
    most = lambda f: -1 if largest(exact_maxima(run, f)) is None else largest(exact_maxima(run, f))
    order = sorted(asked, key=lambda q: (("massive", "outlier", "all").index(q[1]), -most(q[0]), q[0]))
    for q in order:
        check_whole(answers[q][0])
    return {"features": [answers[q][0] for q in order], "layers": sum((answers[q][1] for q in order[:8]), [])}


def check_whole(entry):
    """Up to the peak, shares and what is not recorded are 100 %."""
    if not entry["magnitude"]:
        return
    parts = [w["share"] for key in ("made_by", "counteracted_by") for w in entry[key] + [entry["others"][key]]]
    whole = math.fsum(parts) + (entry["embedding"] + entry["unknown"]) / entry["magnitude"]
    assert abs(whole - 1) < 1e-9, whole


# ---- outlier features, from the tensors or, with --tables, from the summaries ----


class Outliers:
    def __init__(self, run, criterion):
        self.sites = [(layer, site) for layer in run.layers for site in LN if site in layer.values]
        self.known = bool(self.sites) and all(
            f["summary"].attrs["threshold"] == criterion["threshold"] for f in run.files)
        if not self.known:
            return
        self.counts = np.zeros((len(self.sites), run.d), dtype=int)
        self.max = np.zeros(run.d)
        if all(site in layer.ln for layer, site in self.sites):
            self.from_tensors(run, criterion["threshold"])
        else:
            self.from_tables(run)
        self.threshold = criterion["threshold"]
        self.bits = [np.unpackbits(f["summary/positions"][...], axis=2, bitorder="little") for f in run.files]
        self.layer_fraction = (self.counts > 0).mean(axis=0)
        self.position_fraction = self.positions / len(run.places)
        self.features = self.select(criterion["min_layers"], criterion["min_positions"])

    def from_tensors(self, run, threshold):
        anywhere = np.zeros((len(run.places), run.d), dtype=bool)
        for i, (layer, site) in enumerate(self.sites):
            with np.errstate(invalid="ignore"):
                hit = np.abs(layer.ln[site].astype(np.float64)) >= threshold
            self.counts[i] = hit.sum(axis=0)
            anywhere |= hit
            self.max = np.maximum(self.max, np.where(hit, np.abs(layer.ln[site]), 0).max(axis=0))
        self.positions = anywhere.sum(axis=0)

    def from_tables(self, run):
        for i, (layer, site) in enumerate(self.sites):
            for f in run.files:
                group = f[f"layers/{layer.number:03d}/summary/{site}"]
                self.counts[i] += group["counts"][...].sum(axis=0)
                self.max = np.maximum(self.max, group["maxima"][...].max(axis=0))
        self.positions = sum(np.unpackbits(f["summary/positions"][...], axis=2).sum(axis=(0, 2)).astype(int)
                             for f in run.files)

    def has_bit(self, run, f, row):
        sequence, position = run.places[row]
        file, number, _ = run.spans[sequence]
        return bool(self.bits[run.files.index(file)][number, f, position])

    def moments(self, run, f, row):
        """Before which sites the token has an occurrence: each by itself from tensors; else, by the bitmap,
        before the one that has most."""
        moment = lambda layer, site: 2 * run.layers.index(layer) + LN.index(site)
        tensors = [(layer, site) for layer in run.layers for site in LN if site in layer.tensors]
        if tensors:
            return [moment(*t) for t in tensors if abs(t[0].tensors[t[1]][row, f]) >= self.threshold]
        most = max(range(len(self.sites)), key=lambda i: (self.counts[i, f], -i))
        return [moment(*self.sites[most])] if self.has_bit(run, f, row) else []

    def select(self, min_layers, min_positions):
        found = [f for f in range(len(self.max)) if self.layer_fraction[f] >= min_layers
                 and self.position_fraction[f] >= min_positions]
        return sorted(found, key=lambda f: (-self.max[f], f))


def columns(run, layer, site, f):
    """Sum and sum of squares over all tokens, of bf16 values, and the gain."""
    tables = layer.columns[site]
    gain = float(tables[0][4, f])
    if site in layer.ln or (site == "output" and len(layer.values["output"]) == len(run.places) * run.d and not run.tables):
        x = layer.ln[site] if site in layer.ln else layer.values["output"].reshape(-1, run.d)
        x = x[:, f].astype(np.float64)
        return math.fsum(x), math.fsum(x * x), gain
    return sum(float(t[2, f]) for t in tables), sum(float(t[3, f]) for t in tables), gain


def onset_at(run, outliers, i, f):
    layer, site = outliers.sites[i]
    n, at = len(run.places), run.layers.index(layer)
    _, squares, gain = columns(run, layer, site, f)
    entry = {"layer": layer.number, "site": site, "share": int(outliers.counts[i, f]) / n, "gain": number(gain),
             "normed_rms": number(math.sqrt(squares / n)), "stream_mean": None, "stream_rms": None}
    if site == "ln_" + run.first_of(layer.number) and at > 0 and run.layers[at - 1].number == layer.number - 1:
        total, squares, _ = columns(run, run.layers[at - 1], "output", f)
        entry.update(stream_mean=number(total / n), stream_rms=number(math.sqrt(squares / n)))
    return entry


def cause(sites, first):
    before = [s for s in sites[:first] if s["site"] == sites[first]["site"] and s["normed_rms"] is not None
              and 2 * s["normed_rms"] <= (sites[first]["normed_rms"] or 0)]
    if not before:
        return None
    with np.errstate(all="ignore"):
        normed = np.float64(sites[first]["normed_rms"]) / before[-1]["normed_rms"]
        gain = abs(np.float64(sites[first]["gain"]) / before[-1]["gain"])
        stream = normed / gain
    known = math.isfinite(gain) and math.isfinite(stream)
    return {"since_layer": before[-1]["layer"], "normed_growth": number(normed), "gain_growth": number(gain), "stream_growth": number(stream),
            "by": ("gain" if gain >= stream else "stream") if known else None}


def onset(run, outliers):
    if not outliers.known:
        return None
    features = []
    for f in outliers.features:
        sites = [onset_at(run, outliers, i, f) for i in range(len(outliers.sites))]
        at = [i for i, s in enumerate(sites) if s["share"] >= 0.01]
        features.append({
            "feature": f, "first_layer": sites[at[0]]["layer"] if at else None, "first_site": sites[at[0]]["site"] if at else None,
            "last_layer": sites[at[-1]]["layer"] if at else None, "n_sites": len(at),
            "cause": cause(sites, at[0]) if at else None, "sites": sites})
    chosen = outliers.counts[:, outliers.features]
    return {"min_share": 0.01, "features": features,
            "by_site": [{"layer": layer.number, "site": site, "n_features": int((n / len(run.places) >= 0.01).sum()),
                         "occurrences": int(n.sum())}
                        for (layer, site), n in zip(outliers.sites, chosen)]}


def phase_shift(outliers, text):
    if not outliers.known:
        return None
    found, layers = outliers.select(1, 0.75), {layer.number for layer, _ in outliers.sites}
    by_layers = [f for f in outliers.select(0, 0.75)
                 if {layer.number for (layer, _), n in zip(outliers.sites, outliers.counts[:, f]) if n} == layers]
    return {"min_layers": 1.0, "min_positions": 0.75, "text": text, "n_features": len(found),
            "features": found, "reached": bool(found), "n_features_by_layers": len(by_layers),
            "features_by_layers": by_layers}


def normed(run, outliers, f, rows, threshold):
    """On a massive dimension's own tokens."""
    sites = [(layer, site) for layer in run.layers for site in LN if site in layer.tensors]
    x = np.array([[abs(layer.tensors[site][row, f]) for layer, site in sites] for row in rows]).reshape(len(rows), len(sites))
    known = [v[~np.isnan(v)].max() for v in x if not np.isnan(v).all()]
    entry = {"event_tokens": len(rows), "normed_median": number(np.median(known)) if known else None,
             "normed_max": number(max(known)) if known else None, "share_with_occurrence": None, "ln_site": None, "norm_gain": None}
    if outliers.known:
        entry["share_with_occurrence"] = sum(outliers.has_bit(run, f, row) for row in rows) / len(rows)
    elif sites:
        entry["share_with_occurrence"] = sum(v >= threshold for v in known) / len(rows)
    if known:
        row, i = np.unravel_index(np.nanargmax(x), x.shape)
        layer, site = sites[i]
        entry["ln_site"] = {"layer": layer.number, "site": site}
        if site in layer.columns:
            entry["norm_gain"] = number(float(layer.columns[site][0][4, f]))
    return entry


def links(run, outliers, threshold):
    found, _, medians = massive_values(run)
    _, _, supers = super_list(run, units(run))
    supers = {(u["layer"], u["kind"], u["expert"]) for u in supers}
    entries = []
    for i, f in enumerate(massive_features(run, found, medians)):
        rows = sorted({m[1] for m in found if m[2] == f["feature"]})
        made = answer(run, outliers, f["feature"], "massive", medians)[0]["made_by"] if i < 32 else []
        writer = {k: made[0][k] for k in ("layer", "kind", "expert", "share")} if made else None
        entries.append({
            "feature": f["feature"], "max_magnitude": f["max_magnitude"], "onset_layer": f["first_layer"],
            **normed(run, outliers, f["feature"], rows, threshold),
            "is_outlier_feature": f["feature"] in outliers.features if outliers.known else None,
            "writer": writer,
            "is_super_expert": (writer["layer"], writer["kind"], writer["expert"]) in supers if writer else None})
    return entries


def main():
    tables = "--tables" in sys.argv
    paths = [a for a in sys.argv[1:] if a != "--tables"]
    with open(paths[0]) as f:
        results = json.load(f)
    run = Run(paths[1:], tables)
    blocks = ("distributions", "massive", "super_experts", "attribution", "links", "onset", "phase_shift")
    if not run.summaries:
        same("results", {b: results[b] for b in blocks}, {b: None for b in blocks})
        print("no summaries, no blocks")
        return
    if not tables:
        check_load(run)
    outliers = Outliers(run, results["criterion"])
    text = (results["phase_shift"] or {}).get("text")
    expected = {
        "distributions": distributions(run), "massive": massive(run),
        "super_experts": super_experts(run), "attribution": attribution(run, outliers),
        "links": links(run, outliers, results["criterion"]["threshold"]), "onset": onset(run, outliers),
        "phase_shift": phase_shift(outliers, text)}
    for block in blocks:
        same(block, results[block], expected[block])
    print(f"{len(run.layers)} layers, {len(expected['massive']['features'])} massive features, "
          f"{len((expected['super_experts'] or {'experts': []})['experts'])} super experts, "
          f"{len(expected['attribution']['features'])} features attributed, "
          f"{len(outliers.features) if outliers.known else 'unknown'} outlier features")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main()
    except Mismatch as e:
        sys.exit(str(e))
