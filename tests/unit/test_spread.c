/* Products of bfloat16 whose rows are copied to another distance first give the bytes of
 * products that read them as they lie: those of a few columns at a time. Widths of a
 * power of two, products that share rows, groups of columns, and more rows than there is
 * room for, of one product and of several. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "extract/backend.h"
#include "extract/cpu/gemm_bf16.h"
#include "extract/cpu/spread.h"

enum { MOST = 3 };

static struct ol_error err;

#define OK(call)                                                                         \
    do {                                                                                 \
        if ((call) != 0)                                                                 \
            fail_msg("%s", err.text);                                                    \
    } while (0)

static uint16_t *random_values(int64_t n)
{
    static uint32_t seed = 1;
    uint16_t *values = ol_xmalloc((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = ol_bf16_from_f32((float)(seed >> 8) * 0x1p-23f - 1);
    }
    return values;
}

static struct ol_tensor tensor(struct ol_backend *b, int64_t n_rows, int64_t n_cols,
                               bool filled)
{
    struct ol_tensor t;
    OK(b->op->tensor_new(b, OL_DTYPE_BF16, n_rows, n_cols, &t, &err));
    uint16_t *values = filled ? random_values(n_rows * n_cols) : NULL;
    if (filled)
        memcpy(t.data, values, (size_t)(n_rows * n_cols) * sizeof *values);
    free(values);
    return t;
}

/* n products of x [n_rows, n_cols], the first two of the same rows, by weights of n_out
 * rows over a part of the columns; together, and a few rows of the weight at a time. */
static void check(int n, int64_t n_rows, int64_t n_cols, int parts, int64_t n_out)
{
    struct ol_backend *b = ol_cpu_open(OL_DTYPE_BF16, 2, &err);
    assert_non_null(b);
    const int64_t k = n_cols / parts;
    uint16_t *weight = random_values(n_out * k);
    struct ol_matmul p[MOST];
    for (int i = 0; i < n; i++)
        p[i] = (struct ol_matmul){
            .x = i == 1 ? p[0].x : tensor(b, n_rows, n_cols, true),
            .weight = ol_weight_plain(weight, OL_DTYPE_BF16, n_out, k),
            .out = tensor(b, n_rows, n_out, false),
        };
    OK(b->op->matmul(b, p, n, &err));

    enum { FEW = 32 };
    const int64_t own = n_out / parts;
    for (int i = 0; i < n; i++)
        for (int64_t col = 0; col < own; col += FEW) {
            const int64_t some = own - col < FEW ? own - col : FEW;
            uint16_t *rows = ol_xmalloc((size_t)(some * parts * k) * sizeof *rows);
            for (int g = 0; g < parts; g++)
                memcpy(rows + g * some * k, weight + (g * own + col) * k,
                       (size_t)(some * k) * sizeof *rows);
            struct ol_tensor out = tensor(b, n_rows, some * parts, false);
            const struct ol_matmul few = {
                .x = p[i].x,
                .weight = ol_weight_plain(rows, OL_DTYPE_BF16, some * parts, k),
                .out = out};
            OK(b->op->matmul(b, &few, 1, &err));
            for (int64_t row = 0; row < n_rows; row++)
                for (int g = 0; g < parts; g++)
                    assert_memory_equal((uint16_t *)p[i].out.data + row * n_out +
                                            g * own + col,
                                        (uint16_t *)out.data + (row * parts + g) * some,
                                        (size_t)some * sizeof(uint16_t));
            b->op->tensor_free(b, &out);
            free(rows);
        }
    for (int i = 0; i < n; i++) {
        if (i != 1)
            b->op->tensor_free(b, &p[i].x);
        b->op->tensor_free(b, &p[i].out);
    }
    free(weight);
    b->op->close(b);
}

static void copies_change_no_byte(void **state)
{
    (void)state;
    check(1, 5, 2048, 1, 400);
    check(3, 61, 2048, 1, 333);
    check(3, 33, 1024, 1, 500);
    check(2, 40, 4096, 2, 800); /* two groups of columns */
    check(2, 17, 96, 1, 700);   /* not of a power of two */
    check(2, 19, 2049, 1, 400); /* an odd depth */
    check(1, 1, 2048, 1, 400);
}

/* More than the room for copies: two inputs fit one after the other, one does not. */
static void room_is_limited(void **state)
{
    (void)state;
    const int64_t depth = 8192, room = ol_cpu_spread_bytes(OL_DTYPE_BF16, 1 << 30, depth),
                  n_out =
                      ol_gemm_bf16_kind() != NULL ? 1 + ol_gemm_bf16_columns(depth) : 1;
    const int64_t rows = room / depth / 2;
    check(3, rows / 3 * 2 + 1, depth, 1, n_out);
    check(1, rows + 1, depth, 1, n_out);
}

/* A plan counts what copies take. */
static void rooms_are_counted(void **state)
{
    (void)state;
    if (ol_gemm_bf16_kind() == NULL) {
        assert_int_equal(ol_cpu_spread_bytes(OL_DTYPE_BF16, 100, 2048), 0);
        return;
    }
    assert_int_equal(ol_cpu_spread_bytes(OL_DTYPE_F32, 100, 2048), 0);
    for (int64_t n = 1; n < 5000; n += 7)
        assert_true(ol_cpu_spread_bytes(OL_DTYPE_BF16, 3, n) >=
                    3 * ol_gemm_bf16_distance(n, n) * (int64_t)sizeof(uint16_t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_change_no_byte),
        cmocka_unit_test(room_is_limited),
        cmocka_unit_test(rooms_are_counted),
    };
    return cmocka_run_group_tests_name("spread", tests, NULL, NULL);
}
