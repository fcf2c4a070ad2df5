#include "extract/weights/formats/e2m1.cuh"

struct nvfp4 {
    static __device__ float of(const struct ol_cuda_weight &w, unsigned code)
    {
        const float scale = ol_e4m3_value(code);
        return w.divides ? scale / w.factor : scale * w.factor;
    }
    static __device__ float value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
    {
        return ol_e2m1_at<struct nvfp4>(w, r, c);
    }
};

OL_CUDA_DECODER(nvfp4, struct nvfp4)
