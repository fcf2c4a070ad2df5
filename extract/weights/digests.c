#include "extract/weights/digests.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4096 };

struct entry {
    uint64_t offset, bytes;
    char hex[OL_SHA256_HEX_BYTES];
    char *file;
};

struct ol_digests {
    char *path;
    FILE *out;
    pthread_mutex_t mutex; /* of out */
    struct entry *before;  /* [n], sorted: of the run that is resumed */
    size_t n, room;
};

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->file, y->file);
}

/* A line that a killed process left half written is no digest: it is passed over. */
static void add_line(struct ol_digests *d, char *line)
{
    struct entry e;
    int at = 0;
    const size_t length = strlen(line);
    if (length == 0 || line[length - 1] != '\n' ||
        sscanf(line, "%64[0-9a-f] %" SCNu64 " %" SCNu64 " %n", e.hex, &e.offset, &e.bytes,
               &at) != 3 ||
        at == 0 || strlen(e.hex) != OL_SHA256_HEX_BYTES - 1)
        return;
    line[length - 1] = '\0';
    if (d->n == d->room) {
        d->room = 2 * d->room + 256;
        d->before = ol_xrealloc_array(d->before, d->room, sizeof *d->before);
    }
    e.file = ol_xstrdup(line + at);
    d->before[d->n++] = e;
}

static int read_before(struct ol_digests *d, struct ol_error *err)
{
    char line[LINE_BYTES];
    FILE *file = fopen(d->path, "re");
    if (file == NULL)
        return 0; /* states without it are of a run that fetched nothing */
    while (fgets(line, sizeof line, file) != NULL)
        add_line(d, line);
    const int bad = ferror(file);
    fclose(file);
    qsort(d->before, d->n, sizeof *d->before, compare);
    return bad == 0 ? 0 : ol_fail(err, "%s: cannot be read", d->path);
}

struct ol_digests *ol_digests_open(const char *path, bool go_on, struct ol_error *err)
{
    struct ol_digests *d = ol_xcalloc(1, sizeof *d);
    d->path = ol_xstrdup(path);
    pthread_mutex_init(&d->mutex, NULL);
    if (!go_on || read_before(d, err) == 0) {
        d->out = fopen(path, go_on ? "ae" : "we");
        /* A line at a time, and behind one that was left half written. */
        if (d->out != NULL && setvbuf(d->out, NULL, _IOLBF, LINE_BYTES) == 0 &&
            (!go_on || fputc('\n', d->out) != EOF))
            return d;
        ol_fail_errno(err, "%s: cannot be written", path);
    }
    ol_digests_close(d);
    return NULL;
}

void ol_digests_close(struct ol_digests *d)
{
    if (d == NULL)
        return;
    if (d->out != NULL)
        fclose(d->out);
    for (size_t i = 0; i < d->n; i++)
        free(d->before[i].file);
    free(d->before);
    pthread_mutex_destroy(&d->mutex);
    free(d->path);
    free(d);
}

int ol_digests_note(struct ol_digests *d, const char *file, uint64_t offset,
                    uint64_t bytes, const char hex[OL_SHA256_HEX_BYTES],
                    struct ol_error *err)
{
    const struct entry key = {
        .offset = offset, .bytes = bytes, .file = (char *)(uintptr_t)file};
    const struct entry *known =
        d->n > 0 ? bsearch(&key, d->before, d->n, sizeof key, compare) : NULL;
    if (known != NULL && strcmp(known->hex, hex) == 0)
        return 0;
    if (known != NULL)
        return ol_fail(
            err,
            "%s: the SHA-256 of the %" PRIu64 " bytes from %" PRIu64
            " on is %s, but was %s before this run was interrupted: begin anew, "
            "without --resume",
            file, bytes, offset, hex, known->hex);
    pthread_mutex_lock(&d->mutex);
    const bool written =
        fprintf(d->out, "%s %" PRIu64 " %" PRIu64 " %s\n", hex, offset, bytes, file) > 0;
    pthread_mutex_unlock(&d->mutex);
    return written ? 0 : ol_fail_errno(err, "%s: cannot be written", d->path);
}
