#include "extract/weights/formats/e2m1.cuh"

struct mxfp4 {
    static __device__ float of(const struct ol_cuda_weight &w, unsigned code)
    {
        (void)w;
        return ol_e8m0_value(code);
    }
    static __device__ float value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
    {
        return ol_e2m1_at<struct mxfp4>(w, r, c);
    }
};

OL_CUDA_DECODER(mxfp4, struct mxfp4)
