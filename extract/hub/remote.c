#include "extract/hub/remote.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/process.h"
#include "extract/hub/download.h"
#include "extract/hub/name.h"
#include "extract/hub/object.h"
#include "extract/hub/settings.h"

enum {
    N_WORKERS = 8,
    LENGTH_BYTES = 8,
    /* Most headers fit into the first request for them. */
    FIRST_BYTES = 100000,
};

/* Headers, or bytes for the clock, fetched side by side. */
struct look {
    struct ol_hub_download *download;
    const struct ol_hub_entry **shards;    /* [n] */
    struct ol_safetensors_header *headers; /* [n] */
    size_t n;
    atomic_size_t next;
    double until; /* of the measurement */
    _Atomic int64_t measured;
    pthread_mutex_t mutex;
    bool failed;
    struct ol_error err;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static struct ol_hub_object *object_of(const struct look *l, const struct ol_hub_entry *e)
{
    const struct ol_hub_download *d = l->download;
    const struct ol_hub_facts facts = {d->name->repo, d->listing.commit, e->path, e->size,
                                       e->etag};
    return ol_hub_object_new(d->client, &facts);
}

/* The same work in several threads. */
static void side_by_side(struct look *l, void *(*work)(void *))
{
    pthread_t threads[N_WORKERS];
    int n = 0;
    sigset_t before;
    ol_process_block_signals(&before);
    while (n < N_WORKERS && pthread_create(&threads[n], NULL, work, l) == 0)
        n++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (n == 0)
        work(l);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

static void fail(struct look *l, const struct ol_error *err)
{
    pthread_mutex_lock(&l->mutex);
    if (!l->failed)
        l->err = *err;
    l->failed = true;
    pthread_mutex_unlock(&l->mutex);
    ol_hub_client_stop(l->download->client);
}

/* ---- headers ---- */

static int take_header(void *user, const void *bytes, size_t n, struct ol_error *err)
{
    struct ol_safetensors_header *h = user;
    (void)err;
    memcpy(h->bytes + h->n, bytes, n);
    h->n += n;
    return 0;
}

static uint64_t length_of(const unsigned char *bytes)
{
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)bytes[i] << (8 * i);
    return length;
}

/* The first bytes, and the rest of the header where it is longer. A length that cannot be
 * is left to who reads the header, and says so. */
static int fetch_header(struct ol_hub_object *o, struct ol_http *http,
                        struct ol_safetensors_header *h, struct ol_error *err)
{
    const int64_t size = (int64_t)h->file_bytes,
                  first = size < FIRST_BYTES ? size : FIRST_BYTES;
    h->bytes = ol_xmalloc((size_t)first + 1);
    if (first == 0 || ol_hub_object_get(o, http, 0, first, take_header, h, err) != 0)
        return first == 0 ? 0 : -1;
    const uint64_t length = first >= LENGTH_BYTES ? length_of(h->bytes) : 0;
    if (length > OL_SAFETENSORS_MAX_HEADER || length + LENGTH_BYTES > h->file_bytes ||
        (int64_t)length + LENGTH_BYTES <= first)
        return 0;
    const int64_t end = (int64_t)length + LENGTH_BYTES;
    h->bytes = ol_xrealloc_array(h->bytes, (size_t)end, 1);
    return ol_hub_object_get(o, http, first, end, take_header, h, err);
}

static void *fetch_headers(void *user)
{
    struct look *l = user;
    struct ol_error err = {0};
    struct ol_http *http = ol_hub_client_connect(l->download->client, &err);
    for (size_t i; http != NULL && err.text[0] == '\0' &&
                   (i = atomic_fetch_add(&l->next, 1)) < l->n;) {
        struct ol_safetensors_header *h = &l->headers[i];
        struct ol_hub_object *o = object_of(l, l->shards[i]);
        h->path = ol_xasprintf("%s/%s", l->download->store.snapshot, l->shards[i]->path);
        h->file_bytes = (uint64_t)l->shards[i]->size;
        fetch_header(o, http, h, &err);
        ol_hub_object_free(o);
    }
    if (err.text[0] != '\0')
        fail(l, &err);
    ol_http_free(http);
    return NULL;
}

/* ---- speed ---- */

static int take_for_clock(void *user, const void *bytes, size_t n, struct ol_error *err)
{
    struct look *l = user;
    (void)bytes;
    atomic_fetch_add(&l->measured, (int64_t)n);
    return now() < l->until ? 0 : ol_fail(err, "it is enough");
}

/* A range each, of the shards in turn, until the time is over. */
static void *measure(void *user)
{
    struct look *l = user;
    const int64_t most = INT64_C(64) << 20;
    struct ol_error err = {0};
    struct ol_http *http = ol_hub_client_connect(l->download->client, &err);
    while (http != NULL && err.text[0] == '\0' && now() < l->until) {
        const size_t i = atomic_fetch_add(&l->next, 1);
        const struct ol_hub_entry *e = l->shards[i % l->n];
        const int64_t turn = (int64_t)(i / l->n), from = turn * most;
        if (from >= e->size)
            break;
        struct ol_hub_object *o = object_of(l, e);
        ol_hub_object_get(o, http, from, e->size - from < most ? e->size : from + most,
                          take_for_clock, l, &err);
        ol_hub_object_free(o);
    }
    ol_http_free(http);
    return NULL;
}

static double measure_speed(struct look *l)
{
    const double seconds = 1;
    const int64_t least = 1 << 20; /* of less the connections are the most */
    const double start = now();
    l->until = start + seconds;
    atomic_store(&l->next, 0);
    side_by_side(l, measure);
    const int64_t bytes = atomic_load(&l->measured);
    return bytes >= least ? (double)bytes / (now() - start) : 0;
}

/* ---- all of it ---- */

/* Asks for the headers of what is missing, and how fast it would come. */
static int look_at(struct ol_hub_download *d, struct ol_hub_remote *r,
                   struct ol_error *err)
{
    struct look l = {.download = d};
    l.shards = ol_xcalloc(d->n, sizeof *l.shards);
    for (size_t i = 0; i < d->n; i++)
        if (d->missing[i]->kind == OL_HUB_KIND_WEIGHTS)
            l.shards[l.n++] = d->missing[i];
    l.headers = ol_xcalloc(l.n, sizeof *l.headers);
    r->headers = l.headers;
    r->n_headers = l.n;
    pthread_mutex_init(&l.mutex, NULL);
    side_by_side(&l, fetch_headers);
    if (!l.failed && l.n > 0)
        r->bytes_per_second = measure_speed(&l);
    pthread_mutex_destroy(&l.mutex);
    free(l.shards);
    return l.failed ? ol_fail(err, "%s", l.err.text) : 0;
}

bool ol_hub_may_look(const char *model)
{
    struct ol_hub_name name;
    const bool may = access(model, F_OK) != 0 && !ol_hub_is_offline() &&
                     ol_hub_name_read(model, &name);
    if (may)
        ol_hub_name_clear(&name);
    return may;
}

int ol_hub_look(const char *model, struct ol_hub_remote *r, struct ol_error *err)
{
    struct ol_hub_name name;
    struct ol_hub_download d = {0};
    if (!ol_hub_name_read(model, &name))
        return ol_fail(err, "%s: is no Hub name (org/name)", model);
    int status = ol_hub_download_begin(&d, &name, OL_HUB_WHOLE, err);
    if (status == 0)
        status = ol_hub_download_room(&d, &r->room, err);
    if (status == 0) {
        r->directory = ol_xstrdup(d.store.snapshot);
        r->bytes = d.total;
        r->there = d.there;
        r->n_files = (int64_t)d.n;
        status = look_at(&d, r, err);
    }
    ol_hub_download_end(&d);
    ol_hub_name_clear(&name);
    return status;
}

void ol_hub_remote_clear(struct ol_hub_remote *r)
{
    for (size_t i = 0; i < r->n_headers; i++) {
        free(r->headers[i].path);
        free(r->headers[i].bytes);
    }
    free(r->headers);
    free(r->directory);
    *r = (struct ol_hub_remote){0};
}
