#!/usr/bin/env python3
"""usage: imatrix.py FILE.gguf RUN.h5...

Read an importance matrix with a reader of its own and compare it with the runs' tensors:
inputs of the norms, and of every expert's gate and up projection (rows of ln_mlp by
router_ids), token by token. Other inputs are not in the tensors: their counts are checked,
and that they are what the runs' squares add up to."""
import struct
import sys

import h5py
import numpy as np


# Weights that few families have, by family.
WANTED = {
    "deepseek_v4": "attn_kv attn_q_a attn_q_b attn_output_b attn_compressor_kv attn_compressor_gate indexer.proj "
    "indexer.attn_q_b indexer_compressor_kv indexer_compressor_gate ffn_gate_exps ffn_gate_shexp ffn_gate_inp",
    "glm_moe_dsa": "indexer.proj indexer.attn_k indexer.attn_q_b",
    "deepseek_v32": "indexer.proj indexer.attn_k indexer.attn_q_b",
    "nemotron_h": "ffn_up_exps ffn_down_exps ffn_gate_inp ffn_up_shexp ssm_in ssm_out",
}


def read_gguf(path):
    data = open(path, "rb").read()
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def text():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n : at].decode()

    def value(kind):
        if kind == 4:
            return take("I")
        if kind == 8:
            return text()
        assert kind == 9, kind
        inner, n = take("I"), take("Q")
        return [value(inner) for _ in range(n)]

    assert data[:4] == b"GGUF"
    at = 4
    assert take("I") == 3
    n_tensors, n_keys = take("QQ")
    keys = {}
    for _ in range(n_keys):
        key = text()
        keys[key] = value(take("I"))
    infos = []
    for _ in range(n_tensors):
        name, rank = text(), take("I")
        dims = [take("Q") for _ in range(rank)]
        kind, offset = take("I"), take("Q")
        assert kind == 0 and offset % 32 == 0
        infos.append((name, dims, offset))
    start = (at + 31) // 32 * 32
    tensors = {}
    for name, dims, offset in infos:
        n = int(np.prod(dims))
        first = start + offset
        assert first + 4 * n <= len(data)
        tensors[name] = np.frombuffer(data, "<f4", n, first).reshape(dims[::-1])
    return keys, tensors


def main():
    keys, tensors = read_gguf(sys.argv[1])
    runs = [h5py.File(path) for path in sys.argv[2:]]
    lengths = [run["input/lengths"][...] for run in runs]
    total = sum(int(n.sum()) for n in lengths)
    assert keys["general.type"] == "imatrix"
    assert keys["imatrix.datasets"] == [run["input"].attrs["source"] for run in runs]
    assert keys["imatrix.chunk_count"] == sum(len(n) for n in lengths)
    assert keys["imatrix.chunk_size"] == max(int(n.max()) for n in lengths)
    seen = set()
    # Their MLPs and experts have no gate; what chooses experts is called ffn_gate_inp.
    gateless = runs[0]["model"].attrs["family"] in ("gpt2", "nemotron_h")
    assert not gateless or not [name for name in tensors if "ffn_gate" in name and "ffn_gate_inp" not in name]
    # Every family has what its layers multiply.
    family, named = runs[0]["model"].attrs["family"], {name.split(".", 2)[2] for name in tensors if name.endswith(".counts")}
    for wanted in WANTED.get(family, "").split():
        assert f"{wanted}.weight.counts" in named, wanted

    def expect(name, sums, counts):
        found, n = tensors[name + ".in_sum2"], tensors[name + ".counts"]
        np.testing.assert_allclose(found, sums, rtol=1e-6, err_msg=name)
        np.testing.assert_array_equal(n[:, 0], counts, err_msg=name)
        assert n.shape[1] == 1
        seen.update((name + ".in_sum2", name + ".counts"))

    for layer in sorted(runs[0]["layers"]):
        groups = [run["layers"][layer] for run in runs]
        blk = f"blk.{int(layer)}."
        squares = {k: sum(g["summary/squares"][k][...] for g in groups) for k in groups[0]["summary/squares"]}

        def rows(site):
            if site not in groups[0]:  # of a layer that is a mixer or an MLP alone
                return None
            return np.concatenate(
                [g[site][s, :n].astype(float) for g, ns in zip(groups, lengths) for s, n in enumerate(ns)]
            )

        attn, mlp = rows("ln_attn"), rows("ln_mlp")
        for prefix, x, names in (
            ("", attn, "attn_q attn_k attn_v attn_q_a attn_kv_a_mqa attn_kv ssm_in ssm_ba ssm_alpha ssm_beta attn_qkv attn_gate "
             "attn_compressor_kv attn_compressor_gate indexer_compressor_kv indexer_compressor_gate indexer.attn_k indexer.proj"),
            ("", mlp, "ffn_gate ffn_up ffn_gate_inp ffn_gate_shexp ffn_up_shexp ffn_gate_inp_shexp ffn_latent_down"),
        ):
            for name in names.split():
                if f"{blk}{name}.weight.counts" in tensors:
                    expect(f"{blk}{name}.weight", (x**2).sum(axis=0)[None], [total])
        # Gemma 4's experts have a norm of their own, and a dense MLP beside them.
        gemma4 = runs[0]["model"].attrs["family"].startswith("gemma4")
        # Experts that see a latent: of the model's width is what leads into it.
        latent = f"{blk}ffn_latent_down.weight.counts" in tensors
        assert not gemma4 or f"{blk}ffn_gate_inp.weight.counts" not in tensors
        assert ("layer_gate" in squares) == (f"{blk}inp_gate.weight.counts" in tensors)
        for name, source in (
            ("attn_output", "mixed"), ("ssm_out", "mixed"), ("attn_q_b", "query_latent"),
            ("attn_kv_b", "key_latent"), ("attn_k_b", "queries"), ("attn_v_b", "values"), ("ffn_down", "shared_down" if gemma4 and "router_ids" in groups[0] else "mlp_down"), ("ffn_down_shexp", "shared_down"),
            ("ffn_latent_up", "experts_sum"), ("attn_output_b", "out_latent"), ("indexer.attn_q_b", "query_latent"),
            ("inp_gate", "layer_gate"), ("proj", "layer_out"),
        ):
            if f"{blk}{name}.weight.counts" in tensors:
                expect(f"{blk}{name}.weight", squares[source], [total])
        if "router_ids" not in groups[0]:
            continue
        ids = np.concatenate(
            [g["router_ids"][s, :n] for g, ns in zip(groups, lengths) for s, n in enumerate(ns)]
        )
        n_experts = int(runs[0]["model"].attrs["n_experts"])
        counts = np.bincount(ids.ravel(), minlength=n_experts)
        by_expert = squares["experts"] if gemma4 or latent else np.stack([(mlp[(ids == e).any(axis=1)] ** 2).sum(axis=0) for e in range(n_experts)])
        for name in ("ffn_up_exps",) if gateless else ("ffn_gate_exps", "ffn_up_exps", "ffn_gate_up_exps"):
            expect(f"{blk}{name}.weight", by_expert, counts)
        expect(f"{blk}ffn_down_exps.weight", squares["experts_down"], counts)
        assert ((squares["experts_down"].sum(axis=1) > 0) == (counts > 0)).all()
    assert seen == set(tensors), sorted(set(tensors) - seen)
    print(f"{len(tensors)} tensors, {total} tokens")


main()
