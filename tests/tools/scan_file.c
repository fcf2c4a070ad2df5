/* scan_file FILE [THREADS]: map a file and add up its bytes in words of eight, the least
 * that reading it can cost. Prints GB/s, the best of five. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/parallel.h"

enum { PIECE = 1 << 20 };

struct scan {
    const char *bytes;
    size_t n;
    uint64_t *sums; /* [threads], each on a line of its own */
};

static void add(void *arg, int64_t i, int thread)
{
    const struct scan *s = arg;
    const size_t first = (size_t)i * PIECE;
    const size_t n = s->n - first < PIECE ? s->n - first : PIECE;
    const uint64_t *words = (const void *)(s->bytes + first);
    uint64_t sum = 0;
    for (size_t k = 0; k < n / 8; k++)
        sum += words[k];
    s->sums[thread * 8] += sum;
}

int main(int argc, char **argv)
{
    struct ol_error err = {0};
    struct stat info;
    const int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    struct ol_pool *pool = ol_pool_new(argc > 2 ? atoi(argv[2]) : 0, &err);
    if (fd < 0 || fstat(fd, &info) != 0 || pool == NULL) {
        fprintf(stderr, "scan_file: cannot read %s\n", argc > 1 ? argv[1] : "nothing");
        return 1;
    }
    struct scan s = {.n = (size_t)info.st_size,
                     .sums = calloc((size_t)ol_pool_threads(pool) * 8, 8)};
    double best = 0;
    for (int round = 0; round < 5; round++) {
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        void *map = mmap(NULL, s.n, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED || s.sums == NULL)
            return 1;
        s.bytes = map;
        ol_pool_run(pool, (int64_t)((s.n + PIECE - 1) / PIECE), add, &s);
        munmap(map, s.n);
        clock_gettime(CLOCK_MONOTONIC, &end);
        const double seconds = (double)(end.tv_sec - start.tv_sec) +
                               1e-9 * (double)(end.tv_nsec - start.tv_nsec);
        best = (double)s.n / seconds / 1e9 > best ? (double)s.n / seconds / 1e9 : best;
    }
    printf("%.2f\n", best);
    ol_pool_free(pool);
    return s.sums[0] == 1;
}
