#!/usr/bin/env python3
"""Put values that are no numbers, or counts that cannot be, into a recording; or look for
what ol-analyze made of them.

    plant_values.py nan|inf|zero|one RUN.h5      all values of all tensors (nan: and likelihoods)
    plant_values.py unknown RESULTS.json          nothing is known: no site has a maximum
    plant_values.py damage NUMBER RUN.h5          a count that is none; prints its table

Needs h5py and numpy."""
import json
import sys

import h5py
import numpy as np

from checksums import renew

VALUES = {"nan": np.nan, "inf": np.inf, "zero": 0, "one": 1}
DAMAGES = [
    ("layers/{l}/summary/ln_attn/histogram", 16384, 2**63 - 1),
    ("layers/{l}/summary/ln_mlp/histogram", 3, -1),
    ("layers/{l}/summary/output/histogram", 1, 2**62),
    ("layers/{l}/summary/ln_attn/counts", (0, 0), -(2**31)),
    ("layers/{l}/summary/ln_mlp/counts", (0, 1), 2**31 - 1),
    ("layers/{l}/summary/units", (0, 0), 1e300),
    ("layers/{l}/summary/units", (0, 0), -1.0),
    ("layers/{l}/summary/units", (0, 0), np.nan),
    ("summary/value_counts", 0, 2**63 - 1),
    ("layers/{l}/summary/attention/heads", (0, 0, 4), -1.0),
    ("layers/{l}/summary/attention/received", (0, 0, 1), 3e38),
]


def plant(kind, path):
    with h5py.File(path, "r+") as f:
        for layer in f["layers"].values():
            for site in ("ln_attn", "ln_mlp", "residual_attn", "residual_mlp"):
                if site in layer:
                    layer[site][...] = np.full(layer[site].shape, VALUES[kind], np.float32)
        if "nll" in f["input"] and kind == "nan":
            f["input/nll"][...] = np.nan
        renew(f)


def unknown(path):
    with open(path) as f:
        results = json.load(f)
    assert results["sites"]
    for site in results["sites"]:
        assert site["max_magnitude"] is None and site["occurrences"] is None, site


def damage(number, path):
    table, at, value = DAMAGES[number]
    with h5py.File(path, "r+") as f:
        table = table.format(l=sorted(f["layers"])[0])
        f[table][at] = value
        renew(f)
    print("/" + table)


if len(sys.argv) == 4 and sys.argv[1] == "damage":
    damage(int(sys.argv[2]), sys.argv[3])
elif len(sys.argv) == 3 and sys.argv[1] == "unknown":
    unknown(sys.argv[2])
elif len(sys.argv) == 3 and sys.argv[1] in VALUES:
    plant(sys.argv[1], sys.argv[2])
elif sys.argv[1:] == ["damages"]:
    print(len(DAMAGES))
else:
    sys.exit(__doc__)
