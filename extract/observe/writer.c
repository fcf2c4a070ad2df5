/* A queue for each device. Of the jobs that are first in their queues the one of the
 * earliest layer and stage, and then of the first device, is next; but not while a device
 * whose queue is empty may still hand over one before it:
 *
 *     device 0   [ 4 sites | 5 router ]      device 1's sites of stage 4 are waited for
 *     device 1   [            empty   ]      before the router of stage 5 is written
 */
#include "extract/observe/writer.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/process.h"

struct queued {
    struct ol_writer_job job;
    int64_t order; /* by layer and stage */
    struct queued *next;
};

struct queue {
    struct queued *first, **last;
    size_t waiting; /* bytes, of the job that is being written too */
    int64_t order;  /* of the last job that came */
    bool ended;
};

struct ol_writer {
    int n_devices;
    size_t most_waiting;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct queue *queues; /* [n_devices] */
    bool busy, stopping;
    double waited;
    struct ol_error failure;
};

void ol_writer_job_free(const struct ol_writer_job *job)
{
    if (job->give_back != NULL)
        job->give_back(job->owner, job->data);
    else
        free(job->data);
    free(job->more);
}

static void free_queued(struct queued *queued)
{
    ol_writer_job_free(&queued->job);
    free(queued);
}

/* ---- the thread ---- */

/* The device whose job is next, or -1. */
static int next_device(const struct ol_writer *w)
{
    int next = -1;
    for (int d = 0; d < w->n_devices; d++)
        if (w->queues[d].first != NULL &&
            (next < 0 || w->queues[d].first->order < w->queues[next].first->order))
            next = d;
    for (int d = 0; d < w->n_devices && next >= 0; d++) {
        const struct queue *q = &w->queues[d];
        const int64_t order = w->queues[next].first->order;
        if (q->first == NULL && !q->ended &&
            (q->order < order || (q->order == order && d < next)))
            next = -1;
    }
    return next;
}

static void *work(void *arg)
{
    struct ol_writer *w = arg;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        int device = -1;
        while (!w->stopping && (device = next_device(w)) < 0)
            pthread_cond_wait(&w->changed, &w->mutex);
        if (w->stopping)
            break;
        struct queue *q = &w->queues[device];
        struct queued *queued = q->first;
        q->first = queued->next;
        if (q->first == NULL)
            q->last = &q->first;
        w->busy = true;
        const bool failed = w->failure.text[0] != '\0';
        pthread_mutex_unlock(&w->mutex);
        struct ol_error err = {0};
        const int status =
            failed ? 0 : queued->job.take(queued->job.shared, &queued->job, &err);
        pthread_mutex_lock(&w->mutex);
        if (status != 0)
            ol_fail(&w->failure, "%s", err.text);
        w->busy = false;
        q->waiting -= queued->job.bytes;
        free_queued(queued);
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* ---- the interface ---- */

/* After the thread has ended, or without one. */
static void free_all(struct ol_writer *w)
{
    for (int d = 0; d < w->n_devices; d++)
        for (struct queued *job = w->queues[d].first, *next; job != NULL; job = next) {
            next = job->next;
            free_queued(job);
        }
    free(w->queues);
    free(w);
}

struct ol_writer *ol_writer_new(int n_devices, size_t most_waiting, struct ol_error *err)
{
    struct ol_writer *w = ol_xcalloc(1, sizeof *w);
    w->n_devices = n_devices;
    w->most_waiting = most_waiting;
    w->queues = ol_xcalloc((size_t)n_devices, sizeof *w->queues);
    for (int d = 0; d < n_devices; d++)
        w->queues[d] = (struct queue){.last = &w->queues[d].first, .order = INT64_MIN};
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

/* The mutex is held. */
static void wait_for_change(struct ol_writer *w)
{
    const double start = ol_clock_seconds();
    pthread_cond_wait(&w->changed, &w->mutex);
    w->waited += ol_clock_seconds() - start;
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
    for (int d = 0; d < w->n_devices; d++)
        w->queues[d].ended = true;
    pthread_cond_broadcast(&w->changed);
    while (next_device(w) >= 0 || w->busy)
        wait_for_change(w);
    const int status = failed(w, err);
    pthread_mutex_unlock(&w->mutex);
    return status;
}

void ol_writer_end_device(struct ol_writer *w, int device)
{
    pthread_mutex_lock(&w->mutex);
    w->queues[device].ended = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
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

int ol_writer_wait(struct ol_writer *w, int device, size_t bytes, struct ol_error *err)
{
    const struct queue *q = &w->queues[device];
    pthread_mutex_lock(&w->mutex);
    while (q->waiting > 0 && q->waiting + bytes > w->most_waiting)
        wait_for_change(w);
    const int status = failed(w, err);
    pthread_mutex_unlock(&w->mutex);
    return status;
}

void *ol_writer_room(struct ol_writer *w, int device, size_t bytes, struct ol_error *err)
{
    if (ol_writer_wait(w, device, bytes, err) != 0)
        return NULL;
    void *room = malloc(bytes > 0 ? bytes : 1);
    if (room == NULL)
        ol_fail(err, "out of memory: %zu bytes of rows to be written", bytes);
    return room;
}

int ol_writer_put(struct ol_writer *w, const struct ol_writer_job *job,
                  struct ol_error *err)
{
    struct queued *queued = ol_xmalloc(sizeof *queued);
    struct queue *q = &w->queues[job->device];
    *queued = (struct queued){.job = *job,
                              .order = (int64_t)job->layer * OL_N_STAGES + job->stage};
    pthread_mutex_lock(&w->mutex);
    const int status = failed(w, err);
    if (status == 0) {
        assert(queued->order >= q->order);
        *q->last = queued;
        q->last = &queued->next;
        q->waiting += job->bytes;
        q->order = queued->order;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    if (status != 0)
        free_queued(queued);
    return status;
}
