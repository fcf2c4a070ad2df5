"""Matrices in the number formats of the Hub, in numpy: what is stored, and what it stands for.

Every format is a function of a matrix [out, in] in float32 that returns (stored, values): the
tensors by the suffix of the module's name, as (type, array), and the matrix as the format's own
rule reads it back, in float32. Scales are no powers of two where they need not be, and zero
points are not in the middle, so that a wrong reading shows."""
import numpy as np

E2M1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6], np.float32)
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def e4m3_values():
    codes = np.arange(128)
    exponent, mantissa = codes >> 3, codes & 7
    values = np.where(exponent == 0, mantissa / 8 * 2.0**-6, (1 + mantissa / 8) * 2.0**(exponent - 7.0))
    values[127] = np.nan
    return np.concatenate([values, -values]).astype(np.float32)


E4M3 = e4m3_values()


def to_e4m3(x):
    """The code of the nearest value that is not further from zero than 448."""
    steps = E4M3[:127]
    above = np.searchsorted((steps[1:] + steps[:-1]) / 2, np.abs(x))
    return (above + np.where(np.signbit(x), 128, 0)).astype(np.uint8)


def to_bf16(x):
    """The upper halves of float32, rounded to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(codes):
    return (codes.astype(np.uint32) << 16).view(np.float32)


def bf16(x):
    return from_bf16(to_bf16(x))


def f16(x):
    return x.astype(np.float16).astype(np.float32)


def spread(scales, rows, cols, shape):
    return scales.repeat(rows, 0).repeat(cols, 1)[:shape[0], :shape[1]]


def largest(w, rows, cols):
    """Of blocks."""
    tiles = -(-w.shape[0] // rows), -(-w.shape[1] // cols)
    return np.array([[np.abs(w[r * rows:(r + 1) * rows, c * cols:(c + 1) * cols]).max()
                      for c in range(tiles[1])] for r in range(tiles[0])], np.float32)


def exponents(scales):
    """Powers of two that are not below, and their E8M0 codes."""
    powers = np.ceil(np.log2(scales))
    return np.exp2(powers).astype(np.float32), (powers + 127).astype(np.uint8)


def plain(w):
    return {".weight": ("BF16", to_bf16(w))}, bf16(w)


# ---- FP8 ----

def fp8_blocks(w, rows, cols, suffix=".weight_scale_inv", shape=None):
    scales = largest(w, rows, cols) / np.float32(448 / 1.1)
    wide = spread(scales, rows, cols, w.shape)
    codes = to_e4m3(w / wide)
    stored = scales if shape is None else scales.reshape(shape(scales.shape))
    return {".weight": ("F8_E4M3", codes), suffix: ("F32", stored)}, E4M3[codes] * wide


def fp8_exponents(w, rows, cols, suffix=".weight_scale_inv", type="F8_E8M0"):
    scales, stored = exponents(largest(w, rows, cols) / np.float32(448))
    wide = spread(scales, rows, cols, w.shape)
    codes = to_e4m3(w / wide)
    return {".weight": ("F8_E4M3", codes), suffix: (type, stored)}, E4M3[codes] * wide


def fp8_blocks_rounded(w, rows, cols):
    """As compressed-tensors: scales in bf16, and products too."""
    scales = bf16(largest(w, rows, cols) / np.float32(448 / 1.1))
    wide = spread(scales, rows, cols, w.shape)
    codes = to_e4m3(w / wide)
    return {".weight": ("F8_E4M3", codes), ".weight_scale": ("BF16", to_bf16(scales))}, \
        bf16(E4M3[codes] * wide)


def fp8_channels(w):
    stored, values = fp8_blocks_rounded(w, 1, w.shape[1])
    return stored, values


def fp8_rows(w):
    """As modelopt: a float for each row."""
    stored, values = fp8_blocks(w, 1, w.shape[1], ".weight_scale", lambda s: (s[0],))
    return stored, values


def fp8_tensor(w, suffix, more=None):
    stored, values = fp8_blocks(w, *w.shape, suffix, lambda s: ())
    return stored | (more or {}), values


# ---- E2M1 ----

def nearest_e2m1(groups, wide):
    return np.abs(groups[..., None] / wide[..., None, None] - E2M1).argmin(-1)


def two_to_a_byte(codes):
    return (codes[:, 0::2] | codes[:, 1::2] << 4).astype(np.uint8)


def mxfp4(w):
    groups = w.reshape(len(w), -1, 32)
    powers = np.floor(np.log2(np.maximum(np.abs(groups).max(-1), 1e-6))) - 2
    wide = np.exp2(powers).astype(np.float32)
    codes = nearest_e2m1(groups, wide)
    values = (E2M1[codes] * wide[..., None]).reshape(w.shape)
    return {".weight_packed": ("U8", two_to_a_byte(codes.reshape(w.shape))),
            ".weight_scale": ("U8", (powers + 127).astype(np.uint8))}, values


def nvfp4(w, compressed):
    """The one scale of all is multiplied in (modelopt), or divided by."""
    groups = w.reshape(len(w), -1, 16)
    one = np.float32(np.abs(w).max() / 6 / 448 * 1.3)
    scales = to_e4m3(np.maximum(np.abs(groups).max(-1) / 6 / one, 2.0**-6))
    if compressed:
        one = np.float32(1 / one)
    wide = E4M3[scales] / one if compressed else E4M3[scales] * one
    codes = nearest_e2m1(groups, wide)
    values = (E2M1[codes] * wide[..., None]).reshape(w.shape)
    packed = "U8", two_to_a_byte(codes.reshape(w.shape))
    if compressed:
        return {".weight_packed": packed, ".weight_scale": ("F8_E4M3", scales),
                ".weight_global_scale": ("F32", one.reshape(1)),
                ".input_global_scale": ("F32", np.array([2.5], np.float32))}, values
    return {".weight": packed, ".weight_scale": ("F8_E4M3", scales),
            ".weight_scale_2": ("F32", one.reshape(())),
            ".input_scale": ("F32", np.array(.37, np.float32))}, values


# ---- integers ----

def pack(codes, order=None, bits=4):
    """Codes of the last axis to words; the one at place p is number order[p]."""
    n = 32 // bits
    padded = np.pad(codes.astype(np.uint32), [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % n)])
    parts = padded.reshape(*padded.shape[:-1], -1, n)
    words = np.zeros(parts.shape[:-1], np.uint32)
    for place, i in enumerate(order or range(n)):
        words |= parts[..., i] << np.uint32(bits * place)
    return words.view(np.int32)


def integers(w, groups, bits, centred, rounded):
    """Codes, zero points and scales [out, n_groups] and values, rounded as the scales are;
    groups [in]."""
    middle, n = 1 << (bits - 1), int(groups.max()) + 1
    scales = np.stack([np.abs(w[:, groups == g]).max(1) for g in range(n)], 1)
    scales = rounded((scales / np.float32(middle - 1)).astype(np.float32))
    zeros = np.full((len(w), n), middle)
    if not centred:
        zeros[:] = (np.arange(len(w)) % 5 + middle - 3)[:, None]
    codes = (w / scales[:, groups] + zeros[:, groups]).round().clip(0, 2 * middle - 1).astype(np.int64)
    values = rounded((codes - zeros[:, groups]).astype(np.float32) * scales[:, groups])
    return codes, zeros, scales, values


def int8(w):
    """A scale for each row."""
    codes, zeros, scales, values = integers(w, np.zeros(w.shape[1], int), 8, True, bf16)
    return {".weight": ("I8", (codes - 128).astype(np.int8)),
            ".weight_scale": ("BF16", to_bf16(scales))}, values


def packed(w, group, symmetric, bits=4):
    codes, zeros, scales, values = integers(
        w, np.arange(w.shape[1]) // group, bits, symmetric, bf16)
    stored = {".weight_packed": ("I32", pack(codes, bits=bits)),
              ".weight_scale": ("BF16", to_bf16(scales)),
              ".weight_shape": ("I64", np.array(w.shape, np.int64))}
    if not symmetric:
        stored[".weight_zero_point"] = "I32", np.ascontiguousarray(pack(zeros.T, bits=bits).T)
    return stored, values


def gptq(w, group, shuffled, centred, bits=4):
    """Version 1: zero points are stored less one."""
    groups = np.arange(w.shape[1]) // group
    if shuffled:
        groups = groups[np.arange(w.shape[1]) * 7 % w.shape[1]]
    codes, zeros, scales, values = integers(w, groups, bits, centred, f16)
    return {".qweight": ("I32", np.ascontiguousarray(pack(codes, bits=bits).T)),
            ".qzeros": ("I32", pack(zeros.T - 1, bits=bits)),
            ".scales": ("F16", np.ascontiguousarray(scales.T).astype(np.float16)),
            ".g_idx": ("I32", groups.astype(np.int32))}, values


def awq(w, group):
    codes, zeros, scales, values = integers(w, np.arange(w.shape[1]) // group, 4, False, f16)
    return {".qweight": ("I32", pack(codes.T, AWQ_ORDER)),
            ".qzeros": ("I32", pack(zeros.T, AWQ_ORDER)),
            ".scales": ("F16", np.ascontiguousarray(scales.T).astype(np.float16))}, values
