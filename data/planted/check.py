"""Run the planted checkpoint with transformers and compare with answers.json.

usage: check.py [DIR]     exit 0 and one line per check when all agree, in f32 and bf16
"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM

here = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
known = json.loads((here / "answers.json").read_text())
ids = torch.tensor([[int(i) for i in line.split()] for line in open(here / "ids.txt")])
torch.set_num_threads(1)


def run(dtype):
    """values [sites, sequences, tokens, d_model], chosen experts [layers, ...], residuals"""
    model, info = AutoModelForCausalLM.from_pretrained(
        here, dtype=dtype, attn_implementation="eager", experts_implementation="eager",
        output_loading_info=True)
    assert not any(info.values()), info
    values, chosen = [], []
    for layer in model.model.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.register_forward_hook(lambda m, i, o: values.append(o.float()))
        layer.mlp.gate.register_forward_hook(lambda m, i, o: chosen.append(o[2]))
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
    return torch.stack(values), chosen, out.hidden_states


def found(over, size):
    """The criterion by plain counting over the boolean array [site, sequence, p, f]."""
    n_sites, n_sequences, n_tokens, n_features = over.shape
    result = []
    for first in range(0, n_sequences, size):
        batch = over[:, first:first + size]
        layers = batch.flatten(1, 2).any(1).sum(0)
        positions = batch.any(1).any(0).sum(0)
        result.append([(f, layers[f].item() / n_sites, positions[f].item() / n_tokens,
                        batch[..., f].sum().item()) for f in range(n_features)
                       if layers[f].item() / n_sites >= 0.25
                       and positions[f].item() / n_tokens >= 0.06])
    return result


for dtype in (torch.float32, torch.bfloat16):
    values, chosen, residuals = run(dtype)
    over = values.abs() >= known["criterion"]["threshold"]
    planted = torch.zeros_like(over)
    for item in known["planted"]:
        for i, s in enumerate(known["sites"]):
            if {"layer": s["layer"], "site": s["site"]} in item["sites"]:
                for sequence, positions in enumerate(item["positions"]):
                    planted[i, sequence, positions, item["feature"]] = True
    assert torch.equal(over, planted)
    bounds = known["bounds"]
    assert values.abs()[planted].min() >= bounds["planted_magnitude_min"] * 0.99
    assert values.abs()[~planted].max() <= bounds["other_magnitude_max"] * 1.01
    assert over.sum((1, 2, 3)).tolist() == [s["occurrences"] for s in known["sites"]]
    for size in (1, 2):
        block = known["llm_int8"][f"batch_size_{size}"]
        want = [[tuple(f[k] for k in ("feature", "layer_fraction", "position_fraction",
                                      "occurrences")) for f in b["features"]]
                for b in block["batches"]]
        assert found(over, size) == want
        assert block["pairs"]["count"] == sum(map(len, want))
    tokens = ids.numel()
    everywhere = over.flatten(1, 2)
    layers = everywhere.any(1).sum(0) / len(over)
    pooled = everywhere.any(0).sum(0) / tokens
    strict = everywhere.sum((0, 1)) / (len(over) * tokens)
    for name, fraction in (("pooled", pooled), ("strict", strict)):
        want = [f["feature"] for f in known["llm_int8"]["batch_size_1"][name]["features"]]
        close = (layers >= 0.25) & (fraction >= torch.tensor(0.06))
        assert close.nonzero().flatten().tolist() == want, (name, want)
    unique = known["llm_int8"]["batch_size_1"]["unique"]["features"]
    assert {f["feature"] for f in unique} == {f[0] for b in found(over, 1) for f in b}
    for item in unique:
        signs = set(values[..., item["feature"]][over[..., item["feature"]]].sign().tolist())
        assert (len(signs) == 1) == item["one_sided"]
    for item in known["router"]["never_chosen"]:
        load = torch.bincount(chosen[item["layer"]].flatten(), minlength=6)
        assert (load == 0).nonzero().flatten().tolist() == item["experts"], load
    change = [((b - a).norm() / a.norm()).item() for a, b in zip(residuals, residuals[1:-1])]
    print(f"{dtype}: {int(over.sum())} occurrences, all as planted; magnitudes planted "
          f"{values.abs()[planted].min():.1f} to {values.abs()[planted].max():.1f}, others "
          f"at most {values.abs()[~planted].max():.2f}; residual changes by layer "
          + " ".join(f"{c:.2f}" for c in change))
