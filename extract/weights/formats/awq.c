/* Integers of 4 bits as AWQ's gemm version stores them: words [n_cols, n_rows / 8], of
 * rows in the order 0 2 4 6 1 3 5 7; zeros [groups, n_rows / 8] alike:
 *
 *     value = (code - zeros[g][r]) * scales[g][r] */
#include "extract/weights/formats/words.h"

static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_quantization_spec *q = &s->want->spec->quantization;
    const int64_t codes[2] = {s->want->n_cols, s->want->n_rows / (32 / q->bits)};
    const int found = ol_words_find(s, codes, weight);
    if (found > 0)
        weight->encoding = OL_ENCODING_AWQ;
    return found;
}

/* ---- decoding ---- */

static void rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    static const int places[] = {0, 4, 1, 5, 2, 6, 3, 7}; /* of row i */
    ol_words_rows(w, row, n, places, dst);
}

static void cut_rows(const struct ol_weight *w, int64_t row, int64_t n,
                     struct ol_weight_cut *cut)
{
    const int64_t word = sizeof(uint32_t), per_word = 32 / w->bits;
    ol_words_cut(w, row, n, cut);
    cut->runs[0] = ol_dequant_run(w->data, row / per_word * word, w->n_cols,
                                  n / per_word * word, w->n_rows / per_word * word);
}

static const struct ol_format_label labels[] = {
    {.method = OL_QUANTIZATION_AWQ, .bits = 4},
    {.method = OL_QUANTIZATION_NONE},
};

const struct ol_weight_format ol_weight_format_awq = {
    .name = "AWQ",
    .labels = labels,
    .find = find,
    .bytes = ol_words_bytes,
    .decoder = {.rows = rows, .cut = cut_rows, .by_words = true},
};
