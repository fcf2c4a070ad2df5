/* Tables of contributions: who writes into the stream. */
#include "extract/cpu/cpu.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ol_contribution_tables {
    struct ol_contribution_sizes sizes;
    struct ol_component *components;
    uint16_t *candidates; /* [n_rows, OL_CANDIDATES] */
    float *attention;     /* [n_rows, OL_CANDIDATES] */
    /* By row and slot: [n_rows, most_slots, OL_CANDIDATES or OL_OWN_LARGEST] */
    float *at_candidates;
    uint16_t *own_columns;
    float *own_values;
    /* Of what is being looked at: [room, OL_CANDIDATES] */
    int64_t room;
    uint16_t *columns;
    float *values;
};

enum { BLOCK = 4096 }; /* rows of the stream looked at together */

struct ol_contribution_tables *
ol_cpu_contributions_new(struct ol_backend *b, const struct ol_contribution_sizes *sizes,
                         struct ol_error *err)
{
    (void)b, (void)err;
    struct ol_contribution_tables *t = ol_xcalloc(1, sizeof *t);
    const size_t n = (size_t)sizes->n_rows, n_slots = n * (size_t)sizes->most_slots;
    t->sizes = *sizes;
    t->components = ol_xcalloc((size_t)sizes->most_components, sizeof *t->components);
    t->candidates = ol_xcalloc(n * OL_CANDIDATES, sizeof *t->candidates);
    t->attention = ol_xcalloc(n * OL_CANDIDATES, sizeof *t->attention);
    t->at_candidates = ol_xcalloc(n_slots * OL_CANDIDATES, sizeof *t->at_candidates);
    t->own_columns = ol_xcalloc(n_slots * OL_OWN_LARGEST, sizeof *t->own_columns);
    t->own_values = ol_xcalloc(n_slots * OL_OWN_LARGEST, sizeof *t->own_values);
    return t;
}

void ol_cpu_contributions_free(struct ol_backend *b, struct ol_contribution_tables *t)
{
    (void)b;
    if (t == NULL)
        return;
    free(t->values);
    free(t->columns);
    free(t->own_values);
    free(t->own_columns);
    free(t->at_candidates);
    free(t->attention);
    free(t->candidates);
    free(t->components);
    free(t);
}

static void make_room(struct ol_contribution_tables *t, int64_t n)
{
    if (n <= t->room)
        return;
    t->room = n;
    t->columns =
        ol_xrealloc_array(t->columns, (size_t)n * OL_CANDIDATES, sizeof *t->columns);
    t->values =
        ol_xrealloc_array(t->values, (size_t)n * OL_CANDIDATES, sizeof *t->values);
}

int ol_cpu_contributions_begin(struct ol_backend *b, struct ol_contribution_tables *t,
                               struct ol_error *err)
{
    (void)b, (void)err;
    for (int i = 0; i < t->sizes.most_components; i++)
        t->components[i] =
            (struct ol_component){.input = {.row = -1}, .output = {.row = -1}};
    return 0;
}

int ol_cpu_contributions_attention(struct ol_backend *b, struct ol_contribution_tables *t,
                                   int64_t first, struct ol_tensor stream,
                                   struct ol_tensor x, struct ol_error *err)
{
    uint16_t *candidates = t->candidates + first * OL_CANDIDATES;
    make_room(t, x.n_rows);
    if (ol_cpu_largest(b, stream, OL_CANDIDATES, candidates, t->values, err) != 0)
        return -1;
    return ol_cpu_pick(b, x, OL_CANDIDATES, candidates,
                       t->attention + first * OL_CANDIDATES, err);
}

/* ---- components ---- */

static bool exceeds(float a, float b)
{
    return fabsf(a) > fabsf(b) || (isnan(a) && !isnan(b));
}

/* The largest of each row, k of which stand in columns and values. Rows of a component
 * rise, so that the first of equals is kept. */
static void keep_extreme(const struct ol_contribution_tables *t,
                         const struct ol_component_rows *rows, int i, int k,
                         struct ol_extreme *extreme)
{
    for (int64_t r = rows->firsts[i]; r < rows->ends[i]; r++)
        if (extreme->row < 0 || exceeds(t->values[r * k], extreme->value))
            *extreme =
                (struct ol_extreme){t->values[r * k], t->columns[r * k], rows->rows[r]};
}

int ol_cpu_contributions_inputs(struct ol_backend *b, struct ol_contribution_tables *t,
                                const struct ol_component_rows *rows, struct ol_tensor x,
                                struct ol_error *err)
{
    make_room(t, x.n_rows);
    if (ol_cpu_largest(b, x, 1, t->columns, t->values, err) != 0)
        return -1;
    for (int i = 0; i < rows->n; i++)
        keep_extreme(t, rows, i, 1, &t->components[rows->components[i]].input);
    return 0;
}

struct outputs {
    struct ol_contribution_tables *t;
    const struct ol_component_rows *rows;
    int n_slots;
    struct ol_tensor y;
};

static void keep_outputs(void *arg, int64_t first, int64_t end, int thread)
{
    (void)thread;
    const struct outputs *o = arg;
    const struct ol_contribution_tables *t = o->t;
    for (int64_t r = first; r < end; r++) {
        const int64_t row = o->rows->rows[r];
        const int slot = o->rows->slots != NULL ? o->rows->slots[r] : o->n_slots - 1;
        const float scale =
            o->rows->scales_outputs && o->rows->gates != NULL ? o->rows->gates[r] : 1;
        const int64_t at = row * t->sizes.most_slots + slot;
        if (row >= t->sizes.n_rows)
            continue;
        /* Of another width than the stream: what it writes there is not known. */
        const bool narrow = o->y.n_cols != t->sizes.width;
        for (int c = 0; c < OL_OWN_LARGEST; c++) {
            t->own_columns[at * OL_OWN_LARGEST + c] =
                narrow ? OL_NO_COLUMN : t->columns[r * OL_OWN_LARGEST + c];
            t->own_values[at * OL_OWN_LARGEST + c] =
                scale * t->values[r * OL_OWN_LARGEST + c];
        }
        for (int c = 0; c < OL_CANDIDATES; c++)
            t->at_candidates[at * OL_CANDIDATES + c] =
                narrow ? NAN
                       : scale * ol_cpu_value_at(o->y, r,
                                                 t->candidates[row * OL_CANDIDATES + c]);
    }
}

int ol_cpu_contributions_outputs(struct ol_backend *b, struct ol_contribution_tables *t,
                                 const struct ol_component_rows *rows, int n_slots,
                                 struct ol_tensor y, struct ol_error *err)
{
    struct outputs o = {t, rows, n_slots, y};
    make_room(t, y.n_rows);
    if (ol_cpu_largest(b, y, OL_OWN_LARGEST, t->columns, t->values, err) != 0)
        return -1;
    for (int i = 0; i < rows->n; i++) {
        struct ol_component *c = &t->components[rows->components[i]];
        keep_extreme(t, rows, i, OL_OWN_LARGEST, &c->output);
        c->n_tokens += rows->ends[i] - rows->firsts[i];
    }
    /* A value costs a line of memory. */
    ol_cpu_rows(ol_cpu_of(b), y.n_rows, 8 * OL_CANDIDATES, keep_outputs, &o);
    return 0;
}

/* ---- what the layer came to ---- */

static int find(const uint16_t *columns, int n, uint16_t column)
{
    for (int i = 0; i < n; i++)
        if (columns[i] == column)
            return i;
    return -1;
}

/* What attention and components wrote to one dimension of one token. A dimension that is
 * large after the layer was so before, or was made so by a component: the rest is not
 * known. */
static void describe(const struct ol_contribution_tables *t, int n_slots, int64_t row,
                     uint16_t column, float *writes)
{
    const int candidate =
        find(t->candidates + row * OL_CANDIDATES, OL_CANDIDATES, column);
    writes[1] = candidate >= 0 ? t->attention[row * OL_CANDIDATES + candidate] : NAN;
    for (int s = 0; s < n_slots; s++) {
        const int64_t at = row * t->sizes.most_slots + s;
        const int own =
            find(t->own_columns + at * OL_OWN_LARGEST, OL_OWN_LARGEST, column);
        writes[2 + s] = candidate >= 0 ? t->at_candidates[at * OL_CANDIDATES + candidate]
                        : own >= 0     ? t->own_values[at * OL_OWN_LARGEST + own]
                                       : NAN;
    }
}

struct description {
    const struct ol_contribution_tables *t;
    const struct ol_contributions_made *made;
    int64_t first; /* row of values[0] */
};

static void describe_rows(void *arg, int64_t first, int64_t end, int thread)
{
    (void)thread;
    const struct description *d = arg;
    const int k = d->made->k;
    for (int64_t i = first * k; i < end * k; i++) {
        const int64_t at = d->first * k + i;
        float *writes = d->made->writes + at * (2 + d->made->n_slots);
        writes[0] = d->t->values[i];
        describe(d->t, d->made->n_slots, at / k, d->made->features[at], writes);
    }
}

int ol_cpu_contributions_take(struct ol_backend *b, struct ol_contribution_tables *t,
                              struct ol_tensor stream,
                              const struct ol_contributions_made *made,
                              struct ol_error *err)
{
    assert(made->k <= OL_CANDIDATES && stream.n_rows == t->sizes.n_rows);
    make_room(t, stream.n_rows < BLOCK ? stream.n_rows : BLOCK);
    for (int64_t first = 0; first < stream.n_rows; first += BLOCK) {
        const int64_t left = stream.n_rows - first, n = left < BLOCK ? left : BLOCK;
        struct description d = {t, made, first};
        if (ol_cpu_largest(b, ol_tensor_rows(stream, first, n), made->k,
                           made->features + first * made->k, t->values, err) != 0)
            return -1;
        ol_cpu_rows(ol_cpu_of(b), n, 64 * (int64_t)made->n_slots, describe_rows, &d);
    }
    memcpy(made->components, t->components,
           (size_t)made->n_components * sizeof *made->components);
    return 0;
}
