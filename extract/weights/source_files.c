/* Mapped files. Pages are read with MADV_POPULATE_READ, which reports a page that cannot
 * be read as an error, where a plain access would be a SIGBUS. Kernels before 5.14 lack
 * it: there the bytes are read through /proc/self/mem, which faults them in and reports
 * errors in the same way. */
#include "extract/weights/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* linux/mman.h, 5.14 */
#endif

enum { SLICE_BYTES = 8 << 20, SCRATCH_BYTES = 256 << 10 };

struct files {
    struct ol_source source;
    bool by_mapping;
    atomic_bool stopping;
    atomic_bool populates; /* the kernel has MADV_POPULATE_READ */
    size_t page;
};

static struct files *of(struct ol_source *source)
{
    return (struct files *)source;
}

/* The file mapped at an address and the offset in it, for messages. */
static void describe(const void *address, char *text, size_t bytes)
{
    char line[4096 + 128], path[4096];
    const uintptr_t at = (uintptr_t)address;
    uintptr_t begin, end;
    uint64_t offset;
    snprintf(text, bytes, "memory at %p", address);
    FILE *maps = fopen("/proc/self/maps", "r");
    if (maps == NULL)
        return;
    while (fgets(line, sizeof line, maps) != NULL) {
        path[0] = '\0';
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %" SCNx64 " %*s %*s %4095[^\n]",
                   &begin, &end, &offset, path) >= 3 &&
            at >= begin && at < end && path[0] != '\0') {
            snprintf(text, bytes, "%s: the bytes from %" PRIu64 " on", path,
                     offset + (at - begin));
            break;
        }
    }
    fclose(maps);
}

static int unreadable(const void *begin, size_t bytes, struct ol_error *err)
{
    const int number = errno;
    char where[4096 + 64];
    describe(begin, where, sizeof where);
    return ol_fail(err,
                   "%s cannot be read (%zu were wanted): the file became shorter, or the "
                   "disk fails (%s)",
                   where, bytes, strerror(number));
}

/* Fault pages in by having the kernel read them. */
static int touch(const char *begin, size_t bytes, struct ol_error *err)
{
    int result = -1;
    char *scratch = ol_xmalloc(SCRATCH_BYTES);
    const int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        ol_fail_errno(err, "/proc/self/mem: cannot open");
        goto out;
    }
    for (size_t i = 0; i < bytes;) {
        const size_t want = bytes - i < SCRATCH_BYTES ? bytes - i : SCRATCH_BYTES;
        const ssize_t n = pread(fd, scratch, want, (off_t)((uintptr_t)begin + i));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            unreadable(begin + i, want, err);
            goto out;
        }
        i += (size_t)n;
    }
    result = 0;
out:
    if (fd >= 0)
        close(fd);
    free(scratch);
    return result;
}

static int populate(struct files *s, char *begin, size_t bytes, struct ol_error *err)
{
    while (atomic_load(&s->populates)) {
        if (madvise(begin, bytes, MADV_POPULATE_READ) == 0)
            return 0;
        if (errno == EINTR || errno == EAGAIN)
            continue;
        if (errno != EINVAL)
            return unreadable(begin, bytes, err);
        atomic_store(&s->populates, false);
    }
    return touch(begin, bytes, err);
}

/* Pages that a tensor touches, whole. The mapping is read-only: the pointer loses its
 * const for madvise alone. */
static char *page_of(const struct files *s, const void *address)
{
    return (char *)((uintptr_t)address & ~(uintptr_t)(s->page - 1));
}

static int read_pages(struct ol_source *source, const struct ol_span *span,
                      struct ol_error *err)
{
    struct files *s = of(source);
    char *begin = page_of(s, span->data);
    char *end = page_of(s, (const char *)span->data + span->bytes - 1) + s->page;
    const size_t n = (size_t)(end - begin);
    for (size_t i = 0; i < n; i += SLICE_BYTES) {
        const size_t slice = n - i < SLICE_BYTES ? n - i : SLICE_BYTES;
        const size_t rest = n - i - slice;
        if (atomic_load(&s->stopping))
            return ol_fail(err, "reading of weights was stopped");
        /* The disk works on the next slice while this one's pages are mapped. Only a
         * hint: a failure shows when the slice is read. */
        if (!s->by_mapping)
            madvise(begin + i, slice, MADV_WILLNEED);
        else if (rest > 0)
            madvise(begin + i + slice, rest < SLICE_BYTES ? rest : SLICE_BYTES,
                    MADV_WILLNEED);
        if (s->by_mapping && populate(s, begin + i, slice, err) != 0)
            return -1;
    }
    return 0;
}

/* The page where a tensor begins goes, the page where it ends stays: shared with the
 * tensor after it, which will give it back in turn, so that nothing stays behind a walk
 * through the file. A page that goes too early costs its other owner one soft fault. */
static void drop_pages(struct ol_source *source, const struct ol_span *span)
{
    const struct files *s = of(source);
    char *begin = page_of(s, span->data),
         *end = page_of(s, (const char *)span->data + span->bytes);
    if (s->by_mapping && end > begin)
        madvise(begin, (size_t)(end - begin), MADV_DONTNEED);
}

/* ---- the operations ---- */

/* The disk is told when a thread is there to read. */
static void expect(struct ol_source *source, const struct ol_span *span)
{
    (void)source, (void)span;
}

static void stop(struct ol_source *source)
{
    atomic_store(&of(source)->stopping, true);
}

static struct ol_source_stats stats(struct ol_source *source)
{
    (void)source;
    return (struct ol_source_stats){0};
}

static void free_files(struct ol_source *source)
{
    free(of(source));
}

static const struct ol_source_operations operations = {
    .prefetch = expect,
    .read = read_pages,
    .release = drop_pages,
    .stop = stop,
    .stats = stats,
    .free = free_files,
};

struct ol_source *ol_source_files_new(bool by_mapping)
{
    struct files *s = ol_xcalloc(1, sizeof *s);
    s->source.op = &operations;
    s->by_mapping = by_mapping;
    s->page = (size_t)sysconf(_SC_PAGESIZE);
    atomic_store(&s->populates, true);
    return &s->source;
}

void ol_source_free(struct ol_source *s)
{
    if (s != NULL)
        s->op->free(s);
}
