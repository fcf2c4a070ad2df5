#include "extract/hub/cache.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/infile.h"
#include "extract/hub/hub.h"

static const char folder_prefix[] = "models--";

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static int read_commit(const char *path, char commit[OL_HUB_COMMIT_BYTES],
                       struct ol_error *err)
{
    char text[OL_HUB_COMMIT_DIGITS + 8];
    FILE *file = ol_infile_open(path, OL_INFILE_REGULAR, err);
    if (file == NULL)
        return -1;
    size_t n = fread(text, 1, sizeof text - 1, file);
    ol_infile_close(file);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL && text[n - 1] != '\0')
        n--;
    text[n] = '\0';
    if (strlen(text) != n || !ol_hub_is_commit(text))
        return ol_fail(err, "%s: expected a commit (%d hexadecimal digits)", path,
                       OL_HUB_COMMIT_DIGITS);
    memcpy(commit, text, OL_HUB_COMMIT_BYTES);
    return 0;
}

char *ol_hub_cache_model(const char *cache, const char *repo)
{
    const char *prefix = folder_prefix;
    if (ol_hub_is_dataset(repo)) {
        prefix = "datasets--";
        repo = strchr(repo, '/') + 1;
    }
    const char *slash = strchr(repo, '/');
    if (slash == NULL)
        return ol_xasprintf("%s/%s%s", cache, prefix, repo);
    return ol_xasprintf("%s/%s%.*s--%s", cache, prefix, (int)(slash - repo), repo,
                        slash + 1);
}

/* The only commit below snapshots/: 0 with it; 1 when there is none, or more than one. */
static int only_snapshot(const char *folder, char commit[OL_HUB_COMMIT_BYTES])
{
    int n = 0;
    char *path = ol_xasprintf("%s/snapshots", folder);
    DIR *directory = opendir(path);
    free(path);
    if (directory == NULL)
        return 1;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (ol_hub_is_commit(entry->d_name)) {
            memcpy(commit, entry->d_name, OL_HUB_COMMIT_BYTES);
            n++;
        }
    closedir(directory);
    return n == 1 ? 0 : 1;
}

/* Names below a folder of references, and in it; appended to *names with commas. */
static void list_refs(const char *path, const char *prefix, char **names)
{
    enum { MOST = 400 };
    DIR *directory = opendir(path);
    if (directory == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.' || strlen(*names) > MOST)
            continue;
        char *inner = ol_xasprintf("%s/%s", path, entry->d_name),
             *name = ol_xasprintf("%s%s", prefix, entry->d_name);
        if (is_directory(inner)) {
            char *below = ol_xasprintf("%s/", name);
            list_refs(inner, below, names);
            free(below);
        } else {
            char *longer =
                ol_xasprintf("%s%s%s", *names, **names != '\0' ? ", " : "", name);
            free(*names);
            *names = longer;
        }
        free(name);
        free(inner);
    }
    closedir(directory);
}

/* Which revisions the cache knows by name, and which commits it has. */
static int refuse_revision(const char *folder, const char *ref, struct ol_error *err)
{
    char *refs = ol_xasprintf("%s/refs", folder), *names = ol_xstrdup(""),
         *snapshots = ol_xasprintf("%s/snapshots", folder), *commits = ol_xstrdup("");
    list_refs(refs, "", &names);
    DIR *directory = opendir(snapshots);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        if (ol_hub_is_commit(entry->d_name)) {
            char *longer = ol_xasprintf("%s%s%s", commits, *commits != '\0' ? ", " : "",
                                        entry->d_name);
            free(commits);
            commits = longer;
        }
    if (directory != NULL)
        closedir(directory);
    ol_fail(err, "%s: is not there; the cache has the revisions %s and the commits %s",
            ref, *names != '\0' ? names : "(none)",
            *commits != '\0' ? commits : "(none)");
    free(commits);
    free(snapshots);
    free(names);
    free(refs);
    return -1;
}

int ol_hub_cache_commit(const char *folder, const char *revision,
                        char commit[OL_HUB_COMMIT_BYTES], struct ol_error *err)
{
    if (revision != NULL && ol_hub_is_commit(revision)) {
        memcpy(commit, revision, OL_HUB_COMMIT_BYTES);
        return 0;
    }
    struct stat status;
    int result = 0;
    char *ref = ol_xasprintf("%s/refs/%s", folder, revision != NULL ? revision : "main");
    const bool absent = stat(ref, &status) != 0 && errno == ENOENT;
    if (absent && revision != NULL)
        result = refuse_revision(folder, ref, err);
    else if (!absent)
        result = read_commit(ref, commit, err);
    else if (only_snapshot(folder, commit) != 0)
        result = ol_fail(err,
                         "%s: is not there, and snapshots/ does not hold exactly one "
                         "commit to take in its place: name one, org/name@COMMIT",
                         ref);
    free(ref);
    return result;
}

char *ol_hub_cache_find(const char *folder, const struct ol_hub_name *name,
                        struct ol_error *err)
{
    char commit[OL_HUB_COMMIT_BYTES];
    if (ol_hub_cache_commit(folder, name->revision, commit, err) != 0)
        return NULL;
    char *snapshot = ol_xasprintf("%s/snapshots/%s", folder, commit);
    if (is_directory(snapshot))
        return snapshot;
    ol_fail(err, "%s: %s/refs names a snapshot that is not there: looked for %s",
            name->repo, folder, snapshot);
    free(snapshot);
    return NULL;
}

char *ol_hub_name(const char *directory)
{
    char *path = realpath(directory, NULL), *name = NULL;
    char *commit = path != NULL ? strrchr(path, '/') : NULL;
    if (commit == NULL || !ol_hub_is_commit(commit + 1))
        goto out;
    *commit = '\0';
    char *snapshots = strrchr(path, '/');
    if (snapshots == NULL || strcmp(snapshots, "/snapshots") != 0)
        goto out;
    *snapshots = '\0';
    const char *folder = strrchr(path, '/');
    if (folder == NULL ||
        strncmp(folder + 1, folder_prefix, sizeof folder_prefix - 1) != 0)
        goto out;
    folder += sizeof folder_prefix;
    const char *middle = strstr(folder, "--");
    name = middle == NULL
               ? ol_xstrdup(folder)
               : ol_xasprintf("%.*s/%s", (int)(middle - folder), folder, middle + 2);
out:
    free(path);
    return name;
}

/* .../blobs/ETAG; the shared store of huggingface_hub 2 is behind it, where names say
 * something else. */
static bool is_blob(const char *path)
{
    static const char blobs[] = "/blobs";
    const char *name = strrchr(path, '/');
    return name != NULL && (size_t)(name - path) >= sizeof blobs - 1 &&
           strncmp(name - (sizeof blobs - 1), blobs, sizeof blobs - 1) == 0 &&
           (ol_hub_is_digest(name + 1, OL_HUB_ETAG_BYTES - 1) ||
            ol_hub_is_digest(name + 1, OL_HUB_COMMIT_DIGITS));
}

/* Where a link leads, to be freed; NULL: it is none. */
static char *follow(const char *path)
{
    char target[PATH_MAX];
    const ssize_t n = readlink(path, target, sizeof target - 1);
    const char *slash = strrchr(path, '/');
    if (n <= 0)
        return NULL;
    target[n] = '\0';
    return target[0] == '/' || slash == NULL
               ? ol_xstrdup(target)
               : ol_xasprintf("%.*s/%s", (int)(slash - path), path, target);
}

char *ol_hub_blob_digest(const char *path)
{
    enum { MOST_LINKS = 16 };
    char *at = ol_xstrdup(path), *digest = NULL;
    for (int i = 0; i < MOST_LINKS && at != NULL && digest == NULL; i++) {
        if (is_blob(at)) {
            digest = ol_xstrdup(strrchr(at, '/') + 1);
        } else {
            char *next = follow(at);
            free(at);
            at = next;
        }
    }
    free(at);
    return digest;
}
