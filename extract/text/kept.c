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

/* What a name says: the number of documents, or -1. */
static int64_t parse_name(const char *name, char sha256[OL_SHA256_HEX_BYTES], bool *all)
{
    enum { DIGITS = OL_SHA256_HEX_BYTES - 1 };
    *all = strncmp(name, all_of_it, strlen(all_of_it)) == 0;
    if (!*all && strncmp(name, first, strlen(first)) != 0)
        return -1;
    const char *number = name + strlen(*all ? all_of_it : first);
    const size_t digits = strspn(number, "0123456789");
    const char *hash = number + digits + 1;
    if (digits == 0 || digits > 18 || number[digits] != '.' ||
        strlen(hash) != DIGITS + strlen(ending) || strcmp(hash + DIGITS, ending) != 0)
        return -1;
    memcpy(sha256, hash, DIGITS);
    sha256[DIGITS] = '\0';
    return ol_hub_is_digest(sha256, DIGITS) ? strtoll(number, NULL, 10) : -1;
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
        bool all;
        const int64_t n = parse_name(entry->d_name, sha256, &all);
        if (n < 0 || n < kept->n || (n == kept->n && kept->all))
            continue;
        char *path = ol_xasprintf("%s/%s", folder, entry->d_name);
        if (has_sha256(path, sha256)) {
            free(kept->path);
            *kept = (struct ol_kept){path, n, all};
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

struct ol_kept_writer *ol_kept_begin(const char *folder, struct ol_error *err)
{
    struct ol_kept_writer *w = ol_xcalloc(1, sizeof *w);
    w->folder = ol_xstrdup(folder);
    w->path = ol_xasprintf("%s/unnamed-%ld%s", folder, (long)getpid(), ending);
    w->sha = ol_sha256_new();
    if (ol_hub_make_parents(w->path, err) == 0)
        w->file = ol_atomic_open(w->path, err);
    if (w->file != NULL)
        return w;
    ol_kept_discard(w);
    return NULL;
}

static int put(struct ol_kept_writer *w, const char *text, size_t bytes,
               struct ol_error *err)
{
    ol_sha256_update(w->sha, text, bytes);
    return fwrite(text, 1, bytes, ol_atomic_stream(w->file)) == bytes
               ? 0
               : ol_fail_errno(err, "%s: cannot be written", w->path);
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
        bool all;
        const int64_t m = parse_name(entry->d_name, sha256, &all);
        if (m >= 0 && m < n && !all)
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    if (directory != NULL)
        closedir(directory);
}

int ol_kept_end(struct ol_kept_writer *w, bool all, char **path, struct ol_error *err)
{
    char sha256[OL_SHA256_HEX_BYTES];
    struct ol_atomic_file *file = w->file;
    ol_sha256_finish(w->sha, sha256);
    w->sha = NULL;
    w->file = NULL;
    int status = ol_atomic_commit(file, err);
    char *name = ol_xasprintf("%s/%s%" PRId64 ".%s%s", w->folder, all ? all_of_it : first,
                              w->n, sha256, ending);
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
