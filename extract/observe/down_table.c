#include "extract/observe/down_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRSTS, OTHERS };

static int room_of(const struct ol_down_table *t, int kind)
{
    const int firsts = ol_sampled_firsts(t->n_sampled);
    return kind == FIRSTS ? firsts : t->n_sampled - firsts;
}

/* ---- life ---- */

static size_t values_of(const struct ol_activation_layer *layer, int whose)
{
    const bool shared = layer->down_widths[OL_DOWN_SHARED] > 0;
    const int n = whose == OL_DOWN_SHARED ? shared : layer->n_units - shared;
    return (size_t)n * (size_t)layer->down_widths[whose];
}

struct ol_down_sizes ol_down_table_sizes(const struct ol_activation_layer *layer)
{
    const int64_t n_values =
        (int64_t)(values_of(layer, OL_DOWN_OWN) + values_of(layer, OL_DOWN_SHARED));
    return (struct ol_down_sizes){layer->n_units, n_values, n_values * layer->n_sampled};
}

int64_t ol_down_table_bytes(const struct ol_activation_layer *layer)
{
    const struct ol_down_sizes sizes = ol_down_table_sizes(layer);
    return (int64_t)(sizeof(struct ol_down_table) +
                     (size_t)layer->n_units *
                         (sizeof(struct ol_down_component) +
                          sizeof(struct ol_down_moments) +
                          (size_t)layer->n_sampled * sizeof(struct ol_sampled_row)) +
                     (size_t)(sizes.n_maxima + sizes.n_codes) * sizeof(uint16_t));
}

/* One behind the other: table, components, moments, sample, codes and maxima. */
struct ol_down_table *ol_down_table_new(const struct ol_activation_layer *layer)
{
    const size_t n_sampled = (size_t)layer->n_sampled, n = (size_t)layer->n_units;
    struct ol_down_table *t = ol_xcalloc(1, (size_t)ol_down_table_bytes(layer));
    t->n_components = layer->n_units;
    t->n_own = layer->n_units - (layer->down_widths[OL_DOWN_SHARED] > 0);
    t->n_sampled = layer->n_sampled;
    t->components = (struct ol_down_component *)(t + 1);
    t->moments = (struct ol_down_moments *)(t->components + n);
    t->sample = (struct ol_sampled_row *)(t->moments + n);
    uint16_t *codes = (uint16_t *)(t->sample + n * n_sampled),
             *maxima = codes + ol_down_table_sizes(layer).n_codes;
    for (int whose = 0; whose < OL_N_DOWNS; whose++) {
        t->widths[whose] = layer->down_widths[whose];
        t->codes[whose] = codes;
        t->maxima[whose] = maxima;
        codes += values_of(layer, whose) * n_sampled;
        maxima += values_of(layer, whose);
    }
    for (int i = 0; i < t->n_components; i++) {
        t->moments[i].largest = -INFINITY;
        t->moments[i].smallest = INFINITY;
    }
    return t;
}

/* ---- places ---- */

enum ol_down ol_down_table_whose(const struct ol_down_table *t, int component)
{
    return component < t->n_own ? OL_DOWN_OWN : OL_DOWN_SHARED;
}

static int64_t number_of(const struct ol_down_table *t, int component)
{
    return component < t->n_own ? component : component - t->n_own;
}

uint16_t *ol_down_table_codes(const struct ol_down_table *t, int component, int sampled)
{
    const enum ol_down whose = ol_down_table_whose(t, component);
    return t->codes[whose] +
           (number_of(t, component) * t->n_sampled + sampled) * t->widths[whose];
}

uint16_t *ol_down_table_maxima(const struct ol_down_table *t, int component)
{
    const enum ol_down whose = ol_down_table_whose(t, component);
    return t->maxima[whose] + number_of(t, component) * t->widths[whose];
}

/* ---- the sample ---- */

/* Among rows of one kind, from `first` on. */
static int find_last(const struct ol_sampled_row *rows, int first, int n)
{
    int last = first;
    for (int i = first + 1; i < first + n; i++)
        last = rows[i].key > rows[last].key ? i : last;
    return last;
}

/* Rows of that key: where they are counted and which one is new there, if they are kept.
 */
static struct ol_sampled_row *take(struct ol_down_table *t, int component, uint64_t key,
                                   int64_t count, bool *fresh)
{
    const int kind = (key & 1) != 0 ? FIRSTS : OTHERS, room = room_of(t, kind),
              first = kind == FIRSTS ? 0 : room_of(t, FIRSTS);
    struct ol_down_component *c = &t->components[component];
    struct ol_sampled_row *rows = t->sample + (int64_t)component * t->n_sampled;
    const bool full = c->n_kept[kind] == room;
    *fresh = false;
    if (room == 0 || (full && key > rows[c->last[kind]].key))
        return NULL;
    for (int i = first; i < first + c->n_kept[kind]; i++)
        if (rows[i].key == key) {
            rows[i].count += count;
            return &rows[i];
        }
    struct ol_sampled_row *row = &rows[full ? c->last[kind] : first + c->n_kept[kind]++];
    *row = (struct ol_sampled_row){.key = key, .count = count};
    c->last[kind] = find_last(rows, first, c->n_kept[kind]);
    *fresh = true;
    return row;
}

void ol_down_table_offer(struct ol_down_table *t, int component, uint64_t key,
                         int64_t row, int64_t from)
{
    bool fresh;
    struct ol_sampled_row *kept = take(t, component, key, 1, &fresh);
    t->components[component].n_first += (int64_t)(key & 1);
    if (fresh) {
        kept->row = row;
        kept->from = from;
    }
}

/* ---- all devices ---- */

static void join_moments(struct ol_down_moments *to, const struct ol_down_moments *from)
{
    for (int k = 0; k < OL_DOWN_POWERS; k++)
        ol_exact_sum_join(&to->sums[k], &from->sums[k]);
    to->largest = from->largest > to->largest ? from->largest : to->largest;
    to->smallest = from->smallest < to->smallest ? from->smallest : to->smallest;
}

static void join_component(struct ol_down_table *t, int i,
                           const struct ol_down_table *other)
{
    struct ol_down_component *to = &t->components[i];
    const struct ol_down_component *from = &other->components[i];
    const struct ol_sampled_row *rows = other->sample + (int64_t)i * t->n_sampled;
    const int64_t width = t->widths[ol_down_table_whose(t, i)];
    uint16_t *most = ol_down_table_maxima(t, i);
    const uint16_t *others = ol_down_table_maxima(other, i);
    to->n_first += from->n_first;
    join_moments(&t->moments[i], &other->moments[i]);
    for (int64_t c = 0; c < width; c++)
        most[c] = others[c] > most[c] ? others[c] : most[c];
    for (int k = 0; k < t->n_sampled; k++) {
        bool fresh = false;
        struct ol_sampled_row *kept =
            rows[k].count > 0 ? take(t, i, rows[k].key, rows[k].count, &fresh) : NULL;
        if (!fresh)
            continue;
        kept->row = rows[k].row;
        kept->from = -1;
        memcpy(ol_down_table_codes(t, i,
                                   (int)(kept - (t->sample + (int64_t)i * t->n_sampled))),
               ol_down_table_codes(other, i, k), (size_t)width * sizeof(uint16_t));
    }
}

void ol_down_table_join(struct ol_down_table *t, const struct ol_down_table *other)
{
    for (int i = 0; i < t->n_components; i++)
        join_component(t, i, other);
}

/* ---- for the file ---- */

void ol_down_table_moments(const struct ol_down_table *t, double *moments)
{
    for (int i = 0; i < t->n_components; i++, moments += OL_N_DOWN_MOMENTS) {
        const struct ol_down_moments *m = &t->moments[i];
        moments[OL_DOWN_FIRST_TOKENS] = (double)t->components[i].n_first;
        for (int k = 0; k < OL_DOWN_POWERS; k++)
            moments[OL_DOWN_SUM + k] = ol_exact_sum_value(&m->sums[k]);
        moments[OL_DOWN_LARGEST] = (double)m->largest;
        moments[OL_DOWN_SMALLEST] = (double)m->smallest;
    }
}

/* First tokens before others, by key, what is no row last. */
static int compare(const void *x, const void *y)
{
    const struct ol_sampled_row *a = x, *b = y;
    if ((a->count > 0) != (b->count > 0))
        return a->count > 0 ? -1 : 1;
    if ((a->key & 1) != (b->key & 1))
        return (a->key & 1) != 0 ? -1 : 1;
    return (a->key > b->key) - (a->key < b->key);
}

static void describe(const struct ol_sampled_row *row, const int64_t *starts,
                     int64_t *columns)
{
    int64_t s = 0;
    while (starts[s + 1] <= row->row)
        s++;
    memcpy(&columns[OL_SAMPLE_KEY], &row->key, sizeof row->key);
    columns[OL_SAMPLE_COUNT] = row->count;
    columns[OL_SAMPLE_SEQUENCE] = s;
    columns[OL_SAMPLE_POSITION] = row->row - starts[s];
}

void ol_down_table_sort(struct ol_down_table *t, const int64_t *starts, int64_t *sample)
{
    for (int i = 0; i < t->n_components; i++) {
        struct ol_sampled_row *rows = t->sample + (int64_t)i * t->n_sampled;
        const size_t width = (size_t)t->widths[ol_down_table_whose(t, i)],
                     n = (size_t)t->n_sampled;
        uint16_t *codes = ol_down_table_codes(t, i, 0),
                 *old = ol_xcalloc(n * width, sizeof *old);
        memcpy(old, codes, n * width * sizeof *old);
        for (int k = 0; k < t->n_sampled; k++)
            rows[k].from = k;
        qsort(rows, n, sizeof *rows, compare);
        for (int k = 0; k < t->n_sampled; k++, sample += OL_N_SAMPLE_COLUMNS) {
            memset(codes + (size_t)k * width, 0, width * sizeof *codes);
            if (rows[k].count == 0)
                continue;
            memcpy(codes + (size_t)k * width, old + (size_t)rows[k].from * width,
                   width * sizeof *codes);
            describe(&rows[k], starts, sample);
        }
        free(old);
    }
}
