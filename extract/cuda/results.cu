/* Results on their way back: what operations came to lies in one buffer, in the order in
 * which it was made, and crosses the link as one piece when it is sent or waited for:
 *
 *     batch 0  [ digest | digest | histogram | choices |      ]   on the device, and
 * pinned batch 1  [ heads | contributions | ...                  ]
 *
 * From the pinned copy it is brought to the places of the host that want it. While one
 * batch is on its way, beside the computing, the other is filled: what a layer ends with
 * arrives while the next one is computed. */
#include "extract/cuda/cuda.h"

enum {
    N_BATCHES = OL_RESULT_BATCHES,
    TASK_BYTES = 256 << 10, /* of the work of copying to the host's places */
    LEAST_BYTES = 1 << 20,  /* of a batch, where nobody said how much */
};

struct item {
    size_t at; /* in the batch */
    ol_cuda_arrive *arrive;
    alignas(16) char about[OL_CUDA_ABOUT_BYTES];
};

struct batch {
    char *device, *pinned;
    size_t bytes, used;
    struct item *items;
    int n, n_filled, room;
    int64_t first; /* the number of its first item, as results_wait counts */
    bool under_way, here;
    cudaEvent_t arrived;
};

struct ol_cuda_results {
    struct batch batches[N_BATCHES];
    int current;  /* the batch that came last */
    size_t bytes; /* of a batch */
    size_t item_bytes;
    cudaEvent_t made;
};

/* ---- life ---- */

static void memory_free(struct ol_cuda *cuda, struct batch *b)
{
    ol_cuda_memory_free(cuda, b->device, b->bytes);
    if (b->pinned != NULL)
        cudaFreeHost(b->pinned);
    b->device = b->pinned = NULL;
    b->bytes = 0;
}

/* Of an empty batch. */
static int memory_new(struct ol_cuda *cuda, struct batch *b, size_t bytes,
                      struct ol_error *err)
{
    void *memory = NULL;
    memory_free(cuda, b);
    b->device = (char *)ol_cuda_memory_new(cuda, bytes, "results", err);
    if (b->device == NULL)
        return -1;
    b->bytes = bytes;
    if (ol_cuda_check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault),
                      "pinning host memory", err) != 0)
        return -1;
    b->pinned = (char *)memory;
    return 0;
}

/* Room for so many bytes in the current batch, which is empty; in those that are empty
 * too, so that a run soon allocates no more. */
static int make_room(struct ol_cuda *cuda, size_t bytes, struct ol_error *err)
{
    struct ol_cuda_results *r = cuda->results;
    const size_t least = r->bytes > 0 ? r->bytes : (size_t)LEAST_BYTES;
    bytes = bytes > least ? bytes : least;
    if (r->batches[r->current].bytes >= bytes)
        return 0;
    for (struct batch &b : r->batches)
        if (b.n == 0 && b.bytes < bytes && memory_new(cuda, &b, bytes, err) != 0)
            return -1;
    return 0;
}

int ol_cuda_results_new(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_results *r = (struct ol_cuda_results *)ol_xcalloc(1, sizeof *r);
    cuda->results = r;
    for (struct batch &b : r->batches)
        if (ol_cuda_check(cudaEventCreateWithFlags(&b.arrived, cudaEventDisableTiming),
                          "making an event", err) != 0)
            return -1;
    return ol_cuda_check(cudaEventCreateWithFlags(&r->made, cudaEventDisableTiming),
                         "making an event", err);
}

void ol_cuda_results_free(struct ol_cuda *cuda)
{
    struct ol_cuda_results *r = cuda->results;
    if (r == NULL)
        return;
    for (struct batch &b : r->batches) {
        memory_free(cuda, &b);
        if (b.arrived != NULL)
            cudaEventDestroy(b.arrived);
        free(b.items);
    }
    if (r->made != NULL)
        cudaEventDestroy(r->made);
    free(r);
    cuda->results = NULL;
}

void ol_cuda_results_room(struct ol_backend *b, int64_t bytes)
{
    ol_cuda_of(b)->results->bytes = (size_t)bytes;
}

/* ---- back ---- */

/* All of the batch, behind what was made last. */
static int send_back(struct ol_cuda *cuda, struct batch *b, struct ol_error *err)
{
    if (b->n == 0 || b->under_way)
        return 0;
    cuda->link_bytes.fetch_add((int64_t)b->used);
    b->under_way = true;
    return ol_cuda_check(cudaStreamWaitEvent(cuda->back, cuda->results->made, 0),
                         "ordering streams", err) != 0 ||
                   ol_cuda_check(cudaMemcpyAsync(b->pinned, b->device, b->used,
                                                 cudaMemcpyDeviceToHost, cuda->back),
                                 "copying from the device", err) != 0 ||
                   ol_cuda_check(cudaEventRecord(b->arrived, cuda->back),
                                 "recording an event", err) != 0
               ? -1
               : 0;
}

static int wait_for(struct ol_cuda *cuda, struct batch *b, struct ol_error *err)
{
    const ol_cuda_timer timer(cuda->compute_time);
    if (!b->here && ol_cuda_check(cudaEventSynchronize(b->arrived),
                                  "waiting for the device", err) != 0)
        return -1;
    b->here = true;
    return 0;
}

static void empty(struct batch *b)
{
    b->n = b->n_filled = 0;
    b->used = 0;
    b->under_way = b->here = false;
}

/* Items up to number `until` arrive; the batch is empty when these are all. */
static int fill_in(struct ol_cuda *cuda, struct batch *b, int64_t until,
                   struct ol_error *err)
{
    if (b->n == 0 || b->first + b->n_filled > until)
        return 0;
    if (send_back(cuda, b, err) != 0 || wait_for(cuda, b, err) != 0)
        return -1;
    for (; b->n_filled < b->n && b->first + b->n_filled <= until; b->n_filled++) {
        const struct item *item = &b->items[b->n_filled];
        if (item->arrive(cuda, item->about, b->pinned + item->at, err) != 0)
            return -1;
    }
    if (b->n_filled == b->n)
        empty(b);
    return 0;
}

int ol_cuda_results_send(struct ol_backend *b, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct ol_cuda_results *r = cuda->results;
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0)
        return -1;
    return send_back(cuda, &r->batches[r->current], err);
}

int ol_cuda_results_wait(struct ol_backend *b, int64_t until, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct ol_cuda_results *r = cuda->results;
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0)
        return -1;
    /* The oldest batch first. */
    for (int i = 1; i <= N_BATCHES; i++)
        if (fill_in(cuda, &r->batches[(r->current + i) % N_BATCHES], until, err) != 0)
            return -1;
    return 0;
}

void ol_cuda_results_forget(struct ol_backend *b)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    /* A failure here was told before, or will be. */
    cudaSetDevice(cuda->device);
    for (struct batch &batch : cuda->results->batches) {
        if (batch.under_way)
            cudaEventSynchronize(batch.arrived);
        empty(&batch);
    }
    cudaGetLastError();
}

/* ---- what is left ---- */

static size_t aligned(size_t bytes)
{
    return (bytes + OL_CUDA_ALIGNMENT - 1) / OL_CUDA_ALIGNMENT * OL_CUDA_ALIGNMENT;
}

void *ol_cuda_result_begin(struct ol_cuda *cuda, size_t bytes, struct ol_error *err)
{
    struct ol_cuda_results *r = cuda->results;
    struct batch *b = &r->batches[r->current];
    bytes = aligned(bytes);
    if (b->n > 0 && (b->under_way || b->bytes - b->used < bytes)) {
        if (send_back(cuda, b, err) != 0)
            return NULL;
        r->current = (r->current + 1) % N_BATCHES;
        b = &r->batches[r->current];
        if (fill_in(cuda, b, INT64_MAX, err) != 0)
            return NULL;
    }
    if (ol_cuda_enter(cuda, err) != 0 || (b->n == 0 && make_room(cuda, bytes, err) != 0))
        return NULL;
    r->item_bytes = bytes;
    return b->device + b->used;
}

int ol_cuda_result_end(struct ol_cuda *cuda, ol_cuda_arrive *arrive, const void *about,
                       size_t about_bytes, struct ol_error *err)
{
    struct ol_cuda_results *r = cuda->results;
    struct batch *b = &r->batches[r->current];
    assert(about_bytes <= OL_CUDA_ABOUT_BYTES);
    if (ol_cuda_check(cudaEventRecord(r->made, cuda->stream), "recording an event",
                      err) != 0)
        return -1;
    if (b->n == b->room) {
        b->room = b->room > 0 ? 2 * b->room : 64;
        b->items =
            (struct item *)ol_xrealloc_array(b->items, (size_t)b->room, sizeof *b->items);
    }
    struct item *item = &b->items[b->n];
    item->at = b->used;
    item->arrive = arrive;
    memcpy(item->about, about, about_bytes);
    const int64_t number = ++cuda->base.n_results;
    if (b->n++ == 0)
        b->first = number;
    b->used += r->item_bytes;
    return 0;
}

/* ---- results that are bytes ---- */

struct copy {
    char *to;
    const char *from;
    size_t n;
};

static void copy_task(void *arg, int64_t i, int thread)
{
    (void)thread;
    const struct copy *c = (const struct copy *)arg;
    const size_t at = (size_t)i * TASK_BYTES, left = c->n - at;
    memcpy(c->to + at, c->from + at, left < TASK_BYTES ? left : (size_t)TASK_BYTES);
}

/* By all threads: the pages of new memory have to be found too. */
static int arrive_in_places(struct ol_cuda *cuda, const void *about, const char *from,
                            struct ol_error *err)
{
    const struct ol_cuda_places *p = (const struct ol_cuda_places *)about;
    (void)err;
    for (int i = 0; i < p->n; i++) {
        struct copy c = {(char *)p->of[i].host, from + p->of[i].at, p->of[i].bytes};
        if (c.n > TASK_BYTES)
            ol_pool_run(cuda->pool, (int64_t)((c.n + TASK_BYTES - 1) / TASK_BYTES),
                        copy_task, &c);
        else if (c.n > 0)
            copy_task(&c, 0, 0);
    }
    return 0;
}

int ol_cuda_result_end_places(struct ol_cuda *cuda, const struct ol_cuda_places *places,
                              struct ol_error *err)
{
    return ol_cuda_result_end(cuda, arrive_in_places, places, sizeof *places, err);
}

int ol_cuda_download_later(struct ol_backend *b, struct ol_tensor src, void *dst,
                           struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const size_t bytes = ol_cuda_bytes(src);
    const struct ol_cuda_places places = {1, {{dst, 0, bytes}}};
    void *to = ol_cuda_result_begin(cuda, bytes, err);
    if (to == NULL ||
        ol_cuda_check(
            cudaMemcpyAsync(to, src.data, bytes, cudaMemcpyDeviceToDevice, cuda->stream),
            "copying a result", err) != 0)
        return -1;
    return ol_cuda_result_end_places(cuda, &places, err);
}
