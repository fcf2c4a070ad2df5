/* Weights as they are stored, as numbers: plain, transposed, and quantised formats
 * (weight.h says how each is read). Everything is exact in float except the products that
 * a format itself rounds. */
#include "extract/cpu/cpu.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/narrow.h"
#include "extract/cpu/lookup.h"

/* Rows that are decoded to float at a time: a word's worth, so that formats that pack
 * eight rows into a word read it once. */
enum { ROWS = OL_CPU_DECODE_ROWS };

static uint32_t load_word(const void *words, int64_t i)
{
    uint32_t word;
    memcpy(&word, (const char *)words + 4 * i, sizeof word);
    return word;
}

static float load_scale(const struct ol_weight *w, int64_t i)
{
    float scale;
    ol_to_f32(w->dtype, (const char *)w->scales + (size_t)i * ol_dtype_size(w->dtype),
              &scale, 1);
    return scale;
}

/* What a format rounds is rounded to the type of its scales. */
static float rounded(const struct ol_weight *w, float x)
{
    if (!w->rounds || w->dtype == OL_DTYPE_F32)
        return x;
    return w->dtype == OL_DTYPE_BF16 ? ol_bf16_round(x)
                                     : ol_f16_to_f32(ol_f16_from_f32(x));
}

/* ---- plain ---- */

static void plain_rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    const size_t size = ol_dtype_size(w->dtype);
    const char *data = w->data;
    if (w->col_step == 1) {
        for (int64_t r = 0; r < n; r++)
            ol_to_f32(w->dtype, data + (size_t)((row + r) * w->row_step) * size,
                      dst + r * w->n_cols, (size_t)w->n_cols);
        return;
    }
    /* Along the stored rows, which are columns here. */
    float values[2 * ROWS];
    for (int64_t first = 0; first < n; first += ROWS) {
        const int64_t rows = n - first < ROWS ? n - first : ROWS;
        const int64_t span = (rows - 1) * w->row_step + 1;
        for (int64_t c = 0; c < w->n_cols; c++) {
            const int64_t at = (row + first) * w->row_step + c * w->col_step;
            const bool near = span <= 2 * ROWS;
            if (near)
                ol_to_f32(w->dtype, data + (size_t)at * size, values, (size_t)span);
            for (int64_t r = 0; r < rows; r++) {
                if (!near)
                    ol_to_f32(w->dtype, data + (size_t)(at + r * w->row_step) * size,
                              &values[0], 1);
                dst[(first + r) * w->n_cols + c] = values[near ? r * w->row_step : 0];
            }
        }
    }
}

/* ---- FP8 ---- */

static void fp8_rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    const int64_t blocks = (w->n_cols + w->block_cols - 1) / w->block_cols;
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        const uint8_t *codes = (const uint8_t *)w->data + r * w->n_cols;
        for (int64_t g = 0; g < blocks; g++) {
            const float scale = load_scale(w, r / w->block_rows * blocks + g);
            const int64_t first = g * w->block_cols, left = w->n_cols - first;
            const int64_t end = first + (left < w->block_cols ? left : w->block_cols);
            for (int64_t c = first; c < end; c++)
                dst[c] = ol_e4m3_value(codes[c]) * scale;
            if (w->rounds && w->dtype != OL_DTYPE_F32)
                for (int64_t c = first; c < end; c++)
                    dst[c] = rounded(w, dst[c]);
        }
    }
}

/* The same numbers rounded to bf16. All codes of a block share 128 numbers and their
 * opposites; lookups: one for every block of a row. Row by row, as they lie. */
static void fp8_rows_bf16(const struct ol_weight *w, int64_t row, int64_t n,
                          uint16_t *dst, struct ol_lookup *lookups)
{
    const int64_t blocks = (w->n_cols + w->block_cols - 1) / w->block_cols;
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        const uint8_t *codes = (const uint8_t *)w->data + r * w->n_cols;
        for (int64_t g = 0; g < blocks; g++) {
            struct ol_lookup *l = &lookups[g];
            if (r == row || r % w->block_rows == 0) {
                const float scale = load_scale(w, r / w->block_rows * blocks + g);
                for (int i = 0; i < 128; i++)
                    l->table[i] = ol_bf16_from_f32(ol_e4m3_value((uint32_t)i) * scale);
                ol_lookup_prepare(l);
            }
            const int64_t first = g * w->block_cols, left = w->n_cols - first;
            ol_lookup_fp8(codes + first, l, left < w->block_cols ? left : w->block_cols,
                          dst + first);
        }
    }
}

/* Whether there is room in the scratch of a decoding for them: not where blocks are so
 * narrow that they are not worth tables. */
static bool lookups_fit(const struct ol_weight *w)
{
    const int64_t blocks = (w->n_cols + w->block_cols - 1) / w->block_cols;
    return blocks * (int64_t)sizeof(struct ol_lookup) <=
           ROWS * w->n_cols * (int64_t)sizeof(float);
}

/* ---- MXFP4 and NVFP4 ---- */

/* Of a group of E2M1 codes. */
static float group_scale(const struct ol_weight *w, uint8_t code)
{
    if (w->encoding == OL_ENCODING_MXFP4)
        return ol_e8m0_value(code);
    return w->divides ? ol_e4m3_value(code) / w->factor : ol_e4m3_value(code) * w->factor;
}

static void fp4_rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    const int64_t groups = w->n_cols / w->block_cols, half = w->block_cols / 2;
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        const uint8_t *codes = (const uint8_t *)w->data + r * w->row_step / 2;
        const uint8_t *scales =
            (const uint8_t *)w->scales + r * w->row_step / w->block_cols;
        for (int64_t g = 0; g < groups; g++) {
            const float scale = group_scale(w, scales[g]);
            float table[16];
            for (int i = 0; i < 16; i++)
                table[i] = ol_e2m1_value((uint32_t)i) * scale;
            for (int64_t i = 0; i < half; i++) {
                const uint8_t byte = codes[g * half + i];
                dst[g * w->block_cols + 2 * i] = table[byte & 15];
                dst[g * w->block_cols + 2 * i + 1] = table[byte >> 4];
            }
        }
    }
}

/* The 16 numbers of every scale that has come up. */
struct fp4_tables {
    uint16_t numbers[256][16];
    bool known[256];
};

static const uint16_t *fp4_numbers(const struct ol_weight *w, struct fp4_tables *t,
                                   uint8_t scale)
{
    for (int i = 0; i < 16 && !t->known[scale]; i++)
        t->numbers[scale][i] =
            ol_bf16_from_f32(ol_e2m1_value((uint32_t)i) * group_scale(w, scale));
    t->known[scale] = true;
    return t->numbers[scale];
}

static void fp4_rows_bf16(const struct ol_weight *w, int64_t row, int64_t n,
                          uint16_t *dst)
{
    const int64_t size = w->block_cols, groups = w->n_cols / size;
    struct fp4_tables tables;
    memset(tables.known, 0, sizeof tables.known);
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        const uint8_t *codes = (const uint8_t *)w->data + r * w->row_step / 2;
        const uint8_t *scales = (const uint8_t *)w->scales + r * w->row_step / size;
        for (int64_t g = 0; g < groups; g++)
            ol_lookup_fp4(codes + g * size / 2, fp4_numbers(w, &tables, scales[g]), size,
                          dst + g * size);
    }
}

/* ---- 4-bit integers ---- */

static int64_t group_of(const struct ol_weight *w, int64_t c)
{
    return w->groups != NULL ? (int64_t)load_word(w->groups, c) : c / w->block_cols;
}

/* 8 - 8 = 0 stands for a symmetric format's middle. */
static float packed_zero(const struct ol_weight *w, int64_t r, int64_t g, int64_t groups)
{
    if (w->zeros == NULL)
        return 8;
    return (float)(load_word(w->zeros, r / 8 * groups + g) >> (4 * (r % 8)) & 15);
}

static void packed_rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    const int64_t words = (w->n_cols + 7) / 8;
    const int64_t groups = (w->n_cols + w->block_cols - 1) / w->block_cols;
    for (int64_t r = row; r < row + n; r++, dst += w->n_cols) {
        int64_t known = -1;
        float table[16] = {0};
        for (int64_t c = 0; c < w->n_cols; c++) {
            const int64_t g = group_of(w, c);
            if (g != known) {
                const float scale = load_scale(w, r * groups + g);
                const float zero = packed_zero(w, r, g, groups);
                for (int i = 0; i < 16; i++)
                    table[i] = rounded(w, ((float)i - zero) * scale);
                known = g;
            }
            dst[c] = table[load_word(w->data, r * words + c / 8) >> (4 * (c % 8)) & 15];
        }
    }
}

/* Scales and zero points of the eight rows from `row` on, in group g. */
static void load_group(const struct ol_weight *w, int64_t row, int64_t g,
                       const int *places, float scales[8], float zeros[8])
{
    const uint32_t word = load_word(w->zeros, (g * w->n_rows + row) / 8);
    for (int i = 0; i < 8; i++) {
        scales[i] = load_scale(w, g * w->n_rows + row + i);
        zeros[i] = (float)((word >> (4 * places[i]) & 15) + (uint32_t)w->zero_offset);
    }
}

static const int in_order[8] = {0, 1, 2, 3, 4, 5, 6, 7};
/* Where in AWQ's word the code of row i is. */
static const int awq_order[8] = {0, 4, 1, 5, 2, 6, 3, 7};

/* Eight rows, of which those in [first, end) are wanted. */
static void column_words(const struct ol_weight *w, int64_t row, int64_t first,
                         int64_t end, float *dst)
{
    const bool awq = w->encoding == OL_ENCODING_AWQ;
    const int *places = awq ? awq_order : in_order;
    float scales[8], zeros[8];
    int64_t known = -1;
    for (int64_t c = 0; c < w->n_cols; c++) {
        const int64_t g = group_of(w, c);
        if (g != known)
            load_group(w, row, g, places, scales, zeros);
        known = g;
        const uint32_t shared = awq ? load_word(w->data, (c * w->n_rows + row) / 8) : 0;
        for (int64_t i = first; i < end; i++) {
            const uint32_t code =
                awq ? shared >> (4 * places[i])
                    : load_word(w->data, c / 8 * w->n_rows + row + i) >> (4 * (c % 8));
            dst[(i - first) * w->n_cols + c] =
                rounded(w, ((float)(code & 15) - zeros[i]) * scales[i]);
        }
    }
}

static void column_rows(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    for (int64_t r = row, past; r < row + n; r = past) {
        const int64_t word = r / 8 * 8;
        past = word + 8 < row + n ? word + 8 : row + n;
        column_words(w, word, r - word, past - word, dst + (r - row) * w->n_cols);
    }
}

/* ---- all ---- */

void ol_cpu_decode(const struct ol_weight *w, int64_t row, int64_t n, float *dst)
{
    switch (w->encoding) {
    case OL_ENCODING_PLAIN:
        plain_rows(w, row, n, dst);
        return;
    case OL_ENCODING_FP8:
        fp8_rows(w, row, n, dst);
        return;
    case OL_ENCODING_MXFP4:
    case OL_ENCODING_NVFP4:
        fp4_rows(w, row, n, dst);
        return;
    case OL_ENCODING_INT4:
        packed_rows(w, row, n, dst);
        return;
    case OL_ENCODING_GPTQ:
    case OL_ENCODING_AWQ:
        column_rows(w, row, n, dst);
        return;
    }
    assert(false && "an encoding of no kind");
}

void ol_cpu_decode_rounded(const struct ol_weight *w, enum ol_dtype dtype, int64_t row,
                           int64_t n, float *dst)
{
    ol_cpu_decode(w, row, n, dst);
    if (dtype == OL_DTYPE_BF16 &&
        !(w->encoding == OL_ENCODING_PLAIN && w->dtype == OL_DTYPE_BF16))
        for (int64_t i = 0; i < n * w->n_cols; i++)
            dst[i] = ol_bf16_round(dst[i]);
}

void ol_cpu_decode_bf16(const struct ol_weight *w, int64_t row, int64_t n, uint16_t *dst,
                        float *scratch)
{
    if (w->encoding == OL_ENCODING_FP8 && !w->rounds && lookups_fit(w)) {
        fp8_rows_bf16(w, row, n, dst, (struct ol_lookup *)(void *)scratch);
        return;
    }
    if (w->encoding == OL_ENCODING_MXFP4 || w->encoding == OL_ENCODING_NVFP4) {
        fp4_rows_bf16(w, row, n, dst);
        return;
    }
    for (int64_t r = row, past; r < row + n; r = past) {
        past = r / ROWS * ROWS + ROWS < row + n ? r / ROWS * ROWS + ROWS : row + n;
        ol_cpu_decode(w, r, past - r, scratch);
        ol_from_f32(OL_DTYPE_BF16, scratch, dst + (r - row) * w->n_cols,
                    (size_t)((past - r) * w->n_cols));
    }
}
