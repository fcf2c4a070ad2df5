#!/usr/bin/env python3
"""usage: trend.py TABLE.csv X=RESULTS.json...

Check what ol-report trend -f csv says of several results, which are given in order with
where they stand on the axis, against the files."""
import csv
import json
import sys


def largest(values):
    known = [v for v in values if v is not None]
    return max(known) if known else None


def measures(r):
    int8, massive, supers = r.get("llm_int8"), r.get("massive"), r.get("super_experts")
    sinks, residual, rises = r.get("attention_sinks"), r.get("residual_sinks"), r.get("steps")
    steps = lambda way: [s for f in rises["features"] for s in f["steps"] if s["direction"] == way]
    share = lambda way: largest([100 * abs(s["share"]) for s in steps(way) if s["share"] is not None])
    sites = (r.get("distributions") or {}).get("sites", [])
    kurtosis = lambda stream: largest(s.get("kurtosis_token_median") for s in sites if (s["site"] == "output") == stream)
    return {
        "pairs": int8 and int8["pairs"]["count"], "unique": int8 and int8["unique"]["count"], "pooled": int8 and int8["pooled"]["count"],
        "max_norms": largest(s["max_magnitude"] for s in r.get("sites", [])),
        "max_stream": massive and largest(l["max_magnitude"] for l in massive["layers"]),
        "kurtosis_norms": kurtosis(False), "kurtosis_stream": kurtosis(True),
        "massive": massive and len(massive["features"]),
        "massive_tokens": massive and sum(t["at_first"] + t["elsewhere"] for t in massive["tokens"]) / r["n_sequences"],
        "sink_heads": sinks and sinks["sink_heads"] is not None and 100 * sinks["sink_heads"] or None,
        "residual_sinks": residual and residual["n_sinks"],
        "residual_ratio": residual and largest(f["ratio"] for f in residual["features"] if f["n_layers"] > 0),
        "steps_up": rises and len(steps("up")), "steps_down": rises and len(steps("down")),
        "largest_up": rises and share("up"), "largest_down": rises and share("down"),
        "super_experts": supers and len(supers["experts"]) if r["model"]["n_experts"] else None,
        "perplexity": r.get("perplexity") and r["perplexity"]["value"],
    }


with open(sys.argv[1], newline="") as file:
    rows = list(csv.DictReader(file))
assert len(rows) == len(sys.argv) - 2, rows
for row, given in zip(rows, sys.argv[2:]):
    x, path = given.split("=", 1)
    assert float(row["x"]) == float(x), (row["x"], x)
    with open(path) as file:
        expected = measures(json.load(file))
    for key, value in expected.items():
        if value is None:
            assert row[key] == "", (path, key, row[key])
        else:
            assert abs(float(row[key]) - value) <= 1e-12 * abs(value), (path, key, row[key], value)
print(f"a trend of {len(rows)} results is as expected")
