"""Weights rounded to the formats of the Hub: what is stored, and the numbers it stands for.

Every function takes a matrix [out, in] in f32 and returns (stored, values): the tensors of the
checkpoint by the suffix of their name, and the same matrix as the format's own rule reads it back.
Scales are no powers of two and zero points are not in the middle, so that a wrong reading shows."""
import torch

E2M1 = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6])
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def spread(scales, rows, cols, shape):
    return scales.repeat_interleave(rows, 0).repeat_interleave(cols, 1)[:shape[0], :shape[1]]


def fp8_blocks(w, rows, cols, suffix=".weight_scale_inv"):
    tiles = (-(-w.shape[0] // rows), -(-w.shape[1] // cols))
    scales = torch.zeros(tiles)
    for r in range(tiles[0]):
        for c in range(tiles[1]):
            block = w[r * rows:(r + 1) * rows, c * cols:(c + 1) * cols]
            scales[r, c] = block.abs().max() / 448 * 1.1
    wide = spread(scales, rows, cols, w.shape)
    codes = (w / wide).to(torch.float8_e4m3fn)
    return {".weight": codes, suffix: scales}, codes.float() * wide


def fp8_channels(w):
    scales = (w.abs().amax(1, keepdim=True) / 448 * 1.1).to(torch.bfloat16)
    codes = (w / scales.float()).to(torch.float8_e4m3fn)
    values = (codes.to(torch.bfloat16) * scales).float()
    return {".weight": codes, ".weight_scale": scales}, values


def fp8_tensor(w):
    scale = (w.abs().max() / 448 * 1.1).reshape(1)
    codes = (w / scale).to(torch.float8_e4m3fn)
    return {".weight": codes, ".weight_scale": scale}, codes.float() * scale


def fp8_static(w):
    """As Mistral stores a matrix or all experts': a number each, and one for activations."""
    scale = w.abs().amax((-2, -1), keepdim=True) / 448 * 1.1
    codes = (w / scale).to(torch.float8_e4m3fn)
    fused = w.ndim == 3
    one, suffix = (scale, "") if fused else (scale.reshape(()), ".weight")
    base = "" if fused else ".weight"
    activations = torch.full((len(w),), 0.5) if fused else torch.tensor(0.5)
    return {suffix: codes, base + "_scale_inv": one,
            "_activation_scale" if fused else ".activation_scale": activations}, \
        codes.float() * scale


def exponents(scales):
    """Powers of two that are not below, and their E8M0 codes."""
    powers = scales.log2().ceil().clamp(-127, 127)
    return powers.exp2(), (powers + 127).to(torch.uint8)


def fp8_exponents(w, rows, cols, dtype):
    """FP8 whose blocks have powers of two, as E8M0 or as bytes."""
    scales, codes = exponents(fp8_blocks(w, rows, cols)[0][".weight_scale_inv"])
    wide = spread(scales, rows, cols, w.shape)
    stored = (w / wide).to(torch.float8_e4m3fn)
    return {".weight": stored, ".weight_scale_inv": codes.view(dtype)}, stored.float() * wide


def mxfp4(w):
    groups = w.reshape(w.shape[0], -1, 32)
    exponents = groups.abs().amax(-1).clamp(min=1e-6).log2().floor() - 2
    codes = (groups.unsqueeze(-1) / exponents.exp2()[..., None, None] - E2M1).abs().argmin(-1)
    values = (E2M1[codes] * exponents.exp2().unsqueeze(-1)).reshape(w.shape)
    blocks = (codes[..., 0::2] | codes[..., 1::2] << 4).to(torch.uint8)
    return {"_blocks": blocks, "_scales": (exponents + 127).to(torch.uint8)}, values


def mxfp4_packed(w):
    """The same in tensors of compressed-tensors' names."""
    stored, values = mxfp4(w)
    return {".weight_packed": stored["_blocks"].reshape(w.shape[0], -1),
            ".weight_scale": stored["_scales"]}, values


def nvfp4(w, compressed):
    """E4M3 scales of 16 inputs; the one of all is multiplied in (modelopt), or divided by."""
    groups = w.reshape(w.shape[0], -1, 16)
    one = (w.abs().max() / 6 / 448 * 1.3).float()
    scales = (groups.abs().amax(-1) / 6 / one).clamp(min=2**-6).to(torch.float8_e4m3fn)
    if compressed:
        one = (1 / one).reshape(1)
        wide = scales.float() / one
    else:
        wide = scales.float() * one
    codes = (groups.unsqueeze(-1) / wide[..., None, None] - E2M1).abs().argmin(-1)
    values = (E2M1[codes] * wide.unsqueeze(-1)).reshape(w.shape)
    codes = codes.reshape(w.shape)
    packed = (codes[:, 0::2] | codes[:, 1::2] << 4).to(torch.uint8)
    if compressed:
        return {".weight_packed": packed, ".weight_scale": scales,
                ".weight_global_scale": one}, values
    return {".weight": packed, ".weight_scale": scales, ".weight_scale_2": one,
            ".input_scale": torch.tensor(0.37)}, values


def pack(codes, order=None, bits=4):
    """Codes of the last axis to words; the one at place p is number order[p]."""
    n = 32 // bits
    padded = torch.nn.functional.pad(codes.long(), (0, -codes.shape[-1] % n))
    parts = padded.reshape(*padded.shape[:-1], -1, n)
    words = sum(parts[..., i] << (bits * p) for p, i in enumerate(order or range(n)))
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)


def integers(w, groups, n_groups, dtype, centred, bits=4):
    """Codes and zero points of so many bits, scales [out, n_groups] and values in `dtype`;
    groups [in]."""
    middle = 1 << (bits - 1)
    scales = torch.zeros(w.shape[0], n_groups, dtype=dtype)
    zeros = torch.full((w.shape[0], n_groups), middle)
    for g in range(n_groups):
        part = w[:, groups == g]
        scales[:, g] = (part.abs().amax(1) / (middle - 1)).to(dtype)
        if not centred:
            zeros[:, g] = torch.arange(w.shape[0]) % 5 + middle - 3
    wide = scales.float()[:, groups]
    codes = (w / wide + zeros[:, groups]).round().clamp(0, 2 * middle - 1).long()
    values = ((codes - zeros[:, groups]).to(dtype) * scales[:, groups]).float()
    return codes, zeros, scales, values


def int8(w):
    """A scale for each row; codes leave room for zero points beside them."""
    scales = (w.abs().amax(1, keepdim=True) / 100).to(torch.bfloat16)
    codes = (w / scales.float()).round().to(torch.int8)
    return {".weight": codes, ".weight_scale": scales}, (codes.to(torch.bfloat16) * scales).float()


def compressed(w, group, symmetric, bits=4):
    n = -(-w.shape[1] // group)
    codes, zeros, scales, values = integers(
        w, torch.arange(w.shape[1]) // group, n, torch.bfloat16, symmetric, bits)
    stored = {".weight_packed": pack(codes, bits=bits), ".weight_scale": scales,
              ".weight_shape": torch.tensor(w.shape)}
    if not symmetric:
        stored[".weight_zero_point"] = pack(zeros.T, bits=bits).T.contiguous()
    return stored, values


def gptq(w, group, shuffled, offset, centred=False, bits=4):
    n = -(-w.shape[1] // group)
    groups = torch.arange(w.shape[1]) // group
    if shuffled:
        groups = groups[torch.arange(w.shape[1]) * 7 % w.shape[1]]
    codes, zeros, scales, values = integers(w, groups, n, torch.float16, centred, bits)
    return {".qweight": pack(codes, bits=bits).T.contiguous(),
            ".qzeros": pack(zeros.T - offset, bits=bits), ".scales": scales.T.contiguous(),
            ".g_idx": groups.to(torch.int32)}, values


def awq(w, group):
    n = -(-w.shape[1] // group)
    codes, zeros, scales, values = integers(
        w, torch.arange(w.shape[1]) // group, n, torch.float16, False)
    return {".qweight": pack(codes.T, AWQ_ORDER), ".qzeros": pack(zeros.T, AWQ_ORDER),
            ".scales": scales.T.contiguous()}, values
