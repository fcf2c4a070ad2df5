#include "analyze/down_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/kept_rows.h"

struct reader {
    const struct ol_parts *parts;
    const struct ol_unit *unit;
    enum ol_down whose;
    int64_t number; /* among those of the same width */
    size_t n_sampled, width;
};

/* n elements of `size` bytes from element `first` of a table on. */
static void copy(const struct reader *r, int file, int table, size_t first, size_t n,
                 size_t size, void *to)
{
    const char *from =
        ol_activation_get(r->parts->files[file], table, r->unit->i_layer, 0);
    memcpy(to, from + first * size, n * size);
}

static void widen(const uint16_t *codes, size_t n, float *values)
{
    for (size_t c = 0; c < n; c++)
        values[c] = ol_bf16_to_f32(codes[c]);
}

/* Sums are added, and of extremes the outermost is taken. */
static void add_moments(const struct reader *r, int file, double *moments)
{
    double more[OL_N_DOWN_MOMENTS];
    copy(r, file, OL_TABLE_DOWN_MOMENTS, (size_t)r->unit->number * OL_N_DOWN_MOMENTS,
         OL_N_DOWN_MOMENTS, sizeof *more, more);
    for (int k = OL_DOWN_FIRST_TOKENS; k <= OL_DOWN_FOURTHS; k++)
        moments[k] += more[k];
    moments[OL_DOWN_LARGEST] = fmax(moments[OL_DOWN_LARGEST], more[OL_DOWN_LARGEST]);
    moments[OL_DOWN_SMALLEST] = fmin(moments[OL_DOWN_SMALLEST], more[OL_DOWN_SMALLEST]);
}

static void add_maxima(const struct reader *r, int file, uint16_t *codes, uint16_t *most)
{
    copy(r, file,
         r->whose == OL_DOWN_OWN ? OL_TABLE_DOWN_MAXIMA : OL_TABLE_DOWN_SHARED_MAXIMA,
         (size_t)r->number * r->width, r->width, sizeof *codes, codes);
    for (size_t c = 0; c < r->width; c++)
        most[c] = codes[c] > most[c] ? codes[c] : most[c];
}

/* ---- the sample ---- */

static void read_rows(const struct reader *r, uint16_t *codes, struct ol_down_rows *d)
{
    const size_t n_files = (size_t)r->parts->n_files;
    struct ol_kept_row *list = ol_xcalloc(n_files * r->n_sampled, sizeof *list);
    const size_t n = ol_kept_rows_list(
        &(struct ol_kept_rows){r->parts, OL_TABLE_DOWN_SAMPLE, r->unit->i_layer,
                               (size_t)r->unit->number, r->n_sampled},
        list);
    const double first = d->moments[OL_DOWN_FIRST_TOKENS],
                 tokens[OL_N_KEPT_KINDS] = {first, (double)r->unit->n_tokens - first};
    d->n_rows = (int64_t)n;
    d->rows = ol_xcalloc(n * r->width, sizeof *d->rows);
    d->weights = ol_xcalloc(n, sizeof *d->weights);
    ol_kept_rows_weigh(list, n, tokens, d->weights);
    for (size_t i = 0; i < n; i++) {
        const size_t row = (size_t)r->number * r->n_sampled + (size_t)list[i].slot;
        copy(r, list[i].file,
             r->whose == OL_DOWN_OWN ? OL_TABLE_DOWN_ROWS : OL_TABLE_DOWN_SHARED_ROWS,
             row * r->width, r->width, sizeof *codes, codes);
        widen(codes, r->width, d->rows + i * r->width);
    }
    free(list);
}

bool ol_down_rows_read(const struct ol_parts *parts, const struct ol_unit *unit,
                       struct ol_down_rows *d)
{
    const struct ol_activation_layer *layer =
        &ol_parts_layout(parts)->layers[unit->i_layer];
    const bool shared = layer->moe && !unit->routed;
    struct reader r = {.parts = parts,
                       .unit = unit,
                       .whose = shared ? OL_DOWN_SHARED : OL_DOWN_OWN,
                       .number = shared ? 0 : unit->number,
                       .n_sampled = (size_t)layer->n_sampled};
    *d = (struct ol_down_rows){.width = layer->down_widths[r.whose]};
    if (d->width == 0)
        return false;
    r.width = (size_t)d->width;
    d->moments[OL_DOWN_LARGEST] = (double)-INFINITY;
    d->moments[OL_DOWN_SMALLEST] = (double)INFINITY;
    uint16_t *codes = ol_xcalloc(r.width, sizeof *codes),
             *most = ol_xcalloc(r.width, sizeof *most);
    for (int file = 0; file < parts->n_files; file++) {
        add_moments(&r, file, d->moments);
        add_maxima(&r, file, codes, most);
    }
    d->maxima = ol_xcalloc(r.width, sizeof *d->maxima);
    widen(most, r.width, d->maxima);
    read_rows(&r, codes, d);
    free(most);
    free(codes);
    return true;
}

void ol_down_rows_clear(struct ol_down_rows *d)
{
    free(d->maxima);
    free(d->rows);
    free(d->weights);
    *d = (struct ol_down_rows){0};
}
