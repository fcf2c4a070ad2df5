#include "extract/weights/formats/words.h"

#include <inttypes.h>

int ol_words_find(const struct ol_format_search *s, const int64_t codes[2],
                  struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_quantization_spec *q = &want->spec->quantization;
    const int64_t in = want->n_cols, out = want->n_rows, per_word = 32 / q->bits;
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(want, base);
    const struct ol_stored_tensor *t = ol_format_find(s, base, ".qweight");
    if (t == NULL)
        return 0;
    const struct ol_stored_tensor *scales = ol_format_need(s, t, base, ".scales"),
                                  *zeros = ol_format_need(s, t, base, ".qzeros");
    if (scales == NULL || zeros == NULL)
        return -1;
    if (out % per_word != 0 || codes[0] * codes[1] * per_word != in * out)
        return ol_fail(s->err,
                       "%s: tensor %s: %" PRId64 " x %" PRId64
                       " is no multiple of %" PRId64 " codes to a word",
                       ol_checkpoint_path(s->c, t->file), t->name, out, in, per_word);
    const int64_t size = q->group > 0 ? q->group : in, groups = ol_ceil_div(in, size);
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (ol_format_check_type(s, t, "I32") != 0 ||
        ol_format_check_type(s, zeros, "I32") != 0 ||
        ol_format_read_type(s, scales, &dtype) != 0 ||
        ol_format_check_shape(s, t, (struct ol_format_shape){2, {codes[0], codes[1]}}) !=
            0 ||
        ol_format_check_shape(
            s, zeros, (struct ol_format_shape){2, {groups, out / per_word}}) != 0 ||
        ol_format_check_shape(s, scales, (struct ol_format_shape){2, {groups, out}}) != 0)
        return -1;
    *weight = (struct ol_weight){
        .data = t->data,
        .bits = q->bits,
        .scale_dtype = dtype,
        .n_rows = out,
        .n_cols = in,
        .scales = scales->data,
        .zeros = zeros->data,
        .block_rows = 1,
        .block_cols = size,
        .rounds = true,
        .spans = {ol_format_span(t), ol_format_span(scales), ol_format_span(zeros)},
        .sharers = 1,
    };
    return 1;
}

int64_t ol_words_bytes(const struct ol_quantization_spec *q, int64_t n_rows,
                       int64_t n_cols)
{
    const int64_t groups = ol_ceil_div(n_cols, q->group > 0 ? q->group : n_cols);
    return n_rows * n_cols * q->bits / 8 + n_rows * groups * 2 +
           n_rows * groups * q->bits / 8;
}

/* ---- decoding ---- */

enum { MOST_PER_WORD = 8 };

/* Scales and zero points of a word's rows, of which the first is `row`, in group g. */
static void load_group(const struct ol_weight *w, int64_t row, int64_t g,
                       const int *places, float scales[MOST_PER_WORD],
                       float zeros[MOST_PER_WORD])
{
    const int per_word = 32 / w->bits;
    const uint32_t word = ol_dequant_word(w->zeros, (g * w->n_rows + row) / per_word);
    for (int i = 0; i < per_word; i++) {
        const int place = places != NULL ? places[i] : i;
        scales[i] = ol_dequant_scale(w, g * w->n_rows + row + i);
        zeros[i] =
            (float)(ol_words_code(word, place, w->bits) + (uint32_t)w->zero_offset);
    }
}

/* What a call for one width of codes asks for. */
struct word {
    int64_t row, first, end; /* its first row; which of its rows are wanted */
    const int *places;
};

/* Inlined with a width that the compiler knows. */
static inline void word_rows(const struct ol_weight *w, struct word word, const int bits,
                             float *dst)
{
    const int64_t per_word = 32 / bits, row = word.row;
    const int *places = word.places;
    float scales[MOST_PER_WORD], zeros[MOST_PER_WORD];
    int64_t known = -1;
    for (int64_t c = 0; c < w->n_cols; c++) {
        const int64_t g = ol_dequant_group(w, c);
        if (g != known)
            load_group(w, row, g, places, scales, zeros);
        known = g;
        const uint32_t shared =
            places != NULL ? ol_dequant_word(w->data, (c * w->n_rows + row) / per_word)
                           : 0;
        for (int64_t i = word.first; i < word.end; i++) {
            const uint32_t packed =
                places != NULL
                    ? shared
                    : ol_dequant_word(w->data, c / per_word * w->n_rows + row + i);
            const uint32_t code =
                ol_words_code(packed, places != NULL ? places[i] : c % per_word, bits);
            dst[(i - word.first) * w->n_cols + c] =
                ol_dequant_rounded(w, ((float)code - zeros[i]) * scales[i]);
        }
    }
}

void ol_words_rows(const struct ol_weight *w, int64_t row, int64_t n, const int *places,
                   float *dst)
{
    const int64_t per_word = 32 / w->bits;
    for (int64_t r = row, past; r < row + n; r = past) {
        const int64_t first = r / per_word * per_word;
        past = first + per_word < row + n ? first + per_word : row + n;
        const struct word word = {first, r - first, past - first, places};
        if (w->bits == 4)
            word_rows(w, word, 4, dst + (r - row) * w->n_cols);
        else
            word_rows(w, word, 8, dst + (r - row) * w->n_cols);
    }
}

void ol_words_cut(const struct ol_weight *w, int64_t row, int64_t n,
                  struct ol_weight_cut *cut)
{
    const int64_t size = (int64_t)ol_dtype_size(w->scale_dtype), word = sizeof(uint32_t);
    const int64_t per_word = 32 / w->bits;
    cut->n_groups = ol_ceil_div(w->n_cols, w->block_cols);
    cut->turned = true;
    cut->runs[1] =
        ol_dequant_run(w->scales, row * size, cut->n_groups, n * size, w->n_rows * size);
    cut->runs[2] = ol_dequant_run(w->zeros, row / per_word * word, cut->n_groups,
                                  n / per_word * word, w->n_rows / per_word * word);
}
