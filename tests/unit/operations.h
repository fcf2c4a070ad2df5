/* Operations of every backend against plain loops in double precision: odd sizes that end
 * inside tiles, both precisions, and the same bytes whatever the number of threads, or
 * the time at which a simulated device does its work. */
#ifndef TEST_OPERATIONS_H
#define TEST_OPERATIONS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "extract/backend.h"
#include "tests/unit/backends.h"

/* ---- numbers, tensors, comparison ---- */

static uint64_t seed;

static inline float uniform(void) /* [-1, 1) */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(int64_t)(seed >> 11) * 0x1p-52 - 1);
}

static inline struct ol_tensor tensor(struct ol_backend *b, enum ol_dtype dtype,
                                      int64_t n_rows, int64_t n_cols)
{
    struct ol_error err = {0};
    struct ol_tensor t;
    assert_int_equal(b->op->tensor_new(b, dtype, n_rows, n_cols, &t, &err), 0);
    return t;
}

static inline size_t count(struct ol_tensor t)
{
    return (size_t)(t.n_rows * t.n_cols);
}

static inline struct ol_tensor random_tensor(struct ol_backend *b, int64_t n_rows,
                                             int64_t n_cols, float scale)
{
    struct ol_tensor t = tensor(b, b->dtype, n_rows, n_cols);
    float *x = ol_xcalloc(count(t), sizeof *x);
    for (size_t i = 0; i < count(t); i++)
        x[i] = scale * uniform();
    test_upload(b, t, x);
    free(x);
    return t;
}

/* Values as double, [n_rows * n_cols]; the caller frees. */
static inline double *values(enum ol_dtype dtype, const void *data, size_t n)
{
    double *v = ol_xcalloc(n, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        float x;
        ol_to_f32(dtype, (const char *)data + i * ol_dtype_size(dtype), &x, 1);
        v[i] = (double)x;
    }
    return v;
}

static inline double *tensor_values(struct ol_backend *b, struct ol_tensor t)
{
    void *data = test_download(b, t);
    double *v = values(t.dtype, data, count(t));
    free(data);
    return v;
}

static inline struct ol_weight random_weight(enum ol_dtype dtype, int64_t n_rows,
                                             int64_t n_cols, float scale)
{
    const size_t n = (size_t)(n_rows * n_cols);
    char *data = ol_xcalloc(n, ol_dtype_size(dtype));
    for (size_t i = 0; i < n; i++) {
        const float x = scale * uniform();
        if (dtype == OL_DTYPE_F16) {
            /* 1.xxx * 2^-k in half precision, of either sign. */
            const uint16_t bits = (uint16_t)((seed >> 40 & 0x83ff) | 0x3000);
            memcpy(data + 2 * i, &bits, 2);
        } else {
            ol_from_f32(dtype, &x, data + i * ol_dtype_size(dtype), 1);
        }
    }
    return ol_weight_plain(data, dtype, n_rows, n_cols);
}

static inline void free_weight(struct ol_weight *w)
{
    free((void *)(uintptr_t)w->data);
}

/* As near as one rounding to the type (and float sums of k terms) allow, or `more`. */
static inline void compare_within(const char *what, enum ol_dtype dtype,
                                  const double *found, const double *expected, size_t n,
                                  double slack, double more)
{
    double top = 0;
    for (size_t i = 0; i < n; i++)
        top = fabs(expected[i]) > top ? fabs(expected[i]) : top;
    for (size_t i = 0; i < n; i++) {
        const double unit = dtype == OL_DTYPE_BF16 ? 0x1p-8 : 0x1p-22;
        const double allowed = slack * (unit * fabs(expected[i]) + 2e-6 * top) + more;
        if (!(fabs(found[i] - expected[i]) <= allowed))
            fail_msg("%s: value %zu is %.9g, expected %.9g +- %.2g", what, i, found[i],
                     expected[i], allowed);
    }
}

static inline void compare(const char *what, enum ol_dtype dtype, const double *found,
                           const double *expected, size_t n, double slack)
{
    compare_within(what, dtype, found, expected, n, slack, 0);
}

/* Run a test for both precisions in every way, and compare bytes. */
typedef size_t run_function(struct ol_backend *b, void *bytes);

enum { MAX_BYTES = 1 << 23 };

static inline void all_ways(run_function *run, enum test_backend kind)
{
    char *first = ol_xcalloc(MAX_BYTES, 1), *other = ol_xcalloc(MAX_BYTES, 1);
    for (int f32 = 0; f32 < 2; f32++) {
        size_t n = 0;
        for (int way = 0; way < TEST_WAYS; way++) {
            struct ol_backend *b =
                test_backend_open(kind, f32 ? OL_DTYPE_F32 : OL_DTYPE_BF16, way);
            seed = 7;
            const size_t found = run(b, way == 0 ? first : other);
            test_backend_close(b);
            assert_true(found > 0 && found <= MAX_BYTES);
            if (way == 0)
                n = found;
            assert_int_equal(found, n);
            if (way > 0)
                assert_memory_equal(first, other, n);
        }
    }
    free(first);
    free(other);
}

static inline size_t copy_out(struct ol_backend *b, struct ol_tensor t, void *bytes)
{
    const size_t n = count(t) * ol_dtype_size(t.dtype);
    void *data = test_download(b, t);
    memcpy(bytes, data, n);
    free(data);
    return n;
}

#define OK(call) assert_int_equal(call, 0)

struct operation {
    const char *name;
    run_function *run;
};

static inline void run_on_cpu(void **state)
{
    const struct operation *o = *state;
    all_ways(o->run, TEST_CPU);
}

static inline void run_on_cuda(void **state)
{
    const struct operation *o = *state;
    all_ways(o->run, TEST_CUDA);
}

/* Each on both backends; what main returns. */
static inline int run_operations(const struct operation *operations, size_t n)
{
    struct CMUnitTest *tests = ol_xcalloc(2 * n, sizeof *tests);
    for (size_t i = 0; i < 2 * n; i++)
        tests[i] = (struct CMUnitTest){
            .name = ol_xasprintf("%s: %s", i % 2 == 0 ? "cpu" : "cuda",
                                 operations[i / 2].name),
            .test_func = i % 2 == 0 ? run_on_cpu : run_on_cuda,
            .initial_state = (void *)(uintptr_t)&operations[i / 2]};
    const int status = _cmocka_run_group_tests("operations", tests, 2 * n, NULL, NULL);
    for (size_t i = 0; i < 2 * n; i++)
        free((void *)(uintptr_t)tests[i].name);
    free(tests);
    return status;
}

#endif
