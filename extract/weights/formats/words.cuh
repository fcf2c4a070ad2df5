/* What GPTQ and AWQ share on a device (words.h). */
#ifndef OL_WORDS_CUH
#define OL_WORDS_CUH

#include "extract/cuda/decode.h"

/* Of the code of row r and input c, whose zero point is at `place` in its word. */
static __device__ __forceinline__ float ol_words_value(const struct ol_cuda_weight &w,
                                                       int64_t r, int64_t c,
                                                       unsigned code, int64_t place)
{
    const int shift = ol_word_shift(w);
    const int64_t g = ol_group(w, c);
    const unsigned zero =
        ol_code(ol_word(w.zeros, g * (w.n_rows >> shift) + (r >> shift)), place, w.bits) +
        (unsigned)w.zero_offset;
    return ol_format_rounded(w,
                             ((float)code - (float)zero) * ol_scale(w, g * w.n_rows + r));
}

#endif
