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
 * Of several devices that share the way of weights each brings a part of the tiles over
 * its link, and the others copy them from there (share.cu). What another device is to
 * bring waits in the queue: a feeder passes over it until it is there, and brings it
 * itself when that is all that is left, it is waited for, and nobody has it.
 *
 * A failure is kept: every operation that begins after it fails with its text, and what
 * is queued is let pass without being copied, so that nobody waits for ever. */
#include "extract/cuda/share.h"

extern "C" {
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
    int n_feeders, n_threads; /* that there are, and that have been started */

    /* Under the mutex of cuda->share. */
    pthread_cond_t work, sent;
    /* Not all sent, in the order of use; all before `next` are all taken. */
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
    const struct ol_cuda_delivery
        *from;  /* another device's, all of it; NULL: the host's */
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

static pthread_mutex_t *mutex_of(const struct ol_cuda_feed *feed)
{
    return &feed->cuda->share->mutex;
}

static void fail(struct ol_cuda_feed *feed, const struct ol_error *err)
{
    pthread_mutex_lock(mutex_of(feed));
    ol_fail(&feed->failure, "%s", err->text);
    feed->failed.store(true);
    pthread_cond_broadcast(&feed->work);
    pthread_mutex_unlock(mutex_of(feed));
}

/* It goes over this device's link. */
static void claim(struct ol_cuda_delivery *d)
{
    d->state = OL_CUDA_CLAIMED;
    d->cuda->link_bytes.fetch_add((int64_t)d->bytes);
}

static void take_bytes(struct ol_cuda_delivery *d, size_t most,
                       const struct ol_cuda_delivery *from, struct slice *slice)
{
    const size_t left = d->bytes - d->taken;
    *slice = {d, d->taken, left < most ? left : most, from, false};
    d->taken += slice->n;
}

/* Whether something of a delivery that waits can be taken now: from another device that
 * has it, or, where it is this one's to bring and nobody began to, over the link. */
static bool take_waiting(struct ol_cuda_feed *feed, struct ol_cuda_delivery *d,
                         struct slice *slice)
{
    struct ol_cuda_delivery *other = ol_cuda_share_find(feed->cuda, d);
    if (other != NULL && other->state == OL_CUDA_THERE) {
        other->lent->under_way++;
        take_bytes(d, d->bytes, other, slice);
        return true;
    }
    if (other != NULL || d->owner != feed->cuda->member)
        return false;
    claim(d);
    take_bytes(d, d->slice, NULL, slice);
    return true;
}

/* The first delivery of the queue of which something can be taken; else the first that is
 * waited for and that nobody else has. */
static bool choose(struct ol_cuda_feed *feed, struct slice *slice)
{
    struct ol_cuda_delivery *late = NULL;
    while (feed->next != NULL && feed->next->taken == feed->next->bytes)
        feed->next = feed->next->next;
    for (struct ol_cuda_delivery *d = feed->next; d != NULL; d = d->next) {
        if (d->taken == d->bytes)
            continue;
        if (feed->failed.load()) {
            take_bytes(d, d->bytes, NULL, slice);
            slice->void_ = true;
            return true;
        }
        if (d->state == OL_CUDA_CLAIMED) {
            take_bytes(d, d->slice, NULL, slice);
            return true;
        }
        if (take_waiting(feed, d, slice))
            return true;
        if (late == NULL && d->awaited && ol_cuda_share_find(feed->cuda, d) == NULL)
            late = d;
    }
    if (late == NULL)
        return false;
    claim(late);
    take_bytes(late, late->slice, NULL, slice);
    return true;
}

/* The next slice; false when there is to be no other. */
static bool take(struct ol_cuda_feed *feed, struct slice *slice)
{
    bool found = false;
    pthread_mutex_lock(mutex_of(feed));
    while (!feed->stopping && !(found = choose(feed, slice)))
        pthread_cond_wait(&feed->work, mutex_of(feed));
    pthread_mutex_unlock(mutex_of(feed));
    return found;
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
    if (feed->next == d)
        feed->next = d->next;
}

/* Other devices may wait for it, or for what it does not bring. */
static void tell_others(const struct ol_cuda *cuda)
{
    const struct ol_cuda_share *share = cuda->share;
    for (int i = 0; i < share->n; i++)
        if (share->members[i] != NULL && share->members[i] != cuda &&
            share->members[i]->feed != NULL)
            pthread_cond_broadcast(&share->members[i]->feed->work);
}

/* A delivery is through, or does not come. */
static void end_delivery(struct ol_cuda_feed *feed, struct ol_cuda_delivery *d)
{
    unlink_delivery(feed, d);
    d->sent = true;
    if (d->recorded)
        d->state = OL_CUDA_THERE;
    else
        ol_cuda_share_remove(feed->cuda, d);
    pthread_cond_broadcast(&feed->sent);
    tell_others(feed->cuda);
}

/* A slice is through, sent or not. */
static void finish(struct ol_cuda_feed *feed, const struct slice *slice)
{
    struct ol_cuda_delivery *d = slice->of;
    pthread_mutex_lock(mutex_of(feed));
    d->finished += slice->n;
    d->told = fmax(d->told, ol_cuda_moment());
    if (d->finished == d->bytes)
        end_delivery(feed, d);
    pthread_mutex_unlock(mutex_of(feed));
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
    if (status == 0 && d->given == d->bytes) {
        status =
            ol_cuda_check(cudaEventRecord(d->arrived, copies), "recording an event", err);
        d->recorded = status == 0;
    }
    pthread_mutex_unlock(&feed->link);
    return status;
}

/* Of one device's copies from others, one is queued at a time. */
static int fetch(struct ol_cuda_feed *feed, const struct slice *slice,
                 struct ol_error *err)
{
    ol_cuda_not_before(slice->from->told);
    pthread_mutex_lock(&feed->link);
    const int status = ol_cuda_share_fetch(feed->cuda, slice->of, slice->from, err);
    slice->of->recorded = status == 0;
    pthread_mutex_unlock(&feed->link);
    return status;
}

static int send(struct feeder *f, const struct slice *slice, struct ol_error *err)
{
    ol_cuda_not_before(slice->of->asked);
    if (slice->from != NULL)
        return fetch(f->feed, slice, err);
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
    pthread_mutex_lock(mutex_of(feed));
    feed->stopping = true;
    pthread_cond_broadcast(&feed->work);
    pthread_mutex_unlock(mutex_of(feed));
    for (int i = 0; i < feed->n_threads; i++)
        pthread_join(feed->feeders[i].thread, NULL);
    pthread_mutex_lock(mutex_of(feed));
    while (feed->first != NULL)
        end_delivery(feed, feed->first);
    feed->n_threads = 0;
    feed->stopping = false;
    pthread_mutex_unlock(mutex_of(feed));
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
    pthread_cond_init(&feed->work, NULL);
    pthread_cond_init(&feed->sent, NULL);
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
    pthread_mutex_lock(mutex_of(feed));
    cuda->feed = NULL; /* others do not tell it any more */
    pthread_mutex_unlock(mutex_of(feed));
    pthread_cond_destroy(&feed->sent);
    pthread_cond_destroy(&feed->work);
    pthread_mutex_destroy(&feed->link);
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
    d->recorded = d->awaited = d->sent = d->dropped = false;
    d->asked = ol_cuda_moment();
    d->told = 0;
    d->next = NULL;
    pthread_mutex_lock(mutex_of(feed));
    ol_cuda_share_add(cuda, d);
    /* Known to others at once as what will come. */
    if (d->owner == cuda->member && ol_cuda_share_find(cuda, d) == NULL)
        claim(d);
    *(feed->first == NULL ? &feed->first : &feed->last->next) = d;
    feed->last = d;
    if (feed->next == NULL)
        feed->next = d;
    if (n == 1)
        pthread_cond_signal(&feed->work);
    else
        pthread_cond_broadcast(&feed->work);
    pthread_mutex_unlock(mutex_of(feed));
}

int ol_cuda_feed_check(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_feed *feed = cuda->feed;
    if (!feed->failed.load())
        return 0;
    pthread_mutex_lock(mutex_of(feed));
    ol_fail(err, "%s", feed->failure.text);
    pthread_mutex_unlock(mutex_of(feed));
    return -1;
}

/* Under the mutex. */
static void wait_for(struct ol_cuda_feed *feed, struct ol_cuda_delivery *d)
{
    if (!d->awaited && d->state == OL_CUDA_WAITS)
        pthread_cond_signal(&feed->work);
    d->awaited = true;
    while (!d->sent)
        pthread_cond_wait(&feed->sent, mutex_of(feed));
    ol_cuda_not_before(d->told);
}

int ol_cuda_feed_wait(struct ol_cuda *cuda, struct ol_cuda_delivery *d,
                      struct ol_error *err)
{
    struct ol_cuda_feed *feed = cuda->feed;
    const ol_cuda_timer timer(cuda->link_time);
    pthread_mutex_lock(mutex_of(feed));
    wait_for(feed, d);
    pthread_mutex_unlock(mutex_of(feed));
    return ol_cuda_feed_check(cuda, err);
}

/* Nobody has begun to bring it. */
static bool may_drop(const struct ol_cuda_delivery *d)
{
    return d->state == OL_CUDA_WAITS && d->taken == 0 && !d->sent;
}

static void drop(struct ol_cuda_feed *feed, struct ol_cuda_delivery *d)
{
    d->dropped = true;
    end_delivery(feed, d);
}

int ol_cuda_feed_end(struct ol_cuda *cuda, struct ol_cuda_delivery *d,
                     struct ol_error *err)
{
    struct ol_cuda_feed *feed = cuda->feed;
    const ol_cuda_timer timer(cuda->link_time);
    pthread_mutex_lock(mutex_of(feed));
    if (may_drop(d))
        drop(feed, d);
    wait_for(feed, d);
    ol_cuda_share_remove(cuda, d);
    pthread_mutex_unlock(mutex_of(feed));
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
    pthread_mutex_lock(mutex_of(feed));
    for (struct ol_cuda_delivery *d = feed->first; d != NULL;) {
        if (!reads(d, span)) {
            d = d->next;
            continue;
        }
        if (may_drop(d))
            drop(feed, d);
        else
            wait_for(feed, d);
        d = feed->first;
    }
    pthread_mutex_unlock(mutex_of(feed));
}
