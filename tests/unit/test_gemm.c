/* Products in float against a loop in double precision, at sizes that end inside blocks
 * of rows, columns and depth; and the same bytes for an element whatever is beside it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "extract/cpu/fma.h"
#include "extract/cpu/gemm.h"
#include "extract/cpu/gemm_bf16.h"

enum { PADDING = 3, CANARY = 12345 };

static uint64_t seed;

static float uniform(void) /* [-1, 1) */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(int64_t)(seed >> 11) * 0x1p-52 - 1);
}

/* n random values as dtype, and as float in *values. */
static void *random_values(enum ol_dtype dtype, int64_t n, float **values)
{
    void *data = ol_xcalloc((size_t)n + 1, sizeof(float));
    *values = ol_xcalloc((size_t)n + 1, sizeof(float));
    for (int64_t i = 0; i < n; i++)
        (*values)[i] = uniform();
    ol_from_f32(dtype, *values, data, (size_t)n);
    ol_to_f32(dtype, data, *values, (size_t)n);
    return data;
}

struct shape {
    int64_t m, n, k;
};

static void check(struct shape s, enum ol_dtype a_dtype, enum ol_dtype b_dtype,
                  bool b_plain, float beta)
{
    const int64_t lda = s.k + PADDING, ldb = (b_plain ? s.n : s.k) + PADDING;
    const int64_t ldc = s.n + PADDING;
    float *a, *b, *before;
    void *a_data = random_values(a_dtype, s.m * lda, &a);
    void *b_data = random_values(b_dtype, (b_plain ? s.k : s.n) * ldb, &b);
    float *c = random_values(OL_DTYPE_F32, s.m * ldc, &before);
    float *scratch = aligned_alloc(64, ol_gemm_scratch(s.n, s.k) * sizeof *scratch);
    for (int64_t i = 0; i < s.m; i++) {
        for (int64_t j = s.n; j < ldc; j++)
            c[i * ldc + j] = CANARY;
        for (int64_t j = 0; beta == 0 && j < s.n; j++)
            c[i * ldc + j] = NAN; /* not to be read */
    }
    const struct ol_gemm g = {.m = s.m,
                              .n = s.n,
                              .k = s.k,
                              .a_dtype = a_dtype,
                              .b_dtype = b_dtype,
                              .a = a_data,
                              .lda = lda,
                              .b = b_data,
                              .ldb = ldb,
                              .b_plain = b_plain,
                              .beta = beta,
                              .c = c,
                              .ldc = ldc,
                              .scratch = scratch};
    ol_gemm_run(&g);
    for (int64_t i = 0; i < s.m; i++) {
        for (int64_t j = 0; j < s.n; j++) {
            double sum = beta == 0 ? 0 : (double)beta * (double)before[i * ldc + j];
            double size = fabs(sum) + 1e-30;
            for (int64_t k = 0; k < s.k; k++) {
                const float y = b[b_plain ? k * ldb + j : j * ldb + k];
                sum += (double)a[i * lda + k] * (double)y;
                size += fabs((double)a[i * lda + k] * (double)y);
            }
            assert_true(fabs((double)c[i * ldc + j] - sum) <= 4e-6 * size);
        }
        for (int64_t j = s.n; j < ldc; j++)
            assert_true(c[i * ldc + j] == CANARY);
    }
    free(scratch);
    free(before), free(c);
    free(b), free(b_data);
    free(a), free(a_data);
}

static void products_are_right(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {1, 1, 1},
        {5, 3, 0},
        {0, 4, 7},
        {6, 16, 8},
        {7, 33, 257},
        {13, 31, 300},
        {2, 261, 40},
        {3 * OL_GEMM_ROWS + 5, OL_GEMM_COLUMNS + 9, 2 * OL_GEMM_DEPTH + 1},
        {17, 35, 2046}, /* rows that would meet in the first cache */
    };
    static const float betas[] = {0, 1, 0.5F};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int form = 0; form < 8; form++)
            for (size_t k = 0; k < sizeof betas / sizeof betas[0]; k++)
                check(shapes[i], form & 1 ? OL_DTYPE_BF16 : OL_DTYPE_F32,
                      form & 2 ? OL_DTYPE_BF16 : OL_DTYPE_F32, form & 4, betas[k]);
}

/* Every part of the result, alone, has the bytes that it has in the whole. */
static void neighbours_do_not_show(void **state)
{
    (void)state;
    enum { M = 3 * OL_GEMM_ROWS + 7, N = OL_GEMM_COLUMNS + 21, K = OL_GEMM_DEPTH + 5 };
    static const int64_t sizes[] = {1, 2, 5, 11, 40, 129};
    static float whole[M * N], part[M * N];
    float *a, *b, *scratch = aligned_alloc(64, ol_gemm_scratch(N, K) * sizeof *scratch);
    void *a_data = random_values(OL_DTYPE_F32, M * K, &a);
    void *b_data = random_values(OL_DTYPE_F32, N * K, &b);
    struct ol_gemm g = {.m = M,
                        .n = N,
                        .k = K,
                        .a = a_data,
                        .lda = K,
                        .b = b_data,
                        .ldb = K,
                        .c = whole,
                        .ldc = N,
                        .scratch = scratch};
    ol_gemm_run(&g);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t rows = sizes[s],
                      cols = sizes[sizeof sizes / sizeof sizes[0] - 1 - s];
        for (int64_t row = 0; row < M; row += rows)
            for (int64_t col = 0; col < N; col += cols) {
                g.m = M - row < rows ? M - row : rows;
                g.n = N - col < cols ? N - col : cols;
                g.a = a + row * K;
                g.b = b + col * K;
                g.c = part + row * N + col;
                ol_gemm_run(&g);
            }
        assert_memory_equal(part, whole, sizeof whole);
    }
    free(scratch);
    free(b), free(b_data);
    free(a), free(a_data);
}

/* A product by the kind of processor that is always there, and by the others that are. */
static void check_kinds(struct shape s, enum ol_dtype a_dtype, enum ol_dtype b_dtype,
                        bool b_plain, float beta)
{
    static const struct ol_gemm_kind *const kinds[] = {&ol_gemm_generic, &ol_gemm_avx2,
                                                       &ol_gemm_avx512};
    const size_t n = (size_t)(s.m * s.n);
    float *a, *b, *before, *c[3];
    void *a_data = random_values(a_dtype, s.m * s.k, &a);
    void *b_data = random_values(b_dtype, s.k * s.n, &b);
    void *start = random_values(OL_DTYPE_F32, s.m * s.n, &before);
    float *scratch = aligned_alloc(64, ol_gemm_scratch(s.n, s.k) * sizeof *scratch);
    for (int i = 0; i < 3; i++) {
        c[i] = ol_xcalloc(n + 1, sizeof **c);
        memcpy(c[i], before, n * sizeof **c);
        const struct ol_gemm g = {.m = s.m,
                                  .n = s.n,
                                  .k = s.k,
                                  .a_dtype = a_dtype,
                                  .b_dtype = b_dtype,
                                  .a = a_data,
                                  .lda = s.k,
                                  .b = b_data,
                                  .ldb = b_plain ? s.n : s.k,
                                  .b_plain = b_plain,
                                  .beta = beta,
                                  .c = c[i],
                                  .ldc = s.n,
                                  .scratch = scratch};
        if (kinds[i]->run == NULL)
            continue;
        kinds[i]->run(&g);
        assert_memory_equal(c[i], c[0], n * sizeof **c);
    }
    for (int i = 0; i < 3; i++)
        free(c[i]);
    free(scratch);
    free(start), free(before);
    free(b), free(b_data);
    free(a), free(a_data);
}

static void kinds_of_processors_agree(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {1, 1, 1},
        {5, 3, 0},
        {7, 33, 257},
        {13, 31, 300},
        {43, 390, 2 * OL_GEMM_DEPTH + 7},
    };
    static const float betas[] = {0, 1, 0.3F};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int form = 0; form < 8; form++)
            for (size_t k = 0; k < sizeof betas / sizeof betas[0]; k++)
                check_kinds(shapes[i], form & 1 ? OL_DTYPE_BF16 : OL_DTYPE_F32,
                            form & 2 ? OL_DTYPE_BF16 : OL_DTYPE_F32, form & 4, betas[k]);
}

/* ---- products of bfloat16 by instructions for them ---- */

static const struct ol_gemm_bf16_kind *const bf16_kinds[] = {&ol_gemm_bf16_amx,
                                                             &ol_gemm_bf16_avx512};
enum { N_BF16_KINDS = sizeof bf16_kinds / sizeof bf16_kinds[0] };

/* Whether that kind can be tested here; else a line says that it is not. */
static bool is_here(const struct ol_gemm_bf16_kind *kind)
{
    const bool here = kind->run != NULL && kind->is_usable();
    if (!here)
        print_message("skip: products of kind %s: not on this processor, or not built\n",
                      kind->name);
    return here;
}

/* Full of NaN, which would show where it is read before it is written. */
static void *scratch_for(const struct ol_gemm_bf16_kind *kind, int64_t n, int64_t k)
{
    const size_t bytes = (kind->scratch(n, k) + 64) / 64 * 64;
    return memset(aligned_alloc(64, bytes), 0xff, bytes);
}

/* Rounded with a bias, float, and float added to what is there; `form` has a bit each for
 * these and for b as it lies. */
static void check_bf16(const struct ol_gemm_bf16_kind *kind, struct shape s, int form)
{
    const bool b_plain = form & 1, rounded = form & 2, more = form & 4;
    const int64_t lda = s.k + PADDING, ldb = (b_plain ? s.n : s.k) + PADDING;
    const int64_t ldc = s.n + PADDING;
    float *a, *b, *before, *bias;
    void *a_data = random_values(OL_DTYPE_BF16, s.m * lda, &a);
    void *b_data = random_values(OL_DTYPE_BF16, (b_plain ? s.k : s.n) * ldb, &b);
    float *sum = random_values(OL_DTYPE_F32, s.m * ldc, &before);
    uint16_t *c = ol_xcalloc((size_t)(s.m * ldc) + 1, sizeof *c);
    free(random_values(OL_DTYPE_F32, s.n, &bias));
    for (int64_t i = 0; i < s.m * ldc; i++) {
        c[i] = CANARY;
        if (!more)
            sum[i] = NAN; /* not to be read */
        if (i % ldc >= s.n)
            sum[i] = CANARY;
    }
    struct ol_gemm_bf16 g = {.m = s.m,
                             .n = s.n,
                             .k = s.k,
                             .a = a_data,
                             .lda = lda,
                             .b = b_data,
                             .ldb = ldb,
                             .b_plain = b_plain,
                             .ldc = ldc,
                             .scratch = scratch_for(kind, s.n, s.k)};
    if (rounded) {
        g.c = c;
        g.bias = more ? bias : NULL;
    } else {
        g.sum = sum;
        g.accumulate = more;
    }
    kind->run(&g);
    for (int64_t at = 0; at < s.m * ldc; at++) {
        const int64_t i = at / ldc, j = at % ldc;
        if (j >= s.n) {
            assert_true(sum[at] == CANARY && c[at] == CANARY);
            continue;
        }
        double expected = !more ? 0 : rounded ? (double)bias[j] : (double)before[at];
        double size = fabs(expected) + 1e-30;
        for (int64_t k = 0; k < s.k; k++) {
            const float y = b[b_plain ? k * ldb + j : j * ldb + k];
            expected += (double)a[i * lda + k] * (double)y;
            size += fabs((double)a[i * lda + k] * (double)y);
        }
        float found = sum[at];
        if (rounded)
            ol_to_f32(OL_DTYPE_BF16, &c[at], &found, 1);
        assert_true(fabs((double)found - expected) <=
                    4e-6 * size + (rounded ? 0x1p-8 * fabs(expected) : 0));
    }
    free(g.scratch);
    free(bias), free(c), free(before), free(sum);
    free(b), free(b_data);
    free(a), free(a_data);
}

static void bf16_products_are_right(void **state)
{
    (void)state;
    /* Beside tiles of 16 and 32 rows, 32 columns and 32 of depth, and beside blocks of
     * columns (192, fewer where the depth is large). */
    static const struct shape shapes[] = {
        {1, 1, 1},     {5, 3, 0},      {0, 4, 7},     {16, 16, 32},   {32, 32, 64},
        {15, 31, 31},  {17, 33, 33},   {33, 65, 129}, {48, 64, 96},   {31, 200, 40},
        {47, 97, 223}, {35, 70, 5120}, {64, 391, 96}, {29, 45, 2046},
    };
    for (int i = 0; i < N_BF16_KINDS; i++)
        for (size_t s = 0; is_here(bf16_kinds[i]) && s < sizeof shapes / sizeof shapes[0];
             s++)
            for (int form = 0; form < 8; form++)
                check_bf16(bf16_kinds[i], shapes[s], form);
}

/* Every part of the result, alone, has the bytes that it has in the whole; what is beside
 * it are values of which a trace would be seen. */
static void bf16_neighbours_do_not_show(const struct ol_gemm_bf16_kind *kind, int64_t k)
{
    enum { M = 75, N = 213 };
    static const int64_t sizes[] = {1, 2, 5, 16, 31, 32, 64};
    static float whole[M * N], part[M * N];
    float *a, *b;
    uint16_t *a_data = random_values(OL_DTYPE_BF16, M * k, &a);
    uint16_t *b_data = random_values(OL_DTYPE_BF16, N * k, &b);
    for (int64_t i = 0; i < k; i++) /* NaN in the last row of a and column of b */
        a_data[(M - 1) * k + i] = b_data[(N - 1) * k + i] = 0x7fc0;
    struct ol_gemm_bf16 g = {.m = M,
                             .n = N,
                             .k = k,
                             .a = a_data,
                             .lda = k,
                             .b = b_data,
                             .ldb = k,
                             .sum = whole,
                             .ldc = N,
                             .scratch = scratch_for(kind, N, k)};
    kind->run(&g);
    for (int64_t i = 0; i < M * N; i++)
        assert_true(isnan(whole[i]) == (i / N == M - 1 || i % N == N - 1));
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t rows = sizes[s],
                      cols = sizes[sizeof sizes / sizeof sizes[0] - 1 - s];
        for (int64_t row = 0; row < M; row += rows)
            for (int64_t col = 0; col < N; col += cols) {
                g.m = M - row < rows ? M - row : rows;
                g.n = N - col < cols ? N - col : cols;
                g.a = a_data + row * k;
                g.b = b_data + col * k;
                g.sum = part + row * N + col;
                kind->run(&g);
            }
        assert_memory_equal(part, whole, sizeof whole);
    }
    free(g.scratch);
    free(b), free(b_data);
    free(a), free(a_data);
}

static void bf16_rows_stand_alone(void **state)
{
    (void)state;
    for (int i = 0; i < N_BF16_KINDS; i++)
        if (is_here(bf16_kinds[i])) {
            bf16_neighbours_do_not_show(bf16_kinds[i], 96);
            bf16_neighbours_do_not_show(bf16_kinds[i], 301);
        }
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t random_bits(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

/* The library's function is exact where the processor has none. */
static void sums_of_products_round_once(void **state)
{
    (void)state;
    static const float special[] = {0,        -0.0F,           1,         -1,
                                    INFINITY, -INFINITY,       NAN,       0x1p-149F,
                                    0x1p127F, 0x1.fffffep127F, 0x1p-126F, -0x1p-149F,
                                    3,        0x1p-75F};
    enum { N = sizeof special / sizeof special[0] };
    for (int i = 0; i < 3000000; i++) {
        float a = float_of(random_bits()), b = float_of(random_bits());
        float c = float_of(random_bits());
        if (i < N * N * N) {
            a = special[i % N], b = special[i / N % N], c = special[i / N / N];
        } else if (i % 3 == 0) {
            /* Sums that nearly cancel, and halves of a last place. */
            a = uniform(), b = uniform();
            c = -(a * b) * (1 + (float)(i % 5) * 0x1p-23F);
        } else if (i % 3 == 1) {
            a = 1 + (float)(i % 1024) * 0x1p-23F, b = 1 + (float)(i % 31) * 0x1p-12F;
            c = ldexpf(uniform(), i % 60 - 40);
        }
        const float want = fmaf(a, b, c), found = ol_fma_by_doubles(a, b, c);
        if (isnan(want) ? !isnan(found) : memcmp(&want, &found, sizeof want) != 0)
            fail_msg("%a x %a + %a is %a, expected %a", (double)a, (double)b, (double)c,
                     (double)found, (double)want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(neighbours_do_not_show),
        cmocka_unit_test(kinds_of_processors_agree),
        cmocka_unit_test(bf16_products_are_right),
        cmocka_unit_test(bf16_rows_stand_alone),
        cmocka_unit_test(sums_of_products_round_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
