/* What formats of four bits with scales by block would do to each site and to what goes
 * into the down projections, as it is and after rotations: relative errors on a sample of
 * tokens, methods ranked beside each other (all take 4.25 or 4.5 bits a value) and places
 * ranked by each method. Sites need tensors, inputs of down projections summaries. */
#include "common/results/fp4.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/describe.h"
#include "analyze/down_rows.h"
#include "common/fp4.h"
#include "analyze/rotation.h"
#include "analyze/row_sums.h"
#include "analyze/stats/quantisation.h"
#include "analyze/units.h"
#include "common/magnitude.h"

enum { N_METHODS = OL_N_FP4 * OL_N_ROTATIONS, MOST_RANKED = 8 };

static int method_of(int format, int rotation)
{
    return format * OL_N_ROTATIONS + rotation;
}

static const char *format_of(int method)
{
    return ol_fp4_name((enum ol_fp4)(method / OL_N_ROTATIONS));
}

static const char *rotation_of(int method)
{
    return ol_rotation_name((enum ol_rotation)(method % OL_N_ROTATIONS));
}

struct errors {
    double of[N_METHODS]; /* NaN: not known */
};

/* A site, or the inputs of a layer's down projections. */
struct place {
    int i_layer;
    int site; /* of the run; -1: down */
    int64_t first_unit, n_units;
    int64_t n_rows;
    struct errors pooled, median;
};

struct job {
    const struct ol_analysis *a;
    const void *columns; /* state of quantisation */
    struct ol_sample sample;
    struct ol_units units;
    struct errors *unit_errors; /* [units.n] */
    struct place *places;       /* [n_places] */
    int64_t n_places;
};

/* ---- rows that share scales ---- */

struct rows {
    const float *x;         /* [n, width] */
    const int64_t *weights; /* [n] */
    int64_t n, width;
    float largest; /* magnitude of all rows that they stand for; finite */
};

struct sums {
    double all, off[N_METHODS], weight;
};

/* Rows, rotated, into `turned`; returns their largest magnitude. */
static float rotate(const struct rows *r, const struct ol_rotor *rotor,
                    enum ol_rotation rotation, float factor, float *turned)
{
    float *scratch = turned + r->n * r->width;
    for (int64_t i = 0; i < r->n; i++) {
        ol_multiply(r->x + i * r->width, r->width, factor, turned + i * r->width);
        ol_rotate(rotor, rotation, turned + i * r->width, scratch);
    }
    return ol_largest_magnitude(turned, r->n * r->width);
}

/* Errors of the rows by one rotation: their sums, and of each row into per_row[method *
 * stride + row]. */
static void round_rows(const struct rows *r, const float *turned, float largest,
                       int rotation, float *q, struct sums *sums, double *per_row,
                       int64_t stride)
{
    for (int64_t i = 0; i < r->n; i++) {
        const float *x = turned + i * r->width;
        const double all = ol_squares_of(x, r->width), weight = (double)r->weights[i];
        if (rotation == OL_ROTATION_NONE)
            sums->all += weight * all;
        for (int format = 0; format < OL_N_FP4; format++) {
            const int method = method_of(format, rotation);
            ol_fp4_round((enum ol_fp4)format, largest, x, r->width, q);
            const double off = ol_squares_between(x, q, r->width);
            sums->off[method] += weight * off;
            per_row[method * stride + i] = all > 0 ? sqrt(off / all) : (double)NAN;
        }
    }
}

/* Sums are of the values times the returned power of two. */
static float measure_rows(const struct rows *r, struct sums *sums, double *per_row,
                          int64_t stride)
{
    const float factor = ol_factor_for(r->largest);
    struct ol_rotor *rotor = ol_rotor_new(r->width);
    float *turned = ol_xcalloc((size_t)((r->n + 1) * r->width), sizeof *turned);
    *sums = (struct sums){0};
    for (int64_t i = 0; i < r->n; i++)
        sums->weight += (double)r->weights[i];
    for (int rotation = 0; rotation < OL_N_ROTATIONS; rotation++) {
        const float found = rotate(r, rotor, (enum ol_rotation)rotation, factor, turned);
        round_rows(r, turned, rotation == OL_ROTATION_NONE ? r->largest * factor : found,
                   rotation, turned + r->n * r->width, sums, per_row, stride);
    }
    free(turned);
    ol_rotor_free(rotor);
    return factor;
}

static struct errors pooled_of(const struct sums *sums)
{
    struct errors errors;
    for (int m = 0; m < N_METHODS; m++)
        errors.of[m] = sums->all > 0 ? sqrt(sums->off[m] / sums->all) : (double)NAN;
    return errors;
}

static struct errors median_of(const double *per_row, const int64_t *weights, int64_t n,
                               int64_t stride)
{
    struct errors errors;
    for (int m = 0; m < N_METHODS; m++)
        errors.of[m] = ol_weighted_median(per_row + m * stride, weights, n);
    return errors;
}

static struct errors unknown(void)
{
    struct errors errors;
    for (int m = 0; m < N_METHODS; m++)
        errors.of[m] = (double)NAN;
    return errors;
}

/* ---- sites ---- */

static void read_rows(const struct job *j, const struct place *p, float *x)
{
    const struct ol_parts *parts = j->a->parts;
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    const size_t d = (size_t)layout->d_model;
    for (int64_t i = 0; i < j->sample.n; i++) {
        const struct ol_sampled *at = &j->sample.tokens[i];
        const char *rows = ol_activation_get(parts->files[parts->file_of[at->sequence]],
                                             ol_table_of_site(j->a->sites[p->site].site),
                                             p->i_layer, parts->number_of[at->sequence]);
        ol_to_f32(layout->dtype,
                  rows + (size_t)at->position * d * ol_dtype_size(layout->dtype),
                  x + (size_t)i * d, d);
    }
}

static void measure_site(const struct job *j, struct place *p)
{
    const int64_t d = ol_parts_layout(j->a->parts)->d_model, n = j->sample.n;
    float *x = ol_xcalloc((size_t)(n * d), sizeof *x),
          *columns = ol_xcalloc((size_t)d, sizeof *columns);
    int64_t *weights = ol_xcalloc((size_t)n, sizeof *weights);
    double *per_row = ol_xcalloc((size_t)(N_METHODS * n), sizeof *per_row);
    struct sums sums;
    for (int64_t i = 0; i < n; i++)
        weights[i] = j->sample.tokens[i].weight;
    ol_quantisation_columns(j->columns, p->site, columns);
    const struct rows rows = {x, weights, n, d, ol_largest_magnitude(columns, d)};
    p->n_rows = n;
    p->pooled = p->median = unknown();
    if (isfinite(rows.largest)) {
        read_rows(j, p, x);
        measure_rows(&rows, &sums, per_row, n);
        p->pooled = pooled_of(&sums);
        p->median = median_of(per_row, weights, n, n);
    }
    free(per_row);
    free(weights);
    free(columns);
    free(x);
}

/* ---- inputs of down projections ---- */

/* Rows of a layer's units, one unit after another. */
struct layer_rows {
    double *per_row;  /* [N_METHODS][room] */
    int64_t *weights; /* [room] */
    int64_t n, room;
    struct sums sums;
    bool finite;
};

/* A row of unit u stands for tokens of u: in parts of a token, to put rows of several
 * units in proportion. */
static int64_t parts_of_token(double n_tokens, double weight, double all_weights)
{
    const double parts = 0x1p20;
    return (int64_t)fmax(1, parts * n_tokens * weight / all_weights);
}

static void measure_unit(const struct job *j, int64_t unit, struct layer_rows *to)
{
    const struct ol_unit *u = &j->units.units[unit];
    struct ol_down_rows d = {0};
    struct sums sums;
    j->unit_errors[unit] = unknown();
    if (u->n_tokens > 0 && ol_down_rows_read(j->a->parts, u, &d)) {
        const struct rows rows = {d.rows, d.weights, d.n_rows, d.width,
                                  ol_largest_magnitude(d.maxima, d.width)};
        if (!isfinite(rows.largest)) {
            to->finite = false;
        } else if (d.n_rows > 0) {
            const double factor =
                (double)measure_rows(&rows, &sums, to->per_row + to->n, to->room);
            const double scale = (double)u->n_tokens / sums.weight / (factor * factor);
            j->unit_errors[unit] = pooled_of(&sums);
            to->sums.all += scale * sums.all;
            for (int m = 0; m < N_METHODS; m++)
                to->sums.off[m] += scale * sums.off[m];
            for (int64_t i = 0; i < d.n_rows; i++)
                to->weights[to->n++] = parts_of_token((double)u->n_tokens,
                                                      (double)d.weights[i], sums.weight);
        }
    }
    ol_down_rows_clear(&d);
}

static void measure_down(const struct job *j, struct place *p)
{
    const struct ol_activation_layer *layer =
        &ol_parts_layout(j->a->parts)->layers[p->i_layer];
    struct layer_rows to = {.room = p->n_units * layer->n_sampled, .finite = true};
    to.per_row = ol_xcalloc((size_t)(N_METHODS * to.room), sizeof *to.per_row);
    to.weights = ol_xcalloc((size_t)to.room, sizeof *to.weights);
    for (int64_t i = 0; i < p->n_units; i++)
        measure_unit(j, p->first_unit + i, &to);
    p->n_rows = to.n;
    p->pooled = to.finite ? pooled_of(&to.sums) : unknown();
    p->median = to.finite ? median_of(to.per_row, to.weights, to.n, to.room) : unknown();
    free(to.weights);
    free(to.per_row);
}

static void measure(void *arg, int64_t place, int thread)
{
    (void)thread;
    const struct job *j = arg;
    struct place *p = &j->places[place];
    if (p->site >= 0)
        measure_site(j, p);
    else
        measure_down(j, p);
}

/* Layer by layer: its sites, then what goes into its down projections. */
static void list_places(struct job *j)
{
    const struct ol_activation_layout *layout = ol_parts_layout(j->a->parts);
    const bool tensors = !j->a->from_summaries && j->a->n_sites > 0;
    int64_t unit = 0;
    j->places = ol_xcalloc((size_t)layout->n_layers * 3, sizeof *j->places);
    for (int l = 0; l < layout->n_layers; l++) {
        for (int s = 0; s < j->a->n_sites && tensors; s++)
            if (j->a->sites[s].i_layer == l)
                j->places[j->n_places++] = (struct place){.i_layer = l, .site = s};
        const int64_t first = unit;
        while (unit < j->units.n && j->units.units[unit].i_layer == l)
            unit++;
        if (unit > first && layout->layers[l].down_widths[OL_DOWN_OWN] > 0)
            j->places[j->n_places++] = (struct place){
                .i_layer = l, .site = -1, .first_unit = first, .n_units = unit - first};
    }
}

/* ---- the results ---- */

static const char *site_of(const struct job *j, const struct place *p)
{
    return p->site >= 0 ? ol_site_name(j->a->sites[p->site].site) : "down";
}

/* Borrowed, until it is written. */
static struct ol_reals by_method(struct errors *errors)
{
    return (struct ol_reals){.items = errors->of, .n = N_METHODS};
}

static void describe_places(const struct job *j, struct ol_list *list,
                            struct ol_arena *arena)
{
    const struct ol_activation_layout *layout = ol_parts_layout(j->a->parts);
    struct ol_fp4_place *to = ol_list_new(list, j->n_places, sizeof *to, arena);
    for (int64_t i = 0; i < j->n_places; i++) {
        struct place *p = &j->places[i];
        to[i] = (struct ol_fp4_place){.layer = layout->layers[p->i_layer].number,
                                      .site = site_of(j, p),
                                      .attention = layout->layers[p->i_layer].attention,
                                      .n_rows = p->n_rows,
                                      .error = by_method(&p->pooled),
                                      .token_median = by_method(&p->median)};
    }
}

static double median_of_places(const struct job *j, int method, double *worst)
{
    double *all = ol_xcalloc((size_t)j->n_places + 1, sizeof *all);
    *worst = (double)NAN;
    for (int64_t i = 0; i < j->n_places; i++) {
        all[i] = j->places[i].pooled.of[method];
        *worst = fmax(*worst, all[i]);
    }
    const double median = ol_weighted_median(all, NULL, j->n_places);
    free(all);
    return median;
}

static bool is_best(const struct errors *errors, int method)
{
    for (int m = 0; m < N_METHODS; m++)
        if (errors->of[m] < errors->of[method])
            return false;
    return isfinite(errors->of[method]);
}

static void rank_methods(struct ol_fp4_method *methods)
{
    for (int m = 0; m < N_METHODS; m++) {
        methods[m].rank = isfinite(methods[m].median) ? 1 : OL_ABSENT;
        for (int k = 0; k < N_METHODS && isfinite(methods[m].median); k++)
            methods[m].rank += methods[k].median < methods[m].median ||
                               (k < m && methods[k].median == methods[m].median);
    }
}

static void describe_methods(const struct job *j, struct ol_list *list,
                             struct ol_arena *arena)
{
    struct ol_fp4_method *to = ol_list_new(list, N_METHODS, sizeof *to, arena);
    for (int m = 0; m < N_METHODS; m++) {
        const int rotation = m % OL_N_ROTATIONS,
                  plain = method_of(m / OL_N_ROTATIONS, OL_ROTATION_NONE);
        to[m].format = format_of(m);
        to[m].rotation = rotation_of(m);
        to[m].median = median_of_places(j, m, &to[m].worst);
        to[m].n_worse = rotation == OL_ROTATION_NONE ? OL_ABSENT : 0;
        for (int64_t i = 0; i < j->n_places; i++) {
            const struct errors *errors = &j->places[i].pooled;
            to[m].n_best += is_best(errors, m);
            if (rotation != OL_ROTATION_NONE)
                to[m].n_worse += errors->of[m] > errors->of[plain];
        }
    }
    rank_methods(to);
}

struct ranked {
    int64_t i;
    double error;
};

static int by_error(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    if (a->error != b->error)
        return a->error > b->error ? -1 : 1;
    return (a->i > b->i) - (a->i < b->i);
}

/* The largest of n errors by one method, `stride` bytes apart from each other, the first
 * of equals first; returns how many of `worst` [MOST_RANKED] there are. */
static int find_worst(const struct errors *first, size_t stride, int64_t n, int method,
                      struct ranked *worst)
{
    struct ranked *all = ol_xcalloc((size_t)n + 1, sizeof *all);
    int64_t n_known = 0;
    for (int64_t i = 0; i < n; i++) {
        const struct errors *errors =
            (const void *)((const char *)first + (size_t)i * stride);
        if (isfinite(errors->of[method]))
            all[n_known++] = (struct ranked){i, errors->of[method]};
    }
    qsort(all, (size_t)n_known, sizeof *all, by_error);
    const int n_worst = n_known < MOST_RANKED ? (int)n_known : MOST_RANKED;
    memcpy(worst, all, (size_t)n_worst * sizeof *worst);
    free(all);
    return n_worst;
}

static void describe_rankings(const struct job *j, struct ol_fp4_block *block,
                              struct ol_arena *arena)
{
    struct ranked worst[MOST_RANKED];
    struct ol_fp4_rank *places = ol_list_new(
        &block->ranking, (int64_t)N_METHODS * MOST_RANKED, sizeof *places, arena);
    struct ol_fp4_unit *units = ol_list_new(
        &block->units, (int64_t)N_METHODS * MOST_RANKED, sizeof *units, arena);
    block->ranking.n = block->units.n = 0;
    for (int m = 0; m < N_METHODS; m++) {
        int n =
            find_worst(&j->places[0].pooled, sizeof *j->places, j->n_places, m, worst);
        for (int k = 0; k < n; k++) {
            const struct place *p = &j->places[worst[k].i];
            places[block->ranking.n++] = (struct ol_fp4_rank){
                .format = format_of(m),
                .rotation = rotation_of(m),
                .layer = ol_parts_layout(j->a->parts)->layers[p->i_layer].number,
                .site = site_of(j, p),
                .error = worst[k].error};
        }
        n = find_worst(j->unit_errors, sizeof *j->unit_errors, j->units.n, m, worst);
        for (int k = 0; k < n; k++) {
            const struct ol_unit *u = &j->units.units[worst[k].i];
            units[block->units.n++] = (struct ol_fp4_unit){
                .format = format_of(m),
                .rotation = rotation_of(m),
                .who = ol_describe_component(j->a->parts, u->i_layer, u->number),
                .n_tokens = u->n_tokens,
                .error = worst[k].error};
        }
    }
}

/* Whether an entry of that kind and site is there already. */
static bool is_listed(const struct ol_list *list, const char *attention, const char *site)
{
    const struct ol_fp4_kind *kinds = list->items;
    for (int64_t i = 0; i < list->n; i++)
        if (strcmp(kinds[i].attention, attention) == 0 &&
            strcmp(kinds[i].site, site) == 0)
            return true;
    return false;
}

static void describe_kind(const struct job *j, struct ol_fp4_kind *to,
                          struct ol_arena *arena)
{
    const struct ol_activation_layout *layout = ol_parts_layout(j->a->parts);
    double *median = ol_reals_new(&to->median, N_METHODS, arena),
           *all = ol_xcalloc((size_t)j->n_places, sizeof *all);
    for (int m = 0; m < N_METHODS; m++) {
        to->n_layers = 0;
        for (int64_t i = 0; i < j->n_places; i++)
            if (strcmp(layout->layers[j->places[i].i_layer].attention, to->attention) ==
                    0 &&
                strcmp(site_of(j, &j->places[i]), to->site) == 0)
                all[to->n_layers++] = j->places[i].pooled.of[m];
        median[m] = ol_weighted_median(all, NULL, to->n_layers);
    }
    free(all);
}

static void describe_kinds(const struct job *j, struct ol_list *list,
                           struct ol_arena *arena)
{
    const struct ol_activation_layout *layout = ol_parts_layout(j->a->parts);
    struct ol_fp4_kind *to = ol_list_new(list, j->n_places, sizeof *to, arena);
    list->n = 0;
    for (int64_t i = 0; i < j->n_places; i++) {
        const char *attention = layout->layers[j->places[i].i_layer].attention,
                   *site = site_of(j, &j->places[i]);
        if (is_listed(list, attention, site))
            continue;
        to[list->n] = (struct ol_fp4_kind){.attention = attention, .site = site};
        describe_kind(j, &to[list->n++], arena);
    }
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    (void)state;
    struct ol_fp4_block *to = block;
    struct job j = {.a = a, .columns = ol_statistic_state(a, &ol_quantisation_statistic)};
    ol_units_read(a->parts, &j.units);
    list_places(&j);
    j.unit_errors = ol_xcalloc((size_t)j.units.n + 1, sizeof *j.unit_errors);
    for (int64_t i = 0; i < j.units.n; i++)
        j.unit_errors[i] = unknown();
    to->sample_tokens = OL_ABSENT;
    if (!a->from_summaries && a->n_sites > 0) {
        j.sample = ol_quantisation_sample(a->parts);
        to->sample_tokens = j.sample.n;
    }
    ol_pool_run(a->pool, j.n_places, measure, &j);
    describe_methods(&j, &to->methods, arena);
    ol_arena_take(arena, j.places); /* errors of places are borrowed from here */
    describe_places(&j, &to->places, arena);
    describe_kinds(&j, &to->kinds, arena);
    describe_rankings(&j, to, arena);
    free(j.unit_errors);
    ol_units_clear(&j.units);
    ol_sample_clear(&j.sample);
    return j.n_places > 0;
}

const struct ol_statistic ol_fp4_statistic = {
    .needs = &ol_quantisation_statistic, .name = "fp4", .results = results};
