#include "extract/hub/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

/* ---- kinds ---- */

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static enum ol_hub_kind kind_of(const char *path, int64_t size)
{
    /* Logs of a training are JSON too. */
    enum { MOST_CONFIG_BYTES = 1 << 20 };
    static const struct {
        const char *end;
        enum ol_hub_kind kind;
    } ends[] = {
        {".safetensors", OL_HUB_KIND_WEIGHTS},
        {".bin.index.json", OL_HUB_KIND_OTHER},
        {".safetensors.index.json", OL_HUB_KIND_CONFIG},
        {"config.json", OL_HUB_KIND_CONFIG},
        {"tokenizer.json", OL_HUB_KIND_TOKENIZER},
        {"vocab.json", OL_HUB_KIND_TOKENIZER},
        {"merges.txt", OL_HUB_KIND_TOKENIZER},
        {"vocab.txt", OL_HUB_KIND_TOKENIZER},
        {".model", OL_HUB_KIND_TOKENIZER}, /* of SentencePiece and tiktoken */
        {".tiktoken", OL_HUB_KIND_TOKENIZER},
        {".jinja", OL_HUB_KIND_TOKENIZER},
    };
    /* What a run needs lies at the top; folders hold copies in other formats. */
    if (strchr(path, '/') != NULL)
        return OL_HUB_KIND_OTHER;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (ends_with(path, ends[i].end))
            return ends[i].kind;
    if (strncmp(path, "tokenization_", 13) == 0 && ends_with(path, ".py"))
        return OL_HUB_KIND_TOKENIZER; /* patterns of tiktoken's are written there */
    return ends_with(path, ".json") && size <= MOST_CONFIG_BYTES ? OL_HUB_KIND_CONFIG
                                                                 : OL_HUB_KIND_OTHER;
}

/* ---- entries ---- */

static int add_entry(const struct ol_hub_source *s, const char *path,
                     const struct ol_json *size, const char *etag, bool is_lfs,
                     struct ol_error *err)
{
    enum { SHA256_DIGITS = 64 };
    const int64_t most = INT64_C(1) << 50; /* sums of thousands of them fit */
    struct ol_hub_listing *l = s->listing;
    const int64_t n = ol_json_kind(size) == OL_JSON_INT ? ol_json_int(size) : -1;
    if (n < 0 || n > most)
        return ol_fail(err, "%s: %s: the listing of %s says no size of it that can be",
                       s->repo, path, s->endpoint);
    if (!ol_hub_is_digest(etag, is_lfs ? SHA256_DIGITS : OL_HUB_COMMIT_DIGITS))
        return ol_fail(err,
                       "%s: %s: the listing of %s has '%.80s' where a %s is expected",
                       s->repo, path, s->endpoint, etag, is_lfs ? "SHA-256" : "SHA-1");
    l->entries = ol_xrealloc_array(l->entries, l->n + 1, sizeof *l->entries);
    struct ol_hub_entry *e = &l->entries[l->n++];
    *e = (struct ol_hub_entry){.path = ol_xstrdup(path), .size = n, .is_lfs = is_lfs};
    strcpy(e->etag, etag);
    e->kind = kind_of(path, n);
    return 0;
}

static const char *string_at(const struct ol_json *object, const char *key)
{
    const struct ol_json *value = ol_json_get(object, key);
    return ol_json_kind(value) == OL_JSON_STRING ? ol_json_string(value, NULL) : "";
}

/* A path becomes a file name below the cache. */
static int check_path(const struct ol_hub_source *s, const struct ol_json *path,
                      struct ol_error *err)
{
    size_t n = 0;
    const char *text =
        ol_json_kind(path) == OL_JSON_STRING ? ol_json_string(path, &n) : "";
    return strlen(text) == n && ol_hub_is_path(text)
               ? 0
               : ol_fail(
                     err,
                     "%s: the listing of %s has a file '%.200s', whose name would lead "
                     "out of the cache: nothing of it is taken",
                     s->repo, s->endpoint, text);
}

/* An element of `siblings` {rfilename, size, blobId, lfs {sha256, size}} or of a tree
 * {type, path, size, oid, lfs {oid, size}}. */
static int add_file(const struct ol_hub_source *s, const struct ol_json *file,
                    bool of_tree, struct ol_error *err)
{
    const char *path_key = of_tree ? "path" : "rfilename";
    if (of_tree && strcmp(string_at(file, "type"), "directory") == 0)
        return 0;
    if (check_path(s, ol_json_get(file, path_key), err) != 0)
        return -1;
    const struct ol_json *lfs = ol_json_get(file, "lfs");
    const bool is_lfs = ol_json_kind(lfs) == OL_JSON_OBJECT;
    const char *etag = is_lfs ? string_at(lfs, of_tree ? "oid" : "sha256")
                              : string_at(file, of_tree ? "oid" : "blobId");
    return add_entry(s, string_at(file, path_key),
                     ol_json_get(is_lfs ? lfs : file, "size"), etag, is_lfs, err);
}

static bool has_sizes(const struct ol_json *siblings)
{
    for (size_t i = 0; i < ol_json_length(siblings); i++)
        if (ol_json_kind(ol_json_get(ol_json_at(siblings, i), "size")) != OL_JSON_INT)
            return false;
    return ol_json_kind(siblings) == OL_JSON_ARRAY;
}

static int read_revision(const struct ol_hub_source *s, const struct ol_json *revision,
                         struct ol_error *err)
{
    const char *commit = string_at(revision, "sha");
    const struct ol_json *disabled = ol_json_get(revision, "disabled");
    if (ol_json_kind(disabled) == OL_JSON_BOOL && ol_json_bool(disabled))
        return ol_fail(err, "%s: was taken down", s->repo);
    if (!ol_hub_is_commit(commit))
        return ol_fail(err,
                       "%s: %s names no commit, and is no Hub: expected \"sha\", 40 "
                       "hexadecimal digits, found '%.80s'",
                       s->repo, s->endpoint, commit);
    strcpy(s->listing->commit, commit);
    return 0;
}

int ol_hub_listing_add(const struct ol_hub_source *s, const struct ol_json *answer,
                       struct ol_error *err)
{
    const bool of_tree = ol_json_kind(answer) == OL_JSON_ARRAY;
    const struct ol_json *files = of_tree ? answer : ol_json_get(answer, "siblings");
    if (!of_tree && read_revision(s, answer, err) != 0)
        return -1;
    if (!of_tree && !has_sizes(files))
        return 1;
    for (size_t i = 0; i < ol_json_length(files); i++)
        if (add_file(s, ol_json_at(files, i), of_tree, err) != 0)
            return -1;
    return 0;
}

/* ---- requests ---- */

static struct ol_json *ask(struct ol_hub_client *client, struct ol_http *http,
                           const struct ol_hub_subject *about, const char *url,
                           char **next, struct ol_error *err)
{
    size_t n;
    char *text = ol_hub_text(client, http, about, url, &n, next, err);
    struct ol_json *json = NULL;
    if (text != NULL)
        json = ol_json_load_text(text, n, url, err);
    free(text);
    return json;
}

/* Where the API speaks of a repository. The caller frees. */
static char *api_url(const struct ol_hub_source *s)
{
    return ol_xasprintf("%s/api/%s%s", s->endpoint,
                        ol_hub_is_dataset(s->repo) ? "" : "models/", s->repo);
}

/* The address of a tree's first page: of all of it, or of one folder, "" at the top. */
static char *tree_url(const struct ol_hub_source *s, const char *folder)
{
    char *api = api_url(s), *encoded = ol_hub_encode(folder != NULL ? folder : "", true);
    char *url = ol_xasprintf("%s/tree/%s%s%s?recursive=%s&expand=false", api,
                             s->listing->commit, *encoded != '\0' ? "/" : "", encoded,
                             folder == NULL ? "true" : "false");
    free(encoded);
    free(api);
    return url;
}

/* All pages of a tree; url is freed. A page after the first comes from the Hub too, or
 * the token would go elsewhere. */
static int list_tree(struct ol_hub_client *client, struct ol_http *http,
                     const struct ol_hub_source *s, const struct ol_hub_subject *about,
                     char *url, struct ol_error *err)
{
    enum { MOST_PAGES = 10000 };
    int status = 0;
    for (int page = 0; url != NULL && status == 0; page++) {
        char *next = NULL;
        struct ol_json *files = ask(client, http, about, url, &next, err);
        if (files == NULL || ol_json_kind(files) != OL_JSON_ARRAY)
            status = ol_fail(err, "%s: expected an array of files", url);
        if (status == 0)
            status = ol_hub_listing_add(s, files, err);
        if (status == 0 && next != NULL && !ol_hub_client_is_hub(client, next))
            status = ol_fail(err, "%s: the listing goes on at %s, which is not the Hub",
                             s->repo, next);
        if (status == 0 && page == MOST_PAGES)
            status = ol_fail(err, "%s: the listing has no end", s->repo);
        ol_json_free(files);
        free(url);
        url = next;
    }
    free(url);
    return status;
}

/* What a revision is: its commit, and with `blobs` its files. As ol_hub_listing_add. */
static int list_revision(struct ol_hub_client *client, struct ol_http *http,
                         const struct ol_hub_source *s,
                         const struct ol_hub_subject *about, bool blobs,
                         struct ol_error *err)
{
    char *encoded = ol_hub_encode(about->revision, true), *api = api_url(s), *next = NULL;
    char *url =
        ol_xasprintf("%s/revision/%s%s", api, encoded, blobs ? "?blobs=true" : "");
    struct ol_json *revision = ask(client, http, about, url, &next, err);
    int status = -1;
    if (revision != NULL && ol_json_kind(revision) != OL_JSON_OBJECT)
        ol_fail(err, "%s: expected an object with \"sha\" and \"siblings\"", url);
    else if (revision != NULL)
        status = ol_hub_listing_add(s, revision, err);
    ol_json_free(revision);
    free(next);
    free(url);
    free(api);
    free(encoded);
    return status;
}

int ol_hub_list(struct ol_hub_client *client, struct ol_http *http,
                const struct ol_hub_name *name, struct ol_hub_listing *listing,
                struct ol_error *err)
{
    const char *wanted = name->revision != NULL ? name->revision : "main";
    const struct ol_hub_source s = {name->repo, ol_hub_client_settings(client)->endpoint,
                                    listing};
    const struct ol_hub_subject about = {.repo = name->repo, .revision = wanted};
    const int status = list_revision(client, http, &s, &about, true, err);
    return status == 1 ? list_tree(client, http, &s, &about, tree_url(&s, NULL), err)
                       : status;
}

int ol_hub_list_beside(struct ol_hub_client *client, struct ol_http *http,
                       const struct ol_hub_name *name, const char *path,
                       struct ol_hub_listing *listing, struct ol_error *err)
{
    const char *wanted = name->revision != NULL ? name->revision : "main",
               *slash = strrchr(path, '/');
    const struct ol_hub_source s = {name->repo, ol_hub_client_settings(client)->endpoint,
                                    listing};
    struct ol_hub_subject about = {.repo = name->repo, .revision = wanted};
    if (ol_hub_is_commit(wanted))
        strcpy(listing->commit, wanted);
    else if (list_revision(client, http, &s, &about, false, err) < 0)
        return -1;
    /* The files that came with it had no sizes, or there were none. */
    about.path = path;
    char *folder = ol_xstrndup(path, slash != NULL ? (size_t)(slash - path) : 0);
    const int status = list_tree(client, http, &s, &about, tree_url(&s, folder), err);
    free(folder);
    return status;
}

void ol_hub_listing_clear(struct ol_hub_listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->entries[i].path);
    free(l->entries);
    *l = (struct ol_hub_listing){0};
}

const struct ol_hub_entry *ol_hub_listing_find(const struct ol_hub_listing *l,
                                               const char *path)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->entries[i].path, path) == 0)
            return &l->entries[i];
    return NULL;
}
