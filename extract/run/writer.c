/* A queue for each part. A job belongs to a stage of the run, and of the jobs that are
 * first in their queues the one of the earliest stage, and then of the first part, is
 * next; but not while a part whose queue is empty may still hand over one before it:
 *
 *     part 0   [ 4 sites | 5 router ]        part 1's sites of stage 4 are waited for
 *     part 1   [            empty   ]        before the router of stage 5 is written
 */
#include "extract/run/writer.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/magnitude.h"
#include "common/process.h"
#include "extract/run/writer_job.h"

struct queue {
    struct ol_writer_job *first, **last;
    size_t waiting; /* bytes, of the job that is being written too */
    int64_t stage;  /* of the last job that came */
    bool ended;
};

struct ol_writer {
    struct ol_writer_output output; /* the thread's */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct queue *queues; /* [n_parts] */
    bool busy, stopping;
    double waited;
    struct ol_error failure;
};

/* ---- the thread ---- */

/* The part whose job is next, or -1. */
static int next_part(const struct ol_writer *w)
{
    int next = -1;
    for (int p = 0; p < w->output.to.n_parts; p++)
        if (w->queues[p].first != NULL &&
            (next < 0 || w->queues[p].first->stage < w->queues[next].first->stage))
            next = p;
    for (int p = 0; p < w->output.to.n_parts && next >= 0; p++) {
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
        struct ol_writer_job *job = q->first;
        q->first = job->next;
        if (q->first == NULL)
            q->last = &q->first;
        w->busy = true;
        const bool failed = w->failure.text[0] != '\0';
        pthread_mutex_unlock(&w->mutex);
        struct ol_error err = {0};
        const int status = failed ? 0 : ol_writer_job_run(&w->output, job, &err);
        pthread_mutex_lock(&w->mutex);
        if (status != 0)
            ol_fail(&w->failure, "%s", err.text);
        w->busy = false;
        q->waiting -= job->bytes;
        ol_writer_job_free(job);
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* ---- the interface ---- */

/* After the thread has ended, or without one. */
static void free_all(struct ol_writer *w)
{
    for (int p = 0; p < w->output.to.n_parts; p++)
        for (struct ol_writer_job *job = w->queues[p].first, *next; job != NULL;
             job = next) {
            next = job->next;
            ol_writer_job_free(job);
        }
    ol_writer_output_clear(&w->output);
    free(w->queues);
    free(w);
}

struct ol_writer *ol_writer_new(const struct ol_writer_target *target,
                                struct ol_error *err)
{
    struct ol_writer *w = ol_xcalloc(1, sizeof *w);
    ol_writer_output_init(&w->output, target);
    w->queues = ol_xcalloc((size_t)target->n_parts, sizeof *w->queues);
    for (int p = 0; p < target->n_parts; p++)
        w->queues[p] = (struct queue){.last = &w->queues[p].first, .stage = INT64_MIN};
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    sigset_t before;
    ol_process_block_signals(&before);
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
    for (int p = 0; p < w->output.to.n_parts; p++)
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
    *n = w->output.n_nll;
    return w->output.nll_sum / (double)w->output.n_nll;
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
    return ol_writer_output_layer(&w->output, layer) != NULL;
}

bool ol_writer_wants_site(const struct ol_writer *w, int layer, enum ol_site site)
{
    const struct ol_activation_layer *l = ol_writer_output_layer(&w->output, layer);
    return l != NULL && l->sites[site];
}

/* In the stream itself nothing is an occurrence. */
bool ol_writer_wants_digest(const struct ol_writer *w, int layer,
                            enum ol_summary_site site, uint32_t *least)
{
    const struct ol_activation_layer *l = ol_writer_output_layer(&w->output, layer);
    *least =
        site == OL_SUMMARY_OUTPUT ? 0 : ol_least_bf16(w->output.to.layout->threshold);
    return l != NULL && l->summary_sites[site];
}

void *ol_writer_room(struct ol_writer *w, int part, size_t bytes, struct ol_error *err)
{
    const struct queue *q = &w->queues[part];
    pthread_mutex_lock(&w->mutex);
    while (q->waiting > 0 && q->waiting + bytes > w->output.to.most_waiting)
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

static size_t row_bytes(const struct ol_writer *w, int64_t n)
{
    const struct ol_writer_target *to = &w->output.to;
    return (size_t)(n * to->layout->d_model) * ol_dtype_size(to->dtype);
}

static int put(struct ol_writer *w, const struct ol_writer_rows *at,
               struct ol_writer_job *model, struct ol_error *err)
{
    struct ol_writer_job *job = ol_xmalloc(sizeof *job);
    struct queue *q = &w->queues[at->part];
    model->part = at->part;
    model->layer = at->layer;
    model->first = at->first;
    model->n = at->n;
    model->stage = ol_writer_job_stage(model);
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
        ol_writer_job_free(job);
    return status;
}

int ol_writer_take_site(struct ol_writer *w, const struct ol_writer_rows *at,
                        enum ol_site site, void *rows, struct ol_error *err)
{
    struct ol_writer_job job = {
        .kind = OL_JOB_SITE, .site = site, .rows = rows, .bytes = row_bytes(w, at->n)};
    return put(w, at, &job, err);
}

int ol_writer_take_digest(struct ol_writer *w, const struct ol_writer_rows *at,
                          enum ol_summary_site site, struct ol_digest *digest,
                          struct ol_error *err)
{
    struct ol_writer_job job = {.kind = OL_JOB_DIGEST,
                                .summary = site,
                                .rows = digest,
                                .bytes = ol_digest_bytes(digest->n_rows, digest->n_cols)};
    return put(w, at, &job, err);
}

int ol_writer_take_counts(struct ol_writer *w, const struct ol_writer_rows *at,
                          enum ol_summary_site site, int64_t *counts,
                          struct ol_error *err)
{
    struct ol_writer_job job = {.kind = OL_JOB_COUNTS, .summary = site, .rows = counts};
    return put(w, at, &job, err);
}

int ol_writer_take_router(struct ol_writer *w, const struct ol_writer_rows *at,
                          uint16_t *ids, float *weights, struct ol_error *err)
{
    struct ol_writer_job job = {.kind = OL_JOB_ROUTER, .rows = ids, .weights = weights};
    return put(w, at, &job, err);
}

int ol_writer_take_states(struct ol_writer *w, const struct ol_writer_rows *at,
                          void *rows, struct ol_error *err)
{
    struct ol_writer_job job = {
        .kind = OL_JOB_STATES, .rows = rows, .bytes = row_bytes(w, at->n)};
    return put(w, at, &job, err);
}

int ol_writer_take_nll(struct ol_writer *w, const struct ol_writer_rows *at, float *nll,
                       struct ol_error *err)
{
    struct ol_writer_job job = {.kind = OL_JOB_NLL, .rows = nll};
    return put(w, at, &job, err);
}

int ol_writer_take_writes(struct ol_writer *w, const struct ol_writer_rows *at,
                          uint16_t *features, float *writes, size_t bytes,
                          struct ol_error *err)
{
    struct ol_writer_job job = {
        .kind = OL_JOB_WRITES, .rows = features, .weights = writes, .bytes = bytes};
    return put(w, at, &job, err);
}

int ol_writer_take_units(struct ol_writer *w, const struct ol_writer_rows *at,
                         struct ol_unit *units, int n_units, struct ol_error *err)
{
    struct ol_writer_job job = {.kind = OL_JOB_UNITS, .rows = units, .n_units = n_units};
    return put(w, at, &job, err);
}

int ol_writer_take_squares(struct ol_writer *w, const struct ol_writer_rows *at,
                           enum ol_input input, double *squares, struct ol_error *err)
{
    struct ol_writer_job job = {.kind = OL_JOB_SQUARES, .input = input, .rows = squares};
    return put(w, at, &job, err);
}
