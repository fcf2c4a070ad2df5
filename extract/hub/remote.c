#include "extract/hub/remote.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "extract/hub/download.h"
#include "extract/hub/headers.h"
#include "extract/hub/name.h"
#include "extract/hub/settings.h"

/* Bytes for the clock, fetched side by side. */
struct look {
    struct ol_hub_download *download;
    const struct ol_hub_shards *shards;
    atomic_size_t next;
    double until; /* of the measurement */
    _Atomic int64_t measured;
};

/* ---- speed ---- */

static int take_for_clock(void *user, const void *bytes, size_t n, struct ol_error *err)
{
    struct look *l = user;
    (void)bytes;
    atomic_fetch_add(&l->measured, (int64_t)n);
    return ol_clock_seconds() < l->until ? 0 : ol_fail(err, "it is enough");
}

/* A range each, of the shards in turn, until the time is over. */
static void *measure(void *user)
{
    struct look *l = user;
    const int64_t most = INT64_C(64) << 20;
    struct ol_error err = {0};
    struct ol_http *http = ol_hub_client_connect(l->download->client, &err);
    while (http != NULL && err.text[0] == '\0' && ol_clock_seconds() < l->until) {
        const size_t i = atomic_fetch_add(&l->next, 1);
        const size_t k = i % l->shards->n;
        const int64_t size = l->shards->entries[k]->size,
                      from = (int64_t)(i / l->shards->n) * most;
        if (from >= size)
            break;
        ol_hub_object_get(l->shards->objects[k], http, from,
                          size - from < most ? size : from + most, take_for_clock, l,
                          &err);
    }
    ol_http_free(http);
    return NULL;
}

static double measure_speed(struct look *l)
{
    const double seconds = 1;
    const int64_t least = 1 << 20; /* of less the connections are the most */
    const double start = ol_clock_seconds();
    l->until = start + seconds;
    ol_hub_side_by_side(measure, l);
    const int64_t bytes = atomic_load(&l->measured);
    return bytes >= least ? (double)bytes / (ol_clock_seconds() - start) : 0;
}

/* ---- all of it ---- */

/* Asks for the headers of what is missing, and how fast it would come. */
static int look_at(struct ol_hub_download *d, struct ol_hub_remote *r,
                   struct ol_error *err)
{
    struct ol_hub_shards shards = {0};
    struct look l = {.download = d, .shards = &shards};
    const int status = ol_hub_shards_open(d, &shards, err);
    if (status == 0 && shards.n > 0)
        r->bytes_per_second = measure_speed(&l);
    r->headers = shards.headers;
    r->n_headers = shards.n;
    /* The listing's, which ends here. */
    for (size_t i = 0; i < shards.n; i++)
        r->headers[i].claimed = NULL;
    shards.headers = NULL;
    ol_hub_shards_clear(&shards);
    return status;
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
