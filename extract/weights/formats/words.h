/* What formats share that pack integers into words. */
#ifndef OL_WORDS_H
#define OL_WORDS_H

#include "extract/weights/formats/formats.h"

/* The code at `place` of a word of codes of so many bits, lowest first. */
static inline uint32_t ol_words_code(uint32_t word, int64_t place, int bits)
{
    return word >> (bits * place) & ((1u << bits) - 1);
}

/* ---- GPTQ and AWQ: matrices lie [in, out], scales [groups, out], zero points like
 * scales but packed along the rows of the weight ---- */

/* X.qweight [codes[0], codes[1]], X.qzeros and X.scales, with everything that follows
 * from them: 1, 0 or -1 as formats have it. */
int ol_words_find(const struct ol_format_search *s, const int64_t codes[2],
                  struct ol_weight *weight);

int64_t ol_words_bytes(const struct ol_quantization_spec *q, int64_t n_rows,
                       int64_t n_cols);

/* Where in a word of zero points, and of codes, a row's are; NULL: in order, and words of
 * codes lie along the inputs. */
void ol_words_rows(const struct ol_weight *w, int64_t row, int64_t n, const int *places,
                   float *dst);

/* Scales and zero points of whole words of rows. */
void ol_words_cut(const struct ol_weight *w, int64_t row, int64_t n,
                  struct ol_weight_cut *cut);

#endif
