#!/usr/bin/env python3
"""Every family in every number format of the Hub.

usage: crossed.py BUILD [--whole] [--only FAMILY] [--format NAME] [--simulated]

The config of each tiny model (tests/golden/models), with sizes of which whole groups of a
format can be made, gets random weights (BUILD/tests/make_checkpoint). They are stored in a
format under the names that releases use, and beside it the numbers that this stands for, in
float32: both must run to the same bytes. Families are those of extract/model/families/list.h,
formats those of extract/weights/formats/list.h: one that is not met is an error. Without --whole
each model is met by a few formats, and each format by a few models; with it all by all, whole
models, their experts and their mixers alone, experts of a layer in one tensor, and both
precisions."""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "tools"))
import fuse_experts  # noqa: E402
import number_formats as formats  # noqa: E402

DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}

# ---- models ----

THIRTY_TWOS = set("""hidden_size intermediate_size intermediate_size_mlp moe_intermediate_size
    shared_expert_intermediate_size moe_shared_expert_intermediate_size moe_latent_size
    kv_lora_rank q_lora_rank o_lora_rank hidden_size_per_layer_input n_embd n_inner index_head_dim
    linear_key_head_dim linear_value_head_dim global_head_dim""".split())
SIXTEENS = set("""head_dim qk_nope_head_dim qk_rope_head_dim v_head_dim ssm_state_size
    mamba_head_dim""".split())
HEADS = {"num_attention_heads": {6: 4}, "num_key_value_heads": {6: 4, 3: 2},
         "num_global_key_value_heads": {3: 2}, "n_head": {6: 4},
         "mamba_num_heads": {6: 24}}


def up(n, step):
    return -(-n // step) * step


def widen(config):
    """The same model with sizes that are whole groups."""
    wide = {}
    for key, value in config.items():
        if isinstance(value, dict):
            value = widen(value)
        elif isinstance(value, int) and key in THIRTY_TWOS and value > 0:
            value = up(value, 32)
        elif isinstance(value, int) and key in SIXTEENS:
            value = up(value, 16)
        elif key in HEADS:
            value = HEADS[key].get(value, value)
        elif key == "partial_rotary_factor" and value in (0.375, 1 / 3):  # qk_rope_head_dim's
            value = 0.5
        elif key in ("short_factor", "long_factor"):
            value = (value + value[-1:] * 8)[:int(8 * config.get("partial_rotary_factor", 1))]
        wide[key] = value
    return wide


def golden_models():
    """Name -> config, plain and wide; of several that come to the same, one."""
    found, seen = {}, []
    for path in sorted((ROOT / "tests/golden/models").glob("*/config.json")):
        config = json.loads(path.read_text(), parse_constant=str)  # Infinity: as it is read
        config.pop("quantization_config", None)
        config.get("text_config", {}).pop("quantization_config", None)
        config.pop("expert_dtype", None)
        config = widen(config)
        if config not in seen:
            seen.append(config)
            found[path.parent.name] = config
    return found


def type_of(config):
    return config["model_type"], config.get("text_config", {}).get("model_type")


def last_layer(config):
    c = config.get("text_config", config)
    blocks = c.get("hybrid_override_pattern") or c.get("layers_block_type") or ""
    return (c.get("num_hidden_layers") or c.get("n_layer") or len(blocks)) - 1


def listed(path, macro):
    return re.findall(rf"^{macro}\((\w+)", (ROOT / path).read_text(), re.M)


# ---- matrices ----

LINEAR = re.compile(r"""(?:layers|h)\.\d+\..*?(?:\w+_proj|kv_a_proj_with_mqa|in_proj_\w+|c_attn|c_fc|w[123]|
    wq_a|wq_b|wkv|wk|wo_a|wo_b|per_layer_input_gate|per_layer_projection|per_layer_proj)\.weight$""", re.X)
EXPERTS = re.compile(r"\.experts\.")
MIXER = re.compile(r"\.(self_attn|attn|linear_attn|mixer)\.(?!experts|shared_experts)")


def is_linear(name, shape):
    return (LINEAR.search(name) is not None and len(shape) == 2 and ".compressor." not in name and
            "router" not in name and "conv1d" not in name)


def read(path):
    tensors = {}
    for name, (dtype, shape, data) in fuse_experts.load(path).items():
        tensors[name] = np.frombuffer(data, DTYPES[dtype]).reshape(shape)
    return tensors


def stored(type, array):
    return type, list(array.shape), np.ascontiguousarray(array).tobytes()


FUSED = re.compile(r"(.*\.experts\.)(gate_up_proj|down_proj)$")  # gpt-oss's


def mend(tensors, config):
    """Where random numbers are none that a model has."""
    experts = config.get("n_routed_experts", 0)
    for name, values in tensors.items():
        if name.endswith("tid2eid"):
            n = np.arange(values.size).reshape(values.shape)
            tensors[name] = (n // values.shape[1] * 3 + n % values.shape[1]) % experts
        elif name.endswith("layer_scalar"):
            tensors[name] = np.full_like(values, 0.75)
    return tensors


# ---- formats ----

def compressed(form, bits, type, strategy, **more):
    weights = dict(num_bits=bits, type=type, strategy=strategy, symmetric=True) | more
    return dict(quant_method="compressed-tensors", format=form, ignore=["lm_head"],
                config_groups=dict(group_0=dict(targets=["Linear"], weights=weights)))


def modelopt(algorithm, **more):
    return dict(quant_method="modelopt", quant_algo=algorithm, exclude_modules=["lm_head"]) | more


class Format:
    """`uses`: which of list.h it meets; outputs and inputs of a matrix are multiples of
    `step`; `fused`: whether experts of a layer are also written in one tensor."""

    def __init__(self, uses, config, quantise, step=(1, 1), fused=False, of=None, by_name=False):
        self.uses, self.config, self.quantise = uses, config, quantise
        self.step, self.fused, self.of, self.by_name = step, fused, of, by_name

    def takes(self, shape):
        return shape[0] % self.step[0] == 0 and shape[1] % self.step[1] == 0


def mixed(w, name):
    """Experts in four bits, some of the rest in eight, some plain."""
    if EXPERTS.search(name) and w.shape[1] % 16 == 0:
        return formats.nvfp4(w, False)
    if not re.search(r"layers\.1\.", name):
        return formats.fp8_tensor(w, ".weight_scale", {".input_scale": ("F32", np.float32(.7))})
    return formats.plain(w)


def v4_experts(w, name):
    """Routed experts in four bits, all else in eight."""
    if EXPERTS.search(name):
        found, values = formats.mxfp4(w)
        return {".weight": ("I8", found[".weight_packed"][1].view(np.int8)),
                ".scale": ("F8_E8M0", found[".weight_scale"][1])}, values
    return formats.fp8_exponents(w, 16, 24, ".scale")


ACTIVATION = {".activation_scale": ("F32", np.float32(.5))}
FORMATS = {
    "bf16": Format({"PLAIN"}, None, formats.plain, fused=True),
    "fp8-block": Format({"FP8"}, dict(
        quant_method="fp8", fmt="e4m3", activation_scheme="dynamic", weight_block_size=[16, 24]),
        lambda w: formats.fp8_blocks(w, 16, 24), fused=True),
    "fp8-block-e8m0": Format({"FP8"}, dict(
        quant_method="fp8", scale_fmt="ue8m0", weight_block_size=[16, 24]),
        lambda w: formats.fp8_exponents(w, 16, 24)),
    "fp8-tensor": Format({"FP8"}, dict(quant_method="fp8", activation_scheme="static"),
                         lambda w: formats.fp8_tensor(w, ".weight_scale_inv", ACTIVATION)),
    "ct-fp8-tensor": Format({"FP8"}, compressed("float-quantized", 8, "float", "tensor"),
                            lambda w: formats.fp8_blocks_rounded(w, *w.shape)),
    "ct-fp8-channel": Format({"FP8"}, compressed("float-quantized", 8, "float", "channel"),
                             formats.fp8_channels),
    "ct-fp8-block": Format({"FP8"}, compressed("float-quantized", 8, "float", "block",
                                               block_structure=[16, 24]),
                           lambda w: formats.fp8_blocks_rounded(w, 16, 24)),
    "modelopt-fp8": Format({"FP8"}, modelopt("FP8"),
                           lambda w: formats.fp8_tensor(w, ".weight_scale")),
    "modelopt-fp8-channel": Format({"FP8"}, modelopt("FP8_PER_CHANNEL_PER_TOKEN"),
                                   formats.fp8_rows),
    "modelopt-fp8-block": Format({"FP8"}, modelopt("FP8_PB_WO"), lambda w: formats.fp8_blocks(
        w, 128, 128, ".weight_scale", lambda s: (s[0], 1, s[1], 1))),
    "mxfp8": Format({"MXFP8"}, dict(quant_method="mxfp8", weight_block_size=[1, 32],
                                    scale_fmt="ue8m0", activation_scheme="dynamic"),
                    lambda w: formats.fp8_exponents(w, 1, 32, type="U8"), (1, 32), fused=True),
    "ct-mxfp8": Format({"MXFP8"}, compressed("mxfp8-quantized", 8, "float", "group", group_size=32,
                                             scale_dtype="torch.uint8"),
                       lambda w: formats.fp8_exponents(w, 1, 32, ".weight_scale", "U8"), (1, 32)),
    "modelopt-mxfp8": Format({"MXFP8"}, modelopt("MXFP8", group_size=32),
                             lambda w: formats.fp8_exponents(w, 1, 32, ".weight_scale", "U8"),
                             (1, 32)),
    "ct-mxfp4": Format({"MXFP4"}, compressed("mxfp4-pack-quantized", 4, "float", "group",
                                             group_size=32, scale_dtype="torch.uint8"),
                       formats.mxfp4, (1, 32), fused=True),
    "ct-nvfp4": Format({"NVFP4"}, compressed("nvfp4-pack-quantized", 4, "float", "tensor_group",
                                             group_size=16),
                       lambda w: formats.nvfp4(w, True), (1, 16), fused=True),
    "modelopt-nvfp4": Format({"NVFP4"}, modelopt("NVFP4", group_size=16),
                             lambda w: formats.nvfp4(w, False), (1, 16), fused=True),
    "modelopt-mixed": Format({"NVFP4", "FP8", "PLAIN"}, modelopt("MIXED_PRECISION"), mixed,
                             by_name=True),
    "ct-int8": Format({"INT8"}, compressed("int-quantized", 8, "int", "channel"), formats.int8),
    "ct-int4": Format({"PACKED"}, compressed("pack-quantized", 4, "int", "group", group_size=16),
                      lambda w: formats.packed(w, 16, True), (1, 16), fused=True),
    "ct-int4-zeros": Format({"PACKED"}, compressed("pack-quantized", 4, "int", "group",
                                                   group_size=16, symmetric=False),
                            lambda w: formats.packed(w, 16, False), (8, 16)),
    "ct-int8-packed": Format({"PACKED"}, compressed("pack-quantized", 8, "int", "channel"),
                             lambda w: formats.packed(w, w.shape[1], True, 8), (1, 4)),
    "gptq": Format({"GPTQ"}, dict(quant_method="gptq", bits=4, group_size=16, sym=True,
                                  desc_act=False),
                   lambda w: formats.gptq(w, 16, False, True), (8, 16)),
    "gptq-order": Format({"GPTQ"}, dict(quant_method="gptq", bits=4, group_size=16, sym=False,
                                        desc_act=True),
                         lambda w: formats.gptq(w, 16, True, False), (8, 16)),
    "gptq8": Format({"GPTQ"}, dict(quant_method="gptq", bits=8, group_size=16, sym=True),
                    lambda w: formats.gptq(w, 16, False, True, 8), (4, 16)),
    "awq": Format({"AWQ"}, dict(quant_method="awq", bits=4, group_size=16, version="gemm",
                                zero_point=True), lambda w: formats.awq(w, 16), (8, 16)),
    "v4-fp4": Format({"MXFP4", "FP8"}, dict(
        quant_method="fp8", fmt="e4m3", scale_fmt="ue8m0", weight_block_size=[16, 24]),
        v4_experts, of={"deepseek_v4"}, by_name=True),
    "v4-fp8": Format({"FP8"}, dict(quant_method="fp8", fmt="e4m3", weight_block_size=[16, 24]),
                     lambda w: formats.fp8_blocks(w, 16, 24, ".scale"), of={"deepseek_v4"}),
    "mxfp4": Format({"MXFP4"}, dict(quant_method="mxfp4"), None, of={"gpt_oss"}),
}


class Refused(Exception):
    """What the tool said."""


# What is not supported, and said so: families, formats, the message.
TURNED = "whose matrices are stored [in, out], are supported as gptq and awq alone"
REFUSED = [({"gpt2"}, {"MXFP4", "MXFP8", "NVFP4", "FP8", "INT8", "PACKED"}, TURNED)]


def expected_refusal(types, f):
    for families, uses, message in REFUSED:
        if families & set(types) and uses & f.uses:
            return message
    return None


PARTS = {"all": lambda name: True, "experts": lambda name: EXPERTS.search(name) is not None,
         "mixers": lambda name: MIXER.search(name) is not None}


def gpt_oss_blocks(tensors):
    """As gpt-oss is published: experts of a layer in one tensor, [experts, out, in / 32, 16]."""
    out, values = {}, {}
    for name, w in tensors.items():
        if FUSED.match(name) is None:
            out[name], values[name] = stored("F32", w), w
            continue
        found = [formats.mxfp4(np.ascontiguousarray(matrix.T)) for matrix in w]
        codes = np.stack([f[".weight_packed"][1] for f, _ in found])
        out[name + "_blocks"] = stored("U8", codes.reshape(*codes.shape[:2], -1, 16))
        out[name + "_scales"] = stored("U8", np.stack([f[".weight_scale"][1] for f, _ in found]))
        values[name] = np.stack([v.T for _, v in found])
    return out, values


def quantised(tensors, f, part):
    """(tensors of the checkpoint, their values, modules that stay plain)."""
    if f.quantise is None:
        return *gpt_oss_blocks(tensors), []
    out, values, left, n = {}, {}, [], 0
    for name, w in tensors.items():
        base = name.removesuffix(".weight")
        if not is_linear(name, w.shape):
            type = "I64" if w.dtype == np.int64 else "F32"
            out[name], values[name] = stored(type, w), w
        elif not (PARTS[part](name) and f.takes(w.shape)):
            out[name], values[name] = stored("F32", w), w
            left.append(base)
        else:
            turned = ".c_" in name and f.config is not None  # GPT-2's
            w = np.ascontiguousarray(w.T) if turned else w
            found, value = f.quantise(w, name) if f.by_name else f.quantise(w)
            values[name] = value.T if turned else value
            out |= {base + suffix: stored(type, np.asarray(a)) for suffix, (type, a) in found.items()}
            n += 1
    return (out, values, left) if n else None


# ---- runs ----

def write(folder, config, tensors):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    fuse_experts.save(folder / "model.safetensors", tensors)


def run(tool, folder, options):
    out = folder / "run.h5"
    done = subprocess.run([*tool, "-q", *options, "--perplexity", folder, "--ids",
                           folder.parent / "ids.txt", "-o", out], capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(done.stderr.strip().replace(str(folder), "MODEL"))
    found = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("contents/"):
            values = item[...]
            found[name] = values.tolist() if values.dtype == object else values
    with h5py.File(out) as f:
        f.visititems(keep)
    out.unlink()
    return found


def differing(a, b):
    same = [name for name in a if name in b and (
        a[name] == b[name] if isinstance(a[name], list) else
        a[name].shape == b[name].shape and a[name].tobytes() == b[name].tobytes())]
    return sorted((set(a) | set(b)) - set(same))


def config_of(f, config, out, left, inside):
    """The model's config.json with what it says of the format; `inside`: with the text model's."""
    config = json.loads(json.dumps(config))
    if f.config is None:
        return config
    q = json.loads(json.dumps(f.config))
    for key in ("ignore", "exclude_modules"):
        if key in q:
            q[key] += left
    if q["quant_method"] in ("fp8", "awq", "mxfp8"):
        q["modules_to_not_convert"] = ["lm_head"] + left
    if q.get("quant_algo") == "MIXED_PRECISION":
        bases = [name.removesuffix(".weight_scale") for name in out if name.endswith(".weight_scale")]
        q["quantized_layers"] = {base: {"quant_algo": "NVFP4" if base + ".weight_scale_2" in out else "FP8"}
                                 for base in bases}
    if f.of == {"deepseek_v4"}:
        config["expert_dtype"] = "fp4" if f.by_name else "fp8"
    place = config["text_config"] if inside and "text_config" in config else config
    place["quantization_config"] = q
    return config


class Work:
    """Where checkpoints are made and run."""

    def __init__(self, options, folder):
        self.folder, build = folder, pathlib.Path(options.build)
        self.maker = build / "tests/make_checkpoint"
        self.tool = ([build / "tests/ol-extract-sim", "--backend", "cuda"] if options.simulated else
                     [build / "ol-extract"])
        (folder / "ids.txt").write_text("".join(
            " ".join(str((7 * i * (i + r) + 31 * r) % 131) for i in range(9 + 4 * r)) + "\n"
            for r in range(3)))

    def weights(self, config):
        """Name -> array."""
        base = self.folder / "base"
        (self.folder / "config.json").write_text(json.dumps(config))
        subprocess.run([self.maker, "--dtype", "f32", self.folder / "config.json", base], check=True)
        return mend(read(base / "model.safetensors"), config)

    def cross(self, config, weights, f, way):
        """None: there is nothing of that kind; else what differs or what the tool said, or ""."""
        made = quantised(weights, f, way.part)
        if made is None:
            return None
        out, values, left = made
        new = config_of(f, config, out, left, way.fused)
        if way.fused:
            # Plain and square, Qwen3-VL's are read as the Hub has them: turned.
            if f.config is None and "qwen3_vl_moe" in type_of(config) or not any(
                    fuse_experts.EXPERT.match(name) for name in out):
                return None
            out = fuse_experts.fuse(out)
        write(self.folder / "stored", new, out)
        write(self.folder / "plain", config,
              {name: stored("I64" if w.dtype == np.int64 else "F32", w) for name, w in values.items()})
        options = ["--layers", str(last_layer(config)), "--precision", way.precision]
        options += ["--store", "f32"] if way.precision == "f32" else []
        refusal = expected_refusal(type_of(config), f)
        try:
            a = run(self.tool, self.folder / "stored", options)
        except Refused as said:
            return "" if refusal is not None and refusal in str(said) else str(said)
        if refusal is not None:
            return "was not refused"
        b = run(self.tool, self.folder / "plain", options)
        if not all(np.isfinite(v).all() for k, v in b.items() if k.endswith(("ln_attn", "ln_mlp"))):
            return "values that are not finite"
        return ", ".join(differing(a, b)[:3])


class Way:
    """A format in a model: which part of it, experts in one tensor or not, and how it is run."""

    def __init__(self, part="all", fused=False, precision="f32"):
        self.part, self.fused, self.precision = part, fused, precision

    def __str__(self):
        return f"{self.part}{', fused' if self.fused else ''}, {self.precision}"


def ways(f, whole):
    """All there are of the first model of a kind, one of the others."""
    some = [Way()]
    if whole:
        some += [Way("experts"), Way("mixers"), Way(precision="bf16")]
        some += [Way(fused=True)] if f.fused else []
    return some


def not_met(families, uses):
    known = [("family", "extract/model/families/list.h", "OL_FAMILY", families),
             ("format", "extract/weights/formats/list.h", "OL_FORMAT", uses)]
    return [f"{what} {name} is not met" for what, path, macro, met in known
            for name in listed(path, macro) if name not in met]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--format")
    options = parser.parse_args()
    n, bad, families, uses, seen = 0, [], set(), set(), set()
    with tempfile.TemporaryDirectory() as folder:
        work = Work(options, pathlib.Path(folder))
        for i, (name, config) in enumerate(golden_models().items()):
            types, first = type_of(config), type_of(config) not in seen
            if options.only not in (None, name, *types) or not (options.whole or first):
                continue
            seen.add(types)
            weights = work.weights(config)
            for k, (label, f) in enumerate(FORMATS.items()):
                rare = f.of is not None
                if options.format not in (None, label) or (rare and not f.of & set(types)):
                    continue
                if not (options.whole or options.format or rare or (i + k) % 6 == 0):
                    continue
                for way in ways(f, options.whole and first):
                    result = work.cross(config, weights, f, way)
                    if result is None:
                        continue
                    n += 1
                    families |= set(types)
                    uses |= f.uses
                    if result:
                        bad.append(f"{name} as {label}, {way}: {result}")
                        print(bad[-1], flush=True)
    if options.only is None and options.format is None:
        bad += not_met(families, uses)
        print("\n".join(not_met(families, uses)))
    print(f"{n} ways, {len(bad)} differ or are refused")
    sys.exit(bool(bad))


main()
