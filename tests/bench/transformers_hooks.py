#!/usr/bin/env python3
"""What ol-extract is compared with: the usual way to record activations in Python.

    transformers_hooks.py MODEL IDS OUTPUT.h5 bf16|f32 [THREADS [DEVICE [usual|fair]]]

Loads the whole model with transformers, runs one sequence after another with hooks on the
two norms of every layer, and writes what they saw with h5py. usual: as such hooks are mostly
written, each tensor to the host as float32 at once, to the file as float16. fair: the tensors
stay on the device in their own type until a sequence is done, reach the file as their bits,
and the file the disk. Needs torch, transformers and h5py."""
import os
import sys
import time

import h5py
import torch
import transformers


def main():
    model_path, ids_path, out_path, precision = sys.argv[1:5]
    if len(sys.argv) > 5 and int(sys.argv[5]) > 0:
        torch.set_num_threads(int(sys.argv[5]))
    device = sys.argv[6] if len(sys.argv) > 6 else "cpu"
    fair = len(sys.argv) > 7 and sys.argv[7] == "fair"
    bits = torch.uint16 if precision == "bf16" else torch.float32
    start = time.time()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = transformers.AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype).eval().to(device)
    loaded = time.time()
    with open(ids_path) as f:
        rows = [[int(i) for i in line.split()] for line in f if line.strip()]
    seen = {}

    def keep(name):
        def hook(module, args, output):
            seen[name] = output[0] if fair else output[0].float().cpu().numpy()
        return hook

    for i, layer in enumerate(model.model.layers):
        layer.input_layernorm.register_forward_hook(keep(f"layer_{i}_ln_attn"))
        layer.post_attention_layernorm.register_forward_hook(keep(f"layer_{i}_ln_mlp"))
    forward = 0.0
    with h5py.File(out_path, "w") as out, torch.no_grad():
        for s, row in enumerate(rows):
            before = time.time()
            model.model(torch.tensor([row], device=device), use_cache=False)
            forward += time.time() - before
            for name, value in seen.items():
                if fair:
                    value = value.contiguous().view(bits).cpu().numpy()
                if s == 0:
                    out.create_dataset(name, (len(rows), *value.shape), value.dtype if fair else "f2")
                out[name][s] = value
        out.flush()
        if fair:
            os.fsync(out.id.get_vfd_handle())
    tokens = sum(map(len, rows))
    print(f"loading {loaded - start:.1f} s, forward {forward:.1f} s "
          f"({tokens / forward:.0f} tokens/s), whole {time.time() - start:.1f} s")


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main()
