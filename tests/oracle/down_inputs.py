#!/usr/bin/env python3
"""usage: down_inputs.py MODEL RUN.h5

Compute the inputs of all down projections again, in double precision from the rows of ln_mlp
and the checkpoint's weights: silu(x Wg) * (x Wu) of dense MLPs, shared experts and, by
router_ids, routed experts. Compare the sums of their squares with the file's, which must be of
a model in float32 (--precision f32 --store f32)."""
import json
import struct
import sys

import h5py
import numpy as np

TYPES = {"F32": "<f4", "BF16": "<u2"}


def read_weights(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    weights = {}
    for name, t in json.loads(data[8 : 8 + n]).items():
        if name == "__metadata__":
            continue
        first, end = (8 + n + x for x in t["data_offsets"])
        x = np.frombuffer(data[first:end], TYPES[t["dtype"]]).reshape(t["shape"])
        if t["dtype"] == "BF16":
            x = (x.astype(np.uint32) << 16).view(np.float32)
        weights[name] = x.astype(float)
    return weights


def main():
    model, run = sys.argv[1:]
    weights = read_weights(model + "/model.safetensors")
    f = h5py.File(run)
    lengths = f["input/lengths"][...]
    n_compared = 0

    def rows(dataset):
        return np.concatenate([dataset[s, :n] for s, n in enumerate(lengths)])

    def squares(x, mlp):
        gate = x @ weights[mlp + ".gate_proj.weight"].T
        up = x @ weights[mlp + ".up_proj.weight"].T
        return ((gate / (1 + np.exp(-gate)) * up) ** 2).sum(axis=0)

    for name, layer in f["layers"].items():
        found = layer["summary/squares"]
        mlp = f"model.layers.{int(name)}.mlp"
        x = rows(layer["ln_mlp"]).astype(float)
        wanted = {}
        if "mlp_down" in found:
            wanted["mlp_down"] = [squares(x, mlp)]
        if "shared_down" in found:
            shared = next(s for s in ("shared_expert", "shared_experts") if f"{mlp}.{s}.up_proj.weight" in weights)
            wanted["shared_down"] = [squares(x, f"{mlp}.{shared}")]
        if "experts_down" in found:
            ids = rows(layer["router_ids"])
            wanted["experts_down"] = [
                squares(x[(ids == e).any(axis=1)], f"{mlp}.experts.{e}") for e in range(len(found["experts_down"]))
            ]
        for key, sums in wanted.items():
            np.testing.assert_allclose(found[key][...], sums, rtol=1e-4, atol=1e-6 * np.max(sums), err_msg=f"{name} {key}")
            n_compared += np.size(sums)
    assert n_compared > 0
    print(f"{n_compared} columns")


if __name__ == "__main__":
    main()
