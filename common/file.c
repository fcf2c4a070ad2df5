#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/infile.h"

int ol_file_open(const char *path, int flags, struct ol_error *err)
{
    struct stat info;
    /* Without O_NONBLOCK a FIFO would be waited for before it can be asked what it is. */
    const int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC, 0666);
    if (fd < 0) {
        const int code = errno;
        if (code == EISDIR)
            ol_fail(err, "%s: is a directory, expected a regular file", path);
        else if (code == ENXIO)
            ol_fail(err, "%s: is a FIFO, a socket or a device, expected a regular file",
                    path);
        else
            ol_fail_errno(err, "%s: cannot %s", path,
                          (flags & O_CREAT) != 0 ? "create" : "open");
        errno = code;
        return -1;
    }
    if (fstat(fd, &info) != 0)
        ol_fail_errno(err, "%s: cannot be read", path);
    else if (!S_ISREG(info.st_mode))
        ol_fail(err, "%s: is %s, expected a regular file", path,
                ol_file_kind(info.st_mode));
    else if (fcntl(fd, F_SETFL, flags & ~(O_CREAT | O_EXCL | O_TRUNC)) != 0)
        ol_fail_errno(err, "%s: cannot be waited for", path);
    else
        return fd;
    close(fd);
    return -1;
}

int ol_file_exists(const char *path, bool *there, struct ol_error *err)
{
    *there = access(path, F_OK) == 0;
    return *there || errno == ENOENT || errno == ENOTDIR
               ? 0
               : ol_fail_errno(err, "%s: cannot be looked for", path);
}

bool ol_file_is(int fd, const char *path)
{
    struct stat x, y;
    return fstat(fd, &x) == 0 && stat(path, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

bool ol_file_is_local(int fd)
{
    static const uint32_t kinds[] = {
        0x0000ef53, /* ext2, ext3, ext4 */
        0x58465342, /* XFS */
        0x9123683e, /* Btrfs */
        0xf2f52010, /* F2FS */
        0xca451a4e, /* bcachefs */
        0x2fc12fc1, /* ZFS */
        0x01021994, /* tmpfs */
        0x858458f6, /* ramfs */
        0x794c7630, /* overlayfs: what containers have */
        0x73717368, /* SquashFS */
        0xe0f5e1e2, /* EROFS */
    };
    struct statfs info;
    if (fstatfs(fd, &info) != 0)
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if ((uint32_t)info.f_type == kinds[i])
            return true;
    return false;
}

int ol_file_lock(int fd, const char *path, enum ol_lock lock, struct ol_error *err)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    const int operation = lock == OL_LOCK_EXCLUSIVE ? LOCK_EX : LOCK_SH;
    while (flock(fd, operation | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno == EWOULDBLOCK)
            return ol_fail(err, "%s: another process is at work on this run", path);
        /* ENOLCK, ENOSYS, EOPNOTSUPP and whatever else a file system may say. */
        if (!atomic_flag_test_and_set(&said))
            ol_warn("%s: cannot be locked (%s): see that no other process works on it",
                    path, strerror(errno));
        return 0;
    }
    return 0;
}

int ol_file_write_at(int fd, const char *path, const void *data, size_t bytes,
                     uint64_t offset, struct ol_error *err)
{
    const char *from = data;
    while (bytes > 0) {
        const ssize_t n = pwrite(fd, from, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ol_fail_errno(err, "%s: cannot write %zu bytes", path, bytes);
        if (n == 0)
            return ol_fail(err, "%s: cannot write %zu bytes: none is taken", path, bytes);
        from += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

int ol_file_read_at(int fd, const char *path, void *data, size_t bytes, uint64_t offset,
                    struct ol_error *err)
{
    char *to = data;
    while (bytes > 0) {
        const ssize_t n = pread(fd, to, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ol_fail_errno(err, "%s: cannot read %zu bytes", path, bytes);
        if (n == 0)
            return ol_fail(err, "%s: ends at byte %" PRIu64 ", expected %zu more", path,
                           offset, bytes);
        to += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

void ol_file_write_out(int fd, size_t bytes, uint64_t offset)
{
    enum { LEAST = 256 << 10 };
    if (bytes >= LEAST)
        sync_file_range(fd, (off_t)offset, (off_t)bytes, SYNC_FILE_RANGE_WRITE);
}
