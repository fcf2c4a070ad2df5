#include "extract/hub/headers.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/process.h"

enum {
    N_WORKERS = 8,
    LENGTH_BYTES = 8,
    /* Most headers fit into the first request for them. */
    FIRST_BYTES = 100000,
};

struct fetch {
    struct ol_hub_download *download;
    struct ol_hub_shards *shards;
    atomic_size_t next;
    pthread_mutex_t mutex; /* of what follows */
    bool failed;
    struct ol_error err;
};

void ol_hub_side_by_side(void *(*work)(void *), void *argument)
{
    pthread_t threads[N_WORKERS];
    int n = 0;
    sigset_t before;
    ol_process_block_signals(&before);
    while (n < N_WORKERS && pthread_create(&threads[n], NULL, work, argument) == 0)
        n++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (n == 0)
        work(argument);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

static void fail(struct fetch *f, const struct ol_error *err)
{
    pthread_mutex_lock(&f->mutex);
    if (!f->failed)
        f->err = *err;
    f->failed = true;
    pthread_mutex_unlock(&f->mutex);
    ol_hub_client_stop(f->download->client);
}

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
    struct fetch *f = user;
    struct ol_hub_shards *s = f->shards;
    struct ol_error err = {0};
    struct ol_http *http = ol_hub_client_connect(f->download->client, &err);
    for (size_t i; http != NULL && err.text[0] == '\0' &&
                   (i = atomic_fetch_add(&f->next, 1)) < s->n;)
        fetch_header(s->objects[i], http, &s->headers[i], &err);
    if (err.text[0] != '\0')
        fail(f, &err);
    ol_http_free(http);
    return NULL;
}

static void add(struct ol_hub_shards *s, const struct ol_hub_download *d,
                const struct ol_hub_entry *e)
{
    const struct ol_hub_facts facts = {d->name->repo, d->listing.commit, e->path, e->size,
                                       e->etag};
    s->entries[s->n] = e;
    s->objects[s->n] = ol_hub_object_new(d->client, &facts);
    s->headers[s->n] = (struct ol_safetensors_header){
        .path = ol_xasprintf("%s/%s", d->store.snapshot, e->path),
        .file_bytes = (uint64_t)e->size,
        .claimed = e->etag,
    };
    s->n++;
}

int ol_hub_shards_open(struct ol_hub_download *d, struct ol_hub_shards *s,
                       struct ol_error *err)
{
    struct fetch f = {.download = d, .shards = s};
    s->entries = ol_xcalloc(d->n + d->n_twins, sizeof *s->entries);
    s->objects = ol_xcalloc(d->n + d->n_twins, sizeof *s->objects);
    s->headers = ol_xcalloc(d->n + d->n_twins, sizeof *s->headers);
    for (size_t i = 0; i < d->n + d->n_twins; i++) {
        const struct ol_hub_entry *e = i < d->n ? d->missing[i] : d->twins[i - d->n];
        if (e->kind == OL_HUB_KIND_WEIGHTS)
            add(s, d, e);
    }
    pthread_mutex_init(&f.mutex, NULL);
    ol_hub_side_by_side(fetch_headers, &f);
    pthread_mutex_destroy(&f.mutex);
    return f.failed ? ol_fail(err, "%s", f.err.text) : 0;
}

void ol_hub_shards_clear(struct ol_hub_shards *s)
{
    for (size_t i = 0; i < s->n; i++) {
        ol_hub_object_free(s->objects[i]);
        if (s->headers != NULL) {
            free(s->headers[i].path);
            free(s->headers[i].bytes);
        }
    }
    free(s->entries);
    free(s->objects);
    free(s->headers);
    *s = (struct ol_hub_shards){0};
}
