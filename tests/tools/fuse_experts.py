#!/usr/bin/env python3
"""Write a checkpoint as transformers 5 does: all experts of a layer in one tensor.

usage: fuse_experts.py MODEL OUT

MODEL/model.safetensors holds a tensor per expert (and, quantised, its scales); OUT, a
directory, gets the same numbers as mlp.experts.gate_up_proj [n_experts, 2 out, in], gate's
rows first, and mlp.experts.down_proj [n_experts, out, in], scales as X_scale or
X_scale_inv. What compressed-tensors packs is X.weight_packed and siblings, a number of each
matrix X.weight_global_scale [n_experts, 2] or [n_experts]; modelopt's U8 is X, X_weight_scale
and X_weight_scale_2. Layers of which not all experts are stored alike stay as they are.
Families whose other tensors transformers 5.24 calls otherwise than the Hub does (RENAMED) get
its names. config.json and what is beside it of the same kind are copied."""
import json
import os
import re
import shutil
import struct
import sys

EXPERT = re.compile(r"(.*)\.(mlp|block_sparse_moe|ffn|mixer)\.experts\.(\d+)\."
                    r"(gate_proj|up_proj|down_proj|w1|w2|w3)\.weight"
                    r"(_scale|_scale_inv|_packed|_global_scale|_scale_2)?$")
PLACES = {"gate_proj": ("gate_up_proj", 0), "w1": ("gate_up_proj", 0),
          "up_proj": ("gate_up_proj", 1), "w3": ("gate_up_proj", 1),
          "down_proj": ("down_proj", 0), "w2": ("down_proj", 0)}
RENAMED = {
    "hy_v3": [(r"mlp\.router\.gate\.", "mlp.gate."), (r"mlp\.shared_mlp\.", "mlp.shared_experts."),
              (r"mlp\.expert_bias$", "mlp.e_score_correction_bias")],
    "ernie4_5_moe": [(r"mlp\.moe_statics\.", "mlp.gate.moe_statics.")],
    "nemotron_h": [(r"^backbone\.", "model.")],
    "deepseek_v4": [
        (r"^embed\.", "model.embed_tokens."), (r"^head\.", "lm_head."), (r"^norm\.", "model.norm."),
        (r"^hc_head_(\w+)$", r"model.hc_head.hc_\1"), (r"^layers\.", "model.layers."),
        (r"\.hc_(attn|ffn)_(\w+)$", r".\1_hc.\2"), (r"\.attn_norm\.", ".input_layernorm."),
        (r"\.ffn_norm\.", ".post_attention_layernorm."), (r"\.ffn\.", ".mlp."),
        (r"mlp\.gate\.bias$", "mlp.gate.e_score_correction_bias"),
        (r"shared_experts\.w1\.", "shared_experts.gate_proj."),
        (r"shared_experts\.w3\.", "shared_experts.up_proj."),
        (r"shared_experts\.w2\.", "shared_experts.down_proj."), (r"\.attn\.", ".self_attn."),
        (r"attn\.attn_sink$", "attn.sinks"), (r"attn\.wq_a\.", "attn.q_a_proj."),
        (r"attn\.wq_b\.", "attn.q_b_proj."), (r"attn\.q_norm\.", "attn.q_a_norm."),
        (r"attn\.wkv\.", "attn.kv_proj."), (r"attn\.wo_(a|b)\.", r"attn.o_\1_proj."),
        (r"indexer\.compressor\.", "compressor.indexer."), (r"attn\.indexer\.", "attn.compressor.indexer."),
        (r"indexer\.wq_b\.", "indexer.q_b_proj."),
        (r"indexer\.weights_proj\.", "indexer.scorer.weights_proj."),
        (r"\.ape$", ".position_bias"), (r"(compressor|indexer)\.norm\.", r"\1.kv_norm."),
        (r"(compressor|indexer)\.wkv\.", r"\1.kv_proj."), (r"(compressor|indexer)\.wgate\.", r"\1.gate_proj.")],
}


def load(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])])
            for name, t in header.items()}


def save(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = dict(dtype=dtype, shape=shape,
                            data_offsets=[len(data), len(data) + len(content)])
        data += content
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def name_of(m, packed, codes):
    """Of a tensor of experts: what follows its module is written by whoever packed it."""
    tail = m[5] or ""
    if packed:
        tail = ".weight" + tail
    elif codes and tail:
        tail = "_weight" + tail
    if m[2] == "mixer":  # up has no gate beside it
        return f"{m[1]}.mixer.experts.{m[4]}{tail}"
    return f"{m[1]}.mlp.experts.{PLACES[m[4]][0]}{tail}"


def fuse(tensors):
    plain, fused, found = {}, {}, {}
    packed = any(name.endswith(".weight_packed") for name in tensors)
    codes = any(name.endswith(".weight_scale_2") for name in tensors)
    for name, tensor in tensors.items():
        m = EXPERT.match(name)
        if m is None:
            plain[name.replace(".block_sparse_moe.", ".mlp.")] = tensor
            continue
        half = 0 if m[2] == "mixer" else PLACES[m[4]][1]
        fused.setdefault(name_of(m, packed, codes), {})[int(m[3]), half] = tensor
        found.setdefault(m[1], {})[name] = tensor
    for layer, own in found.items():  # of which some expert is stored in another way
        keys = [key for key in fused if key.startswith(layer + ".mlp.experts.")]
        if any(len(fused[key]) % (2 if "gate_up" in key else 1) or len(fused[key]) !=
               max(len(fused[other]) for other in keys if ("gate_up" in other) == ("gate_up" in key))
               for key in keys):
            plain |= own
            for key in keys:
                del fused[key]
    for key, parts in fused.items():
        dtype, shape, _ = parts[0, 0]
        halves = 1 + max(half for _, half in parts)
        n = len(parts) // halves
        rows, cols = shape if len(shape) == 2 else (1, 1)
        plain[key] = (dtype, [n, rows * halves, cols] if len(shape) == 2 else
                      [n, 2] if halves == 2 else [n],
                      b"".join(parts[place][2] for place in sorted(parts)))
    assert fused, "there are no experts"
    return plain


def rename(tensors, family):
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, name_there in RENAMED.get(family, []):
            name = re.sub(pattern, name_there, name)
        renamed[name] = tensor
    return renamed


def main():
    os.makedirs(sys.argv[2], exist_ok=True)
    for name in ("config.json", "hf_quant_config.json"):
        if os.path.exists(os.path.join(sys.argv[1], name)):
            shutil.copy(os.path.join(sys.argv[1], name), sys.argv[2])
    with open(os.path.join(sys.argv[1], "config.json")) as f:
        family = json.load(f)["model_type"]
    save(os.path.join(sys.argv[2], "model.safetensors"),
         rename(fuse(load(os.path.join(sys.argv[1], "model.safetensors"))), family))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main()
