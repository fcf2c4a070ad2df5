/* largest and pick: what is looked at of rows. */
#include "extract/cpu/cpu.h"

#include <assert.h>

#include "common/magnitude.h"

struct job {
    struct ol_tensor x;
    int k;
    uint16_t *columns;
    const uint16_t *picked;
    float *values;
};

/* The largest so far of one row, falling; magnitudes as bits. */
struct top {
    int k, n;
    uint32_t magnitudes[OL_MOST_LARGEST];
    uint16_t columns[OL_MOST_LARGEST];
};

/* Columns come in rising order: an equal one stands behind those that are there. */
static void insert(struct top *t, uint32_t magnitude, uint32_t column)
{
    int i = t->n < t->k ? t->n++ : t->k - 1;
    for (; i > 0 && t->magnitudes[i - 1] < magnitude; i--) {
        t->magnitudes[i] = t->magnitudes[i - 1];
        t->columns[i] = t->columns[i - 1];
    }
    t->magnitudes[i] = magnitude;
    t->columns[i] = (uint16_t)column;
}

/* What a magnitude must be to enter, at least. */
static uint32_t entrance(const struct top *t)
{
    return t->magnitudes[t->k - 1] + 1;
}

static void look_bf16(struct top *t, const uint16_t *x, uint32_t n)
{
    uint32_t c = 0;
    for (; c < n && t->n < t->k; c++)
        insert(t, x[c] & OL_BF16_MAGNITUDE, c);
    for (; c < n; c += OL_STRETCH) {
        const uint32_t width = n - c < OL_STRETCH ? n - c : OL_STRETCH;
        uint64_t mask = ol_reaching_bf16(x + c, width, entrance(t));
        for (; mask != 0; mask &= mask - 1) {
            const uint32_t i = c + (uint32_t)__builtin_ctzll(mask);
            const uint32_t magnitude = x[i] & OL_BF16_MAGNITUDE;
            if (magnitude >= entrance(t))
                insert(t, magnitude, i);
        }
    }
}

static void look_f32(struct top *t, const uint32_t *x, uint32_t n)
{
    for (uint32_t c = 0; c < n; c++) {
        const uint32_t magnitude = x[c] & OL_F32_MAGNITUDE;
        if (t->n < t->k || magnitude >= entrance(t))
            insert(t, magnitude, c);
    }
}

float ol_cpu_value_at(struct ol_tensor x, int64_t row, uint32_t column)
{
    float value = 0;
    if (column != OL_NO_COLUMN)
        ol_to_f32(x.dtype,
                  (const char *)ol_cpu_row(x, row) + column * ol_dtype_size(x.dtype),
                  &value, 1);
    return value;
}

static void largest_rows(void *arg, int64_t first, int64_t end, int thread)
{
    (void)thread;
    const struct job *j = arg;
    const uint32_t n = (uint32_t)j->x.n_cols;
    for (int64_t i = first; i < end; i++) {
        struct top t = {.k = j->k};
        if (j->x.dtype == OL_DTYPE_BF16)
            look_bf16(&t, ol_cpu_row(j->x, i), n);
        else
            look_f32(&t, ol_cpu_row(j->x, i), n);
        for (int c = 0; c < j->k; c++) {
            const uint16_t column = c < t.n ? t.columns[c] : OL_NO_COLUMN;
            j->columns[i * j->k + c] = column;
            j->values[i * j->k + c] = ol_cpu_value_at(j->x, i, column);
        }
    }
}

int ol_cpu_largest(struct ol_backend *b, struct ol_tensor x, int k, uint16_t *columns,
                   float *values, struct ol_error *err)
{
    assert(k >= 1 && k <= OL_MOST_LARGEST);
    if (x.n_cols >= OL_NO_COLUMN)
        return ol_fail(err, "rows of %lld values: at most %d can be looked at",
                       (long long)x.n_cols, OL_NO_COLUMN - 1);
    struct job job = {.x = x, .k = k, .columns = columns, .values = values};
    ol_cpu_rows(ol_cpu_of(b), x.n_rows, x.n_cols, largest_rows, &job);
    return 0;
}

static void pick_rows(void *arg, int64_t first, int64_t end, int thread)
{
    (void)thread;
    const struct job *j = arg;
    for (int64_t i = first * j->k; i < end * j->k; i++)
        j->values[i] = ol_cpu_value_at(j->x, i / j->k, j->picked[i]);
}

int ol_cpu_pick(struct ol_backend *b, struct ol_tensor x, int k, const uint16_t *columns,
                float *values, struct ol_error *err)
{
    (void)err;
    struct job job = {.x = x, .k = k, .picked = columns, .values = values};
    /* A value costs a line of memory. */
    ol_cpu_rows(ol_cpu_of(b), x.n_rows, 8 * (int64_t)k, pick_rows, &job);
    return 0;
}
