/* Products in float against a loop in double precision, at sizes that end inside blocks
 * of rows, columns and depth; and the same bytes for an element whatever is beside it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "common/error.h"
#include "extract/cpu/gemm.h"

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
        {1, 1, 1},    {5, 3, 0},
        {0, 4, 7},    {6, 16, 8},
        {7, 33, 257}, {13, 31, 300},
        {2, 261, 40}, {OL_GEMM_ROWS + 5, OL_GEMM_COLUMNS + 9, 2 * OL_GEMM_DEPTH + 1},
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
    enum { M = OL_GEMM_ROWS + 7, N = OL_GEMM_COLUMNS + 21, K = OL_GEMM_DEPTH + 5 };
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(neighbours_do_not_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
