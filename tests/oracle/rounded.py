#!/usr/bin/env python3
"""usage: rounded.py ids MODEL
       rounded.py compare MODEL RUN.h5
       rounded.py check RESULTS.json RUN.h5...

The token ids of tests/golden/rounded.json as ol-extract --ids takes them; whether a run in float32
has chosen, for rounded inputs of its routers, what transformers' routers choose; and whether the
block "expert_flips" is what the runs' tables come to, counted again."""
import json
import pathlib
import sys

import h5py

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "rounded.json"
FORMATS = ["none", "int8_token", "fp8_e4m3_token", "mxfp8", "nvfp4", "nvfp4 (four over six)", "mxfp4 (floor)", "mxfp4 (even)"]
ROWS, FIRSTS, MASK = 256, 32, 2**64 - 1


def keys_of(ids):
    """SplitMix64 of each token and the key before it, begun with 1; the first one's is odd."""
    keys, key = [], 1
    for position, i in enumerate(ids):
        z = (key + (int(i) + 1) * 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        key = z ^ z >> 31
        keys.append((key & ~1) | (position == 0))
    return keys


def sample_of(sequences):
    """[key, count, sequence, position]: first tokens, then others, those of the smallest keys."""
    found = {}
    for s, ids in enumerate(sequences):
        for p, key in enumerate(keys_of(ids)):
            found.setdefault(key, [key, 0, s, p])[1] += 1
    firsts = [found[k] for k in sorted(k for k in found if k & 1)][:FIRSTS]
    return firsts + [found[k] for k in sorted(k for k in found if not k & 1)][: ROWS - FIRSTS]


def sequences_of(f):
    return [ids[:n].tolist() for ids, n in zip(f["input/token_ids"][...], f["input/lengths"][...])]


def check_sample(f):
    wanted = sample_of(sequences_of(f))
    for name, layer in f["layers"].items():
        if "router_ids" not in layer:
            assert "rounded" not in layer["summary"], name
            continue
        found, choices = layer["summary/rounded/sample"][...], layer["summary/rounded/choices"][...]
        rows = [[int(r[0]) & MASK, *map(int, r[1:])] for r in found]
        assert rows[: len(wanted)] == wanted and (found[len(wanted):] == 0).all(), name
        assert choices.shape == (ROWS, len(FORMATS), layer["router_ids"].shape[2]) and (choices[len(wanted):] == 0).all(), name
        for i, (_, _, s, p) in enumerate(wanted):
            assert (choices[i, 0] == layer["router_ids"][s, p]).all(), (name, i)
    return len(wanted)


def compare(model, path):
    golden = json.loads(GOLDEN.read_text())["models"][model]
    n = n_wrong = n_flips = 0
    with h5py.File(path) as f:
        assert sequences_of(f) == golden["ids"]
        check_sample(f)
        layers = {int(name): layer for name, layer in f["layers"].items() if "router_ids" in layer}
        assert {str(k) for k in layers} == set(golden["layers"][0]), layers
        for number, layer in layers.items():
            choices = layer["summary/rounded/choices"][...].tolist()
            for row, (_, _, s, p) in zip(choices, sample_of(golden["ids"])):
                wanted = golden["layers"][s][str(number)][p]
                n_flips += sum(set(w) != set(wanted[0]) for w in wanted)
                for name, a, b in zip(FORMATS, row, wanted):
                    n += 1
                    if a != b:
                        n_wrong += 1
                        print(f"{model} layer {number} sequence {s} position {p} {name}: {a}, expected {b}")
    assert n_wrong == 0, f"{n_wrong} of {n} differ"
    assert n_flips > n / 50, "nothing flips"
    print(f"{model}: {n} choices of routers, {n_flips} sets flip, {n_wrong} differ")


def merged(files, number):
    """Rows of all files, equal keys as one: (is first, count, choices)."""
    found = {}
    for f in files:
        layer = f["layers"][number]["summary/rounded"]
        for row, choices in zip(layer["sample"][...], layer["choices"][...]):
            if row[1] > 0:
                found.setdefault(int(row[0]) & MASK, [0, choices.tolist()])[0] += int(row[1])
    firsts = sorted(k for k in found if k & 1)[:FIRSTS]
    others = sorted(k for k in found if not k & 1)[: ROWS - FIRSTS]
    return [(k & 1, *found[k]) for k in firsts + others]


def near(found, wanted, what):
    assert abs(found - wanted) <= 1e-9, (what, found, wanted)


def check(results, paths):
    block = json.load(open(results))["expert_flips"]
    files = [h5py.File(path) for path in paths]
    names = [n for n in sorted(files[0]["layers"]) if "rounded" in files[0]["layers"][n].get("summary", {})]
    if not names:
        assert block is None
        return
    lengths = [int(n) for f in files for n in f["input/lengths"][...]]
    tokens = {1: sum(n > 0 for n in lengths), 0: sum(lengths) - sum(n > 0 for n in lengths)}
    assert [m["format"] for m in block["methods"]] == FORMATS[1:] and block["min_share"] == 0.01
    assert [l["layer"] for l in block["layers"]] == [int(n) for n in names]
    shares = []
    for layer, name in zip(block["layers"], names):
        rows = merged(files, name)
        counts = {kind: sum(r[1] for r in rows if r[0] == kind) for kind in (0, 1)}
        assert (block["sample_tokens"], block["sample_first"]) == (len(rows), sum(r[0] for r in rows))
        weights = [r[1] * tokens[r[0]] / counts[r[0]] for r in rows]
        of_layer = []
        for m in range(1, len(FORMATS)):
            slots = gone = sets = 0
            for (_, _, choices), w in zip(rows, weights):
                true, k = choices[0], len(choices[0])
                slots += w * sum(a != b for a, b in zip(true, choices[m])) / k
                gone += w * sum(a not in choices[m] for a in true) / k
                sets += w * (set(true) != set(choices[m]))
            of_layer.append([x / sum(weights) for x in (gone, slots, sets)])
            for key, value in zip(("choices", "slots", "sets"), of_layer[-1]):
                near(layer[key][m - 1], value, (name, FORMATS[m], key))
        shares.append(of_layer)
    for m, method in enumerate(block["methods"]):
        for i, key in enumerate(("choices", "slots", "sets")):
            near(method[key], sum(s[m][i] for s in shares) / len(shares), (method["format"], key))
        sets = [s[m][2] for s in shares]
        first = [int(n) for n, x in zip(names, sets) if x > 0]
        begin = [int(n) for n, x in zip(names, sets) if x >= 0.01]
        assert method["first_layer"] == (first[0] if first else None)
        assert method["begin_layer"] == (begin[0] if begin else None)
        near(method["worst"], max(sets), "worst")
        assert method["worst_layer"] == (int(names[sets.index(max(sets))]) if first else None)
    print(f"{len(names)} layers, sets that flip: " + ", ".join(f"{m['format']} {100 * m['sets']:.3g} %" for m in block["methods"]))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "ids":
        for ids in json.loads(GOLDEN.read_text())["models"][sys.argv[2]]["ids"]:
            print(*ids)
    elif len(sys.argv) == 4 and sys.argv[1] == "compare":
        compare(sys.argv[2], sys.argv[3])
    elif len(sys.argv) > 3 and sys.argv[1] == "check":
        check(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(__doc__)
