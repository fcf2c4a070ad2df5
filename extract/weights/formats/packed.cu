#include "extract/cuda/decode.h"

struct packed {
    static __device__ float value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
    {
        const int shift = ol_word_shift(w);
        const int64_t g = ol_group(w, c), last = (1 << shift) - 1;
        const int64_t words = (w.n_cols + last) >> shift, stored = w.first_row + r;
        const unsigned code =
            ol_code(ol_word(w.data, r * words + (c >> shift)), c & last, w.bits);
        const unsigned zero =
            w.zeros == nullptr
                ? 1u << (w.bits - 1)
                : ol_code(ol_word(w.zeros, (stored >> shift) * w.n_groups + g),
                          stored & last, w.bits);
        return ol_format_rounded(w, ((float)code - (float)zero) *
                                        ol_scale(w, r * w.n_groups + g));
    }
};

OL_CUDA_DECODER(packed, struct packed)
