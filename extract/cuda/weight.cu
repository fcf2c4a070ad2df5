/* Weights on their way to the device: rows of a matrix are cut out of what the checkpoint
 * holds, as stored, without the gaps between them. They arrive in a ring of segments of
 * device memory, filled by the copy stream while the compute stream works on what came
 * before:
 *
 *     segment  [ tile tile tile |   ]  [ tile ...        ]  [ ... ]
 *
 * What products will use soon may be sent before it is asked for (prefetch), so that the
 * link has work while the host waits for results: as far as half of the ring, so that it
 * is still there when it is used.
 *
 * A segment is filled again when the compute streams have passed the last use of its
 * tiles; it is the copy stream that waits for this, not the host. Until then a tile that
 * is asked for again is still there: of the weights that every block of sequences passes,
 * only the first use costs a copy. */
#include "extract/cuda/cuda.h"

enum {
    LEAST_SEGMENTS = 4,
    MOST_SEGMENTS = 16,
    SHARE = 16, /* of the device's memory */
    MOST_TILES = 128,
    ALIGNMENT = 256,
    PIECES = 4,
    WORD_ROWS = 8,
};

struct tile {
    struct ol_weight weight; /* which rows of which; its pointers are its name */
    int64_t row;
    struct ol_cuda_weight view;
    size_t ahead; /* bytes sent ahead of a use that did not come yet */
    bool waited;  /* cuda->stream has waited for it */
};

struct segment {
    char *memory;
    cudaEvent_t arrived; /* the last of its tiles so far */
    cudaEvent_t
        used[OL_CUDA_LANES]; /* by each of the compute streams, for the last time */
    bool waits[OL_CUDA_LANES];
    int n_tiles;
    struct tile tiles[MOST_TILES];
};

struct ol_cuda_arrivals {
    struct segment segments[MOST_SEGMENTS];
    int n;
    size_t bytes, used; /* of a segment, of the current one */
    int current;
    int last;     /* segment of the tile that was handed out last, or -1, */
    int lane;     /* and to which lane */
    size_t ahead; /* of all tiles */
};

static int segment_new(struct segment *s, size_t bytes, struct ol_error *err)
{
    void *memory = NULL;
    if (ol_cuda_check(cudaMalloc(&memory, bytes), "reserving device memory for weights",
                      err) != 0)
        return -1;
    s->memory = (char *)memory;
    if (ol_cuda_check(cudaEventCreateWithFlags(&s->arrived, cudaEventDisableTiming),
                      "making an event", err) != 0)
        return -1;
    for (int l = 0; l < OL_CUDA_LANES; l++)
        if (ol_cuda_check(cudaEventCreateWithFlags(&s->used[l], cudaEventDisableTiming),
                          "making an event", err) != 0)
            return -1;
    return 0;
}

struct ol_cuda_arrivals *ol_cuda_arrivals_new(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = (struct ol_cuda_arrivals *)ol_xcalloc(1, sizeof *a);
    const int64_t share = cuda->total / SHARE / cuda->unit;
    const int n = (int)min(max(share, (int64_t)LEAST_SEGMENTS), (int64_t)MOST_SEGMENTS);
    /* A tile, and the room that the alignment of its pieces takes. */
    a->bytes = (size_t)cuda->unit + PIECES * ALIGNMENT;
    a->last = -1;
    int status = 0;
    for (; status == 0 && a->n < n; a->n++)
        status = segment_new(&a->segments[a->n], a->bytes, err);
    if (status == 0)
        return a;
    ol_cuda_arrivals_free(a);
    return NULL;
}

void ol_cuda_arrivals_free(struct ol_cuda_arrivals *a)
{
    if (a == NULL)
        return;
    for (int i = 0; i < a->n; i++) {
        if (a->segments[i].arrived != NULL)
            cudaEventDestroy(a->segments[i].arrived);
        for (int l = 0; l < OL_CUDA_LANES; l++)
            if (a->segments[i].used[l] != NULL)
                cudaEventDestroy(a->segments[i].used[l]);
        cudaFree(a->segments[i].memory);
    }
    free(a);
}

int64_t ol_cuda_arrivals_bytes(const struct ol_cuda_arrivals *a)
{
    return a->n * (int64_t)a->bytes;
}

/* ---- what a tile is made of ---- */

struct pieces {
    struct ol_cuda_runs runs[PIECES]; /* data, scales, zeros, groups; n 0: none */
    struct ol_cuda_weight view;       /* without pointers */
};

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static const char *at(const void *data, int64_t bytes)
{
    return (const char *)data + bytes;
}

static struct ol_cuda_runs runs(const void *data, int64_t first, int64_t n, int64_t bytes,
                                int64_t stride)
{
    const struct ol_cuda_runs r = {at(data, first), n, (size_t)bytes, stride, NULL};
    return r;
}

/* Along rows, or along columns when these are what follows each other in memory. */
static void plain_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                         struct pieces *p)
{
    const int64_t size = (int64_t)ol_dtype_size(w->dtype);
    const int64_t first = row * w->row_step * size;
    if (w->row_step >= w->col_step) {
        const int64_t span = (w->n_cols - 1) * w->col_step + 1;
        p->runs[0] = runs(w->data, first, n, span * size, w->row_step * size);
        p->view.row_step = span;
        p->view.col_step = w->col_step;
    } else {
        const int64_t span = (n - 1) * w->row_step + 1;
        p->runs[0] = runs(w->data, first, w->n_cols, span * size, w->col_step * size);
        p->view.row_step = w->row_step;
        p->view.col_step = span;
    }
}

static void fp8_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                       struct pieces *p)
{
    const int64_t size = (int64_t)ol_dtype_size(w->dtype);
    const int64_t block = row / w->block_rows;
    const int64_t blocks = (row + n - 1) / w->block_rows - block + 1;
    p->view.n_groups = ceil_div(w->n_cols, w->block_cols);
    p->view.first_row = row % w->block_rows;
    p->runs[0] = runs(w->data, row * w->n_cols, 1, n * w->n_cols, 0);
    p->runs[1] = runs(w->scales, block * p->view.n_groups * size, 1,
                      blocks * p->view.n_groups * size, 0);
}

static void fp4_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                       struct pieces *p)
{
    const int64_t codes = w->row_step / 2, scales = w->row_step / w->block_cols;
    p->view.n_groups = w->n_cols / w->block_cols;
    p->runs[0] = runs(w->data, row * codes, n, w->n_cols / 2, codes);
    p->runs[1] = runs(w->scales, row * scales, n, p->view.n_groups, scales);
}

static void int4_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                        struct pieces *p)
{
    const int64_t size = (int64_t)ol_dtype_size(w->dtype), word = sizeof(uint32_t);
    const int64_t words = ceil_div(w->n_cols, WORD_ROWS);
    const int64_t groups = ceil_div(w->n_cols, w->block_cols);
    p->view.n_groups = groups;
    p->view.first_row = row % WORD_ROWS;
    p->runs[0] = runs(w->data, row * words * word, 1, n * words * word, 0);
    p->runs[1] = runs(w->scales, row * groups * size, 1, n * groups * size, 0);
    if (w->zeros != NULL) {
        const int64_t first = row / WORD_ROWS, last = (row + n - 1) / WORD_ROWS;
        p->runs[2] = runs(w->zeros, first * groups * word, 1,
                          (last - first + 1) * groups * word, 0);
    }
}

/* GPTQ and AWQ: rows lie beside each other, eight to a word of zero points. */
static void column_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                          struct pieces *p)
{
    const int64_t size = (int64_t)ol_dtype_size(w->dtype), word = sizeof(uint32_t);
    const int64_t groups = ceil_div(w->n_cols, w->block_cols);
    const int64_t first = row / WORD_ROWS * word, some = n / WORD_ROWS * word;
    const int64_t all = w->n_rows / WORD_ROWS * word;
    p->view.n_groups = groups;
    if (w->encoding == OL_ENCODING_AWQ)
        p->runs[0] = runs(w->data, first, w->n_cols, some, all);
    else
        p->runs[0] = runs(w->data, row * word, ceil_div(w->n_cols, WORD_ROWS), n * word,
                          w->n_rows * word);
    p->runs[1] = runs(w->scales, row * size, groups, n * size, w->n_rows * size);
    p->runs[2] = runs(w->zeros, first, groups, some, all);
}

static void find_pieces(const struct ol_weight *w, int64_t row, int64_t n,
                        struct pieces *p)
{
    memset(p, 0, sizeof *p);
    p->view.encoding = w->encoding;
    p->view.dtype = w->dtype;
    p->view.rounds = w->rounds;
    p->view.zero_offset = w->zero_offset;
    p->view.factor = w->factor;
    p->view.divides = w->divides;
    p->view.n_rows = n;
    p->view.n_cols = w->n_cols;
    p->view.block_rows = w->block_rows;
    p->view.block_cols = w->block_cols;
    switch (w->encoding) {
    case OL_ENCODING_PLAIN:
        plain_pieces(w, row, n, p);
        break;
    case OL_ENCODING_FP8:
        fp8_pieces(w, row, n, p);
        break;
    case OL_ENCODING_MXFP4:
    case OL_ENCODING_NVFP4:
        fp4_pieces(w, row, n, p);
        break;
    case OL_ENCODING_INT4:
        int4_pieces(w, row, n, p);
        break;
    case OL_ENCODING_GPTQ:
    case OL_ENCODING_AWQ:
        column_pieces(w, row, n, p);
        break;
    }
    if (w->groups != NULL)
        p->runs[3] = runs(w->groups, 0, 1, w->n_cols * (int64_t)sizeof(int32_t), 0);
}

static size_t bytes_of(const struct ol_cuda_runs *r)
{
    return (size_t)r->n * r->bytes;
}

static size_t total_of(const struct pieces *p)
{
    size_t bytes = 0;
    for (int i = 0; i < PIECES; i++)
        bytes += bytes_of(&p->runs[i]);
    return bytes;
}

static void set_pointer(struct ol_cuda_weight *view, int piece, const void *memory)
{
    const void **pointers[PIECES] = {&view->data, &view->scales, &view->zeros,
                                     &view->groups};
    *pointers[piece] = memory;
}

/* ---- tiles ---- */

int64_t ol_cuda_weight_rows(const struct ol_weight *w)
{
    return w->encoding == OL_ENCODING_GPTQ || w->encoding == OL_ENCODING_AWQ ? WORD_ROWS
                                                                             : 1;
}

static bool fits(const struct ol_cuda *cuda, const struct ol_weight *w, int64_t n,
                 size_t size)
{
    struct pieces p;
    find_pieces(w, 0, n, &p);
    return (int64_t)total_of(&p) <= cuda->unit &&
           n * w->n_cols * (int64_t)size <= cuda->unit;
}

int64_t ol_cuda_tile_rows(const struct ol_cuda *cuda, const struct ol_weight *w,
                          size_t size, struct ol_error *err)
{
    const int64_t step = ol_cuda_weight_rows(w);
    if (fits(cuda, w, w->n_rows, size))
        return w->n_rows;
    /* The largest power of two of rows. */
    int64_t n = step;
    if (!fits(cuda, w, n, size))
        return ol_fail(err, "CUDA: %lld rows of %lld weights do not fit into %lld bytes",
                       (long long)n, (long long)w->n_cols, (long long)cuda->unit);
    while (2 * n < w->n_rows && fits(cuda, w, 2 * n, size))
        n *= 2;
    /* An FP8 block that a tile begins in the middle of costs nothing. */
    return n;
}

/* ---- the two ways ---- */

static int send(struct ol_cuda *cuda, cudaStream_t stream, const struct pieces *p,
                char *memory, struct ol_cuda_weight *view, struct ol_error *err)
{
    *view = p->view;
    for (int i = 0; i < PIECES; i++) {
        if (bytes_of(&p->runs[i]) == 0)
            continue;
        if (ol_cuda_send(cuda, stream, memory, &p->runs[i], err) != 0)
            return -1;
        set_pointer(view, i, memory);
        memory += (bytes_of(&p->runs[i]) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    return 0;
}

static size_t room_for(const struct pieces *p)
{
    return (total_of(p) + PIECES * ALIGNMENT) / ALIGNMENT * ALIGNMENT;
}

/* Everything that uses the tile handed out last is queued by now. */
static int finish_last(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    if (a->last < 0)
        return 0;
    struct segment *s = &a->segments[a->last];
    a->last = -1;
    s->waits[a->lane] = true;
    return ol_cuda_check(cudaEventRecord(s->used[a->lane], cuda->lanes[a->lane].stream),
                         "recording an event", err);
}

static bool is_tile(const struct tile *t, const struct ol_weight *w, int64_t row,
                    int64_t n)
{
    const struct ol_weight *o = &t->weight;
    return o->data == w->data && t->row == row && t->view.n_rows == n &&
           o->encoding == w->encoding && o->dtype == w->dtype && o->n_cols == w->n_cols &&
           o->row_step == w->row_step && o->col_step == w->col_step &&
           o->scales == w->scales && o->zeros == w->zeros && o->groups == w->groups;
}

static struct tile *find_tile(struct ol_cuda_arrivals *a, const struct ol_weight *w,
                              int64_t row, int64_t n, int *segment)
{
    for (int i = 0; i < a->n; i++)
        for (int t = 0; t < a->segments[i].n_tiles; t++)
            if (is_tile(&a->segments[i].tiles[t], w, row, n)) {
                *segment = i;
                return &a->segments[i].tiles[t];
            }
    return NULL;
}

/* The next segment is to be filled again, behind the last use of what is in it. */
static int next_segment(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    a->current = (a->current + 1) % a->n;
    a->used = 0;
    struct segment *s = &a->segments[a->current];
    for (int t = 0; t < s->n_tiles; t++)
        a->ahead -= s->tiles[t].ahead;
    s->n_tiles = 0;
    for (int l = 0; l < OL_CUDA_LANES; l++) {
        if (s->waits[l] && ol_cuda_check(cudaStreamWaitEvent(cuda->copies, s->used[l], 0),
                                         "ordering streams", err) != 0)
            return -1;
        s->waits[l] = false;
    }
    return 0;
}

/* Send rows to the current segment, or the next; NULL with err. */
static struct tile *send_tile(struct ol_cuda *cuda, const struct ol_weight *w,
                              int64_t row, const struct pieces *p, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    const size_t room = room_for(p);
    assert(room <= a->bytes);
    if ((a->bytes - a->used < room || a->segments[a->current].n_tiles == MOST_TILES) &&
        next_segment(cuda, err) != 0)
        return NULL;
    struct segment *s = &a->segments[a->current];
    struct tile *tile = &s->tiles[s->n_tiles];
    if (send(cuda, cuda->copies, p, s->memory + a->used, &tile->view, err) != 0 ||
        ol_cuda_check(cudaEventRecord(s->arrived, cuda->copies), "recording an event",
                      err) != 0)
        return NULL;
    tile->weight = *w;
    tile->row = row;
    tile->ahead = 0;
    tile->waited = false;
    s->n_tiles++;
    a->used += room;
    return tile;
}

int ol_cuda_stage_rows(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                       int64_t n, struct ol_cuda_weight *view, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    struct pieces p;
    if (finish_last(cuda, err) != 0)
        return -1;
    int segment = -1;
    struct tile *tile = find_tile(a, w, row, n, &segment);
    if (tile == NULL) {
        find_pieces(w, row, n, &p);
        tile = send_tile(cuda, w, row, &p, err);
        segment = a->current;
    }
    if (tile == NULL)
        return -1;
    a->last = segment;
    a->lane = cuda->lane;
    a->ahead -= tile->ahead;
    tile->ahead = 0;
    *view = tile->view;
    if (tile->waited && cuda->lane == 0)
        return 0;
    tile->waited = cuda->lane == 0;
    /* Behind a tile that was sent ahead others may have come into its segment: then this
     * waits for them too, which are wanted soon. */
    return ol_cuda_check(cudaStreamWaitEvent(cuda->lanes[cuda->lane].stream,
                                             a->segments[segment].arrived, 0),
                         "ordering streams", err);
}

/* Vectors go another way (ol_cuda_values). */
static int prefetch(struct ol_cuda *cuda, const struct ol_weight *w, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    const size_t most = (size_t)(a->n / 2) * a->bytes;
    const int64_t step =
        w->n_rows > 1 ? ol_cuda_tile_rows(cuda, w, ol_dtype_size(cuda->base.dtype), err)
                      : 1;
    if (step < 0)
        return -1;
    for (int64_t row = 0; row < w->n_rows && w->n_rows > 1; row += step) {
        const int64_t n = min(step, w->n_rows - row);
        struct pieces p;
        int segment;
        if (find_tile(a, w, row, n, &segment) != NULL)
            continue;
        find_pieces(w, row, n, &p);
        if (a->ahead + room_for(&p) > most)
            return 0;
        struct tile *tile = send_tile(cuda, w, row, &p, err);
        if (tile == NULL)
            return -1;
        tile->ahead = room_for(&p);
        a->ahead += tile->ahead;
    }
    return 0;
}

int ol_cuda_prefetch(struct ol_backend *b, const struct ol_weight *weights, int n,
                     struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0 ||
        finish_last(cuda, err) != 0)
        return -1;
    for (int i = 0; i < n; i++)
        if (weights[i].data != NULL && prefetch(cuda, &weights[i], err) != 0)
            return -1;
    return 0;
}

int ol_cuda_put_rows(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                     int64_t n, struct ol_cuda_weight *view, struct ol_error *err)
{
    struct pieces p;
    find_pieces(w, row, n, &p);
    char *memory = (char *)ol_cuda_scratch(cuda, room_for(&p), err);
    if (memory == NULL)
        return -1;
    return send(cuda, cuda->stream, &p, memory, view, err);
}

float *ol_cuda_values(struct ol_cuda *cuda, const struct ol_weight *w,
                      enum ol_dtype rounding, struct ol_error *err)
{
    struct ol_cuda_weight view;
    float *values = (float *)ol_cuda_scratch(
        cuda, (size_t)(w->n_rows * w->n_cols) * sizeof *values, err);
    if (values == NULL || ol_cuda_put_rows(cuda, w, 0, w->n_rows, &view, err) != 0 ||
        ol_cuda_decode(cuda, &view, rounding, OL_DTYPE_F32, values, err) != 0)
        return NULL;
    return values;
}
