/* Integers of 4 or 8 bits as GPTQ stores them, words [n_cols / codes per word, n_rows],
 * lowest bits first:
 *
 *     value = (code - zeros[g][r] - zero_offset) * scales[g][r]
 *
 * zeros [groups, n_rows / codes per word]; zero_offset is 1 in version 1 of the format.
 */
#include <inttypes.h>

#include "extract/weights/formats/words.h"

/* With "sym" zero points are the middle by definition, 8 or 128. Writers store one less,
 * by the rule of version 1, or the middle; anything else is another model. */
static int check_symmetric(const struct ol_format_search *s,
                           const struct ol_stored_tensor *zeros, struct ol_weight *w)
{
    const uint32_t ones = w->bits == 4 ? 0x11111111u : 0x01010101u;
    const uint32_t middle = (1u << (w->bits - 1)) * ones, below = middle - ones;
    uint32_t first = 0;
    w->unseen = !s->seen;
    if (w->unseen)
        return 0;
    for (uint64_t i = 0; i < zeros->bytes / 4; i++) {
        uint32_t word;
        memcpy(&word, (const char *)zeros->data + 4 * i, sizeof word);
        if (i == 0)
            first = word;
        if (word == first && (word == below || word == middle))
            continue;
        return ol_fail(s->err,
                       "%s: tensor %s: word %llu is 0x%08x, but with \"sym\" all zero "
                       "points are %u or all are %u (0x%08x, 0x%08x)",
                       ol_checkpoint_path(s->c, zeros->file), zeros->name,
                       (unsigned long long)i, (unsigned)word, (1u << (w->bits - 1)) - 1,
                       1u << (w->bits - 1), (unsigned)below, (unsigned)middle);
    }
    w->zero_offset = first == below ? 1 : 0;
    return 0;
}

/* As words.h has it, and g_idx I32 [in] when inputs are not in order. */
static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    const struct ol_quantization_spec *q = &s->want->spec->quantization;
    const int64_t codes[2] = {s->want->n_cols / (32 / q->bits), s->want->n_rows};
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(s->want, base);
    const int found = ol_words_find(s, codes, weight);
    if (found <= 0)
        return found;
    weight->encoding = OL_ENCODING_GPTQ;
    weight->zero_offset = q->zero_offset;
    if (q->symmetric &&
        check_symmetric(s, ol_format_find(s, base, ".qzeros"), weight) != 0)
        return -1;
    return ol_format_groups_of_inputs(s, base, ".g_idx", weight) == 0 ? 1 : -1;
}

static int64_t bytes(const struct ol_quantization_spec *q, int64_t n_rows, int64_t n_cols)
{
    return ol_words_bytes(q, n_rows, n_cols) + (int64_t)sizeof(int32_t) * n_cols;
}

/* ---- decoding ---- */

static void rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    ol_words_rows(w, row, n, NULL, dst);
}

static void cut_rows(const struct ol_weight *w, int64_t row, int64_t n,
                     struct ol_weight_cut *cut)
{
    const int64_t word = sizeof(uint32_t);
    ol_words_cut(w, row, n, cut);
    cut->runs[0] =
        ol_dequant_run(w->data, row * word, ol_ceil_div(w->n_cols, 32 / w->bits),
                       n * word, w->n_rows * word);
}

static const struct ol_format_label labels[] = {
    {.method = OL_QUANTIZATION_GPTQ, .bits = 4},
    {.method = OL_QUANTIZATION_GPTQ, .bits = 8},
    {.method = OL_QUANTIZATION_NONE},
};

const struct ol_weight_format ol_weight_format_gptq = {
    .name = "GPTQ",
    .name_of_8_bits = "GPTQ8",
    .labels = labels,
    .find = find,
    .bytes = bytes,
    .decoder = {.rows = rows, .cut = cut_rows, .by_words = true},
};
