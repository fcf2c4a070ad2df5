#!/usr/bin/env python3
"""Make ablation.txt: mean negative log-likelihoods of golden models with arms of an ablation,
by transformers with hooks, in f32.   python3 ablation.py > ablation.txt   (torch, transformers)

zero and mean act on the stream where a norm reads it: before each layer's attention, before its
MLP, and before the head; the mean is that of the undisturbed run in the same place. drop gives
an expert's output the weight 0. first leaves out the first token of every sequence."""
import contextlib
import os

import torch
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
ARMS = {
    "mixtral": ["zero:3", "mean:3,5", "drop:1.2", "first", "zero:3+drop:0.1", "drop:0.0,2.4"],
    "llama": ["zero:0,7", "mean:1", "first+mean:2"],
}


def likelihoods(model, sequences):
    values = []
    for ids in sequences:
        logits = model(torch.tensor([ids])).logits[0].double()
        log_p = torch.log_softmax(logits, -1)
        values += [-log_p[i, ids[i + 1]].item() for i in range(len(ids) - 1)]
    return sum(values) / len(values), len(values)


@contextlib.contextmanager
def hooks(handles):
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def places(model):
    found = [n for l in model.model.layers for n in (l.input_layernorm, l.post_attention_layernorm)]
    return found + [model.model.norm]


def streams(model, sequences):
    kept = [[] for _ in places(model)]
    handles = [p.register_forward_pre_hook(lambda _, a, i=i: kept[i].append(a[0][0].clone()))
               for i, p in enumerate(places(model))]
    with hooks(handles):
        likelihoods(model, sequences)
    return [torch.cat(k) for k in kept]


def hold(model, values):
    def act(_, args, i):
        for column, value in values[i]:
            args[0][..., column] = value
    return [p.register_forward_pre_hook(lambda m, a, i=i: act(m, a, i))
            for i, p in enumerate(places(model))]


def drop(model, layer, expert):
    def act(_, args):
        x, ids, weights = args
        return x, ids, torch.where(ids == expert, torch.zeros_like(weights), weights)
    return model.model.layers[layer].mlp.experts.register_forward_pre_hook(act)


def arm(model, text, sequences, undisturbed):
    handles = []
    for part in text.split("+"):
        name, _, what = part.partition(":")
        if name == "first":
            sequences = [s[1:] for s in sequences]
        elif name == "drop":
            handles += [drop(model, *map(int, one.split("."))) for one in what.split(",")]
        else:
            columns = [int(c) for c in what.split(",")]
            handles += hold(model, [[(c, 0.0 if name == "zero" else s[:, c].double().mean().float())
                                     for c in columns] for s in undisturbed])
    with hooks(handles):
        return likelihoods(model, sequences)


with torch.no_grad():
    for name, arms in ARMS.items():
        folder = os.path.join(HERE, "models", name)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()
        sequences = [[int(x) for x in line.split()] for line in open(f"{folder}/ids.txt")]
        sequences = [s for s in sequences if len(s) > 1]
        undisturbed = streams(model, sequences)
        for text in arms:
            mean, n = arm(model, text, sequences, undisturbed)
            print(name, text, f"{mean:.6f}", n)
