"""How ol-results(5) says that tokens are drawn, and what a median of drawn tokens is."""
import numpy as np


def permutation_key(s, p):
    mask = (1 << 64) - 1
    z = (1 + ((s << 32) + p + 1) * 0x9E3779B97F4A7C15) & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return z ^ z >> 31


def draw(tokens, most_first, most_others):
    """The first of the permutation, first tokens apart; what each token stands for."""
    kinds = [t for t in tokens if t[1] == 0], [t for t in tokens if t[1] != 0]
    drawn = [sorted(kind, key=lambda t: (permutation_key(*t), t))[:most] for kind, most in zip(kinds, (most_first, most_others))]
    found = sorted((t, len(kind) / len(some)) for kind, some in zip(kinds, drawn) for t in some)
    return [t for t, _ in found], np.array([w for _, w in found]), len(drawn[0])


def weighted_median(values, weights):
    known = ~np.isnan(values)
    order = np.argsort(values[known], kind="stable")
    v, w = values[known][order], weights[known][order]
    if not len(v):
        return None
    at = np.cumsum(w) / w.sum()
    i = int(np.searchsorted(at, 0.5 - 1e-12))
    return float(v[i] if at[i] > 0.5 + 1e-12 else (v[i] + v[i + 1]) / 2)
