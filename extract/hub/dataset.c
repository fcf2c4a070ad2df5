#include "extract/hub/dataset.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "extract/hub/download.h"
#include "extract/hub/object.h"

/* ---- addresses ---- */

static const char scheme[] = "hf://";

bool ol_hub_is_address(const char *text)
{
    return strncmp(text, scheme, sizeof scheme - 1) == 0;
}

/* The end of a revision: up to the next "/", but for refs/pr/N, refs/convert/parquet. */
static const char *revision_end(const char *text)
{
    static const char refs[] = "refs/";
    const char *end = text + strcspn(text, "/");
    if (strncmp(text, refs, sizeof refs - 1) != 0)
        return end;
    for (int i = 0; i < 2 && *end == '/'; i++)
        end += 1 + strcspn(end + 1, "/");
    return end;
}

/* "%2F" as "/": how such addresses write a branch of several words. The caller frees. */
static char *decode_slashes(const char *text, size_t n)
{
    char *copy = ol_xstrndup(text, n), *to = copy;
    for (const char *from = copy; *from != '\0';) {
        const bool is_slash = strncasecmp(from, "%2f", 3) == 0;
        *to++ = is_slash ? '/' : *from;
        from += is_slash ? 3 : 1;
    }
    *to = '\0';
    return copy;
}

static int read_place(const char *at, struct ol_hub_place *p)
{
    static const char datasets[] = "datasets/";
    if (strncmp(at, datasets, sizeof datasets - 1) != 0)
        return -1;
    at += sizeof datasets - 1;
    const char *slash = strchr(at, '/');
    const char *end = slash != NULL ? slash + 1 + strcspn(slash + 1, "/@") : at;
    if (*end == '\0' || end == at)
        return -1;
    char *repo = ol_xstrndup(at, (size_t)(end - at));
    const bool good = ol_hub_is_repo(repo);
    p->name.repo = ol_xasprintf("datasets/%s", repo);
    free(repo);
    if (*end == '@') {
        const char *revision = end + 1;
        end = revision_end(revision);
        p->revision = decode_slashes(revision, (size_t)(end - revision));
        p->name.revision = p->revision;
    }
    if (!good || *end != '/' || (p->revision != NULL && !ol_hub_is_revision(p->revision)))
        return -1;
    const char *mark = strrchr(end, '#');
    p->path = mark != NULL ? ol_xstrndup(end + 1, (size_t)(mark - end - 1))
                           : ol_xstrdup(end + 1);
    p->behind = mark != NULL && mark[1] != '\0' ? ol_xstrdup(mark + 1) : NULL;
    return ol_hub_is_path(p->path) ? 0 : -1;
}

int ol_hub_place_read(const char *address, struct ol_hub_place *place,
                      struct ol_error *err)
{
    *place = (struct ol_hub_place){0};
    return read_place(address + sizeof scheme - 1, place) == 0
               ? 0
               : ol_fail(err,
                         "%s: names no file of a data set: expected "
                         "hf://datasets/ORG/NAME[@REVISION]/PATH[#COLUMN]",
                         address);
}

void ol_hub_place_clear(struct ol_hub_place *place)
{
    ol_hub_name_clear(&place->name);
    free(place->revision);
    free(place->path);
    free(place->behind);
    *place = (struct ol_hub_place){0};
}

char *ol_hub_place_folder(const struct ol_hub_place *place)
{
    const char *from;
    char *cache = ol_hub_cache_folder(&from);
    char *folder = ol_hub_cache_model(cache, place->name.repo);
    free(cache);
    return folder;
}

bool ol_hub_place_commit(const struct ol_hub_place *place,
                         char commit[OL_HUB_COMMIT_BYTES])
{
    struct ol_error ignored = {0};
    char *folder = ol_hub_place_folder(place);
    const int status =
        ol_hub_cache_commit(folder, place->name.revision, commit, &ignored);
    free(folder);
    return status == 0;
}

/* ---- by ranges ---- */

struct ol_hub_file {
    struct ol_hub_download download;
    const struct ol_hub_entry *entry;
    struct ol_hub_object *object;
    int64_t fetched;
};

struct ol_hub_file *ol_hub_file_open(const struct ol_hub_place *place,
                                     struct ol_error *err)
{
    struct ol_hub_file *f = ol_xcalloc(1, sizeof *f);
    struct ol_hub_download *d = &f->download;
    if (ol_hub_download_begin_file(d, &place->name, place->path, &f->entry, err) == 0 &&
        ol_hub_download_set_ref(d, err) == 0) {
        const struct ol_hub_facts facts = {place->name.repo, d->listing.commit,
                                           f->entry->path, f->entry->size,
                                           f->entry->etag};
        f->object = ol_hub_object_new(d->client, &facts);
        return f;
    }
    ol_hub_file_close(f);
    return NULL;
}

void ol_hub_file_close(struct ol_hub_file *f)
{
    if (f == NULL)
        return;
    ol_hub_object_free(f->object);
    ol_hub_download_end(&f->download);
    free(f);
}

struct ol_hub_file_facts ol_hub_file_facts(const struct ol_hub_file *f)
{
    return (struct ol_hub_file_facts){
        .commit = f->download.listing.commit,
        .etag = f->entry->etag,
        .size = f->entry->size,
        .fetched = f->fetched,
        .n_requests = ol_hub_client_n_requests(f->download.client),
    };
}

static int take_bytes(void *user, const void *bytes, size_t n, struct ol_error *err)
{
    char **to = user;
    (void)err;
    memcpy(*to, bytes, n);
    *to += n;
    return 0;
}

int ol_hub_file_read(void *file, int64_t offset, size_t n, void *bytes,
                     struct ol_error *err)
{
    struct ol_hub_file *f = file;
    char *to = bytes;
    const int status = ol_hub_object_get(f->object, f->download.http, offset,
                                         offset + (int64_t)n, take_bytes, &to, err);
    f->fetched += to - (char *)bytes;
    return status;
}

/* ---- whole ---- */

char *ol_hub_file_find(const struct ol_hub_place *place, char commit[OL_HUB_COMMIT_BYTES])
{
    if (!ol_hub_place_commit(place, commit))
        return NULL;
    char *folder = ol_hub_place_folder(place);
    char *path = ol_xasprintf("%s/snapshots/%s/%s", folder, commit, place->path);
    free(folder);
    if (access(path, F_OK) == 0)
        return path;
    free(path);
    return NULL;
}

char *ol_hub_file_fetch(const struct ol_hub_place *place,
                        char commit[OL_HUB_COMMIT_BYTES], struct ol_error *err)
{
    struct ol_hub_download d = {0};
    const struct ol_hub_entry *entry;
    char *path = ol_hub_file_find(place, commit);
    if (path != NULL)
        return path;
    if (ol_hub_is_offline()) {
        ol_fail(err,
                "%s: %s: is not in the cache, and HF_HUB_OFFLINE forbids to ask the Hub",
                place->name.repo, place->path);
        return NULL;
    }
    if (ol_hub_download_begin_file(&d, &place->name, place->path, &entry, err) == 0 &&
        ol_hub_download_file(&d, entry, err) == 0) {
        path = ol_xasprintf("%s/%s", d.store.snapshot, place->path);
        memcpy(commit, d.listing.commit, OL_HUB_COMMIT_BYTES);
    }
    ol_hub_download_end(&d);
    return path;
}
