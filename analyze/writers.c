#include "analyze/writers.h"

#include <math.h>
#include <stdlib.h>

#include "analyze/describe.h"
#include "analyze/massive.h"

struct cell {
    int64_t n;
    double sum;
};

struct search {
    const struct ol_parts *parts;
    struct ol_writers *w;
    int *slot_of;         /* [d_model]: place among the features, -1: not asked for */
    struct cell *cells;   /* [sum of (1 + units) of all layers, n_features] */
    struct cell *current; /* of the layer */
};

/* One layer of one sequence, as it is stored. */
struct rows {
    const struct ol_activation_layer *layer;
    int n_parts;
    int64_t n_experts;        /* routed ones */
    const uint16_t *features; /* [n_tokens, OL_TOP_FEATURES] */
    const int32_t *token_ids; /* [n_tokens] */
    const float *writes; /* [n_tokens, OL_TOP_FEATURES, OL_WRITES_PER_TOP + n_parts] */
    const uint16_t *ids; /* [n_tokens, top_k]; NULL in a dense layer */
};

/* Which unit a part of a token's MLP is; -1: an expert that the layer has not. */
static int unit_of(const struct rows *rows, int64_t token, int part)
{
    if (!rows->layer->moe)
        return 0;
    if (part == rows->layer->top_k)
        return rows->layer->n_units - 1;
    const int id = rows->ids[token * rows->layer->top_k + part];
    return id < rows->n_experts ? id : -1;
}

static void add(struct search *s, int slot, int unit, double write, bool known)
{
    s->w->n_writes++;
    if (!known || !isfinite(write)) {
        s->w->n_unknown++;
        return;
    }
    struct cell *cell = &s->current[(1 + unit) * s->w->n_features + slot];
    cell->n++;
    cell->sum += write;
}

static void take_value(struct search *s, const struct rows *rows, int64_t token, int slot,
                       const float *writes)
{
    struct ol_written *written = &s->w->features[slot];
    const double magnitude = fabs((double)writes[0]);
    written->n_values++;
    ol_tally_add(&written->tokens, (uint64_t)(uint32_t)rows->token_ids[token], 1);
    if (!isnan(magnitude) && !(written->max_magnitude >= magnitude))
        written->max_magnitude = magnitude;
    add(s, slot, OL_UNIT_ATTENTION, (double)writes[1], true);
    for (int p = 0; p < rows->n_parts; p++) {
        const int unit = unit_of(rows, token, p);
        add(s, slot, unit, (double)writes[OL_WRITES_PER_TOP + p], unit >= 0);
    }
}

/* What was written into a token's largest dimension. */
static void take_top(const float *writes, int n_parts, struct cell *attention,
                     struct cell *mlp)
{
    double sum = 0;
    for (int p = 0; p < n_parts; p++)
        sum += (double)writes[OL_WRITES_PER_TOP + p];
    if (isfinite(writes[1])) {
        attention->n++;
        attention->sum += fabs((double)writes[1]);
    }
    if (isfinite(sum)) {
        mlp->n++;
        mlp->sum += fabs(sum);
    }
}

static void take_sequence(struct search *s, const struct rows *rows, int64_t n_tokens,
                          struct cell *attention, struct cell *mlp)
{
    const int64_t width = OL_WRITES_PER_TOP + rows->n_parts;
    const int64_t d_model = ol_parts_layout(s->parts)->d_model;
    for (int64_t t = 0; t < n_tokens; t++) {
        const uint16_t *features = rows->features + t * OL_TOP_FEATURES;
        const float *writes = rows->writes + t * OL_TOP_FEATURES * width;
        take_top(writes, rows->n_parts, attention, mlp);
        for (int i = 0; i < OL_TOP_FEATURES && features[i] < d_model; i++)
            if (s->slot_of[features[i]] >= 0)
                take_value(s, rows, t, s->slot_of[features[i]], writes + i * width);
    }
}

static void take_layer(struct search *s, int i_layer)
{
    const struct ol_parts *parts = s->parts;
    const struct ol_activation_layer *layer = &ol_parts_layout(parts)->layers[i_layer];
    const int64_t n_experts = ol_parts_info(parts)->model.n_experts;
    struct cell attention = {0}, mlp = {0};
    for (int64_t k = 0; k < parts->n_sequences; k++) {
        const struct ol_activation_file *f = parts->files[parts->file_of[k]];
        const int64_t n = parts->number_of[k];
        const struct rows rows = {
            .layer = layer,
            .n_parts = ol_activation_n_parts(layer, n_experts),
            .n_experts = n_experts,
            .features = ol_activation_top_features(f, i_layer, n),
            .token_ids =
                ol_activation_input(f)->token_ids + n * ol_activation_layout(f)->n_tokens,
            .writes = ol_activation_writes(f, i_layer, n),
            .ids = layer->top_k > 0 ? ol_activation_router_ids(f, i_layer, n) : NULL,
        };
        take_sequence(s, &rows, parts->lengths[k], &attention, &mlp);
    }
    s->w->layers[s->w->n_layers++] = (struct ol_writers_layer){
        i_layer, attention.sum / (double)attention.n, mlp.sum / (double)mlp.n};
}

/* ---- what the sums come to ---- */

static int compare(const void *a, const void *b)
{
    const struct ol_writer_sum *x = a, *y = b;
    if (fabs(x->sum) != fabs(y->sum))
        return fabs(x->sum) > fabs(y->sum) ? -1 : 1;
    if (x->i_layer != y->i_layer)
        return x->i_layer < y->i_layer ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

static void list_writers(const struct search *s, int slot)
{
    const struct ol_activation_layout *layout = ol_parts_layout(s->parts);
    struct ol_written *written = &s->w->features[slot];
    const struct cell *cell = s->cells + slot;
    double total = 0;
    for (int i = 0; i < s->w->n_layers; i++) {
        const int l = s->w->layers[i].i_layer;
        for (int unit = OL_UNIT_ATTENTION; unit < layout->layers[l].n_units; unit++) {
            if (cell->n > 0) {
                written->writers =
                    ol_xrealloc_array(written->writers, (size_t)written->n_writers + 1,
                                      sizeof *written->writers);
                written->writers[written->n_writers++] = (struct ol_writer_sum){
                    .i_layer = l, .unit = unit, .n = cell->n, .sum = cell->sum};
                total += fabs(cell->sum);
            }
            cell += s->w->n_features;
        }
    }
    for (int i = 0; i < written->n_writers; i++)
        written->writers[i].share = fabs(written->writers[i].sum) / total;
    if (written->n_writers > 0)
        qsort(written->writers, (size_t)written->n_writers, sizeof *written->writers,
              compare);
}

void ol_writers_find(const struct ol_parts *parts, const int *features, int n,
                     struct ol_writers *w)
{
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    size_t n_cells = 0;
    for (int l = 0; l < layout->n_layers; l++)
        n_cells += (size_t)(1 + layout->layers[l].n_units) * (size_t)n;
    *w = (struct ol_writers){
        .n_features = n,
        .features = ol_xcalloc((size_t)n, sizeof *w->features),
        .layers = ol_xcalloc((size_t)layout->n_layers, sizeof *w->layers),
    };
    struct search s = {
        .parts = parts,
        .w = w,
        .slot_of = ol_xcalloc((size_t)layout->d_model, sizeof *s.slot_of),
        .cells = ol_xcalloc(n_cells, sizeof *s.cells),
    };
    for (int64_t f = 0; f < layout->d_model; f++)
        s.slot_of[f] = -1;
    for (int i = 0; i < n; i++) {
        s.slot_of[features[i]] = i;
        w->features[i] =
            (struct ol_written){.feature = features[i], .max_magnitude = (double)NAN};
    }
    s.current = s.cells;
    for (int l = 0; l < layout->n_layers; l++)
        if (ol_massive_recorded(&layout->layers[l])) {
            take_layer(&s, l);
            s.current += (1 + layout->layers[l].n_units) * n;
        }
    for (int i = 0; i < n; i++)
        list_writers(&s, i);
    free(s.slot_of);
    free(s.cells);
}

void ol_writers_clear(struct ol_writers *w)
{
    for (int i = 0; i < w->n_features; i++) {
        ol_tally_clear(&w->features[i].tokens);
        free(w->features[i].writers);
    }
    free(w->features);
    free(w->layers);
    *w = (struct ol_writers){0};
}
