#include "common/atomic_file.h"

#include <errno.h>
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
    char *temporary; /* NULL: written directly */
};

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

static int open_temporary(struct ol_atomic_file *file, struct ol_error *err)
{
    const int fd = make_temporary(file);
    const mode_t mask = umask(0);
    umask(mask);
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
    if (good && file->temporary != NULL)
        good = fsync(fileno(file->stream)) == 0 &&
               rename(file->temporary, file->output.path) == 0;
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
