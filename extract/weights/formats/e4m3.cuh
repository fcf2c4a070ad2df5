/* What formats of E4M3 codes share on a device (e4m3.h). */
#ifndef OL_E4M3_CUH
#define OL_E4M3_CUH

#include "extract/cuda/decode.h"

struct ol_e4m3 {
    static __device__ float value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
    {
        const int64_t block = ol_divide(w.first_row + r, w.block_rows);
        const float scale = ol_scale(w, block * w.n_groups + ol_divide(c, w.block_cols));
        const unsigned code = static_cast<const uint8_t *>(w.data)[r * w.n_cols + c];
        return ol_format_rounded(w, ol_e4m3_value(code) * scale);
    }
};

#endif
