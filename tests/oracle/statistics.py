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
        self.files = files
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
        self.layers = []
        if self.summaries:
            for name in sorted(files[0]["layers"]):
                self.layers.append(self.read_layer(name, tables))

    def rows(self, name):
        return np.concatenate([f[name][s, :n].reshape(n, -1) for f, s, n in self.spans])

    def has(self, name):
        return name in self.files[0]

    def sum(self, name):
        return sum(f[name][...] for f in self.files)

    def read_layer(self, name, tables):
        layer, path = Layer(), f"layers/{name}"
        layer.number = int(name)
        layer.moe = self.files[0][path].attrs["kind"] in ("moe", b"moe")
        after = f"layers/{int(name) + 1:03d}/residual_attn"
        layer.values = {}
        layer.ln = {}
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
        layer.units = [f[f"{path}/summary/units"][...] for f in self.files]
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
        name = f"{after}/residual_attn"
        if not run.has(name) and run.has(f"{after}/ln_attn") and run.has(f"{after}/summary/ln_attn"):
            name, gains = f"{after}/ln_attn", run.files[0][f"{after}/summary/ln_attn/columns"][4]
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
    """(layer, row, feature, magnitude) of each, and each layer's median."""
    found, medians = [], []
    for layer in run.layers:
        x = np.abs(layer.values["output"].astype(np.float64))
        x = x[np.isfinite(x)]
        medians.append(float(np.median(x)) if len(x) else None)
        if medians[-1] is None:
            continue
        for row, k in np.argwhere(np.abs(layer.top_values) > 100):
            v = abs(layer.top_values[row, k])
            if layer.top[row, k] < run.d and v >= 1000 * medians[-1]:
                found.append((layer.number, int(row), int(layer.top[row, k]), float(v)))
    return found, medians


def massive_layer(run, layer, median, found):
    v = np.where(layer.top < run.d, np.abs(layer.top_values), np.nan)
    here = [m for m in found if m[0] == layer.number]
    entry = {"layer": layer.number, "median_magnitude": median, "max_magnitude": None,
             "feature": None, **run.place(None), "n_values": len(here),
             "n_tokens": len({m[1] for m in here}), "mean_top": [mean(v[:, i]) for i in range(4)]}
    if not np.isnan(v).all():
        row, k = np.unravel_index(np.nanargmax(v), v.shape)
        entry.update(max_magnitude=number(v[row, k]), feature=int(layer.top[row, k]),
                     **run.place(int(row)))
    return entry


def massive_features(run, found):
    features = []
    for f in {m[2] for m in found}:
        mine = [m for m in found if m[2] == f]
        layers = {m[0] for m in mine}
        features.append({
            "feature": f, "n_values": len(mine), "n_layers": len(layers),
            "first_layer": min(layers), "last_layer": max(layers),
            "max_magnitude": max(m[3] for m in mine),
            "at_first_token": sum(run.places[m[1]][1] == 0 for m in mine)})
    features.sort(key=lambda f: (-f["max_magnitude"], f["feature"]))
    for f in features:
        f["max_magnitude"] = number(f["max_magnitude"])
    return features


def massive(run):
    found, medians = massive_values(run)
    ids = [run.ids[m[1]] for m in found]
    tokens = sorted(((i, ids.count(i)) for i in set(ids)), key=lambda t: (-t[1], t[0]))
    layers = sorted(m[0] for m in found) or [None]
    return {
        "criterion": {"min_magnitude": 100.0, "min_ratio": 1000.0},
        "layers": [massive_layer(run, l, m, found) for l, m in zip(run.layers, medians)],
        "features": massive_features(run, found),
        "tokens": [{**run.token(i), "n_values": n} for i, n in tokens[:20]],
        "onset_layer": layers[0], "offset_layer": layers[-1]}


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
                   for layer in run.layers]}


def check_load(run):
    """The units' tokens are what the router tables say."""
    for layer in run.layers:
        seen = [w for row in layer.writers for w in row]
        for u in (u for u in units(run) if u["layer"] == layer.number):
            assert u["n_tokens"] == seen.count((u["kind"], u["expert"])), (layer.number, u)


# ---- attribution ----


def written(run, feature):
    """What each writer added to a feature where it is among the largest: {writer: [values]}, and
    its magnitudes and tokens."""
    writes, magnitudes, ids, unknown, n = {}, [], [], 0, 0
    for l, layer in enumerate(run.layers):
        for row, k in np.argwhere(layer.top == feature):
            magnitudes.append(abs(layer.top_values[row, k]))
            ids.append(run.ids[row])
            parts = [(("attention", None), layer.attention[row, k])]
            parts += list(zip(layer.writers[row], layer.parts[row, k]))
            for writer, value in parts:
                n += 1
                if math.isfinite(value):
                    writes.setdefault((l, *writer), []).append(float(value))
                else:
                    unknown += 1
    return writes, magnitudes, ids, unknown, n


def writer_order(writer):
    l, kind, expert = writer
    return l, ("attention", "expert", "shared", "mlp").index(kind), expert or 0


def writers(run, writes):
    sums = {w: math.fsum(v) for w, v in writes.items()}
    total = math.fsum(abs(s) for s in sums.values())
    return [{"layer": run.layers[w[0]].number, "kind": w[1], "expert": w[2],
             "n_values": len(writes[w]), "sum": sums[w], "mean": sums[w] / len(writes[w]),
             "share": abs(sums[w]) / total if total else None}
            for w in sorted(sums, key=lambda w: (-abs(sums[w]), writer_order(w)))]


def chosen_features(run, outliers):
    found, _ = massive_values(run)
    features = [f["feature"] for f in massive_features(run, found)][:32]
    last = run.layers[len(run.layers) - math.ceil(len(run.layers) / 4):]
    firsts = np.concatenate([layer.top[:, 0] for layer in last]).tolist()
    others = sorted((f for f in set(firsts) if f not in features and f < run.d),
                    key=lambda f: (-firsts.count(f), f))
    if outliers.known:
        tops = set(np.concatenate([layer.top.ravel() for layer in run.layers]).tolist())
        more = [f for f in outliers.features if f in tops and f not in features]
        features += more[: 48 - len(features)]
    others = [f for f in others if f not in features]
    return features + others[: 64 - len(features)]


def attribution(run, outliers):
    features, unknown, n = [], 0, 0
    for f in chosen_features(run, outliers):
        writes, magnitudes, ids, u, k = written(run, f)
        tokens = sorted(((i, ids.count(i)) for i in set(ids)), key=lambda t: (-t[1], t[0]))
        unknown, n = unknown + u, n + k
        known = [m for m in magnitudes if not math.isnan(m)]
        features.append({"feature": f, "max_magnitude": max(known) if known else None,
                         "n_values": len(magnitudes), "writers": writers(run, writes)[:16],
                         "tokens": [{**run.token(i), "n_values": n} for i, n in tokens[:8]]})
    features.sort(key=lambda f: (-(-1 if f["max_magnitude"] is None else f["max_magnitude"]), f["feature"]))
    for f in features:
        f["max_magnitude"] = number(f["max_magnitude"])
    layers = [{"layer": layer.number, "attention": mean(np.abs(layer.attention[:, 0])),
               "mlp": mean(np.abs(layer.parts[:, 0].sum(axis=-1)))} for layer in run.layers]
    return {"features": features, "layers": layers, "unknown_share": unknown / n if n else None}


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

    def select(self, min_layers, min_positions):
        found = [f for f in range(len(self.max)) if self.layer_fraction[f] >= min_layers
                 and self.position_fraction[f] >= min_positions]
        return sorted(found, key=lambda f: (-self.max[f], f))


def onset(outliers):
    if not outliers.known:
        return None
    features = []
    for f in outliers.features:
        at = [layer.number for (layer, _), n in zip(outliers.sites, outliers.counts[:, f]) if n]
        features.append({"feature": f, "first_layer": min(at), "last_layer": max(at), "n_sites": len(at)})
    chosen = outliers.counts[:, outliers.features]
    return {"features": features,
            "by_site": [{"layer": layer.number, "site": site, "n_features": int((n > 0).sum()),
                         "occurrences": int(n.sum())}
                        for (layer, site), n in zip(outliers.sites, chosen)]}


def phase_shift(outliers, text):
    if not outliers.known:
        return None
    found = outliers.select(1, 0.75)
    return {"min_layers": 1.0, "min_positions": 0.75, "text": text, "n_features": len(found),
            "features": found, "reached": bool(found)}


def ln_site(run, feature):
    best = None
    for layer in run.layers:
        for site in LN:
            if site not in layer.values:
                continue
            if site in layer.ln:
                x = np.abs(layer.ln[site][:, feature])
            else:
                x = np.abs(np.concatenate([f[f"layers/{layer.number:03d}/summary/{site}/columns"][:2, feature]
                                           for f in run.files]))
            x = x[~np.isnan(x)]
            if len(x) and (best is None or x.max() > best[0]):
                best = x.max(), layer.number, site
    return best and {"layer": best[1], "site": best[2], "max_magnitude": number(best[0])}


def norm_gain(run, feature):
    at = ln_site(run, feature)
    path = at and f"layers/{at['layer']:03d}/summary/{at['site']}/columns"
    return at and number(run.files[0][path][4, feature])


def links(run, outliers):
    found, _ = massive_values(run)
    _, _, supers = super_list(run, units(run))
    supers = {(u["layer"], u["kind"], u["expert"]) for u in supers}
    entries = []
    for i, f in enumerate(massive_features(run, found)):
        who = writers(run, written(run, f["feature"])[0]) if i < 32 else []
        writer = {k: who[0][k] for k in ("layer", "kind", "expert")} if who else None
        entries.append({
            "feature": f["feature"], "max_magnitude": f["max_magnitude"], "onset_layer": f["first_layer"],
            "norm_gain": norm_gain(run, f["feature"]), "ln_site": ln_site(run, f["feature"]),
            "is_outlier_feature": f["feature"] in outliers.features if outliers.known else None,
            "writer": writer, "is_super_expert": tuple(writer.values()) in supers if writer else None})
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
        "links": links(run, outliers), "onset": onset(outliers),
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
