#include "common/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/infile.h"

/* The longest of what is put behind a name while its file is not whole. */
static const char *const longest_suffixes[] = {
    [OL_OUTPUT_STREAM] = ".XXXXXX",
    [OL_OUTPUT_FILE] = ".partial.state.new",
};

/* The directory of a path, to be freed. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL   ? ol_xstrdup(".")
           : slash == path ? ol_xstrdup("/")
                           : ol_xstrndup(path, (size_t)(slash - path));
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* The path that a chain of symbolic links ends in, be it there or not. */
static char *follow(const char *name, struct ol_error *err)
{
    enum { MOST_LINKS = 40 };
    char *path = ol_xstrdup(name), target[PATH_MAX];
    for (int i = 0; i < MOST_LINKS; i++) {
        const ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0)
            return path;
        target[n] = '\0';
        char *directory = directory_of(path), *next;
        next = target[0] == '/' ? ol_xstrdup(target)
                                : ol_xasprintf("%s/%s", directory, target);
        free(directory);
        free(path);
        path = next;
    }
    free(path);
    errno = ELOOP;
    ol_fail_errno(err, "%s: cannot be followed", name);
    return NULL;
}

static int check_standard_output(struct ol_error *err)
{
    struct stat file;
    const int flags = fcntl(STDOUT_FILENO, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
        return ol_fail(err, "standard output is closed, or not open for writing");
    const char *input = fstat(STDOUT_FILENO, &file) == 0 ? ol_infile_name(&file) : NULL;
    return input == NULL ? 0
                         : ol_fail(err, "standard output is also an input, %s", input);
}

/* Whether a file can be made in the directory of o->path. */
static int check_directory(const struct ol_output *o, enum ol_output_kind kind,
                           struct ol_error *err)
{
    char *directory = directory_of(o->path);
    const char *base = base_of(o->path);
    const size_t suffix = strlen(longest_suffixes[kind]);
    const long most = pathconf(directory, _PC_NAME_MAX);
    struct stat found;
    int status = 0;
    if (*base == '\0')
        status = ol_fail(err, "%s: names a directory, expected a file", o->name);
    else if (stat(directory, &found) != 0 ||
             faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0)
        status = ol_fail_errno(err, "%s: cannot create", o->name);
    else if (most > 0 && strlen(base) + suffix > (size_t)most)
        status = ol_fail(err, "%s: the name has %zu bytes, expected at most %zu", o->name,
                         strlen(base), (size_t)most - suffix);
    free(directory);
    return status;
}

static int check_existing(struct ol_output *o, const struct stat *file,
                          enum ol_output_kind kind, struct ol_error *err)
{
    const mode_t mode = file->st_mode;
    const bool stream = S_ISFIFO(mode) || S_ISCHR(mode);
    if (!S_ISREG(mode) && !(stream && kind == OL_OUTPUT_STREAM))
        return ol_fail(err, "%s: is %s, expected %s", o->name, ol_file_kind(mode),
                       kind == OL_OUTPUT_STREAM ? "a file, a FIFO or a character device"
                                                : "a regular file, or none");
    const char *input = ol_infile_name(file);
    if (input != NULL)
        return ol_fail(err, "%s: is also an input, %s: it would be replaced", o->name,
                       input);
    if (faccessat(AT_FDCWD, o->name, W_OK, AT_EACCESS) != 0)
        return ol_fail_errno(err, "%s: cannot be written", o->name);
    o->exists = S_ISREG(mode);
    o->mode = mode & 07777;
    o->owner = file->st_uid;
    o->group = file->st_gid;
    return 0;
}

int ol_output_find(const char *name, enum ol_output_kind kind, struct ol_output *o,
                   struct ol_error *err)
{
    struct stat file, found;
    *o = (struct ol_output){0};
    if (kind == OL_OUTPUT_STREAM && (name == NULL || strcmp(name, "-") == 0))
        return check_standard_output(err);
    o->name = name;
    if (*name == '\0')
        return ol_fail(err, "the name of the output is empty");
    const bool there = stat(name, &file) == 0;
    if (!there && errno != ENOENT)
        return ol_fail_errno(err, "%s: cannot create", name);
    if (there && check_existing(o, &file, kind, err) != 0)
        return -1;
    if (there && !S_ISREG(file.st_mode))
        return 0;
    o->path = follow(name, err);
    if (o->path == NULL)
        return -1;
    /* A descriptor's name (/dev/stdout) may lead to a file that has no name any more. */
    if (there && (stat(o->path, &found) != 0 || found.st_dev != file.st_dev ||
                  found.st_ino != file.st_ino)) {
        free(o->path);
        o->path = NULL;
        return kind == OL_OUTPUT_STREAM
                   ? 0
                   : ol_fail(err, "%s: its file has no name that could be replaced",
                             name);
    }
    return check_directory(o, kind, err);
}

void ol_output_clear(struct ol_output *o)
{
    free(o->path);
    *o = (struct ol_output){0};
}

char *ol_output_directory(const struct ol_output *o)
{
    return directory_of(o->path);
}

static bool same_directory(const char *a, const char *b)
{
    char *x = directory_of(a), *y = directory_of(b);
    struct stat p, q;
    const bool same = stat(x, &p) == 0 && stat(y, &q) == 0 && p.st_dev == q.st_dev &&
                      p.st_ino == q.st_ino;
    free(x);
    free(y);
    return same;
}

bool ol_output_same(const struct ol_output *a, const struct ol_output *b)
{
    if (a->name == NULL || b->name == NULL)
        return a->name == b->name;
    if (a->path == NULL || b->path == NULL)
        return a->path == b->path && strcmp(a->name, b->name) == 0;
    return strcmp(base_of(a->path), base_of(b->path)) == 0 &&
           same_directory(a->path, b->path);
}

int ol_output_check(const char *name, enum ol_output_kind kind, struct ol_error *err)
{
    struct ol_output output;
    const int status = ol_output_find(name, kind, &output, err);
    ol_output_clear(&output);
    return status;
}

int ol_output_keep_mode(const struct ol_output *o, int fd, struct ol_error *err)
{
    if (!o->exists)
        return 0;
    /* Only root may give files away; changing the owner takes bits off the mode. */
    if (fchown(fd, o->owner, o->group) != 0 && fchown(fd, (uid_t)-1, o->group) != 0)
        errno = 0;
    if (fchmod(fd, o->mode) != 0)
        return ol_fail_errno(err, "%s: its mode cannot be kept", o->name);
    return 0;
}
