#include "extract/cuda/decode.h"

struct plain {
    static __device__ float value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
    {
        return ol_load(w.data, w.dtype, r * w.row_step + c * w.col_step);
    }
};

OL_CUDA_DECODER(plain, struct plain)
