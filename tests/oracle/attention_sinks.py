#!/usr/bin/env python3
"""usage: attention_sinks.py check RESULTS.json RUN.h5...
       attention_sinks.py plant RUN.h5
       attention_sinks.py known RESULTS.json

Check the block "attention_sinks" against the tables of the runs, counted again; put heads of known
answers into a run's tables; check that the results have these answers."""
import json
import math
import sys

import h5py
import numpy as np

from checksums import renew

LIMIT = 0.3


def close(found, wanted, what):
    if wanted is None or (isinstance(wanted, float) and math.isnan(wanted)):
        assert found is None, (what, found)
    else:
        assert found is not None and abs(found - wanted) <= 1e-9 * max(1, abs(wanted)), (what, found, wanted)


def mean(values):
    values = np.asarray(values, dtype=float).ravel()
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else math.nan


def check_head(found, rows):
    keys = rows[:, 5:].reshape(len(rows), 4, 3)
    sinks = keys[(keys[:, :, 0] >= 0) & (keys[:, :, 1] > LIMIT)]
    close(found["first"], mean(rows[:, 0]), "first")
    close(found["first_sink"], mean(np.where(np.isnan(rows[:, 0]), np.nan, rows[:, 0] > LIMIT)), "first_sink")
    close(found["learned"], mean(rows[:, 1]), "learned")
    close(found["gate"], mean(rows[:, 2]), "gate")
    close(found["gate_first"], mean(rows[:, 3]), "gate_first")
    close(found["gate_sinks"], mean(sinks[:, 2]), "gate_sinks")
    close(found["sinks"], float(rows[:, 4].mean()), "sinks")


def check(results, paths):
    block = json.load(open(results))["attention_sinks"]
    files = [h5py.File(path) for path in paths]
    names = [n for n in sorted(files[0]["layers"]) if "summary/attention" in files[0]["layers"][n]]
    if not names:
        assert block is None
        return
    assert block["bos"] == bool(files[0]["input"].attrs["bos"])
    assert (block["min_share"], block["min_queries"]) == (LIMIT, 64)
    assert [l["layer"] for l in block["layers"]] == [int(n) for n in names]
    firsts, sinks, pairs, heads_of, received = [], [], 0, 0, 0
    for layer, name in zip(block["layers"], names):
        heads = np.concatenate([f[f"layers/{name}/summary/attention/heads"][...] for f in files])
        tokens = [f[f"layers/{name}/summary/attention/received"][...].astype(float) for f in files]
        flat = np.concatenate([t[s, :n] for f, t in zip(files, tokens) for s, n in enumerate(f["input/lengths"][...])])
        assert len(layer["heads"]) == heads.shape[1]
        assert layer["attention"] == files[0]["layers"][name].attrs["attention"]
        for h, head in enumerate(layer["heads"]):
            assert head["head"] == h
            check_head(head, heads[:, h])
        for key in ("first", "learned", "gate"):
            close(layer[key], mean([math.nan if x[key] is None else x[key] for x in layer["heads"]]), key)
        close(layer["sink_heads"], mean([x["first_sink"] for x in layer["heads"] if x["first_sink"] is not None]), "sink_heads")
        firsts += [x["first"] for x in layer["heads"] if x["first"] is not None]
        sinks += [x["first_sink"] for x in layer["heads"] if x["first_sink"] is not None]
        pairs += heads.shape[1]
        heads_of = heads_of + flat[:, 1]
        received = received + flat[:, 0] * heads.shape[1]
    assert block["n_heads"] == pairs
    close(block["first"], mean(firsts), "first of all")
    close(block["sink_heads"], mean(sinks), "sink_heads of all")
    lengths = np.concatenate([f["input/lengths"][...] for f in files])
    ids = np.concatenate([f["input/token_ids"][s, :n] for f in files for s, n in enumerate(f["input/lengths"][...])])
    places = [(s, t) for s, n in enumerate(lengths) for t in range(n)]
    keys = [i for i, (_, t) in enumerate(places) if t > 0 and heads_of[i] > 0]
    assert block["n_keys"] == len(keys)
    keys.sort(key=lambda i: (-heads_of[i], -received[i], i))
    assert len(block["keys"]) == min(16, len(keys))
    for found, i in zip(block["keys"], keys):
        assert (found["sequence"], found["position"], found["token_id"]) == (*places[i], ids[i])
        assert found["n_heads"] == heads_of[i]
        close(found["share"], heads_of[i] / pairs, "share")
        close(found["received"], received[i] / pairs, "received")
    check_massive(results, files, places, heads_of)
    counts = {}
    for i in keys:
        counts[int(ids[i])] = counts.get(int(ids[i]), 0) + 1
    wanted = sorted(counts.items(), key=lambda x: (-x[1], x[0]))[:16]
    assert [(t["token_id"], t["n_tokens"]) for t in block["tokens"]] == wanted


def check_massive(results, files, places, heads_of):
    """Tokens with a value above 100 and 1000 times the median of its layer, found again."""
    whole = json.load(open(results))
    block, massive = whole["attention_sinks"], whole.get("massive")
    if massive is None:
        return
    medians = {l["layer"]: l["median_magnitude"] for l in massive["layers"]}
    marked = np.zeros(len(places), bool)
    for number, median in medians.items():
        at = 0
        for f in files:
            writes = f[f"layers/{number:03d}/summary/writes"][...]
            values = np.abs(writes.reshape(*writes.shape[:2], 4, -1)[..., 0])
            values[f[f"layers/{number:03d}/summary/top_features"][...] == 65535] = 0
            for s, n in enumerate(f["input/lengths"][...]):
                marked[at:at + n] |= ((values[s, :n] > 100) & (values[s, :n] >= 1000 * median)).any(1)
                at += n
    heads_of = np.asarray(heads_of).astype(int)
    sinks, first = heads_of > 0, np.array([t == 0 for _, t in places])
    wanted = {"n_sinks": sinks.sum(), "n_massive": marked.sum(), "n_both": (sinks & marked).sum(), "n_both_first": (sinks & marked & first).sum(),
              "n_pairs": heads_of.sum(), "n_pairs_massive": heads_of[marked].sum()}
    assert block["massive"] == {k: int(v) for k, v in wanted.items()}, (block["massive"], wanted)
    at = {place: i for i, place in enumerate(places)}
    for key in block["keys"]:
        assert key["massive"] == bool(marked[at[key["sequence"], key["position"]]])


def plant(path):
    """Layer 0: head 0 sinks in every first token, head 1 in token 7 of sequence 1 alone, gated, which
    has a massive activation there."""
    with h5py.File(path, "r+") as f:
        for name in f["layers"]:
            group = f[f"layers/{name}/summary/attention"]
            heads, received = group["heads"][...], group["received"][...]
            heads[:, :, :5] = (0.1, math.nan, math.nan, math.nan, 0)
            heads[:, :, 5:] = np.tile([-1, math.nan, math.nan], 4)
            received[...] = 0
            if name == "000":
                heads[:, 0, 0], heads[:, 0, 4], heads[:, 0, 5:8] = 0.5, 1, (0, 0.5, math.nan)
                heads[:, 1, 2], heads[:, 1, 3] = 0.5, 0.25
                heads[1, 1, 4], heads[1, 1, 5:11] = 1, (7, 0.75, 0.125, 3, 0.3, 0.875)
                received[:, 0], received[1, 7] = (0.5, 1), (0.25, 1)
                f[f"layers/{name}/summary/writes"][1, 7, 0] = 1e6
            group["heads"][...], group["received"][...] = heads, received
        renew(f)


def known(results):
    block = json.load(open(results))["attention_sinks"]
    first, second = block["layers"][0]["heads"][:2]
    n_sequences = json.load(open(results))["n_sequences"]
    assert (first["first"], first["first_sink"], first["sinks"], first["gate"]) == (0.5, 1, 1, None)
    assert (second["first_sink"], second["gate"], second["gate_first"], second["gate_sinks"]) == (0, 0.5, 0.25, 0.125)
    close(second["sinks"], 1 / n_sequences, "sinks")
    close(block["sink_heads"], 1 / block["n_heads"], "sink_heads")
    (key,) = block["keys"]
    assert (key["sequence"], key["position"], key["n_heads"], block["n_keys"]) == (1, 7, 1, 1)
    assert key["massive"] is True
    assert block["massive"] == {"n_sinks": n_sequences + 1, "n_massive": 1, "n_both": 1, "n_both_first": 0,
                                "n_pairs": n_sequences + 1, "n_pairs_massive": 1}
    assert all(l["sink_heads"] == 0 for l in block["layers"][1:])


{"check": lambda: check(sys.argv[2], sys.argv[3:]), "plant": lambda: plant(sys.argv[2]),
 "known": lambda: known(sys.argv[2])}[sys.argv[1]]()
