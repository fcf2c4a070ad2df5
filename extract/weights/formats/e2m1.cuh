/* What formats of E2M1 codes share on a device; SCALE as ol_e2m1_scale of e2m1.h. */
#ifndef OL_E2M1_CUH
#define OL_E2M1_CUH

#include "extract/cuda/decode.h"

template <typename SCALE>
static __device__ float ol_e2m1_at(const struct ol_cuda_weight &w, int64_t r, int64_t c)
{
    const uint8_t *scales = static_cast<const uint8_t *>(w.scales);
    const unsigned both =
        static_cast<const uint8_t *>(w.data)[r * (w.n_cols / 2) + c / 2];
    const unsigned scale = scales[r * w.n_groups + ol_divide(c, w.block_cols)];
    return ol_e2m1_value(c % 2 == 0 ? both & 15 : both >> 4) * SCALE::of(w, scale);
}

#endif
