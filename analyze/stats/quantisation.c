/* What quantising the activations would cost, site by site: the relative error of common
 * formats on a sample of tokens, as they are, with the dimensions of the largest
 * magnitude kept as they are, and with the tokens of the largest kept. Needs tensors. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quantise.h"
#include "analyze/statistics.h"
#include "common/magnitude.h"

enum { SAMPLE = 256, K_DIMS = 8, K_TOKENS = 4, MOST_RANKED = 32 };

enum variant { AS_IT_IS, WITHOUT_DIMS, WITHOUT_TOKENS, N_VARIANTS };

struct site_errors {
    double errors[N_VARIANTS][OL_N_QUANTISED];
};

struct job {
    const struct ol_analysis *a;
    int64_t n_sample;
    size_t d_model;
    float **x;       /* [threads][n_sample * d_model] */
    float **scratch; /* [threads][OL_QUANTISE_SCRATCH * d_model] */
    struct site_errors *sites;
};

/* Sampled tokens are evenly spaced through all sequences, the first of the first among
 * them. */
static void read_sample(const struct job *j, int site, float *x)
{
    const struct ol_parts *parts = j->a->parts;
    const struct ol_activation_layout *layout = ol_parts_layout(parts);
    const size_t row_bytes = j->d_model * ol_dtype_size(layout->dtype);
    int64_t sequence = 0, before = 0; /* tokens before the sequence */
    for (int64_t i = 0; i < j->n_sample; i++) {
        const int64_t token = i * parts->n_tokens / j->n_sample;
        while (token >= before + parts->lengths[sequence])
            before += parts->lengths[sequence++];
        const char *rows = ol_activation_site(
            parts->files[parts->file_of[sequence]], j->a->sites[site].i_layer,
            j->a->sites[site].site, parts->number_of[sequence]);
        ol_to_f32(layout->dtype, rows + (size_t)(token - before) * row_bytes,
                  x + (size_t)i * j->d_model, j->d_model);
    }
}

/* Set the k of n with the largest keys to 0, one after another, ties to the first. */
static void drop_largest(float *keys, size_t n, int k,
                         void (*drop)(float *x, const struct job *j, size_t which),
                         float *x, const struct job *j)
{
    for (; k > 0; k--) {
        size_t most = 0;
        for (size_t i = 1; i < n; i++)
            most = keys[i] > keys[most] ? i : most;
        keys[most] = -1;
        drop(x, j, most);
    }
}

/* Zeros are exact in every format and do not change scales: what is kept apart counts
 * neither for nor against. */
static void drop_column(float *x, const struct job *j, size_t column)
{
    for (size_t i = 0; i < (size_t)j->n_sample; i++)
        x[i * j->d_model + column] = 0;
}

static void drop_row(float *x, const struct job *j, size_t row)
{
    memset(x + row * j->d_model, 0, j->d_model * sizeof *x);
}

static void drop_dims(float *x, const struct job *j)
{
    const size_t n = (size_t)j->n_sample, d = j->d_model;
    float *columns = ol_xcalloc(d, sizeof *columns);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < d; c++) {
            const float magnitude = fabsf(x[i * d + c]);
            columns[c] = magnitude > columns[c] ? magnitude : columns[c];
        }
    drop_largest(columns, d, K_DIMS, drop_column, x, j);
    free(columns);
}

static void drop_tokens(float *x, const struct job *j)
{
    const size_t n = (size_t)j->n_sample, d = j->d_model;
    float *rows = ol_xcalloc(n, sizeof *rows);
    for (size_t i = 0; i < n; i++)
        rows[i] = ol_largest_magnitude(x + i * d, (int64_t)d);
    drop_largest(rows, n, K_TOKENS, drop_row, x, j);
    free(rows);
}

/* Errors are of all values: what was kept adds none, but counts in the sum of squares. */
static void measure(void *arg, int64_t site, int thread)
{
    const struct job *j = arg;
    float *x = j->x[thread];
    double all = 0;
    for (int variant = 0; variant < N_VARIANTS; variant++) {
        double *errors = j->sites[site].errors[variant];
        read_sample(j, (int)site, x);
        if (variant == WITHOUT_DIMS)
            drop_dims(x, j);
        else if (variant == WITHOUT_TOKENS)
            drop_tokens(x, j);
        const double left = ol_quantise_errors(x, j->n_sample, (int64_t)j->d_model,
                                               j->scratch[thread], errors);
        if (variant == AS_IT_IS)
            all = left;
        /* Nothing left of something: nothing to be off. */
        for (int m = 0; m < OL_N_QUANTISED; m++)
            errors[m] = !isfinite(all)         ? NAN
                        : left == 0 && all > 0 ? 0
                                               : errors[m] * left / all;
    }
}

/* ---- the results ---- */

static struct ol_json *list_errors(const double errors[OL_N_QUANTISED])
{
    struct ol_json *list = ol_json_new_array();
    for (int m = 0; m < OL_N_QUANTISED; m++)
        ol_json_append(list, isfinite(errors[m]) ? ol_json_new_real(errors[m])
                                                 : ol_json_new_null());
    return list;
}

static void name_site(struct ol_json *one, const struct ol_site_of_run *site)
{
    ol_json_set(one, "layer", ol_json_new_int(site->layer));
    ol_json_set(one, "site", ol_json_new_string(ol_site_name(site->site)));
}

struct ranked {
    int site, method;
    double error;
};

static int by_error(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    if (a->error != b->error)
        return a->error > b->error ? -1 : 1;
    return a->site != b->site ? (a->site > b->site) - (a->site < b->site)
                              : a->method - b->method;
}

static struct ol_json *rank(const struct job *j)
{
    const size_t most = (size_t)j->a->n_sites * OL_N_QUANTISED;
    struct ranked *all = ol_xcalloc(most, sizeof *all);
    size_t n = 0;
    for (int site = 0; site < j->a->n_sites; site++)
        for (int m = 0; m < OL_N_QUANTISED; m++)
            if (isfinite(j->sites[site].errors[AS_IT_IS][m]))
                all[n++] = (struct ranked){site, m, j->sites[site].errors[AS_IT_IS][m]};
    if (n > 0)
        qsort(all, n, sizeof *all, by_error);
    struct ol_json *list = ol_json_new_array();
    for (size_t i = 0; i < n && i < MOST_RANKED; i++) {
        struct ol_json *one = ol_json_new_object();
        name_site(one, &j->a->sites[all[i].site]);
        ol_json_set(
            one, "method",
            ol_json_new_string(ol_quantised_name((enum ol_quantised)all[i].method)));
        ol_json_set(one, "error", ol_json_new_real(all[i].error));
        ol_json_append(list, one);
    }
    free(all);
    return list;
}

static struct ol_json *describe(const struct job *j)
{
    struct ol_json *block = ol_json_new_object(), *methods = ol_json_new_array(),
                   *sites = ol_json_new_array();
    for (int m = 0; m < OL_N_QUANTISED; m++)
        ol_json_append(methods,
                       ol_json_new_string(ol_quantised_name((enum ol_quantised)m)));
    for (int i = 0; i < j->a->n_sites; i++) {
        struct ol_json *one = ol_json_new_object();
        name_site(one, &j->a->sites[i]);
        ol_json_set(one, "error", list_errors(j->sites[i].errors[AS_IT_IS]));
        ol_json_set(one, "error_without_dims",
                    list_errors(j->sites[i].errors[WITHOUT_DIMS]));
        ol_json_set(one, "error_without_tokens",
                    list_errors(j->sites[i].errors[WITHOUT_TOKENS]));
        ol_json_append(sites, one);
    }
    ol_json_set(block, "sample_tokens", ol_json_new_int(j->n_sample));
    ol_json_set(block, "k_dims", ol_json_new_int(K_DIMS));
    ol_json_set(block, "k_tokens", ol_json_new_int(K_TOKENS));
    ol_json_set(block, "methods", methods);
    ol_json_set(block, "sites", sites);
    ol_json_set(block, "ranking", rank(j));
    return block;
}

static struct ol_json *results(const struct ol_analysis *a, void *state)
{
    (void)state;
    if (a->from_summaries || a->n_sites == 0)
        return ol_json_new_null();
    const size_t d = (size_t)ol_parts_layout(a->parts)->d_model;
    struct job j = {
        .a = a,
        .n_sample = a->parts->n_tokens < SAMPLE ? a->parts->n_tokens : SAMPLE,
        .d_model = d,
        .x = ol_xcalloc((size_t)a->n_threads, sizeof *j.x),
        .scratch = ol_xcalloc((size_t)a->n_threads, sizeof *j.scratch),
        .sites = ol_xcalloc((size_t)a->n_sites, sizeof *j.sites),
    };
    for (int i = 0; i < a->n_threads; i++) {
        j.x[i] = ol_xcalloc((size_t)j.n_sample * d, sizeof **j.x);
        j.scratch[i] = ol_xcalloc(OL_QUANTISE_SCRATCH * d, sizeof **j.scratch);
    }
    ol_pool_run(a->pool, a->n_sites, measure, &j);
    struct ol_json *block = describe(&j);
    for (int i = 0; i < a->n_threads; i++) {
        free(j.x[i]);
        free(j.scratch[i]);
    }
    free(j.sites);
    free(j.scratch);
    free(j.x);
    return block;
}

const struct ol_statistic ol_quantisation_statistic = {.name = "quantisation",
                                                       .results = results};
