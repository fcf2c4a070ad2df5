#include "extract/cuda/decode.h"

struct int8 {
    static __device__ float value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
    {
        const int64_t at = ol_divide(w.first_row + r, w.block_rows) * w.n_groups +
                           ol_divide(c, w.block_cols);
        const int8_t code = static_cast<const int8_t *>(w.data)[r * w.n_cols + c];
        const int8_t zero =
            w.zeros == nullptr ? 0 : static_cast<const int8_t *>(w.zeros)[at];
        return ol_format_rounded(w, ((float)code - (float)zero) * ol_scale(w, at));
    }
};

OL_CUDA_DECODER(int8, struct int8)
