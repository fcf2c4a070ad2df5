/* A file without a name while it is made, where the file system and /proc give one: what
 * kills the process leaves nothing of it. Elsewhere it has a name of its own, which goes
 * with the process when that is told to end. */
#include "common/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/output.h"
#include "common/process.h"

struct ol_atomic_file {
    FILE *stream;
    struct ol_output output;
    bool beside;     /* what is written is no file of the output's name yet: it has */
    char *temporary; /* this name, NULL: none */
};

enum { DESCRIPTOR_BYTES = 32 };

/* A file of a name that nobody else has, known to those who remove it. */
static int make_temporary(struct ol_atomic_file *file)
{
    sigset_t before;
    file->temporary = ol_xasprintf("%s.XXXXXX", file->output.path);
    /* Or a signal could come before the name is known. */
    ol_process_block_signals(&before);
    const int fd = mkstemp(file->temporary);
    const int code = errno;
    if (fd >= 0) {
        ol_process_guard(file->temporary);
    } else {
        free(file->temporary);
        file->temporary = NULL;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return fd;
}

/* A name that leads to an open file, and can be linked where there is /proc. */
static void name_descriptor(int fd, char name[DESCRIPTOR_BYTES])
{
    snprintf(name, DESCRIPTOR_BYTES, "/proc/self/fd/%d", fd);
}

/* A file without a name, in the directory of the output; -1: there is none to be had. */
static int open_nameless(const struct ol_atomic_file *file)
{
    char name[DESCRIPTOR_BYTES], *directory = ol_output_directory(&file->output);
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    free(directory);
    if (fd < 0)
        return -1;
    name_descriptor(fd, name);
    if (access(name, F_OK) == 0)
        return fd;
    close(fd);
    return -1;
}

static int open_temporary(struct ol_atomic_file *file, struct ol_error *err)
{
    const mode_t mask = umask(0);
    int fd = open_nameless(file);
    const bool nameless = fd >= 0;
    umask(mask);
    if (!nameless)
        fd = make_temporary(file);
    file->beside = fd >= 0;
    if (fd < 0 || fchmod(fd, 0666 & ~mask) != 0)
        ol_fail_errno(err, "%s: cannot create", file->output.name);
    else if (ol_output_keep_mode(&file->output, fd, err) == 0)
        file->stream = fdopen(fd, "wb");
    if (file->stream == NULL && fd >= 0)
        close(fd);
    return file->stream != NULL
               ? 0
               : ol_fail_errno(err, "%s: cannot create", file->output.name);
}

struct ol_atomic_file *ol_atomic_open(const char *path, struct ol_error *err)
{
    struct ol_atomic_file *file = ol_xcalloc(1, sizeof *file);
    if (ol_output_find(path, OL_OUTPUT_STREAM, &file->output, err) == 0) {
        if (file->output.name == NULL)
            file->stream = stdout;
        else if (file->output.path != NULL)
            open_temporary(file, err);
        else if ((file->stream = fopen(path, "wb")) == NULL)
            ol_fail_errno(err, "%s: cannot be opened for writing", path);
    }
    if (file->stream != NULL)
        return file;
    ol_atomic_discard(file);
    return NULL;
}

FILE *ol_atomic_stream(struct ol_atomic_file *file)
{
    return file->stream;
}

/* Give a nameless file a name that nobody else has. */
static int link_temporary(struct ol_atomic_file *file, const char *descriptor)
{
    enum { MOST_TRIES = 1000, STRIDE = 0x9e37, MASK = 0xffffff };
    for (unsigned i = 0; i < MOST_TRIES; i++) {
        char *name = ol_xasprintf("%s.%06x", file->output.path,
                                  ((unsigned)getpid() + i * STRIDE) & MASK);
        if (linkat(AT_FDCWD, descriptor, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0) {
            ol_process_guard(name);
            file->temporary = name;
            return 0;
        }
        const int code = errno;
        free(name);
        errno = code;
        if (code != EEXIST)
            break;
    }
    return -1;
}

/* Under the output's name, from one moment to the next. A link replaces nothing: over a
 * file that is there goes a name of its own, which a kill between these two calls leaves;
 * what it leads to is whole. */
static int put_into_place(struct ol_atomic_file *file)
{
    char descriptor[DESCRIPTOR_BYTES];
    sigset_t before;
    int status = 0;
    if (file->temporary != NULL)
        return rename(file->temporary, file->output.path);
    name_descriptor(fileno(file->stream), descriptor);
    if (linkat(AT_FDCWD, descriptor, AT_FDCWD, file->output.path, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != EEXIST)
        return -1;
    ol_process_block_signals(&before);
    status = link_temporary(file, descriptor);
    if (status == 0)
        status = rename(file->temporary, file->output.path);
    const int code = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return status;
}

int ol_atomic_commit(struct ol_atomic_file *file, struct ol_error *err)
{
    const char *name = file->output.name != NULL ? file->output.name : "standard output";
    bool good = !ferror(file->stream);
    if (!good) {
        /* The reason of an earlier failure is gone: let it fail again. */
        errno = EIO;
        fputc('\n', file->stream);
        fflush(file->stream);
    }
    good = good && fflush(file->stream) == 0;
    if (good && file->beside)
        good = fsync(fileno(file->stream)) == 0 && put_into_place(file) == 0;
    const int status = good ? 0 : ol_fail_errno(err, "%s: cannot be written", name);
    if (good && file->temporary != NULL) {
        ol_process_release(file->temporary);
        free(file->temporary);
        file->temporary = NULL;
    }
    ol_atomic_discard(file);
    return status;
}

void ol_atomic_discard(struct ol_atomic_file *file)
{
    if (file == NULL)
        return;
    if (file->stream != NULL && file->stream != stdout)
        fclose(file->stream);
    if (file->temporary != NULL) {
        unlink(file->temporary);
        ol_process_release(file->temporary);
    }
    free(file->temporary);
    ol_output_clear(&file->output);
    free(file);
}
