/* What quantising the activations would cost, site by site: the relative error of common
 * formats on a sample of tokens, as they are, with the dimensions of the largest
 * magnitude kept as they are, and with the tokens of the largest kept. Scales that tokens
 * share are those of all tokens, not of the sample, which seldom has the largest. Needs
 * tensors, but for what it says of the inputs of down projections. */
#include "analyze/stats/quantisation.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/down_inputs.h"
#include "analyze/findings.h"
#include "analyze/quantise.h"
#include "analyze/sample.h"
#include "common/magnitude.h"
#include "common/results/quantisation.h"

enum {
    MOST_FIRST = 16,
    MOST_OTHERS = 240,
    K_DIMS = 8,
    MOST_RANKED = 8,
    PER_MILLE = 1000
};

enum variant { AS_IT_IS, WITHOUT_DIMS, WITHOUT_TOKENS, N_VARIANTS };

/* Tokens that one variant keeps as they are, and all others. */
enum { OTHERS, KEPT, N_KINDS };

struct quantisation {
    const struct ol_analysis *a;
    size_t d_model;
    uint8_t **marks; /* [n_sequences][length]: tokens with a massive value; NULL: none */
    int64_t n_kept;  /* those, or 1 of 1000 that are the worst of a site */
    int64_t *starts; /* [n_sequences]: tokens before each */
    uint32_t **column; /* [threads][N_KINDS][d_model]: bits of magnitudes as floats, of
                          the stretch and site at hand */
    float *largest;    /* [n_sites][n_tokens]: of each token; NULL with marks */
    /* Of all threads: they add maxima to it, in any order, one at a time. */
    pthread_mutex_t mutex;
    uint32_t *columns; /* [n_sites][N_KINDS][d_model] */
};

/* ---- gathering: the largest of each dimension and token ---- */

static void free_marks(uint8_t **marks, int64_t n)
{
    for (int64_t i = 0; marks != NULL && i < n; i++)
        free(marks[i]);
    free(marks);
}

/* Tokens with a massive value after any layer, if there are any. */
static void find_marks(struct quantisation *q)
{
    const struct ol_parts *parts = q->a->parts;
    const struct ol_massive *massive = ol_findings_massive(q->a);
    if (massive == NULL)
        return;
    uint8_t **marks = ol_xcalloc((size_t)parts->n_sequences, sizeof *marks);
    for (int64_t s = 0; s < parts->n_sequences; s++)
        marks[s] = ol_xcalloc((size_t)parts->lengths[s], 1);
    ol_massive_mark(massive, marks);
    for (int64_t s = 0; s < parts->n_sequences; s++)
        for (int64_t p = 0; p < parts->lengths[s]; p++)
            q->n_kept += marks[s][p];
    if (q->n_kept > 0)
        q->marks = marks;
    else
        free_marks(marks, parts->n_sequences);
}

static void *begin(const struct ol_analysis *a)
{
    struct quantisation *q = ol_xcalloc(1, sizeof *q);
    const size_t n_sites = (size_t)a->n_sites;
    q->a = a;
    q->d_model = (size_t)ol_parts_layout(a->parts)->d_model;
    pthread_mutex_init(&q->mutex, NULL);
    if (a->from_summaries || a->n_sites == 0)
        return q;
    find_marks(q);
    q->starts = ol_xcalloc((size_t)a->parts->n_sequences + 1, sizeof *q->starts);
    for (int64_t s = 0; s < a->parts->n_sequences; s++)
        q->starts[s + 1] = q->starts[s] + a->parts->lengths[s];
    q->column = ol_xcalloc((size_t)a->n_threads, sizeof *q->column);
    for (int i = 0; i < a->n_threads; i++)
        q->column[i] = ol_xcalloc(N_KINDS * q->d_model, sizeof **q->column);
    q->columns = ol_xcalloc(n_sites * N_KINDS * q->d_model, sizeof *q->columns);
    if (q->marks == NULL) {
        q->n_kept = (a->parts->n_tokens + PER_MILLE - 1) / PER_MILLE;
        q->largest = ol_xcalloc(n_sites * (size_t)a->parts->n_tokens, sizeof *q->largest);
    }
    return q;
}

static void end(void *state)
{
    struct quantisation *q = state;
    for (int i = 0; q->column != NULL && i < q->a->n_threads; i++)
        free(q->column[i]);
    free(q->column);
    free(q->columns);
    free(q->largest);
    free(q->starts);
    free_marks(q->marks, q->a->parts->n_sequences);
    pthread_mutex_destroy(&q->mutex);
    free(q);
}

static float value_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A row's magnitudes, as bits of floats, into the maxima; returns the row's largest. */
static uint32_t take_bf16(const uint16_t *restrict x, size_t d, uint32_t *restrict column)
{
    uint32_t most = 0;
    for (size_t c = 0; c < d; c++) {
        const uint32_t bits = (uint32_t)(x[c] & OL_BF16_MAGNITUDE) << 16;
        column[c] = bits > column[c] ? bits : column[c];
        most = bits > most ? bits : most;
    }
    return most;
}

static uint32_t take_f32(const uint32_t *restrict x, size_t d, uint32_t *restrict column)
{
    uint32_t most = 0;
    for (size_t c = 0; c < d; c++) {
        const uint32_t bits = x[c] & OL_F32_MAGNITUDE;
        column[c] = bits > column[c] ? bits : column[c];
        most = bits > most ? bits : most;
    }
    return most;
}

static uint32_t take_row(enum ol_dtype dtype, const void *rows, size_t row, size_t d,
                         uint32_t *column)
{
    return dtype == OL_DTYPE_BF16 ? take_bf16((const uint16_t *)rows + row * d, d, column)
                                  : take_f32((const uint32_t *)rows + row * d, d, column);
}

static void block(void *state, int thread, const struct ol_block *b)
{
    struct quantisation *q = state;
    const size_t d = q->d_model;
    uint32_t *column = q->column[thread];
    if (b->first_row == 0)
        memset(column, 0, N_KINDS * d * sizeof *column);
    for (int64_t i = 0; i < b->n_rows; i++) {
        const int64_t position = b->position + b->first_row + i;
        const int kind =
            q->marks != NULL && q->marks[b->sequence][position] != 0 ? KEPT : OTHERS;
        const uint32_t most =
            take_row(b->dtype, b->rows, (size_t)i, d, column + (size_t)kind * d);
        if (q->largest != NULL)
            q->largest[b->site * q->a->parts->n_tokens + q->starts[b->sequence] +
                       position] = value_of(most);
    }
    if (!b->last_of_site)
        return;
    uint32_t *columns = q->columns + (size_t)b->site * N_KINDS * d;
    pthread_mutex_lock(&q->mutex);
    for (size_t c = 0; c < N_KINDS * d; c++)
        columns[c] = column[c] > columns[c] ? column[c] : columns[c];
    pthread_mutex_unlock(&q->mutex);
}

static void copy_columns(const struct quantisation *q, int site, int kind, float *columns)
{
    const uint32_t *bits =
        q->columns + ((size_t)site * N_KINDS + (size_t)kind) * q->d_model;
    for (size_t c = 0; c < q->d_model; c++)
        columns[c] = value_of(bits[c]);
}

bool ol_quantisation_columns(const void *state, int site, float *columns)
{
    const struct quantisation *q = state;
    if (q->columns == NULL)
        return false;
    const uint32_t *bits = q->columns + (size_t)site * N_KINDS * q->d_model;
    for (size_t c = 0; c < q->d_model; c++) {
        const uint32_t other = bits[c], kept = bits[q->d_model + c];
        columns[c] = value_of(other > kept ? other : kept);
    }
    return true;
}

/* ---- measuring ---- */

struct buffers {
    float *x, *columns, *scratch;
    double *per_row;
    int64_t *weights;
    float *sorted; /* [2 * n_kept], and */
    uint8_t *kept; /* [n_tokens]: NULL with marks */
};

struct job {
    const struct quantisation *q;
    struct ol_sample sample;
    struct buffers *buffers; /* [threads] */
    struct ol_quantise_errors (*sites)[N_VARIANTS];
};

static const char *row_of(const struct quantisation *q, int site, int64_t sequence,
                          int64_t position)
{
    const struct ol_parts *parts = q->a->parts;
    const struct ol_site_of_run *at = &q->a->sites[site];
    const char *rows = ol_activation_get(parts->files[parts->file_of[sequence]],
                                         ol_table_of_site(at->site), at->i_layer,
                                         parts->number_of[sequence]);
    return rows +
           (size_t)position * q->d_model * ol_dtype_size(ol_parts_layout(parts)->dtype);
}

static void read_sample(const struct job *j, int site, float *x)
{
    const enum ol_dtype dtype = ol_parts_layout(j->q->a->parts)->dtype;
    for (int64_t i = 0; i < j->sample.n; i++)
        ol_to_f32(dtype,
                  row_of(j->q, site, j->sample.tokens[i].sequence,
                         j->sample.tokens[i].position),
                  x + (size_t)i * j->q->d_model, j->q->d_model);
}

/* Zeros are exact in every format and do not change scales: what is kept apart counts
 * neither for nor against. The K_DIMS columns of the largest magnitude, ties to the
 * first. */
static void drop_dims(const struct job *j, float *x, float *columns)
{
    const size_t d = j->q->d_model;
    for (size_t k = 0; k < K_DIMS && k < d; k++) {
        size_t most = 0;
        for (size_t c = 1; c < d; c++)
            most = columns[c] > columns[most] ? c : most;
        columns[most] = 0;
        for (int64_t i = 0; i < j->sample.n; i++)
            x[(size_t)i * d + most] = 0;
    }
}

static int by_magnitude(const void *x, const void *y)
{
    const float a = *(const float *)x, b = *(const float *)y;
    return (a < b) - (a > b);
}

/* The k-th largest of n magnitudes, n >= k > 0; `sorted` has room for 2 k. */
static float kth_largest(const float *x, int64_t n, int64_t k, float *sorted)
{
    int64_t n_sorted = 0;
    float least = -1;
    for (int64_t i = 0; i < n; i++) {
        if (x[i] > least)
            sorted[n_sorted++] = x[i];
        if (n_sorted == 2 * k || i == n - 1) {
            qsort(sorted, (size_t)n_sorted, sizeof *sorted, by_magnitude);
            n_sorted = k;
            least = sorted[k - 1];
        }
    }
    return least;
}

/* The n_kept tokens of the largest magnitude at the site, ties to the first. */
static void find_worst(const struct quantisation *q, int site, struct buffers *b)
{
    const int64_t n = q->a->parts->n_tokens;
    const float *largest = q->largest + site * n,
                least = kth_largest(largest, n, q->n_kept, b->sorted);
    int64_t left = q->n_kept;
    for (int64_t i = 0; i < n; i++)
        left -= largest[i] > least;
    for (int64_t i = 0; i < n; i++) {
        const bool tie = largest[i] == least && left > 0;
        left -= tie;
        b->kept[i] = largest[i] > least || tie;
    }
}

/* Columns of all tokens but these: one more look at the site. */
static void find_columns(const struct quantisation *q, int site, struct buffers *b)
{
    const struct ol_parts *parts = q->a->parts;
    const enum ol_dtype dtype = ol_parts_layout(parts)->dtype;
    uint32_t *bits = ol_xcalloc(q->d_model, sizeof *bits);
    for (int64_t s = 0; s < parts->n_sequences; s++)
        for (int64_t p = 0; p < parts->lengths[s]; p++)
            if (b->kept[q->starts[s] + p] == 0)
                take_row(dtype, row_of(q, site, s, p), 0, q->d_model, bits);
    for (size_t c = 0; c < q->d_model; c++)
        b->columns[c] = value_of(bits[c]);
    free(bits);
}

static void drop_tokens(const struct job *j, int site, struct buffers *b)
{
    const struct quantisation *q = j->q;
    if (q->marks != NULL) {
        copy_columns(q, site, OTHERS, b->columns);
    } else {
        find_worst(q, site, b);
        find_columns(q, site, b);
    }
    for (int64_t i = 0; i < j->sample.n; i++) {
        const struct ol_sampled *t = &j->sample.tokens[i];
        const bool kept = q->marks != NULL
                              ? q->marks[t->sequence][t->position] != 0
                              : b->kept[q->starts[t->sequence] + t->position] != 0;
        if (kept)
            memset(b->x + (size_t)i * q->d_model, 0, q->d_model * sizeof *b->x);
    }
}

/* Errors are of all values: what was kept adds none, but counts in the sum of squares. */
static void relate(const struct ol_quantise_errors *all, struct ol_quantise_errors *left)
{
    for (int m = 0; m < OL_N_QUANTISED; m++) {
        if (isnan(all->pooled[m]))
            left->pooled[m] = NAN;
        else if (left->norm == 0) /* nothing is left, of something: nothing is off */
            left->pooled[m] = 0;
        else
            left->pooled[m] *= left->norm / all->norm;
    }
}

static void measure(void *arg, int64_t site, int thread)
{
    const struct job *j = arg;
    struct buffers *b = &j->buffers[thread];
    struct ol_quantise_errors *errors = j->sites[site];
    const struct ol_quantise_input in = {
        b->x,       b->weights, j->sample.n, (int64_t)j->q->d_model,
        b->columns, b->scratch, b->per_row};
    for (int64_t i = 0; i < j->sample.n; i++)
        b->weights[i] = j->sample.tokens[i].weight;
    for (int variant = 0; variant < N_VARIANTS; variant++) {
        ol_quantisation_columns(j->q, (int)site, b->columns);
        read_sample(j, (int)site, b->x);
        if (variant == WITHOUT_DIMS)
            drop_dims(j, b->x, b->columns);
        else if (variant == WITHOUT_TOKENS && isfinite(errors[AS_IT_IS].norm))
            drop_tokens(j, (int)site, b);
        ol_quantise(&in, &errors[variant]);
        if (variant != AS_IT_IS)
            relate(&errors[AS_IT_IS], &errors[variant]);
    }
}

/* ---- the results ---- */

struct ranked {
    int site;
    double error;
};

static int by_error(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    if (a->error != b->error)
        return a->error > b->error ? -1 : 1;
    return (a->site > b->site) - (a->site < b->site);
}

/* By one method: two formats cannot be ranked by one number, the coarser has all places.
 */
static void rank(const struct job *j, int method, struct ol_list *ranking)
{
    const struct ol_site_of_run *sites = j->q->a->sites;
    const int n_sites = j->q->a->n_sites;
    struct ol_quantised_rank *to = ranking->items;
    struct ranked *all = ol_xcalloc((size_t)n_sites, sizeof *all);
    int n = 0;
    for (int site = 0; site < n_sites; site++)
        if (isfinite(j->sites[site][AS_IT_IS].pooled[method]))
            all[n++] = (struct ranked){site, j->sites[site][AS_IT_IS].pooled[method]};
    if (n > 0)
        qsort(all, (size_t)n, sizeof *all, by_error);
    for (int i = 0; i < n && i < MOST_RANKED; i++)
        to[ranking->n++] = (struct ol_quantised_rank){
            .layer = sites[all[i].site].layer,
            .site = ol_site_name(sites[all[i].site].site),
            .method = ol_quantised_name((enum ol_quantised)method),
            .error = all[i].error};
    free(all);
}

/* Borrowed, until it is written. */
static struct ol_reals by_method(double values[OL_N_QUANTISED])
{
    return (struct ol_reals){.items = values, .n = OL_N_QUANTISED};
}

static void describe_sites(const struct job *j, struct ol_quantisation *block,
                           struct ol_arena *arena)
{
    const int64_t n = j->q->a->n_sites;
    struct ol_quantised_site *sites = ol_list_new(&block->sites, n, sizeof *sites, arena);
    for (int64_t i = 0; i < n; i++) {
        struct ol_quantise_errors *errors = j->sites[i];
        sites[i] = (struct ol_quantised_site){
            .layer = j->q->a->sites[i].layer,
            .site = ol_site_name(j->q->a->sites[i].site),
            .error = by_method(errors[AS_IT_IS].pooled),
            .error_without_dims = by_method(errors[WITHOUT_DIMS].pooled),
            .error_without_tokens = by_method(errors[WITHOUT_TOKENS].pooled),
            .token_median = by_method(errors[AS_IT_IS].token_median),
            .zeroed = by_method(errors[AS_IT_IS].zeroed)};
    }
    block->sample_tokens = j->sample.n;
    block->sample_first = j->sample.n_first;
    block->k_tokens = j->q->n_kept;
    block->kept_tokens = j->q->marks != NULL ? "massive" : "worst";
    for (int m = 0; m < OL_N_QUANTISED; m++)
        rank(j, m, &block->ranking);
}

/* With no sites where there are no tensors; without summaries then too, nothing. */
static bool describe(const struct job *j, struct ol_quantisation *block,
                     struct ol_arena *arena)
{
    block->sample_tokens = block->sample_first = block->k_tokens = OL_ABSENT;
    block->seed = OL_SAMPLE_SEED;
    block->k_dims = K_DIMS;
    block->int8_divisor = OL_INT8_DIVISOR;
    ol_list_new(&block->sites, 0, 1, arena);
    ol_list_new(&block->ranking, OL_N_QUANTISED * MOST_RANKED,
                sizeof(struct ol_quantised_rank), arena);
    block->ranking.n = 0;
    ol_quantised_names(&block->methods, arena);
    ol_down_inputs_describe(j->q->a->parts, arena, &block->down);
    if (j->sites != NULL)
        describe_sites(j, block, arena);
    return j->sites != NULL || block->down.items != NULL;
}

struct ol_sample ol_quantisation_sample(const struct ol_parts *parts)
{
    struct ol_sampler *sampler = ol_sampler_new(MOST_FIRST, MOST_OTHERS);
    for (int64_t s = 0; s < parts->n_sequences; s++)
        for (int64_t p = 0; p < parts->lengths[s]; p++)
            ol_sampler_add(sampler, s, p);
    return ol_sampler_finish(sampler);
}

static void begin_buffers(const struct job *j, struct buffers *b)
{
    const struct quantisation *q = j->q;
    const bool worst = q->marks == NULL; /* they are found site by site */
    const size_t d = q->d_model, n = (size_t)j->sample.n,
                 n_tokens = worst ? (size_t)q->a->parts->n_tokens : 0,
                 n_kept = worst ? (size_t)q->n_kept : 0;
    *b = (struct buffers){.x = ol_xcalloc(n * d, sizeof *b->x),
                          .columns = ol_xcalloc(d, sizeof *b->columns),
                          .scratch =
                              ol_xcalloc(OL_QUANTISE_SCRATCH * d, sizeof *b->scratch),
                          .per_row = ol_xcalloc(OL_N_QUANTISED * n, sizeof *b->per_row),
                          .weights = ol_xcalloc(n, sizeof *b->weights),
                          .sorted = ol_xcalloc(2 * n_kept, sizeof *b->sorted),
                          .kept = ol_xcalloc(n_tokens, 1)};
}

static void end_buffers(struct buffers *b)
{
    free(b->x);
    free(b->columns);
    free(b->scratch);
    free(b->per_row);
    free(b->weights);
    free(b->sorted);
    free(b->kept);
}

static bool results(const struct ol_analysis *a, void *state, void *block,
                    struct ol_arena *arena)
{
    const struct quantisation *q = state;
    if (q->columns == NULL)
        return describe(&(struct job){.q = q}, block, arena);
    struct job j = {
        .q = q,
        .sample = ol_quantisation_sample(a->parts),
        .buffers = ol_xcalloc((size_t)a->n_threads, sizeof *j.buffers),
        .sites = ol_arena_calloc(arena, (size_t)a->n_sites, sizeof *j.sites),
    };
    for (int i = 0; i < a->n_threads; i++)
        begin_buffers(&j, &j.buffers[i]);
    ol_pool_run(a->pool, a->n_sites, measure, &j);
    const bool known = describe(&j, block, arena);
    for (int i = 0; i < a->n_threads; i++)
        end_buffers(&j.buffers[i]);
    free(j.buffers);
    ol_sample_clear(&j.sample);
    return known;
}

const struct ol_statistic ol_quantisation_statistic = {.name = "quantisation",
                                                       .begin = begin,
                                                       .block = block,
                                                       .end = end,
                                                       .results = results};
