/* Feeders: threads that take tiles of weights from the host to the device, so that the
 * thread which queues the computing copies no byte of them.
 *
 *     queue     [ tile 7 | tile 8 | ... ]         what comes next (queue.cu)
 *                  |  cut in slices, one feeder's each
 *     feeder 0  [ slot | slot | slot | slot ]     pinned; each with events of its copy
 *     feeder 1  [ slot | slot | slot | slot ]
 *                  |  one at a time
 *     cuda->copies
 *
 * A feeder copies its slice into its next slot and gives the copy to the device to the
 * one stream of copies. So slices of a tile, and tiles, may overtake each other by as
 * much as the feeders have in hand, no more. Whoever gives the last slice of a tile
 * records the tile's event behind it; only then may another stream be told to wait for
 * this event, and whoever wants to use the tile waits on the host until it has been
 * recorded, which is not until its bytes are there.
 *
 * How long each copy took, by the device's clock, is added up when its slot is used
 * again: of a run all but the last few. */
#include "extract/cuda/queue.h"

extern "C" {
#include "common/process.h"
}

enum {
    /* Of the processors: what computes on the host has the others. */
    SHARE = 2,
};

struct slot {
    char *memory;
    cudaEvent_t began, read; /* by the device */
    size_t bytes;            /* that they stand for; 0: none */
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
    int n_feeders, n_threads; /* that there are, and that have been started */

    pthread_mutex_t link; /* of whoever gives the stream of copies its work */
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

/* ---- feeders ---- */

/* Slices of one tile are given by several feeders, one at a time: the last of them
 * records that the tile has arrived. */
static int give(struct ol_cuda_feed *feed, struct slot *slot,
                const struct ol_cuda_slice *slice, struct ol_error *err)
{
    struct ol_cuda_delivery *d = slice->of;
    const cudaStream_t copies = feed->cuda->copies;
    pthread_mutex_lock(&feed->link);
    int status =
        ol_cuda_check(cudaEventRecord(slot->began, copies), "recording an event", err);
    if (status == 0)
        status = ol_cuda_check(cudaMemcpyAsync(d->to + slice->first, slot->memory,
                                               slice->n, cudaMemcpyHostToDevice, copies),
                               "copying to the device", err);
    if (status == 0)
        status =
            ol_cuda_check(cudaEventRecord(slot->read, copies), "recording an event", err);
    slot->bytes = status == 0 ? slice->n : 0;
    d->given += slice->n;
    if (status == 0 && d->given == d->bytes) {
        status =
            ol_cuda_check(cudaEventRecord(d->arrived, copies), "recording an event", err);
        d->recorded = status == 0;
    }
    pthread_mutex_unlock(&feed->link);
    return status;
}

/* Wait until the device has read it, and note how long that took. */
static int take_back(struct ol_cuda *cuda, struct slot *slot, struct ol_error *err)
{
    float milliseconds = 0;
    if (slot->bytes == 0)
        return 0;
    if (ol_cuda_check(cudaEventSynchronize(slot->read), "waiting for the device to read",
                      err) != 0 ||
        ol_cuda_check(cudaEventElapsedTime(&milliseconds, slot->began, slot->read),
                      "timing a copy", err) != 0)
        return -1;
    cuda->copied_bytes.fetch_add((int64_t)slot->bytes);
    cuda->copy_time.fetch_add((int64_t)((double)milliseconds * 1e6));
    slot->bytes = 0;
    return 0;
}

/* Of one device's copies from others, one is queued at a time. */
static int fetch(struct ol_cuda_feed *feed, const struct ol_cuda_slice *slice,
                 struct ol_error *err)
{
    ol_cuda_not_before(slice->from->told);
    pthread_mutex_lock(&feed->link);
    const int status = ol_cuda_share_fetch(feed->cuda, slice->of, slice->from, err);
    slice->of->recorded = status == 0;
    pthread_mutex_unlock(&feed->link);
    return status;
}

static int send(struct feeder *f, const struct ol_cuda_slice *slice, struct ol_error *err)
{
    ol_cuda_not_before(slice->of->asked);
    if (slice->from != NULL)
        return fetch(f->feed, slice, err);
    struct slot *slot = &f->slots[f->next];
    f->next = (f->next + 1) % OL_CUDA_FEEDER_SLOTS;
    if (fill(slice->of, slice->first, slice->n, slot->memory, err) != 0)
        return -1;
    return give(f->feed, slot, slice, err);
}

int ol_cuda_copies_wait(struct ol_cuda *cuda, cudaEvent_t event, struct ol_error *err)
{
    struct ol_cuda_feed *feed = cuda->feed;
    /* Not between a copy and the event of its beginning: to wait is no copying. */
    pthread_mutex_lock(&feed->link);
    int status = ol_cuda_check(cudaStreamWaitEvent(cuda->copies, event, 0),
                               "ordering streams", err);
    if (status == 0 && cuda->peers != NULL)
        status = ol_cuda_check(cudaStreamWaitEvent(cuda->peers, event, 0),
                               "ordering streams", err);
    pthread_mutex_unlock(&feed->link);
    return status;
}

static void *feeder_main(void *arg)
{
    struct feeder *f = (struct feeder *)arg;
    struct ol_cuda_feed *feed = f->feed;
    struct ol_error err = {};
    struct ol_cuda_slice slice;
    /* Every thread has a device of its own. */
    if (ol_cuda_check(cudaSetDevice(feed->cuda->device), "choosing the device", &err) !=
        0)
        ol_cuda_queue_fail(feed->cuda, &err);
    /* Its slot is free before it takes anything: who has room first, sends first. */
    for (;;) {
        if (take_back(feed->cuda, &f->slots[f->next], &err) != 0)
            ol_cuda_queue_fail(feed->cuda, &err);
        if (!ol_cuda_queue_take(feed->cuda, (int)(f - feed->feeders), &slice))
            break;
        if (!slice.void_ && send(f, &slice, &err) != 0)
            ol_cuda_queue_fail(feed->cuda, &err);
        ol_cuda_queue_finish(feed->cuda, &slice);
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
        if (ol_cuda_check(cudaEventCreateWithFlags(&f->slots[i].began, cudaEventDefault),
                          "making an event", err) != 0 ||
            ol_cuda_check(
                cudaEventCreateWithFlags(&f->slots[i].read, cudaEventBlockingSync),
                "making an event", err) != 0)
            return -1;
    }
    return 0;
}

static void slots_free(struct feeder *f)
{
    for (int i = 0; i < OL_CUDA_FEEDER_SLOTS; i++)
        for (const cudaEvent_t event : {f->slots[i].began, f->slots[i].read})
            if (event != NULL)
                cudaEventDestroy(event);
    if (f->memory != NULL)
        cudaFreeHost(f->memory);
}

/* Signals are for the program's own threads. */
int ol_cuda_feed_start(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_feed *feed = cuda->feed;
    sigset_t before;
    int code = 0;
    ol_process_block_signals(&before);
    while (code == 0 && feed->n_threads < feed->n_feeders) {
        struct feeder *f = &feed->feeders[feed->n_threads];
        code = pthread_create(&f->thread, NULL, feeder_main, f);
        feed->n_threads += code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 ? 0
                     : ol_fail(err, "cannot start a thread that feeds a device: %s",
                               strerror(code));
}

/* What is still in the queue does not come. */
void ol_cuda_feed_stop(struct ol_cuda *cuda)
{
    struct ol_cuda_feed *feed = cuda->feed;
    ol_cuda_queue_stop(cuda);
    for (int i = 0; i < feed->n_threads; i++)
        pthread_join(feed->feeders[i].thread, NULL);
    feed->n_threads = 0;
    ol_cuda_queue_clear(cuda);
}

/* The machine's processors are for all of its devices. */
static int feeders_of(int n_threads)
{
    const int n = n_threads / (SHARE * max(ol_cuda_devices(), 1));
    return min(max(n, 1), (int)OL_CUDA_MOST_FEEDERS);
}

int ol_cuda_feed_new(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_feed *feed = (struct ol_cuda_feed *)ol_xcalloc(1, sizeof *feed);
    feed->cuda = cuda;
    feed->slot_bytes = (size_t)cuda->sizes.feeder_slot;
    feed->n_feeders = feeders_of(ol_pool_threads(cuda->pool));
    pthread_mutex_init(&feed->link, NULL);
    ol_cuda_queue_new(cuda, feed->n_feeders);
    cuda->feed = feed;
    for (int i = 0; i < feed->n_feeders; i++) {
        feed->feeders[i].feed = feed;
        if (slots_new(&feed->feeders[i], feed->slot_bytes, err) != 0)
            return -1;
    }
    return ol_cuda_feed_start(cuda, err);
}

void ol_cuda_feed_free(struct ol_cuda *cuda)
{
    struct ol_cuda_feed *feed = cuda->feed;
    if (feed == NULL)
        return;
    ol_cuda_feed_stop(cuda);
    /* The device may still be reading. */
    if (cuda->copies != NULL)
        cudaStreamSynchronize(cuda->copies);
    for (int i = 0; i < OL_CUDA_MOST_FEEDERS; i++)
        slots_free(&feed->feeders[i]);
    ol_cuda_queue_free(cuda);
    cuda->feed = NULL;
    pthread_mutex_destroy(&feed->link);
    free(feed);
}
