#include "extract/weights/formats/words.cuh"

struct awq {
    static __device__ float value(const struct ol_cuda_weight &w, int64_t r, int64_t c)
    {
        /* Where in a word the code of row i is: 0 4 1 5 2 6 3 7. */
        const int64_t i = r % 8, place = i / 2 + i % 2 * 4;
        const unsigned code =
            ol_code(ol_word(w.data, c * (w.n_rows / 8) + r / 8), place, 4);
        return ol_words_value(w, r, c, code, place);
    }
};

OL_CUDA_DECODER(awq, struct awq)
