#!/usr/bin/env python3
"""Put known values into the summaries of a run, and look for them in ol-analyze's results.

    plant_statistics.py plant KIND RUN.h5
    plant_statistics.py check KIND RESULTS.json

RUN.h5: of tests/golden/models/qwen3_next with --store none (four layers of nine experts
and a shared one, three a token). KIND: known (massive activations, who wrote them, super
experts, outlier features), zero, nan. Needs h5py and numpy."""
import json
import math
import sys

import h5py
import numpy as np

from checksums import renew

ONE, EIGHTH, NAN = 0x3F80, 0x3E00, 0x7FC0  # bf16
TOP = 4


def clear(f, code):
    """Every value is the same: small, nothing written, nothing at any place."""
    value = float(np.uint32(code << 16).view(np.float32))
    n, tokens, d = f["input/lengths"].shape[0], f["input/token_ids"].shape[1], int(f["model"].attrs["d_model"])
    for layer in f["layers"].values():
        summary = layer["summary"]
        for site in ("ln_attn", "ln_mlp", "output"):
            histogram = np.zeros(65536, dtype=np.int64)
            histogram[code] = f["input/lengths"][...].sum() * d
            summary[site]["histogram"][...] = histogram
            ends = [-math.inf, math.inf] if math.isnan(value) else [value, value]
            summary[site]["columns"][:2] = np.array(ends)[:, None]
            if site != "output":
                summary[site]["counts"][...] = 0
                summary[site]["maxima"][...] = 0
        summary["top_features"][...] = np.arange(TOP).reshape(
            (1, 1, TOP) if summary["top_features"].ndim == 3 else (TOP,))
        writes = np.zeros((n, tokens, TOP, summary["writes"].shape[-1] // TOP), dtype=np.float32)
        writes[..., 0] = value
        if math.isnan(value):
            writes[...] = np.nan
        summary["writes"][...] = writes.reshape(summary["writes"].shape)
        units = summary["units"][...]
        units[:] = [5, 2.5, value, 0, 0, 0, value, 0, 0, 0]
        summary["units"][...] = units
    f["summary/positions"][...] = 0


def put_value(f, layer, place, slot, feature, value, attention=0.0, parts=()):
    summary = f[f"layers/{layer:03d}/summary"]
    s, p = place
    top = summary["top_features"][...]
    top[s, p, slot] = feature
    summary["top_features"][...] = top
    writes = summary["writes"][...]
    width = writes.shape[-1] // TOP
    row = np.zeros(width, dtype=np.float32)
    row[0], row[1], row[2 : 2 + len(parts)] = value, attention, parts
    writes[s, p, slot * width : (slot + 1) * width] = row
    summary["writes"][...] = writes


def put_output(f, layer, unit, output, feature, place, given=12.5, column=5):
    units = f[f"layers/{layer:03d}/summary/units"][...]
    units[unit] = [7, 3.5, given, column, *place, output, feature, *place]
    f[f"layers/{layer:03d}/summary/units"][...] = units


def put_site(f, layer, site, sequence, feature, count, largest):
    group = f[f"layers/{layer:03d}/summary/{site}"]
    counts, maxima, columns = group["counts"][...], group["maxima"][...], group["columns"][...]
    counts[sequence, feature], maxima[sequence, feature] = count, largest
    columns[1, feature] = -largest
    group["counts"][...], group["maxima"][...], group["columns"][...] = counts, maxima, columns


def plant_known(f):
    """Medians are 1/8: massive is at least 125; in layer 0 1/16, where it is more than 100."""
    clear(f, EIGHTH)
    histogram = f["layers/000/summary/output/histogram"]
    histogram[EIGHTH - 0x80], histogram[EIGHTH] = histogram[EIGHTH], 0
    put_value(f, 0, (0, 2), 2, 12, 100.0)
    put_value(f, 0, (0, 2), 3, 13, -100.5)
    expert = int(f["layers/001/router_ids"][0, 0, 1])
    unknown = math.nan
    put_value(f, 1, (0, 0), 0, 7, 5000.0, 2.0, [1.0, 4990.0, unknown, 7.0])
    put_value(f, 1, (1, 0), 0, 7, -3000.0, unknown, [0, 0, 0, 0])
    put_value(f, 1, (0, 3), 1, 9, 125.0)  # just massive
    put_value(f, 1, (0, 4), 1, 11, 124.5)  # just not
    put_value(f, 2, (0, 0), 0, 7, 4000.0, 500.0, [0, 0, 0, -20.0])
    put_value(f, 2, (2, 2), 0, 30, math.inf)
    put_value(f, 2, (2, 3), 0, 31, unknown)
    for layer in range(4):
        units = f[f"layers/{layer:03d}/summary/units"][...]
        units[:, 6] = 1.0
        f[f"layers/{layer:03d}/summary/units"][...] = units
    put_output(f, 1, expert, -900.0, 7, (0, 0))
    put_output(f, 1, 9, 250.0, 7, (1, 0))  # the shared one
    put_output(f, 0, 3, 199.0, 2, (1, 1))  # below a tenth of the largest
    put_output(f, 3, 2, 2000.0, 4, (1, 1))  # too late
    for sequence in range(3):
        put_site(f, 1, "ln_mlp", sequence, 7, 1, 40.0 + sequence)
        put_site(f, 2, "ln_attn", sequence, 7, 1, 30.0)
    put_site(f, 2, "ln_attn", 3, 7, 1, 30.0)
    positions = f["summary/positions"][...]
    positions[:, 7, 0] = 0x03
    f["summary/positions"][...] = positions
    f["summary"].attrs["planted_expert"] = expert


def check_known(r):
    m = r["massive"]
    layer = m["layers"][1]
    assert layer["median_magnitude"] == 0.125 and layer["max_magnitude"] == 5000, layer
    assert (layer["feature"], layer["sequence"], layer["position"]) == (7, 0, 0), layer
    assert layer["n_values"] == 3 and layer["n_tokens"] == 3, layer
    assert m["layers"][2]["max_magnitude"] is None and m["layers"][2]["feature"] == 30
    assert [f["feature"] for f in m["features"]] == [30, 7, 9, 13], m["features"]
    seven = {"feature": 7, "max_magnitude": 5000, "max_layer": 1, "max_ratio": 40000, "n_values": 3, "n_tokens": 2,
             "at_first_token": 2, "n_layers": 2, "first_layer": 1, "last_layer": 2, "above_until": 2,
             "above_until_at_most": 2}
    found = dict(m["features"][1])
    assert [(l["layer"], l["max_magnitude"], l["n_massive"], l["n_above"]) for l in found.pop("layers")] == [
        (0, 0.125, 0, 0), (1, 5000, 2, 2), (2, 4000, 1, 1), (3, 0.125, 0, 0)], m["features"][1]
    assert found == seven, found
    # 124.5 is 996 times the median: a near miss.
    near = [(n["feature"], n["max_magnitude"], n["max_ratio"], n["first_layer"], n["n_tokens"], n["at_first_token"])
            for n in m["near"]]
    assert near == [(11, 124.5, 996, 1, 1, 0)], near
    assert [l["mean_top_published"][0] for l in m["layers"]][1] == (5000 + 3000 + 10 * 0.125) / 12
    assert m["features"][0]["max_magnitude"] is None
    assert (m["onset_layer"], m["offset_layer"]) == (0, 2)
    assert (sum(t["at_first"] for t in m["tokens"]), sum(t["elsewhere"] for t in m["tokens"])) == (2, 3)
    check_writers(r)


def check_writers(r):
    supers = r["super_experts"]
    assert supers["max_output"] == 2000 and supers["limit"] >= 200
    found = [(e["layer"], e["kind"], e["output"]) for e in supers["experts"]]
    # 36 routed outputs: the 99.5th percentile is 0.825 of the way from 900 to 2000.
    assert abs(supers["limit"] - (900 + 0.825 * 1100)) < 1e-9, supers["limit"]
    assert found == [], found
    check_events(r)
    link = next(k for k in r["links"] if k["feature"] == 7)
    assert (link["event_tokens"], link["share_with_occurrence"], link["ln_site"], link["normed_max"]) == (2, 1, None, None), link
    assert (link["writer"]["layer"], link["writer"]["kind"], link["writer"]["share"]) == (1, "expert", 4990 / 8000), link
    assert link["is_outlier_feature"] and not link["is_super_expert"] and link["onset_layer"] == 1
    (seven,) = r["onset"]["features"]
    assert (seven["feature"], seven["first_layer"], seven["first_site"], seven["last_layer"], seven["n_sites"]) == (
        7, 1, "ln_mlp", 2, 2), seven
    assert [(s["layer"], s["site"], s["occurrences"]) for s in r["onset"]["by_site"] if s["n_features"]] == [
        (1, "ln_mlp", 3), (2, "ln_attn", 4)]
    assert not r["phase_shift"]["reached"]


def check_events(r):
    """7 is +5000 at the first token of one sequence, -3000 at that of another, both after layer 1."""
    asked = {(f["feature"], f["event"]): f for f in r["attribution"]["features"]}
    seven = asked[7, "massive"]
    brief = lambda writers: [(w["layer"], w["kind"], w["n_tokens"], w["sum"], w["share"]) for w in writers]
    assert (seven["n_tokens"], seven["at_first_token"], seven["sign"], seven["magnitude"]) == (2, 2, "both", 8000), seven
    assert seven["peak_layers"] == [{"layer": 1, "n_tokens": 2}] and seven["onset_layers"] == [{"layer": 1, "n_tokens": 1}]
    assert brief(seven["made_by"]) == [(1, "expert", 1, 4990, 4990 / 8000), (1, "shared", 2, 7, 7 / 8000),
                                       (1, "attention", 1, 2, 2 / 8000), (1, "expert", 1, 1, 1 / 8000)], seven["made_by"]
    assert seven["counteracted_by"] == [] and seven["embedding"] == 0 and seven["unknown"] == 3000
    # The 500 of layer 2 were written after the peak, along its sign: they neither make nor erase it.
    assert brief(seven["erased_by"]) == [(2, "shared", 1, -20, -20 / 8000)], seven["erased_by"]
    assert asked[30, "massive"]["n_values"] == 0 and asked[30, "massive"]["n_unknown_values"] == 1
    assert asked[30, "massive"]["sign"] is None and asked[30, "massive"]["made_by"] == []
    # Occurrences, by the bitmap: the first two tokens of each sequence (one has one), before layer 2's attention, where most are.
    outlier = asked[7, "outlier"]
    assert (outlier["n_tokens"], outlier["at_first_token"], outlier["n_values"], outlier["n_unknown_values"]) == (23, 12, 2, 21)
    assert outlier["peak_layers"] == [{"layer": 2, "n_tokens": 2}] and outlier["magnitude"] == 8000
    assert asked[7, "all"]["n_tokens"] == 2
    layers = [l for l in r["attribution"]["layers"] if (l["feature"], l["event"]) == (7, "massive")]
    # MLPs with an unknown part are not known as a whole: of layer 1 only the second token's is.
    assert [(l["attention"], l["mlp"]) for l in layers] == [(None, None), (2, 0), (500, -20), (None, None)], layers


def plant_super(f):
    """As known, but without the late expert: the rest of the rule decides."""
    plant_known(f)
    put_output(f, 3, 2, 1.0, 4, (1, 1))
    put_output(f, 3, 9, 1000.0, 4, (1, 1))  # shared, too late
    put_output(f, 1, 9, 950.0, 7, (1, 0))  # shared
    put_output(f, 0, 5, -math.inf, 6, (1, 0))  # no part of the limit
    put_output(f, 0, 6, math.nan, 6, (1, 0))


def check_super(r):
    supers = r["super_experts"]
    # From 199 to 900, 0.835 of the way, for 34 routed ones.
    assert abs(supers["limit"] - (199 + 0.835 * 701)) < 1e-9 and supers["max_output"] == 900
    infinite, shared, one = supers["experts"]
    assert (infinite["expert"], infinite["output"], infinite["share_of_max"]) == (5, None, None), infinite
    assert (shared["kind"], shared["expert"], shared["output"]) == ("shared", None, 950), shared
    assert (one["layer"], one["kind"], one["output"], one["feature"]) == (1, "expert", -900, 7), one
    assert (one["input"], one["input_column"], one["n_tokens"], one["gate_mean"]) == (12.5, 5, 7, 0.5), one
    assert (one["sequence"], one["position"], one["share_of_max"]) == (0, 0, 1), one
    link = next(k for k in r["links"] if k["feature"] == 7)
    assert link["is_super_expert"], link
    # All other outputs are 1, their logarithms' deviation 0: nothing to measure by.
    assert supers["robust"]["mad"] == 0 and supers["robust"]["experts"] == []


def plant_spread(f):
    """Outputs of every magnitude from 1 to 2, and one of 10,000."""
    clear(f, EIGHTH)
    for layer in range(4):
        units = f[f"layers/{layer:03d}/summary/units"][...]
        units[:, 6] = np.exp2((np.arange(10) + 10 * layer) / 39)
        f[f"layers/{layer:03d}/summary/units"][...] = units
    put_output(f, 3, 9, -10000.0, 4, (1, 1))


def check_spread(r):
    supers = r["super_experts"]
    assert supers["experts"] == [] and supers["max_output"] < 2
    (one,) = supers["robust"]["experts"]
    assert (one["layer"], one["kind"], one["expert"], one["output"]) == (3, "shared", None, -10000)
    logs = np.log([*np.exp2(np.arange(39) / 39), 10000])
    z = 0.6745 * (logs[-1] - np.median(logs)) / np.median(np.abs(logs - np.median(logs)))
    assert abs(one["z"] - z) < 1e-9, (one, z)


def plant_many(f):
    """More massive features than are attributed."""
    clear(f, EIGHTH)
    for i in range(36):
        put_value(f, 1, (0, i // TOP), i % TOP, 35 - i, 1000.0 + 4 * i, 0, [4, -1, 0, 0])


def check_many(r):
    assert [f["feature"] for f in r["massive"]["features"]] == list(range(36))
    asked = r["attribution"]["features"]
    assert [f["feature"] for f in asked if f["event"] == "massive"] == list(range(32))
    assert [f["feature"] for f in asked if f["event"] == "all"] == list(range(32))
    assert len(r["attribution"]["layers"]) == 8 * 4
    assert [k["writer"] is None for k in r["links"]] == [False] * 32 + [True] * 4
    assert [k["is_super_expert"] is None for k in r["links"]] == [False] * 32 + [True] * 4
    assert r["links"][0]["writer"]["kind"] == "expert"


def check_zero(r):
    assert all(s["n_zero"] == s["n"] and s["std"] == 0 and s["kurtosis"] is None
               for s in r["distributions"]["sites"])
    assert r["massive"]["features"] == [] and r["massive"]["layers"][0]["max_magnitude"] == 0
    assert r["super_experts"]["experts"] == [] and r["super_experts"]["limit"] == 0
    assert r["super_experts"]["robust"]["median"] is None
    assert r["links"] == [] and r["onset"]["features"] == []
    asked = r["attribution"]["features"]
    assert asked and all(f["magnitude"] == 0 and f["made_by"] == f["erased_by"] == [] for f in asked)
    assert all(f["others"]["made_by"]["share"] is None for f in asked)


def check_nan(r):
    assert all(s["n_nan"] == s["n"] and s["mean"] is None and s["magnitudes"] == [None] * 7
               for s in r["distributions"]["sites"])
    assert r["massive"]["features"] == []
    assert r["massive"]["layers"][0]["median_magnitude"] is None
    assert r["massive"]["layers"][0]["mean_top"] == [None] * 4
    assert r["super_experts"]["limit"] is None and r["super_experts"]["experts"] == []
    assert all(f["n_values"] == 0 for f in r["attribution"]["features"])
    assert all(l["attention"] is None for l in r["attribution"]["layers"])


KINDS = {"known": (plant_known, check_known), "super": (plant_super, check_super),
         "many": (plant_many, check_many), "spread": (plant_spread, check_spread), "zero": (lambda f: clear(f, 0), check_zero),
         "nan": (lambda f: clear(f, NAN), check_nan)}


def main():
    what, kind, path = sys.argv[1:]
    if what == "plant":
        with h5py.File(path, "r+") as f:
            KINDS[kind][0](f)
            renew(f)
    else:
        with open(path) as f:
            KINDS[kind][1](json.load(f))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main()
