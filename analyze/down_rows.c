#include "analyze/down_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST, OTHERS, N_KINDS };

/* A row of the sample of one file. */
struct kept {
    uint64_t key;
    int64_t count;
    int file, slot;
};

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

static int kind_of(uint64_t key)
{
    return (key & 1) != 0 ? FIRST : OTHERS;
}

/* First tokens before others, by key, equal ones in the order of the files. */
static int compare(const void *x, const void *y)
{
    const struct kept *a = x, *b = y;
    if (kind_of(a->key) != kind_of(b->key))
        return kind_of(a->key) - kind_of(b->key);
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->file - b->file;
}

/* All files' rows, those with equal keys as one, the smallest keys of each kind: these
 * are among the smallest of every file that has them. */
static size_t list_rows(const struct reader *r, struct kept *list)
{
    const size_t n = r->n_sampled;
    int64_t *columns = ol_xcalloc(n * OL_N_SAMPLE_COLUMNS, sizeof *columns);
    const size_t firsts = (size_t)ol_sampled_firsts((int)n),
                 room[N_KINDS] = {firsts, n - firsts};
    size_t n_all = 0;
    for (int file = 0; file < r->parts->n_files; file++) {
        copy(r, file, OL_TABLE_DOWN_SAMPLE,
             (size_t)r->unit->number * n * OL_N_SAMPLE_COLUMNS, n * OL_N_SAMPLE_COLUMNS,
             sizeof *columns, columns);
        for (size_t i = 0; i < n; i++) {
            const int64_t *row = columns + i * OL_N_SAMPLE_COLUMNS;
            if (row[OL_SAMPLE_COUNT] <= 0)
                continue;
            struct kept *one = &list[n_all++];
            *one = (struct kept){0, row[OL_SAMPLE_COUNT], file, (int)i};
            memcpy(&one->key, &row[OL_SAMPLE_KEY], sizeof one->key);
        }
    }
    free(columns);
    if (n_all > 0)
        qsort(list, n_all, sizeof *list, compare);
    size_t n_kept = 0, n_of[N_KINDS] = {0, 0};
    for (size_t i = 0; i < n_all; i++) {
        const int kind = kind_of(list[i].key);
        if (n_kept > 0 && list[n_kept - 1].key == list[i].key) {
            list[n_kept - 1].count += list[i].count;
        } else if (n_of[kind] < room[kind]) {
            list[n_kept++] = list[i];
            n_of[kind]++;
        }
    }
    return n_kept;
}

/* A row stands for count / (all counts of its kind) of the tokens of its kind. Whole
 * numbers, exact as far as they are below 2^50. */
static void weigh(const struct kept *list, size_t n, const double tokens[N_KINDS],
                  int64_t *weights)
{
    const double most = 0x1p50;
    double counts[N_KINDS] = {0, 0}, largest = 0;
    double *exact = ol_xcalloc(n, sizeof *exact);
    for (size_t i = 0; i < n; i++)
        counts[kind_of(list[i].key)] += (double)list[i].count;
    for (size_t i = 0; i < n; i++) {
        const int kind = kind_of(list[i].key);
        const double others = counts[N_KINDS - 1 - kind];
        exact[i] = (double)list[i].count * (others > 0 ? tokens[kind] * others : 1);
        largest = fmax(largest, exact[i]);
    }
    for (size_t i = 0; i < n; i++)
        weights[i] =
            (int64_t)fmax(1, largest > most ? exact[i] * (most / largest) : exact[i]);
    free(exact);
}

static void read_rows(const struct reader *r, uint16_t *codes, struct ol_down_rows *d)
{
    const size_t n_files = (size_t)r->parts->n_files;
    struct kept *list = ol_xcalloc(n_files * r->n_sampled, sizeof *list);
    const size_t n = list_rows(r, list);
    const double first = d->moments[OL_DOWN_FIRST_TOKENS],
                 tokens[N_KINDS] = {first, (double)r->unit->n_tokens - first};
    d->n_rows = (int64_t)n;
    d->rows = ol_xcalloc(n * r->width, sizeof *d->rows);
    d->weights = ol_xcalloc(n, sizeof *d->weights);
    weigh(list, n, tokens, d->weights);
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
