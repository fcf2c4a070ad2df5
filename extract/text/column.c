#include "extract/text/column.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/infile.h"
#include "common/utf8.h"

char *ol_column_split(const char *item, const char **column)
{
    const char *mark = strrchr(item, '#');
    *column = NULL;
    if (mark == NULL || mark[1] == '\0' || access(item, F_OK) == 0)
        return ol_xstrdup(item);
    *column = mark + 1;
    return ol_xstrndup(item, (size_t)(mark - item));
}

bool ol_column_is_parquet(const char *path)
{
    char head[4];
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const bool is = fd >= 0 && pread(fd, head, sizeof head, 0) == sizeof head &&
                    memcmp(head, "PAR1", sizeof head) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

int ol_column_read(const struct ol_column *c, ol_take_text *take, void *arg,
                   struct ol_error *err)
{
    struct ol_parquet_value v;
    int status = 0, found;
    while (status == 0) {
        size_t offset;
        if (c->enough != NULL && *c->enough && !ol_parquet_has_more(c->parquet))
            return OL_ENOUGH;
        found = ol_parquet_next(c->parquet, &v, err);
        if (found == 0)
            break;
        if (found < 0)
            return -1;
        if (v.text == NULL)
            continue;
        if (!ol_utf8_valid(v.text, v.bytes, &offset))
            return ol_fail(err,
                           "%s: column '%s': row %" PRId64
                           ": byte %zu of the text is no valid UTF-8",
                           c->name, c->column, v.row, offset);
        status = take(arg, v.text, v.bytes, true, err);
    }
    return status;
}

/* ---- files ---- */

struct local {
    int fd;
    const char *path;
};

static int read_local(void *user, int64_t offset, size_t n, void *bytes,
                      struct ol_error *err)
{
    const struct local *l = user;
    return ol_file_read_at(l->fd, l->path, bytes, n, (uint64_t)offset, err);
}

int ol_column_read_file(const char *path, const char *column, ol_take_text *take,
                        void *arg, struct ol_error *err)
{
    struct stat state;
    struct local local = {ol_infile_descriptor(path, err), path};
    struct ol_column c = {.name = path,
                          .column = column != NULL ? column : OL_DEFAULT_FIELD};
    int status = -1;
    if (local.fd < 0)
        return -1;
    if (fstat(local.fd, &state) != 0) {
        ol_fail_errno(err, "%s: cannot be looked at", path);
    } else {
        const struct ol_parquet_file file = {path, state.st_size, &local, read_local};
        c.parquet = ol_parquet_open(&file, c.column, err);
    }
    if (c.parquet != NULL)
        status = ol_column_read(&c, take, arg, err);
    ol_parquet_close(c.parquet);
    close(local.fd);
    return status;
}
