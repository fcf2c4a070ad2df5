/* Threads take jobs from a queue and make their pages resident, slice by slice:
 *
 *     prefetch -> [queue] -> READING -> READY or FAILED -> wait -> release
 *
 * A job stays in a table (by its weight's address) until it is released. Pages are read
 * with MADV_POPULATE_READ, which reports a page that cannot be read as an error, where a
 * plain access would be a SIGBUS. Kernels before 5.14 lack it: there the bytes are read
 * through /proc/self/mem, which faults them in and reports errors in the same way. */
#include "extract/weights/stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/process.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* linux/mman.h, 5.14 */
#endif

enum {
    N_THREADS = 3, /* enough to keep a fast disk busy and pages being mapped beside it */
    N_BUCKETS = 4096,
    SLICE_BYTES = 8 << 20,
    SCRATCH_BYTES = 256 << 10,
};

enum job_state { QUEUED, READING, READY, FAILED };

struct job {
    const void *data;
    size_t bytes;
    enum job_state state;
    uint32_t users; /* bits: who queued it or waited for it, and did not release it */
    bool released;  /* out of the table; whoever holds it frees it */
    char *failure;  /* message of a FAILED job */
    struct job *next_queued, *next_in_bucket;
};

struct ol_stream {
    pthread_t threads[N_THREADS];
    int n_threads;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    struct job *first, *last; /* the queue */
    struct job *buckets[N_BUCKETS];
    int64_t most_ahead, held; /* bytes that were read and not yet released */
    int n_waiting;            /* threads that wait for a job */
    int n_reading;            /* jobs that the threads are at */
    atomic_bool stopping;
    bool by_mapping;
    atomic_bool populates; /* the kernel has MADV_POPULATE_READ */
    size_t page;
    _Atomic int64_t bytes_read, wait_nanoseconds;
};

/* ---- making pages resident ---- */

/* The file mapped at an address and the offset in it, for messages. */
static void describe(const void *address, char *text, size_t bytes)
{
    char line[4096 + 128], path[4096];
    const uintptr_t at = (uintptr_t)address;
    uintptr_t begin, end;
    uint64_t offset;
    snprintf(text, bytes, "memory at %p", address);
    FILE *maps = fopen("/proc/self/maps", "r");
    if (maps == NULL)
        return;
    while (fgets(line, sizeof line, maps) != NULL) {
        path[0] = '\0';
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %" SCNx64 " %*s %*s %4095[^\n]",
                   &begin, &end, &offset, path) >= 3 &&
            at >= begin && at < end && path[0] != '\0') {
            snprintf(text, bytes, "%s: the bytes from %" PRIu64 " on", path,
                     offset + (at - begin));
            break;
        }
    }
    fclose(maps);
}

static int unreadable(const void *begin, size_t bytes, struct ol_error *err)
{
    const int number = errno;
    char where[4096 + 64];
    describe(begin, where, sizeof where);
    return ol_fail(err,
                   "%s cannot be read (%zu were wanted): the file became shorter, or the "
                   "disk fails (%s)",
                   where, bytes, strerror(number));
}

/* Fault pages in by having the kernel read them. */
static int touch(const char *begin, size_t bytes, struct ol_error *err)
{
    int result = -1;
    char *scratch = ol_xmalloc(SCRATCH_BYTES);
    const int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        ol_fail_errno(err, "/proc/self/mem: cannot open");
        goto out;
    }
    for (size_t i = 0; i < bytes;) {
        const size_t want = bytes - i < SCRATCH_BYTES ? bytes - i : SCRATCH_BYTES;
        const ssize_t n = pread(fd, scratch, want, (off_t)((uintptr_t)begin + i));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            unreadable(begin + i, want, err);
            goto out;
        }
        i += (size_t)n;
    }
    result = 0;
out:
    if (fd >= 0)
        close(fd);
    free(scratch);
    return result;
}

static int populate(struct ol_stream *s, char *begin, size_t bytes, struct ol_error *err)
{
    while (atomic_load(&s->populates)) {
        if (madvise(begin, bytes, MADV_POPULATE_READ) == 0)
            return 0;
        if (errno == EINTR || errno == EAGAIN)
            continue;
        if (errno != EINVAL)
            return unreadable(begin, bytes, err);
        atomic_store(&s->populates, false);
    }
    return touch(begin, bytes, err);
}

/* Pages that a tensor touches, whole. The mapping is read-only: the pointer loses its
 * const for madvise alone. */
static char *page_of(const struct ol_stream *s, const void *address)
{
    return (char *)((uintptr_t)address & ~(uintptr_t)(s->page - 1));
}

static int read_pages(struct ol_stream *s, const void *data, size_t bytes,
                      struct ol_error *err)
{
    char *begin = page_of(s, data);
    char *end = page_of(s, (const char *)data + bytes - 1) + s->page;
    const size_t n = (size_t)(end - begin);
    for (size_t i = 0; i < n; i += SLICE_BYTES) {
        const size_t slice = n - i < SLICE_BYTES ? n - i : SLICE_BYTES;
        const size_t rest = n - i - slice;
        if (atomic_load(&s->stopping))
            return ol_fail(err, "reading of weights was stopped");
        /* The disk works on the next slice while this one's pages are mapped. Only a
         * hint: a failure shows when the slice is read. */
        if (!s->by_mapping)
            madvise(begin + i, slice, MADV_WILLNEED);
        else if (rest > 0)
            madvise(begin + i + slice, rest < SLICE_BYTES ? rest : SLICE_BYTES,
                    MADV_WILLNEED);
        if (s->by_mapping && populate(s, begin + i, slice, err) != 0)
            return -1;
    }
    atomic_fetch_add(&s->bytes_read, (int64_t)bytes);
    return 0;
}

/* The page where a tensor begins goes, the page where it ends stays: shared with the
 * tensor after it, which will give it back in turn, so that nothing stays behind a walk
 * through the file. A page that goes too early costs its other owner one soft fault. */
static void drop_pages(const struct ol_stream *s, const void *data, size_t bytes)
{
    char *begin = page_of(s, data), *end = page_of(s, (const char *)data + bytes);
    if (s->by_mapping && end > begin)
        madvise(begin, (size_t)(end - begin), MADV_DONTNEED);
}

/* ---- jobs ---- */

/* The link that leads to the job of that span, or to NULL at its bucket's end. */
static struct job **find(struct ol_stream *s, const void *data)
{
    const uint64_t hash = (uint64_t)(uintptr_t)data * 0x9e3779b97f4a7c15u;
    struct job **link = &s->buckets[hash >> 52];
    while (*link != NULL && (*link)->data != data)
        link = &(*link)->next_in_bucket;
    return link;
}
static_assert(N_BUCKETS == 1 << 12, "find() takes 12 bits of the hash");

static struct job *new_job(struct job **link, const struct ol_span *span,
                           enum job_state state)
{
    struct job *job = ol_xcalloc(1, sizeof *job);
    job->data = span->data;
    job->bytes = span->bytes;
    job->state = state;
    *link = job;
    return job;
}

static void free_job(struct job *job)
{
    free(job->failure);
    free(job);
}

/* Read a job that is in state READING. The mutex is held on entry and on return. */
static void run_job(struct ol_stream *s, struct job *job)
{
    struct ol_error err = {0};
    s->held += (int64_t)job->bytes;
    pthread_mutex_unlock(&s->mutex);
    const int result = read_pages(s, job->data, job->bytes, &err);
    pthread_mutex_lock(&s->mutex);
    if (job->released) {
        s->held -= (int64_t)job->bytes;
        drop_pages(s, job->data, job->bytes);
        free_job(job);
        return;
    }
    job->state = result == 0 ? READY : FAILED;
    job->failure = result == 0 ? NULL : ol_xstrdup(err.text);
    pthread_cond_broadcast(&s->done);
}

/* Whether the first of the queue is to be read now. Whoever waits may wait for one behind
 * it: then the queue moves on without regard to what is held, but by one job at a time.
 */
static bool may_read(const struct ol_stream *s)
{
    return s->first != NULL &&
           (s->first->released || s->held + (int64_t)s->first->bytes <= s->most_ahead ||
            (s->n_waiting > 0 && s->n_reading == 0));
}

static void *work(void *arg)
{
    struct ol_stream *s = arg;
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        while (!may_read(s) && !atomic_load(&s->stopping))
            pthread_cond_wait(&s->work, &s->mutex);
        if (atomic_load(&s->stopping))
            break;
        struct job *job = s->first;
        s->first = job->next_queued;
        if (job->released) {
            free_job(job);
            continue;
        }
        job->state = READING;
        s->n_reading++;
        run_job(s, job);
        s->n_reading--;
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* ---- the interface ---- */

struct ol_stream *ol_stream_new(int64_t most_ahead, bool by_mapping, struct ol_error *err)
{
    struct ol_stream *s = ol_xcalloc(1, sizeof *s);
    s->most_ahead = most_ahead;
    s->by_mapping = by_mapping;
    s->page = (size_t)sysconf(_SC_PAGESIZE);
    atomic_store(&s->populates, true);
    pthread_mutex_init(&s->mutex, NULL);
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
    atomic_store(&s->stopping, true);
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->mutex);
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

static int64_t nanoseconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int wait_for(struct ol_stream *s, int user, const struct ol_span *span,
                    struct ol_error *err)
{
    struct job **link = find(s, span->data), *job = *link;
    if (job == NULL) {
        job = new_job(link, span, READING);
        job->users = 1u << user;
        run_job(s, job);
    }
    job->users |= 1u << user; /* it stays until this one is through */
    s->n_waiting++;
    pthread_cond_signal(&s->work);
    while (job->state == QUEUED || job->state == READING)
        pthread_cond_wait(&s->done, &s->mutex);
    s->n_waiting--;
    return job->state == FAILED ? ol_fail(err, "%s", job->failure) : 0;
}

int ol_stream_wait(struct ol_stream *s, int user, const struct ol_weight *weight,
                   struct ol_error *err)
{
    const int64_t start = nanoseconds_now();
    int result = 0;
    pthread_mutex_lock(&s->mutex);
    for (int i = 0; result == 0 && i < OL_WEIGHT_SPANS; i++)
        if (weight->spans[i].data != NULL)
            result = wait_for(s, user, &weight->spans[i], err);
    pthread_mutex_unlock(&s->mutex);
    atomic_fetch_add(&s->wait_nanoseconds, nanoseconds_now() - start);
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

static void release(struct ol_stream *s, int user, const struct ol_span *span)
{
    pthread_mutex_lock(&s->mutex);
    struct job **link = find(s, span->data), *job = *link;
    if (job != NULL) {
        job->users &= ~(1u << user);
        if (job->users != 0) {
            pthread_mutex_unlock(&s->mutex);
            return;
        }
        *link = job->next_in_bucket;
        job->released = true;
        if (job->state == READY || job->state == FAILED) {
            s->held -= (int64_t)job->bytes;
            free_job(job);
        }
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->mutex);
    drop_pages(s, span->data, span->bytes);
}

void ol_stream_release(struct ol_stream *s, int user, const struct ol_weight *weight)
{
    for (int i = 0; i < OL_WEIGHT_SPANS; i++)
        if (weight->spans[i].data != NULL)
            release(s, user, &weight->spans[i]);
}

struct ol_stream_stats ol_stream_stats(const struct ol_stream *s)
{
    return (struct ol_stream_stats){
        .bytes_read = atomic_load(&s->bytes_read),
        .wait_seconds = (double)atomic_load(&s->wait_nanoseconds) * 1e-9,
    };
}
