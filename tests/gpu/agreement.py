#!/usr/bin/env python3
"""agreement.py RUN.h5 HOOKS.h5: how far what ol-extract wrote is from what fair hooks of
tests/bench/transformers_hooks.py wrote in bf16, for a few sequences: lines NAME|VALUE|NOTE of each
layer's ln_mlp, the difference as a share of the values by root mean square. A token with another
choice of experts differs in every later layer, so the median token stands beside."""
import sys

import h5py
import numpy as np


def floats(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def main():
    ours, theirs = (h5py.File(path, "r") for path in sys.argv[1:])
    for layer in sorted(ours["layers"]):
        a = np.asarray(ours[f"layers/{layer}/ln_mlp"][:2]).astype(np.float32)
        b = floats(theirs[f"layer_{int(layer)}_ln_mlp"][:2])
        error = np.sqrt(((a - b) ** 2).sum(-1) / (b**2).sum(-1))
        print(f"layer {int(layer)}, ln_mlp beside transformers|{np.median(error):.4f}|"
              f"of the median token; of all {np.sqrt(((a - b) ** 2).sum() / (b**2).sum()):.4f}, "
              f"{100 * np.mean(error > 0.05):.2f} % of tokens further than 0.05 apart")


if __name__ == "__main__":
    main()
