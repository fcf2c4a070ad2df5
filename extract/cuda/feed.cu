/* Feeders: threads that take tiles of weights from the host to the device, so that the
 * thread which queues the computing copies no byte of them.
 *
 *     queue     [ tile 7 | tile 8 | ... ]         in the order of use
 *                  |  cut in slices, one feeder's each
 *     feeder 0  [ slot | slot | slot | slot ]     pinned; each with an event of its copy
 *     feeder 1  [ slot | slot | slot | slot ]
 *                  |  one at a time
 *     cuda->copies
 *
 * A feeder takes the next slice of the first tile, copies it into its next slot and gives
 * the copy to the device to the one stream of copies. So slices of a tile, and tiles, may
 * overtake each other by as much as the feeders have in hand, no more. Whoever gives the
 * last slice of a tile records the tile's event behind it; only then may another stream
 * be told to wait for this event, and whoever wants to use the tile waits on the host
 * until it has been recorded, which is not until its bytes are there.
 *
 * A failure is kept: every operation that begins after it fails with its text, and what
 * is queued is let pass without being copied, so that nobody waits for ever. */
#include "extract/cuda/tile.h"

#include <pthread.h>

extern "C" {
#include "common/mapping.h"
#include "common/process.h"
}

enum {
    /* Of the processors: what computes on the host has the others. */
    SHARE = 2,
};

struct slot {
    char *memory;
    cudaEvent_t read; /* by the device */
    bool waits;       /* the event stands for its last use */
};

struct feeder {
    struct ol_cuda_feed *feed;
    pthread_t thread;
    char *memory; /* of all slots */
    struct slot slots[OL_CUDA_FEEDER_SLOTS];
    int next;
};

struct ol_cuda_feed {
    struct ol_cuda *cuda;
    size_t slot_bytes;
    struct feeder feeders[OL_CUDA_MOST_FEEDERS];
    int n_threads; /* that have been started */

    pthread_mutex_t mutex;
    pthread_cond_t work, sent;
    /* Not all sent, in the order of use; `next` is the first that is not all taken. */
    struct ol_cuda_delivery *first, *last, *next;
    bool stopping;
    struct ol_error failure;
    std::atomic<bool> failed; /* `failure` tells why */

    pthread_mutex_t link; /* of whoever gives the stream of copies its work */
};

/* What a feeder has in hand. */
struct slice {
    struct ol_cuda_delivery *of;
    size_t first, n;
    bool void_; /* it is not to be copied any more */
};

/* ---- filling ---- */

/* What is one stretch of a file is read from there: to map its pages, for bytes that are
 * wanted once, would take longer than to copy them. */
static int fill_from(const struct ol_cuda_runs *r, size_t first, size_t n, char *to,
                     struct ol_error *err)
{
    if (r->order == NULL && (r->n == 1 || r->stride == (int64_t)r->bytes))
        return ol_mapping_copy(to, (const char *)r->src + first, n, err);
    ol_cuda_copy_runs(r, first, n, to);
    return 0;
}

/* Bytes [first, first + n) of the tile as it will lie on the device. What lies between
 * its pieces is nobody's. */
static int fill(const struct ol_cuda_delivery *d, size_t first, size_t n, char *to,
                struct ol_error *err)
{
    size_t end = 0;
    for (int i = 0; i < OL_CUDA_PIECES; i++) {
        const size_t bytes = ol_cuda_runs_bytes(&d->runs[i]);
        if (bytes == 0)
            continue;
        const size_t at = ol_cuda_place_after(end);
        end = at + bytes;
        const size_t from = at > first ? at : first;
        const size_t past = end < first + n ? end : first + n;
        if (from < past &&
            fill_from(&d->runs[i], from - at, past - from, to + (from - first), err) != 0)
            return -1;
    }
    return 0;
}

/* ---- the queue ---- */

static void fail(struct ol_cuda_feed *feed, const struct ol_error *err)
{
    pthread_mutex_lock(&feed->mutex);
    ol_fail(&feed->failure, "%s", err->text);
    feed->failed.store(true);
    pthread_mutex_unlock(&feed->mutex);
}

/* The next slice; false when there is to be no other. */
static bool take(struct ol_cuda_feed *feed, struct slice *slice)
{
    pthread_mutex_lock(&feed->mutex);
    while (feed->next == NULL && !feed->stopping)
        pthread_cond_wait(&feed->work, &feed->mutex);
    const bool goes_on = !feed->stopping;
    if (goes_on) {
        struct ol_cuda_delivery *d = feed->next;
        const size_t left = d->bytes - d->taken;
        *slice = {d, d->taken, left < d->slice ? left : d->slice, feed->failed.load()};
        d->taken += slice->n;
        if (d->taken == d->bytes)
            feed->next = d->next;
    }
    pthread_mutex_unlock(&feed->mutex);
    return goes_on;
}

static void unlink_delivery(struct ol_cuda_feed *feed, struct ol_cuda_delivery *d)
{
    struct ol_cuda_delivery **link = &feed->first, *before = NULL;
    while (*link != d) {
        before = *link;
        link = &before->next;
    }
    *link = d->next;
    if (feed->last == d)
        feed->last = before;
}

/* A slice is through, sent or not. */
static void finish(struct ol_cuda_feed *feed, const struct slice *slice)
{
    struct ol_cuda_delivery *d = slice->of;
    pthread_mutex_lock(&feed->mutex);
    d->finished += slice->n;
    if (d->finished == d->bytes) {
        unlink_delivery(feed, d);
        d->sent = true;
        pthread_cond_broadcast(&feed->sent);
    }
    pthread_mutex_unlock(&feed->mutex);
}

/* ---- feeders ---- */

/* Slices of one tile are given by several feeders, one at a time: the last of them
 * records that the tile has arrived. */
static int give(struct ol_cuda_feed *feed, struct slot *slot, const struct slice *slice,
                struct ol_error *err)
{
    struct ol_cuda_delivery *d = slice->of;
    const cudaStream_t copies = feed->cuda->copies;
    pthread_mutex_lock(&feed->link);
    int status = ol_cuda_check(cudaMemcpyAsync(d->to + slice->first, slot->memory,
                                               slice->n, cudaMemcpyHostToDevice, copies),
                               "copying to the device", err);
    if (status == 0)
        status =
            ol_cuda_check(cudaEventRecord(slot->read, copies), "recording an event", err);
    slot->waits = status == 0;
    d->given += slice->n;
    if (status == 0 && d->given == d->bytes)
        status =
            ol_cuda_check(cudaEventRecord(d->arrived, copies), "recording an event", err);
    pthread_mutex_unlock(&feed->link);
    return status;
}

static int send(struct feeder *f, const struct slice *slice, struct ol_error *err)
{
    struct slot *slot = &f->slots[f->next];
    f->next = (f->next + 1) % OL_CUDA_FEEDER_SLOTS;
    if (slot->waits && ol_cuda_check(cudaEventSynchronize(slot->read),
                                     "waiting for the device to read", err) != 0)
        return -1;
    slot->waits = false;
    if (fill(slice->of, slice->first, slice->n, slot->memory, err) != 0)
        return -1;
    return give(f->feed, slot, slice, err);
}

static void *feeder_main(void *arg)
{
    struct feeder *f = (struct feeder *)arg;
    struct ol_cuda_feed *feed = f->feed;
    struct ol_error err = {};
    struct slice slice;
    /* Every thread has a device of its own. */
    if (ol_cuda_check(cudaSetDevice(feed->cuda->device), "choosing the device", &err) !=
        0)
        fail(feed, &err);
    while (take(feed, &slice)) {
        if (!slice.void_ && send(f, &slice, &err) != 0)
            fail(feed, &err);
        finish(feed, &slice);
    }
    return NULL;
}

/* ---- life ---- */

static int slots_new(struct feeder *f, size_t slot_bytes, struct ol_error *err)
{
    void *memory = NULL;
    if (ol_cuda_check(cudaHostAlloc(&memory, OL_CUDA_FEEDER_SLOTS * slot_bytes,
                                    cudaHostAllocDefault),
                      "pinning host memory", err) != 0)
        return -1;
    f->memory = (char *)memory;
    for (int i = 0; i < OL_CUDA_FEEDER_SLOTS; i++) {
        f->slots[i].memory = f->memory + (size_t)i * slot_bytes;
        /* A feeder that waits is to leave its processor to others. */
        if (ol_cuda_check(
                cudaEventCreateWithFlags(&f->slots[i].read,
                                         cudaEventDisableTiming | cudaEventBlockingSync),
                "making an event", err) != 0)
            return -1;
    }
    return 0;
}

static void slots_free(struct feeder *f)
{
    for (int i = 0; i < OL_CUDA_FEEDER_SLOTS; i++)
        if (f->slots[i].read != NULL)
            cudaEventDestroy(f->slots[i].read);
    if (f->memory != NULL)
        cudaFreeHost(f->memory);
}

/* Signals are for the program's own threads. */
static int start(struct ol_cuda_feed *feed, int n, struct ol_error *err)
{
    sigset_t before;
    int code = 0;
    ol_process_block_signals(&before);
    while (code == 0 && feed->n_threads < n) {
        struct feeder *f = &feed->feeders[feed->n_threads];
        code = pthread_create(&f->thread, NULL, feeder_main, f);
        feed->n_threads += code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 ? 0
                     : ol_fail(err, "cannot start a thread that feeds a device: %s",
                               strerror(code));
}

/* The machine's processors are for all of its devices. */
static int feeders_of(int n_threads)
{
    const int n = n_threads / (SHARE * max(ol_cuda_devices(), 1));
    return min(max(n, 1), (int)OL_CUDA_MOST_FEEDERS);
}

struct ol_cuda_feed *ol_cuda_feed_new(struct ol_cuda *cuda, struct ol_error *err)
{
    const int n = feeders_of(ol_pool_threads(cuda->pool));
    struct ol_cuda_feed *feed = (struct ol_cuda_feed *)ol_xcalloc(1, sizeof *feed);
    feed->cuda = cuda;
    feed->slot_bytes = (size_t)cuda->sizes.feeder_slot;
    pthread_mutex_init(&feed->mutex, NULL);
    pthread_mutex_init(&feed->link, NULL);
    pthread_cond_init(&feed->work, NULL);
    pthread_cond_init(&feed->sent, NULL);
    int status = 0;
    for (int i = 0; status == 0 && i < n; i++) {
        feed->feeders[i].feed = feed;
        status = slots_new(&feed->feeders[i], feed->slot_bytes, err);
    }
    if (status == 0 && start(feed, n, err) == 0)
        return feed;
    ol_cuda_feed_free(feed);
    return NULL;
}

void ol_cuda_feed_free(struct ol_cuda_feed *feed)
{
    if (feed == NULL)
        return;
    pthread_mutex_lock(&feed->mutex);
    feed->stopping = true;
    pthread_cond_broadcast(&feed->work);
    pthread_mutex_unlock(&feed->mutex);
    for (int i = 0; i < feed->n_threads; i++)
        pthread_join(feed->feeders[i].thread, NULL);
    /* The device may still be reading. */
    if (feed->cuda->copies != NULL)
        cudaStreamSynchronize(feed->cuda->copies);
    for (int i = 0; i < OL_CUDA_MOST_FEEDERS; i++)
        slots_free(&feed->feeders[i]);
    pthread_cond_destroy(&feed->sent);
    pthread_cond_destroy(&feed->work);
    pthread_mutex_destroy(&feed->link);
    pthread_mutex_destroy(&feed->mutex);
    free(feed);
}

/* ---- the interface ---- */

void ol_cuda_feed_send(struct ol_cuda *cuda, struct ol_cuda_delivery *d)
{
    struct ol_cuda_feed *feed = cuda->feed;
    const size_t most = feed->slot_bytes, n = (d->bytes + most - 1) / most;
    assert(d->bytes > 0);
    d->slice = ol_cuda_place_after((d->bytes + n - 1) / n);
    d->taken = d->given = d->finished = 0;
    d->sent = false;
    d->next = NULL;
    cuda->link_bytes.fetch_add((int64_t)d->bytes);
    pthread_mutex_lock(&feed->mutex);
    *(feed->first == NULL ? &feed->first : &feed->last->next) = d;
    feed->last = d;
    if (feed->next == NULL)
        feed->next = d;
    if (n == 1)
        pthread_cond_signal(&feed->work);
    else
        pthread_cond_broadcast(&feed->work);
    pthread_mutex_unlock(&feed->mutex);
}

int ol_cuda_feed_check(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_feed *feed = cuda->feed;
    if (!feed->failed.load())
        return 0;
    pthread_mutex_lock(&feed->mutex);
    ol_fail(err, "%s", feed->failure.text);
    pthread_mutex_unlock(&feed->mutex);
    return -1;
}

int ol_cuda_feed_wait(struct ol_cuda *cuda, const struct ol_cuda_delivery *d,
                      struct ol_error *err)
{
    struct ol_cuda_feed *feed = cuda->feed;
    const ol_cuda_timer timer(cuda->link_time);
    pthread_mutex_lock(&feed->mutex);
    while (!d->sent)
        pthread_cond_wait(&feed->sent, &feed->mutex);
    pthread_mutex_unlock(&feed->mutex);
    return ol_cuda_feed_check(cuda, err);
}

static bool reads(const struct ol_cuda_delivery *d, const struct ol_span *span)
{
    const uintptr_t begin = (uintptr_t)span->data, end = begin + span->bytes;
    for (int i = 0; i < OL_CUDA_PIECES; i++) {
        const struct ol_cuda_runs *r = &d->runs[i];
        const uintptr_t first = (uintptr_t)r->src;
        if (r->n > 0 && first < end &&
            begin < first + (uintptr_t)(r->n - 1) * (uintptr_t)r->stride + r->bytes)
            return true;
    }
    return false;
}

void ol_cuda_feed_leave(struct ol_cuda *cuda, const struct ol_span *span)
{
    struct ol_cuda_feed *feed = cuda->feed;
    pthread_mutex_lock(&feed->mutex);
    for (struct ol_cuda_delivery *d = feed->first; d != NULL;) {
        if (reads(d, span)) {
            pthread_cond_wait(&feed->sent, &feed->mutex);
            d = feed->first;
        } else {
            d = d->next;
        }
    }
    pthread_mutex_unlock(&feed->mutex);
}
