/* The queue of a device's tiles, and what is brought next and from where.
 *
 *     queue     [ tile 7 | tile 8 | ... ]         in the order of use
 *                  |  cut in slices, one feeder's each
 *
 * A feeder takes the next slice of the first tile of which one can be taken. Of several
 * devices that share the way of weights each brings a part of the tiles over its link,
 * and the others copy them from there (share.cu). What another device is to bring waits
 * in the queue: a feeder passes over it until it is there, and brings it itself when that
 * is all that is left, it is waited for, and nobody has it.
 *
 * A failure is kept: every operation that begins after it fails with its text, and what
 * is queued is let pass without being copied, so that nobody waits for ever. */
#include "extract/cuda/queue.h"

struct ol_cuda_queue {
    struct ol_cuda *cuda;
    /* Under the mutex of cuda->share. */
    pthread_cond_t work, sent;
    /* Not all sent, in the order of use; all before `next` are all taken. */
    struct ol_cuda_delivery *first, *last, *next;
    bool stopping;
    /* Of feeders when they came for a slice, by a simulated device's clock. */
    double moments[OL_CUDA_MOST_FEEDERS];
    int n_feeders;
    struct ol_error failure;
    std::atomic<bool> failed; /* `failure` tells why */
};

/* ---- what is brought next ---- */

static pthread_mutex_t *mutex_of(const struct ol_cuda_queue *q)
{
    return &q->cuda->share->mutex;
}

/* It goes over this device's link. */
static void claim(struct ol_cuda_delivery *d)
{
    d->state = OL_CUDA_CLAIMED;
    d->cuda->link_bytes.fetch_add((int64_t)d->bytes);
}

static void take_bytes(struct ol_cuda_delivery *d, size_t most,
                       const struct ol_cuda_delivery *from, struct ol_cuda_slice *slice)
{
    const size_t left = d->bytes - d->taken;
    *slice = {d, d->taken, left < most ? left : most, from, false};
    d->taken += slice->n;
}

/* Whether something of a delivery that waits can be taken now: from another device that
 * has it, or, where it is this one's to bring and nobody began to, over the link. */
static bool take_waiting(struct ol_cuda_queue *q, struct ol_cuda_delivery *d,
                         struct ol_cuda_slice *slice)
{
    struct ol_cuda_delivery *other = ol_cuda_share_find(q->cuda, d);
    if (other != NULL && other->state == OL_CUDA_THERE) {
        other->lent->under_way++;
        take_bytes(d, d->bytes, other, slice);
        return true;
    }
    if (other != NULL || d->owner != q->cuda->member)
        return false;
    claim(d);
    take_bytes(d, d->slice, NULL, slice);
    return true;
}

/* The first delivery of the queue of which something can be taken; else the first that is
 * waited for and that nobody else has. */
static bool choose(struct ol_cuda_queue *q, struct ol_cuda_slice *slice)
{
    struct ol_cuda_delivery *late = NULL;
    while (q->next != NULL && q->next->taken == q->next->bytes)
        q->next = q->next->next;
    for (struct ol_cuda_delivery *d = q->next; d != NULL; d = d->next) {
        if (d->taken == d->bytes)
            continue;
        if (q->failed.load()) {
            take_bytes(d, d->bytes, NULL, slice);
            slice->void_ = true;
            return true;
        }
        if (d->state == OL_CUDA_CLAIMED) {
            take_bytes(d, d->slice, NULL, slice);
            return true;
        }
        if (take_waiting(q, d, slice))
            return true;
        if (late == NULL && d->awaited && ol_cuda_share_find(q->cuda, d) == NULL)
            late = d;
    }
    if (late == NULL)
        return false;
    claim(late);
    take_bytes(late, late->slice, NULL, slice);
    return true;
}

static void unlink_delivery(struct ol_cuda_queue *q, struct ol_cuda_delivery *d)
{
    struct ol_cuda_delivery **link = &q->first, *before = NULL;
    while (*link != d) {
        before = *link;
        link = &before->next;
    }
    *link = d->next;
    if (q->last == d)
        q->last = before;
    if (q->next == d)
        q->next = d->next;
}

/* Other devices may wait for it, or for what it does not bring. */
static void tell_others(const struct ol_cuda *cuda)
{
    const struct ol_cuda_share *share = cuda->share;
    for (int i = 0; i < share->n; i++)
        if (share->members[i] != NULL && share->members[i] != cuda &&
            share->members[i]->queue != NULL)
            pthread_cond_broadcast(&share->members[i]->queue->work);
}

/* A delivery is through, or does not come. */
static void end_delivery(struct ol_cuda_queue *q, struct ol_cuda_delivery *d)
{
    unlink_delivery(q, d);
    d->sent = true;
    if (d->recorded)
        d->state = OL_CUDA_THERE;
    else
        ol_cuda_share_remove(q->cuda, d);
    pthread_cond_broadcast(&q->sent);
    tell_others(q->cuda);
}

/* ---- feeders (feed.cu) ---- */

/* None is behind it by that clock: what order the machine runs feeders in does not show
 * in when tiles arrive. */
static bool is_first(struct ol_cuda_queue *q, int feeder)
{
    q->moments[feeder] = ol_cuda_moment();
    for (int i = 0; i < q->n_feeders; i++)
        if (q->moments[i] < q->moments[feeder])
            return false;
    return true;
}

/* There is something to take. Where time is simulated it is not anybody's. */
static void wake(struct ol_cuda_queue *q, bool all)
{
    all |= ol_cuda_moment() > 0;
    (all ? pthread_cond_broadcast : pthread_cond_signal)(&q->work);
}

bool ol_cuda_queue_take(struct ol_cuda *cuda, int feeder, struct ol_cuda_slice *slice)
{
    struct ol_cuda_queue *q = cuda->queue;
    bool found = false;
    pthread_mutex_lock(mutex_of(q));
    q->moments[feeder] = ol_cuda_moment();
    if (q->moments[feeder] > 0)
        wake(q, true);
    while (!q->stopping && !(is_first(q, feeder) && (found = choose(q, slice))))
        pthread_cond_wait(&q->work, mutex_of(q));
    pthread_mutex_unlock(mutex_of(q));
    return found;
}

void ol_cuda_queue_finish(struct ol_cuda *cuda, const struct ol_cuda_slice *slice)
{
    struct ol_cuda_queue *q = cuda->queue;
    struct ol_cuda_delivery *d = slice->of;
    pthread_mutex_lock(mutex_of(q));
    d->finished += slice->n;
    d->told = fmax(d->told, ol_cuda_moment());
    if (d->finished == d->bytes)
        end_delivery(q, d);
    pthread_mutex_unlock(mutex_of(q));
}

void ol_cuda_queue_fail(struct ol_cuda *cuda, const struct ol_error *err)
{
    struct ol_cuda_queue *q = cuda->queue;
    pthread_mutex_lock(mutex_of(q));
    ol_fail(&q->failure, "%s", err->text);
    q->failed.store(true);
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(mutex_of(q));
}

void ol_cuda_queue_stop(struct ol_cuda *cuda)
{
    struct ol_cuda_queue *q = cuda->queue;
    pthread_mutex_lock(mutex_of(q));
    q->stopping = true;
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(mutex_of(q));
}

void ol_cuda_queue_clear(struct ol_cuda *cuda)
{
    struct ol_cuda_queue *q = cuda->queue;
    pthread_mutex_lock(mutex_of(q));
    while (q->first != NULL)
        end_delivery(q, q->first);
    q->stopping = false;
    pthread_mutex_unlock(mutex_of(q));
}

/* ---- life ---- */

void ol_cuda_queue_new(struct ol_cuda *cuda, int n_feeders)
{
    struct ol_cuda_queue *q = (struct ol_cuda_queue *)ol_xcalloc(1, sizeof *q);
    q->cuda = cuda;
    q->n_feeders = n_feeders;
    pthread_cond_init(&q->work, NULL);
    pthread_cond_init(&q->sent, NULL);
    cuda->queue = q;
}

void ol_cuda_queue_free(struct ol_cuda *cuda)
{
    struct ol_cuda_queue *q = cuda->queue;
    pthread_mutex_lock(mutex_of(q));
    cuda->queue = NULL; /* others do not tell it any more */
    pthread_mutex_unlock(mutex_of(q));
    pthread_cond_destroy(&q->sent);
    pthread_cond_destroy(&q->work);
    free(q);
}

/* ---- who queues the computing ---- */

void ol_cuda_queue_add(struct ol_cuda *cuda, struct ol_cuda_delivery *d)
{
    struct ol_cuda_queue *q = cuda->queue;
    const size_t most = (size_t)cuda->sizes.feeder_slot, n = (d->bytes + most - 1) / most;
    assert(d->bytes > 0);
    d->slice = ol_cuda_place_after((d->bytes + n - 1) / n);
    d->taken = d->given = d->finished = 0;
    d->recorded = d->awaited = d->sent = d->dropped = false;
    d->asked = ol_cuda_moment();
    d->told = 0;
    d->next = NULL;
    pthread_mutex_lock(mutex_of(q));
    ol_cuda_share_add(cuda, d);
    /* Known to others at once as what will come. */
    if (d->owner == cuda->member && ol_cuda_share_find(cuda, d) == NULL)
        claim(d);
    *(q->first == NULL ? &q->first : &q->last->next) = d;
    q->last = d;
    if (q->next == NULL)
        q->next = d;
    wake(q, n > 1);
    pthread_mutex_unlock(mutex_of(q));
}

int ol_cuda_queue_check(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_queue *q = cuda->queue;
    if (!q->failed.load())
        return 0;
    pthread_mutex_lock(mutex_of(q));
    ol_fail(err, "%s", q->failure.text);
    pthread_mutex_unlock(mutex_of(q));
    return -1;
}

/* Under the mutex. */
static void wait_for(struct ol_cuda_queue *q, struct ol_cuda_delivery *d)
{
    if (!d->awaited && d->state == OL_CUDA_WAITS)
        wake(q, false);
    d->awaited = true;
    while (!d->sent)
        pthread_cond_wait(&q->sent, mutex_of(q));
    ol_cuda_not_before(d->told);
}

int ol_cuda_queue_wait(struct ol_cuda *cuda, struct ol_cuda_delivery *d,
                       struct ol_error *err)
{
    struct ol_cuda_queue *q = cuda->queue;
    const ol_cuda_timer timer(cuda->link_time);
    pthread_mutex_lock(mutex_of(q));
    wait_for(q, d);
    pthread_mutex_unlock(mutex_of(q));
    return ol_cuda_queue_check(cuda, err);
}

/* Nobody has begun to bring it. */
static bool may_drop(const struct ol_cuda_delivery *d)
{
    return d->state == OL_CUDA_WAITS && d->taken == 0 && !d->sent;
}

static void drop(struct ol_cuda_queue *q, struct ol_cuda_delivery *d)
{
    d->dropped = true;
    end_delivery(q, d);
}

int ol_cuda_queue_end(struct ol_cuda *cuda, struct ol_cuda_delivery *d,
                      struct ol_error *err)
{
    struct ol_cuda_queue *q = cuda->queue;
    const ol_cuda_timer timer(cuda->link_time);
    pthread_mutex_lock(mutex_of(q));
    if (may_drop(d))
        drop(q, d);
    wait_for(q, d);
    ol_cuda_share_remove(cuda, d);
    pthread_mutex_unlock(mutex_of(q));
    return ol_cuda_queue_check(cuda, err);
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

void ol_cuda_queue_leave(struct ol_cuda *cuda, const struct ol_span *span)
{
    struct ol_cuda_queue *q = cuda->queue;
    pthread_mutex_lock(mutex_of(q));
    for (struct ol_cuda_delivery *d = q->first; d != NULL;) {
        if (!reads(d, span)) {
            d = d->next;
            continue;
        }
        if (may_drop(d))
            drop(q, d);
        else
            wait_for(q, d);
        d = q->first;
    }
    pthread_mutex_unlock(mutex_of(q));
}
