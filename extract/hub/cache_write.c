#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "extract/hub/cache.h"

/* Every folder of a path that is missing. */
static int make_folders(const char *path, struct ol_error *err)
{
    char *copy = ol_xstrdup(path);
    int status = 0;
    for (char *at = copy + 1; status == 0; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        const char end = *at;
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST && errno != EISDIR)
            status = ol_fail_errno(err, "%s: cannot be made", copy);
        *at = end;
        if (end == '\0')
            break;
    }
    free(copy);
    return status;
}

int ol_hub_make_parents(const char *path, struct ol_error *err)
{
    char *folder = ol_xstrndup(path, (size_t)(strrchr(path, '/') - path));
    const int status = make_folders(folder, err);
    free(folder);
    return status;
}

/* So that backups pass it over (https://bford.info/cachedir/). */
static void tag_cache(const char *cache)
{
    static const char text[] =
        "Signature: 8a477f597d28d172789f06886806bc55\n"
        "# This file is a cache directory tag: what is here can be fetched again.\n"
        "# For information about cache directory tags, see "
        "https://bford.info/cachedir/\n";
    char *path = ol_xasprintf("%s/CACHEDIR.TAG", cache);
    struct ol_error ignored = {0};
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
        if (ol_file_write_at(fd, path, text, sizeof text - 1, 0, &ignored) != 0)
            unlink(path);
        close(fd);
    }
    free(path);
}

int ol_hub_store_open(struct ol_hub_store *s, const char *cache, const char *repo,
                      const char *commit, struct ol_error *err)
{
    s->folder = ol_hub_cache_model(cache, repo);
    s->locks = ol_xasprintf("%s/.locks%s", cache, strrchr(s->folder, '/'));
    s->snapshot = ol_xasprintf("%s/snapshots/%s", s->folder, commit);
    char *blobs = ol_xasprintf("%s/blobs", s->folder);
    const int status =
        make_folders(blobs, err) == 0 && make_folders(s->snapshot, err) == 0
            ? make_folders(s->locks, err)
            : -1;
    free(blobs);
    if (status == 0)
        tag_cache(cache);
    return status;
}

void ol_hub_store_clear(struct ol_hub_store *s)
{
    free(s->folder);
    free(s->locks);
    free(s->snapshot);
    *s = (struct ol_hub_store){0};
}

char *ol_hub_store_blob(const struct ol_hub_store *s, const char *etag)
{
    return ol_xasprintf("%s/blobs/%s", s->folder, etag);
}

/* A file that is there has been whole, and checked, since it has its name. */
static int look(const char *file, int64_t size, struct ol_error *err)
{
    struct stat status;
    if (stat(file, &status) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : ol_fail_errno(err, "%s: cannot be looked at", file);
    if (S_ISREG(status.st_mode) && status.st_size == size)
        return 1;
    return ol_fail(
        err,
        "%s: has %lld bytes, the Hub's listing says %lld: it is damaged: remove "
        "it, and it is fetched again",
        file, (long long)status.st_size, (long long)size);
}

int ol_hub_store_look(const struct ol_hub_store *s, const struct ol_hub_entry *entry,
                      struct ol_error *err)
{
    char *blob = ol_hub_store_blob(s, entry->etag);
    const int there = look(blob, entry->size, err);
    free(blob);
    return there;
}

int ol_hub_store_has(const struct ol_hub_store *s, const struct ol_hub_entry *entry,
                     struct ol_error *err)
{
    char *file = ol_xasprintf("%s/%s", s->snapshot, entry->path);
    const int there = look(file, entry->size, err);
    free(file);
    return there;
}

/* ---- locks ---- */

int ol_hub_store_lock(const struct ol_hub_store *s, const char *etag,
                      struct ol_error *err)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    char *path = ol_xasprintf("%s/%s.lock", s->locks, etag);
    int fd = ol_file_open(path, O_RDWR | O_CREAT, err);
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno == EWOULDBLOCK) {
            close(fd);
            fd = -1;
        } else if (!atomic_flag_test_and_set(&said)) {
            ol_warn("%s: cannot be locked (%s): two processes may fetch the same file",
                    path, strerror(errno));
        }
        break;
    }
    free(path);
    return fd;
}

/* ---- what others left ---- */

/* The digest of a blob on its way, by its file's name; false: it is something else. */
static bool is_unfinished(const char *name, char etag[OL_HUB_ETAG_BYTES])
{
    static const char end[] = ".ol.incomplete";
    const size_t n = strlen(name), tail = sizeof end - 1;
    if (n <= tail || n - tail >= OL_HUB_ETAG_BYTES || strcmp(name + n - tail, end) != 0)
        return false;
    memcpy(etag, name, n - tail);
    etag[n - tail] = '\0';
    return true;
}

int64_t ol_hub_store_unfinished(const struct ol_hub_store *s)
{
    enum { BLOCK_BYTES = 512 }; /* of st_blocks, wherever it is */
    char *path = ol_xasprintf("%s/blobs", s->folder), etag[OL_HUB_ETAG_BYTES];
    DIR *folder = opendir(path);
    int64_t bytes = 0;
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        struct ol_error ignored = {0};
        struct stat status;
        if (!is_unfinished(entry->d_name, etag))
            continue;
        const int lock = ol_hub_store_lock(s, etag, &ignored);
        if (lock >= 0 && fstatat(dirfd(folder), entry->d_name, &status, 0) == 0)
            bytes += (int64_t)status.st_blocks * BLOCK_BYTES;
        if (lock >= 0)
            close(lock);
    }
    if (folder != NULL)
        closedir(folder);
    free(path);
    return bytes;
}

/* ---- snapshots ---- */

/* "../../../blobs/ETAG" from a file of the snapshot: one "../" more for each folder. */
static char *link_target(const char *etag, const char *path)
{
    char *target = ol_xasprintf("../../blobs/%s", etag);
    for (const char *c = path; (c = strchr(c, '/')) != NULL; c++) {
        char *longer = ol_xasprintf("../%s", target);
        free(target);
        target = longer;
    }
    return target;
}

/* A copy under a name of its own, renamed when it is whole. */
static int copy_file(const char *from, const char *to, struct ol_error *err)
{
    enum { BLOCK = 1 << 20 };
    char *temporary = ol_xasprintf("%s.%ld.ol.incomplete", to, (long)getpid());
    char *block = ol_xmalloc(BLOCK);
    int status = -1, target = -1;
    const int source = ol_file_open(from, O_RDONLY, err);
    if (source >= 0)
        target = ol_file_open(temporary, O_WRONLY | O_CREAT | O_TRUNC, err);
    if (target >= 0) {
        ssize_t n;
        uint64_t at = 0;
        status = 0;
        while (status == 0 && (n = read(source, block, BLOCK)) != 0) {
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                status = ol_fail_errno(err, "%s: cannot be read", from);
            else
                status = ol_file_write_at(target, temporary, block, (size_t)n, at, err);
            at += n > 0 ? (uint64_t)n : 0;
        }
        if (status == 0 && (fsync(target) != 0 || rename(temporary, to) != 0))
            status = ol_fail_errno(err, "%s: cannot be written", to);
        if (status != 0)
            unlink(temporary);
        close(target);
    }
    if (source >= 0)
        close(source);
    free(block);
    free(temporary);
    return status;
}

/* Whether a name leads to the blob already. */
static bool leads_to(const char *file, const char *blob)
{
    struct stat x, y;
    return stat(file, &x) == 0 && stat(blob, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* Where there are no symbolic links: another name, or a copy of what is small. What is
 * large changes its name, as with huggingface_hub, for there may be no room for two. */
static int do_without_link(const char *blob, const char *file, struct ol_error *err)
{
    enum { SMALL_BYTES = 1 << 20 };
    struct stat status;
    if (link(blob, file) == 0)
        return 0;
    if (stat(blob, &status) == 0 && status.st_size <= SMALL_BYTES)
        return copy_file(blob, file, err);
    return rename(blob, file) == 0
               ? 0
               : ol_fail_errno(err, "%s: cannot be renamed to %s", blob, file);
}

int ol_hub_store_link(const struct ol_hub_store *s, const char *etag, const char *path,
                      struct ol_error *err)
{
    char *file = ol_xasprintf("%s/%s", s->snapshot, path),
         *blob = ol_hub_store_blob(s, etag), *target = link_target(etag, path);
    int status = ol_hub_make_parents(file, err);
    /* A name that is there and leads elsewhere, or nowhere, is of an older layout. */
    for (int i = 0; status == 0 && i < 2 && !leads_to(file, blob); i++) {
        if (symlink(target, file) == 0)
            break;
        if (errno == EEXIST && unlink(file) == 0)
            continue;
        if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS)
            status = do_without_link(blob, file, err);
        else
            status = ol_fail_errno(err, "%s: cannot be linked to %s", file, blob);
        break;
    }
    free(target);
    free(blob);
    free(file);
    return status;
}

void ol_hub_store_note_absent(const struct ol_hub_store *s, const char *path)
{
    struct ol_error ignored = {0};
    char *file = ol_xasprintf("%s/.no_exist/%s/%s", s->folder,
                              strrchr(s->snapshot, '/') + 1, path);
    if (ol_hub_make_parents(file, &ignored) == 0) {
        const int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd >= 0)
            close(fd);
    }
    free(file);
}

/* ---- references ---- */

static bool says(const char *path, const char *commit)
{
    char text[OL_HUB_COMMIT_BYTES + 8];
    FILE *file = fopen(path, "rbe");
    const size_t n = file != NULL ? fread(text, 1, sizeof text, file) : 0;
    if (file != NULL)
        fclose(file);
    return n == OL_HUB_COMMIT_DIGITS && memcmp(text, commit, n) == 0;
}

int ol_hub_store_set_ref(const struct ol_hub_store *s, const char *revision,
                         const char *commit, struct ol_error *err)
{
    char *ref = ol_xasprintf("%s/refs/%s", s->folder, revision),
         *temporary = ol_xasprintf("%s.%08lx.tmp", ref, (unsigned long)getpid());
    int status = 0, fd = -1;
    if (strcmp(revision, commit) == 0 || says(ref, commit))
        goto out;
    status = ol_hub_make_parents(ref, err);
    if (status == 0)
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        const bool read_only = errno == EROFS || errno == EACCES;
        if (status == 0 && read_only)
            ol_note("%s: cannot be written (%s): the snapshot is used all the same", ref,
                    strerror(errno));
        else
            status = ol_fail_errno(err, "%s: cannot be written", ref);
        goto out;
    }
    /* Without a newline: huggingface_hub takes it as it is. */
    status = ol_file_write_at(fd, temporary, commit, OL_HUB_COMMIT_DIGITS, 0, err);
    close(fd);
    if (status == 0 && rename(temporary, ref) != 0)
        status = ol_fail_errno(err, "%s: cannot be written", ref);
    if (status != 0)
        unlink(temporary);
out:
    free(temporary);
    free(ref);
    return status;
}
