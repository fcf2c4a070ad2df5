/* Rows of a table that are looked up, from a source that spares: neighbours come as one
 * stretch, several stretches are on their way at a time, and what came along between rows
 * is dropped unless the table is small. */
#include "extract/weights/look_up.h"

#include <stdlib.h>

enum {
    /* What lies between two rows comes along where another request would cost more. */
    MOST_GAP_BYTES = 512 << 10,
    MOST_STRETCH_BYTES = 8 << 20,
    STRETCHES_AHEAD = 8,
    EXPECTED_BYTES = 64 << 20,
    KEPT_WHOLE = 4, /* a table of at most this part of what may be ahead */
};

struct table {
    const struct ol_weight *weight;
    size_t row_bytes, step;
    const uint8_t *wanted;
};

static bool is_wanted(const struct table *t, int64_t row)
{
    return (t->wanted[row / 8] >> row % 8 & 1) != 0;
}

static struct ol_span rows_of(const struct table *t, int64_t first, int64_t end)
{
    return (struct ol_span){(const char *)t->weight->data + (size_t)first * t->step,
                            (size_t)(end - first - 1) * t->step + t->row_bytes};
}

/* The rows from *row on that are brought together; *row: behind them. No bytes: there are
 * none any more. */
static struct ol_span next_stretch(const struct table *t, int64_t *row)
{
    int64_t first = *row;
    while (first < t->weight->n_rows && !is_wanted(t, first))
        first++;
    int64_t end = first;
    for (int64_t i = first; i < t->weight->n_rows; i++) {
        if (end > first && ((size_t)(i - end) * t->step > MOST_GAP_BYTES ||
                            (size_t)(i + 1 - first) * t->step > MOST_STRETCH_BYTES))
            break;
        if (is_wanted(t, i))
            end = i + 1;
    }
    *row = end;
    return end > first ? rows_of(t, first, end) : (struct ol_span){NULL, 0};
}

/* What came along between rows of a stretch. */
static void drop_gaps(struct ol_look_up *l, const struct table *t,
                      const struct ol_span *stretch)
{
    const char *table = t->weight->data;
    int64_t row = (int64_t)((size_t)((const char *)stretch->data - table) / t->step);
    const int64_t end = row + (int64_t)((stretch->bytes + t->step - 1) / t->step);
    while (row < end) {
        int64_t past = row;
        while (past < end && !is_wanted(t, past))
            past++;
        if (past > row) {
            const struct ol_span gap = rows_of(t, row, past);
            l->source->op->release(l->source, &gap);
        }
        row = past + 1;
    }
}

static int bring_rows(struct ol_look_up *l, const struct table *t, struct ol_error *err)
{
    const bool whole = ol_weight_bytes(t->weight) <= l->most_ahead / KEPT_WHOLE;
    struct ol_span ahead[STRETCHES_AHEAD];
    int64_t row = 0;
    int first = 0, n = 0, status = 0;
    for (;;) {
        while (n < STRETCHES_AHEAD) {
            const struct ol_span next = next_stretch(t, &row);
            if (next.bytes == 0)
                break;
            l->source->op->prefetch(l->source, &next);
            ahead[(first + n++) % STRETCHES_AHEAD] = next;
        }
        if (n == 0 || status != 0)
            return status;
        const struct ol_span *stretch = &ahead[first];
        status = l->source->op->read(l->source, stretch, err);
        if (status == 0 && !whole)
            drop_gaps(l, t, stretch);
        first = (first + 1) % STRETCHES_AHEAD;
        n--;
    }
}

static int bring_all(struct ol_look_up *l, const struct ol_weight *w,
                     struct ol_error *err)
{
    int status = 0;
    for (int i = 0; i < OL_WEIGHT_SPANS; i++)
        if (w->spans[i].data != NULL)
            l->source->op->prefetch(l->source, &w->spans[i]);
    for (int i = 0; i < OL_WEIGHT_SPANS && status == 0; i++)
        if (w->spans[i].data != NULL)
            status = l->source->op->read(l->source, &w->spans[i], err);
    return status;
}

/* What one user looks up, another one does not drop. The rows' mutex is held. */
static struct table table_of(struct ol_look_up *l, const struct ol_weight *w,
                             const int32_t *ids, int64_t n)
{
    const size_t size = ol_dtype_size(w->dtype);
    if (l->wanted == NULL)
        l->wanted = ol_xcalloc((size_t)w->n_rows / 8 + 1, 1);
    for (int64_t i = 0; i < n; i++)
        l->wanted[ids[i] / 8] |= (uint8_t)(1 << ids[i] % 8);
    return (struct table){w, (size_t)w->n_cols * size, (size_t)w->row_step * size,
                          l->wanted};
}

static bool has_rows(const struct ol_weight *w)
{
    return w->encoding == OL_ENCODING_PLAIN && w->col_step == 1;
}

void ol_look_up_init(struct ol_look_up *l, struct ol_source *source, int64_t most_ahead)
{
    *l = (struct ol_look_up){.source = source, .most_ahead = most_ahead};
    pthread_mutex_init(&l->mutex, NULL);
}

void ol_look_up_clear(struct ol_look_up *l)
{
    pthread_mutex_destroy(&l->mutex);
    free(l->wanted);
}

void ol_look_up_expect(struct ol_look_up *l, const struct ol_weight *table,
                       const int32_t *ids, int64_t n)
{
    int64_t row = 0, bytes = 0;
    if (!l->source->op->spares || !has_rows(table))
        return;
    pthread_mutex_lock(&l->mutex);
    const struct table t = table_of(l, table, ids, n);
    while (bytes < EXPECTED_BYTES && bytes < l->most_ahead / 2) {
        const struct ol_span next = next_stretch(&t, &row);
        if (next.bytes == 0)
            break;
        l->source->op->prefetch(l->source, &next);
        bytes += (int64_t)next.bytes;
    }
    pthread_mutex_unlock(&l->mutex);
}

int ol_look_up_bring(struct ol_look_up *l, const struct ol_weight *table,
                     const int32_t *ids, int64_t n, struct ol_error *err)
{
    if (!l->source->op->spares)
        return 0;
    if (!has_rows(table))
        return bring_all(l, table, err);
    pthread_mutex_lock(&l->mutex);
    const struct table t = table_of(l, table, ids, n);
    const int status = bring_rows(l, &t, err);
    pthread_mutex_unlock(&l->mutex);
    return status;
}
