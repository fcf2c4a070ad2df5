#!/usr/bin/env python3
"""Check a results file of ol-analyze against a plain reading of the method.

    analyze.py RESULTS.json RUN.h5...

Needs h5py. Written from the definitions alone, one set and one loop at a time; it shares
nothing with ol-analyze but the file formats."""
import json
import math
import sys

import h5py
import numpy as np

TOLERANCE = 1e-12


class Mismatch(Exception):
    pass


def same(path, found, expected):
    if isinstance(expected, dict):
        for key in expected:
            if key not in found:
                raise Mismatch(f"{path}.{key} is missing")
            same(f"{path}.{key}", found[key], expected[key])
    elif isinstance(expected, list):
        if len(found) != len(expected):
            raise Mismatch(f"{path}: {len(found)} entries, expected {len(expected)}")
        for i, (a, b) in enumerate(zip(found, expected)):
            same(f"{path}[{i}]", a, b)
    elif isinstance(expected, float) and isinstance(found, (int, float)):
        if abs(found - expected) > TOLERANCE * max(1, abs(expected)):
            raise Mismatch(f"{path}: {found}, expected {expected}")
    elif found != expected or isinstance(found, bool) != isinstance(expected, bool):
        raise Mismatch(f"{path}: {found}, expected {expected}")


def or_null(x):
    return float(x) if math.isfinite(x) else None


def mean(values):
    return sum(values) / len(values) if values else None


def median(values):
    if not values:
        return None
    values = sorted(values)
    n = len(values)
    return values[n // 2] if n % 2 else (values[n // 2 - 1] + values[n // 2]) / 2


def quartiles(values):
    values = sorted(values)
    found = []
    for q in (0.25, 0.5, 0.75):
        at = q * (len(values) - 1)
        low, high = values[math.floor(at)], values[math.ceil(at)]
        found.append(low + (high - low) * (at - math.floor(at)) if low != high else low)
    return None if any(not math.isfinite(x) for x in found) else found


def read(paths):
    """[sequence] -> {(layer, site): array [tokens, d_model]}, and the rest."""
    sequences, nll, router = [], [], {}
    for path in paths:
        with h5py.File(path) as f:
            lengths = f["input/lengths"][:]
            for s, n in enumerate(lengths):
                tensors = {}
                for name in sorted(f["layers"]):
                    layer = f["layers"][name]
                    for site in ("ln_attn", "ln_mlp"):
                        if site in layer:
                            tensors[int(name), site] = layer[site][s, :n].astype(np.float32)
                    if "router_ids" in layer:
                        router.setdefault(int(name), []).extend(
                            layer["router_ids"][s, :n].flatten().tolist())
                sequences.append(tensors)
                if "nll" in f["input"]:
                    nll += [float(x) for x in f["input/nll"][s, 1:n]]
            experts = int(f["model"].attrs["n_experts"])
    return sequences, nll, router, experts


def occurrences(sequences, threshold):
    """Every occurrence as (sequence, site, position, feature, value)."""
    found = []
    for s, tensors in enumerate(sequences):
        for site, x in tensors.items():
            with np.errstate(invalid="ignore"):
                rows, features = np.nonzero(np.abs(x.astype(np.float64)) >= threshold)
            found += [(s, site, int(r), int(f), float(x[r, f]))
                      for r, f in zip(rows, features)]
    return found


def by_feature(found):
    groups = {}
    for o in found:
        groups.setdefault(o[3], []).append(o)
    return groups


def order(entry):
    big = math.inf if entry["max_magnitude"] is None else entry["max_magnitude"]
    return -big, entry["feature"]


def expected_results(criterion, paths):
    sequences, nll, router, experts = read(paths)
    sites = sorted(sequences[0], key=lambda s: (s[0], s[1] != "ln_attn"))
    n_layers = len({layer for layer, _ in sites})

    def distinct(group):
        of_group = {o[1] for o in group}
        layers = len({layer for layer, _ in of_group})
        return {"n_sites": len(of_group), "n_layers": layers, "distinct_layer_fraction": layers / n_layers}

    lengths = [len(next(iter(t.values()))) for t in sequences]
    found = occurrences(sequences, criterion["threshold"])
    batches, pairs, counts = [], [], {}
    size = criterion["batch_size"]
    for first in range(0, len(sequences), size):
        members = list(range(first, min(first + size, len(sequences))))
        longest = max(lengths[s] for s in members)
        features = []
        for f, group in by_feature([o for o in found if o[0] in members]).items():
            layers = len({o[1] for o in group}) / len(sites)
            positions = len({o[2] for o in group}) / longest
            if layers >= criterion["min_layers"] and positions >= criterion["min_positions"]:
                features.append({
                    "feature": f, "max_magnitude": or_null(max(abs(o[4]) for o in group)),
                    "layer_fraction": layers, "position_fraction": positions,
                    "occurrences": len(group), **distinct(group)})
                pairs.append((layers, positions, features[-1]["distinct_layer_fraction"]))
                counts[f] = counts.get(f, 0) + 1
        features.sort(key=order)
        batches.append({"sequences": members, "count": len(features), "features": features})
    blocks = {"unique": [], "pooled": [], "strict": []}
    for f, group in by_feature(found).items():
        layers = len({o[1] for o in group}) / len(sites)
        pooled = len({(o[0], o[2]) for o in group}) / sum(lengths)
        strict = len(group) / (len(sites) * sum(lengths))
        at = []
        for layer, site in sites:
            here = [abs(o[4]) for o in group if o[1] == (layer, site)]
            if here:
                at.append({"layer": layer, "site": site, "occurrences": len(here),
                           "max_magnitude": or_null(max(here))})
        for name, fraction in (("unique", pooled), ("pooled", pooled), ("strict", strict)):
            if name == "unique" and f not in counts:
                continue
            if name != "unique" and not (layers >= criterion["min_layers"] and
                                         fraction >= criterion["min_positions"]):
                continue
            blocks[name].append({
                "feature": f, "batches": counts.get(f, 0),
                "max_magnitude": or_null(max(abs(o[4]) for o in group)),
                "layer_fraction": layers, "position_fraction": fraction,
                "occurrences": len(group), **distinct(group),
                "one_sided": len({o[4] > 0 for o in group}) == 1,
                "quartiles": quartiles([o[4] for o in group]), "sites": at})
    for features in blocks.values():
        features.sort(key=order)
    site_list = []
    for layer, site in sites:
        values = np.concatenate([t[layer, site].flatten() for t in sequences])
        known = np.abs(values[~np.isnan(values)])
        site_list.append({
            "layer": layer, "site": site, "n_nan": int(np.isnan(values).sum()),
            "n_inf": int(np.isinf(values).sum()), "max_magnitude": or_null(known.max()) if len(known) else None,
            "occurrences": sum(o[1] == (layer, site) for o in found) if len(known) else None})
    layers = []
    for layer, ids in sorted(router.items()):
        tokens = [ids.count(e) for e in range(experts)]
        layers.append({
            "layer": layer, "n_pairs": len(ids), "tokens": tokens, "n_outside": 0,
            "never_chosen": [e for e in range(experts) if tokens[e] == 0],
            "entropy": -sum(n / len(ids) * math.log2(n / len(ids)) for n in tokens if n),
            "max_load": max(tokens) * experts / len(ids)})
    return {
        "n_sites": len(sites), "n_tokens": sum(lengths), "n_sequences": len(sequences),
        "perplexity": {"value": math.exp(mean(nll)), "mean_nll": mean(nll),
                       "n_tokens": len(nll)} if nll else None,
        "llm_int8": {
            "pairs": {"count": len(pairs),
                      "mean_layer_fraction": mean([p[0] for p in pairs]),
                      "mean_position_fraction": mean([p[1] for p in pairs]),
                      "mean_distinct_layer_fraction": mean([p[2] for p in pairs]),
                      "median_distinct_layer_fraction": median([p[2] for p in pairs]),
                      "median_layer_fraction": median([p[0] for p in pairs]),
                      "median_position_fraction": median([p[1] for p in pairs])},
            "batches": batches,
            **{name: {"count": len(f), "features": f} for name, f in blocks.items()}},
        "sites": site_list,
        "router": {"n_experts": experts, "layers": layers} if layers else None,
    }


def main():
    with open(sys.argv[1]) as f:
        results = json.load(f)
    expected = expected_results(results["criterion"], sys.argv[2:])
    try:
        same("results", results, expected)
    except Mismatch as e:
        sys.exit(str(e))
    counts = expected["llm_int8"]
    print("pairs", counts["pairs"]["count"],
          *(f"{k} {counts[k]['count']}" for k in ("unique", "pooled", "strict")))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main()
