#!/usr/bin/env python3
"""usage: streams.py

Write tests/golden/streams.json: for tiny models of tests/golden/models with several residual
streams, after each layer and of each stream, by hooks on transformers' layers in float32: sum of
squares, maximum and minimum with their sequence, position and dimension. The sequences are those
of the model's ids.txt. Needs torch and transformers; tests/oracle/streams.py compares a run with
it."""
import json

import torch
from safetensors.torch import load_file

import make_models
from attention import HERE

MODELS = ["deepseek_v4", "deepseek_v4-nested", "deepseek_v4-fp4"]


def model_of(name):
    """The model that make_models.py wrote, in float32: of the seed that gives its tensors."""
    architecture, values, dtype = make_models.MODELS[name]
    stored = load_file(HERE / "models" / name / "model.safetensors")
    first = next(key for key in sorted(stored) if key.endswith("norm.weight"))
    for seed in range(1000):
        model = make_models.model_of(architecture, values)
        model.router_stays_float = name in make_models.FLOAT_ROUTERS
        make_models.randomise(model, seed)
        make_models.cast(make_models.cast(model, dtype), torch.float32)
        with torch.no_grad():
            tensors = make_models.stored_tensors(model, name, dtype)
        if torch.equal(tensors[first], stored[first]):
            for key, tensor in stored.items():
                assert torch.equal(tensor.view(torch.uint8), tensors[key].view(torch.uint8)), key
            return model.eval()
    raise SystemExit(f"{name}: no seed gives these tensors")


def extreme(rows, stream, sign):
    """rows: per sequence [tokens, streams, d]; the first of equal extremes."""
    best = None
    for s, x in enumerate(rows):
        values = sign * x[:, stream]
        at = int(values.argmax())
        value = float(values.flatten()[at])
        if best is None or value > best[0]:
            best = (value, s, at // x.shape[2], at % x.shape[2])
    return [float(f"{sign * best[0]:.7g}"), *best[1:]]


def look(model, sequences):
    seen = [[] for _ in model.model.layers]
    hooks = [layer.register_forward_hook(lambda _module, _args, out, to=to: to.append(out[0].clone()))
             for layer, to in zip(model.model.layers, seen)]
    with torch.no_grad():
        for ids in sequences:
            model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return [[{"squares": float(f"{sum(float((x[:, s].double() ** 2).sum()) for x in rows):.7g}"),
              "max": extreme(rows, s, 1), "min": extreme(rows, s, -1)}
             for s in range(rows[0].shape[1])] for rows in seen]


def main():
    written = {}
    for name in MODELS:
        sequences = [[int(i) for i in line.split()] for line in open(HERE / "models" / name / "ids.txt")]
        written[name] = look(model_of(name), sequences)
    (HERE / "streams.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
