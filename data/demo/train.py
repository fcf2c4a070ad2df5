"""Train the demo model: a small Qwen3-MoE on Jane Austen's novels, CPU only.

usage: train.py TEXT_DIR [--out DIR] [--minutes M] [--seed S] [--threads T]

TEXT_DIR holds the six novels as plain text (names in NOVELS). The last chapters of
Persuasion become heldout.txt and are seen by nothing: not by the tokenizer, not by the
training, not by the choice of the checkpoint. The last chapters of Northanger Abbey
choose the checkpoint. Everything else is trained on.

The model below computes what transformers' Qwen3MoeForCausalLM computes; evaluate.py
proves that on the files as written. It is written out here because sorting rows by
expert makes a training step several times faster on a CPU.
"""
import argparse
import json
import math
import pathlib
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

NOVELS = ["emma", "mansfield_park", "northanger_abbey", "persuasion",
          "pride_and_prejudice", "sense_and_sensibility"]
# novel, heading that begins the part kept out of training
HELDOUT = ("persuasion", "\nChapter 19\n")
VALIDATION = ("northanger_abbey", "\nCHAPTER 28\n")

QWEN_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
              r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

CONFIG = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 2045,
    "decoder_sparse_step": 1,
    "eos_token_id": 2045,
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 384,
    "max_position_embeddings": 2048,
    "max_window_layers": 6,
    "mlp_only_layers": [],
    "moe_intermediate_size": 64,
    "norm_topk_prob": True,
    "num_attention_heads": 4,
    "num_experts": 16,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 6,
    "num_key_value_heads": 2,
    "output_router_logits": False,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "router_aux_loss_coef": 0.01,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 2048,
}


# ---------------------------------------------------------------- text and tokenizer

def read_texts(directory):
    """(training texts, one a novel; validation text; held-out text)"""
    texts = {n: (pathlib.Path(directory) / f"{n}.txt").read_bytes().decode() for n in NOVELS}
    kept = []
    for novel, heading in (VALIDATION, HELDOUT):
        at = texts[novel].index(heading) + 1
        kept.append(texts[novel][at:])
        texts[novel] = texts[novel][:at]
    return [texts[n] for n in NOVELS], kept[0], kept[1]


def train_tokenizer(texts, vocab_size):
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False,
                                           use_regex=False)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False,
                                                    trim_offsets=False, use_regex=False)
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    tokenizer.add_special_tokens([AddedToken(s, normalized=False, special=True)
                                  for s in SPECIAL])
    assert tokenizer.get_vocab_size() == vocab_size
    return tokenizer


def save_tokenizer(tokenizer, out):
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps({
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(tokenizer.token_to_id(s)): {
            "content": s, "lstrip": False, "normalized": False, "rstrip": False,
            "single_word": False, "special": True} for s in SPECIAL},
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|endoftext|>",
        "errors": "replace",
        "model_max_length": CONFIG["max_position_embeddings"],
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None}, indent=2) + "\n")


# ---------------------------------------------------------------- model

class Layer(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        d, h, f = c["hidden_size"], c["head_dim"], c["moe_intermediate_size"]
        n_q, n_kv, n_e = c["num_attention_heads"], c["num_key_value_heads"], c["num_experts"]
        self.c = c
        std = c["initializer_range"]
        out_std = std / math.sqrt(2 * c["num_hidden_layers"])
        normal = lambda s, *shape: torch.nn.Parameter(torch.randn(*shape) * s)
        ones = lambda n: torch.nn.Parameter(torch.ones(n))
        self.attn_norm, self.mlp_norm = ones(d), ones(d)
        self.q_norm, self.k_norm = ones(h), ones(h)
        self.qkv = normal(std, (n_q + 2 * n_kv) * h, d)
        self.o = normal(out_std, d, n_q * h)
        self.router = normal(std, n_e, d)
        self.gate_up = normal(std, n_e, 2 * f, d)
        self.down = normal(out_std, n_e, d, f)

    def attention(self, x, cos, sin):
        c, (b, t, _) = self.c, x.shape
        n_q, n_kv, h = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        q, k, v = (x @ self.qkv.T).view(b, t, n_q + 2 * n_kv, h).split([n_q, n_kv, n_kv], 2)
        eps = c["rms_norm_eps"]
        q = rotate(F.rms_norm(q, (h,), self.q_norm, eps), cos, sin).transpose(1, 2)
        k = rotate(F.rms_norm(k, (h,), self.k_norm, eps), cos, sin).transpose(1, 2)
        group = n_q // n_kv
        k = k.repeat_interleave(group, 1)
        v = v.transpose(1, 2).repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(b, t, n_q * h) @ self.o.T

    def moe(self, x):
        """Returns the output and the load-balancing loss of this layer."""
        c, shape = self.c, x.shape
        x = x.reshape(-1, shape[-1])
        n_e, top_k = c["num_experts"], c["num_experts_per_tok"]
        probabilities = (x @ self.router.T).softmax(-1)
        weights, ids = probabilities.topk(top_k, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        flat = ids.reshape(-1)
        order = flat.argsort(stable=True)
        counts = torch.bincount(flat, minlength=n_e)
        rows = x.index_select(0, order // top_k).split(counts.tolist())
        inner = torch.cat([r @ w.T for r, w in zip(rows, self.gate_up.unbind(0))])
        g, u = inner.chunk(2, -1)
        inner = (F.silu(g) * u).split(counts.tolist())
        y = torch.cat([r @ w.T for r, w in zip(inner, self.down.unbind(0))])
        place = torch.empty_like(order)
        place[order] = torch.arange(order.numel())
        y = y.index_select(0, place).view(-1, top_k, shape[-1])
        y = (y * weights.unsqueeze(-1)).sum(1)
        balance = n_e * (counts / x.shape[0] * probabilities.mean(0)).sum()
        return y.view(shape), balance, counts

    def forward(self, x, cos, sin, dropout):
        d, eps = x.shape[-1:], self.c["rms_norm_eps"]
        drop = lambda t: F.dropout(t, dropout, self.training)
        x = x + self.attention(F.rms_norm(x, d, self.attn_norm, eps), cos, sin)
        y, balance, counts = self.moe(F.rms_norm(x, d, self.mlp_norm, eps))
        return x + drop(y), balance, counts


def rotate(x, cos, sin):
    """x [b, t, heads, h]; pairs (i, i + h/2)"""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Model(torch.nn.Module):
    def __init__(self, c, dropout):
        super().__init__()
        self.c, self.dropout = c, dropout
        std, v, d = c["initializer_range"], c["vocab_size"], c["hidden_size"]
        self.embedding = torch.nn.Parameter(torch.randn(v, d) * std)
        self.head = torch.nn.Parameter(torch.randn(v, d) * std)
        self.norm = torch.nn.Parameter(torch.ones(d))
        self.layers = torch.nn.ModuleList([Layer(c) for _ in range(c["num_hidden_layers"])])
        h = c["head_dim"]
        inv = c["rope_theta"] ** (-torch.arange(0, h, 2).float() / h)
        angle = torch.outer(torch.arange(c["max_position_embeddings"]).float(), inv)
        self.register_buffer("cos", angle.cos()[None, :, None], persistent=False)
        self.register_buffer("sin", angle.sin()[None, :, None], persistent=False)

    def forward(self, ids):
        """logits [b, t, v], load-balancing loss, tokens per expert [layers, experts]"""
        x = F.dropout(F.embedding(ids, self.embedding), self.dropout, self.training)
        cos, sin = self.cos[:, :ids.shape[1]], self.sin[:, :ids.shape[1]]
        balance, load = 0, []
        for layer in self.layers:
            x, b, counts = layer(x, cos, sin, self.dropout)
            balance = balance + b
            load.append(counts)
        x = F.rms_norm(x, x.shape[-1:], self.norm, self.c["rms_norm_eps"])
        return x @ self.head.T, balance / len(self.layers), torch.stack(load)


def hub_tensors(model):
    """The tensors under the names that Qwen3-MoE checkpoints have on the Hub."""
    c, out = model.c, {}
    n_q, n_kv, h = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    out["model.embed_tokens.weight"] = model.embedding
    for i, layer in enumerate(model.layers):
        at = f"model.layers.{i}."
        out[at + "input_layernorm.weight"] = layer.attn_norm
        qkv = layer.qkv.split([n_q * h, n_kv * h, n_kv * h])
        for name, w in zip("qkv", qkv):
            out[f"{at}self_attn.{name}_proj.weight"] = w
        out[at + "self_attn.o_proj.weight"] = layer.o
        out[at + "self_attn.q_norm.weight"] = layer.q_norm
        out[at + "self_attn.k_norm.weight"] = layer.k_norm
        out[at + "post_attention_layernorm.weight"] = layer.mlp_norm
        out[at + "mlp.gate.weight"] = layer.router
        for e in range(c["num_experts"]):
            gate, up = layer.gate_up[e].chunk(2)
            out[f"{at}mlp.experts.{e}.gate_proj.weight"] = gate
            out[f"{at}mlp.experts.{e}.up_proj.weight"] = up
            out[f"{at}mlp.experts.{e}.down_proj.weight"] = layer.down[e]
    out["model.norm.weight"] = model.norm
    out["lm_head.weight"] = model.head
    return {k: v.detach().to(torch.bfloat16).contiguous().clone() for k, v in out.items()}


def save_model(model, out):
    part = out / "model.safetensors.partial"
    save_file(hub_tensors(model), str(part), metadata={"format": "pt"})
    part.replace(out / "model.safetensors")
    (out / "config.json").write_text(json.dumps(model.c, indent=2) + "\n")


# ---------------------------------------------------------------- training

def learning_rate(progress, peak):
    """Warm up, stay, fall linearly to zero over the last 40 %."""
    return peak * min(1, progress / 0.02) * min(1, (1 - progress) / 0.4)


def mean_nll(model, ids, length):
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for at in range(0, len(ids) - length + 1, length):
            row = ids[at:at + length][None]
            logits = model(row)[0][0, :-1]
            total += F.cross_entropy(logits, row[0, 1:], reduction="sum").item()
            count += length - 1
    model.train()
    return total / count


def optimizer_for(model, peak):
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim == 1]
    return torch.optim.AdamW([{"params": decay, "weight_decay": 0.1},
                              {"params": plain, "weight_decay": 0.0}],
                             lr=peak, betas=(0.9, 0.95), eps=1e-9, fused=True)


def train(model, ids, validation, args):
    optimizer = optimizer_for(model, args.peak)
    seconds, start = args.minutes * 60, time.time()
    next_check, best, step, seen, last_length = 0.05, math.inf, 0, 0, 0
    while (progress := min(1, (time.time() - start) / seconds)) < 1 and step < args.steps:
        # Short sequences first; long ones at the end teach the far positions.
        length = 256 if progress < 0.6 else 512 if progress < 0.75 else 2048
        if length != last_length:
            last_length, best = length, math.inf
        at = torch.randint(len(ids) - length - 1, (args.batch // length,)).tolist()
        batch = torch.stack([ids[a:a + length + 1] for a in at])
        logits, balance, load = model(batch[:, :-1])
        nll = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        (nll + model.c["router_aux_loss_coef"] * balance).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, args.peak)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + batch[:, 1:].numel()
        if step % 50 == 0:
            print(f"step {step} {progress:.3f} tokens {seen} nll {nll.item():.4f} "
                  f"balance {balance.item():.3f} grad {norm.item():.2f} "
                  f"load {load.min().item()}..{load.max().item()} "
                  f"tokens/s {seen / (time.time() - start):.0f}", flush=True)
        if progress >= next_check:
            next_check = progress + (0.1 if progress < 0.8 else 0.03)
            best = keep_best(model, validation, length, best, step, seen, args)
    keep_best(model, validation, length, best, step, seen, args)


def keep_best(model, validation, length, best, step, seen, args):
    nll = mean_nll(model, validation, length)
    print(f"validation (length {length}) after step {step}: nll {nll:.4f} perplexity {math.exp(nll):.2f}",
          flush=True)
    if nll >= best:
        return best
    save_model(model, args.out)
    (args.out / "training.json").write_text(json.dumps({
        "steps": step, "tokens": seen, "validation_nll": nll, "seed": args.seed,
        "batch_tokens": args.batch, "peak_learning_rate": args.peak,
        "dropout": args.dropout, "minutes": args.minutes}, indent=2) + "\n")
    return nll


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=pathlib.Path, metavar="TEXT_DIR")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--steps", type=int, default=10 ** 9)
    parser.add_argument("--batch", type=int, default=2048, help="tokens per step")
    parser.add_argument("--peak", type=float, default=3e-3, help="learning rate")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)

    texts, validation, heldout = read_texts(args.texts)
    (args.out / "heldout.txt").write_bytes(heldout.encode())
    tokenizer = train_tokenizer(texts, CONFIG["vocab_size"])
    save_tokenizer(tokenizer, args.out)
    end = tokenizer.token_to_id(SPECIAL[0])
    ids = torch.tensor([i for t in texts for i in tokenizer.encode(t).ids + [end]])
    validation = torch.tensor(tokenizer.encode(validation).ids)
    model = Model(CONFIG, args.dropout)
    print(f"{sum(p.numel() for p in model.parameters())} parameters; tokens: {len(ids)} to "
          f"train, {len(validation)} to validate, {len(tokenizer.encode(heldout).ids)} held "
          "out", flush=True)
    train(model, ids, validation, args)


if __name__ == "__main__":
    main()
