#!/usr/bin/env python3
"""usage: mixed_heads.py

Write tests/golden/mixed_heads.json: for tiny models of tests/golden/models, each layer and head,
what goes into the output projection of attention or of a delta net, by hooks on it in float32:
sum of squares, maximum and minimum with their sequence and position. The sequences are those of
attention.json. Needs torch and transformers; tests/oracle/mixed_heads.py compares a run with it."""
import json

import torch
import transformers

from attention import HERE, LENGTHS, ids_of

MODELS = ["llama", "qwen3-sliding", "gpt_oss", "llama4", "deepseek_v3", "qwen3_next", "nemotron_h"]


def projection(layer):
    """A layer's mixer and its output projection; None: it has none."""
    for name in ("self_attn", "linear_attn", "mixer"):
        mixer = getattr(layer, name, None)
        out = getattr(mixer, "o_proj", None) or getattr(mixer, "out_proj", None)
        if out is not None:
            return mixer, out
    return None, None


def heads_of(mixer, config, width):
    if hasattr(mixer, "num_v_heads"):
        return mixer.num_v_heads
    return mixer.num_heads if hasattr(mixer, "ssm_state_size") else config.num_attention_heads


def place(rows, which):
    """rows: per sequence [tokens, heads, width]; the first of equal extremes."""
    found = []
    for h in range(rows[0].shape[1]):
        best = None
        for s, x in enumerate(rows):
            values = getattr(x[:, h], "amax" if which > 0 else "amin")(-1)
            p = int(values.argmax() if which > 0 else values.argmin())
            if best is None or which * float(values[p]) > which * best[0]:
                best = (float(values[p]), s, p)
        found.append(best)
    return found


def look(model, config, sequences):
    seen = {}
    hooks = []
    for number, layer in enumerate(model.model.layers):
        mixer, out = projection(layer)
        if out is None:
            continue

        def see(_module, args, number=number, mixer=mixer):
            x = args[0].reshape(-1, args[0].shape[-1]).clone()
            seen.setdefault(number, []).append(x.view(len(x), heads_of(mixer, config, x.shape[1]), -1))

        hooks.append(out.register_forward_pre_hook(see))
    with torch.no_grad():
        for ids in sequences:
            model(torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    layers = []
    for number in range(config.num_hidden_layers):
        if number not in seen:
            layers.append(None)
            continue
        rows = seen[number]
        squares = sum((x.double() ** 2).sum((0, 2)) for x in rows)
        layers.append([{"width": rows[0].shape[2], "squares": float(f"{squares[h]:.7g}"),
                        "max": [float(f"{high[0]:.7g}"), *high[1:]], "min": [float(f"{low[0]:.7g}"), *low[1:]]}
                       for h, (high, low) in enumerate(zip(place(rows, 1), place(rows, -1)))])
    return layers


def main():
    written = {}
    for name in MODELS:
        folder = HERE / "models" / name
        whole = transformers.AutoConfig.from_pretrained(folder)
        config = whole.get_text_config()
        kind = (transformers.Llama4ForConditionalGeneration if whole.model_type == "llama4"
                else transformers.AutoModelForCausalLM)
        model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                     experts_implementation="eager")
        model = getattr(model, "language_model", model).eval()
        sequences = [ids_of(n, seed, config.vocab_size) for seed, n in enumerate(LENGTHS)]
        written[name] = {"ids": sequences, "layers": look(model, config, sequences)}
    (HERE / "mixed_heads.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
