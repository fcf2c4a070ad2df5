/* Weights on the device: tiles, rows of a matrix (weight.cu), arrive in a ring of
 * segments of device memory, sent by feeders (feed.cu) while the compute streams work on
 * what came before:
 *
 *     segment  [ tile tile tile |   ]  [ tile ...        ]  [ ... ]
 *
 * What products will use soon is sent before it is asked for, so that the link has work
 * while the host waits for results: as far as half of the ring, so that it is still there
 * when it is used.
 *
 * A segment is filled again when the compute streams have passed the last use of its
 * tiles, and other devices what they copy out of it (share.cu); it is the streams of
 * copies that wait for this, not the host. Until then a tile that
 * is asked for again is still there: of the weights that every block of sequences passes,
 * only the first use costs a copy. */
#include "extract/cuda/share.h"

enum {
    MOST_TILES = 128,
    BUCKET_BITS = 10,
};

struct tile {
    struct ol_cuda_weight view;
    struct ol_cuda_delivery delivery;
    bool ahead;      /* sent ahead of a use that did not come yet */
    unsigned waited; /* a bit for each of the streams that have waited for it */
    int segment;
    struct tile *next_in_bucket;
};

struct segment {
    char *memory;
    /* By each of the compute streams, for the last time. */
    cudaEvent_t used[OL_CUDA_MOST_LANES];
    bool waits[OL_CUDA_MOST_LANES];
    struct ol_cuda_lent lent;
    int n_tiles, n_ahead;
    struct tile tiles[MOST_TILES];
};

struct ol_cuda_arrivals {
    struct segment segments[OL_CUDA_MOST_SEGMENTS];
    int n;
    size_t bytes, used; /* of a segment, of the current one */
    int current;
    /* Segments of the tiles that were handed out last, and to which lane. */
    int last[OL_CUDA_TOGETHER], n_last;
    int lane;
    struct tile *buckets[1 << BUCKET_BITS];
};

static int segment_new(struct ol_cuda *cuda, struct segment *s, struct ol_error *err)
{
    s->memory = (char *)ol_cuda_memory_new(cuda, (size_t)cuda->sizes.segment,
                                           "arriving weights", err);
    if (s->memory == NULL)
        return -1;
    for (int l = 0; l < cuda->sizes.n_lanes; l++)
        if (ol_cuda_check(cudaEventCreateWithFlags(&s->used[l], cudaEventDisableTiming),
                          "making an event", err) != 0)
            return -1;
    return 0;
}

struct ol_cuda_arrivals *ol_cuda_arrivals_new(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = (struct ol_cuda_arrivals *)ol_xcalloc(1, sizeof *a);
    a->bytes = (size_t)cuda->sizes.segment;
    int status = 0;
    for (; status == 0 && a->n < cuda->sizes.n_segments; a->n++)
        status = segment_new(cuda, &a->segments[a->n], err);
    if (status == 0)
        return a;
    ol_cuda_arrivals_free(cuda, a);
    return NULL;
}

static void segment_free(struct ol_cuda *cuda, struct segment *s)
{
    ol_cuda_share_end_lending(cuda, &s->lent);
    for (int t = 0; t < MOST_TILES; t++)
        if (s->tiles[t].delivery.arrived != NULL)
            cudaEventDestroy(s->tiles[t].delivery.arrived);
    for (int l = 0; l < OL_CUDA_MOST_LANES; l++)
        if (s->used[l] != NULL)
            cudaEventDestroy(s->used[l]);
    ol_cuda_memory_free(cuda, s->memory, (size_t)cuda->sizes.segment);
}

void ol_cuda_arrivals_free(struct ol_cuda *cuda, struct ol_cuda_arrivals *a)
{
    for (int i = 0; a != NULL && i < a->n; i++)
        segment_free(cuda, &a->segments[i]);
    free(a);
}

/* ---- which tiles are there ---- */

static struct tile **bucket_of(struct ol_cuda_arrivals *a,
                               const struct ol_cuda_tile_name *name)
{
    return &a->buckets[ol_cuda_bucket_of(name, BUCKET_BITS)];
}

static struct tile *find_tile(struct ol_cuda_arrivals *a,
                              const struct ol_cuda_tile_name *name)
{
    struct tile *t = *bucket_of(a, name);
    while (t != NULL &&
           (t->delivery.dropped || !ol_cuda_is_same(&t->delivery.name, name)))
        t = t->next_in_bucket;
    return t;
}

static void add_tile(struct ol_cuda_arrivals *a, struct tile *tile)
{
    struct tile **bucket = bucket_of(a, &tile->delivery.name);
    tile->next_in_bucket = *bucket;
    *bucket = tile;
}

static void remove_tile(struct ol_cuda_arrivals *a, struct tile *tile)
{
    struct tile **link = bucket_of(a, &tile->delivery.name);
    while (*link != tile)
        link = &(*link)->next_in_bucket;
    *link = tile->next_in_bucket;
}

/* ---- the ring ---- */

/* Everything that uses the tiles handed out last is queued by now. */
static int finish_last(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    const int n = a->n_last;
    a->n_last = 0;
    for (int i = 0; i < n; i++) {
        struct segment *s = &a->segments[a->last[i]];
        s->waits[a->lane] = true;
        if (ol_cuda_check(cudaEventRecord(s->used[a->lane], cuda->lanes[a->lane].stream),
                          "recording an event", err) != 0)
            return -1;
    }
    return 0;
}

/* The next segment is to be filled again, behind the last use of what is in it. Nothing
 * that is to come there now may be overtaken by what was to come there before. */
static int next_segment(struct ol_cuda *cuda, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    struct segment *s = &a->segments[(a->current + 1) % a->n];
    for (int t = 0; t < s->n_tiles; t++)
        if (ol_cuda_queue_end(cuda, &s->tiles[t].delivery, err) != 0)
            return -1;
    if (ol_cuda_share_take_back(cuda, &s->lent, err) != 0)
        return -1;
    /* What was sent in vain no compute stream has waited for. */
    for (int t = 0; cuda->peers != NULL && t < s->n_tiles; t++)
        if (s->tiles[t].waited == 0 && s->tiles[t].delivery.recorded &&
            ol_cuda_copies_wait(cuda, s->tiles[t].delivery.arrived, err) != 0)
            return -1;
    a->current = (a->current + 1) % a->n;
    a->used = 0;
    for (int t = 0; t < s->n_tiles; t++)
        remove_tile(a, &s->tiles[t]);
    s->n_tiles = s->n_ahead = 0;
    for (int l = 0; l < OL_CUDA_MOST_LANES; l++) {
        if (s->waits[l] && ol_cuda_copies_wait(cuda, s->used[l], err) != 0)
            return -1;
        s->waits[l] = false;
    }
    return 0;
}

static bool has_room(const struct ol_cuda_arrivals *a, size_t bytes)
{
    return a->bytes - a->used >= bytes && a->segments[a->current].n_tiles < MOST_TILES;
}

/* Have rows sent to the current segment, or the next; NULL with err. */
static struct tile *send_tile(struct ol_cuda *cuda, const struct ol_cuda_tile_name *name,
                              const struct ol_cuda_pieces *p, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    const size_t room = ol_cuda_room_for(p);
    assert(room <= a->bytes);
    if (!has_room(a, room) && next_segment(cuda, err) != 0)
        return NULL;
    struct segment *s = &a->segments[a->current];
    struct tile *tile = &s->tiles[s->n_tiles];
    struct ol_cuda_delivery *d = &tile->delivery;
    if (d->arrived == NULL &&
        ol_cuda_check(cudaEventCreateWithFlags(&d->arrived, cudaEventDisableTiming),
                      "making an event", err) != 0)
        return NULL;
    memcpy(d->runs, p->runs, sizeof d->runs);
    d->to = s->memory + a->used;
    d->bytes = ol_cuda_lay_out(p, d->to, &tile->view);
    d->name = *name;
    d->lent = &s->lent;
    tile->ahead = false;
    tile->waited = 0;
    tile->segment = a->current;
    s->n_tiles++;
    a->used += room;
    add_tile(a, tile);
    ol_cuda_queue_add(cuda, d);
    return tile;
}

/* The tile, sent now unless it is there, or was; NULL with err. */
static struct tile *obtain(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                           int64_t n, struct ol_error *err)
{
    const struct ol_cuda_tile_name name = ol_cuda_name_of(w, row, n);
    struct tile *tile = find_tile(cuda->arrivals, &name);
    if (tile != NULL)
        return tile;
    struct ol_cuda_pieces p;
    ol_cuda_find_pieces(w, row, n, &p);
    return send_tile(cuda, &name, &p, err);
}

/* To cuda->lane: its stream waits for the tile. */
static int hand_out(struct ol_cuda *cuda, struct tile *tile, struct ol_cuda_weight *view,
                    struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    const unsigned lane = 1u << cuda->lane;
    if (a->n_last == 0 || a->last[a->n_last - 1] != tile->segment)
        a->last[a->n_last++] = tile->segment;
    a->lane = cuda->lane;
    a->segments[tile->segment].n_ahead -= tile->ahead;
    tile->ahead = false;
    *view = tile->view;
    if ((tile->waited & lane) != 0)
        return 0;
    if (ol_cuda_queue_wait(cuda, &tile->delivery, err) != 0)
        return -1;
    tile->waited |= lane;
    return ol_cuda_check(
        cudaStreamWaitEvent(cuda->lanes[cuda->lane].stream, tile->delivery.arrived, 0),
        "ordering streams", err);
}

int ol_cuda_stage_rows(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                       int64_t n, struct ol_cuda_weight *view, struct ol_error *err)
{
    if (finish_last(cuda, err) != 0)
        return -1;
    struct tile *tile = obtain(cuda, w, row, n, err);
    return tile != NULL ? hand_out(cuda, tile, view, err) : -1;
}

int ol_cuda_stage_pair(struct ol_cuda *cuda, const struct ol_weight *first,
                       const struct ol_weight *second,
                       struct ol_cuda_weight views[OL_CUDA_TOGETHER],
                       struct ol_error *err)
{
    if (finish_last(cuda, err) != 0 || obtain(cuda, first, 0, first->n_rows, err) == NULL)
        return -1;
    /* To send the second may have taken the place of the first. Then this is sent once
     * more, behind the second. */
    struct tile *two = obtain(cuda, second, 0, second->n_rows, err);
    struct tile *one = two != NULL ? obtain(cuda, first, 0, first->n_rows, err) : NULL;
    return one != NULL && hand_out(cuda, one, &views[0], err) == 0
               ? hand_out(cuda, two, &views[1], err)
               : -1;
}

/* ---- ahead of their use ---- */

/* Half of the segments may hold what is sent ahead. */
static bool may_send_ahead(const struct ol_cuda_arrivals *a, size_t bytes)
{
    int n = 0;
    for (int i = 0; i < a->n; i++)
        n += a->segments[i].n_ahead > 0;
    return has_room(a, bytes) || n < a->n / 2;
}

int ol_cuda_send_ahead(struct ol_cuda *cuda, const struct ol_weight *w, int64_t row,
                       int64_t step, bool *all, struct ol_error *err)
{
    struct ol_cuda_arrivals *a = cuda->arrivals;
    *all = false;
    if (finish_last(cuda, err) != 0)
        return -1;
    struct ol_cuda_tile_name name = ol_cuda_name_of(w, row, 0);
    for (; name.row < w->n_rows; name.row += step) {
        struct ol_cuda_pieces p;
        name.n = min(step, w->n_rows - name.row);
        if (find_tile(a, &name) != NULL)
            continue;
        ol_cuda_find_pieces(w, name.row, name.n, &p);
        if (!may_send_ahead(a, ol_cuda_room_for(&p)))
            return 0;
        struct tile *tile = send_tile(cuda, &name, &p, err);
        if (tile == NULL)
            return -1;
        tile->ahead = true;
        a->segments[tile->segment].n_ahead++;
    }
    *all = true;
    return 0;
}

/* Vectors go another way (ol_cuda_values). */
int ol_cuda_prefetch(struct ol_backend *b, const struct ol_weight *weights, int n,
                     struct ol_error *err)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    bool all = true;
    if (ol_cuda_check(cudaSetDevice(cuda->device), "choosing the device", err) != 0 ||
        ol_cuda_queue_check(cuda, err) != 0)
        return -1;
    for (int i = 0; i < n && all; i++) {
        const struct ol_weight *w = &weights[i];
        if (w->data == NULL || w->n_rows <= 1)
            continue;
        const int64_t step =
            ol_cuda_tile_rows(cuda, w, ol_dtype_size(cuda->base.dtype), err);
        if (step < 0 || ol_cuda_send_ahead(cuda, w, 0, step, &all, err) != 0)
            return -1;
    }
    return 0;
}

void ol_cuda_release(struct ol_backend *b, const struct ol_weight *w)
{
    struct ol_cuda *cuda = ol_cuda_of(b);
    for (int i = 0; i < OL_WEIGHT_SPANS; i++)
        if (w->spans[i].data != NULL)
            ol_cuda_queue_leave(cuda, &w->spans[i]);
}
