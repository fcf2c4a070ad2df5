#include "extract/text/kept.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/atomic_file.h"
#include "common/sha256.h"
#include "extract/hub/cache.h"

static const char first[] = "first-", all_of_it[] = "all-", ending[] = ".jsonl";

char *ol_kept_folder(const char *folder, const char *commit, const char *path,
                     const char *column)
{
    char *encoded = ol_hub_encode(column, true);
    char *kept = ol_xasprintf("%s/ol-texts/%s/%s#%s", folder, commit, path, encoded);
    free(encoded);
    return kept;
}

/* ---- reading ---- */

/* A number at *at, and behind it `mark`: *at is behind both. -1: there is none. */
static int64_t take_number(const char **at, char mark)
{
    const size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > 18 || (*at)[digits] != mark)
        return -1;
    const int64_t n = strtoll(*at, NULL, 10);
    *at += digits + 1;
    return n;
}

/* What a name says, but for the path. */
static bool parse_name(const char *name, char sha256[OL_SHA256_HEX_BYTES],
                       struct ol_kept *kept)
{
    enum { DIGITS = OL_SHA256_HEX_BYTES - 1 };
    *kept = (struct ol_kept){.all = strncmp(name, all_of_it, strlen(all_of_it)) == 0,
                             .next = {-1, 0}};
    if (!kept->all && strncmp(name, first, strlen(first)) != 0)
        return false;
    const char *at = name + strlen(kept->all ? all_of_it : first);
    kept->n = take_number(&at, '.');
    if (kept->n < 0 || strlen(at) < DIGITS)
        return false;
    memcpy(sha256, at, DIGITS);
    sha256[DIGITS] = '\0';
    at += DIGITS;
    if (!kept->all && *at == '.' && at[1] >= '0' && at[1] <= '9') {
        at++;
        kept->next.row = take_number(&at, '-');
        kept->next.offset = take_number(&at, '.');
        if (kept->next.row < 0 || kept->next.offset < 0)
            return false;
        at--;
    }
    return ol_hub_is_digest(sha256, DIGITS) && strcmp(at, ending) == 0;
}

static bool has_sha256(const char *path, const char *sha256)
{
    enum { BLOCK = 1 << 16 };
    char found[OL_SHA256_HEX_BYTES], *block = ol_xmalloc(BLOCK);
    struct ol_sha256 *sha = ol_sha256_new();
    FILE *file = fopen(path, "rbe");
    size_t n = 0;
    while (file != NULL && (n = fread(block, 1, BLOCK, file)) > 0)
        ol_sha256_update(sha, block, n);
    const bool read = file != NULL && !ferror(file);
    if (file != NULL)
        fclose(file);
    ol_sha256_finish(sha, found);
    free(block);
    return read && strcmp(found, sha256) == 0;
}

bool ol_kept_find(const char *folder, struct ol_kept *kept)
{
    DIR *directory = opendir(folder);
    *kept = (struct ol_kept){.n = -1};
    for (struct dirent *entry;
         directory != NULL && (entry = readdir(directory)) != NULL;) {
        char sha256[OL_SHA256_HEX_BYTES];
        struct ol_kept found;
        if (!parse_name(entry->d_name, sha256, &found) || found.n < kept->n ||
            (found.n == kept->n && kept->all))
            continue;
        char *path = ol_xasprintf("%s/%s", folder, entry->d_name);
        if (has_sha256(path, sha256)) {
            free(kept->path);
            *kept = found;
            kept->path = path;
            continue;
        }
        ol_warn("%s: is damaged (its SHA-256 is not that of its name) and not used: "
                "remove it",
                path);
        free(path);
    }
    if (directory != NULL)
        closedir(directory);
    return kept->path != NULL;
}

void ol_kept_clear(struct ol_kept *kept)
{
    free(kept->path);
    *kept = (struct ol_kept){0};
}

/* ---- writing ---- */

struct ol_kept_writer {
    char *folder, *path; /* of the file without its name */
    struct ol_atomic_file *file;
    struct ol_sha256 *sha;
    int64_t n;
};

static int put(struct ol_kept_writer *w, const char *text, size_t bytes,
               struct ol_error *err)
{
    ol_sha256_update(w->sha, text, bytes);
    return fwrite(text, 1, bytes, ol_atomic_stream(w->file)) == bytes
               ? 0
               : ol_fail_errno(err, "%s: cannot be written", w->path);
}

static int copy(struct ol_kept_writer *w, const struct ol_kept *before,
                struct ol_error *err)
{
    enum { BLOCK = 1 << 16 };
    FILE *file = fopen(before->path, "rbe");
    if (file == NULL)
        return ol_fail_errno(err, "%s: cannot be opened", before->path);
    char *block = ol_xmalloc(BLOCK);
    int status = 0;
    for (size_t n; status == 0 && (n = fread(block, 1, BLOCK, file)) > 0;)
        status = put(w, block, n, err);
    if (status == 0 && ferror(file))
        status = ol_fail_errno(err, "%s: cannot be read", before->path);
    fclose(file);
    free(block);
    w->n = before->n;
    return status;
}

struct ol_kept_writer *ol_kept_begin(const char *folder, const struct ol_kept *before,
                                     struct ol_error *err)
{
    struct ol_kept_writer *w = ol_xcalloc(1, sizeof *w);
    w->folder = ol_xstrdup(folder);
    w->path = ol_xasprintf("%s/unnamed-%ld%s", folder, (long)getpid(), ending);
    w->sha = ol_sha256_new();
    if (ol_hub_make_parents(w->path, err) == 0)
        w->file = ol_atomic_open(w->path, err);
    if (w->file != NULL && (before == NULL || copy(w, before, err) == 0))
        return w;
    ol_kept_discard(w);
    return NULL;
}

int ol_kept_add(struct ol_kept_writer *w, const char *text, size_t bytes,
                struct ol_error *err)
{
    static const char before[] = "{\"text\": \"", behind[] = "\"}\n";
    int status = put(w, before, sizeof before - 1, err);
    const char *end = text + bytes;
    while (status == 0 && text < end) {
        const char *at = text;
        while (at < end && (unsigned char)*at >= ' ' && *at != '"' && *at != '\\')
            at++;
        status = put(w, text, (size_t)(at - text), err);
        char escape[8];
        if (at < end && status == 0)
            status = put(w, escape,
                         (size_t)snprintf(escape, sizeof escape, "\\u%04x",
                                          (unsigned)(unsigned char)*at),
                         err);
        text = at + 1;
    }
    w->n++;
    return status == 0 ? put(w, behind, sizeof behind - 1, err) : -1;
}

/* Shorter ones are a part of the new one. */
static void remove_shorter(const char *folder, int64_t n)
{
    DIR *directory = opendir(folder);
    for (struct dirent *entry;
         directory != NULL && (entry = readdir(directory)) != NULL;) {
        char sha256[OL_SHA256_HEX_BYTES];
        struct ol_kept found;
        if (parse_name(entry->d_name, sha256, &found) && found.n < n && !found.all)
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    if (directory != NULL)
        closedir(directory);
}

int ol_kept_end(struct ol_kept_writer *w, const struct ol_parquet_place *next,
                char **path, struct ol_error *err)
{
    char sha256[OL_SHA256_HEX_BYTES], place[64] = "";
    if (next != NULL)
        snprintf(place, sizeof place, ".%" PRId64 "-%" PRId64, next->row, next->offset);
    struct ol_atomic_file *file = w->file;
    ol_sha256_finish(w->sha, sha256);
    w->sha = NULL;
    w->file = NULL;
    int status = ol_atomic_commit(file, err);
    char *name =
        ol_xasprintf("%s/%s%" PRId64 ".%s%s%s", w->folder,
                     next == NULL ? all_of_it : first, w->n, sha256, place, ending);
    if (status == 0 && rename(w->path, name) != 0) {
        status = ol_fail_errno(err, "%s: cannot be renamed to %s", w->path, name);
        unlink(w->path);
    }
    if (status == 0) {
        remove_shorter(w->folder, w->n);
        *path = name;
        name = NULL;
    }
    free(name);
    ol_kept_discard(w);
    return status;
}

void ol_kept_discard(struct ol_kept_writer *w)
{
    char ignored[OL_SHA256_HEX_BYTES];
    if (w == NULL)
        return;
    ol_atomic_discard(w->file);
    if (w->sha != NULL)
        ol_sha256_finish(w->sha, ignored);
    free(w->folder);
    free(w->path);
    free(w);
}
