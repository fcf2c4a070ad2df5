/* A call of the system that fails, for the k-th time or from then on. Preloaded:
 *
 *     FAULT_CALL=pwrite FAULT_AT=7 FAULT_ERROR=ENOSPC LD_PRELOAD=fault.so ol-extract ...
 *
 * FAULT_ERROR is EIO, ENOSPC, ENOMEM, ENOLCK, EINTR, EPERM, EINVAL, or what happens
 * instead: SHORT (half of the bytes pass), TORN (half of them, and the process is
 * killed), KILL. FAULT_ON_FROM set: every later call too. FAULT_COUNT names a file for
 * the number of calls. FAULT_AT 0 only counts. Of files that are opened to be written
 * past the page cache "open-direct" and "direct" are the calls. FAULT_MEMINFO: a file in
 * place of /proc/meminfo. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

enum action { FAIL, SHORT, TORN, KILL };

static const char *call;
static long at;
static bool from_on;
static enum action action;
static int code = EIO;
static atomic_long count;

__attribute__((constructor)) static void begin(void)
{
    static const struct {
        const char *name;
        enum action action;
        int code;
    } errors[] = {
        {"EIO", FAIL, EIO},       {"ENOSPC", FAIL, ENOSPC}, {"ENOMEM", FAIL, ENOMEM},
        {"ENOLCK", FAIL, ENOLCK}, {"EINTR", FAIL, EINTR},   {"EPERM", FAIL, EPERM},
        {"EINVAL", FAIL, EINVAL}, {"SHORT", SHORT, 0},      {"TORN", TORN, 0},
        {"KILL", KILL, 0},
    };
    const char *number = getenv("FAULT_AT"), *error = getenv("FAULT_ERROR");
    call = getenv("FAULT_CALL");
    at = number != NULL ? strtol(number, NULL, 10) : 0;
    from_on = getenv("FAULT_ON_FROM") != NULL;
    for (size_t i = 0; error != NULL && i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(errors[i].name, error) == 0) {
            action = errors[i].action;
            code = errors[i].code;
        }
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("FAULT_COUNT");
    FILE *file = path != NULL ? fopen(path, "w") : NULL;
    if (file == NULL)
        return;
    fprintf(file, "%ld\n", atomic_load(&count));
    fclose(file);
}

/* Whether this call is the one; then errno is what it fails with. */
static bool hit(const char *name)
{
    if (call == NULL || strcmp(call, name) != 0)
        return false;
    const long number = atomic_fetch_add(&count, 1) + 1;
    if (at <= 0 || number < at || (number > at && !from_on))
        return false;
    if (action == KILL)
        raise(SIGKILL);
    errno = code;
    return true;
}

#define REAL(name) (__extension__(__typeof__(name) *) dlsym(RTLD_NEXT, #name))

/* A call that moves n bytes, of which half may pass: `all` and `half` are the real calls.
 */
#define MOVES(name, n, all, half)                                                        \
    do {                                                                                 \
        if (!hit(name))                                                                  \
            return all;                                                                  \
        if (action == FAIL || (n) < 2)                                                   \
            return -1;                                                                   \
        const ssize_t moved = half;                                                      \
        if (action == TORN)                                                              \
            raise(SIGKILL);                                                              \
        return moved;                                                                    \
    } while (0)

/* A write by offset: as one of all, or as one past the page cache. */
static const char *kind_of_write(int fd)
{
    const bool direct = call != NULL && strcmp(call, "direct") == 0 &&
                        (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
    return direct ? "direct" : "pwrite";
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    MOVES(kind_of_write(fd), n, REAL(pwrite)(fd, bytes, n, offset),
          REAL(pwrite)(fd, bytes, n / 2, offset));
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset)
{
    MOVES(kind_of_write(fd), n, REAL(pwrite64)(fd, bytes, n, offset),
          REAL(pwrite64)(fd, bytes, n / 2, offset));
}

ssize_t pread(int fd, void *bytes, size_t n, off_t offset)
{
    MOVES("pread", n, REAL(pread)(fd, bytes, n, offset),
          REAL(pread)(fd, bytes, n / 2, offset));
}

ssize_t pread64(int fd, void *bytes, size_t n, off64_t offset)
{
    MOVES("pread", n, REAL(pread64)(fd, bytes, n, offset),
          REAL(pread64)(fd, bytes, n / 2, offset));
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    MOVES("write", n, REAL(write)(fd, bytes, n), REAL(write)(fd, bytes, n / 2));
}

ssize_t read(int fd, void *bytes, size_t n)
{
    MOVES("read", n, REAL(read)(fd, bytes, n), REAL(read)(fd, bytes, n / 2));
}

static const char *path_of(const char *path)
{
    const char *other = getenv("FAULT_MEMINFO");
    return other != NULL && strcmp(path, "/proc/meminfo") == 0 ? other : path;
}

FILE *fopen(const char *path, const char *mode)
{
    return REAL(fopen)(path_of(path), mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return REAL(fopen64)(path_of(path), mode);
}

/* What ferror() asks glibc's streams for. */
enum { ERROR_SEEN = 0x20 };

size_t fwrite(const void *bytes, size_t size, size_t n, FILE *file)
{
    if (!hit("fwrite"))
        return REAL(fwrite)(bytes, size, n, file);
    file->_flags |= ERROR_SEEN;
    return 0;
}

size_t fread(void *bytes, size_t size, size_t n, FILE *file)
{
    if (!hit("fread"))
        return REAL(fread)(bytes, size, n, file);
    file->_flags |= ERROR_SEEN;
    return 0;
}

/* What dlsym() itself asks for is had from glibc by its own names. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t n, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);

void *malloc(size_t bytes)
{
    return hit("malloc") ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    return hit("malloc") ? NULL : __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return hit("malloc") ? NULL : __libc_realloc(old, bytes);
}

int fdatasync(int fd)
{
    return hit("fdatasync") ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    return hit("fsync") ? -1 : REAL(fsync)(fd);
}

int ftruncate(int fd, off_t length)
{
    return hit("ftruncate") ? -1 : REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
    return hit("ftruncate") ? -1 : REAL(ftruncate64)(fd, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return hit("fallocate") ? -1 : REAL(fallocate)(fd, mode, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    return hit("posix_fallocate") ? code : REAL(posix_fallocate)(fd, offset, length);
}

int rename(const char *from, const char *to)
{
    return hit("rename") ? -1 : REAL(rename)(from, to);
}

/* A file system that knows no links knows neither kind. */
int symlink(const char *target, const char *path)
{
    return hit("symlink") ? -1 : REAL(symlink)(target, path);
}

int link(const char *from, const char *to)
{
    return hit("symlink") ? -1 : REAL(link)(from, to);
}

int linkat(int from_directory, const char *from, int to_directory, const char *to,
           int flags)
{
    return hit("linkat") ? -1
                         : REAL(linkat)(from_directory, from, to_directory, to, flags);
}

/* Files without a name alone; other flags have no mode. */
static bool is_nameless(int flags)
{
    return (flags & O_TMPFILE) == O_TMPFILE;
}

#define OPEN(name)                                                                       \
    int name(const char *path, int flags, ...)                                           \
    {                                                                                    \
        mode_t mode = 0;                                                                 \
        va_list more;                                                                    \
        va_start(more, flags);                                                           \
        if ((flags & O_CREAT) != 0 || is_nameless(flags))                                \
            mode = va_arg(more, mode_t);                                                 \
        va_end(more);                                                                    \
        if ((is_nameless(flags) && hit("nameless")) ||                                   \
            ((flags & O_DIRECT) != 0 && hit("open-direct")))                             \
            return -1;                                                                   \
        return REAL(name)(path, flags, mode);                                            \
    }
OPEN(open)
OPEN(open64)

int flock(int fd, int operation)
{
    return hit("flock") ? -1 : REAL(flock)(fd, operation);
}

int fstatfs(int fd, struct statfs *info)
{
    return hit("fstatfs") ? -1 : REAL(fstatfs)(fd, info);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return fd >= 0 && hit("mmap")
               ? MAP_FAILED
               : REAL(mmap)(address, length, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd,
             off64_t offset)
{
    return fd >= 0 && hit("mmap")
               ? MAP_FAILED
               : REAL(mmap64)(address, length, protection, flags, fd, offset);
}

/* The file is closed all the same, as it is when the kernel says so. */
int close(int fd)
{
    const bool fails = hit("close");
    const int said = errno, status = REAL(close)(fd);
    errno = fails ? said : errno;
    return fails ? -1 : status;
}
