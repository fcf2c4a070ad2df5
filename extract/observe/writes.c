#include "extract/observe/writes.h"

#include <math.h>
#include <stdlib.h>

enum {
    CANDIDATES = 8, /* dimensions of the stream before the MLP */
    OWN = 4,        /* largest outputs of a part */
    BLOCK = 4096,   /* rows looked at together */
};

/* A unit's largest value: magnitudes are compared, so that NaN is larger than any. */
struct largest {
    float value;
    uint16_t column;
    int64_t row; /* -1: none yet */
};

struct unit {
    int64_t n_tokens;
    struct largest input, output;
};

struct ol_writes {
    const struct ol_spec *spec;
    struct ol_backend *b;
    struct ol_writer_rows at; /* all rows of the part, in the layer */
    int64_t n_rows;
    int n_parts, n_units;
    int most_parts;
    struct unit *units;

    uint16_t *candidates; /* [n_rows, CANDIDATES] */
    float *attention;     /* [n_rows, CANDIDATES] */
    /* By row and part: [n_rows, most_parts, CANDIDATES or OWN] */
    float *at_candidates;
    uint16_t *own_columns;
    float *own_values;

    /* Of what is being handed over: [room] rows. */
    int64_t room;
    uint16_t *columns;
    float *values;
};

static bool has_shared(const struct ol_spec *spec)
{
    return spec->d_shared > 0;
}

int ol_writes_units(const struct ol_spec *spec, int layer)
{
    return spec->layers[layer].moe ? spec->router.n_experts + has_shared(spec) : 1;
}

static int parts_of(const struct ol_spec *spec, int layer)
{
    return spec->layers[layer].moe ? spec->router.top_k + has_shared(spec) : 1;
}

static int most(const struct ol_spec *spec,
                int (*of)(const struct ol_spec *spec, int layer))
{
    int n = 0;
    for (int l = 0; l < spec->n_layers; l++)
        n = of(spec, l) > n ? of(spec, l) : n;
    return n;
}

int64_t ol_writes_bytes(const struct ol_spec *spec, int64_t n_rows)
{
    const int64_t n_parts = most(spec, parts_of);
    const int64_t kept = CANDIDATES * 6 + n_parts * (CANDIDATES * 4 + OWN * 6);
    const int64_t made =
        OL_TOP_FEATURES * (2 + 4 * (OL_WRITES_PER_TOP + n_parts)); /* for the writer */
    return n_rows * (kept + made) + (int64_t)BLOCK * CANDIDATES * 6;
}

struct ol_writes *ol_writes_new(const struct ol_spec *spec, struct ol_backend *b,
                                const struct ol_writer_rows *rows)
{
    const int64_t n_rows = rows->n;
    struct ol_writes *w = ol_xcalloc(1, sizeof *w);
    w->at = *rows;
    w->spec = spec;
    w->b = b;
    w->n_rows = n_rows;
    w->most_parts = most(spec, parts_of);
    w->units = ol_xcalloc((size_t)most(spec, ol_writes_units), sizeof *w->units);
    const size_t n = (size_t)n_rows, n_parts = n * (size_t)w->most_parts;
    w->candidates = ol_xcalloc(n * CANDIDATES, sizeof *w->candidates);
    w->attention = ol_xcalloc(n * CANDIDATES, sizeof *w->attention);
    w->at_candidates = ol_xcalloc(n_parts * CANDIDATES, sizeof *w->at_candidates);
    w->own_columns = ol_xcalloc(n_parts * OWN, sizeof *w->own_columns);
    w->own_values = ol_xcalloc(n_parts * OWN, sizeof *w->own_values);
    return w;
}

void ol_writes_free(struct ol_writes *w)
{
    if (w == NULL)
        return;
    free(w->values);
    free(w->columns);
    free(w->own_values);
    free(w->own_columns);
    free(w->at_candidates);
    free(w->attention);
    free(w->candidates);
    free(w->units);
    free(w);
}

static void make_room(struct ol_writes *w, int64_t n)
{
    if (n <= w->room)
        return;
    w->room = n;
    w->columns =
        ol_xrealloc_array(w->columns, (size_t)n * CANDIDATES, sizeof *w->columns);
    w->values = ol_xrealloc_array(w->values, (size_t)n * CANDIDATES, sizeof *w->values);
}

/* ---- one layer ---- */

void ol_writes_begin(struct ol_writes *w, int layer)
{
    if (w == NULL)
        return;
    w->at.layer = layer;
    w->n_parts = parts_of(w->spec, layer);
    w->n_units = ol_writes_units(w->spec, layer);
    for (int i = 0; i < w->n_units; i++)
        w->units[i] = (struct unit){.input = {.row = -1}, .output = {.row = -1}};
}

int ol_writes_attention(struct ol_writes *w, int64_t first, struct ol_tensor hidden,
                        struct ol_tensor attention, struct ol_error *err)
{
    if (w == NULL)
        return 0;
    uint16_t *candidates = w->candidates + first * CANDIDATES;
    make_room(w, hidden.n_rows);
    if (w->b->op->largest(w->b, hidden, CANDIDATES, candidates, w->values, err) != 0)
        return -1;
    return w->b->op->pick(w->b, attention, CANDIDATES, candidates,
                          w->attention + first * CANDIDATES, err);
}

static bool exceeds(float a, float b)
{
    return fabsf(a) > fabsf(b) || (isnan(a) && !isnan(b));
}

/* Rows of a unit rise, so that the first of equals is kept; but its parts may come in any
 * order of groups. */
static void keep(struct largest *l, float value, uint16_t column, int64_t row)
{
    if (l->row < 0 || exceeds(value, l->value))
        *l = (struct largest){value, column, row};
}

int ol_writes_inputs(struct ol_writes *w, const struct ol_writes_group *group,
                     struct ol_tensor x, struct ol_error *err)
{
    if (w == NULL)
        return 0;
    make_room(w, x.n_rows);
    if (w->b->op->largest(w->b, x, 1, w->columns, w->values, err) != 0)
        return -1;
    for (int i = 0; i < group->n; i++)
        for (int64_t k = group->firsts[i]; k < group->firsts[i + 1]; k++)
            keep(&w->units[group->units[i]].input, w->values[k], w->columns[k],
                 group->rows[k]);
    return 0;
}

static int64_t place_of(const struct ol_writes *w, const struct ol_writes_group *g,
                        int64_t k)
{
    const int part = g->slots != NULL ? g->slots[k] : w->n_parts - 1;
    return g->rows[k] * (int64_t)w->most_parts + part;
}

static float scale_of(const struct ol_writes_group *g, int64_t k)
{
    return g->scales_outputs && g->gates != NULL ? g->gates[k] : 1;
}

static int keep_own(struct ol_writes *w, const struct ol_writes_group *group,
                    struct ol_tensor y, struct ol_error *err)
{
    if (w->b->op->largest(w->b, y, OWN, w->columns, w->values, err) != 0)
        return -1;
    for (int i = 0; i < group->n; i++) {
        struct unit *unit = &w->units[group->units[i]];
        for (int64_t k = group->firsts[i]; k < group->firsts[i + 1]; k++) {
            const int64_t at = place_of(w, group, k) * OWN;
            const float scale = scale_of(group, k);
            keep(&unit->output, w->values[k * OWN], w->columns[k * OWN], group->rows[k]);
            unit->n_tokens++;
            for (int c = 0; c < OWN; c++) {
                w->own_columns[at + c] = w->columns[k * OWN + c];
                w->own_values[at + c] = scale * w->values[k * OWN + c];
            }
        }
    }
    return 0;
}

static int keep_at_candidates(struct ol_writes *w, const struct ol_writes_group *group,
                              struct ol_tensor y, struct ol_error *err)
{
    const int64_t n = group->firsts[group->n];
    for (int64_t k = 0; k < n; k++)
        memcpy(w->columns + k * CANDIDATES,
               w->candidates + (int64_t)group->rows[k] * CANDIDATES,
               CANDIDATES * sizeof *w->columns);
    if (w->b->op->pick(w->b, y, CANDIDATES, w->columns, w->values, err) != 0)
        return -1;
    for (int64_t k = 0; k < n; k++) {
        float *at = w->at_candidates + place_of(w, group, k) * CANDIDATES;
        for (int c = 0; c < CANDIDATES; c++)
            at[c] = scale_of(group, k) * w->values[k * CANDIDATES + c];
    }
    return 0;
}

int ol_writes_outputs(struct ol_writes *w, const struct ol_writes_group *group,
                      struct ol_tensor y, struct ol_error *err)
{
    if (w == NULL)
        return 0;
    make_room(w, y.n_rows);
    if (keep_own(w, group, y, err) != 0)
        return -1;
    return keep_at_candidates(w, group, y, err);
}

/* ---- the tables ---- */

static int find(const uint16_t *columns, int n, uint16_t column)
{
    for (int i = 0; i < n; i++)
        if (columns[i] == column)
            return i;
    return -1;
}

/* What attention and parts wrote to one dimension of one token. */
static void describe(const struct ol_writes *w, int64_t row, uint16_t column, float value,
                     float *writes)
{
    const int candidate = find(w->candidates + row * CANDIDATES, CANDIDATES, column);
    writes[0] = value;
    writes[1] = candidate >= 0 ? w->attention[row * CANDIDATES + candidate] : NAN;
    for (int p = 0; p < w->n_parts; p++) {
        const int64_t at = row * w->most_parts + p;
        const int own = find(w->own_columns + at * OWN, OWN, column);
        writes[OL_WRITES_PER_TOP + p] =
            candidate >= 0 ? w->at_candidates[at * CANDIDATES + candidate]
            : own >= 0     ? w->own_values[at * OWN + own]
                           : NAN;
    }
}

/* Rows first .. first + n - 1 of the tables. */
static int describe_rows(const struct ol_writes *w, struct ol_tensor hidden,
                         int64_t first, int64_t n, uint16_t *features, float *writes,
                         struct ol_error *err)
{
    const int64_t width = OL_WRITES_PER_TOP + w->n_parts;
    features += first * OL_TOP_FEATURES;
    if (w->b->op->largest(w->b, ol_tensor_rows(hidden, first, n), OL_TOP_FEATURES,
                          features, w->values, err) != 0)
        return -1;
    for (int64_t i = 0; i < n * OL_TOP_FEATURES; i++)
        describe(w, first + i / OL_TOP_FEATURES, features[i], w->values[i],
                 writes + (first * OL_TOP_FEATURES + i) * width);
    return 0;
}

/* Among the rows of all parts. */
static int64_t row_of(const struct ol_writes *w, int64_t row)
{
    return row < 0 ? -1 : w->at.first + row;
}

int ol_writes_end(struct ol_writes *w, struct ol_tensor hidden, struct ol_writer *writer,
                  struct ol_error *err)
{
    if (w == NULL)
        return 0;
    const size_t n = (size_t)w->n_rows * OL_TOP_FEATURES;
    const size_t writes_bytes =
        n * (size_t)(OL_WRITES_PER_TOP + w->n_parts) * sizeof(float);
    float *writes = ol_writer_room(writer, w->at.part, writes_bytes, err);
    if (writes == NULL)
        return -1;
    uint16_t *features = ol_xcalloc(n, sizeof *features);
    make_room(w, BLOCK);
    for (int64_t first = 0; first < w->n_rows; first += BLOCK) {
        const int64_t left = w->n_rows - first;
        if (describe_rows(w, hidden, first, left < BLOCK ? left : BLOCK, features, writes,
                          err) != 0) {
            free(features);
            free(writes);
            return -1;
        }
    }
    if (ol_writer_take_writes(writer, &w->at, features, writes, writes_bytes, err) != 0)
        return -1;
    struct ol_unit *units = ol_xcalloc((size_t)w->n_units, sizeof *units);
    for (int i = 0; i < w->n_units; i++) {
        const struct unit *u = &w->units[i];
        units[i] = (struct ol_unit){
            .n_tokens = u->n_tokens,
            .input = u->input.value,
            .input_column = u->input.column,
            .input_row = row_of(w, u->input.row),
            .output = u->output.value,
            .output_column = u->output.column,
            .output_row = row_of(w, u->output.row),
        };
    }
    return ol_writer_take_units(writer, &w->at, units, w->n_units, err);
}
