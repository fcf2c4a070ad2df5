#!/usr/bin/env python3
"""usage: latent_inputs.py MODEL RUN.h5

Compute what goes into the weights of a DeepSeek-V3 model's attention again, in double precision
from the rows of ln_attn and the checkpoint's weights, with keys and values kept latent: what each
head attends to is a mean of latents, which its half of kv_b then makes a value of. Compare the
sums of squares with the file's, which must be of a model in float32 (--precision f32 --store
f32)."""
import json
import math
import sys

import h5py
import numpy as np

from down_inputs import read_weights


def rms_norm(x, weight, eps=1e-6):
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * weight


def frequencies(config):
    """Of the rotated pairs, by YaRN (arXiv 2309.00071)."""
    dim, rope = config["qk_rope_head_dim"], config["rope_scaling"]
    base, factor = rope["rope_theta"], rope["factor"]

    def place(rotations):
        length = rope["original_max_position_embeddings"]
        return dim * math.log(length / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low = max(math.floor(place(rope["beta_fast"])), 0)
    high = min(math.ceil(place(rope["beta_slow"])), dim - 1)
    i = np.arange(dim // 2)
    slowed = np.clip((i - low) / max(high - low, 1e-3), 0, 1)
    plain = base ** (-2 * i / dim)
    return plain / factor * slowed + plain * (1 - slowed)


def rotate(x, config):
    """x [tokens, ..., 2 pairs]: neighbours are a pair, as complex numbers."""
    angle = np.arange(len(x))[:, None] * frequencies(config)
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angle).reshape(
        (len(x),) + (1,) * (x.ndim - 2) + (-1,)
    )
    return np.concatenate([turned.real, turned.imag], axis=-1)


def inputs(x, w, config):
    heads, own = config["num_attention_heads"], config["qk_nope_head_dim"]
    rank, shared = config["kv_lora_rank"], config["qk_rope_head_dim"]
    query_latent = rms_norm(x @ w["q_a_proj"].T, w["q_a_layernorm"])
    q = (query_latent @ w["q_b_proj"].T).reshape(len(x), heads, own + shared)
    both = x @ w["kv_a_proj_with_mqa"].T
    key_latent = rms_norm(both[:, :rank], w["kv_a_layernorm"])
    kv = w["kv_b_proj"].reshape(heads, -1, rank)
    # The queries as they meet the latent, instead of keys made of it.
    absorbed = np.einsum("thd,hdr->thr", q[..., :own], kv[:, :own])
    scale = (0.1 * config["rope_scaling"]["mscale_all_dim"] * math.log(config["rope_scaling"]["factor"]) + 1) ** 2
    scores = np.einsum("thr,sr->hts", absorbed, key_latent)
    scores += np.einsum("thd,sd->hts", rotate(q[..., own:], config), rotate(both[:, rank:], config))
    scores *= scale / math.sqrt(own + shared)
    scores[:, np.triu(np.ones((len(x), len(x)), bool), 1)] = -np.inf
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attended = np.einsum("hts,sr->thr", p / p.sum(axis=-1, keepdims=True), key_latent)
    mixed = np.einsum("thr,hdr->thd", attended, kv[:, own:])
    return {
        "query_latent": query_latent, "key_latent": key_latent, "queries": q[..., :own], "values": attended,
        "mixed": mixed,
    }


def main():
    model, run = sys.argv[1:]
    weights = read_weights(model + "/model.safetensors")
    config = json.load(open(model + "/config.json"))
    f = h5py.File(run)
    lengths = f["input/lengths"][...]
    for name, layer in f["layers"].items():
        prefix = f"model.layers.{int(name)}.self_attn."
        w = {k[len(prefix) : -len(".weight")]: v for k, v in weights.items() if k.startswith(prefix)}
        sums = {}
        for s, n in enumerate(lengths):
            for key, x in inputs(layer["ln_attn"][s, :n].astype(float), w, config).items():
                sums[key] = sums.get(key, 0) + (x.reshape(n, -1) ** 2).sum(axis=0)
        for key, expected in sums.items():
            found = layer["summary/squares"][key][...]
            np.testing.assert_allclose(
                found, expected[None], rtol=1e-4, atol=1e-6 * np.max(expected), err_msg=f"{name} {key}"
            )
    assert len(f["layers"]) > 0
    print(f"{len(f['layers'])} layers")


main()
