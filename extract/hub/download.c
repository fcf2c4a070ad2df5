#include "extract/hub/download.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "extract/hub/fetch.h"
#include "extract/hub/name.h"
#include "extract/hub/partial.h"
#include "extract/weights/checkpoint.h"

/* ---- what is missing ---- */

static void append(const struct ol_hub_entry ***entries, size_t *n,
                   const struct ol_hub_entry *e)
{
    *entries = ol_xrealloc_array(*entries, *n + 1, sizeof **entries);
    (*entries)[(*n)++] = e;
}

static int add_missing(struct ol_hub_download *d, const struct ol_hub_entry *e,
                       struct ol_error *err)
{
    const int has = ol_hub_store_has(&d->store, e, err);
    if (has != 0)
        return has < 0 ? -1 : 0;
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->missing[i]->etag, e->etag) == 0) {
            append(&d->twins, &d->n_twins, e);
            return 0;
        }
    append(&d->missing, &d->n, e);
    const int blob = ol_hub_store_look(&d->store, e, err);
    if (blob != 0)
        return blob < 0 ? -1 : 0;
    char *path = ol_hub_store_blob(&d->store, e->etag);
    const struct ol_partial_state state = ol_partial_look(path, e->size);
    d->total += e->size;
    d->there += state.bytes;
    d->room += e->size - state.allocated;
    free(path);
    return 0;
}

static void forget_missing(struct ol_hub_download *d)
{
    free(d->missing);
    d->missing = NULL;
    d->n = 0;
    d->total = d->there = d->room = 0;
}

/* ---- fetching it ---- */

int ol_hub_download_room(const struct ol_hub_download *d, int64_t *bytes,
                         struct ol_error *err)
{
    struct statvfs disk;
    if (statvfs(d->store.folder, &disk) != 0)
        return ol_fail_errno(err, "%s: cannot ask how much room there is",
                             d->store.folder);
    const double room = (double)disk.f_bavail * (double)disk.f_frsize;
    *bytes = room < 0x1p62 ? (int64_t)room : INT64_C(1) << 62;
    return 0;
}

static int check_room(const struct ol_hub_download *d, struct ol_error *err)
{
    const struct ol_hub_settings *s = ol_hub_client_settings(d->client);
    int64_t room = 0;
    if (ol_hub_download_room(d, &room, err) != 0)
        return -1;
    return d->room <= room
               ? 0
               : ol_fail(err,
                         "%s: needs %s of room in %s, where %s are free: make room, or "
                         "let HF_HUB_CACHE name another disk",
                         d->name->repo, ol_amount((double)d->room).text, s->cache,
                         ol_amount((double)room).text);
}

static void announce(const struct ol_hub_download *d)
{
    if (d->there > 0)
        ol_note("%s: downloading %s of %s to %s: the rest is there from before",
                d->name->repo, ol_amount((double)(d->total - d->there)).text,
                ol_amount((double)d->total).text, d->store.folder);
    else if (d->total > 0)
        ol_note("%s: downloading %s, %zu file%s, to %s", d->name->repo,
                ol_amount((double)d->total).text, d->n, d->n == 1 ? "" : "s",
                d->store.folder);
}

/* All that is missing, and links for the other names of the same bytes. */
static int fetch_missing(struct ol_hub_download *d, bool announced, struct ol_error *err)
{
    if (d->n == 0)
        return 0;
    if (check_room(d, err) != 0)
        return -1;
    if (announced)
        announce(d);
    struct ol_meter *meter = ol_meter_new(d->client, d->total, d->there);
    const struct ol_hub_fetch fetch = {
        .client = d->client,
        .store = &d->store,
        .repo = d->name->repo,
        .commit = d->listing.commit,
        .entries = d->missing,
        .n = d->n,
        .meter = meter,
    };
    const int status = ol_hub_fetch(&fetch, err);
    ol_meter_end(meter, announced && status == 0);
    return status;
}

static bool is_wanted(const struct ol_hub_entry *e, unsigned need)
{
    switch (e->kind) {
    case OL_HUB_KIND_CONFIG:
        return true;
    case OL_HUB_KIND_TOKENIZER:
        return (need & (OL_HUB_TOKENIZER | OL_HUB_WEIGHTS)) != 0;
    case OL_HUB_KIND_WEIGHTS:
    case OL_HUB_KIND_OTHER:
        break;
    }
    return false;
}

/* ---- weights ---- */

static int no_safetensors(const struct ol_hub_download *d, struct ol_error *err)
{
    const char *other = NULL;
    for (size_t i = 0; i < d->listing.n && other == NULL; i++) {
        const char *end = strrchr(d->listing.entries[i].path, '.');
        if (end != NULL &&
            (strcmp(end, ".bin") == 0 || strcmp(end, ".pth") == 0 ||
             strcmp(end, ".gguf") == 0 || strcmp(end, ".safetensors") == 0))
            other = d->listing.entries[i].path;
    }
    return ol_fail(err,
                   "%s: the repository has neither %s nor %s%s%s: only these can be read",
                   d->name->repo, OL_CHECKPOINT_INDEX, OL_CHECKPOINT_SINGLE,
                   other != NULL ? ", but " : "", other != NULL ? other : "");
}

/* The index first, which says which of the safetensors belong to the model: a repository
 * may have others beside them. */
static int add_weights(struct ol_hub_download *d, struct ol_error *err)
{
    const struct ol_hub_entry *index =
                                  ol_hub_listing_find(&d->listing, OL_CHECKPOINT_INDEX),
                              *single =
                                  ol_hub_listing_find(&d->listing, OL_CHECKPOINT_SINGLE);
    if (index == NULL)
        return single != NULL ? add_missing(d, single, err) : no_safetensors(d, err);
    if (add_missing(d, index, err) != 0 || fetch_missing(d, false, err) != 0)
        return -1;
    forget_missing(d);
    size_t n = 0;
    char **names = ol_checkpoint_shards(d->store.snapshot, &n, err);
    int status = names != NULL ? 0 : -1;
    for (size_t i = 0; i < n && status == 0; i++) {
        const struct ol_hub_entry *shard = ol_hub_listing_find(&d->listing, names[i]);
        status = shard != NULL
                     ? add_missing(d, shard, err)
                     : ol_fail(err, "%s: %s names %s, which the repository has not",
                               d->name->repo, OL_CHECKPOINT_INDEX, names[i]);
    }
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return status;
}

/* ---- */

/* Of files that are the same bytes one is fetched; the others are further names. */
static int link_twins(struct ol_hub_download *d, struct ol_error *err)
{
    for (size_t i = 0; i < d->n_twins; i++)
        if (ol_hub_store_link(&d->store, d->twins[i]->etag, d->twins[i]->path, err) != 0)
            return -1;
    return 0;
}

/* The weights and whatever else is needed. */
static int find_missing(struct ol_hub_download *d, struct ol_error *err)
{
    if (ol_hub_listing_find(&d->listing, "config.json") == NULL)
        return ol_fail(err,
                       "%s: the repository has no config.json: it is no model that can "
                       "be read",
                       d->name->repo);
    if ((d->need & OL_HUB_WEIGHTS) != 0 && add_weights(d, err) != 0)
        return -1;
    for (size_t i = 0; i < d->listing.n; i++)
        if (is_wanted(&d->listing.entries[i], d->need) &&
            add_missing(d, &d->listing.entries[i], err) != 0)
            return -1;
    return 0;
}

int ol_hub_download_begin(struct ol_hub_download *d, const struct ol_hub_name *name,
                          unsigned need, struct ol_error *err)
{
    d->name = name;
    d->need = need;
    d->client = ol_hub_client_new(err);
    if (d->client == NULL)
        return -1;
    d->http = ol_hub_client_connect(d->client, err);
    if (d->http == NULL || ol_hub_list(d->client, d->http, name, &d->listing, err) != 0)
        return -1;
    return ol_hub_store_open(&d->store, ol_hub_client_settings(d->client)->cache,
                             name->repo, d->listing.commit, err) == 0
               ? find_missing(d, err)
               : -1;
}

void ol_hub_download_end(struct ol_hub_download *d)
{
    free(d->missing);
    free(d->twins);
    ol_hub_store_clear(&d->store);
    ol_hub_listing_clear(&d->listing);
    ol_http_free(d->http);
    ol_hub_client_free(d->client);
    *d = (struct ol_hub_download){0};
}

/* A repository that changed before its download went on leaves what nobody needs. */
static void tell_unfinished(const struct ol_hub_download *d)
{
    const int64_t bytes = ol_hub_store_unfinished(&d->store);
    if (bytes > 0)
        ol_note("%s: %s of unfinished downloads of other revisions are left in %s/blobs: "
                "remove *.ol.* there unless they are to go on",
                d->name->repo, ol_amount((double)bytes).text, d->store.folder);
}

static int fetch_all(struct ol_hub_download *d, struct ol_error *err)
{
    static const char tokenizer[] = "tokenizer.json";
    if (fetch_missing(d, d->need != OL_HUB_CONFIG, err) != 0 || link_twins(d, err) != 0)
        return -1;
    tell_unfinished(d);
    if (ol_hub_listing_find(&d->listing, tokenizer) == NULL)
        ol_hub_store_note_absent(&d->store, tokenizer);
    return ol_hub_download_set_ref(d, err);
}

char *ol_hub_fetch_model(const struct ol_hub_name *name, unsigned need,
                         struct ol_error *err)
{
    struct ol_hub_download d = {0};
    char *directory = NULL;
    if (ol_hub_download_begin(&d, name, need, err) == 0 && fetch_all(&d, err) == 0)
        directory = ol_xstrdup(d.store.snapshot);
    ol_hub_download_end(&d);
    return directory;
}

/* ---- one file ---- */

int ol_hub_download_begin_file(struct ol_hub_download *d, const struct ol_hub_name *name,
                               const char *path, const struct ol_hub_entry **entry,
                               struct ol_error *err)
{
    d->name = name;
    d->client = ol_hub_client_new(err);
    d->http = d->client != NULL ? ol_hub_client_connect(d->client, err) : NULL;
    if (d->http == NULL ||
        ol_hub_list_beside(d->client, d->http, name, path, &d->listing, err) != 0)
        return -1;
    *entry = ol_hub_listing_find(&d->listing, path);
    if (*entry == NULL)
        return ol_fail(err, "%s: has no file %s at that revision", name->repo, path);
    return ol_hub_store_open(&d->store, ol_hub_client_settings(d->client)->cache,
                             name->repo, d->listing.commit, err);
}

int ol_hub_download_file(struct ol_hub_download *d, const struct ol_hub_entry *entry,
                         struct ol_error *err)
{
    if (add_missing(d, entry, err) != 0 || fetch_missing(d, true, err) != 0)
        return -1;
    return ol_hub_download_set_ref(d, err);
}

int ol_hub_download_set_ref(const struct ol_hub_download *d, struct ol_error *err)
{
    const char *revision = d->name->revision != NULL ? d->name->revision : "main";
    return ol_hub_store_set_ref(&d->store, revision, d->listing.commit, err);
}
