/* Owns the list of this process's inputs. */
#include "common/infile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct input {
    dev_t device;
    ino_t inode;
    char *name;
};

static struct input *inputs;
static size_t n_inputs;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static const char *find(const struct stat *file)
{
    for (size_t i = 0; i < n_inputs; i++)
        if (inputs[i].device == file->st_dev && inputs[i].inode == file->st_ino)
            return inputs[i].name;
    return NULL;
}

static void remember(const struct stat *file, const char *name)
{
    if (!S_ISREG(file->st_mode))
        return;
    pthread_mutex_lock(&mutex);
    if (find(file) == NULL) {
        inputs = ol_xrealloc_array(inputs, n_inputs + 1, sizeof *inputs);
        inputs[n_inputs++] = (struct input){file->st_dev, file->st_ino, ol_xstrdup(name)};
    }
    pthread_mutex_unlock(&mutex);
}

const char *ol_infile_name(const struct stat *file)
{
    pthread_mutex_lock(&mutex);
    const char *name = find(file);
    pthread_mutex_unlock(&mutex);
    return name;
}

const char *ol_file_kind(mode_t mode)
{
    return S_ISREG(mode)    ? "a regular file"
           : S_ISDIR(mode)  ? "a directory"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISCHR(mode)  ? "a character device"
           : S_ISBLK(mode)  ? "a block device"
           : S_ISSOCK(mode) ? "a socket"
                            : "no file";
}

static int open_any(const char *path, enum ol_infile_kind kind, struct ol_error *err)
{
    /* Not blocking: a FIFO where a file is meant must be refused, not waited for. */
    const int flags = kind == OL_INFILE_REGULAR ? O_NONBLOCK : 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
    struct stat file;
    if (fd < 0 && errno == ENOENT && lstat(path, &file) == 0) {
        ol_fail(err,
                "%s: is a link to a file that is not there (a download that is not "
                "complete?)",
                path);
    } else if (fd < 0 || fstat(fd, &file) != 0) {
        ol_fail_errno(err, "%s: cannot open", path);
    } else if (kind == OL_INFILE_REGULAR && !S_ISREG(file.st_mode)) {
        ol_fail(err, "%s: is %s, expected a regular file", path,
                ol_file_kind(file.st_mode));
    } else if (S_ISDIR(file.st_mode)) {
        ol_fail(err, "%s: is a directory, expected a file", path);
    } else {
        remember(&file, path);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

int ol_infile_descriptor(const char *path, struct ol_error *err)
{
    return open_any(path, OL_INFILE_REGULAR, err);
}

void ol_infile_expect(const char *path)
{
    struct stat file;
    const bool from_stdin = strcmp(path, "-") == 0;
    if ((from_stdin ? fstat(STDIN_FILENO, &file) : stat(path, &file)) == 0)
        remember(&file, from_stdin ? "standard input" : path);
}

FILE *ol_infile_open(const char *path, enum ol_infile_kind kind, struct ol_error *err)
{
    if (kind == OL_INFILE_STREAM && strcmp(path, "-") == 0) {
        ol_infile_expect(path);
        return stdin;
    }
    const int fd = open_any(path, kind, err);
    FILE *file = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (fd >= 0 && file == NULL) {
        ol_fail_errno(err, "%s: cannot open", path);
        close(fd);
    }
    return file;
}

void ol_infile_close(FILE *file)
{
    if (file != NULL && file != stdin)
        fclose(file);
}
