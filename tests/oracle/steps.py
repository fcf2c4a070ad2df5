#!/usr/bin/env python3
"""usage: steps.py check RESULTS.json RUN.h5...
       steps.py plant RUN.h5
       steps.py known RESULTS.json RUN.h5

Check the block "steps" against the tables of the runs, added up again, or, where they have the stream's
tensors (residual_attn), against these; put steps of known answers into a run's tables (of
tests/golden/models/qwen3_next with --store none); check that the results have these answers."""
import json
import math
import sys

import h5py
import numpy as np

from checksums import renew
from plant_statistics import EIGHTH, clear, put_output, put_value
from statistics import Run, follows, massive_features, massive_values, peaks_of, same, sign, units, writer_order

STEP = 0.1


def at_of(run, f, row):
    return [next((int(k) for k in np.flatnonzero(layer.top[row] == f)), None) for layer in run.layers]


class Change:
    def __init__(self):
        self.known, self.bounded, self.values, self.others, self.writes = [], [], [], [], {}


def most(run, l, row):
    return abs(float(run.layers[l].top_values[row, 3])) if run.layers[l].top[row, 3] < run.d else math.nan


def take(run, change, l, row, at, s):
    layer, k = run.layers[l], at[l]
    value = lambda i: float(run.layers[i].top_values[row, at[i]]) if at[i] is not None else math.nan
    after = value(l)
    before = value(l - 1) if l > 0 and follows(run, l) else math.nan
    if k is not None:
        writes = [("attention", None, float(layer.attention[row, k]))]
        writes += [(*w, float(x)) for w, x in zip(layer.writers[row], layer.parts[row, k])]
        for kind, expert, x in writes:
            if math.isfinite(x):
                change.writes.setdefault((l, kind, expert), []).append(s * x)
        if not math.isfinite(before):
            before = after - sum(x for *_, x in writes)
    if math.isfinite(after):
        change.values.append(s * after)
    else:
        change.others.append(most(run, l, row))
    if math.isfinite(before) and math.isfinite(after):
        change.known.append(s * (after - before))
    elif math.isfinite(before) and k is None:
        change.bounded.append(-max(0.0, s * before - most(run, l, row)))
    elif math.isfinite(after) and l > 0 and follows(run, l) and at[l - 1] is None:
        change.bounded.append(max(0.0, s * after - most(run, l - 1, row)))


def average(values):
    return math.fsum(values) / len(values) if values and all(map(math.isfinite, values)) else None


def describe_step(run, f, l, c, magnitude, rows, at):
    total = math.fsum(c.known) + math.fsum(c.bounded)
    sums = {w: math.fsum(v) for w, v in c.writes.items()}
    by = [w for w in sorted(sums, key=lambda w: (-abs(sums[w]), writer_order(w))) if sums[w] * total > 0]
    found = []
    for u in units(run) if c.bounded else []:
        if u["layer"] != run.layers[l].number or u["feature"] != f or u["output"] is None or not math.isfinite(u["output"]):
            continue
        row = run.starts[u["place"][0]] + u["place"][1]
        if row in rows and at[row][l] is None:
            found.append({"layer": u["layer"], "kind": u["kind"], "expert": u["expert"], "output": float(u["output"]), **run.place(row)})
    kind = run.files[0][f"layers/{run.layers[l].number:03d}"].attrs["attention"]
    return {"layer": run.layers[l].number, "attention": kind, "direction": "up" if total > 0 else "down", "sum": total, "share": total / magnitude,
            "n_tokens": len(c.known), "n_bounded": len(c.bounded),
            "by": [{"layer": run.layers[l].number, "kind": w[1], "expert": w[2], "n_tokens": len(c.writes[w]), "sum": sums[w],
                    "share": sums[w] / magnitude} for w in by[:4]],
            "units": found[:4], "unknown": total - math.fsum(sums.values())}


def describe(run, feature, medians):
    f = feature["feature"]
    changes, values, rows, at = [Change() for _ in run.layers], [], set(), {}
    for row in range(len(run.places)):
        at[row] = at_of(run, f, row)
        peaks = peaks_of(run, None, "massive", f, row, at[row], medians)
        if not peaks:
            continue
        rows.add(row)
        if not math.isfinite(peaks[0][1]):
            continue
        values.append(peaks[0][1])
        for l, change in enumerate(changes):
            take(run, change, l, row, at[row], sign(peaks[0][1]))
    magnitude = math.fsum(map(abs, values))
    steps = [describe_step(run, f, l, c, magnitude, rows, at) for l, c in enumerate(changes)
             if magnitude and abs(math.fsum(c.known) + math.fsum(c.bounded)) >= STEP * magnitude]
    up = max((s for s in steps if s["sum"] > 0), key=lambda s: s["sum"], default={"layer": None})
    down = min((s for s in steps if s["sum"] < 0), key=lambda s: s["sum"], default={"layer": None})
    positive, last = sum(v >= 0 for v in values), changes[-1]
    left = math.fsum(last.values)
    return {"feature": f, "sign": None if not values else "+" if positive == len(values) else "both" if positive else "-",
            "max_magnitude": feature["max_magnitude"], "n_tokens": len(rows), "at_first_token": feature["at_first_token"],
            "n_values": len(values), "magnitude": magnitude, "first_layer": feature["first_layer"], "last_layer": feature["last_layer"],
            "up_layer": up["layer"], "down_layer": down["layer"],
            "left": left / magnitude if last.values and magnitude else None,
            "left_at_most": (left + math.fsum(last.others)) / magnitude if magnitude and all(map(math.isfinite, last.others)) else None,
            "steps": steps,
            "layers": [{"layer": layer.number, "value": average(c.values), "n_known": len(c.values), "most_of_others": average(c.others),
                        "change": average(c.known), "n_changed": len(c.known)} for layer, c in zip(run.layers, changes)]}


def check(results, paths):
    run, block = Run(paths, "--tables" in sys.argv), json.load(open(results))["steps"]
    if not run.summaries:
        assert block is None
        return
    massive, _, medians = massive_values(run)
    features = massive_features(run, massive, medians)
    same("steps", block, {"min_share": STEP, "n_features": len(features),
                          "features": [describe(run, f, medians) for f in features[:256]]})
    print(len(features), "massive dimensions,", sum(len(f["steps"]) for f in block["features"]), "steps")


# ---- planted ----


def plant(path):
    """Medians are 1/8. 7 is +5000 at the first token of two sequences from layer 1, by an expert, loses 50 by
    attention in layer 2, and is not recorded after layer 3, where the shared expert's largest output is in it.
    9 is -3000 at one token by attention of layer 1, loses 1800 by an expert of layer 2, where it is massive for
    the last time, and 1110 by attention of layer 3; 90 are left. 11 is infinite."""
    with h5py.File(path, "r+") as f:
        clear(f, EIGHTH)
        for place in ((0, 0), (1, 0)):
            put_value(f, 1, place, 0, 7, 5000.0, 2.0, [1.0, 4990.0, 0.0, 7.0])
            put_value(f, 2, place, 0, 7, 4950.0, -50.0, [0, 0, 0, 0])
        put_output(f, 3, 9, -4940.0, 7, (0, 0))
        put_output(f, 3, 4, -4930.0, 7, (2, 1))  # on a token where 7 is small
        put_value(f, 1, (0, 5), 0, 9, -3000.0, -3000.0, [0, 0, 0, 0])
        put_value(f, 2, (0, 5), 0, 9, -1200.0, 0.0, [1800.0, 0, 0, 0])
        put_value(f, 3, (0, 5), 0, 9, -90.0, 1110.0, [0, 0, 0, 0])
        put_value(f, 2, (2, 2), 0, 11, math.inf)
        f["summary"].attrs["planted_experts"] = [int(f["layers/001/router_ids"][0, 0, 1]), int(f["layers/002/router_ids"][0, 5, 0])]
        renew(f)


def known(results, path):
    with h5py.File(path) as f:
        first, second = f["summary"].attrs["planted_experts"]
    block = json.load(open(results))["steps"]
    found = {f["feature"]: f for f in block["features"]}
    assert list(found) == [11, 7, 9] and block["n_features"] == 3, found.keys()
    assert found[11]["steps"] == [] and (found[11]["n_values"], found[11]["sign"], found[11]["left"]) == (0, None, None), found[11]
    brief = lambda s: (s["layer"], s["direction"], s["sum"], s["n_tokens"], s["n_bounded"])
    who = lambda s: [(w["kind"], w["expert"], w["sum"], w["n_tokens"]) for w in s["by"]]
    seven, nine = found[7], found[9]
    up, down = seven["steps"]
    assert brief(up) == (1, "up", 10000, 2, 0) and who(up)[0][0] == "expert" and up["units"] == [], up
    assert ("expert", first) in [w[:2] for w in who(up)], (first, up)
    # Behind the last massive layer: at least what the fourth largest leaves room for, by whose largest output it is.
    assert brief(down) == (3, "down", -2 * (4950 - 0.125), 0, 2) and down["by"] == [], down
    assert [(u["kind"], u["output"], u["sequence"], u["position"]) for u in down["units"]] == [("shared", -4940, 0, 0)], down
    assert (seven["up_layer"], seven["down_layer"], seven["last_layer"], seven["sign"]) == (1, 3, 2, "+"), seven
    assert (seven["left"], seven["left_at_most"]) == (None, 0.25 / 10000), seven
    assert [l["value"] for l in seven["layers"]] == [None, 5000, 4950, None]
    up, down, late = nine["steps"]
    assert brief(up) == (1, "up", 3000, 1, 0) and who(up) == [("attention", None, 3000, 1)], up
    assert brief(down) == (2, "down", -1800, 1, 0) and who(down) == [("expert", second, -1800, 1)], down
    assert brief(late) == (3, "down", -1110, 1, 0) and who(late) == [("attention", None, -1110, 1)], late
    assert (nine["sign"], nine["up_layer"], nine["down_layer"], nine["first_layer"], nine["last_layer"]) == ("-", 1, 2, 1, 2), nine
    assert nine["left"] == 0.03 and down["share"] == -0.6, nine


if __name__ == "__main__":
    {"check": lambda: check(sys.argv[2], [a for a in sys.argv[3:] if a != "--tables"]), "plant": lambda: plant(sys.argv[2]),
     "known": lambda: known(*sys.argv[2:])}[sys.argv[1]]()
