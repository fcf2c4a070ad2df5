#include "common/atomic_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct ol_atomic_file {
    FILE *stream;
    char *path;      /* NULL: standard output */
    char *temporary; /* NULL: written directly */
};

struct ol_atomic_file *ol_atomic_open(const char *path, struct ol_error *err)
{
    struct ol_atomic_file *file = ol_xcalloc(1, sizeof *file);
    if (path == NULL || strcmp(path, "-") == 0) {
        file->stream = stdout;
        return file;
    }
    struct stat info;
    file->path = ol_xstrdup(path);
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        file->stream = fopen(path, "wb");
    } else {
        file->temporary = ol_xasprintf("%s.XXXXXX", path);
        const int fd = mkstemp(file->temporary);
        const mode_t mask = umask(0);
        umask(mask);
        if (fd >= 0)
            fchmod(fd, 0666 & ~mask);
        file->stream = fd >= 0 ? fdopen(fd, "wb") : NULL;
    }
    if (file->stream != NULL)
        return file;
    ol_fail_errno(err, "%s: cannot create", path);
    free(file->temporary);
    free(file->path);
    free(file);
    return NULL;
}

FILE *ol_atomic_stream(struct ol_atomic_file *file)
{
    return file->stream;
}

int ol_atomic_commit(struct ol_atomic_file *file, struct ol_error *err)
{
    const char *name = file->path != NULL ? file->path : "standard output";
    bool good = !ferror(file->stream);
    if (!good) {
        /* The reason of an earlier failure is gone: let it fail again. */
        errno = EIO;
        fputc('\n', file->stream);
        fflush(file->stream);
    }
    good = good && fflush(file->stream) == 0;
    if (good && file->temporary != NULL)
        good =
            fsync(fileno(file->stream)) == 0 && rename(file->temporary, file->path) == 0;
    const int status = good ? 0 : ol_fail_errno(err, "%s: cannot be written", name);
    if (good) {
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
    if (file->path != NULL)
        fclose(file->stream);
    if (file->temporary != NULL)
        unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    free(file);
}
