/* A queue for each part. A job belongs to a stage of the run, and of the jobs that are
 * first in their queues the one of the earliest stage, and then of the first part, is
 * next; but not while a part whose queue is empty may still hand over one before it:
 *
 *     part 0   [ 4 sites | 5 router ]        part 1's sites of stage 4 are waited for
 *     part 1   [            empty   ]        before the router of stage 5 is written
 */
#include "extract/writer.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/magnitude.h"

enum job_kind { SITE, DIGEST, COUNTS, ROUTER, STATES, NLL, WRITES, UNITS, SQUARES };

struct job {
    enum job_kind kind;
    int part, layer;
    enum ol_site site;
    enum ol_summary_site summary; /* DIGEST, COUNTS */
    enum ol_input input;
    int64_t first, n;
    void *rows;     /* owned; DIGEST, COUNTS, ROUTER: ids, WRITES: features, ... */
    float *weights; /* owned; ROUTER, and the writes of WRITES */
    int n_units;
    size_t bytes;
    int64_t stage;
    struct job *next;
};

struct queue {
    struct job *first, **last;
    size_t waiting; /* bytes, of the job that is being written too */
    int64_t stage;  /* of the last job that came */
    bool ended;
};

struct ol_writer {
    struct ol_writer_target to;
    int64_t *starts; /* [n_sequences + 1]: first row of each sequence */
    void *converted; /* one sequence's rows in the file's dtype */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct queue *queues;       /* [to.n_parts] */
    struct ol_unit_table units; /* what the layer's parts came to so far */
    char *states;               /* [n_rows, d_model]: of several parts, */
    int states_layer;           /* after that layer, */
    int64_t n_states;           /* so many rows, without a gap */
    double nll_sum;
    int64_t n_nll;
    bool busy, stopping;
    double waited;
    struct ol_error failure;
};

static const struct ol_activation_layer *find_layer(const struct ol_writer *w, int layer)
{
    for (int i = 0; i < w->to.layout->n_layers; i++)
        if (w->to.layout->layers[i].number == layer)
            return &w->to.layout->layers[i];
    return NULL;
}

/* ---- the thread ---- */

/* Rows of one sequence, converted to the file's type where it is another. */
static const void *convert(struct ol_writer *w, const void *rows, size_t n)
{
    const enum ol_dtype to = w->to.layout->dtype;
    if (to == w->to.dtype)
        return rows;
    if (to == OL_DTYPE_F32)
        ol_to_f32(w->to.dtype, rows, w->converted, n);
    else
        ol_from_f32(to, rows, w->converted, n);
    return w->converted;
}

/* The part of rows [first, first + n) that lies in one sequence. */
struct span {
    int64_t sequence, token, n, row; /* row: counted from first */
};

static bool next_span(const struct ol_writer *w, int64_t first, int64_t n, struct span *s)
{
    int64_t row = s->row + s->n;
    while (s->sequence < w->to.layout->n_sequences &&
           w->starts[s->sequence + 1] <= first + row)
        s->sequence++;
    if (row >= n)
        return false;
    const int64_t end = w->starts[s->sequence + 1];
    s->token = first + row - w->starts[s->sequence];
    s->n = (end < first + n ? end : first + n) - (first + row);
    s->row = row;
    return true;
}

static int write_summary(struct ol_writer *w, int layer, enum ol_summary_site site,
                         struct ol_error *err)
{
    const float *gains = site == OL_SUMMARY_OUTPUT ? NULL : w->to.gains[layer][site];
    struct ol_activation_summary summary = *ol_summary_site(w->to.summary, gains);
    if (site == OL_SUMMARY_OUTPUT) {
        summary.counts = NULL;
        summary.maxima = NULL;
    }
    return ol_activation_write_summary(w->to.file, layer, site, &summary, err);
}

static int64_t n_rows_of(const struct ol_writer *w)
{
    return w->starts[w->to.layout->n_sequences];
}

static bool is_last(const struct ol_writer *w, const struct job *job)
{
    return job->first + job->n == n_rows_of(w);
}

static size_t row_bytes(const struct ol_writer *w)
{
    return (size_t)w->to.layout->d_model * ol_dtype_size(w->to.dtype);
}

static int write_site(struct ol_writer *w, const struct job *job, struct ol_error *err)
{
    const size_t d = (size_t)w->to.layout->d_model;
    struct span s = {0};
    while (next_span(w, job->first, job->n, &s)) {
        const char *rows = (const char *)job->rows + (size_t)s.row * row_bytes(w);
        if (ol_activation_write_site(w->to.file, job->layer, job->site, s.sequence,
                                     s.token, s.n, convert(w, rows, (size_t)s.n * d),
                                     err) != 0)
            return -1;
    }
    return 0;
}

static void add_digest(struct ol_writer *w, const struct job *job)
{
    struct span s = {0};
    next_span(w, job->first, job->n, &s);
    assert(s.token == 0 && s.n == job->n && s.n == w->to.lengths[s.sequence]);
    ol_summary_add(w->to.summary, s.sequence, job->rows);
}

static int add_counts(struct ol_writer *w, const struct job *job, struct ol_error *err)
{
    ol_summary_add_counts(w->to.summary, job->rows);
    return is_last(w, job) ? write_summary(w, job->layer, job->summary, err) : 0;
}

/* The states of all parts; NULL while one's are missing, as they stay when it failed. */
static const void *join_states(struct ol_writer *w, const struct job *job)
{
    if (w->to.n_parts == 1)
        return job->rows;
    if (w->states == NULL)
        w->states = ol_xcalloc((size_t)n_rows_of(w), row_bytes(w));
    if (job->first == 0) {
        w->states_layer = job->layer;
        w->n_states = 0;
    }
    if (w->states_layer != job->layer || w->n_states != job->first)
        return NULL;
    memcpy(w->states + (size_t)job->first * row_bytes(w), job->rows,
           (size_t)job->n * row_bytes(w));
    w->n_states += job->n;
    return w->n_states == n_rows_of(w) ? w->states : NULL;
}

static int write_states(struct ol_writer *w, const struct job *job, struct ol_error *err)
{
    const void *states = join_states(w, job);
    void *extra = NULL;
    size_t bytes = 0;
    if (states == NULL)
        return 0;
    /* The states speak for everything before them. */
    if (ol_activation_sync(w->to.file, err) != 0)
        return -1;
    if (w->to.summary != NULL)
        ol_summary_save(w->to.summary, &extra, &bytes);
    const int status = ol_state_put(w->to.states, job->layer, states, extra, bytes, err);
    free(extra);
    return status;
}

static int write_writes(struct ol_writer *w, const struct job *job, struct ol_error *err)
{
    const int64_t width = (int64_t)(job->bytes / ((size_t)job->n * sizeof *job->weights));
    const uint16_t *features = job->rows;
    struct span s = {0};
    while (next_span(w, job->first, job->n, &s))
        if (ol_activation_write_writes(w->to.file, job->layer, s.sequence, s.token, s.n,
                                       features + s.row * OL_TOP_FEATURES,
                                       job->weights + s.row * width, err) != 0)
            return -1;
    return 0;
}

static int write_units(struct ol_writer *w, const struct job *job, struct ol_error *err)
{
    const bool routed = find_layer(w, job->layer)->top_k > 0;
    ol_unit_table_add(&w->units, job->first == 0, job->rows, job->n_units);
    if (!is_last(w, job))
        return 0;
    double *table = ol_xcalloc((size_t)job->n_units * OL_N_UNIT_COLUMNS, sizeof *table);
    ol_unit_table_fill(&w->units, job->n_units, routed, table);
    const int status = ol_activation_write_units(w->to.file, job->layer, table, err);
    free(table);
    return status;
}

static int write_router(struct ol_writer *w, const struct job *job, struct ol_error *err)
{
    const int top_k = find_layer(w, job->layer)->top_k;
    const uint16_t *ids = job->rows;
    struct span s = {0};
    ol_unit_table_add_gates(&w->units, job->first == 0, job->n * top_k, ids,
                            job->weights);
    while (next_span(w, job->first, job->n, &s))
        if (ol_activation_write_router(w->to.file, job->layer, s.sequence, s.token, s.n,
                                       ids + s.row * top_k, job->weights + s.row * top_k,
                                       err) != 0)
            return -1;
    return 0;
}

static int write_nll(struct ol_writer *w, const struct job *job, struct ol_error *err)
{
    const int64_t n_tokens = w->to.layout->n_tokens;
    const float *nll = job->rows;
    float *row = ol_xmalloc((size_t)n_tokens * sizeof *row);
    int status = 0;
    for (int64_t i = 0; i < w->to.layout->n_sequences && status == 0; i++) {
        const int64_t n = w->to.lengths[i];
        if (w->starts[i] < job->first || w->starts[i] >= job->first + job->n)
            continue;
        memcpy(row, nll + (w->starts[i] - job->first), (size_t)n * sizeof *row);
        for (int64_t t = 1; t < n; t++, w->n_nll++)
            w->nll_sum += (double)row[t];
        for (int64_t t = n; t < n_tokens; t++)
            row[t] = NAN;
        status = ol_activation_write_nll(w->to.file, i, row, err);
    }
    free(row);
    return status;
}

static int run_job(struct ol_writer *w, const struct job *job, struct ol_error *err)
{
    switch (job->kind) {
    case SITE:
        return write_site(w, job, err);
    case DIGEST:
        add_digest(w, job);
        return 0;
    case COUNTS:
        return add_counts(w, job, err);
    case ROUTER:
        return write_router(w, job, err);
    case STATES:
        return write_states(w, job, err);
    case NLL:
        return write_nll(w, job, err);
    case WRITES:
        return write_writes(w, job, err);
    case UNITS:
        return write_units(w, job, err);
    case SQUARES:
        return ol_activation_write_squares(w->to.file, job->layer, job->input, job->rows,
                                           err);
    }
    return -1;
}

static void free_job(struct job *job)
{
    free(job->rows);
    free(job->weights);
    free(job);
}

/* The part whose job is next, or -1. */
static int next_part(const struct ol_writer *w)
{
    int next = -1;
    for (int p = 0; p < w->to.n_parts; p++)
        if (w->queues[p].first != NULL &&
            (next < 0 || w->queues[p].first->stage < w->queues[next].first->stage))
            next = p;
    for (int p = 0; p < w->to.n_parts && next >= 0; p++) {
        const struct queue *q = &w->queues[p];
        const int64_t stage = w->queues[next].first->stage;
        if (q->first == NULL && !q->ended &&
            (q->stage < stage || (q->stage == stage && p < next)))
            next = -1;
    }
    return next;
}

static void *work(void *arg)
{
    struct ol_writer *w = arg;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        int part = -1;
        while (!w->stopping && (part = next_part(w)) < 0)
            pthread_cond_wait(&w->changed, &w->mutex);
        if (w->stopping)
            break;
        struct queue *q = &w->queues[part];
        struct job *job = q->first;
        q->first = job->next;
        if (q->first == NULL)
            q->last = &q->first;
        w->busy = true;
        const bool failed = w->failure.text[0] != '\0';
        pthread_mutex_unlock(&w->mutex);
        struct ol_error err = {0};
        const int status = failed ? 0 : run_job(w, job, &err);
        pthread_mutex_lock(&w->mutex);
        if (status != 0)
            ol_fail(&w->failure, "%s", err.text);
        w->busy = false;
        q->waiting -= job->bytes;
        free_job(job);
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* ---- the interface ---- */

static int most_units(const struct ol_activation_layout *layout)
{
    int n = 0;
    for (int l = 0; l < layout->n_layers; l++)
        n = layout->layers[l].n_units > n ? layout->layers[l].n_units : n;
    return n;
}

/* After the thread has ended, or without one. */
static void free_all(struct ol_writer *w)
{
    for (int p = 0; p < w->to.n_parts; p++)
        for (struct job *job = w->queues[p].first, *next; job != NULL; job = next) {
            next = job->next;
            free_job(job);
        }
    free(w->states);
    ol_unit_table_clear(&w->units);
    free(w->queues);
    free(w->converted);
    free(w->starts);
    free(w);
}

struct ol_writer *ol_writer_new(const struct ol_writer_target *target,
                                struct ol_error *err)
{
    const struct ol_activation_layout *layout = target->layout;
    struct ol_writer *w = ol_xcalloc(1, sizeof *w);
    w->to = *target;
    w->queues = ol_xcalloc((size_t)target->n_parts, sizeof *w->queues);
    for (int p = 0; p < target->n_parts; p++)
        w->queues[p] = (struct queue){.last = &w->queues[p].first, .stage = INT64_MIN};
    w->starts = ol_xcalloc((size_t)layout->n_sequences + 1, sizeof *w->starts);
    for (int64_t i = 0; i < layout->n_sequences; i++)
        w->starts[i + 1] = w->starts[i] + target->lengths[i];
    ol_unit_table_init(&w->units, w->starts, target->n_experts, most_units(layout));
    if (layout->dtype != target->dtype)
        w->converted = ol_xcalloc((size_t)layout->n_tokens * (size_t)layout->d_model,
                                  ol_dtype_size(layout->dtype));
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int code = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0)
        return w;
    ol_fail(err, "cannot start a thread that writes: %s", strerror(code));
    free_all(w);
    return NULL;
}

/* The mutex is held. */
static int failed(const struct ol_writer *w, struct ol_error *err)
{
    return w->failure.text[0] != '\0' ? ol_fail(err, "%s", w->failure.text) : 0;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The mutex is held. */
static void wait_for_change(struct ol_writer *w)
{
    const double start = seconds_now();
    pthread_cond_wait(&w->changed, &w->mutex);
    w->waited += seconds_now() - start;
}

double ol_writer_waited(struct ol_writer *w)
{
    pthread_mutex_lock(&w->mutex);
    const double waited = w->waited;
    pthread_mutex_unlock(&w->mutex);
    return waited;
}

int ol_writer_finish(struct ol_writer *w, struct ol_error *err)
{
    pthread_mutex_lock(&w->mutex);
    for (int p = 0; p < w->to.n_parts; p++)
        w->queues[p].ended = true;
    pthread_cond_broadcast(&w->changed);
    while (next_part(w) >= 0 || w->busy)
        wait_for_change(w);
    const int status = failed(w, err);
    pthread_mutex_unlock(&w->mutex);
    return status;
}

void ol_writer_end_part(struct ol_writer *w, int part)
{
    pthread_mutex_lock(&w->mutex);
    w->queues[part].ended = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

double ol_writer_mean_nll(const struct ol_writer *w, int64_t *n)
{
    *n = w->n_nll;
    return w->nll_sum / (double)w->n_nll;
}

void ol_writer_free(struct ol_writer *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    free_all(w);
}

bool ol_writer_wants_layer(const struct ol_writer *w, int layer)
{
    return find_layer(w, layer) != NULL;
}

bool ol_writer_wants_site(const struct ol_writer *w, int layer, enum ol_site site)
{
    const struct ol_activation_layer *l = find_layer(w, layer);
    return l != NULL && l->sites[site];
}

/* In the stream itself nothing is an occurrence. */
bool ol_writer_wants_digest(const struct ol_writer *w, int layer,
                            enum ol_summary_site site, uint32_t *least)
{
    const struct ol_activation_layer *l = find_layer(w, layer);
    *least = site == OL_SUMMARY_OUTPUT ? 0 : ol_least_bf16(w->to.layout->threshold);
    return l != NULL && l->summary_sites[site];
}

void *ol_writer_room(struct ol_writer *w, int part, size_t bytes, struct ol_error *err)
{
    const struct queue *q = &w->queues[part];
    pthread_mutex_lock(&w->mutex);
    while (q->waiting > 0 && q->waiting + bytes > w->to.most_waiting)
        wait_for_change(w);
    const int status = failed(w, err);
    pthread_mutex_unlock(&w->mutex);
    if (status != 0)
        return NULL;
    void *room = malloc(bytes > 0 ? bytes : 1);
    if (room == NULL)
        ol_fail(err, "out of memory: %zu bytes of rows to be written", bytes);
    return room;
}

/* Stages of a layer: sites before attention, everything before the MLP, what came of it,
 * the stream after it. */
static int64_t stage_of(const struct job *job)
{
    enum { STAGES = 4 };
    static const int of_kind[] = {[ROUTER] = 1, [STATES] = 3, [NLL] = STAGES,
                                  [WRITES] = 2, [UNITS] = 2,  [SQUARES] = 2};
    static const int of_site[] = {[OL_SITE_LN_ATTN] = 0,
                                  [OL_SITE_RESIDUAL_ATTN] = 0,
                                  [OL_SITE_LN_MLP] = 1,
                                  [OL_SITE_RESIDUAL_MLP] = 1};
    static const int of_summary[] = {
        [OL_SUMMARY_LN_ATTN] = 0, [OL_SUMMARY_LN_MLP] = 1, [OL_SUMMARY_OUTPUT] = 3};
    const bool digest = job->kind == DIGEST || job->kind == COUNTS;
    const int stage = job->kind == SITE ? of_site[job->site]
                      : digest          ? of_summary[job->summary]
                                        : of_kind[job->kind];
    return (int64_t)job->layer * STAGES + stage;
}

static int put(struct ol_writer *w, const struct ol_writer_rows *at, struct job *model,
               struct ol_error *err)
{
    struct job *job = ol_xmalloc(sizeof *job);
    struct queue *q = &w->queues[at->part];
    model->part = at->part;
    model->layer = at->layer;
    model->first = at->first;
    model->n = at->n;
    model->stage = stage_of(model);
    *job = *model;
    job->next = NULL;
    pthread_mutex_lock(&w->mutex);
    const int status = failed(w, err);
    if (status == 0) {
        assert(job->stage >= q->stage);
        *q->last = job;
        q->last = &job->next;
        q->waiting += job->bytes;
        q->stage = job->stage;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    if (status != 0)
        free_job(job);
    return status;
}

int ol_writer_take_site(struct ol_writer *w, const struct ol_writer_rows *at,
                        enum ol_site site, void *rows, struct ol_error *err)
{
    struct job job = {
        .kind = SITE, .site = site, .rows = rows, .bytes = (size_t)at->n * row_bytes(w)};
    return put(w, at, &job, err);
}

int ol_writer_take_digest(struct ol_writer *w, const struct ol_writer_rows *at,
                          enum ol_summary_site site, struct ol_digest *digest,
                          struct ol_error *err)
{
    struct job job = {.kind = DIGEST,
                      .summary = site,
                      .rows = digest,
                      .bytes = ol_digest_bytes(digest->n_rows, digest->n_cols)};
    return put(w, at, &job, err);
}

int ol_writer_take_counts(struct ol_writer *w, const struct ol_writer_rows *at,
                          enum ol_summary_site site, int64_t *counts,
                          struct ol_error *err)
{
    struct job job = {.kind = COUNTS, .summary = site, .rows = counts};
    return put(w, at, &job, err);
}

int ol_writer_take_router(struct ol_writer *w, const struct ol_writer_rows *at,
                          uint16_t *ids, float *weights, struct ol_error *err)
{
    struct job job = {.kind = ROUTER, .rows = ids, .weights = weights};
    return put(w, at, &job, err);
}

int ol_writer_take_states(struct ol_writer *w, const struct ol_writer_rows *at,
                          void *rows, struct ol_error *err)
{
    struct job job = {
        .kind = STATES, .rows = rows, .bytes = (size_t)at->n * row_bytes(w)};
    return put(w, at, &job, err);
}

int ol_writer_take_nll(struct ol_writer *w, const struct ol_writer_rows *at, float *nll,
                       struct ol_error *err)
{
    struct job job = {.kind = NLL, .rows = nll};
    return put(w, at, &job, err);
}

int ol_writer_take_writes(struct ol_writer *w, const struct ol_writer_rows *at,
                          uint16_t *features, float *writes, size_t bytes,
                          struct ol_error *err)
{
    struct job job = {
        .kind = WRITES, .rows = features, .weights = writes, .bytes = bytes};
    return put(w, at, &job, err);
}

int ol_writer_take_units(struct ol_writer *w, const struct ol_writer_rows *at,
                         struct ol_unit *units, int n_units, struct ol_error *err)
{
    struct job job = {.kind = UNITS, .rows = units, .n_units = n_units};
    return put(w, at, &job, err);
}

int ol_writer_take_squares(struct ol_writer *w, const struct ol_writer_rows *at,
                           enum ol_input input, double *squares, struct ol_error *err)
{
    struct job job = {.kind = SQUARES, .input = input, .rows = squares};
    return put(w, at, &job, err);
}
