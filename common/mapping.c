/* Owns the handlers of signals that come of reading, and the list of what is mapped. The
 * list is read by a handler: entries are filled in before they are in it, and stay. */
#include "common/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/process.h"

struct mapping {
    _Atomic uintptr_t first, end; /* end 0: not in use */
    _Atomic(char *) line;         /* what is said, with its end of line */
    _Atomic int fd;               /* of the file, of its own; -1: none */
    _Atomic(char *) path;
    _Atomic uint64_t number;
    struct mapping *next;
};

static _Atomic(struct mapping *) mappings;
static _Atomic uint64_t n_mapped;

static void on_bus(int number, siginfo_t *info, void *context)
{
    (void)context;
    const uintptr_t at = (uintptr_t)info->si_addr;
    for (struct mapping *m = atomic_load(&mappings); m != NULL; m = m->next)
        if (at >= atomic_load(&m->first) && at < atomic_load(&m->end))
            ol_process_end(STDERR_FILENO, atomic_load(&m->line));
    signal(number, SIG_DFL);
    raise(number);
}

static void catch_bus(void)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    if (atomic_flag_test_and_set(&done))
        return;
    action.sa_sigaction = on_bus;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

/* An entry that is not in use, or a new one. */
static struct mapping *take_entry(void)
{
    static const uintptr_t taken = 1; /* holds no address */
    for (struct mapping *m = atomic_load(&mappings); m != NULL; m = m->next) {
        uintptr_t unused = 0;
        if (atomic_compare_exchange_strong(&m->end, &unused, taken))
            return m;
    }
    struct mapping *new = ol_xcalloc(1, sizeof *new);
    atomic_store(&new->end, taken);
    new->next = atomic_load(&mappings);
    while (!atomic_compare_exchange_weak(&mappings, &new->next, new))
        continue;
    return new;
}

/* fd of the file; -1: none. */
static void add(const void *bytes, size_t n, int fd, const char *path)
{
    struct mapping *m = take_entry();
    free(atomic_exchange(
        &m->line,
        ol_line("%s: cannot be read any more: it became shorter meanwhile, or its disk "
                "fails",
                path)));
    free(atomic_exchange(&m->path, ol_xstrdup(path)));
    atomic_store(&m->fd, fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1);
    atomic_store(&m->number, atomic_fetch_add(&n_mapped, 1) + 1);
    atomic_store(&m->first, (uintptr_t)bytes);
    atomic_store(&m->end, (uintptr_t)bytes + n);
}

const void *ol_mapping_new(int fd, const char *path, size_t n, struct ol_error *err)
{
    void *bytes = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        ol_fail_errno(err, "%s: cannot be mapped", path);
        return NULL;
    }
    catch_bus();
    add(bytes, n, fd, path);
    return bytes;
}

const void *ol_mapping_zeros(const char *path, size_t n, struct ol_error *err)
{
    void *bytes = mmap(NULL, n, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED) {
        ol_fail_errno(err, "%s: %zu bytes of addresses cannot be had", path, n);
        return NULL;
    }
    add(bytes, n, -1, path);
    return bytes;
}

void ol_mapping_free(const void *bytes, size_t n)
{
    if (bytes == NULL)
        return;
    for (struct mapping *m = atomic_load(&mappings); m != NULL; m = m->next)
        if (atomic_load(&m->first) == (uintptr_t)bytes &&
            atomic_load(&m->end) == (uintptr_t)bytes + n) {
            const int fd = atomic_exchange(&m->fd, -1);
            if (fd >= 0)
                close(fd);
            atomic_store(&m->first, 0);
            atomic_store(&m->end, 0);
            break;
        }
    munmap((void *)(uintptr_t)bytes, n);
}

static struct mapping *find_mapping(uintptr_t at)
{
    for (struct mapping *m = atomic_load(&mappings); m != NULL; m = m->next)
        if (at >= atomic_load(&m->first) && at < atomic_load(&m->end))
            return m;
    return NULL;
}

struct ol_place ol_mapping_place(const void *byte)
{
    const uintptr_t at = (uintptr_t)byte;
    struct mapping *m = find_mapping(at);
    return m != NULL
               ? (struct ol_place){atomic_load(&m->number), at - atomic_load(&m->first)}
               : (struct ol_place){0, at};
}

int ol_mapping_copy(void *to, const void *from, size_t n, struct ol_error *err)
{
    /* A call costs as much as copying so many bytes. */
    enum { LEAST_BYTES = 16 << 10 };
    struct mapping *m = n >= LEAST_BYTES ? find_mapping((uintptr_t)from) : NULL;
    const int fd = m != NULL ? atomic_load(&m->fd) : -1;
    if (fd < 0) {
        memcpy(to, from, n);
        return 0;
    }
    uint64_t at = (uintptr_t)from - atomic_load(&m->first);
    for (size_t done = 0; done < n;) {
        const ssize_t some = pread(fd, (char *)to + done, n - done, (off_t)(at + done));
        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            return ol_fail(err,
                           "%s: the bytes from %llu on cannot be read (%zu were wanted): "
                           "the file became shorter, or the disk fails (%s)",
                           atomic_load(&m->path), (unsigned long long)(at + done),
                           n - done, some < 0 ? strerror(errno) : "it ends there");
        done += (size_t)some;
    }
    return 0;
}
