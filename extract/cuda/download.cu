/* Rows on their way back: by a stream of their own, beside the computing, into pinned
 * memory that whoever writes them holds until they are written. What was given back is
 * used again: a run pins as much as waits to be written at a time. */
#include "extract/cuda/cuda.h"

#include <mutex>

struct rows {
    char *memory;
    size_t bytes;
    bool held; /* under way or written */
    cudaEvent_t arrived;
    struct rows *next;
};

struct ol_cuda_downloads {
    std::mutex mutex; /* of `held` and the list */
    struct rows *all;
    cudaEvent_t begun;
};

int ol_cuda_downloads_new(struct ol_cuda *cuda, struct ol_error *err)
{
    cuda->downloads = new ol_cuda_downloads();
    return ol_cuda_check(
        cudaEventCreateWithFlags(&cuda->downloads->begun, cudaEventDisableTiming),
        "making an event", err);
}

static void rows_free(struct rows *r)
{
    if (r->arrived != NULL)
        cudaEventDestroy(r->arrived);
    if (r->memory != NULL)
        cudaFreeHost(r->memory);
    free(r);
}

void ol_cuda_downloads_free(struct ol_cuda *cuda)
{
    struct ol_cuda_downloads *d = cuda->downloads;
    if (d == NULL)
        return;
    for (struct rows *r = d->all, *next; r != NULL; r = next) {
        next = r->next;
        rows_free(r);
    }
    if (d->begun != NULL)
        cudaEventDestroy(d->begun);
    delete d;
    cuda->downloads = NULL;
}

static struct rows *rows_new(size_t bytes, struct ol_error *err)
{
    struct rows *r = (struct rows *)ol_xcalloc(1, sizeof *r);
    void *memory = NULL;
    r->bytes = bytes;
    r->held = true;
    if (ol_cuda_check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault),
                      "pinning host memory", err) == 0) {
        r->memory = (char *)memory;
        if (ol_cuda_check(cudaEventCreateWithFlags(&r->arrived, cudaEventDisableTiming),
                          "making an event", err) == 0)
            return r;
    }
    rows_free(r);
    return NULL;
}

/* Pinned memory of so many bytes that nobody holds; what is too small makes place. */
static struct rows *hold(struct ol_cuda_downloads *d, size_t bytes, struct ol_error *err)
{
    struct rows *small = NULL;
    {
        const std::lock_guard<std::mutex> lock(d->mutex);
        for (struct rows **at = &d->all; *at != NULL; at = &(*at)->next) {
            struct rows *r = *at;
            if (r->held)
                continue;
            if (r->bytes >= bytes) {
                r->held = true;
                return r;
            }
            *at = r->next;
            small = r;
            break;
        }
    }
    if (small != NULL)
        rows_free(small);
    struct rows *r = rows_new(bytes, err);
    if (r == NULL)
        return NULL;
    const std::lock_guard<std::mutex> lock(d->mutex);
    r->next = d->all;
    d->all = r;
    return r;
}

int ol_cuda_download_begin(struct ol_backend *b, struct ol_tensor src,
                           struct ol_download *d, struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const size_t bytes = ol_cuda_bytes(src);
    if (ol_cuda_enter(cuda, err) != 0)
        return -1;
    struct rows *r = hold(cuda->downloads, bytes, err);
    if (r == NULL)
        return -1;
    d->src = src;
    d->on_its_way = r;
    cuda->link_bytes.fetch_add((int64_t)bytes);
    if (ol_cuda_check(cudaEventRecord(cuda->downloads->begun, cuda->stream),
                      "recording an event", err) != 0 ||
        ol_cuda_check(cudaStreamWaitEvent(cuda->back, cuda->downloads->begun, 0),
                      "ordering streams", err) != 0 ||
        ol_cuda_check(cudaMemcpyAsync(r->memory, src.data, bytes, cudaMemcpyDeviceToHost,
                                      cuda->back),
                      "copying from the device", err) != 0)
        return -1;
    return ol_cuda_check(cudaEventRecord(r->arrived, cuda->back), "recording an event",
                         err);
}

int ol_cuda_download_end(struct ol_backend *b, const struct ol_download *d, void **rows,
                         struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    const struct rows *r = (const struct rows *)d->on_its_way;
    const ol_cuda_timer timer(cuda->compute_time);
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0 ||
        ol_cuda_check(cudaEventSynchronize(r->arrived), "waiting for the device", err) !=
            0)
        return -1;
    *rows = r->memory;
    return 0;
}

void ol_cuda_download_release(struct ol_backend *b, void *rows)
{
    struct ol_cuda_downloads *d = ol_cuda_of(b)->downloads;
    const std::lock_guard<std::mutex> lock(d->mutex);
    for (struct rows *r = d->all; r != NULL; r = r->next)
        if (r->memory == rows)
            r->held = false;
}
