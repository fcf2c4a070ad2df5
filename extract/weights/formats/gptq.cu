#include "extract/weights/formats/words.cuh"

struct gptq {
    static __device__ float value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
    {
        const int shift = ol_word_shift(w);
        const int64_t last = (1 << shift) - 1;
        const unsigned code =
            ol_code(ol_word(w.data, (c >> shift) * w.n_rows + r), c & last, w.bits);
        return ol_words_value(w, r, c, code, r & last);
    }
};

OL_CUDA_DECODER(gptq, struct gptq)
