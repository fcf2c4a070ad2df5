"""Write a tiny Qwen3-MoE whose outlier features are known before it ever runs.

usage: make.py [OUT_DIR]      writes config.json, model.safetensors, ids.txt, answers.json

answers.json is computed from the plan below alone; the model is not run. check.py runs
it with transformers and compares. Why the answers hold is said in WHY.
"""
import json
import math
import pathlib
import sys

import torch
from safetensors.torch import save_file

N_SEQUENCES, N_TOKENS, N_LAYERS, D_MODEL = 4, 100, 4, 64
N_HEADS, N_KV, HEAD_DIM, N_EXPERTS, D_EXPERT, VARIANTS = 4, 2, 16, 6, 16, 4
THRESHOLD, MIN_LAYERS, MIN_POSITIONS = 6.0, 0.25, 0.06
CARRIED = 4.0     # |residual| of a planted dimension where its token carries it
QUIET = 0.25      # largest norm weight everywhere else: outputs stay <= 0.25 x sqrt(64)
MARGIN = 2.0      # planted values are at least MARGIN x THRESHOLD
STEERING = 61     # dimension that every token carries and only the routers read
DECOY = 59        # carried by every token, amplified at no site
SITES = [(layer, site) for layer in range(N_LAYERS) for site in ("ln_attn", "ln_mlp")]

# feature: (sites that amplify it, as indices into SITES; positions in each sequence)
# Sequences 0 and 1 (2 and 3) never share a position of feature 18.
PLAN = {
    3: (range(8), [range(100)] * 4),                       # everywhere
    7: ([1, 6], [range(0, 6), range(6, 12), range(0, 6), range(6, 12)]),
    12: ([4], [range(100)] * 4),                           # one site of 8: never enough
    18: (range(8), [range(12, 17), range(17, 22), range(12, 17), range(17, 22)]),
    25: ([0, 2, 4, 6], [[], [], range(22, 46), []]),       # 24 of 400 positions
    31: ([1, 3, 5, 7], [[], range(22, 45), [], []]),       # 23 of 400 positions
    40: ([2, 3, 7], [range(50, 66)] * 4),                  # strict: exactly 6 %
    46: ([2, 3, 7], [range(70, 86)] * 3 + [range(70, 85)]),    # strict: just below
    52: ([6, 7], [range(1, 100, 2)] * 4),                  # the last layer only
}
NEGATIVE = {25}                  # all occurrences negative
ALTERNATING = {7}                # sign by position: even +, odd -
BY_SEQUENCE = {52}               # sign by sequence: even +, odd -
NEVER_CHOSEN = [layer % N_EXPERTS for layer in range(N_LAYERS)]

WHY = [
    "Nothing writes into a planted dimension: its rows of every o_proj and down_proj are "
    "zero. Its residual is therefore its embedding at every layer, in any precision: +-4 "
    "where the token carries the feature, 0 where it does not.",
    "Nothing reads a planted dimension: its columns of q_proj, k_proj, v_proj, gate_proj, "
    "up_proj, the router and lm_head are zero (the steering dimension excepted, below). "
    "Its large values change nothing else.",
    "At an amplifying site the norm weight of the dimension is norm_weight_on, chosen from "
    "an upper bound of the residual's length (residual_norm_bound: embeddings, plus the "
    "products of spectral norms of the blocks), so that |value| = norm_weight_on x 4 x "
    "sqrt(64) / length >= 12 wherever a token carries the feature. Elsewhere it is 0.",
    "Every other norm weight is at most 0.25, and |x_i| <= sqrt(64) x rms(x) for any vector, "
    "so every other value is at most 2.",
    "So an occurrence is exactly: (amplifying site, position whose token carries the "
    "feature), for ANY ids; which tokens carry what is listed in tokens. The figures of the "
    "criterion for ids.txt follow by counting.",
    "The router row of a layer's never_chosen expert is -K on the steering dimension, which "
    "is positive in every token; by the same bound its logit is below all others.",
]


def sign(feature, sequence, position):
    if feature in NEGATIVE:
        return -1
    if feature in ALTERNATING:
        return 1 - 2 * (position % 2)
    return 1 - 2 * (sequence % 2) if feature in BY_SEQUENCE else 1


def plan_tokens():
    """(signature of each token, rows of ids): tokens differ in what they carry; each
    signature has VARIANTS tokens, used in turn."""
    signatures, used, rows = {}, {}, []
    for s in range(N_SEQUENCES):
        row = []
        for p in range(N_TOKENS):
            key = tuple((f, sign(f, s, p)) for f, (_, at) in PLAN.items() if p in at[s])
            first = signatures.setdefault(key, len(signatures)) * VARIANTS
            turn = used[key] = used.get(key, -1) + 1
            row.append(first + turn % VARIANTS)
        rows.append(row)
    return [key for key in signatures for _ in range(VARIANTS)], rows


# ---------------------------------------------------------------- the answers

def occurrences(feature, sequences):
    sites, at = PLAN[feature]
    return len(sites) * sum(len(at[s]) for s in sequences)


def batches(size):
    out = []
    for first in range(0, N_SEQUENCES, size):
        sequences = list(range(first, min(first + size, N_SEQUENCES)))
        features = []
        for f, (sites, at) in PLAN.items():
            positions = len(set().union(*(at[s] for s in sequences)))
            layers = len(sites) / len(SITES) if positions else 0
            if layers >= MIN_LAYERS and positions / N_TOKENS >= MIN_POSITIONS:
                features.append({"feature": f, "layer_fraction": layers,
                                 "position_fraction": positions / N_TOKENS,
                                 "occurrences": occurrences(f, sequences)})
        out.append({"sequences": sequences, "count": len(features), "features": features})
    return out


def middle(values):
    values, half = sorted(values), len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def criterion(size):
    found = batches(size)
    pairs = [f for b in found for f in b["features"]]
    result = {"pairs": {"count": len(pairs)}, "batches": found, "unique": {},
              "pooled": {}, "strict": {}}
    for name in ("layer_fraction", "position_fraction"):
        values = [p[name] for p in pairs]
        result["pairs"]["mean_" + name] = sum(values) / len(values)
        result["pairs"]["median_" + name] = middle(values)
    tokens = N_SEQUENCES * N_TOKENS
    for block in ("unique", "pooled", "strict"):
        features = []
        for f, (sites, at) in PLAN.items():
            count = occurrences(f, range(N_SEQUENCES))
            in_batches = sum(p["feature"] == f for p in pairs)
            layers, positions = len(sites) / len(SITES), sum(map(len, at)) / tokens
            strict = count / (len(SITES) * tokens)
            fraction = strict if block == "strict" else positions
            enough = layers >= MIN_LAYERS and fraction >= MIN_POSITIONS
            if in_batches if block == "unique" else enough:
                signs = {sign(f, s, p) for s in range(N_SEQUENCES) for p in at[s]}
                features.append({"feature": f, "batches": in_batches,
                                 "layer_fraction": layers, "position_fraction": fraction,
                                 "occurrences": count, "one_sided": len(signs) == 1})
        result[block] = {"count": len(features), "features": features}
    return result


def answers(bounds, signatures):
    def at_site(i):
        return sum(len(p) for sites, at in PLAN.values() if i in sites for p in at)
    return {
        "why": WHY,
        "bounds": bounds,
        "criterion": {"threshold": THRESHOLD, "min_layers": MIN_LAYERS,
                      "min_positions": MIN_POSITIONS},
        "n_sites": len(SITES), "n_tokens": N_TOKENS, "n_sequences": N_SEQUENCES,
        "planted": [{"feature": f, "positions": [list(p) for p in at],
                     "sites": [{"layer": SITES[i][0], "site": SITES[i][1]} for i in sites]}
                    for f, (sites, at) in PLAN.items()],
        "decoy": {"feature": DECOY, "carried_by": "every token", "occurrences": 0},
        "sites": [{"layer": layer, "site": site, "occurrences": at_site(i)}
                  for i, (layer, site) in enumerate(SITES)],
        "llm_int8": {"batch_size_1": criterion(1), "batch_size_2": criterion(2)},
        "router": {"never_chosen": [{"layer": layer, "experts": [e]}
                                    for layer, e in enumerate(NEVER_CHOSEN)]},
        "tokens": [{"ids": [t, t + VARIANTS - 1],
                    "carries": [f * s for f, s in signatures[t]]}
                   for t in range(0, len(signatures), VARIANTS)],
    }


# ---------------------------------------------------------------- the model

def matrix(rows, columns, scale):
    """All singular values are scale (up to the rounding to bf16)."""
    square = torch.linalg.qr(torch.randn(max(rows, columns), max(rows, columns)))[0]
    return (square[:rows, :columns] * scale).to(torch.bfloat16)


def spectral(w):
    return torch.linalg.matrix_norm(w.float(), 2).item()


def build(signatures):
    torch.manual_seed(20)
    planted = sorted([*PLAN, DECOY, STEERING])
    t = {}

    def blind(w):           # reads no planted dimension
        w[:, planted] = 0
        return w

    def mute(w):            # writes no planted dimension
        w[planted] = 0
        return w

    embedding = torch.randn(len(signatures), D_MODEL)
    embedding[:, planted] = 0
    for token, signature in enumerate(signatures):
        for feature, s in signature:
            embedding[token, feature] = s * CARRIED
    embedding[:, [DECOY, STEERING]] = CARRIED
    t["model.embed_tokens.weight"] = embedding.to(torch.bfloat16)

    length = t["model.embed_tokens.weight"].float().norm(dim=1).max().item()
    seen = QUIET * math.sqrt(D_MODEL)   # longest vector that the blocks read
    for layer in range(N_LAYERS):
        at = f"model.layers.{layer}."
        for name, heads in (("q", N_HEADS), ("k", N_KV), ("v", N_KV)):
            t[f"{at}self_attn.{name}_proj.weight"] = blind(
                matrix(heads * HEAD_DIM, D_MODEL, 2))
        t[at + "self_attn.o_proj.weight"] = mute(matrix(D_MODEL, N_HEADS * HEAD_DIM, 1.5))
        for name in "qk":
            t[f"{at}self_attn.{name}_norm.weight"] = torch.rand(HEAD_DIM).add(
                1).to(torch.bfloat16)
        # Every head's output is an average of values, no longer than the longest.
        length += (spectral(t[at + "self_attn.o_proj.weight"]) *
                   spectral(t[at + "self_attn.v_proj.weight"]) *
                   math.sqrt(N_HEADS) * seen)
        t[at + "mlp.gate.weight"] = blind(matrix(N_EXPERTS, D_MODEL, 3))
        worst = 0
        for e in range(N_EXPERTS):
            names = [f"{at}mlp.experts.{e}.{n}_proj.weight" for n in ("gate", "up", "down")]
            t[names[0]] = blind(matrix(D_EXPERT, D_MODEL, 2))
            t[names[1]] = blind(matrix(D_EXPERT, D_MODEL, 2))
            t[names[2]] = mute(matrix(D_MODEL, D_EXPERT, 4))
            worst = max(worst, math.prod(spectral(t[n]) for n in names))
        length += worst * seen ** 2      # |silu(z)| <= |z|; the weights sum to 1
    plant(t, length, seen)
    t["model.norm.weight"] = torch.ones(D_MODEL, dtype=torch.bfloat16)
    t["lm_head.weight"] = blind(matrix(len(signatures), D_MODEL, 2))
    smallest = norm_weight_on(length) * CARRIED * math.sqrt(D_MODEL) / length
    return t, {"residual_norm_bound": length, "norm_weight_on": norm_weight_on(length),
               "norm_weight_elsewhere_max": QUIET, "carried": CARRIED,
               "planted_magnitude_min": smallest,
               "other_magnitude_max": QUIET * math.sqrt(D_MODEL)}


def norm_weight_on(length):
    """The amplifying norm weight, a power of two: exact in bf16."""
    need = MARGIN * THRESHOLD * length / (CARRIED * math.sqrt(D_MODEL))
    return 2.0 ** math.ceil(math.log2(need))


def plant(t, length, seen):
    for layer in range(N_LAYERS):
        at = f"model.layers.{layer}."
        for site, name in (("ln_attn", "input"), ("ln_mlp", "post_attention")):
            w = (torch.rand(D_MODEL) * 0.15 + 0.1).to(torch.bfloat16)
            w[STEERING] = QUIET
            for feature, (sites, _) in PLAN.items():
                if SITES.index((layer, site)) in sites:
                    w[feature] = norm_weight_on(length)
            t[f"{at}{name}_layernorm.weight"] = w
        router = t[at + "mlp.gate.weight"]
        rows = router.float().norm(dim=1).max().item()
        steering = QUIET * CARRIED * math.sqrt(D_MODEL) / length     # least value read
        router[NEVER_CHOSEN[layer]] = 0
        router[NEVER_CHOSEN[layer], STEERING] = -(
            2.0 ** math.ceil(math.log2(MARGIN * rows * seen / steering)))


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    signatures, rows = plan_tokens()
    tensors, bounds = build(signatures)
    save_file({k: v.contiguous() for k, v in tensors.items()},
              str(out / "model.safetensors"), metadata={"format": "pt"})
    config = {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
        "attention_bias": False, "attention_dropout": 0.0, "decoder_sparse_step": 1,
        "head_dim": HEAD_DIM, "hidden_act": "silu", "hidden_size": D_MODEL,
        "initializer_range": 0.02, "intermediate_size": 192,
        "max_position_embeddings": 4096, "max_window_layers": N_LAYERS,
        "mlp_only_layers": [], "moe_intermediate_size": D_EXPERT, "norm_topk_prob": True,
        "num_attention_heads": N_HEADS, "num_experts": N_EXPERTS,
        "num_experts_per_tok": 2, "num_hidden_layers": N_LAYERS,
        "num_key_value_heads": N_KV, "output_router_logits": False, "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 10000.0, "router_aux_loss_coef": 0.001,
        "sliding_window": None, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "use_cache": True, "use_sliding_window": False, "vocab_size": len(signatures)}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "ids.txt").write_text("".join(" ".join(map(str, r)) + "\n" for r in rows))
    text = json.dumps(answers(bounds, signatures), indent=1)
    (out / "answers.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
