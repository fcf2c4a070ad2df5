/* Connections, a thread each, take what is wanted from the front of a queue:
 *
 *     prefetch -> claimed, queued -> under way -> there -> release
 *
 * Stretches of the queue join and are cut (stretches.h). A byte that is claimed is not
 * asked for again before it was released.
 *
 *     shard    |header|......a......|......b......|.............c.............|
 *     claimed         [-------------------------->                [----------->
 *     there           [--------------->                           [----->
 *
 * A page is given back when nothing on it is claimed any more. */
#include "extract/hub/ranges.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/process.h"
#include "extract/hub/headers.h"
#include "extract/hub/intervals.h"
#include "extract/hub/name.h"
#include "extract/hub/stretches.h"

enum { LENGTH_BYTES = 8 };

struct ol_hub_shard {
    char *base; /* where it is mapped */
    int64_t bytes;
    struct ol_hub_object *object;
    const char *path;
    struct ol_intervals claimed, there;
};

struct ol_hub_ranges {
    struct ol_source source;
    struct ol_source *files; /* of the shards that are in the cache */
    char *model;
    struct ol_hub_name name;
    struct ol_hub_download download;
    struct ol_hub_shards found;
    struct ol_hub_shard *shards; /* [n], by base */
    size_t n, page;
    struct ol_digests *digests; /* NULL: none are kept */
    pthread_t threads[OL_HUB_CONNECTIONS];
    int n_threads;
    _Atomic int64_t bytes_fetched;

    pthread_mutex_t mutex; /* of what follows, and of the shards' sets */
    pthread_cond_t work, arrived;
    struct ol_hub_stretches queue;
    struct ol_hub_stretch under_way[OL_HUB_CONNECTIONS]; /* shard NULL: nothing */
    bool stopping, failed;
    struct ol_error err;
};

static struct ol_hub_ranges *of(struct ol_source *source)
{
    return (struct ol_hub_ranges *)source;
}

/* The bytes as those of a shard; shard NULL: of a file that is here. */
static struct ol_hub_stretch find(const struct ol_hub_ranges *r,
                                  const struct ol_span *span)
{
    const char *data = span->data;
    size_t low = 0, high = r->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (data >= r->shards[middle].base + r->shards[middle].bytes)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == r->n || data < r->shards[low].base)
        return (struct ol_hub_stretch){NULL, 0, 0};
    struct ol_hub_shard *shard = &r->shards[low];
    const int64_t from = data - shard->base;
    assert((int64_t)span->bytes <= shard->bytes - from);
    return (struct ol_hub_stretch){shard, from, from + (int64_t)span->bytes};
}

/* The mutex is held. What of it nobody has asked for is queued: behind the others, or
 * before them. */
static void want(struct ol_hub_ranges *r, struct ol_hub_stretch s, bool at_once)
{
    struct ol_interval gap;
    size_t place = 0;
    while (ol_intervals_gap(&s.shard->claimed, s.from, s.to, &gap)) {
        const struct ol_hub_stretch missing = {s.shard, gap.from, gap.to};
        ol_intervals_add(&s.shard->claimed, gap.from, gap.to);
        if (at_once)
            ol_hub_stretches_insert(&r->queue, place++, missing);
        else
            ol_hub_stretches_put(&r->queue, missing);
    }
    if (r->queue.n > 0)
        pthread_cond_broadcast(&r->work);
}

/* ---- connections ---- */

struct arrival {
    struct ol_hub_ranges *ranges;
    char *to;
};

static int take_bytes(void *user, const void *bytes, size_t n, struct ol_error *err)
{
    struct arrival *a = user;
    (void)err;
    memcpy(a->to, bytes, n);
    a->to += n;
    atomic_fetch_add(&a->ranges->bytes_fetched, (int64_t)n);
    return 0;
}

static int fetch(struct ol_hub_ranges *r, struct ol_http *http, struct ol_hub_stretch s,
                 struct ol_error *err)
{
    struct arrival a = {r, s.shard->base + s.from};
    if (ol_hub_object_get(s.shard->object, http, s.from, s.to, take_bytes, &a, err) != 0)
        return -1;
    return !ol_hub_object_ignores_ranges(s.shard->object)
               ? 0
               : ol_fail(err,
                         "%s: %s: was asked for a range, and everything came: it cannot "
                         "be streamed from there (a proxy may be in between); without "
                         "--stream it is downloaded",
                         r->name.repo, s.shard->path);
}

/* The first failure is the one that is told; the mutex is held. */
static void fail(struct ol_hub_ranges *r, const struct ol_error *err)
{
    if (!r->failed && !r->stopping)
        r->err = *err;
    r->failed = true;
    ol_hub_client_stop(r->download.client);
    pthread_cond_broadcast(&r->work);
    pthread_cond_broadcast(&r->arrived);
}

/* The first that is queued is soon followed by others, which it may join. */
static void wait_for_work(struct ol_hub_ranges *r)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    while (!r->stopping && !r->failed && r->queue.n == 0) {
        pthread_cond_wait(&r->work, &r->mutex);
        if (r->queue.n == 0)
            continue;
        pthread_mutex_unlock(&r->mutex);
        nanosleep(&moment, NULL);
        pthread_mutex_lock(&r->mutex);
    }
}

static void *run_connection(void *argument)
{
    struct ol_hub_ranges *r = argument;
    struct ol_error err = {0};
    struct ol_http *http = ol_hub_client_connect(r->download.client, &err);
    pthread_mutex_lock(&r->mutex);
    struct ol_hub_stretch *mine = r->under_way;
    while (mine->shard != NULL || mine->to < 0)
        mine++;
    mine->to = -1; /* this one's place */
    while (http != NULL && err.text[0] == '\0') {
        wait_for_work(r);
        if (r->stopping || r->failed)
            break;
        const struct ol_hub_stretch s = *mine =
            ol_hub_stretches_take(&r->queue, (int)(mine - r->under_way));
        pthread_mutex_unlock(&r->mutex);
        const int status = fetch(r, http, s, &err);
        pthread_mutex_lock(&r->mutex);
        *mine = (struct ol_hub_stretch){NULL, 0, -1};
        if (status == 0)
            ol_intervals_add(&s.shard->there, s.from, s.to);
        pthread_cond_broadcast(&r->arrived);
    }
    if (err.text[0] != '\0')
        fail(r, &err);
    pthread_mutex_unlock(&r->mutex);
    ol_http_free(http);
    return NULL;
}

/* The mutex is held. */
static void start(struct ol_hub_ranges *r)
{
    sigset_t before;
    int code = 0;
    ol_process_block_signals(&before);
    while (code == 0 && r->n_threads < OL_HUB_CONNECTIONS) {
        code = pthread_create(&r->threads[r->n_threads], NULL, run_connection, r);
        r->n_threads += code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r->n_threads == 0) {
        struct ol_error err = {0};
        ol_fail(&err, "cannot start a thread that fetches weights: %s", strerror(code));
        fail(r, &err);
    }
}

/* ---- the operations of a source ---- */

static void prefetch(struct ol_source *source, const struct ol_span *span)
{
    struct ol_hub_ranges *r = of(source);
    const struct ol_hub_stretch s = find(r, span);
    if (s.shard == NULL) {
        r->files->op->prefetch(r->files, span);
        return;
    }
    pthread_mutex_lock(&r->mutex);
    want(r, s, false);
    if (r->n_threads == 0)
        start(r);
    pthread_mutex_unlock(&r->mutex);
}

static int note(struct ol_hub_ranges *r, const struct ol_hub_stretch *s,
                struct ol_error *err)
{
    char hex[OL_SHA256_HEX_BYTES];
    if (r->digests == NULL)
        return 0;
    struct ol_sha256 *sha = ol_sha256_new();
    ol_sha256_update(sha, s->shard->base + s->from, (size_t)(s->to - s->from));
    ol_sha256_finish(sha, hex);
    return ol_digests_note(r->digests, s->shard->path, (uint64_t)s->from,
                           (uint64_t)(s->to - s->from), hex, err);
}

static int read_span(struct ol_source *source, const struct ol_span *span,
                     struct ol_error *err)
{
    struct ol_hub_ranges *r = of(source);
    const struct ol_hub_stretch s = find(r, span);
    int status = 0;
    if (s.shard == NULL)
        return r->files->op->read(r->files, span, err);
    pthread_mutex_lock(&r->mutex);
    want(r, s, true);
    if (r->n_threads == 0)
        start(r);
    while (!r->stopping && !r->failed &&
           !ol_intervals_cover(&s.shard->there, s.from, s.to))
        pthread_cond_wait(&r->arrived, &r->mutex);
    if (r->stopping)
        status = ol_fail(err, "fetching of weights was stopped");
    else if (r->failed)
        status = ol_fail(err, "%s", r->err.text);
    pthread_mutex_unlock(&r->mutex);
    return status == 0 ? note(r, &s, err) : -1;
}

static bool is_under_way(const struct ol_hub_ranges *r, struct ol_hub_stretch s)
{
    for (const struct ol_hub_stretch *u = r->under_way;
         u < r->under_way + OL_HUB_CONNECTIONS; u++)
        if (u->shard == s.shard && u->from < s.to && u->to > s.from)
            return true;
    return false;
}

/* Pages of which no byte is claimed any more, of those that the stretch touches. A page
 * that another stretch shares stays until that one goes. */
static void drop_pages(struct ol_hub_ranges *r, struct ol_hub_stretch s)
{
    const int64_t page = (int64_t)r->page;
    int64_t first = s.from / page * page, past = (s.to + page - 1) / page * page;
    if (ol_intervals_touch(&s.shard->claimed, first, s.from))
        first += page;
    if (past > first && ol_intervals_touch(&s.shard->claimed, s.to, past))
        past -= page;
    if (past > first)
        madvise(s.shard->base + first, (size_t)(past - first), MADV_DONTNEED);
}

static void release(struct ol_source *source, const struct ol_span *span)
{
    struct ol_hub_ranges *r = of(source);
    const struct ol_hub_stretch s = find(r, span);
    if (s.shard == NULL) {
        r->files->op->release(r->files, span);
        return;
    }
    pthread_mutex_lock(&r->mutex);
    ol_hub_stretches_remove(&r->queue, s); /* as far as nobody is at it */
    while (!r->stopping && !r->failed && is_under_way(r, s))
        pthread_cond_wait(&r->arrived, &r->mutex);
    if (!r->stopping && !r->failed) {
        ol_intervals_remove(&s.shard->claimed, s.from, s.to);
        ol_intervals_remove(&s.shard->there, s.from, s.to);
        drop_pages(r, s);
    }
    pthread_mutex_unlock(&r->mutex);
}

static void stop(struct ol_source *source)
{
    struct ol_hub_ranges *r = of(source);
    pthread_mutex_lock(&r->mutex);
    r->stopping = true;
    pthread_cond_broadcast(&r->work);
    pthread_cond_broadcast(&r->arrived);
    pthread_mutex_unlock(&r->mutex);
    ol_hub_client_stop(r->download.client);
    r->files->op->stop(r->files);
}

static struct ol_source_stats stats(struct ol_source *source)
{
    struct ol_hub_ranges *r = of(source);
    return (struct ol_source_stats){
        .bytes_fetched = atomic_load(&r->bytes_fetched),
        .n_requests = ol_hub_client_n_requests(r->download.client),
    };
}

static void free_ranges(struct ol_source *source)
{
    ol_hub_ranges_free(of(source));
}

static const struct ol_source_operations operations = {
    .spares = true,
    .prefetch = prefetch,
    .read = read_span,
    .release = release,
    .stop = stop,
    .stats = stats,
    .free = free_ranges,
};

/* ---- begin and end ---- */

struct ol_hub_ranges *ol_hub_ranges_open(const char *model, struct ol_error *err)
{
    struct ol_hub_ranges *r = ol_xcalloc(1, sizeof *r);
    r->source.op = &operations;
    r->files = ol_source_files_new(true);
    r->page = (size_t)sysconf(_SC_PAGESIZE);
    r->model = ol_xstrdup(model);
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->arrived, NULL);
    if (!ol_hub_name_read(r->model, &r->name)) {
        ol_fail(err, "%s: is no Hub name (org/name)", model);
    } else if (ol_hub_download_begin(&r->download, &r->name, OL_HUB_WEIGHTS, err) == 0) {
        ol_hub_client_set_advice(r->download.client, "");
        if (ol_hub_shards_open(&r->download, &r->found, err) == 0) {
            ol_hub_client_set_advice(
                r->download.client,
                "; --resume goes on after the last layer that was kept");
            return r;
        }
    }
    ol_hub_ranges_free(r);
    return NULL;
}

const struct ol_safetensors_header *ol_hub_ranges_headers(const struct ol_hub_ranges *r,
                                                          size_t *n)
{
    *n = r->found.n;
    return r->found.headers;
}

const char *ol_hub_ranges_directory(const struct ol_hub_ranges *r)
{
    return r->download.store.snapshot;
}

static int by_base(const void *a, const void *b)
{
    const struct ol_hub_shard *x = a, *y = b;
    return x->base < y->base ? -1 : x->base > y->base;
}

/* What came behind a header is there. The header's own bytes are nobody's. */
static void begin_shard(struct ol_hub_ranges *r, size_t i, const struct ol_checkpoint *c,
                        int file)
{
    struct ol_safetensors_header *h = &r->found.headers[i];
    struct ol_hub_shard *shard = &r->shards[r->n++];
    uint64_t bytes, length = 0;
    shard->base = (char *)(uintptr_t)ol_checkpoint_map(c, file, &bytes);
    shard->bytes = (int64_t)bytes;
    shard->object = r->found.objects[i];
    shard->path = r->found.entries[i]->path;
    for (int k = 0; k < LENGTH_BYTES; k++)
        length |= (uint64_t)h->bytes[k] << (8 * k);
    const int64_t from = (int64_t)length + LENGTH_BYTES, to = (int64_t)h->n;
    if (from < to)
        memcpy(shard->base + from, h->bytes + from, (size_t)(to - from));
    ol_intervals_add(&shard->claimed, from, to);
    ol_intervals_add(&shard->there, from, to);
    atomic_fetch_add(&r->bytes_fetched, (int64_t)h->n);
    free(h->bytes);
    h->bytes = NULL;
}

struct ol_source *ol_hub_ranges_begin(struct ol_hub_ranges *r,
                                      const struct ol_checkpoint *c)
{
    r->shards = ol_xcalloc(r->found.n, sizeof *r->shards);
    for (int file = 0; file < ol_checkpoint_n_files(c); file++)
        for (size_t i = 0; i < r->found.n; i++)
            if (strcmp(r->found.headers[i].path, ol_checkpoint_path(c, file)) == 0)
                begin_shard(r, i, c, file);
    qsort(r->shards, r->n, sizeof *r->shards, by_base);
    return &r->source;
}

void ol_hub_ranges_note(struct ol_hub_ranges *r, struct ol_digests *digests)
{
    r->digests = digests;
}

void ol_hub_ranges_free(struct ol_hub_ranges *r)
{
    if (r == NULL)
        return;
    if (r->n_threads > 0)
        stop(&r->source);
    for (int i = 0; i < r->n_threads; i++)
        pthread_join(r->threads[i], NULL);
    for (size_t i = 0; i < r->n; i++) {
        ol_intervals_clear(&r->shards[i].claimed);
        ol_intervals_clear(&r->shards[i].there);
    }
    free(r->shards);
    ol_hub_stretches_clear(&r->queue);
    ol_hub_shards_clear(&r->found);
    ol_hub_download_end(&r->download);
    ol_hub_name_clear(&r->name);
    ol_source_free(r->files);
    pthread_cond_destroy(&r->arrived);
    pthread_cond_destroy(&r->work);
    pthread_mutex_destroy(&r->mutex);
    free(r->model);
    free(r);
}
