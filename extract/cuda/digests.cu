/* Digests on their way back: what is made of many sequences lies in one buffer, in the
 * order in which it was made, and crosses the link as one piece when it is waited for:
 *
 *     batch 0  [ digest | digest | ... | histogram |      ]    on the device, and pinned
 *     batch 1  [                                          ]
 *
 *     digest   [ n of occurrences | columns | as many of the list as have room ]
 *
 * When one batch is full it is sent, beside the computing, while the other is filled. */
#include "extract/cuda/digest.cuh"

enum { MOST_ITEMS = 128, N_BATCHES = 2 };

/* A digest of x, or counts. */
struct item {
    size_t at, bytes; /* in the batch */
    struct ol_tensor x;
    uint32_t least;
    int64_t listed; /* occurrences for which there is room */
    struct ol_digest *digest;
    int64_t *counts;
};

struct batch {
    char *device, *pinned;
    size_t bytes, used;
    int n;
    bool under_way;
    cudaEvent_t arrived;
    struct item items[MOST_ITEMS];
};

struct ol_cuda_digests {
    struct batch batches[N_BATCHES];
    int current;
    cudaEvent_t made;
    unsigned long long *histogram; /* [OL_N_CODES] */
};

/* ---- life ---- */

static void batch_free(struct ol_cuda *cuda, struct batch *b)
{
    if (b->arrived != NULL)
        cudaEventDestroy(b->arrived);
    ol_cuda_memory_free(cuda, b->device, b->bytes);
    if (b->pinned != NULL)
        cudaFreeHost(b->pinned);
    memset(b, 0, sizeof *b);
}

/* Of an empty batch: room for what comes of so many columns. */
static int batch_make(struct ol_cuda *cuda, struct batch *b, int64_t n_cols,
                      struct ol_error *err)
{
    const size_t bytes =
        (size_t)cuda->sizes.digest_slots / N_BATCHES * ol_cuda_digest_slot_bytes(n_cols);
    void *memory = NULL;
    if (b->bytes >= bytes)
        return 0;
    batch_free(cuda, b);
    b->device = (char *)ol_cuda_memory_new(cuda, bytes, "digests", err);
    if (b->device == NULL)
        return -1;
    b->bytes = bytes;
    if (ol_cuda_check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault),
                      "pinning host memory", err) != 0)
        return -1;
    b->pinned = (char *)memory;
    return ol_cuda_check(cudaEventCreateWithFlags(&b->arrived, cudaEventDisableTiming),
                         "making an event", err);
}

int ol_cuda_digests_new(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_digests *d = (struct ol_cuda_digests *)ol_xcalloc(1, sizeof *d);
    cuda->digests = d;
    if (ol_cuda_check(cudaEventCreateWithFlags(&d->made, cudaEventDisableTiming),
                      "making an event", err) == 0)
        d->histogram = (unsigned long long *)ol_cuda_memory_new(
            cuda, OL_CUDA_HISTOGRAM_BYTES, "a histogram", err);
    if (d->histogram == NULL)
        return -1;
    return ol_cuda_check(
        cudaMemsetAsync(d->histogram, 0, OL_CUDA_HISTOGRAM_BYTES, cuda->stream),
        "clearing a buffer", err);
}

void ol_cuda_digests_free(struct ol_cuda *cuda)
{
    struct ol_cuda_digests *d = cuda->digests;
    if (d == NULL)
        return;
    for (int i = 0; i < N_BATCHES; i++)
        batch_free(cuda, &d->batches[i]);
    ol_cuda_memory_free(cuda, d->histogram, OL_CUDA_HISTOGRAM_BYTES);
    if (d->made != NULL)
        cudaEventDestroy(d->made);
    free(d);
    cuda->digests = NULL;
}

/* ---- more than the batch has room for ---- */

/* The rows themselves. */
static int get_codes(struct ol_cuda *cuda, struct ol_tensor x, uint16_t *codes,
                     struct ol_error *err)
{
    const int64_t n = x.n_rows * x.n_cols;
    if (x.dtype == OL_DTYPE_BF16)
        return ol_cuda_get(cuda, x.data, codes, (size_t)n * sizeof *codes, err);
    const int64_t most =
        min(n, cuda->unit / OL_CUDA_DIGEST_SHARES / (int64_t)sizeof *codes);
    uint16_t *room = (uint16_t *)ol_cuda_scratch(cuda, (size_t)most * sizeof *room, err);
    for (int64_t first = 0; first < n; first += most) {
        const int64_t some = min(n - first, most);
        if (room == NULL ||
            ol_cuda_round_codes(cuda, (const float *)x.data + first, some, room, err) !=
                0 ||
            ol_cuda_get(cuda, room, codes + first, (size_t)some * sizeof *codes, err) !=
                0)
            return -1;
    }
    return 0;
}

/* Once more, into a list that has room, unless the rows themselves are shorter. */
static int get_more(struct ol_cuda *cuda, const struct item *item, struct ol_error *err)
{
    struct ol_digest *digest = item->digest;
    const int64_t n = digest->n_occurrences;
    const int64_t most =
        cuda->unit / OL_CUDA_DIGEST_SHARES / (int64_t)sizeof *digest->occurrences;
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    digest->listed = n <= min(digest->most_occurrences, most);
    if (!digest->listed)
        return get_codes(cuda, item->x, digest->codes, err);
    const size_t bytes = (size_t)n * sizeof *digest->occurrences;
    const int64_t n_cols = item->x.n_cols;
    struct ol_cuda_occurrences o;
    o.most = (unsigned long long)n;
    o.n = (unsigned long long *)ol_cuda_scratch(cuda, sizeof *o.n, err);
    o.list = (struct ol_occurrence *)ol_cuda_scratch(cuda, bytes, err);
    void *columns = ol_cuda_scratch(cuda, ol_cuda_digest_columns_bytes(n_cols), err);
    if (o.n == NULL || o.list == NULL || columns == NULL)
        return -1;
    const struct ol_cuda_digest_task task = {
        item->x, item->least, ol_cuda_columns_in(columns, n_cols), o, NULL};
    if (ol_cuda_check(cudaMemsetAsync(o.n, 0, sizeof *o.n, cuda->stream),
                      "clearing a counter", err) != 0 ||
        ol_cuda_run_digest(cuda, &task, err) != 0)
        return -1;
    return ol_cuda_get(cuda, o.list, digest->occurrences, bytes, err);
}

/* ---- back ---- */

static int end_digest(struct ol_cuda *cuda, const struct item *item, const char *from,
                      struct ol_error *err)
{
    struct ol_digest *digest = item->digest;
    const size_t columns = ol_cuda_digest_columns_bytes(item->x.n_cols);
    unsigned long long n;
    memcpy(&n, from, sizeof n);
    memcpy(digest->sums, from + OL_CUDA_DIGEST_COLUMNS_AT, columns);
    digest->n_occurrences = (int64_t)n;
    digest->listed = true;
    if ((int64_t)n > item->listed)
        return get_more(cuda, item, err);
    memcpy(digest->occurrences, from + OL_CUDA_DIGEST_COLUMNS_AT + columns,
           (size_t)n * sizeof *digest->occurrences);
    return 0;
}

/* All of the batch, behind what was made last. */
static int send_back(struct ol_cuda *cuda, struct batch *b, struct ol_error *err)
{
    if (b->n == 0 || b->under_way)
        return 0;
    cuda->link_bytes.fetch_add((int64_t)b->used);
    b->under_way = true;
    return ol_cuda_check(cudaStreamWaitEvent(cuda->back, cuda->digests->made, 0),
                         "ordering streams", err) != 0 ||
                   ol_cuda_check(cudaMemcpyAsync(b->pinned, b->device, b->used,
                                                 cudaMemcpyDeviceToHost, cuda->back),
                                 "copying from the device", err) != 0 ||
                   ol_cuda_check(cudaEventRecord(b->arrived, cuda->back),
                                 "recording an event", err) != 0
               ? -1
               : 0;
}

static int wait_for(struct ol_cuda *cuda, const struct batch *b, struct ol_error *err)
{
    const ol_cuda_timer timer(cuda->compute_time);
    return ol_cuda_check(cudaEventSynchronize(b->arrived), "waiting for the device", err);
}

/* What is under way arrives and is handed out. */
static int end_batch(struct ol_cuda *cuda, struct batch *b, struct ol_error *err)
{
    if (b->under_way && wait_for(cuda, b, err) != 0)
        return -1;
    for (int i = 0; i < b->n; i++) {
        const struct item *item = &b->items[i];
        if (item->digest != NULL) {
            if (end_digest(cuda, item, b->pinned + item->at, err) != 0)
                return -1;
        } else {
            memcpy(item->counts, b->pinned + item->at, OL_CUDA_HISTOGRAM_BYTES);
        }
    }
    b->n = 0;
    b->used = 0;
    b->under_way = false;
    return 0;
}

static bool has_room(const struct batch *b, size_t bytes)
{
    return b->n < MOST_ITEMS && b->bytes - b->used >= bytes;
}

/* A new item, the last of the current batch, of what comes of so many columns; NULL with
 * err. The operation has begun. */
static struct item *begin_item(struct ol_cuda *cuda, int64_t n_cols, size_t bytes,
                               struct ol_error *err)
{
    struct ol_cuda_digests *d = cuda->digests;
    struct batch *b = &d->batches[d->current];
    bytes = (bytes + OL_CUDA_ALIGNMENT - 1) / OL_CUDA_ALIGNMENT * OL_CUDA_ALIGNMENT;
    if (b->n > 0 && !has_room(b, bytes)) {
        if (send_back(cuda, b, err) != 0)
            return NULL;
        d->current = (d->current + 1) % N_BATCHES;
        b = &d->batches[d->current];
        if (end_batch(cuda, b, err) != 0)
            return NULL;
    }
    if (ol_cuda_enter(cuda, err) != 0 ||
        (b->n == 0 && batch_make(cuda, b, n_cols, err) != 0))
        return NULL;
    assert(has_room(b, bytes));
    struct item *item = &b->items[b->n];
    memset(item, 0, sizeof *item);
    item->at = b->used;
    item->bytes = bytes;
    return item;
}

/* What it is made of is queued. */
static int add_item(struct ol_cuda *cuda, const struct item *item, struct ol_error *err)
{
    struct ol_cuda_digests *d = cuda->digests;
    struct batch *b = &d->batches[d->current];
    if (ol_cuda_check(cudaEventRecord(d->made, cuda->stream), "recording an event",
                      err) != 0)
        return -1;
    b->used += item->bytes;
    b->n++;
    return 0;
}

int ol_cuda_digest_begin(struct ol_backend *b, struct ol_tensor x, uint32_t least,
                         struct ol_digest *digest, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    assert(x.n_rows == digest->n_rows && x.n_cols == digest->n_cols &&
           x.n_cols <= OL_NO_COLUMN);
    /* What is not looked for needs no room. */
    const int64_t listed =
        least > 0 ? min(digest->most_occurrences, (int64_t)OL_CUDA_DIGEST_LISTED) : 0;
    struct item *item =
        begin_item(cuda, x.n_cols, ol_cuda_digest_bytes(x.n_cols, listed), err);
    if (item == NULL)
        return -1;
    char *to = cuda->digests->batches[cuda->digests->current].device + item->at;
    char *columns = to + OL_CUDA_DIGEST_COLUMNS_AT;
    struct ol_cuda_digest_task task = {};
    task.x = item->x = x;
    task.least = item->least = least;
    task.columns = ol_cuda_columns_in(columns, x.n_cols);
    task.occurrences.n = (unsigned long long *)(void *)to;
    task.occurrences.list =
        (struct ol_occurrence *)(void *)(columns +
                                         ol_cuda_digest_columns_bytes(x.n_cols));
    task.occurrences.most = (unsigned long long)listed;
    task.histogram = cuda->digests->histogram;
    item->listed = listed;
    item->digest = digest;
    if (ol_cuda_check(cudaMemsetAsync(to, 0, sizeof *task.occurrences.n, cuda->stream),
                      "clearing a counter", err) != 0 ||
        ol_cuda_run_digest(cuda, &task, err) != 0)
        return -1;
    return add_item(cuda, item, err);
}

int ol_cuda_histogram_begin(struct ol_backend *b, int64_t *counts, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct item *item = begin_item(cuda, 0, OL_CUDA_HISTOGRAM_BYTES, err);
    unsigned long long *histogram = cuda->digests->histogram;
    if (item == NULL)
        return -1;
    item->counts = counts;
    if (ol_cuda_check(
            cudaMemcpyAsync(cuda->digests->batches[cuda->digests->current].device +
                                item->at,
                            histogram, OL_CUDA_HISTOGRAM_BYTES, cudaMemcpyDeviceToDevice,
                            cuda->stream),
            "copying a histogram", err) != 0 ||
        ol_cuda_check(
            cudaMemsetAsync(histogram, 0, OL_CUDA_HISTOGRAM_BYTES, cuda->stream),
            "clearing a buffer", err) != 0)
        return -1;
    return add_item(cuda, item, err);
}

int ol_cuda_digest_wait(struct ol_backend *b, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    struct ol_cuda_digests *d = cuda->digests;
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0 ||
        send_back(cuda, &d->batches[d->current], err) != 0)
        return -1;
    for (int i = 1; i <= N_BATCHES; i++)
        if (end_batch(cuda, &d->batches[(d->current + i) % N_BATCHES], err) != 0)
            return -1;
    d->current = 0;
    return 0;
}
