#!/usr/bin/env python3
"""Check an activation file's summaries against its own tensors.

usage: summary.py RUN.h5 MOST_UNKNOWN

RUN.h5 must hold all four sites (--sites ln_attn,ln_mlp,residual_attn,residual_mlp). Every
number of the summaries is computed again from the tensors; what wrote to a dimension must
add up to the change of the stream, but for a share of at most MOST_UNKNOWN that the file
says is not known (in a tiny model no dimension stands out). Prints what was compared, or fails.
"""
import sys

import h5py
import numpy as np


def codes(dataset, lengths):
    """Rows of all sequences as bf16 codes [n, d], and their sequence and position."""
    x = dataset[...]
    rows, places = [], []
    for s, n in enumerate(lengths):
        rows.append(x[s, :n])
        places += [(s, p) for p in range(n)]
    x = np.concatenate(rows).astype(np.float32)
    bits = x.view(np.uint32)
    rounded = ((bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return rounded, np.array(places)


def widen(code):
    return (code.astype(np.uint32) << 16).view(np.float32)


def check_site(group, tensor, lengths, threshold, positions, values, normed=True):
    code, places = codes(tensor, lengths)
    x = widen(code)
    np.testing.assert_array_equal(group["histogram"][...], np.bincount(code.ravel(), minlength=65536))
    columns = group["columns"][...]
    np.testing.assert_array_equal(columns[0], x.max(axis=0))
    np.testing.assert_array_equal(columns[1], x.min(axis=0))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(columns[2], wide.sum(axis=0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(columns[3], (wide**2).sum(axis=0), rtol=1e-12)
    if "counts" not in group:
        assert (columns[4] == 1).all()
        return
    # A norm's output is what its gain made of a row that has the mean square 1; without a
    # norm there is no gain, and one with a bias gives another output.
    with np.errstate(divide="ignore", invalid="ignore"):
        square = np.nanmean(np.where(columns[4] != 0, (wide / columns[4]) ** 2, np.nan), axis=1)
    assert not normed or np.all(np.abs(square[square > 0.5] - 1) < 0.05), "gains do not fit the rows"
    found = np.abs(x) >= threshold
    counts = np.zeros(group["counts"].shape, dtype=int)
    maxima = np.zeros(group["counts"].shape, dtype=np.float32)
    for row, feature in np.argwhere(found):
        s, p = places[row]
        counts[s, feature] += 1
        maxima[s, feature] = max(maxima[s, feature], abs(x[row, feature]))
        positions[s, feature, p] = True
        key = (int(feature), int(code[row, feature]))
        values[key] = values.get(key, 0) + 1
    np.testing.assert_array_equal(group["counts"][...], counts)
    np.testing.assert_array_equal(group["maxima"][...], maxima)


def top(x, k):
    """Columns of the k largest magnitudes, ties to the lower."""
    return np.argsort(-np.abs(x), axis=1, kind="stable")[:, :k]


def check_writes(layer, after, before, middle, lengths, exact):
    """after: the stream that the next layer begins with, or None for the last layer."""
    features = layer["summary/top_features"][...]
    writes = layer["summary/writes"][...]
    n_sequences, n_tokens = features.shape[:2]
    writes = writes.reshape(n_sequences, n_tokens, 4, -1)
    unknown = known = 0
    worst = 0.0
    for s, n in enumerate(lengths):
        rows = np.arange(n)[:, None]
        f = features[s, :n].astype(int)
        value, attention, parts = writes[s, :n, :, 0], writes[s, :n, :, 1], writes[s, :n, :, 2:]
        if after is not None:
            np.testing.assert_array_equal(f, top(after[s, :n], 4))
            np.testing.assert_array_equal(value, after[s][rows, f])
        start, mid = before[s][rows, f], middle[s][rows, f]
        here = ~np.isnan(attention)
        scale = np.abs(mid) + np.abs(start) + np.abs(attention) + 1e-6
        worst = max(worst, np.max(np.abs(mid - start - attention)[here] / scale[here], initial=0))
        whole = ~np.isnan(parts).any(axis=-1)
        change = value - mid
        scale = np.abs(value) + np.abs(mid) + np.abs(parts).sum(axis=-1) + 1e-6
        worst = max(worst, np.max(np.abs(change - parts.sum(axis=-1))[whole] / scale[whole], initial=0))
        known += whole.sum() + here.sum()
        unknown += (~whole).sum() + (~here).sum()
    limit = 1e-6 if exact else 2**-7
    assert worst <= limit, f"parts are {worst:.3g} off the stream's change, at most {limit:.3g}"
    return known, unknown


def check_units(layer, ids, weights, lengths):
    if ids is None:
        return
    units = layer["summary/units"][...]
    used = np.concatenate([ids[s, :n].reshape(-1) for s, n in enumerate(lengths)])
    gates = np.concatenate([weights[s, :n].reshape(-1) for s, n in enumerate(lengths)])
    n_experts = int(used.max()) + 1
    np.testing.assert_array_equal(units[:n_experts, 0], np.bincount(used, minlength=n_experts))
    np.testing.assert_allclose(
        units[:n_experts, 1], np.bincount(used, weights=gates, minlength=n_experts), rtol=1e-6
    )


def main():
    with h5py.File(sys.argv[1]) as f:
        lengths = f["input/lengths"][...]
        threshold = f["summary"].attrs["threshold"]
        n_sequences, n_tokens = f["input/token_ids"].shape
        d = int(f["model"].attrs["d_model"])
        exact = f.attrs["precision"] == "f32"
        positions = np.zeros((n_sequences, d, n_tokens), dtype=bool)
        values = {}
        known = unknown = 0
        normed = f["model"].attrs["family"] not in ("olmo2", "olmo3", "gpt2")
        layers = sorted(f["layers"])
        for i, name in enumerate(layers):
            layer = f["layers"][name]
            mixes, mlp = layer.attrs["attention"] != "none", layer.attrs["kind"] != "none"
            assert mixes == ("ln_attn" in layer) == ("residual_attn" in layer)
            assert mlp == ("ln_mlp" in layer) == ("residual_mlp" in layer) == ("units" in layer["summary"])
            for site in ["ln_attn"] * mixes + ["ln_mlp"] * mlp:
                check_site(layer["summary"][site], layer[site], lengths, threshold, positions, values, normed)
            after = None
            if i + 1 < len(layers):
                following = f["layers"][layers[i + 1]]
                after = following["residual_attn" if "residual_attn" in following else "residual_mlp"]
                check_site(layer["summary/output"], after, lengths, threshold, None, None)
                after = after[...].astype(np.float32)
            # A layer that is one thing has the stream before or after it in the middle.
            streams = [layer[s][...].astype(np.float32) for s in ("residual_attn", "residual_mlp") if s in layer]
            before, middle = streams[0], streams[-1] if mlp else after
            if middle is not None:
                k, u = check_writes(layer, after, before, middle, lengths, exact)
                known, unknown = known + k, unknown + u
            moe = "router_ids" in layer
            check_units(
                layer,
                layer["router_ids"][...] if moe else None,
                layer["router_weights"][...] if moe else None,
                lengths,
            )
        bits = np.unpackbits(f["summary/positions"][...], axis=2, bitorder="little")
        np.testing.assert_array_equal(bits[:, :, :n_tokens].astype(bool), positions)
        assert not bits[:, :, n_tokens:].any()
        stored = zip(
            f["summary/value_features"][...], f["summary/value_codes"][...], f["summary/value_counts"][...]
        )
        assert [((int(a), int(b)), int(c)) for a, b, c in stored] == sorted(values.items())
        assert unknown <= float(sys.argv[2]) * (known + unknown), f"{unknown} of {known + unknown} unknown"
        print(
            f"{len(layers)} layers, {int(positions.sum())} outlying positions, {sum(values.values())} "
            f"occurrences of {len(values)} values, {known} writes known, {unknown} not"
        )


main()
