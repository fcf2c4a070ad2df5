/* The ways between the host and the device. Host memory that the device can read by
 * itself is pinned, and there is little of it: what is sent is copied into a ring of
 * segments, and a segment is used again when the device has read it.
 *
 *     ring     [ seg 0 | seg 1 | seg 2 | ... ]     each with an event of its last copy
 *     filling            ^ used
 *
 * It is cuda->stream's, so that a small thing for the next kernel does not wait behind a
 * weight: those go by feed.cu. What comes back passes two buffers in turn. */
#include "extract/cuda/cuda.h"

enum {
    ALIGNMENT = 64,
    TASK_BYTES = 256 << 10, /* of the work of filling */
};

struct segment {
    char *memory;
    cudaEvent_t read; /* by the device */
    bool waits;       /* the event stands for its last use */
};

struct ring {
    cudaStream_t stream;
    size_t bytes, used;
    int current;
    struct segment segments[OL_CUDA_PUTS];
};

struct ol_cuda_stage {
    struct ring puts;
    struct segment gets[OL_CUDA_GETS];
};

static int segment_new(struct segment *s, size_t bytes, struct ol_error *err)
{
    void *memory = NULL;
    if (ol_cuda_check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault),
                      "pinning host memory", err) != 0)
        return -1;
    s->memory = (char *)memory;
    return ol_cuda_check(cudaEventCreateWithFlags(&s->read, cudaEventDisableTiming),
                         "making an event", err);
}

static void segment_free(struct segment *s)
{
    if (s->read != NULL)
        cudaEventDestroy(s->read);
    if (s->memory != NULL)
        cudaFreeHost(s->memory);
    memset(s, 0, sizeof *s);
}

static int ring_new(struct ring *r, cudaStream_t stream, size_t bytes,
                    struct ol_error *err)
{
    r->stream = stream;
    r->bytes = bytes;
    for (int i = 0; i < OL_CUDA_PUTS; i++)
        if (segment_new(&r->segments[i], bytes, err) != 0)
            return -1;
    return 0;
}

struct ol_cuda_stage *ol_cuda_stage_new(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_stage *s = (struct ol_cuda_stage *)ol_xcalloc(1, sizeof *s);
    if (ring_new(&s->puts, cuda->stream, OL_CUDA_PUT_BYTES, err) == 0 &&
        segment_new(&s->gets[0], OL_CUDA_GET_BYTES, err) == 0 &&
        segment_new(&s->gets[1], OL_CUDA_GET_BYTES, err) == 0)
        return s;
    ol_cuda_stage_free(s);
    return NULL;
}

void ol_cuda_stage_free(struct ol_cuda_stage *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < OL_CUDA_PUTS; i++)
        segment_free(&s->puts.segments[i]);
    segment_free(&s->gets[0]);
    segment_free(&s->gets[1]);
    free(s);
}

/* ---- to the device ---- */

struct fill {
    const struct ol_cuda_runs *runs;
    char *to;
    size_t first, n; /* bytes of the runs, joined */
};

void ol_cuda_copy_runs(const struct ol_cuda_runs *r, size_t first, size_t n, char *to)
{
    const char *src = (const char *)r->src;
    if (r->order == NULL && r->stride == (int64_t)r->bytes) {
        memcpy(to, src + first, n);
        return;
    }
    while (n > 0) {
        const size_t run = first / r->bytes, inner = first % r->bytes;
        const size_t left = r->bytes - inner, some = left < n ? left : n;
        const int64_t place = r->order != NULL ? r->order[run] : (int64_t)run;
        memcpy(to, src + place * r->stride + inner, some);
        first += some;
        to += some;
        n -= some;
    }
}

static void fill_part(const struct fill *f, size_t at, size_t end)
{
    ol_cuda_copy_runs(f->runs, f->first + at, end - at, f->to + at);
}

static void fill_task(void *arg, int64_t i, int thread)
{
    (void)thread;
    const struct fill *f = (const struct fill *)arg;
    const size_t at = (size_t)i * TASK_BYTES, end = at + TASK_BYTES;
    fill_part(f, at, end < f->n ? end : f->n);
}

static void run_fill(struct ol_cuda *cuda, struct fill *f)
{
    if (f->n <= TASK_BYTES)
        fill_part(f, 0, f->n);
    else
        ol_pool_run(cuda->pool, (int64_t)((f->n + TASK_BYTES - 1) / TASK_BYTES),
                    fill_task, f);
}

/* Room in the current segment; closes it when there is little, and waits for the next. */
static int find_room(struct ring *r, struct ol_error *err)
{
    struct segment *s = &r->segments[r->current];
    if (r->bytes - r->used >= ALIGNMENT)
        return 0;
    if (ol_cuda_check(cudaEventRecord(s->read, r->stream), "recording an event", err) !=
        0)
        return -1;
    s->waits = true;
    r->current = (r->current + 1) % OL_CUDA_PUTS;
    r->used = 0;
    s = &r->segments[r->current];
    if (s->waits && ol_cuda_check(cudaEventSynchronize(s->read),
                                  "waiting for the device to read", err) != 0)
        return -1;
    s->waits = false;
    return 0;
}

int ol_cuda_send(struct ol_cuda *cuda, void *device, const struct ol_cuda_runs *runs,
                 struct ol_error *err)
{
    struct ring *r = &cuda->stage->puts;
    const size_t bytes = (size_t)runs->n * runs->bytes;
    const ol_cuda_timer timer(cuda->link_time);
    cuda->link_bytes.fetch_add((int64_t)bytes);
    for (size_t sent = 0; sent < bytes;) {
        if (find_room(r, err) != 0)
            return -1;
        const size_t room = r->bytes - r->used, left = bytes - sent;
        struct fill fill = {runs, r->segments[r->current].memory + r->used, sent,
                            room < left ? room : left};
        run_fill(cuda, &fill);
        if (ol_cuda_check(cudaMemcpyAsync((char *)device + sent, fill.to, fill.n,
                                          cudaMemcpyHostToDevice, r->stream),
                          "copying to the device", err) != 0)
            return -1;
        sent += fill.n;
        r->used += (fill.n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    return 0;
}

static size_t place_after(size_t end)
{
    return (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Bytes first .. end - 1 of what is laid out from `device` on are in the segment. */
static int send_packed(struct ol_cuda *cuda, char *device, size_t first, size_t end,
                       struct ol_error *err)
{
    struct ring *r = &cuda->stage->puts;
    const size_t n = end - first;
    if (n == 0)
        return 0;
    cuda->link_bytes.fetch_add((int64_t)n);
    if (ol_cuda_check(cudaMemcpyAsync(device + first,
                                      r->segments[r->current].memory + r->used, n,
                                      cudaMemcpyHostToDevice, r->stream),
                      "copying to the device", err) != 0)
        return -1;
    r->used = min(place_after(r->used + n), r->bytes);
    return 0;
}

/* Of a layout from `device` on, bytes first .. end - 1 are in the segment so far. */
struct packing {
    char *device;
    size_t first, end;
};

static int pack(struct ol_cuda *cuda, struct packing *p, const void *from, size_t at,
                size_t bytes, struct ol_error *err)
{
    struct ring *r = &cuda->stage->puts;
    const struct ol_cuda_runs runs = {from, 1, bytes, 0, NULL};
    for (size_t done = 0; done < bytes;) {
        if (p->end == p->first) {
            p->first = p->end = at + done;
            if (find_room(r, err) != 0)
                return -1;
        }
        const size_t filled = at + done - p->first, room = r->bytes - r->used;
        if (filled >= room) {
            if (send_packed(cuda, p->device, p->first, p->end, err) != 0)
                return -1;
            p->first = p->end;
            continue;
        }
        struct fill fill = {&runs, r->segments[r->current].memory + r->used + filled,
                            done, min(room - filled, bytes - done)};
        run_fill(cuda, &fill);
        done += fill.n;
        p->end = at + done;
    }
    return 0;
}

int ol_cuda_put_parts(struct ol_cuda *cuda, const struct ol_cuda_put_part *parts, int n,
                      struct ol_error *err)
{
    const ol_cuda_timer timer(cuda->link_time);
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes = place_after(bytes + parts[i].bytes);
    struct packing p = {(char *)ol_cuda_scratch(cuda, bytes, err), 0, 0};
    if (p.device == NULL)
        return -1;
    size_t at = 0;
    for (int i = 0; i < n; at = place_after(at + parts[i++].bytes)) {
        *parts[i].to = parts[i].from != NULL ? p.device + at : NULL;
        if (parts[i].from != NULL &&
            pack(cuda, &p, parts[i].from, at, parts[i].bytes, err) != 0)
            return -1;
    }
    return send_packed(cuda, p.device, p.first, p.end, err);
}

void *ol_cuda_put(struct ol_cuda *cuda, const void *host, size_t bytes,
                  struct ol_error *err)
{
    const void *device = NULL;
    const struct ol_cuda_put_part part = {host, bytes, &device};
    return ol_cuda_put_parts(cuda, &part, 1, err) == 0 ? const_cast<void *>(device)
                                                       : NULL;
}

/* ---- from the device ---- */

/* By all threads: the pages of new memory have to be found too. */
static void receive(struct ol_cuda *cuda, char *to, const char *from, size_t n)
{
    const struct ol_cuda_runs runs = {from, 1, n, 0, NULL};
    struct fill fill = {&runs, to, 0, n};
    run_fill(cuda, &fill);
}

/* Bytes first .. first + n - 1 of all parts. */
static void receive_parts(struct ol_cuda *cuda, const struct ol_cuda_part *part,
                          size_t first, const char *from, size_t n)
{
    for (; n > 0; part++) {
        if (first >= part->bytes) {
            first -= part->bytes;
            continue;
        }
        const size_t left = part->bytes - first, some = left < n ? left : n;
        receive(cuda, (char *)part->host + first, from, some);
        from += some;
        n -= some;
        first = 0;
    }
}

int ol_cuda_get(struct ol_cuda *cuda, const void *device, void *host, size_t bytes,
                struct ol_error *err)
{
    const struct ol_cuda_part part = {host, bytes};
    return ol_cuda_get_parts(cuda, device, &part, 1, err);
}

int ol_cuda_get_parts(struct ol_cuda *cuda, const void *device,
                      const struct ol_cuda_part *parts, int n_parts, struct ol_error *err)
{
    size_t bytes = 0;
    for (int i = 0; i < n_parts; i++)
        bytes += parts[i].bytes;
    const size_t n = (bytes + OL_CUDA_GET_BYTES - 1) / OL_CUDA_GET_BYTES;
    const ol_cuda_timer timer(cuda->compute_time);
    cuda->link_bytes.fetch_add((int64_t)bytes);
    /* One piece ahead: while it comes, the one before is copied on. */
    for (size_t i = 0; i <= n; i++) {
        struct segment *next = &cuda->stage->gets[i % 2];
        const size_t first = i * OL_CUDA_GET_BYTES, left = i < n ? bytes - first : 0;
        if (i < n && (ol_cuda_check(
                          cudaMemcpyAsync(
                              next->memory, (const char *)device + first,
                              left < OL_CUDA_GET_BYTES ? left : (size_t)OL_CUDA_GET_BYTES,
                              cudaMemcpyDeviceToHost, cuda->stream),
                          "copying from the device", err) != 0 ||
                      ol_cuda_check(cudaEventRecord(next->read, cuda->stream),
                                    "recording an event", err) != 0))
            return -1;
        if (i == 0)
            continue;
        const struct segment *done = &cuda->stage->gets[(i - 1) % 2];
        const size_t before = first - OL_CUDA_GET_BYTES, rest = bytes - before;
        if (ol_cuda_check(cudaEventSynchronize(done->read), "waiting for the device",
                          err) != 0)
            return -1;
        receive_parts(cuda, parts, before, done->memory,
                      rest < OL_CUDA_GET_BYTES ? rest : (size_t)OL_CUDA_GET_BYTES);
    }
    return 0;
}
