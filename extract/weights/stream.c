/* Jobs are told to the source as far ahead as there is room, and taken up by threads, one
 * after another, which have the source bring them:
 *
 *     prefetch -> [queue | told] -> READING -> READY or FAILED -> wait -> release
 *
 * A job stays in a table (by its weight's address) until it is released. */
#include "extract/weights/stream.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/process.h"
#include "extract/weights/look_up.h"

enum {
    N_THREADS = 3, /* enough to keep a fast disk busy and pages being mapped beside it */
    N_BUCKETS = 4096,
};

enum job_state { QUEUED, READING, READY, FAILED };

struct job {
    struct ol_span span;
    enum job_state state;
    uint32_t users; /* bits: who queued it or waited for it, and did not release it */
    bool told;      /* to the source: it counts as held */
    bool released;  /* out of the table; whoever holds it frees it */
    int n_waiting;  /* threads that wait for it */
    char *failure;  /* message of a FAILED job */
    struct job *next_queued, *next_in_bucket;
};

struct ol_stream {
    struct ol_source *source; /* borrowed */
    pthread_t threads[N_THREADS];
    int n_threads;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    struct job *first, *last; /* the queue, */
    struct job *untold;       /* and in it the first that the source was not told of */
    struct job *buckets[N_BUCKETS];
    int64_t most_ahead, held; /* bytes told to the source and not yet released */
    int n_waiting;            /* threads that wait for a job that is not done */
    int n_reading;            /* jobs that the threads are at */
    bool stopping;
    struct ol_look_up rows;
    _Atomic int64_t bytes_read, wait_nanoseconds;
};

/* ---- jobs ---- */

/* The link that leads to the job of that span, or to NULL at its bucket's end. */
static struct job **find(struct ol_stream *s, const void *data)
{
    const uint64_t hash = (uint64_t)(uintptr_t)data * 0x9e3779b97f4a7c15u;
    struct job **link = &s->buckets[hash >> 52];
    while (*link != NULL && (*link)->span.data != data)
        link = &(*link)->next_in_bucket;
    return link;
}
static_assert(N_BUCKETS == 1 << 12, "find() takes 12 bits of the hash");

static struct job *new_job(struct job **link, const struct ol_span *span,
                           enum job_state state)
{
    struct job *job = ol_xcalloc(1, sizeof *job);
    job->span = *span;
    job->state = state;
    *link = job;
    return job;
}

static void free_job(struct job *job)
{
    free(job->failure);
    free(job);
}

/* The mutex is held. */
static void tell(struct ol_stream *s, struct job *job)
{
    job->told = true;
    s->held += (int64_t)job->span.bytes;
    s->source->op->prefetch(s->source, &job->span);
}

/* The source gets bytes back, of which so many count as held; only then is there room for
 * others. The mutex is held on entry and on return, and not meanwhile. */
static void give_back(struct ol_stream *s, const struct ol_span *span, int64_t held)
{
    pthread_mutex_unlock(&s->mutex);
    s->source->op->release(s->source, span);
    pthread_mutex_lock(&s->mutex);
    s->held -= held;
}

/* Read a job that is in state READING. The mutex is held on entry and on return. */
static void run_job(struct ol_stream *s, struct job *job)
{
    struct ol_error err = {0};
    pthread_mutex_unlock(&s->mutex);
    const int result = s->source->op->read(s->source, &job->span, &err);
    if (result == 0)
        atomic_fetch_add(&s->bytes_read, (int64_t)job->span.bytes);
    pthread_mutex_lock(&s->mutex);
    if (job->released) {
        give_back(s, &job->span, (int64_t)job->span.bytes);
        free_job(job);
        return;
    }
    s->n_waiting -= job->n_waiting;
    job->n_waiting = 0;
    job->state = result == 0 ? READY : FAILED;
    job->failure = result == 0 ? NULL : ol_xstrdup(err.text);
    pthread_cond_broadcast(&s->done);
}

/* Tell the source of what there is room for. Whoever waits may wait for a job behind:
 * then the queue moves on without regard to what is held, but by one job at a time. */
static void tell_more(struct ol_stream *s)
{
    for (; s->untold != NULL; s->untold = s->untold->next_queued) {
        struct job *job = s->untold;
        const bool waited_for = s->n_waiting > 0 && s->n_reading == 0 && s->first == job;
        if (job->released)
            continue;
        if (s->held + (int64_t)job->span.bytes > s->most_ahead && !waited_for)
            return;
        tell(s, job);
    }
}

static bool may_read(struct ol_stream *s)
{
    tell_more(s);
    return s->first != s->untold;
}

static void *work(void *arg)
{
    struct ol_stream *s = arg;
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        while (!s->stopping && !may_read(s))
            pthread_cond_wait(&s->work, &s->mutex);
        if (s->stopping)
            break;
        struct job *job = s->first;
        s->first = job->next_queued;
        if (s->first != s->untold)
            pthread_cond_signal(&s->work);
        if (job->released) {
            free_job(job);
            continue;
        }
        job->state = READING;
        s->n_reading++;
        run_job(s, job);
        s->n_reading--;
        if (s->untold != NULL)
            pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* ---- the interface ---- */

struct ol_stream *ol_stream_new(int64_t most_ahead, struct ol_source *source,
                                struct ol_error *err)
{
    struct ol_stream *s = ol_xcalloc(1, sizeof *s);
    s->most_ahead = most_ahead;
    s->source = source;
    pthread_mutex_init(&s->mutex, NULL);
    ol_look_up_init(&s->rows, source, most_ahead);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->done, NULL);
    /* Signals are for the program's own threads. */
    sigset_t before;
    int code = 0;
    ol_process_block_signals(&before);
    while (code == 0 && s->n_threads < N_THREADS) {
        code = pthread_create(&s->threads[s->n_threads], NULL, work, s);
        s->n_threads += code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0)
        return s;
    ol_fail(err, "cannot start a thread that reads weights: %s", strerror(code));
    ol_stream_free(s);
    return NULL;
}

void ol_stream_free(struct ol_stream *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->mutex);
    s->source->op->stop(s->source);
    for (int i = 0; i < s->n_threads; i++)
        pthread_join(s->threads[i], NULL);
    for (struct job *job = s->first, *next; job != NULL; job = next) {
        next = job->next_queued;
        if (job->released)
            free_job(job);
    }
    for (int i = 0; i < N_BUCKETS; i++) {
        for (struct job *job = s->buckets[i], *next; job != NULL; job = next) {
            next = job->next_in_bucket;
            free_job(job);
        }
    }
    pthread_cond_destroy(&s->done);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->mutex);
    ol_look_up_clear(&s->rows);
    free(s);
}

static void prefetch(struct ol_stream *s, int user, const struct ol_span *span)
{
    struct job **link = find(s, span->data);
    if (*link != NULL) {
        (*link)->users |= 1u << user;
        return;
    }
    struct job *job = new_job(link, span, QUEUED);
    job->users = 1u << user;
    if (s->first == NULL)
        s->first = job;
    else
        s->last->next_queued = job;
    s->last = job;
    if (s->untold == NULL)
        s->untold = job;
    tell_more(s);
    pthread_cond_signal(&s->work);
}

void ol_stream_prefetch(struct ol_stream *s, int user, const struct ol_weight *weight)
{
    pthread_mutex_lock(&s->mutex);
    for (int i = 0; i < OL_WEIGHT_SPANS; i++)
        if (weight->spans[i].data != NULL)
            prefetch(s, user, &weight->spans[i]);
    pthread_mutex_unlock(&s->mutex);
}

static int wait_for(struct ol_stream *s, int user, const struct ol_span *span,
                    struct ol_error *err)
{
    struct job **link = find(s, span->data), *job = *link;
    if (job == NULL) {
        job = new_job(link, span, READING);
        job->users = 1u << user;
        tell(s, job);
        run_job(s, job);
    }
    job->users |= 1u << user; /* it stays until this one is through */
    if (job->state == QUEUED || job->state == READING) {
        job->n_waiting++; /* until it is done, not until this thread knows */
        s->n_waiting++;
        pthread_cond_signal(&s->work);
    }
    while (job->state == QUEUED || job->state == READING)
        pthread_cond_wait(&s->done, &s->mutex);
    return job->state == FAILED ? ol_fail(err, "%s", job->failure) : 0;
}

int ol_stream_wait(struct ol_stream *s, int user, const struct ol_weight *weight,
                   struct ol_error *err)
{
    const int64_t start = ol_clock_nanoseconds();
    int result = 0;
    pthread_mutex_lock(&s->mutex);
    for (int i = 0; result == 0 && i < OL_WEIGHT_SPANS; i++)
        if (weight->spans[i].data != NULL)
            result = wait_for(s, user, &weight->spans[i], err);
    pthread_mutex_unlock(&s->mutex);
    atomic_fetch_add(&s->wait_nanoseconds, ol_clock_nanoseconds() - start);
    return result;
}

bool ol_stream_is_ready(struct ol_stream *s, const struct ol_weight *weight)
{
    bool ready = true;
    pthread_mutex_lock(&s->mutex);
    for (int i = 0; ready && i < OL_WEIGHT_SPANS; i++) {
        const void *data = weight->spans[i].data;
        const struct job *job = data != NULL ? *find(s, data) : NULL;
        ready = data == NULL || (job != NULL && job->state == READY);
    }
    pthread_mutex_unlock(&s->mutex);
    return ready;
}

/* The mutex is held. A job that is being read is given back by whoever reads it. */
static void release(struct ol_stream *s, int user, const struct ol_span *span)
{
    struct job **link = find(s, span->data), *job = *link;
    int64_t held = 0;
    if (job != NULL) {
        job->users &= ~(1u << user);
        if (job->users != 0)
            return;
        *link = job->next_in_bucket;
        job->released = true;
        if (job->state == READING)
            return;
        held = job->told ? (int64_t)job->span.bytes : 0;
        if (job->state == READY || job->state == FAILED)
            free_job(job);
    }
    give_back(s, span, held);
    tell_more(s);
    pthread_cond_signal(&s->work);
}

void ol_stream_release(struct ol_stream *s, int user, const struct ol_weight *weight)
{
    pthread_mutex_lock(&s->mutex);
    for (int i = 0; i < OL_WEIGHT_SPANS; i++)
        if (weight->spans[i].data != NULL)
            release(s, user, &weight->spans[i]);
    pthread_mutex_unlock(&s->mutex);
}

/* ---- rows of a table ---- */

void ol_stream_expect_rows(struct ol_stream *s, const struct ol_weight *table,
                           const int32_t *ids, int64_t n)
{
    ol_look_up_expect(&s->rows, table, ids, n);
}

int ol_stream_look_up(struct ol_stream *s, const struct ol_weight *table,
                      const int32_t *ids, int64_t n, struct ol_error *err)
{
    return ol_look_up_bring(&s->rows, table, ids, n, err);
}

struct ol_stream_stats ol_stream_stats(const struct ol_stream *s)
{
    return (struct ol_stream_stats){
        .bytes_read = atomic_load(&s->bytes_read),
        .wait_seconds = (double)atomic_load(&s->wait_nanoseconds) * 1e-9,
        .source = s->source->op->stats(s->source),
    };
}

bool ol_stream_spares(const struct ol_stream *s)
{
    return s->source->op->spares;
}
