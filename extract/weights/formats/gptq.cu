#include "extract/weights/formats/words.cuh"

struct gptq {
    static __device__ float value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
    {
        const int64_t per_word = 32 / w.bits;
        const unsigned code =
            ol_code(ol_word(w.data, c / per_word * w.n_rows + r), c % per_word, w.bits);
        return ol_words_value(w, r, c, code, r % per_word);
    }
};

OL_CUDA_DECODER(gptq, struct gptq)
