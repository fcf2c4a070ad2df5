/* Weights on their way to the device: tiles, rows of a matrix (weight.cu), arrive in a
 * ring of segments of device memory, filled by the copy stream while the compute stream
 * works on what came before:
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
#include "extract/cuda/tile.h"

enum {
    LEAST_SEGMENTS = 4,
    MOST_SEGMENTS = 16,
    SHARE = 16, /* of the device's memory */
    MOST_TILES = 128,
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
    a->bytes = (size_t)cuda->unit + OL_CUDA_PIECES * OL_CUDA_ALIGNMENT;
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

/* ---- tiles ---- */

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
                              int64_t row, const struct ol_cuda_pieces *p,
                              struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    const size_t room = ol_cuda_room_for(p);
    assert(room <= a->bytes);
    if ((a->bytes - a->used < room || a->segments[a->current].n_tiles == MOST_TILES) &&
        next_segment(cuda, err) != 0)
        return NULL;
    struct segment *s = &a->segments[a->current];
    struct tile *tile = &s->tiles[s->n_tiles];
    if (ol_cuda_send_pieces(cuda, cuda->copies, p, s->memory + a->used, &tile->view,
                            err) != 0 ||
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
    struct ol_cuda_pieces p;
    if (finish_last(cuda, err) != 0)
        return -1;
    int segment = -1;
    struct tile *tile = find_tile(a, w, row, n, &segment);
    if (tile == NULL) {
        ol_cuda_find_pieces(w, row, n, &p);
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
        struct ol_cuda_pieces p;
        int segment;
        if (find_tile(a, w, row, n, &segment) != NULL)
            continue;
        ol_cuda_find_pieces(w, row, n, &p);
        if (a->ahead + ol_cuda_room_for(&p) > most)
            return 0;
        struct tile *tile = send_tile(cuda, w, row, &p, err);
        if (tile == NULL)
            return -1;
        tile->ahead = ol_cuda_room_for(&p);
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
