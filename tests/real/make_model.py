#!/usr/bin/env python3
"""A trained model with known experts: make_model.py MODEL.gguf WORK

Writes WORK/dense, SmolLM2-135M as bf16 safetensors, and WORK/moe, the same with each MLP cut
by neurons into four Mixtral experts that are all chosen with weight 1/4: down_proj is
multiplied by 4 (exact in bf16) and the routers' weights are 0, so that the sum over the
experts is the dense MLP's output but for the order of additions. A neuron that writes a
massive activation then lies in one known expert."""
import json
import os
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

EXPERTS = 4
NAMES = {"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}


def make_dense(gguf, out):
    folder, name = os.path.split(os.path.abspath(gguf))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).to(torch.bfloat16)
    tied = model.config.tie_word_embeddings
    weights = {k: v.contiguous() for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}
    os.makedirs(out, exist_ok=True)
    save_file(weights, f"{out}/model.safetensors", metadata={"format": "pt"})
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    config.update(dtype="bfloat16", architectures=["LlamaForCausalLM"])
    with open(f"{out}/config.json", "w") as f:
        json.dump(config, f, indent=1, default=str)
    AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(out)


def make_moe(dense, out):
    with open(f"{dense}/config.json") as f:
        c = json.load(f)
    weights, new = load_file(f"{dense}/model.safetensors"), {}
    for key, w in weights.items():
        if ".mlp." not in key:
            new[key] = w
            continue
        base, name = key.removesuffix(".weight").split(".mlp.")
        down = name == "down_proj"
        for e, part in enumerate(w.chunk(EXPERTS, 1 if down else 0)):
            part = part * EXPERTS if down else part
            new[f"{base}.block_sparse_moe.experts.{e}.{NAMES[name]}.weight"] = part.contiguous()
        new[f"{base}.block_sparse_moe.gate.weight"] = torch.zeros(EXPERTS, c["hidden_size"], dtype=w.dtype)
    new["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    os.makedirs(out, exist_ok=True)
    save_file(new, f"{out}/model.safetensors", metadata={"format": "pt"})
    same = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "rms_norm_eps", "vocab_size",
            "max_position_embeddings")
    config = {k: c[k] for k in same}
    config.update(architectures=["MixtralForCausalLM"], model_type="mixtral", hidden_act="silu", sliding_window=None,
                  intermediate_size=c["intermediate_size"] // EXPERTS, num_local_experts=EXPERTS, num_experts_per_tok=EXPERTS,
                  rope_theta=(c.get("rope_parameters") or c)["rope_theta"], tie_word_embeddings=False, torch_dtype="bfloat16",
                  bos_token_id=1, eos_token_id=2)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(f"{dense}/{name}", out)
    with open(f"{out}/config.json", "w") as f:
        json.dump(config, f, indent=1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    make_dense(sys.argv[1], f"{sys.argv[2]}/dense")
    make_moe(f"{sys.argv[2]}/dense", f"{sys.argv[2]}/moe")
