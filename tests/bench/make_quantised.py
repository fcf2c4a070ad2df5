#!/usr/bin/env python3
"""Random checkpoints of real width in the formats of the Hub, for the benchmark.

    make_quantised.py deepseek_v3|gpt_oss DIRECTORY [LAYERS]

deepseek_v3: one dense and two MoE layers, FP8 in blocks, 24 GB (12 with 2 layers). gpt_oss: two layers of
gpt-oss-20b, MXFP4. Codes come from one block of random ones, used again and again: what they
are changes no speed. Needs numpy."""
import json
import os
import sys

import numpy

BLOCK = 1 << 26
random = numpy.random.default_rng(0)


def e4m3_codes():
    """Codes of normally distributed values of standard deviation 64."""
    values = numpy.abs(random.standard_normal(1 << 16)) * 64
    codes = numpy.arange(127)
    exponent, mantissa = codes >> 3, codes & 7
    known = numpy.where(exponent == 0, mantissa / 8 * 2.0 ** -6,
                        (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    nearest = numpy.abs(known.searchsorted(values).clip(0, 126)).astype(numpy.uint8)
    table = nearest | (random.integers(0, 2, 1 << 16, dtype=numpy.uint8) << 7)
    return table[random.integers(0, 1 << 16, BLOCK, dtype=numpy.uint16)]


def bf16(values):
    return (numpy.asarray(values, numpy.float32).view(numpy.uint32) >> 16).astype(numpy.uint16)


class Checkpoint:
    def __init__(self, directory, codes):
        self.directory, self.codes, self.tensors = directory, codes, []
        self.normal = bf16(random.standard_normal(1 << 22))

    def add(self, name, dtype, shape, values):
        """values: a function of the tensor's number of elements that gives its bytes."""
        self.tensors.append((name, dtype, shape, values))

    def repeat(self, block, n):
        for at in range(0, n, len(block)):
            yield block[: min(len(block), n - at)]

    def plain(self, name, shape, scale):
        block = bf16((self.normal.astype(numpy.uint32) << 16).view(numpy.float32) * scale)
        self.add(name, "BF16", shape, lambda n: self.repeat(block, n))

    def ones(self, name, n):
        self.add(name, "BF16", [n], lambda n: [bf16(numpy.ones(n))])

    def fp8(self, name, rows, cols):
        scale = numpy.float32(1 / 64 / cols ** 0.5)
        self.add(name, "F8_E4M3", [rows, cols], lambda n: self.repeat(self.codes, n))
        self.add(name + "_scale_inv", "F32", [-(-rows // 128), -(-cols // 128)],
                 lambda n: [numpy.full(n, scale * 1.1, numpy.float32)])

    def bytes(self, name, shape, low, high):
        block = random.integers(low, high, BLOCK, dtype=numpy.uint8)
        self.add(name, "U8", shape, lambda n: self.repeat(block, n))

    def write(self, config):
        os.makedirs(self.directory, exist_ok=True)
        size = {"BF16": 2, "F32": 4, "U8": 1, "F8_E4M3": 1}
        header, at = {}, 0
        for name, dtype, shape, _ in self.tensors:
            end = at + int(numpy.prod(shape)) * size[dtype]
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
            at = end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(self.directory, "model.safetensors"), "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text)
            for _, _, shape, values in self.tensors:
                for piece in values(int(numpy.prod(shape))):
                    f.write(piece.tobytes())
        with open(os.path.join(self.directory, "config.json"), "w") as f:
            json.dump(config, f, indent=1)


def deepseek_v3(c, config, layers):
    d, heads = config["hidden_size"], config["num_attention_heads"]
    config |= {"num_hidden_layers": layers or 3, "first_k_dense_replace": 1, "vocab_size": 8192}
    width = config["moe_intermediate_size"]
    c.plain("model.embed_tokens.weight", [config["vocab_size"], d], 1)
    for l in range(config["num_hidden_layers"]):
        p = f"model.layers.{l}."
        c.ones(p + "input_layernorm.weight", d)
        c.fp8(p + "self_attn.q_a_proj.weight", 1536, d)
        c.ones(p + "self_attn.q_a_layernorm.weight", 1536)
        c.fp8(p + "self_attn.q_b_proj.weight", heads * 192, 1536)
        c.fp8(p + "self_attn.kv_a_proj_with_mqa.weight", 576, d)
        c.ones(p + "self_attn.kv_a_layernorm.weight", 512)
        c.fp8(p + "self_attn.kv_b_proj.weight", heads * 256, 512)
        c.fp8(p + "self_attn.o_proj.weight", d, heads * 128)
        c.ones(p + "post_attention_layernorm.weight", d)
        mlps = [(p + "mlp.", config["intermediate_size"])]
        if l > 0:
            c.plain(p + "mlp.gate.weight", [config["n_routed_experts"], d], d ** -0.5)
            c.add(p + "mlp.gate.e_score_correction_bias", "F32", [config["n_routed_experts"]],
                  lambda n: [numpy.zeros(n, numpy.float32)])
            mlps = [(p + "mlp.shared_experts.", width)] + [
                (f"{p}mlp.experts.{e}.", width) for e in range(config["n_routed_experts"])]
        for base, inner in mlps:
            c.fp8(base + "gate_proj.weight", inner, d)
            c.fp8(base + "up_proj.weight", inner, d)
            c.fp8(base + "down_proj.weight", d, inner)
    c.ones("model.norm.weight", d)
    c.plain("lm_head.weight", [config["vocab_size"], d], d ** -0.5)


def gpt_oss(c, config, layers):
    d, inner, n = config["hidden_size"], config["intermediate_size"], config["num_local_experts"]
    config |= {"num_hidden_layers": layers or 2, "vocab_size": 8192}
    q, kv = config["num_attention_heads"] * 64, config["num_key_value_heads"] * 64
    c.plain("model.embed_tokens.weight", [config["vocab_size"], d], 1)
    for l in range(config["num_hidden_layers"]):
        p = f"model.layers.{l}."
        c.ones(p + "input_layernorm.weight", d)
        c.ones(p + "post_attention_layernorm.weight", d)
        for name, rows, cols in (("q", q, d), ("k", kv, d), ("v", kv, d), ("o", d, q)):
            c.plain(f"{p}self_attn.{name}_proj.weight", [rows, cols], cols ** -0.5)
            c.plain(f"{p}self_attn.{name}_proj.bias", [rows], 0.1)
        c.plain(p + "self_attn.sinks", [config["num_attention_heads"]], 1)
        c.plain(p + "mlp.router.weight", [n, d], d ** -0.5)
        c.plain(p + "mlp.router.bias", [n], 0.1)
        for name, rows, cols in (("gate_up", 2 * inner, d), ("down", d, inner)):
            c.bytes(f"{p}mlp.experts.{name}_proj_blocks", [n, rows, cols // 32, 16], 0, 256)
            c.bytes(f"{p}mlp.experts.{name}_proj_scales", [n, rows, cols // 32], 119, 121)
            c.plain(f"{p}mlp.experts.{name}_proj_bias", [n, rows], 0.1)
    c.ones("model.norm.weight", d)
    c.plain("lm_head.weight", [config["vocab_size"], d], d ** -0.5)


if __name__ == "__main__":
    makers = {"deepseek_v3": (deepseek_v3, "deepseek-v3-0324"), "gpt_oss": (gpt_oss, "gpt-oss-20b")}
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in makers:
        sys.exit(__doc__)
    make, name = makers[sys.argv[1]]
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "..", "..", "data", "models", name + ".json")) as f:
        published = json.load(f)["config"]
    checkpoint = Checkpoint(sys.argv[2], e4m3_codes())
    make(checkpoint, published, int(sys.argv[3]) if len(sys.argv) == 4 else 0)
    checkpoint.write(published)
