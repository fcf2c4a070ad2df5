#!/usr/bin/env python3
"""usage: inputs.py NAME RUN.h5

Whether the sums of squares of inputs in a run of the tiny model NAME in float32 (--imatrix
--precision f32) are those that transformers' modules have (tests/golden/inputs.json)."""
import json
import pathlib
import sys

import h5py
import numpy as np

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "inputs.json"


def main():
    expected = json.loads(GOLDEN.read_text())[sys.argv[1]]
    layers = h5py.File(sys.argv[2])["layers"]
    assert sorted(map(int, layers)) == sorted(map(int, expected))
    n = 0
    for layer, inputs in expected.items():
        for key, sums in inputs.items():
            found = layers[f"{int(layer):03d}/summary/squares/{key}"][...]
            assert found.shape == (1, len(sums)), (layer, key, found.shape)
            np.testing.assert_allclose(found[0], sums, rtol=1e-4, atol=1e-6 * sum(sums), err_msg=f"{layer} {key}")
            n += 1
    print(f"{n} inputs")


main()
