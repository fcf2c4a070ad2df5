#!/usr/bin/env python3
"""usage: inputs.py

Write tests/golden/inputs.json: for tiny models of tests/golden/models, by layer, what an importance
matrix has of inputs that no other model has: the sums of squares of the columns that go into modules
of transformers' layers, by hooks in float32, over the sequences of the model's ids.txt. Needs torch
and transformers; tests/oracle/inputs.py compares a run with it."""
import json
import re

import torch

from attention import HERE
from streams import model_of

# Model: {input: the module that it goes into}
MODELS = {
    "deepseek_v4": {"query_latent": "self_attn.q_b_proj", "out_latent": "self_attn.o_b_proj"},
    "gemma4-e2b": {"layer_gate": "per_layer_input_gate", "layer_out": "per_layer_projection"},
}


def look(model, wanted, sequences):
    sums, hooks = {}, []
    for name, module in model.named_modules():
        at = re.search(r"\blayers\.(\d+)\.(.+)$", name)
        for key, suffix in wanted.items():
            if at and at[2] == suffix:
                def keep(_module, args, to=sums.setdefault(at[1], {}), key=key):
                    rows = args[0].double().flatten(0, -2)
                    to[key] = to.get(key, 0) + (rows**2).sum(0)
                hooks.append(module.register_forward_pre_hook(keep))
    with torch.no_grad():
        for ids in sequences:
            model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return {layer: {key: [float(f"{v:.7g}") for v in x.tolist()] for key, x in of.items()}
            for layer, of in sums.items()}


def main():
    written = {}
    for name, wanted in MODELS.items():
        sequences = [[int(i) for i in line.split()] for line in open(HERE / "models" / name / "ids.txt")]
        written[name] = look(model_of(name), wanted, sequences)
    (HERE / "inputs.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
