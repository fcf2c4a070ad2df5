/* A clock that nobody sets: what lies between two readings has passed. */
#ifndef OL_CLOCK_H
#define OL_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t ol_clock_nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline double ol_clock_seconds(void)
{
    return (double)ol_clock_nanoseconds() * 1e-9;
}

#endif
