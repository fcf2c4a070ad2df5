/* Devices that share the way of weights. Each runs the whole model on its own sequences,
 * and so needs nearly every tile; where devices reach each other faster than the host
 * reaches them, a tile crosses the link of one of them only, and the others copy it from
 * there:
 *
 *     host   ==tile 0==>  device 0  --tile 0-->  device 1
 *            ==tile 1==>  device 1  --tile 1-->  device 0
 *
 * A tile gets its owner when one of them wants it first: the one that owns the fewest
 * bytes so far. An owner brings it over its link, unless another has it already or is
 * bringing it; the others pass over it in their queues (queue.cu) until somebody has it.
 * Who waits for a tile that nobody has or brings, because its owner does not want it, or
 * is not there yet, brings it itself when it has nothing else left to bring. What is
 * computed, and in which order, is the same on any number of devices: no byte of a result
 * tells where a weight came from.
 *
 * Nothing waits for ever:
 * - On devices. A stream waits only for events that were recorded before it was told to
 *   wait: a tile is copied from where `arrived` is recorded, and the segment that it is
 *   copied from is filled again behind an event that is recorded by then. So the oldest
 *   piece of work that is not done waits for nothing.
 * - On the host. A tile that is claimed waits for nobody: its device's feeders take its
 *   slices as they come, and what they wait for is their own stream. One that waits to be
 *   copied waits for a claimed one, on whatever device, or for nothing: it is claimed
 * when it is awaited. If the claimed one fails or is given up, it leaves the lists, and
 * those who wait are told.
 * - Between devices. Whether another device gets on, or ends, no one asks. Its memory is
 *   held by a copy out of it, which is queued without waiting (under_way), and then by an
 *   event: at most a segment for as long as a copy takes. */
#include "extract/cuda/share.h"

#include <stdio.h>

/* ---- the group ---- */

enum { BUCKET_BITS = 10 };
static_assert(1 << BUCKET_BITS == OL_CUDA_SHARE_BUCKETS, "as many buckets");

struct ol_cuda_share *ol_cuda_share_new(void)
{
    struct ol_cuda_share *share = (struct ol_cuda_share *)ol_xcalloc(1, sizeof *share);
    pthread_mutex_init(&share->mutex, NULL);
    pthread_cond_init(&share->returned, NULL);
    return share;
}

static void share_free(struct ol_cuda_share *share)
{
    pthread_cond_destroy(&share->returned);
    pthread_mutex_destroy(&share->mutex);
    free(share);
}

void ol_cuda_share_join(struct ol_cuda_share *share, struct ol_cuda *cuda)
{
    assert(cuda->share == NULL && share->n < OL_CUDA_MOST_SHARING);
    pthread_mutex_lock(&share->mutex);
    cuda->share = share;
    cuda->member = share->n;
    share->members[share->n++] = cuda;
    share->n_here++;
    pthread_mutex_unlock(&share->mutex);
}

void ol_cuda_share_leave(struct ol_cuda *cuda)
{
    struct ol_cuda_share *share = cuda->share;
    if (share == NULL)
        return;
    pthread_mutex_lock(&share->mutex);
    share->members[cuda->member] = NULL;
    const bool last = --share->n_here == 0;
    pthread_mutex_unlock(&share->mutex);
    cuda->share = NULL;
    if (last)
        share_free(share);
}

/* ---- the lists ---- */

static struct ol_cuda_delivery **bucket_of(struct ol_cuda_share *share,
                                           const struct ol_cuda_tile_name *name)
{
    return &share->buckets[ol_cuda_bucket_of(name, BUCKET_BITS)];
}

/* Whether they are the same tile, laid out alike, on two devices. */
static bool match(const struct ol_cuda_delivery *a, const struct ol_cuda_delivery *b)
{
    return a->cuda != b->cuda && a->bytes == b->bytes &&
           ol_cuda_is_same(&a->name, &b->name);
}

static int owner_of(struct ol_cuda_share *share, const struct ol_cuda_delivery *d)
{
    for (const struct ol_cuda_delivery *o = *bucket_of(share, &d->name); o != NULL;
         o = o->next_in_bucket)
        if (match(o, d))
            return o->owner;
    int owner = 0;
    for (int i = 1; i < share->n; i++)
        if (share->owned[i] < share->owned[owner])
            owner = i;
    share->owned[owner] += (int64_t)d->bytes;
    return owner;
}

void ol_cuda_share_add(struct ol_cuda *cuda, struct ol_cuda_delivery *d)
{
    struct ol_cuda_share *share = cuda->share;
    struct ol_cuda_delivery **bucket = bucket_of(share, &d->name);
    d->cuda = cuda;
    d->state = OL_CUDA_WAITS;
    d->owner = owner_of(share, d);
    d->next_in_bucket = *bucket;
    *bucket = d;
}

void ol_cuda_share_remove(struct ol_cuda *cuda, struct ol_cuda_delivery *d)
{
    if (d->state == OL_CUDA_LEFT)
        return;
    struct ol_cuda_delivery **link = bucket_of(cuda->share, &d->name);
    while (*link != d)
        link = &(*link)->next_in_bucket;
    *link = d->next_in_bucket;
    d->state = OL_CUDA_LEFT;
}

struct ol_cuda_delivery *ol_cuda_share_find(const struct ol_cuda *cuda,
                                            const struct ol_cuda_delivery *d)
{
    struct ol_cuda_delivery *claimed = NULL;
    for (struct ol_cuda_delivery *o = *bucket_of(cuda->share, &d->name); o != NULL;
         o = o->next_in_bucket) {
        if (o->state < OL_CUDA_CLAIMED || !match(o, d))
            continue;
        if (o->state == OL_CUDA_THERE)
            return o;
        claimed = o;
    }
    return claimed;
}

/* ---- copies between devices ---- */

static int queue_copy(struct ol_cuda *cuda, struct ol_cuda_delivery *d,
                      const struct ol_cuda_delivery *from, struct ol_error *err)
{
    cudaEvent_t *read = &from->lent->read[cuda->member];
    if (*read == NULL &&
        ol_cuda_check(cudaEventCreateWithFlags(read, cudaEventDisableTiming),
                      "making an event", err) != 0)
        return -1;
    if (ol_cuda_check(cudaStreamWaitEvent(cuda->peers, from->arrived, 0),
                      "ordering streams", err) != 0 ||
        ol_cuda_check(cudaMemcpyPeerAsync(d->to, cuda->device, from->to,
                                          from->cuda->device, d->bytes, cuda->peers),
                      "copying from another device", err) != 0 ||
        ol_cuda_check(cudaEventRecord(d->arrived, cuda->peers), "recording an event",
                      err) != 0)
        return -1;
    return ol_cuda_check(cudaEventRecord(*read, cuda->peers), "recording an event", err);
}

int ol_cuda_share_fetch(struct ol_cuda *cuda, struct ol_cuda_delivery *d,
                        const struct ol_cuda_delivery *from, struct ol_error *err)
{
    struct ol_cuda_lent *lent = from->lent;
    const int status = queue_copy(cuda, d, from, err);
    /* Without the event nobody could wait for a copy that did begin. */
    if (status != 0)
        cudaStreamSynchronize(cuda->peers);
    cuda->peer_bytes.fetch_add((int64_t)d->bytes);
    pthread_mutex_lock(&cuda->share->mutex);
    lent->waits[cuda->member] |= status == 0;
    lent->under_way--;
    pthread_cond_broadcast(&cuda->share->returned);
    pthread_mutex_unlock(&cuda->share->mutex);
    return status;
}

/* What is queued without waiting is soon no longer under way. */
static void end_queueing(struct ol_cuda *cuda, const struct ol_cuda_lent *lent)
{
    pthread_mutex_lock(&cuda->share->mutex);
    while (lent->under_way > 0)
        pthread_cond_wait(&cuda->share->returned, &cuda->share->mutex);
    pthread_mutex_unlock(&cuda->share->mutex);
}

int ol_cuda_share_take_back(struct ol_cuda *cuda, struct ol_cuda_lent *lent,
                            struct ol_error *err)
{
    end_queueing(cuda, lent);
    for (int i = 0; i < cuda->share->n; i++) {
        if (lent->waits[i] && ol_cuda_copies_wait(cuda, lent->read[i], err) != 0)
            return -1;
        lent->waits[i] = false;
    }
    return 0;
}

void ol_cuda_share_end_lending(struct ol_cuda *cuda, struct ol_cuda_lent *lent)
{
    end_queueing(cuda, lent);
    for (int i = 0; i < OL_CUDA_MOST_SHARING; i++) {
        if (lent->waits[i])
            cudaEventSynchronize(lent->read[i]);
        if (lent->read[i] != NULL)
            cudaEventDestroy(lent->read[i]);
    }
    memset(lent, 0, sizeof *lent);
}

void ol_cuda_share_withdraw(struct ol_cuda *cuda)
{
    struct ol_cuda_share *share = cuda->share;
    pthread_mutex_lock(&share->mutex);
    for (int i = 0; i < OL_CUDA_SHARE_BUCKETS; i++)
        for (struct ol_cuda_delivery **link = &share->buckets[i]; *link != NULL;)
            if ((*link)->cuda == cuda)
                ol_cuda_share_remove(cuda, *link);
            else
                link = &(*link)->next_in_bucket;
    pthread_mutex_unlock(&share->mutex);
}

/* ---- who shares ---- */

/* 1 where the one device reaches the other's memory by a way of their own (NVLink), which
 * is what atomic operations on it tell: over the bus that the host's copies take there
 * are none. -1 with err. */
static int is_near(int device, int other, bool *reaches, struct ol_error *err)
{
    int can = 0, atomics = 0;
    if (ol_cuda_check(cudaDeviceCanAccessPeer(&can, device, other), "asking for peers",
                      err) != 0)
        return -1;
    *reaches = can != 0;
    if (can != 0 &&
        ol_cuda_check(cudaDeviceGetP2PAttribute(
                          &atomics, cudaDevP2PAttrNativeAtomicSupported, device, other),
                      "asking for the way between devices", err) != 0)
        return -1;
    return atomics != 0;
}

extern "C" int ol_cuda_are_near(const int *devices, int n, char *why, size_t size,
                                struct ol_error *err)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) {
            bool reaches = false;
            const int near = i == k ? 1 : is_near(devices[i], devices[k], &reaches, err);
            if (near < 0)
                return -1;
            if (near == 0) {
                snprintf(why, size,
                         reaches ? "device %d reaches device %d by the host's bus only"
                                 : "device %d does not reach the memory of device %d",
                         devices[i], devices[k]);
                return 0;
            }
        }
    snprintf(why, size, "devices reach each other by links of their own");
    return 1;
}

static int enable(int device, int other, struct ol_error *err)
{
    if (ol_cuda_check(cudaSetDevice(device), "choosing the device", err) != 0)
        return -1;
    const cudaError_t status = cudaDeviceEnablePeerAccess(other, 0);
    if (status == cudaErrorPeerAccessAlreadyEnabled) {
        cudaGetLastError();
        return 0;
    }
    return ol_cuda_check(status, "giving a device access to another", err);
}

static int enter(struct ol_cuda *cuda, struct ol_cuda_share *share, struct ol_error *err)
{
    ol_cuda_feed_stop(cuda);
    ol_cuda_share_leave(cuda);
    ol_cuda_share_join(share, cuda);
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0)
        return -1;
    return ol_cuda_check(cudaStreamCreateWithFlags(&cuda->peers, cudaStreamNonBlocking),
                         "making a stream", err);
}

int ol_cuda_share_weights(struct ol_backend *const *backends, int n, char *how,
                          size_t size, struct ol_error *err)
{
    int devices[OL_CUDA_MOST_SHARING];
    assert(n > 1 && n <= OL_CUDA_MOST_SHARING);
    for (int i = 0; i < n; i++)
        devices[i] = ol_cuda_of(backends[i])->device;
    const int near = ol_cuda_are_near(devices, n, how, size, err);
    if (near <= 0)
        return near;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            if (i != k && enable(devices[i], devices[k], err) != 0)
                return -1;
    struct ol_cuda_share *share = ol_cuda_share_new();
    int status = 0;
    for (int i = 0; i < n && status == 0; i++)
        status = enter(ol_cuda_of(backends[i]), share, err);
    for (int i = 0; i < n && status == 0; i++)
        status = ol_cuda_feed_start(ol_cuda_of(backends[i]), err);
    return status == 0 ? 1 : -1;
}
