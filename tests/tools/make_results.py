"""Make a results file of a model that does not exist: every block of ol-results(5), with
plausible numbers from a fixed seed, so that reports can be looked at and tested without a
run.

    make_results.py [--layers 48] [--experts 128] [--width 2048] [--tokens 2048]
                    [--sequences 16] [--without BLOCK]... [--edge hostile|empty|nulls|dense]
                    [--name NAME] [--label TEXT] [--precision P] [--processor KIND]
                    [--windowing MODE] [--parameters N] [--seed 1] > results.json
"""
import argparse
import json
import math
import random

SITES = ("ln_attn", "ln_mlp")
METHODS = ["int8_tensor", "int8_token", "int8_vector", "fp8_e4m3", "mxfp4 (floor)", "mxfp4 (even)", "nvfp4"]
LEVELS = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1]
PIECES = ["<s>", ".", ",", "\n", " the", " of", "\n\n", " and", ":", " a", "(", " Anne"]
HOSTILE = ["<script>alert(1)</script>", "]]>", "&amp;", "\"'><b>", "\u202eevil", "a\u0000b", "\x07",
           "\ufffe", "\u001b[31m", "|", "=1+1", "-->"]

# A formula, a cell's end, HTML, Markdown, a terminal's orders (also as one character), a turned line, a line of its own.
EVIL = "=1+cmd|<img src=x>[a](https://b.c)`*_\u001b]0;x\u0007\u009b2J\u202eabc\u2066\n\n# head\r,\"q\""


class Maker:
    def __init__(self, args):
        self.a = args
        self.r = random.Random(args.seed)
        self.layers = list(range(args.layers))
        self.dense = args.edge == "dense" or args.experts == 0
        self.pieces = HOSTILE if args.edge == "hostile" else PIECES
        n = 0 if args.edge == "empty" else min(args.width // 8, 60)
        self.dims = self.r.sample(range(args.width), n)

    def piece(self, i):
        return self.pieces[i % len(self.pieces)]

    def noise(self, spread=0.2):
        return math.exp(self.r.gauss(0, spread))

    # Rises in the first tenth of the layers and falls in the last, as streams do.
    def level(self, layer):
        x = (layer + 0.5) / len(self.layers)
        return max(0.05, min(1, 6 * x)) * max(0.15, min(1, 5 * (1 - x)))

    def feature(self, rank, batches):
        d, r = self.dims[rank], self.r
        first = 0 if rank < 3 else r.randrange(0, max(1, len(self.layers) // 2))
        last = r.randrange(first, len(self.layers))
        sites = []
        for layer in range(first, last + 1):
            for site in SITES:
                if r.random() < (0.95 if rank < 4 else 0.6):
                    sites.append({"layer": layer, "site": site,
                                  "occurrences": r.randrange(1, 1 + self.a.tokens * self.a.sequences),
                                  "max_magnitude": round((6 + 300 / (rank + 1) * self.level(layer)) * self.noise(), 3)})
        if not sites:
            sites = [{"layer": first, "site": SITES[0], "occurrences": 1, "max_magnitude": 6.5}]
        top = max(s["max_magnitude"] for s in sites)
        return {"feature": d, "batches": batches, "max_magnitude": top,
                "layer_fraction": len(sites) / (2 * len(self.layers)),
                "position_fraction": round(min(1, 0.06 + r.random() ** 2), 4),
                "occurrences": sum(s["occurrences"] for s in sites), "n_sites": len(sites),
                "n_layers": len({s["layer"] for s in sites}),
                "distinct_layer_fraction": len({s["layer"] for s in sites}) / len(self.layers),
                "one_sided": r.random() < 0.7, "quartiles": [6.1, 7.5, round(top / 2, 2)],
                "sites": sites}

    def llm_int8(self):
        r, n = self.r, len(self.dims)
        features = [self.feature(i, r.randrange(1, self.a.sequences + 1)) for i in range(n)]
        features.sort(key=lambda f: -f["max_magnitude"])
        pooled = features[:max(0, n * 2 // 3)]
        strict = features[:max(0, n // 6)]
        batches = []
        for s in range(self.a.sequences):
            chosen = [f for f in features if f["batches"] > s]
            batches.append({"sequences": [s], "count": len(chosen), "features": [
                {k: f[k] for k in ("feature", "max_magnitude", "layer_fraction", "position_fraction", "occurrences", "n_sites",
                                   "n_layers", "distinct_layer_fraction")}
                for f in chosen]})
        pairs = sum(b["count"] for b in batches)
        mean = (lambda k: sum(f[k] * f["batches"] for f in features) / pairs) if pairs else (lambda k: None)
        block = lambda fs: {"count": len(fs), "features": fs}
        return {"pairs": {"count": pairs, "mean_layer_fraction": mean("layer_fraction"),
                          "mean_position_fraction": mean("position_fraction"),
                          "mean_distinct_layer_fraction": mean("distinct_layer_fraction"),
                          "median_distinct_layer_fraction": mean("distinct_layer_fraction"),
                          "median_layer_fraction": mean("layer_fraction"),
                          "median_position_fraction": mean("position_fraction")},
                "batches": batches, "unique": block(features), "pooled": block(pooled), "strict": block(strict)}

    def sites(self):
        return [{"layer": l, "site": s, "occurrences": self.r.randrange(0, 90000),
                 "max_magnitude": round(20 + 280 * self.level(l) * self.noise(), 3), "n_nan": 0, "n_inf": 0}
                for l in self.layers for s in SITES]

    def distributions(self):
        out = []
        for l in self.layers:
            for site in SITES + ("output",):
                scale = (1 if site != "output" else 0.3 + 5 * self.level(l)) * self.noise(0.1)
                n = self.a.tokens * self.a.sequences * self.a.width
                centre = 24 + math.log2(scale) - 0.5
                weights = [math.exp(-((i - centre) / (3.2 if i < centre else 1.6)) ** 2) for i in range(40)]
                total = sum(weights)
                counts = [int(n * w / total) for w in weights]
                top = int(centre + 5 + 4 * self.level(l))
                for i in range(int(centre) + 4, min(40, top + 1)):
                    counts[i] += int(3000 / (1 + i - centre)) + 1
                out.append({"layer": l, "site": site, "n": n, "n_nan": 0, "n_inf": 0, "n_zero": max(0, n - sum(counts)),
                            "mean": self.r.gauss(0, 0.01), "std": scale, "kurtosis": 3 + 4000 * self.level(l) * self.noise(),
                            "kurtosis_token_median": None if site == "output" and l == self.layers[-1] else 3 + 90 * self.level(l) * self.noise(),
                            "magnitudes": [scale * m for m in (0.67, 1.6, 2.6, 4.1, 9.5, 40, 300 * self.level(l))],
                            "log2_counts": counts})
        return {"quantile_levels": LEVELS, "first_exponent": -24, "kurtosis_tokens": 4096, "sites": out}

    def massive(self):
        layers, on, off = [], None, None
        dims = self.dims[:4]
        for l in self.layers:
            median = 0.05 + 0.6 * (l + 1) / len(self.layers)
            hit = dims and len(self.layers) * 0.06 <= l + 1 < len(self.layers)
            top = median * (3500 if hit else 60) * self.noise(0.1)
            if hit:
                on, off = l if on is None else on, l
            layers.append({"layer": l, "median_magnitude": median, "max_magnitude": top,
                           "feature": dims[0] if dims else 0, "sequence": 0, "position": 0, "token_id": 151643, "piece": self.piece(0),
                           "n_values": 23 if hit else 0, "n_tokens": 17 if hit else 0,
                           "mean_top": [median * k * self.noise(0.05) for k in (8, 5, 4, 3.5)],
                           "mean_top_published": [top * k for k in (0.9, 0.2, 0.1, 0.05)]})
        life = lambda most: [{"layer": l["layer"], "max_magnitude": most * (1 if l["n_values"] else 0.01), "ratio": l["max_magnitude"] / l["median_magnitude"],
                              "n_massive": 8 if l["n_values"] else 0, "n_above": 8, "n_unknown": 1} for l in layers]
        values = lambda i, d: {"feature": d, "max_magnitude": 9000 / (i + 1), "max_layer": on, "max_ratio": 3500 / (i + 1), "n_values": 300 // (i + 1),
                               "n_tokens": 300 // (i + 1), "at_first_token": 256 // (i + 1), "n_layers": max(1, len(self.layers) - 4 - i),
                               "first_layer": on, "last_layer": off}
        hits = list(enumerate(dims)) if on is not None else []
        features = [values(i, d) | {"above_until": self.layers[max(0, len(self.layers) - 1 - i)], "above_until_at_most": self.layers[-1], "layers": life(9000 / (i + 1))} for i, d in hits]
        near = [values(i + 8, d) | {"tokens": [{"token_id": 100 + k, "piece": self.piece(k), "n_tokens": 9 - k} for k in range(3)]} for i, d in hits[:2]]
        tokens = [{"token_id": 100 + i, "piece": self.piece(i), "at_first": 8 // (i + 1), "elsewhere": i, "text_at_first": 8,
                   "text_elsewhere": 700 // (i + 1)} for i in range(8)] if features else []
        return {"criterion": {"min_magnitude": 100, "min_ratio": 1000, "near_ratio": 500}, "layers": layers, "features": features,
                "near": near, "tokens": tokens, "onset_layer": on, "offset_layer": off}

    def units(self, layer):
        kinds = [("mlp", None)] if self.dense else [("expert", e) for e in range(self.a.experts)] + [("shared", None)]
        out = []
        for kind, e in kinds:
            n = 0 if self.r.random() < 0.03 else self.r.randrange(10, 4000)
            big = 300 if (layer, e) in self.super else 1
            out.append({"kind": kind, "expert": e, "n_tokens": n, "gate_mean": round(self.r.random() / 3, 5) if n else None,
                        "input": round(8 * self.noise(0.8) * big ** 0.8, 4) if n else None,
                        "output": round(4 * self.noise(0.9) * big * (0.2 + self.level(layer)), 4) if n else None})
        return out

    def chance(self):
        n = len(self.layers) * self.a.experts
        above = n - 1 - math.floor(0.995 * (n - 1)) if n else 0
        return {"n_experts": n, "n_above": above, "expected": 0.75 * above if n else None,
                "probability": 1 - 0.25 ** above if n else None, "meaningful": above > 1}

    def super_experts(self):
        chosen = [(max(0, len(self.layers) // 24), 1 % max(1, self.a.experts)), (max(0, len(self.layers) // 24), 68 % max(1, self.a.experts)),
                  (max(0, len(self.layers) // 16), 92 % max(1, self.a.experts))]
        self.super = set() if self.a.edge == "empty" else set((l, None if self.dense else e) for l, e in chosen)
        layers = [{"layer": l, "units": self.units(l)} for l in self.layers]
        found = [(l["layer"], u) for l in layers for u in l["units"] if u["output"] is not None]
        most = max(u["output"] for _, u in found) if found else None
        top = sorted([x for x in found if (x[0], x[1]["expert"]) in self.super], key=lambda x: -x[1]["output"])
        experts = [{"layer": l, "kind": u["kind"], "expert": u["expert"], "output": u["output"], "feature": self.dims[0],
                    "sequence": 0, "position": 0, "token_id": 151643, "piece": self.piece(0), "input": u["input"],
                    "input_column": 77, "n_tokens": u["n_tokens"], "gate_mean": u["gate_mean"],
                    "share_of_max": u["output"] / most, "share_of_median": u["output"] / 4, "z": 11.5} for l, u in top]
        self.top = experts
        return {"criterion": {"percentile": 99.5, "min_share": 0.1, "first_layers": 0.75},
                "limit": most and most / 10, "max_output": most, "median_output": 4.0, "experts": experts,
                "noise": self.chance(),
                "robust": {"min_z": 10, "median": 1.4, "mad": 0.5, "experts": [
                    {k: e[k] for k in ("layer", "kind", "expert", "output", "share_of_median")} | {"z": 11.5} for e in experts]},
                "layers": layers}

    def writers(self, n, sign, total):
        """Writers whose shares sum to total, times the sign."""
        out, left = [], total
        for i in range(n):
            share = left * (0.6 if i < 3 else 0.4)
            left -= share
            if i == 0 and self.top:
                l, kind, e = self.top[0]["layer"], self.top[0]["kind"], self.top[0]["expert"]
            else:
                l = self.r.choice(self.layers)
                kind = self.r.choice(["attention"] + (["mlp"] if self.dense else ["expert", "expert", "shared"]))
                e = self.r.randrange(self.a.experts) if kind == "expert" else None
            out.append({"layer": l, "kind": kind, "expert": e, "n_tokens": 40, "sum": sign * share * 4000, "share": sign * share})
        return out, {"n_writers": 30, "sum": sign * left * 4000, "share": sign * left}

    def attributed(self, i, feature, event):
        made, other_made = self.writers(16, 1, 1.05)
        against, other_against = self.writers(8, -1, 0.08)
        erased, other_erased = self.writers(16, -1, 0.7)
        return {"feature": feature, "event": event, "max_magnitude": 9000 / (i + 1), "n_tokens": 400 // (i + 1), "at_first_token": 8, "n_values": 400 // (i + 1),
                "n_unknown_values": i, "sign": ("+", "-", "both")[i % 3], "magnitude": 4000.0,
                "peak_layers": [{"layer": self.layers[0], "n_tokens": 400 // (i + 1)}], "onset_layers": [{"layer": self.layers[0], "n_tokens": 400 // (i + 1)}],
                "made_by": made, "counteracted_by": against, "erased_by": erased,
                "others": {"made_by": other_made, "counteracted_by": other_against, "erased_by": other_erased},
                "embedding": 40.0, "unknown": 80.0, "tokens": [{"token_id": 100 + k, "piece": self.piece(k), "n_tokens": 9 - k} for k in range(4)]}

    def attribution(self):
        events = [("massive", d) for d in self.dims[:4]] + [("outlier", d) for d in self.dims[:12]] + [("all", d) for d in self.dims[:16]]
        features = [self.attributed(i, d, event) for i, (event, d) in enumerate(events)]
        layers = [{"feature": f["feature"], "event": f["event"], "layer": l, "attention": self.r.gauss(0, 9), "mlp": self.r.gauss(0, 20) + 9000 * (l == 2)}
                  for f in features[:8] for l in self.layers]
        return {"features": features, "layers": layers}

    def links(self):
        return [{"feature": d, "max_magnitude": 9000 / (i + 1), "onset_layer": min(2, self.layers[-1]), "event_tokens": 8, "normed_median": 1.1, "normed_max": 1.4,
                 "share_with_occurrence": 0.25 * i, "norm_gain": None, "ln_site": {"layer": self.r.choice(self.layers), "site": "ln_mlp"},
                 "is_outlier_feature": i < 3, "writer": {k: w[k] for k in ("layer", "kind", "expert", "share")} if (w := self.writers(1, 1, 1)[0][0]) else None,
                 "is_super_expert": i < 2} for i, d in enumerate(self.dims[:4])]

    def tokens(self):
        n = self.a.tokens * self.a.sequences
        counts = lambda k: {"pairs": len(self.dims) * 5 // k, "unique": len(self.dims) // k, "pooled": len(self.dims) // (2 * k)}
        pieces = [{"token_id": 11 + i, "piece": None if i == 3 else self.piece(i), "n_tokens": max(1, 2000 // (i + 1)),
                   "n_outliers": 90000 // (i + 1) ** 2, "per_token": 45 / (i + 1), "share": 0.2 / (i + 1), "base_rate": 0.1 / (i + 1), "lift": 2.0} for i in range(min(40, n))]
        share = lambda n, base, share: {"n": n, "n_tokens": max(1, n // 2), "share": share, "base_rate": base, "lift": share / base}
        return {"n_tokens": n, "n_positions": n * 3 // 4, "n_outliers": n * 2, "first_token": share(self.a.sequences, 0.01, 0.18),
                "delimiters": share(n // 9, 0.3, 0.31), "min_tokens": 10, "pieces": pieces if self.dims else [],
                "without_first": counts(1) | {"n_tokens": self.a.sequences}, "without_massive": counts(2) | {"n_tokens": 40}}

    def positions(self):
        edges, n = [0, 1], self.a.tokens
        while edges[-1] * 2 < n:
            edges.append(edges[-1] * 2)
        bins = min(n, 256)
        per = [(60 if i == 0 else 9 + 20 / (i + 1)) * self.noise(0.1) if self.dims else 0 for i in range(bins)]
        return {"bucket_edges": edges, "n_positions": [max(1, e) * self.a.sequences for e in edges],
                "bin_width": (n + bins - 1) // bins, "outliers_per_token": [(60 if e == 0 else 9 + 20 / (e + 1)) if self.dims else 0 for e in edges], "per_position": per}

    def position_map(self):
        edges, n = [0], self.a.tokens
        for e in [1] + sorted(2 ** i * k // 2 for i in range(1, 31) for k in (2, 3)):
            if e < n:
                edges.append(e)
        tokens = [(b - a) * self.a.sequences for a, b in zip(edges, edges[1:] + [n])]
        features = []
        for i, d in enumerate(self.dims):
            first, level = self.r.random(), self.r.random() ** 2
            share = lambda e: 1 if e == 0 and first < 0.3 else 0 if first < 0.15 else level * self.noise(0.1)
            features.append({"feature": d, "n_outliers": [int(t * min(1, share(e))) for e, t in zip(edges, tokens)]})
        sites = [{"layer": l, "site": s, "occurrences": [
            int(t * self.level(l) * (40 if e == 0 else 4 / (1 + e / 100)) * self.noise(0.1)) if self.dims else 0
            for e, t in zip(edges, tokens)]} for l in self.layers for s in SITES]
        return {"bucket_edges": edges, "n_tokens": tokens, "features": features, "sites": sites}

    def onset(self, int8):
        at = lambda s: {"layer": s["layer"], "site": s["site"], "share": 0.02, "gain": 0.4 * self.noise(), "normed_rms": 2 * self.noise(), "stream_mean": -60.0,
                        "stream_rms": 61.5}
        features = [{"feature": f["feature"], "first_layer": f["sites"][0]["layer"], "first_site": f["sites"][0]["site"],
                     "last_layer": f["sites"][-1]["layer"], "n_sites": len(f["sites"]),
                     "cause": {"since_layer": max(f["sites"][0]["layer"] - 2, 0), "normed_growth": 8.0, "gain_growth": 7.5, "stream_growth": 8 / 7.5, "by": "gain"} if i % 2 else None,
                     "sites": [at(s) for s in f["sites"]]} for i, f in enumerate(int8["unique"]["features"])]
        by = {}
        for f in int8["unique"]["features"]:
            for s in f["sites"]:
                n = by.setdefault((s["layer"], s["site"]), [0, 0])
                n[0] += 1
                n[1] += s["occurrences"]
        return {"min_share": 0.01, "features": features, "by_site": [{"layer": l, "site": s, "n_features": n, "occurrences": o}
                                                  for (l, s), (n, o) in sorted(by.items())]}

    def sweep(self):
        t = list(range(3, 21))
        l = [round(0.05 * i, 2) for i in range(1, 21)]
        p = [0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5]
        n = len(self.dims)
        f = lambda x, y, z: int(n * 3 * math.exp(-(x - 3) / 4) * (1 - y) ** 2 * math.exp(-4 * z))
        unique = [[[f(x, y, z) for z in p] for y in l] for x in t]
        return {"thresholds": t, "layer_fractions": l, "position_fractions": p,
                "pairs": [[[v * self.a.sequences // 2 for v in y] for y in x] for x in unique], "unique": unique}

    def uncertainty(self, int8):
        pairs, n = int8["pairs"]["count"], len(self.dims)
        i = lambda v, s: {"value": v, "low": v and v * (1 - s), "high": v and v * (1 + s)}
        return {"resamples": 1000, "seed": 1, "level": 0.95, "pairs": i(pairs, 0.12),
                "unique": {"value": n, "low": None, "high": None},
                "margin": {"counts": [{"change": c, "threshold": 6 * f, "pairs": int(pairs * k)} for c, f, k in (
                    ("2 % lower", 0.98, 1.1), ("1 bf16 step lower", 5.96875 / 6, 1.02), ("1 bf16 step higher", 6.03125 / 6, 0.97), ("2 % higher", 1.02, 0.8))],
                    "least_sites": -(-len(self.layers) // 2), "pairs_at_least_sites": pairs // 7, "pairs_at_least_positions": pairs // 30},
                "pooled": i(int8["pooled"]["count"], 0.1), "mean_layer_fraction": i(int8["pairs"]["mean_layer_fraction"], 0.05),
                "mean_position_fraction": i(int8["pairs"]["mean_position_fraction"], 0.07),
                "split_half": {"unique_a": n, "unique_b": max(0, n - 6), "both": max(0, n - 9), "jaccard": 0.85 if n else None},
                "consistency": [{"batches": b, "n_features": sum(f["batches"] == b for f in int8["unique"]["features"])}
                                for b in range(1, self.a.sequences + 1)]}

    def quantisation(self):
        base = [0.03, 0.012, 0.008, 0.027, 0.13, 0.11, 0.095]
        sites = []
        for l in self.layers:
            for s in SITES:
                k = 1 + 6 * self.level(l) * self.noise()
                error = [b * (k if i == 0 else 1 + (k - 1) / 6) for i, b in enumerate(base)]
                sites.append({"layer": l, "site": s, "error": error, "error_without_dims": [e * 0.4 for e in error],
                              "error_without_tokens": [e * 0.8 for e in error],
                              "token_median": [e * 0.9 for e in error], "zeroed": [min(1, e * 2) for e in error]})
        ranking = [{"layer": s["layer"], "site": s["site"], "method": m, "error": s["error"][i]}
                   for i, m in enumerate(METHODS) for s in sorted(sites, key=lambda s: -s["error"][i])[:8]]
        return {"sample_tokens": 256, "sample_first": 16, "seed": 1, "methods": METHODS, "sites": sites, "k_dims": 8, "k_tokens": 17,
                "kept_tokens": "massive", "int8_divisor": 127, "ranking": ranking, "down": [
                    {"layer": l, "kind": "mlp" if self.dense else "expert", "expert": None if self.dense else 0, "n_tokens": 40,
                     "largest": 900.0 / (l + 1), "column": 5, "share_of_median": 120.0 / (l + 1), "rms": None, "energy_column": None,
                     "energy_share": None, "sampled": 10, "error": [b * (1 + self.level(l)) for b in base]} for l in self.layers[:32]]}

    def expert_quantisation(self):
        if self.dense:
            return None
        base, layers = [0.03, 0.012, 0.008, 0.027, 0.13, 0.11, 0.095], []
        for l in self.layers:
            n = [0 if self.r.random() < 0.02 else 32 if self.r.random() < 0.97 else self.r.randrange(1, 32) for _ in range(self.a.experts)]
            k = [(1 + 2 * self.level(l)) * self.noise() * (3 if (l, e) in self.super else 1) for e in range(self.a.experts)]
            layers.append({"layer": l, "n_tokens": n, "error": [
                [b * (x if i < 4 else x ** 0.2) if t else None for x, t in zip(k, n)] for i, b in enumerate(base)]})
        ranking = []
        for i, m in enumerate(METHODS):
            all = [(l["error"][i][e], l["layer"], e, l["n_tokens"][e]) for l in layers for e in range(self.a.experts) if l["n_tokens"][e]]
            ranking += [{"method": m, "layer": l, "expert": e, "n_tokens": n, "error": x}
                        for x, l, e, n in sorted(all, key=lambda y: (-y[0], y[1:3]))[:16]]
        return {"most_tokens": 32, "n_experts": self.a.experts, "methods": METHODS, "layers": layers, "ranking": ranking}

    def ablation(self, arm):
        run = {"arm": None, "n_tokens": 100, "mean_nll": 2.1, "perplexity": 8.166, "mean_nll_difference": None,
               "pairs": 9, "unique": 4, "pooled": 3, "strict": 1}
        return {"baseline": run, "arms": [
            dict(run, arm=arm, mean_nll=2.35, perplexity=10.486, mean_nll_difference=0.25, pairs=2),
            dict(run, arm="first", n_tokens=96, mean_nll=None, perplexity=None, pairs=None, unique=None,
                 pooled=None, strict=None)]}

    def router(self):
        if self.dense:
            return None
        layers, k = [], min(8, self.a.experts)
        for l in self.layers:
            w = [self.noise(0.9) * (0 if self.r.random() < 0.01 else 1) for _ in range(self.a.experts)]
            n = self.a.tokens * self.a.sequences * k
            tokens = [int(n * x / sum(w)) if sum(w) else 0 for x in w]
            total = sum(tokens) or 1
            layers.append({"layer": l, "n_pairs": total, "entropy": -sum(t / total * math.log2(t / total) for t in tokens if t),
                           "max_load": max(tokens) * self.a.experts / total, "n_outside": 0,
                           "never_chosen": [e for e, t in enumerate(tokens) if t == 0], "tokens": tokens,
                           "mean_weight": [0.125 * self.noise() if t else None for t in tokens]})
        return {"n_experts": self.a.experts, "top_k": k, "layers": layers}

    def co_activation(self):
        if self.dense:
            return None
        layers, n = [], self.a.experts
        for l in self.layers:
            w = sorted((self.noise(0.9) for _ in range(n)), reverse=True)
            coverage = [sum(w[:m + 1]) / sum(w) for m in range(n)]
            coverage[-1] = 1
            members = [self.r.randrange(n)] if self.r.random() < 0.3 else []
            a = self.r.randrange(max(1, n - 1))
            layers.append({"layer": l, "n_tokens": self.a.tokens * self.a.sequences,
                           "committee": [{"expert": e, "n_tokens": 9, "share": 0.9 + 0.1 * self.r.random()} for e in members],
                           "n_for_half": 1 + sum(c < 0.5 for c in coverage), "n_for_most": 1 + sum(c < 0.9 for c in coverage),
                           "coverage": coverage, "complete": [c ** 4 for c in coverage],
                           "pairs": [{"a": a, "b": a + 1, "n_both": 40, "share_a": 0.4, "share_b": 0.2, "lift": 3.5, "excess": 0.01}][:n - 1]})
        return {"n_experts": n, "min_share": 0.9, "layers": layers}

    def generators(self):
        layers, n = [], 1 if self.dense else self.a.experts + 1
        for l in self.layers:
            largest = [9 * self.noise() * (200 if (l, e) in self.super else 1) for e in range(n)]
            layers.append({"layer": l, "largest": largest, "kurtosis": [90 * x for x in largest]})
        all = sorted(((x, l["layer"], e) for l in layers for e, x in enumerate(l["largest"])), key=lambda y: (-y[0], y[1:3]))
        units = [{"layer": l, "kind": "mlp" if self.dense else "expert" if e < self.a.experts else "shared",
                  "expert": e if not self.dense and e < self.a.experts else None, "n_tokens": 40, "largest": x, "share_of_median": x / 9,
                  "maximum": x, "minimum": -x / 3, "sequence": 0, "position": i, "token_id": 100 + i,
                  "piece": None if i == 2 else self.piece(i), "rms": x / 50, "kurtosis": 90 * x, "kurtosis_token_median": 14.5,
                  "columns": [{"column": c, "largest": x / (c + 1)} for c in range(4)]} for i, (x, l, e) in enumerate(all[:32])]
        return {"n_units": len(all), "median_largest": 9.0, "median_kurtosis": 810.0, "layers": layers, "units": units}

    def fp4(self):
        methods = [(f, r) for f in ("nvfp4", "nvfp4 (four over six)", "mxfp4 (floor)", "mxfp4 (even)")
                   for r in ("none", "hadamard 16", "hadamard 32", "hadamard 128", "global")]
        base = [0.09 + 0.01 * i for i in range(len(methods))]
        places = [{"layer": l, "site": s, "attention": "full" if l % 4 == 3 else "linear", "n_rows": 244,
                   "error": [b * (1 + self.level(l)) for b in base], "token_median": base}
                  for l in self.layers for s in ("ln_attn", "ln_mlp", "down")]
        kinds = [{"attention": a, "site": s, "n_layers": n, "median": base} for a, n in (("full", len(self.layers) // 4), ("linear", len(self.layers)))
                 for s in ("ln_attn", "ln_mlp", "down") if n > 0]
        return {"sample_tokens": 244, "places": places, "kinds": kinds,
                "methods": [{"format": f, "rotation": r, "rank": i + 1, "median": base[i], "worst": 2 * base[i], "n_best": 0 if i else len(places),
                             "n_worse": None if r == "none" else i} for i, (f, r) in enumerate(methods)],
                "ranking": [{"format": methods[m][0], "rotation": methods[m][1], "layer": p["layer"], "site": p["site"], "error": p["error"][m]} for m in range(len(methods)) for p in places[:8]],
                "units": [{"format": methods[m][0], "rotation": methods[m][1], "layer": l, "kind": "mlp" if self.dense else "expert", "expert": None if self.dense else 0, "n_tokens": 40,
                           "error": 2 * base[m]} for m in range(len(methods)) for l in self.layers[:8]]}

    def choices(self):
        if self.dense:
            return None
        n, k = self.a.experts, min(8, self.a.experts)
        tokens = [{"sequence": i // 2, "position": 3 * (i % 2), "token_id": 100 + i, "weight": 1 + i % 2} for i in range(4)]
        return {"n_experts": n, "seed": 1, "tokens": tokens, "layers": [
            {"layer": l, "top_k": k, "experts": [None if (l, t, s) == (0, 1, 0) else (l + t + s) % n for t in range(4) for s in range(k)]} for l in self.layers]}

    def attention_sinks(self):
        layers, n = [], 4 if self.a.layers < 9 else 32
        for l in self.layers:
            if l % 4 == 3 and not self.dense:  # a layer without attention
                continue
            heads = []
            for h in range(n):
                first = min(1, self.level(l) * 0.6 * self.noise(0.7))
                heads.append({"head": h, "first": first, "first_sink": 1.0 if first > 0.3 else 0.0, "sinks": 1.5 if first > 0.3 else 0,
                              "learned": 0.1 if l % 2 else None, "gate": 0.4, "gate_first": 0.05, "gate_sinks": 0.06 if first > 0.3 else None})
            average = lambda key: sum(h[key] for h in heads) / n
            layers.append({"layer": l, "attention": "sliding" if l % 2 else "full", "first": average("first"), "sink_heads": average("first_sink"),
                           "learned": 0.1 if l % 2 else None, "gate": 0.4, "heads": heads})
        pairs = max(1, n * len(layers))
        found = layers if self.dims else []
        keys = [{"sequence": 0, "position": 7 + i, "token_id": 100 + i, "piece": None if i == 2 else self.piece(i), "n_heads": 9 - i,
                 "share": min(1, (9 - i) / pairs), "received": 0.02 / (i + 1), "massive": None if i == 2 else i == 0} for i in range(8)] if found else []
        return {"min_share": 0.3, "min_queries": 64, "bos": False, "n_heads": n * len(layers), "first": 0.3 if layers else None,
                "sink_heads": 0.5 if layers else None, "n_keys": len(keys), "layers": layers, "keys": keys,
                "tokens": [{"token_id": 100 + i, "piece": self.piece(i), "n_tokens": 8 - i} for i in range(4)] if keys else [],
                "massive": {"n_sinks": 30, "n_massive": 18, "n_both": 17, "n_both_first": 16, "n_pairs": 900, "n_pairs_massive": 800} if keys else None}

    def expert_flips(self):
        if self.dense:
            return None
        names = ("int8_token", "fp8_e4m3_token", "mxfp8", "nvfp4", "nvfp4 (four over six)", "mxfp4 (floor)", "mxfp4 (even)")
        base = [0.0, 0.02, 0.03, 0.12, 0.11, 0.2, 0.18]
        layers = [{"layer": l, "top_k": min(8, self.a.experts), "choices": [b * self.level(l) / 5 for b in base],
                   "slots": [b * self.level(l) / 3 for b in base], "sets": [b * self.level(l) for b in base]} for l in self.layers]
        average = lambda key, m: sum(l[key][m] for l in layers) / len(layers)
        methods = []
        for m, name in enumerate(names):
            sets = [(l["sets"][m], l["layer"]) for l in layers]
            worst = max(x for x, _ in sets)
            methods.append({"format": name, **{key: average(key, m) for key in ("choices", "slots", "sets")},
                            "first_layer": next((l for x, l in sets if x > 0), None), "begin_layer": next((l for x, l in sets if x >= 0.01), None),
                            "worst_layer": next(l for x, l in sets if x == worst) if worst > 0 else None, "worst": worst})
        return {"sample_tokens": 256, "sample_first": 16, "min_share": 0.01, "methods": methods, "layers": layers}

    def head_outputs(self):
        layers, n = [], 4 if self.a.layers < 9 else 32
        for l in self.layers:
            heads = [{"head": h, "rms": 0.1 + self.level(l) * self.noise(0.5), "largest": 9 * self.noise(0.5), "maximum": 4.0, "minimum": -4.5} for h in range(n)]
            layers.append({"layer": l, "attention": "sliding" if l % 2 else "full", "width": 128, "rms": 0.4,
                           "largest": max(h["largest"] for h in heads), "heads": heads})
        extremes = [{"layer": l["layer"], "head": 0, "value": -l["largest"], "share_of_median": 2.0, "over_rms": 30.5, "sequence": 0, "position": i,
                     "token_id": 100 + i, "piece": None if i == 2 else self.piece(i)} for i, l in enumerate(layers[:32])]
        return {"n_heads": n * len(layers), "median_rms": 0.5, "median_largest": 7.5, "layers": layers, "extremes": extremes}

    def residual_streams(self):
        if self.dense:
            return None
        layers, before = [], [None] * 4
        for l in self.layers:
            streams = []
            for s in range(4):
                largest = (s + 1) * (2 + 900 * self.level(l))
                streams.append({"stream": s, "rms": 0.1 + self.level(l), "largest": largest, "jump": before[s] and largest / before[s], "maximum": 2.0,
                                "maximum_feature": 3, "maximum_sequence": 0, "maximum_position": 5, "minimum": -largest, "minimum_feature": 5 % self.a.width,
                                "minimum_sequence": 0, "minimum_position": 0})
                before[s] = largest
            layers.append({"layer": l, "rms": 0.4, "largest": max(s["largest"] for s in streams), "streams": streams})
        peaks = []
        for s in (3, 2, 1, 0):
            own = [(l["streams"][s]["largest"], l["layer"]) for l in layers]
            jump = max(((l["streams"][s]["jump"], l["layer"]) for l in layers[1:]), default=(None, None))
            peaks.append({"stream": s, "value": -max(own)[0], "layer": max(own)[1], "feature": 5 % self.a.width, "sequence": 0, "position": 0,
                          "token_id": 100 + s, "piece": None if s == 2 else self.piece(s), "jump": jump[0],
                          "jump_since": None if jump[0] is None else jump[1] - 1, "jump_layer": jump[1]})
        return {"n_streams": 4, "streams": peaks, "layers": layers}

    def residual_sinks(self):
        layers = lambda i: [{"layer": l, "share": None if i == 2 else self.level(l) * (0.9 if i % 2 == 0 else 0.01), "share_at_most": None if i == 2 else self.level(l),
                             "first_share": 1.0, "mean": None if i == 3 else -70.5, "rms": 71.0, "ratio": 40.0, "n_massive": 8 if i else 0} for l in self.layers]
        kind = lambda i: ("sink", "massive", "both")[i % 3]
        features = [{"feature": d, "kind": kind(i), "n_layers": 0 if i % 3 == 1 else 3, "first_layer": None if i % 3 == 1 else 0, "last_layer": None if i % 3 == 1 else self.layers[-1],
                     "layer": self.layers[0], "ratio": 41.5, "mean": -70.5, "share": 0.998, "first_share": 0.25, "massive_tokens": 8 if i % 3 else 0,
                     "max_magnitude": None if i == 4 else 9000 / (i + 1), "layers": layers(i)} for i, d in enumerate(self.dims[:6])]
        n = self.a.tokens * self.a.sequences
        return {"min_ratio": 10.0, "min_share": 0.5, "n_first": self.a.sequences, "n_others": n - self.a.sequences, "n_sinks": sum(f["n_layers"] > 0 for f in features),
                "n_massive": sum(f["kind"] != "sink" for f in features), "n_both": sum(f["kind"] == "both" for f in features), "features": features}

    def steps(self):
        first, last = self.layers[0], self.layers[-1]
        def step(layer, direction, sum_, bounded):
            by = [{"layer": layer, **dict(zip(("kind", "expert"), ("mlp", None) if self.dense else ("expert", 0))), "n_tokens": 8, "sum": sum_, "share": sum_ / 8e4}]
            unit = {"layer": layer, "kind": "attention", "expert": None, "output": sum_, "sequence": 0, "position": 0, "token_id": 7, "piece": self.piece(0)}
            return {"layer": layer, "attention": None if bounded == 2 else "full", "direction": direction, "sum": sum_, "share": sum_ / 8e4, "n_tokens": 0 if bounded else 8, "n_bounded": 8 if bounded else 0,
                    "by": [] if bounded else by, "units": [unit] if bounded == 1 else [], "unknown": sum_ if bounded else 0.0}
        life = [{"layer": l, "value": None if l == last else 9000.0 if l != first else 12.0, "n_known": 0 if l == last else 8, "most_of_others": 40.0 if l == last else None,
                 "change": 100.0, "n_changed": 8} for l in self.layers]
        features = [{"feature": d, "sign": "+-"[i % 2], "max_magnitude": None if i == 2 else 9000 / (i + 1), "n_tokens": 8, "at_first_token": 8, "n_values": 8, "magnitude": 8e4,
                     "first_layer": first, "last_layer": max(first, last - 1), "up_layer": None if i == 3 else first, "down_layer": None if i == 3 else last,
                     "left": None if i % 2 else 0.04, "left_at_most": None if i == 3 else 0.05,
                     "steps": [] if i == 3 else [step(first, "up", 7e4, 0), step(last, "down", -6e4, i)], "layers": life} for i, d in enumerate(self.dims[:4])]
        return {"min_share": 0.1, "n_features": len(features), "features": features}

    def results(self):
        a = self.a
        int8 = self.llm_int8()
        billions = a.layers * a.width * a.width * 12 * max(1, a.experts) // 8
        name = a.name or ('<b>"evil" & \'co\'</b>\u0000|\x1b' if a.edge == "hostile" else "made/Sample-%dL-%dE" % (a.layers, a.experts))
        out = {"format": "ol-results", "format_version": 2, "tool_version": "0.2.0", "command_line": "ol-analyze 'sample.h5'",
               "run": {"tool": "ol-extract", "tool_version": "0.2.0", "command_line": "ol-extract made/Sample -t text.jsonl", "created": "2026-01-01T00:00:00Z",
                       "backend": "cpu", "precision": "bf16", "device": "made up"},
               "model": {"name": name, "family": "sample_moe", "n_layers": a.layers, "d_model": a.width, "vocab_size": 151936,
                         "n_experts": 0 if self.dense else a.experts, "top_k": 0 if self.dense else min(8, a.experts),
                         "total_parameters": billions, "active_parameters": billions // (1 if self.dense else max(1, a.experts // 12)),
                         "weight_format": "BF16", "config_sha256": "0" * 64},
               "input": {"source": "made by tests/tools/make_results.py", "text_sha256": "0" * 64, "windowing": "contiguous", "bos": False},
               "criterion": {"threshold": 6.0, "min_layers": 0.25, "min_positions": 0.06, "batch_size": 1},
               "n_sites": 2 * a.layers, "n_tokens": a.tokens * a.sequences, "n_sequences": a.sequences,
               "perplexity": {"value": round(6 + 6 * self.r.random(), 4), "mean_nll": 2.1, "n_tokens": (a.tokens - 1) * a.sequences},
               "llm_int8": int8, "sites": self.sites(), "router": self.router(), "distributions": self.distributions(),
               "massive": self.massive(), "super_experts": self.super_experts(), "attribution": self.attribution(), "links": self.links(),
               "tokens": self.tokens(), "positions": self.positions(), "onset": self.onset(int8), "sweep": self.sweep(),
               "uncertainty": self.uncertainty(int8),
               "phase_shift": {"min_layers": 1.0, "min_positions": 0.75, "text": "a feature on all layers and at 75 % of the positions or more",
                               "n_features": min(2, len(self.dims)), "features": self.dims[:2], "reached": len(self.dims) > 0,
                               "n_features_by_layers": min(3, len(self.dims)), "features_by_layers": self.dims[:3]},
               "quantisation": self.quantisation()}
        for key in ("precision", "label", "processor"):
            if getattr(a, key):
                out["run"][key] = getattr(a, key)
        if a.windowing:
            out["input"]["windowing"] = a.windowing
        if a.parameters:
            out["model"]["total_parameters"] = a.parameters
        if a.edge == "hostile":  # every text that is not looked up
            out["run"].update(label=EVIL, precision=EVIL, backend=EVIL, device=EVIL, processor=EVIL, created=EVIL)
            out["model"].update(family=EVIL, weight_format=EVIL, routing=EVIL)
            out["input"].update(source=EVIL, windowing=EVIL)
            out["phase_shift"]["text"] = out["command_line"] = out["tool_version"] = EVIL
        out["ablation"] = self.ablation(EVIL if a.edge == "hostile" else "zero:5")
        out["position_map"], out["expert_quantisation"] = self.position_map(), self.expert_quantisation()
        out["co_activation"] = self.co_activation()
        out["generators"] = self.generators()
        out["fp4"] = self.fp4()
        out["choices"] = self.choices()
        out["attention_sinks"] = self.attention_sinks()
        out["residual_sinks"], out["steps"] = self.residual_sinks(), self.steps()
        out["expert_flips"] = self.expert_flips()
        out["head_outputs"] = self.head_outputs()
        out["residual_streams"] = self.residual_streams()
        return out


BLOCKS = ("router", "distributions", "massive", "super_experts", "attribution", "links", "tokens", "positions",
          "onset", "sweep", "uncertainty", "phase_shift", "quantisation",
          "position_map", "expert_quantisation", "ablation", "co_activation", "generators", "fp4", "choices",
          "attention_sinks", "residual_sinks", "steps", "expert_flips", "head_outputs",
          "residual_streams")


def main():
    p = argparse.ArgumentParser()
    for option, default in (("layers", 48), ("experts", 128), ("width", 2048), ("tokens", 2048), ("sequences", 16), ("seed", 1)):
        p.add_argument("--" + option, type=int, default=default)
    p.add_argument("--without", action="append", default=[])
    p.add_argument("--edge", choices=("hostile", "empty", "nulls", "dense"))
    for option in ("name", "precision", "label", "processor", "windowing"):
        p.add_argument("--" + option)
    p.add_argument("--parameters", type=int)
    a = p.parse_args()
    results = Maker(a).results()
    for block in a.without:
        del results[block]
    if a.edge == "nulls":
        for block in BLOCKS + ("perplexity", "llm_int8"):
            results[block] = None
    print(json.dumps(results, ensure_ascii=False))


main()
