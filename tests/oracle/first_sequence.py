#!/usr/bin/env python3
"""usage: first_sequence.py ONE.h5 MANY.h5

The tensors, choices and likelihoods of a run of one sequence are those of the first sequence of
another run, which chose the same experts, fewer than there are."""
import sys

import h5py
import numpy as np


def main():
    one, many = (h5py.File(path) for path in sys.argv[1:])
    n_compared = n_chosen = 0

    def compare(name, found):
        nonlocal n_compared, n_chosen
        if not isinstance(found, h5py.Dataset) or "summary" in name or not name.startswith(("layers", "input/nll")):
            return
        first = found[0] if found.dtype.kind != "f" else found[0].view(np.uint8)
        expected = one[name][0] if found.dtype.kind != "f" else one[name][0].view(np.uint8)
        assert (first == expected).all(), name
        n_compared += 1
        if name.endswith("router_ids"):
            chosen = np.unique(found[...])
            assert len(chosen) < many["model"].attrs["n_experts"], chosen
            n_chosen += 1

    many.visititems(compare)
    assert n_chosen > 0
    print(f"{n_compared} datasets")


main()
