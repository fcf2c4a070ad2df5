/* Tensors of which the host knows the values, so that a loop in double precision can say
 * what an operation should make of them. A test's includes of cmocka come before. */
#ifndef TEST_KNOWN_H
#define TEST_KNOWN_H

#include <math.h>

#include "common/error.h"
#include "tests/unit/backends.h"

static uint64_t seed;

/* From -1 to 1. */
static inline float uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(seed >> 11) * 0x1p-52 - 1);
}

/* A tensor and what the host knows of it. */
struct known {
    struct ol_tensor t;
    float *values;
};

static inline void look(struct ol_backend *b, struct known *k)
{
    void *data = test_download(b, k->t);
    ol_to_f32(k->t.dtype, data, k->values, (size_t)(k->t.n_rows * k->t.n_cols));
    free(data);
}

static inline struct known tensor_of(struct ol_backend *b, enum ol_dtype dtype,
                                     int64_t n_rows, int64_t n_cols, float scale)
{
    struct ol_error err = {0};
    struct known k;
    if (b->op->tensor_new(b, dtype, n_rows, n_cols, &k.t, &err) != 0)
        fail_msg("%s", err.text);
    k.values = ol_xcalloc((size_t)(n_rows * n_cols), sizeof *k.values);
    for (int64_t i = 0; i < n_rows * n_cols; i++)
        k.values[i] = scale * uniform();
    test_upload(b, k.t, k.values);
    look(b, &k);
    return k;
}

static inline struct known tensor(struct ol_backend *b, int64_t n_rows, int64_t n_cols,
                                  float scale)
{
    return tensor_of(b, b->dtype, n_rows, n_cols, scale);
}

static inline void free_tensor(struct ol_backend *b, struct known *k)
{
    b->op->tensor_free(b, &k->t);
    free(k->values);
}

static inline double at(struct known k, int64_t row, int64_t col)
{
    return (double)k.values[row * k.t.n_cols + col];
}

/* Nearness in units of the type's rounding of `size`. */
static inline void near(const char *what, struct known k, int64_t row, int64_t col,
                        double want, double size, double units)
{
    const double unit = k.t.dtype == OL_DTYPE_BF16 ? 0x1p-8 : 0x1p-24;
    const double found = at(k, row, col);
    if (!(fabs(found - want) <= units * unit * size + 1e-30))
        fail_msg("%s [%d, %d]: %.9g, expected %.9g", what, (int)row, (int)col, found,
                 want);
}

#define OK(call)                                                                         \
    do {                                                                                 \
        if ((call) != 0)                                                                 \
            fail_msg("%s", err.text);                                                    \
    } while (0)

static inline void all_ways(void (*test)(struct ol_backend *b), enum test_backend kind)
{
    static const enum ol_dtype dtypes[] = {OL_DTYPE_BF16, OL_DTYPE_F32};
    for (int i = 0; i < 2 * TEST_WAYS; i++) {
        struct ol_backend *b = test_backend_open(kind, dtypes[i % 2], i / 2);
        seed = 7;
        test(b);
        test_backend_close(b);
    }
}

/* Tests of an operation on either backend, cpu_NAME and cuda_NAME. */
#define TEST(name)                                                                       \
    static void cpu_##name(void **state)                                                 \
    {                                                                                    \
        (void)state;                                                                     \
        all_ways(name, TEST_CPU);                                                        \
    }                                                                                    \
    static void cuda_##name(void **state)                                                \
    {                                                                                    \
        (void)state;                                                                     \
        all_ways(name, TEST_CUDA);                                                       \
    }

#endif
