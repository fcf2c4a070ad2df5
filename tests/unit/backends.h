/* The backends that tests of operations run on, and tensors wherever they keep them. */
#ifndef TEST_BACKENDS_H
#define TEST_BACKENDS_H

#include <stdlib.h>
#include <string.h>

#include "extract/backend.h"
#include "tests/cudasim/cudasim.h"

enum test_backend { TEST_CPU, TEST_CUDA };

/* What must not show in any result: how many threads the CPU backend has, how many feed a
 * device, and when a simulated one does what it was asked for. */
enum { TEST_WAYS = 3 };

/* Little device memory, so that weights of a few megabytes come in tiles. */
#define TEST_DEVICE_BYTES ((size_t)64 << 20)

/* Simulated device `number` of those that are set. */
static inline struct ol_backend *test_device_open(enum ol_dtype dtype, int n_threads,
                                                  int number)
{
    struct ol_error err = {0};
    struct ol_backend *b = ol_cuda_open(dtype, n_threads, number, 0, &err);
    if (b == NULL)
        fail_msg("%s", err.text);
    return b;
}

static inline void test_devices_set(int n, int schedule)
{
    cudasim_set_devices(n, TEST_DEVICE_BYTES);
    cudasim_set_schedule((unsigned)schedule);
}

static inline struct ol_backend *test_backend_open(enum test_backend kind,
                                                   enum ol_dtype dtype, int way)
{
    struct ol_error err = {0};
    test_devices_set(1, way);
    if (kind == TEST_CUDA)
        return test_device_open(dtype, way == 0 ? 1 : 1 << (way % 4 + 1), 0);
    struct ol_backend *b = ol_cpu_open(dtype, way + 1, &err);
    if (b == NULL)
        fail_msg("%s", err.text);
    return b;
}

/* Nothing is left behind. */
static inline void test_backend_close(struct ol_backend *b)
{
    b->op->close(b);
    assert_int_equal(cudasim_used(), 0);
    assert_int_equal(cudasim_handles(), 0);
}

/* The tensor's bytes on the host; the caller frees. */
static inline void *test_download(struct ol_backend *b, struct ol_tensor t)
{
    struct ol_error err = {0};
    const size_t bytes = (size_t)(t.n_rows * t.n_cols) * ol_dtype_size(t.dtype);
    void *copy = ol_xmalloc(bytes);
    if (b->op->download(b, t, copy, &err) != 0)
        fail_msg("%s", err.text);
    return copy;
}

/* All that was left has come; false with err. */
static inline bool test_arrive(struct ol_backend *b, struct ol_error *err)
{
    return b->op->results_wait(b, b->n_results, err) == 0;
}

/* The operation route, waited for. */
static inline int test_route_now(struct ol_backend *b,
                                 const struct ol_router_spec *router, struct ol_tensor x,
                                 struct ol_weight weight, struct ol_weight bias,
                                 struct ol_weight correction, uint16_t *ids,
                                 float *weights, struct ol_error *err)
{
    if (b->op->route(b, router, x, weight, bias, correction, ids, weights, NULL, err) !=
        0)
        return -1;
    return test_arrive(b, err) ? 0 : -1;
}

/* `values` rounded to the tensor's type. */
static inline void test_upload(struct ol_backend *b, struct ol_tensor t,
                               const float *values)
{
    struct ol_error err = {0};
    const size_t n = (size_t)(t.n_rows * t.n_cols);
    void *stored = ol_xmalloc(n * ol_dtype_size(t.dtype));
    ol_from_f32(t.dtype, values, stored, n);
    if (b->op->upload(b, t, stored, &err) != 0)
        fail_msg("%s", err.text);
    free(stored);
}

#endif
