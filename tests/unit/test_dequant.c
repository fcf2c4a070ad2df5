/* Stored formats as numbers: every code of every format against its published rule,
 * worked out here in double precision, with sizes that are no multiple of a block. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "extract/cpu/cpu.h"
#include "extract/weights/formats/formats.h"
#include "tests/unit/backends.h"

/* OCP 8-bit floating point, E4M3: bias 7, no infinities. */
static double e4m3(int code)
{
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    if ((code & 127) == 127)
        return NAN;
    const double magnitude = exponent == 0 ? mantissa / 8.0 * exp2(-6)
                                           : (1 + mantissa / 8.0) * exp2(exponent - 7);
    return code & 128 ? -magnitude : magnitude;
}

static double e2m1(int code)
{
    static const double magnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    return code & 8 ? -magnitudes[code & 7] : magnitudes[code & 7];
}

static int same(float found, double want)
{
    const float rounded = (float)want;
    return isnan(want) ? isnan(found)
                       : found == rounded && signbit(found) == signbit(rounded);
}

/* On the way to a device and there: rows one by one, as an embedding, and, where all are
 * finite, together, as what a product with ones makes of them. */
static void compare_on_device(const struct ol_weight *w, const double *want)
{
    struct ol_error err = {0};
    const int64_t n = w->n_rows, k = w->n_cols;
    int32_t *ids = ol_xcalloc((size_t)n, sizeof *ids);
    float *ones = ol_xcalloc((size_t)(k * k), sizeof *ones);
    bool finite = true;
    for (int64_t r = 0; r < n; r++)
        ids[r] = (int32_t)r;
    for (int64_t c = 0; c < k; c++)
        ones[c * k + c] = 1;
    for (int64_t i = 0; i < n * k; i++)
        finite = finite && isfinite(want[i]);
    for (int f32 = 0; f32 < 2; f32++) {
        const enum ol_dtype dtype = f32 ? OL_DTYPE_F32 : OL_DTYPE_BF16;
        struct ol_backend *b = test_backend_open(TEST_CUDA, dtype, f32);
        struct ol_tensor rows = {0}, x = {0}, product = {0};
        if (b->op->tensor_new(b, dtype, n, k, &rows, &err) != 0 ||
            b->op->tensor_new(b, dtype, k, k, &x, &err) != 0 ||
            b->op->tensor_new(b, dtype, k, n, &product, &err) != 0 ||
            b->op->embed(b, ids, *w, rows, &err) != 0)
            fail_msg("%s", err.text);
        test_upload(b, x, ones);
        const struct ol_matmul m = {.x = x, .weight = *w, .out = product};
        if (finite && b->op->matmul(b, &m, 1, &err) != 0)
            fail_msg("%s", err.text);
        void *one_by_one = test_download(b, rows), *together = test_download(b, product);
        float *found = ol_xcalloc((size_t)(n * k), sizeof *found);
        ol_to_f32(dtype, one_by_one, found, (size_t)(n * k));
        for (int64_t i = 0; i < n * k; i++)
            if (!same(found[i], f32 ? want[i] : (double)ol_bf16_round((float)want[i])))
                fail_msg("value %d is %.9g of %.9g", (int)i, (double)found[i], want[i]);
        ol_to_f32(dtype, together, found, (size_t)(n * k));
        for (int64_t i = 0; finite && i < n * k; i++) {
            const float exact = (float)want[i % n * k + i / n];
            assert_true(found[i] == (f32 ? exact : ol_bf16_round(exact)));
        }
        b->op->tensor_free(b, &rows);
        b->op->tensor_free(b, &x);
        b->op->tensor_free(b, &product);
        test_backend_close(b);
        free(one_by_one), free(together), free(found);
    }
    free(ids), free(ones);
}

/* Every row alone, all rows at once, and rounded to bf16: all the same numbers. */
static void compare(const struct ol_weight *w, const double *want)
{
    const size_t n = (size_t)(w->n_rows * w->n_cols), cols = (size_t)w->n_cols;
    float *found = ol_xcalloc(n, sizeof *found), *row = ol_xcalloc(cols, sizeof *row);
    float *scratch = ol_xcalloc(OL_DEQUANT_ROWS * cols, sizeof *scratch);
    uint16_t *rounded = ol_xcalloc(n, sizeof *rounded);
    ol_cpu_decode(w, 0, w->n_rows, found);
    ol_cpu_decode_bf16(w, 0, w->n_rows, rounded, scratch);
    for (size_t i = 0; i < n; i++) {
        if (!same(found[i], want[i]))
            fail_msg("value %zu is %.9g, expected %.9g", i, (double)found[i], want[i]);
        const float bf16 = ol_bf16_to_f32(rounded[i]);
        if (!same(bf16, (double)ol_bf16_round((float)want[i])))
            fail_msg("value %zu in bf16 is %.9g of %.9g", i, (double)bf16, want[i]);
    }
    for (int64_t r = 0; r < w->n_rows; r++) {
        ol_cpu_decode(w, r, 1, row);
        for (size_t c = 0; c < cols; c++)
            assert_true(same(row[c], want[(size_t)r * cols + c]));
        ol_cpu_decode_bf16(w, r, 1, rounded, scratch);
        for (size_t c = 0; c < cols; c++)
            assert_true(same(ol_bf16_to_f32(rounded[c]),
                             (double)ol_bf16_round((float)want[(size_t)r * cols + c])));
    }
    free(rounded), free(scratch), free(row), free(found);
    compare_on_device(w, want);
}

static void fp8_blocks(void **state)
{
    (void)state;
    enum { ROWS = 37, COLS = 300, BR = 16, BC = 128, GR = 3, GC = 3 };
    static uint8_t codes[ROWS * COLS];
    static double want[ROWS * COLS];
    float scales[GR * GC];
    for (int i = 0; i < GR * GC; i++)
        scales[i] = 0.0123f * (float)(i + 1) * (i == 4 ? -1 : 1);
    scales[3] = 3e-38f; /* products that are subnormal in bf16, and some that are 0 */
    scales[7] = 3e36f;  /* and infinite */
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++) {
            codes[r * COLS + c] = (uint8_t)(r * 7 + c);
            want[r * COLS + c] =
                e4m3(codes[r * COLS + c]) * (double)scales[r / BR * GC + c / BC];
        }
    const struct ol_weight w = {.data = codes,
                                .encoding = OL_ENCODING_FP8,
                                .scale_dtype = OL_DTYPE_F32,
                                .n_rows = ROWS,
                                .n_cols = COLS,
                                .scales = scales,
                                .block_rows = BR,
                                .block_cols = BC};
    compare(&w, want);
}

/* compressed-tensors multiplies in the type of the scales. */
static void fp8_channels(void **state)
{
    (void)state;
    enum { ROWS = 5, COLS = 256 };
    static uint8_t codes[ROWS * COLS];
    static double want[ROWS * COLS];
    uint16_t scales[ROWS];
    for (int r = 0; r < ROWS; r++) {
        scales[r] = ol_bf16_from_f32(0.0371f * (float)(r + 1));
        for (int c = 0; c < COLS; c++) {
            codes[r * COLS + c] = (uint8_t)(c + r);
            const double exact =
                e4m3(codes[r * COLS + c]) * (double)ol_bf16_to_f32(scales[r]);
            want[r * COLS + c] = (double)ol_bf16_round((float)exact);
        }
    }
    const struct ol_weight w = {.data = codes,
                                .encoding = OL_ENCODING_FP8,
                                .scale_dtype = OL_DTYPE_BF16,
                                .n_rows = ROWS,
                                .n_cols = COLS,
                                .scales = scales,
                                .block_rows = 1,
                                .block_cols = COLS,
                                .rounds = true};
    compare(&w, want);
}

/* Every code with every power of two, in groups of 32 inputs, of which the last is cut
 * off, and in larger blocks. */
static void exponents(void **state)
{
    (void)state;
    enum { ROWS = 259, COLS = 300 };
    static uint8_t codes[ROWS * COLS], scales[ROWS * COLS];
    static double want[ROWS * COLS];
    const int shapes[][2] = {{1, 32}, {16, 128}, {7, 9}};
    for (int s = 0; s < 3; s++) {
        const int rows = shapes[s][0], cols = shapes[s][1],
                  across = (COLS - 1) / cols + 1;
        for (int i = 0; i < ROWS * COLS; i++)
            scales[i] = (uint8_t)(i * 3 + i / 256);
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLS; c++) {
                const int i = r * COLS + c, scale = scales[r / rows * across + c / cols];
                codes[i] = (uint8_t)(r * 11 + c);
                want[i] = scale == 255 ? NAN : e4m3(codes[i]) * exp2(scale - 127);
                /* Beyond float. */
                if (fabs(want[i]) > 3.5e38)
                    want[i] = copysign(INFINITY, want[i]);
            }
        const struct ol_weight w = {.data = codes,
                                    .encoding =
                                        s == 0 ? OL_ENCODING_MXFP8 : OL_ENCODING_FP8,
                                    .scale_dtype = OL_DTYPE_E8M0,
                                    .n_rows = ROWS,
                                    .n_cols = COLS,
                                    .scales = scales,
                                    .block_rows = rows,
                                    .block_cols = cols};
        compare(&w, want);
    }
}

/* Every byte of codes with every scale; interleaved rows, of which the odd are read. */
static void mxfp4(void **state)
{
    (void)state;
    enum { ROWS = 256, COLS = 512, GROUP = 32, GROUPS = COLS / GROUP };
    static uint8_t codes[2 * ROWS * COLS / 2], scales[2 * ROWS * GROUPS];
    static double want[ROWS * COLS];
    for (int r = 0; r < 2 * ROWS; r++) {
        for (int i = 0; i < COLS / 2; i++)
            codes[r * COLS / 2 + i] = (uint8_t)(i + r / 2 * 3);
        for (int g = 0; g < GROUPS; g++)
            scales[r * GROUPS + g] = (uint8_t)(r / 2 + g);
    }
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++) {
            const int stored = 2 * r + 1;
            const int byte = codes[stored * COLS / 2 + c / 2];
            const int scale = scales[stored * GROUPS + c / GROUP];
            want[r * COLS + c] = scale == 255 ? NAN
                                              : e2m1(c % 2 == 0 ? byte & 15 : byte >> 4) *
                                                    exp2(scale - 127);
            /* 6 x 2^127 is beyond float. */
            if (fabs(want[r * COLS + c]) > 3.5e38)
                want[r * COLS + c] = copysign(INFINITY, want[r * COLS + c]);
        }
    const struct ol_weight w = {.data = codes + COLS / 2,
                                .encoding = OL_ENCODING_MXFP4,
                                .scale_dtype = OL_DTYPE_E8M0,
                                .n_rows = ROWS,
                                .n_cols = COLS,
                                .row_step = 2 * COLS,
                                .scales = scales + GROUPS,
                                .block_cols = GROUP};
    compare(&w, want);
}

/* Every byte of codes with every scale, multiplied by one number and divided by it. */
static void nvfp4(void **state)
{
    (void)state;
    enum { ROWS = 64, COLS = 512, GROUP = 16, GROUPS = COLS / GROUP };
    static uint8_t codes[ROWS * COLS / 2], scales[ROWS * GROUPS];
    static double want[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS / 2; i++)
        codes[i] = (uint8_t)(i + i / 256 * 3);
    for (int i = 0; i < ROWS * GROUPS; i++)
        scales[i] = (uint8_t)i;
    for (int divides = 0; divides < 2; divides++) {
        const float factor = 0.0123f;
        for (int i = 0; i < ROWS * COLS; i++) {
            const int byte = codes[i / 2];
            const double scale = e4m3(scales[i / GROUP]);
            /* Both steps are in float. */
            const float both = divides ? (float)(scale / (double)factor)
                                       : (float)(scale * (double)factor);
            want[i] = e2m1(i % 2 == 0 ? byte & 15 : byte >> 4) * (double)both;
        }
        const struct ol_weight w = {.data = codes,
                                    .encoding = OL_ENCODING_NVFP4,
                                    .scale_dtype = OL_DTYPE_E4M3,
                                    .n_rows = ROWS,
                                    .n_cols = COLS,
                                    .row_step = COLS,
                                    .scales = scales,
                                    .block_cols = GROUP,
                                    .factor = factor,
                                    .divides = divides};
        compare(&w, want);
    }
}

/* ---- integers ---- */

/* Number i of codes of so many bits: words are little-endian, so that they lie in bytes,
 * the low half first. */
static int code_of(const uint8_t *bytes, int64_t i, int bits)
{
    return bits == 8 ? bytes[i] : i % 2 == 0 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4;
}

enum { MOST_INTEGERS = 64 * 512 };
struct integers {
    uint8_t codes[MOST_INTEGERS], zeros[MOST_INTEGERS];
    uint16_t scales[MOST_INTEGERS];
    int32_t groups[512];
    double want[MOST_INTEGERS];
};

static void fill_integers(struct integers *a, int64_t n_cols, int64_t n_groups)
{
    for (int i = 0; i < MOST_INTEGERS; i++) {
        a->codes[i] = (uint8_t)(i * 7 + i / 256);
        a->zeros[i] = (uint8_t)(i * 29 + 5);
        a->scales[i] = ol_bf16_from_f32(0.0371f * (float)(i % 97 + 1));
    }
    for (int64_t c = 0; c < n_cols; c++)
        a->groups[c] = (int32_t)(c * 5 % n_groups);
}

/* The format multiplies in the type of the scales. */
static double integer(const struct integers *a, int64_t scale, int code, int zero)
{
    const float exact = (float)(code - zero) * ol_bf16_to_f32(a->scales[scale]);
    return (double)ol_bf16_round(exact);
}

/* Along rows, each of whole words; zero points along columns. */
static void packed(void **state)
{
    (void)state;
    enum { ROWS = 37, COLS = 261, SIZE = 33, GROUPS = 8 };
    static struct integers a;
    fill_integers(&a, COLS, GROUPS);
    for (int way = 0; way < 8; way++) {
        const int bits = way % 2 == 0 ? 4 : 8, n = 32 / bits;
        const bool zeros = way / 2 % 2 == 1, mixed = way / 4 == 1;
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLS; c++) {
                const int g = mixed ? a.groups[c] : c / SIZE;
                const int row = (COLS + n - 1) / n * n;
                const int zero =
                    zeros ? code_of(a.zeros, (r / n * GROUPS + g) * n + r % n, bits)
                          : 1 << (bits - 1);
                a.want[r * COLS + c] = integer(&a, r * GROUPS + g,
                                               code_of(a.codes, r * row + c, bits), zero);
            }
        const struct ol_weight w = {.data = a.codes,
                                    .encoding = OL_ENCODING_PACKED,
                                    .bits = bits,
                                    .scale_dtype = OL_DTYPE_BF16,
                                    .n_rows = ROWS,
                                    .n_cols = COLS,
                                    .scales = a.scales,
                                    .zeros = zeros ? a.zeros : NULL,
                                    .groups = mixed ? a.groups : NULL,
                                    .block_rows = 1,
                                    .block_cols = SIZE,
                                    .rounds = true};
        compare(&w, a.want);
    }
}

/* GPTQ along the inputs, AWQ along the outputs in an order of its own. */
static void columns(void **state)
{
    (void)state;
    static const int order[] = {0, 2, 4, 6, 1, 3, 5, 7}; /* of AWQ: the row at a place */
    enum { COLS = 264, SIZE = 33, GROUPS = 8 };
    static struct integers a;
    fill_integers(&a, COLS, GROUPS);
    for (int way = 0; way < 6; way++) {
        const bool awq = way == 4;
        const int bits = way % 2 == 0 ? 4 : 8, n = 32 / bits, rows = way == 5 ? 44 : 40;
        const int offset = awq ? 0 : way / 2 % 2;
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < COLS; c++) {
                const int g = way == 1 ? a.groups[c] : c / SIZE;
                int place = r % n;
                for (int p = 0; awq && p < 8; p++)
                    if (order[p] == r % 8)
                        place = p;
                const int at = awq ? (c * (rows / n) + r / n) * n + place
                                   : (c / n * rows + r) * n + c % n;
                const int zero =
                    code_of(a.zeros, (g * (rows / n) + r / n) * n + place, bits);
                a.want[r * COLS + c] =
                    integer(&a, g * rows + r, code_of(a.codes, at, bits), zero + offset);
            }
        const struct ol_weight w = {.data = a.codes,
                                    .encoding = awq ? OL_ENCODING_AWQ : OL_ENCODING_GPTQ,
                                    .bits = bits,
                                    .scale_dtype = OL_DTYPE_BF16,
                                    .n_rows = rows,
                                    .n_cols = COLS,
                                    .scales = a.scales,
                                    .zeros = a.zeros,
                                    .zero_offset = offset,
                                    .groups = way == 1 ? a.groups : NULL,
                                    .block_rows = 1,
                                    .block_cols = SIZE,
                                    .rounds = true};
        compare(&w, a.want);
    }
}

/* A scale, and a zero point, for a row, for a group of its inputs, or for all. */
static void int8(void **state)
{
    (void)state;
    enum { ROWS = 37, COLS = 261 };
    static struct integers a;
    fill_integers(&a, COLS, 1);
    const int shapes[][2] = {{1, COLS}, {1, 32}, {ROWS, COLS}};
    for (int way = 0; way < 6; way++) {
        const int rows = shapes[way / 2][0], cols = shapes[way / 2][1];
        const bool zeros = way % 2 == 1;
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLS; c++) {
                const int at = r / rows * ((COLS - 1) / cols + 1) + c / cols;
                const int code = a.codes[r * COLS + c], zero = zeros ? a.zeros[at] : 0;
                a.want[r * COLS + c] = integer(&a, at, code > 127 ? code - 256 : code,
                                               zero > 127 ? zero - 256 : zero);
            }
        const struct ol_weight w = {.data = a.codes,
                                    .encoding = OL_ENCODING_INT8,
                                    .scale_dtype = OL_DTYPE_BF16,
                                    .n_rows = ROWS,
                                    .n_cols = COLS,
                                    .scales = a.scales,
                                    .zeros = zeros ? a.zeros : NULL,
                                    .block_rows = rows,
                                    .block_cols = cols,
                                    .rounds = true};
        compare(&w, a.want);
    }
}

/* Transposed, and one column in two. */
static void transposed(void **state)
{
    (void)state;
    enum { ROWS = 19, COLS = 23 };
    static uint16_t stored[COLS * 2 * ROWS];
    static double want[ROWS * COLS];
    for (int i = 0; i < COLS * 2 * ROWS; i++)
        stored[i] = ol_bf16_from_f32((float)i * 0.37f);
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        struct ol_weight w = ol_weight_plain(stored, OL_DTYPE_BF16, ROWS, COLS);
        w.data = stored + (interleaved ? 1 : ROWS);
        w.row_step = interleaved ? 2 : 1;
        w.col_step = 2 * ROWS;
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLS; c++)
                want[r * COLS + c] = (double)ol_bf16_to_f32(
                    stored[c * 2 * ROWS + (interleaved ? 2 * r + 1 : ROWS + r)]);
        compare(&w, want);
    }
}

/* ---- weights that come to a device in tiles ---- */

enum { TALL = 4104, WIDE = 264, MOST_WORDS = 2 * TALL * WIDE };

/* Random codes, none of them a NaN of E4M3, scales, and groups in disorder. */
static uint32_t tall_codes[MOST_WORDS], tall_zeros[MOST_WORDS];
static float tall_scales[MOST_WORDS];
static int32_t tall_groups[WIDE];

static void fill_tall(void)
{
    uint64_t state = 3;
    for (int i = 0; i < MOST_WORDS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        tall_codes[i] = (uint32_t)(state >> 32) & 0xbfbfbfbfu;
        tall_zeros[i] = (uint32_t)(state >> 16);
        tall_scales[i] = (float)((state >> 40) % 1000 + 1) * 0x1p-9f;
    }
    for (int c = 0; c < WIDE; c++)
        tall_groups[c] = c * 5 % 8;
}

/* What a product with ones makes of all rows, to the bit what the CPU decodes. */
static void compare_tiles(struct ol_weight w)
{
    struct ol_error err = {0};
    float *ones = ol_xcalloc(WIDE * WIDE, sizeof *ones);
    float *want = ol_xcalloc((size_t)TALL * WIDE, sizeof *want);
    w.n_rows = TALL;
    w.n_cols = WIDE;
    for (int c = 0; c < WIDE; c++)
        ones[c * WIDE + c] = 1;
    ol_cpu_decode(&w, 0, TALL, want);
    struct ol_backend *b = test_backend_open(TEST_CUDA, OL_DTYPE_F32, 2);
    struct ol_tensor x = {0}, product = {0};
    if (b->op->tensor_new(b, OL_DTYPE_F32, WIDE, WIDE, &x, &err) != 0 ||
        b->op->tensor_new(b, OL_DTYPE_F32, WIDE, TALL, &product, &err) != 0)
        fail_msg("%s", err.text);
    test_upload(b, x, ones);
    const struct ol_matmul m = {.x = x, .weight = w, .out = product};
    if (b->op->matmul(b, &m, 1, &err) != 0)
        fail_msg("%s", err.text);
    float *found = test_download(b, product);
    for (int64_t i = 0; i < TALL * WIDE; i++)
        if (found[i] != want[i % TALL * WIDE + i / TALL])
            fail_msg("%s, row %d, column %d: %.9g, expected %.9g",
                     ol_weight_format_name(&w), (int)(i % TALL), (int)(i / TALL),
                     (double)found[i], (double)want[i % TALL * WIDE + i / TALL]);
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &product);
    test_backend_close(b);
    free(found), free(want), free(ones);
}

static void tiles(void **state)
{
    (void)state;
    fill_tall();
    const struct ol_weight four_bits = {.data = tall_codes,
                                        .bits = 4,
                                        .scales = tall_scales,
                                        .zeros = tall_zeros,
                                        .groups = tall_groups,
                                        .block_cols = 33};
    const enum ol_encoding encodings[] = {OL_ENCODING_PACKED, OL_ENCODING_GPTQ,
                                          OL_ENCODING_AWQ, OL_ENCODING_PACKED,
                                          OL_ENCODING_GPTQ};
    for (int i = 0; i < 5; i++) {
        struct ol_weight w = four_bits;
        w.encoding = encodings[i];
        w.bits = i < 3 ? 4 : 8;
        w.zero_offset = i == 1;
        compare_tiles(w);
        w.groups = NULL;
        compare_tiles(w);
    }
    struct ol_weight w = four_bits;
    w.encoding = OL_ENCODING_FP8;
    w.groups = NULL;
    w.zeros = NULL;
    w.block_rows = 100; /* tiles begin inside blocks */
    w.block_cols = 50;
    compare_tiles(w);
    w.encoding = OL_ENCODING_INT8;
    w.zeros = tall_zeros;
    compare_tiles(w);
    w.zeros = NULL;
    static uint8_t powers[2 * TALL * 9];
    for (size_t i = 0; i < sizeof powers; i++)
        powers[i] = (uint8_t)(100 + i % 50);
    w.encoding = OL_ENCODING_MXFP8;
    w.scale_dtype = OL_DTYPE_E8M0;
    w.scales = powers;
    w.block_rows = 1;
    w.block_cols = 32;
    compare_tiles(w);
    w.encoding = OL_ENCODING_MXFP4;
    w.block_cols = 44;
    w.row_step = 2 * WIDE;
    compare_tiles(w);
    w.encoding = OL_ENCODING_NVFP4;
    w.scale_dtype = OL_DTYPE_E4M3;
    w.scales = tall_codes; /* bytes without a NaN */
    w.row_step = WIDE;
    w.factor = 0.7f;
    w.divides = true;
    compare_tiles(w);
    struct ol_weight turned = ol_weight_plain(tall_scales, OL_DTYPE_F32, TALL, WIDE);
    turned.row_step = 2;
    turned.col_step = 2 * TALL;
    compare_tiles(turned);
    turned.row_step = 1;
    turned.col_step = TALL;
    compare_tiles(turned);
}

/* Each label is found by what it says, and by none that came before it. */
static void labels(void **state)
{
    (void)state;
    int n = 0;
    for (int i = 0; i < OL_N_ENCODINGS; i++) {
        const struct ol_format_label *l = ol_weight_formats[i]->labels;
        assert_true((l == NULL) == (i == OL_ENCODING_PLAIN));
        for (; l != NULL && l->method != OL_QUANTIZATION_NONE; l++, n++) {
            assert_ptr_equal(ol_format_find_label(l->method, l->form, l->bits, l->type),
                             l);
            assert_ptr_equal(ol_format_of_label(l), ol_weight_formats[i]);
        }
    }
    assert_true(n >= OL_N_ENCODINGS - 1);
    assert_null(ol_format_find_label(OL_QUANTIZATION_GPTQ, NULL, 3, NULL));
    assert_null(ol_format_find_label(OL_QUANTIZATION_COMPRESSED, "marlin-24", 4, "int"));
}

/* Both conversions of half precision, over all its codes and between them. */
static void halves(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const float value = ol_f16_to_f32((uint16_t)bits);
        if (isnan(value))
            assert_true((ol_f16_from_f32(value) & 0x7fff) > 0x7c00);
        else
            assert_int_equal(ol_f16_from_f32(value), bits);
        const uint32_t magnitude = bits & 0x7fff;
        if (magnitude >= 0x7bff)
            continue;
        /* Half way to the next: to the even one; a little less or more: to the nearer. */
        const float next = ol_f16_to_f32((uint16_t)(bits + 1));
        const float middle = value / 2 + next / 2;
        assert_int_equal(ol_f16_from_f32(middle), bits + (bits & 1));
        assert_int_equal(ol_f16_from_f32(nextafterf(middle, value)), bits);
        assert_int_equal(ol_f16_from_f32(nextafterf(middle, next)), bits + 1);
    }
    assert_int_equal(ol_f16_from_f32(65519.0f), 0x7bff);
    assert_int_equal(ol_f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(ol_f16_from_f32(-1e9f), 0xfc00);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp8_blocks), cmocka_unit_test(fp8_channels),
        cmocka_unit_test(nvfp4),      cmocka_unit_test(mxfp4),
        cmocka_unit_test(exponents),  cmocka_unit_test(packed),
        cmocka_unit_test(columns),    cmocka_unit_test(int8),
        cmocka_unit_test(transposed), cmocka_unit_test(tiles),
        cmocka_unit_test(labels),     cmocka_unit_test(halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
