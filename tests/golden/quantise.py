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


def mxfp4(w):
    groups = w.reshape(w.shape[0], -1, 32)
    exponents = groups.abs().amax(-1).clamp(min=1e-6).log2().floor() - 2
    codes = (groups.unsqueeze(-1) / exponents.exp2()[..., None, None] - E2M1).abs().argmin(-1)
    values = (E2M1[codes] * exponents.exp2().unsqueeze(-1)).reshape(w.shape)
    blocks = (codes[..., 0::2] | codes[..., 1::2] << 4).to(torch.uint8)
    return {"_blocks": blocks, "_scales": (exponents + 127).to(torch.uint8)}, values


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


def pack(codes, order=range(8)):
    """Eight 4-bit codes of the last axis to a word; the one at place p is number order[p]."""
    padded = torch.nn.functional.pad(codes.long(), (0, -codes.shape[-1] % 8))
    parts = padded.reshape(*padded.shape[:-1], -1, 8)
    words = sum(parts[..., i] << (4 * p) for p, i in enumerate(order))
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)


def integers(w, groups, n_groups, dtype, centred):
    """Codes and zero points 0..15, scales [out, n_groups] and values in `dtype`; groups [in]."""
    scales = torch.zeros(w.shape[0], n_groups, dtype=dtype)
    zeros = torch.full((w.shape[0], n_groups), 8)
    for g in range(n_groups):
        part = w[:, groups == g]
        scales[:, g] = (part.abs().amax(1) / 7).to(dtype)
        if not centred:
            zeros[:, g] = torch.arange(w.shape[0]) % 5 + 5
    wide = scales.float()[:, groups]
    codes = (w / wide + zeros[:, groups]).round().clamp(0, 15).long()
    values = ((codes - zeros[:, groups]).to(dtype) * scales[:, groups]).float()
    return codes, zeros, scales, values


def compressed(w, group, symmetric):
    n = -(-w.shape[1] // group)
    codes, zeros, scales, values = integers(
        w, torch.arange(w.shape[1]) // group, n, torch.bfloat16, symmetric)
    stored = {".weight_packed": pack(codes), ".weight_scale": scales,
              ".weight_shape": torch.tensor(w.shape)}
    if not symmetric:
        stored[".weight_zero_point"] = pack(zeros.T).T.contiguous()
    return stored, values


def gptq(w, group, shuffled, offset, centred=False):
    n = -(-w.shape[1] // group)
    groups = torch.arange(w.shape[1]) // group
    if shuffled:
        groups = groups[torch.arange(w.shape[1]) * 7 % w.shape[1]]
    codes, zeros, scales, values = integers(w, groups, n, torch.float16, centred)
    return {".qweight": pack(codes).T.contiguous(),
            ".qzeros": pack(zeros.T - offset), ".scales": scales.T.contiguous(),
            ".g_idx": groups.to(torch.int32)}, values


def awq(w, group):
    n = -(-w.shape[1] // group)
    codes, zeros, scales, values = integers(
        w, torch.arange(w.shape[1]) // group, n, torch.float16, False)
    return {".qweight": pack(codes.T, AWQ_ORDER), ".qzeros": pack(zeros.T, AWQ_ORDER),
            ".scales": scales.T.contiguous()}, values
