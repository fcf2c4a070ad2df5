#include "extract/cuda/decode.h"

struct packed {
    static __device__ float value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
    {
        const int64_t per_word = 32 / w.bits, g = ol_group(w, c);
        const int64_t words = (w.n_cols + per_word - 1) / per_word;
        const int64_t stored = w.first_row + r;
        const unsigned code =
            ol_code(ol_word(w.data, r * words + c / per_word), c % per_word, w.bits);
        const unsigned zero =
            w.zeros == nullptr
                ? 1u << (w.bits - 1)
                : ol_code(ol_word(w.zeros, stored / per_word * w.n_groups + g),
                          stored % per_word, w.bits);
        return ol_format_rounded(w, ((float)code - (float)zero) *
                                        ol_scale(w, r * w.n_groups + g));
    }
};

OL_CUDA_DECODER(packed, struct packed)
