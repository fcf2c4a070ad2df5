#!/usr/bin/env python3
"""usage: rounded.py

Write tests/golden/rounded.json: for tiny models of tests/golden/models, in float32, what
transformers' own routers choose when their input (a hook on each router) is rounded, token by
token, to each format that the activation file knows, with quantisers of torch's casts. Needs
torch and transformers; tests/oracle/rounded.py compares a run with it."""
import json
import pathlib

import torch
import transformers

import make_models
from attention import ids_of

HERE = pathlib.Path(__file__).parent
MODELS = ["qwen3_moe", "deepseek_v3", "glm4_moe", "gpt_oss", "llama4", "gemma4-text", "nemotron_h-latent"]
# Tokens of the sequences; the last two begin alike.
LENGTHS = [24, 12, 12]
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def e4m3(x):
    return x.clamp(-448, 448).to(torch.float8_e4m3fn).float()


def e2m1(x):
    """To the nearest, of two that are as near the one with the even mantissa."""
    x, sign = x.abs().clamp(max=6), x.sign()
    above = torch.searchsorted(E2M1, x.contiguous()).clamp(1, 7)
    low, high = E2M1[above - 1], E2M1[above]
    up = (x - low > high - x) | ((x - low == high - x) & (above % 2 == 0))
    return sign * torch.where(up, high, low)


def blocks(x, n):
    """[rows, blocks, n], filled up with zeros; and the width to cut the result to."""
    pad = -x.shape[-1] % n
    return torch.nn.functional.pad(x, (0, pad)).view(len(x), -1, n)


def joined(q, x):
    return q.flatten(1)[:, : x.shape[-1]]


def power_of_two(x):
    return torch.where(x > 0, torch.exp2(torch.floor(torch.log2(x))), torch.zeros_like(x))


def divided(x, scale):
    return torch.where(scale > 0, x / scale, torch.zeros_like(x))


def int8(x):
    scale = x.abs().amax(-1, keepdim=True) / 127
    return torch.round(x * (1 / scale)) * scale


def fp8(x):
    scale = x.abs().amax(-1, keepdim=True) / 448
    return e4m3(x * (1 / scale)) * scale


def mxfp8(x):
    b = blocks(x, 32)
    scale = power_of_two(b.abs().amax(-1, keepdim=True)) / 256
    return joined(e4m3(divided(b, scale)) * scale, x)


def nvfp4_by(x, top, most):
    """Blocks of 16 whose largest becomes `top`, scales the largest of which becomes `most`."""
    b = blocks(x, 16)
    over = most * 6 / x.abs().amax(-1, keepdim=True).unsqueeze(-1)
    scale = e4m3(over * (b.abs().amax(-1, keepdim=True) / top)) / over
    return b, e2m1(divided(b, scale)) * scale


def nvfp4(x):
    return joined(nvfp4_by(x, 6, 448)[1], x)


def four_over_six(x):
    b, six = nvfp4_by(x, 6, 256)
    _, four = nvfp4_by(x, 4, 256)
    better = ((four - b) ** 2).sum(-1, keepdim=True) < ((six - b) ** 2).sum(-1, keepdim=True)
    return joined(torch.where(better, four, six), x)


def mxfp4(x, even):
    b = blocks(x, 32)
    most = b.abs().amax(-1, keepdim=True)
    power = power_of_two(most)
    if even:
        power = torch.where(most >= 1.75 * power, 2 * power, power)
    scale = power / 4
    return joined(e2m1(divided(b, scale)) * scale, x)


FORMATS = [lambda x: x, int8, fp8, mxfp8, nvfp4, four_over_six, lambda x: mxfp4(x, False), lambda x: mxfp4(x, True)]


def choose(module, x, top_k):
    """A router's experts by falling rank."""
    output = type(module).forward(module, x)
    if isinstance(output, torch.Tensor):  # the product of Gemma4's router
        return output.topk(top_k, dim=-1)[1]
    if len(output) == 3:
        logits, _, experts = output
    else:
        experts = output[0].float().topk(module.top_k, dim=-1)[1]
        logits = output[1]
    choice = make_models.choice_of(module, logits.float())
    return experts.gather(1, choice.gather(1, experts).argsort(-1, descending=True))


def routers(model):
    for number, layer in enumerate(model.model.layers):
        mlp = next(getattr(layer, name) for name in ("mlp", "feed_forward", "mixer") if hasattr(layer, name))
        mlp = layer if hasattr(layer, "router") else mlp
        for name in ("gate", "router"):
            if hasattr(mlp, name):
                router = getattr(mlp, name)
                yield number, getattr(router, "proj", router)


def look(model, ids, top_k):
    found = {}

    def hook(number):
        def see(module, args):
            x = args[0].reshape(-1, args[0].shape[-1])
            found[number] = torch.stack([choose(module, f(x), top_k) for f in FORMATS], 1).tolist()
        return see

    hooks = [r.register_forward_pre_hook(hook(n)) for n, r in routers(model)]
    with torch.no_grad():
        model(torch.tensor([ids]))
    for h in hooks:
        h.remove()
    return found


def main():
    written = {"models": {}}
    for name in MODELS:
        folder = HERE / "models" / name
        whole = transformers.AutoConfig.from_pretrained(folder)
        kind = (transformers.Llama4ForConditionalGeneration if whole.model_type == "llama4"
                else transformers.AutoModelForCausalLM)
        model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                     experts_implementation="eager")
        model = getattr(model, "language_model", model).eval()
        if not hasattr(model, "model"):
            model.model = model
        text = whole.get_text_config()
        top_k = make_models.top_k_of(text.to_dict())
        sequences = [ids_of(n, 7 * seed + 1, text.vocab_size) for seed, n in enumerate(LENGTHS)]
        sequences[-1][:5] = sequences[-2][:5]
        written["models"][name] = {"ids": sequences, "layers": [look(model, ids, top_k) for ids in sequences]}
    (HERE / "rounded.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
