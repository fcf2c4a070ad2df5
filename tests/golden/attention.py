#!/usr/bin/env python3
"""usage: attention.py

Write tests/golden/attention.json: for tiny models of tests/golden/models, each layer and head,
what transformers' eager attention makes of its softmax in float32, on sequences that are longer
than those of the models' other references. Needs torch and transformers; tests/oracle/attention.py
compares a run with it."""
import json
import pathlib

import torch
import transformers

HERE = pathlib.Path(__file__).parent
MODELS = ["llama", "qwen3-sliding", "gpt_oss", "llama4", "deepseek_v3", "qwen3_next", "deepseek_v4",
          "deepseek_v4-nested", "deepseek_v4-fp4"]
SINKS = ["gpt_oss", "deepseek_v4"]
# Tokens of the sequences.
LENGTHS = [90, 20]


def ids_of(length, seed, vocab_size):
    ids, state = [], seed
    for _ in range(length):
        state = (state * 1103515245 + 12345) % 2**31
        ids.append(state // 65536 % (vocab_size - 4))
    return ids


def rounded(x):
    return [float(f"{v:.5g}") for v in x.tolist()]


def look(model, config, ids, gates):
    with torch.no_grad():
        gates.clear()
        out = model(torch.tensor([ids]), output_attentions=True, use_cache=False)
    layers, attentions = [], iter(w for w in out.attentions if w is not None)
    for number in range(config.num_hidden_layers):
        if getattr(config, "layer_types", [""] * config.num_hidden_layers)[number] == "linear_attention":
            layers.append(None)
            continue
        weights = next(attentions)
        whole = weights[0]  # [heads, queries, keys]
        p = whole[:, :, : len(ids)]  # those of tokens: entries of deepseek_v4 come behind them
        seeing = (p > 0).sum(1).max(0).values  # a softmax in float32: masked ones are 0
        layer = {
            "n_seeing": seeing.tolist(),
            "received": [rounded(r) for r in p.sum(1) / seeing],
        }
        if config.model_type in SINKS:
            layer["to_sink"] = rounded(1 - whole.sum(-1).mean(-1))
        if number in gates:
            g = gates[number]  # [tokens, heads]
            layer["gate"], layer["gates"] = rounded(g.mean(0)), [rounded(r) for r in g.T]
        layers.append(layer)
    return layers


def hook_gates(model, config, gates):
    if config.model_type != "qwen3_next":
        return
    for number, layer in enumerate(model.model.layers):
        if not hasattr(layer, "self_attn"):
            continue

        def see(_module, _inputs, output, number=number):
            both = output[0].view(output.shape[1], config.num_attention_heads, -1)
            gates[number] = torch.sigmoid(both.chunk(2, dim=-1)[1]).mean(-1)

        layer.self_attn.q_proj.register_forward_hook(see)


def first_of_equals(scores, k, dim=-1):
    """topk as a stable sort chooses. The indexer's scores are sums of positive parts, and in a tiny model
    one query in twenty has some that are equal just where the choice ends, zeros for the most part;
    torch.topk then takes whichever it meets."""
    values, indices = torch.sort(scores, dim=dim, descending=True, stable=True)
    return torch.return_types.topk((values.narrow(dim, 0, k), indices.narrow(dim, 0, k)))


def model_of(name):
    """The model in float32, and its config."""
    folder = HERE / "models" / name
    if name.startswith("deepseek_v4"):
        import streams  # which makes it anew: the Hub's names are not those of transformers

        torch.Tensor.topk = first_of_equals
        model = streams.model_of(name)
        model.set_attn_implementation("eager")
        return model, model.config
    whole = transformers.AutoConfig.from_pretrained(folder)
    kind = (
        transformers.Llama4ForConditionalGeneration
        if whole.model_type == "llama4"
        else transformers.AutoModelForCausalLM
    )
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                 experts_implementation="eager")
    return getattr(model, "language_model", model).eval(), whole.get_text_config()


def main():
    written = {"lengths": LENGTHS, "models": {}}
    for name in MODELS:
        model, config = model_of(name)
        gates = {}
        hook_gates(model, config, gates)
        sequences = [ids_of(n, seed, config.vocab_size) for seed, n in enumerate(LENGTHS)]
        written["models"][name] = {
            "ids": sequences,
            "layers": [look(model, config, ids, gates) for ids in sequences],
        }
    (HERE / "attention.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
