"""Say what the demo model is worth, with transformers on the files as published.

usage: evaluate.py TEXT_DIR [--dir DIR] [--length L]      writes DIR/evaluation.json

Loads config.json and model.safetensors with transformers (f32 and bf16, eager), proves
that train.py's model computes the same, and measures on heldout.txt, cut into windows of
L tokens as ol-extract does by default: perplexity beside a unigram model's, load of the
experts, and the LLM.int8 criterion. TEXT_DIR serves the unigram model alone.
"""
import argparse
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

import train

THRESHOLD, MIN_LAYERS, MIN_POSITIONS = 6.0, 0.25, 0.06
DEFAULT_SEQUENCES = 16


def load(directory, dtype):
    model, info = AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager",
        experts_implementation="eager", output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()


def own_model(directory, config):
    """train.Model with the published weights."""
    model, t = train.Model(config, 0), load_file(str(directory / "model.safetensors"))
    with torch.no_grad():
        model.embedding.copy_(t["model.embed_tokens.weight"])
        model.head.copy_(t["lm_head.weight"])
        model.norm.copy_(t["model.norm.weight"])
        for i, layer in enumerate(model.layers):
            at = f"model.layers.{i}."
            layer.attn_norm.copy_(t[at + "input_layernorm.weight"])
            layer.mlp_norm.copy_(t[at + "post_attention_layernorm.weight"])
            layer.q_norm.copy_(t[at + "self_attn.q_norm.weight"])
            layer.k_norm.copy_(t[at + "self_attn.k_norm.weight"])
            layer.qkv.copy_(torch.cat([t[f"{at}self_attn.{n}_proj.weight"] for n in "qkv"]))
            layer.o.copy_(t[at + "self_attn.o_proj.weight"])
            layer.router.copy_(t[at + "mlp.gate.weight"])
            for e in range(config["num_experts"]):
                x = f"{at}mlp.experts.{e}."
                layer.gate_up[e].copy_(torch.cat([t[x + "gate_proj.weight"],
                                                  t[x + "up_proj.weight"]]))
                layer.down[e].copy_(t[x + "down_proj.weight"])
    return model.eval()


def record(model, ids):
    """NLL [sequences, tokens - 1], router ids [layers, sequences, tokens, k], recorded
    norm outputs [sites, sequences, tokens, d_model], residual maxima per layer"""
    sites, chosen, nll = [], [], []
    for layer in model.model.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.register_forward_hook(lambda m, i, o: sites.append(o.to(torch.bfloat16)))
        layer.mlp.gate.register_forward_hook(lambda m, i, o: chosen.append(o[2]))
    values, routes, residual = [], [], []
    with torch.no_grad():
        for row in ids:
            sites.clear()
            chosen.clear()
            out = model(row[None], output_hidden_states=True)
            nll.append(F.cross_entropy(out.logits[0, :-1].float(), row[1:], reduction="none"))
            values.append(torch.cat(sites))
            routes.append(torch.stack(chosen))
            residual.append([h.abs().max().item() for h in out.hidden_states[:-1]])
    return (torch.stack(nll), torch.stack(routes, 1), torch.stack(values, 1),
            torch.tensor(residual).max(0).values.tolist())


def criterion(values, threshold):
    """The counts of the LLM.int8 criterion; values [sites, sequences, tokens, d_model]."""
    over = values.abs() >= threshold
    n_sites, n_sequences, n_tokens, _ = over.shape

    def fraction(count, of):
        return count.double() / of

    layers = fraction(over.any(2).sum(0), n_sites)                    # [sequences, d]
    positions = fraction(over.any(0).sum(1), n_tokens)
    pairs = (layers >= MIN_LAYERS) & (positions >= MIN_POSITIONS)
    all_layers = fraction(over.flatten(1, 2).any(1).sum(0), n_sites)
    pooled = fraction(over.any(0).flatten(0, 1).sum(0), n_sequences * n_tokens)
    strict = fraction(over.flatten(0, 2).sum(0), over[..., 0].numel())
    enough = all_layers >= MIN_LAYERS
    return {"threshold": threshold, "occurrences": int(over.sum()),
            "features_with_occurrences": int((all_layers > 0).sum()),
            "pairs": int(pairs.sum()), "unique": pairs.any(0).nonzero().flatten().tolist(),
            "batches_of_unique": pairs.sum(0)[pairs.any(0)].tolist(),
            "pooled": (enough & (pooled >= MIN_POSITIONS)).nonzero().flatten().tolist(),
            "strict": (enough & (strict >= MIN_POSITIONS)).nonzero().flatten().tolist()}


def router_load(routes, n_experts):
    result = []
    for layer in routes.flatten(1):
        share = torch.bincount(layer, minlength=n_experts).double() / layer.numel()
        entropy = -(share * share.clamp_min(1e-300).log()).sum().item()
        result.append({"min_share": share.min().item(), "max_share": share.max().item(),
                       "entropy_of_uniform": entropy / math.log(n_experts),
                       "never_chosen": int((share == 0).sum())})
    return result


def unigram_nll(tokenizer, texts, targets, vocab_size):
    """Add-one smoothed frequencies of the training tokens."""
    counts = torch.ones(vocab_size, dtype=torch.float64)
    for text in texts:
        counts += torch.bincount(torch.tensor(tokenizer.encode(text).ids),
                                 minlength=vocab_size)
    return -(counts / counts.sum()).log()[targets].mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=pathlib.Path, metavar="TEXT_DIR")
    parser.add_argument("--dir", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    parser.add_argument("--length", type=int, default=2048)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = json.loads((args.dir / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(args.dir / "tokenizer.json"))
    texts, _, heldout = train.read_texts(args.texts)
    assert heldout.encode() == (args.dir / "heldout.txt").read_bytes()
    tokens = tokenizer.encode(heldout, add_special_tokens=False).ids
    assert tokenizer.decode(tokens) == heldout
    assert AutoTokenizer.from_pretrained(args.dir)(heldout)["input_ids"] == tokens
    n = len(tokens) // args.length
    ids = torch.tensor(tokens[:n * args.length]).view(n, args.length)

    f32 = load(args.dir, torch.float32)
    result = {"parameters": sum(p.numel() for p in f32.parameters()),
              "heldout_bytes": len(heldout.encode()), "heldout_tokens": len(tokens),
              "sequences": n, "length": args.length}
    with torch.no_grad():
        theirs, ours = f32(ids[:1]).logits, own_model(args.dir, config)(ids[:1])[0]
    result["largest_logit"] = theirs.abs().max().item()
    result["largest_logit_difference_of_train_py"] = (ours - theirs).abs().max().item()

    first = slice(0, DEFAULT_SEQUENCES)
    nll, routes, values, _ = record(f32, ids)
    result["perplexity_f32"] = math.exp(nll.mean())
    result["perplexity_f32_first_16"] = math.exp(nll[first].mean())
    result["perplexity_f32_by_position"] = {
        f"{a + 1}..{b}": math.exp(nll[:, a:b].mean())
        for a, b in ((0, 256), (256, 512), (512, 1024), (1024, args.length - 1))
        if a < args.length}
    bf16_nll, bf16_routes, values, residual = record(load(args.dir, torch.bfloat16), ids)
    result["perplexity_bf16"] = math.exp(bf16_nll.mean())
    result["perplexity_bf16_first_16"] = math.exp(bf16_nll[first].mean())
    same = (routes.sort(-1).values == bf16_routes.sort(-1).values).all(-1)
    result["share_of_tokens_routed_alike_in_bf16_and_f32"] = same.double().mean().item()
    for name, rows in (("", ids), ("_first_16", ids[first])):
        result["perplexity_unigram" + name] = math.exp(unigram_nll(
            tokenizer, texts, rows[:, 1:].flatten(), config["vocab_size"]))
    result["router_load"] = router_load(bf16_routes[:, first], config["num_experts"])
    values = values[:, first]
    largest = values.abs().amax((1, 2)).float()
    result["site_maxima"] = [round(v, 4) for v in largest.max(1).values.tolist()]
    result["residual_maxima"] = residual
    top = largest.max(0).values.topk(8)
    result["largest_features"] = [
        {"feature": f, "max_magnitude": m, "sites_with_occurrences":
         int((largest[:, f] >= THRESHOLD).sum())}
        for m, f in zip(top.values.tolist(), top.indices.tolist())]
    result["llm_int8_first_16"] = [criterion(values, t) for t in (6.0, 5.0, 4.0, 3.0)]
    (args.dir / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
