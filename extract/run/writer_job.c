#include "extract/run/writer_job.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

static int most_units(const struct ol_activation_layout *layout)
{
    int n = 0;
    for (int l = 0; l < layout->n_layers; l++)
        n = layout->layers[l].n_units > n ? layout->layers[l].n_units : n;
    return n;
}

void ol_writer_output_init(struct ol_writer_output *o,
                           const struct ol_writer_target *target)
{
    const struct ol_activation_layout *layout = target->layout;
    *o = (struct ol_writer_output){.to = *target};
    o->starts = ol_xcalloc((size_t)layout->n_sequences + 1, sizeof *o->starts);
    for (int64_t i = 0; i < layout->n_sequences; i++)
        o->starts[i + 1] = o->starts[i] + target->lengths[i];
    ol_unit_table_init(&o->units, o->starts, target->n_experts, most_units(layout));
    if (layout->dtype != target->dtype)
        o->converted = ol_xcalloc((size_t)layout->n_tokens * (size_t)layout->d_model,
                                  ol_dtype_size(layout->dtype));
}

void ol_writer_output_clear(struct ol_writer_output *o)
{
    free(o->states);
    ol_unit_table_clear(&o->units);
    free(o->converted);
    free(o->starts);
}

const struct ol_activation_layer *ol_writer_output_layer(const struct ol_writer_output *o,
                                                         int layer)
{
    for (int i = 0; i < o->to.layout->n_layers; i++)
        if (o->to.layout->layers[i].number == layer)
            return &o->to.layout->layers[i];
    return NULL;
}

void ol_writer_job_free(struct ol_writer_job *job)
{
    free(job->rows);
    free(job->weights);
    free(job);
}

int64_t ol_writer_job_stage(const struct ol_writer_job *job)
{
    enum { STAGES = 4 };
    static const int of_kind[] = {
        [OL_JOB_ROUTER] = 1, [OL_JOB_STATES] = 3, [OL_JOB_NLL] = STAGES,
        [OL_JOB_WRITES] = 2, [OL_JOB_UNITS] = 2,  [OL_JOB_SQUARES] = 2};
    static const int of_site[] = {[OL_SITE_LN_ATTN] = 0,
                                  [OL_SITE_RESIDUAL_ATTN] = 0,
                                  [OL_SITE_LN_MLP] = 1,
                                  [OL_SITE_RESIDUAL_MLP] = 1};
    static const int of_summary[] = {
        [OL_SUMMARY_LN_ATTN] = 0, [OL_SUMMARY_LN_MLP] = 1, [OL_SUMMARY_OUTPUT] = 3};
    const bool digest = job->kind == OL_JOB_DIGEST || job->kind == OL_JOB_COUNTS;
    const int stage = job->kind == OL_JOB_SITE ? of_site[job->site]
                      : digest                 ? of_summary[job->summary]
                                               : of_kind[job->kind];
    return (int64_t)job->layer * STAGES + stage;
}

/* ---- what is written ---- */

/* Rows of one sequence, converted to the file's type where it is another. */
static const void *convert(struct ol_writer_output *o, const void *rows, size_t n)
{
    const enum ol_dtype to = o->to.layout->dtype;
    if (to == o->to.dtype)
        return rows;
    if (to == OL_DTYPE_F32)
        ol_to_f32(o->to.dtype, rows, o->converted, n);
    else
        ol_from_f32(to, rows, o->converted, n);
    return o->converted;
}

/* The part of rows [first, first + n) that lies in one sequence. */
struct span {
    int64_t sequence, token, n, row; /* row: counted from first */
};

static bool next_span(const struct ol_writer_output *o, int64_t first, int64_t n,
                      struct span *s)
{
    int64_t row = s->row + s->n;
    while (s->sequence < o->to.layout->n_sequences &&
           o->starts[s->sequence + 1] <= first + row)
        s->sequence++;
    if (row >= n)
        return false;
    const int64_t end = o->starts[s->sequence + 1];
    s->token = first + row - o->starts[s->sequence];
    s->n = (end < first + n ? end : first + n) - (first + row);
    s->row = row;
    return true;
}

static int write_summary(struct ol_writer_output *o, int layer, enum ol_summary_site site,
                         struct ol_error *err)
{
    const float *gains = site == OL_SUMMARY_OUTPUT ? NULL : o->to.gains[layer][site];
    struct ol_activation_summary summary = *ol_summary_site(o->to.summary, gains);
    if (site == OL_SUMMARY_OUTPUT) {
        summary.counts = NULL;
        summary.maxima = NULL;
    }
    return ol_activation_write_summary(o->to.file, layer, site, &summary, err);
}

static int64_t n_rows_of(const struct ol_writer_output *o)
{
    return o->starts[o->to.layout->n_sequences];
}

static bool is_last(const struct ol_writer_output *o, const struct ol_writer_job *job)
{
    return job->first + job->n == n_rows_of(o);
}

static size_t row_bytes(const struct ol_writer_output *o)
{
    return (size_t)o->to.layout->d_model * ol_dtype_size(o->to.dtype);
}

static int write_site(struct ol_writer_output *o, const struct ol_writer_job *job,
                      struct ol_error *err)
{
    const size_t d = (size_t)o->to.layout->d_model;
    struct span s = {0};
    while (next_span(o, job->first, job->n, &s)) {
        const char *rows = (const char *)job->rows + (size_t)s.row * row_bytes(o);
        if (ol_activation_write_site(o->to.file, job->layer, job->site, s.sequence,
                                     s.token, s.n, convert(o, rows, (size_t)s.n * d),
                                     err) != 0)
            return -1;
    }
    return 0;
}

static void add_digest(struct ol_writer_output *o, const struct ol_writer_job *job)
{
    struct span s = {0};
    next_span(o, job->first, job->n, &s);
    assert(s.token == 0 && s.n == job->n && s.n == o->to.lengths[s.sequence]);
    ol_summary_add(o->to.summary, s.sequence, job->rows);
}

static int add_counts(struct ol_writer_output *o, const struct ol_writer_job *job,
                      struct ol_error *err)
{
    ol_summary_add_counts(o->to.summary, job->rows);
    return is_last(o, job) ? write_summary(o, job->layer, job->summary, err) : 0;
}

/* The states of all parts; NULL while one's are missing, as they stay when it failed. */
static const void *join_states(struct ol_writer_output *o,
                               const struct ol_writer_job *job)
{
    if (o->to.n_parts == 1)
        return job->rows;
    if (o->states == NULL)
        o->states = ol_xcalloc((size_t)n_rows_of(o), row_bytes(o));
    if (job->first == 0) {
        o->states_layer = job->layer;
        o->n_states = 0;
    }
    if (o->states_layer != job->layer || o->n_states != job->first)
        return NULL;
    memcpy(o->states + (size_t)job->first * row_bytes(o), job->rows,
           (size_t)job->n * row_bytes(o));
    o->n_states += job->n;
    return o->n_states == n_rows_of(o) ? o->states : NULL;
}

static int write_states(struct ol_writer_output *o, const struct ol_writer_job *job,
                        struct ol_error *err)
{
    const void *states = join_states(o, job);
    void *extra = NULL;
    size_t bytes = 0;
    if (states == NULL)
        return 0;
    /* The states speak for everything before them. */
    if (ol_activation_sync(o->to.file, err) != 0)
        return -1;
    if (o->to.summary != NULL)
        ol_summary_save(o->to.summary, &extra, &bytes);
    const int status = ol_state_put(o->to.states, job->layer, states, extra, bytes, err);
    free(extra);
    return status;
}

static int write_writes(struct ol_writer_output *o, const struct ol_writer_job *job,
                        struct ol_error *err)
{
    const int64_t width = (int64_t)(job->bytes / ((size_t)job->n * sizeof *job->weights));
    const uint16_t *features = job->rows;
    struct span s = {0};
    while (next_span(o, job->first, job->n, &s))
        if (ol_activation_write_writes(o->to.file, job->layer, s.sequence, s.token, s.n,
                                       features + s.row * OL_TOP_FEATURES,
                                       job->weights + s.row * width, err) != 0)
            return -1;
    return 0;
}

static int write_units(struct ol_writer_output *o, const struct ol_writer_job *job,
                       struct ol_error *err)
{
    const bool routed = ol_writer_output_layer(o, job->layer)->top_k > 0;
    ol_unit_table_add(&o->units, job->first == 0, job->rows, job->n_units);
    if (!is_last(o, job))
        return 0;
    double *table = ol_xcalloc((size_t)job->n_units * OL_N_UNIT_COLUMNS, sizeof *table);
    ol_unit_table_fill(&o->units, job->n_units, routed, table);
    const int status = ol_activation_write_units(o->to.file, job->layer, table, err);
    free(table);
    return status;
}

static int write_router(struct ol_writer_output *o, const struct ol_writer_job *job,
                        struct ol_error *err)
{
    const int top_k = ol_writer_output_layer(o, job->layer)->top_k;
    const uint16_t *ids = job->rows;
    struct span s = {0};
    ol_unit_table_add_gates(&o->units, job->first == 0, job->n * top_k, ids,
                            job->weights);
    while (next_span(o, job->first, job->n, &s))
        if (ol_activation_write_router(o->to.file, job->layer, s.sequence, s.token, s.n,
                                       ids + s.row * top_k, job->weights + s.row * top_k,
                                       err) != 0)
            return -1;
    return 0;
}

static int write_nll(struct ol_writer_output *o, const struct ol_writer_job *job,
                     struct ol_error *err)
{
    const int64_t n_tokens = o->to.layout->n_tokens;
    const float *nll = job->rows;
    float *row = ol_xmalloc((size_t)n_tokens * sizeof *row);
    int status = 0;
    for (int64_t i = 0; i < o->to.layout->n_sequences && status == 0; i++) {
        const int64_t n = o->to.lengths[i];
        if (o->starts[i] < job->first || o->starts[i] >= job->first + job->n)
            continue;
        memcpy(row, nll + (o->starts[i] - job->first), (size_t)n * sizeof *row);
        for (int64_t t = 1; t < n; t++, o->n_nll++)
            o->nll_sum += (double)row[t];
        for (int64_t t = n; t < n_tokens; t++)
            row[t] = NAN;
        status = ol_activation_write_nll(o->to.file, i, row, err);
    }
    free(row);
    return status;
}

int ol_writer_job_run(struct ol_writer_output *o, const struct ol_writer_job *job,
                      struct ol_error *err)
{
    switch (job->kind) {
    case OL_JOB_SITE:
        return write_site(o, job, err);
    case OL_JOB_DIGEST:
        add_digest(o, job);
        return 0;
    case OL_JOB_COUNTS:
        return add_counts(o, job, err);
    case OL_JOB_ROUTER:
        return write_router(o, job, err);
    case OL_JOB_STATES:
        return write_states(o, job, err);
    case OL_JOB_NLL:
        return write_nll(o, job, err);
    case OL_JOB_WRITES:
        return write_writes(o, job, err);
    case OL_JOB_UNITS:
        return write_units(o, job, err);
    case OL_JOB_SQUARES:
        return ol_activation_write_squares(o->to.file, job->layer, job->input, job->rows,
                                           err);
    }
    return -1;
}
