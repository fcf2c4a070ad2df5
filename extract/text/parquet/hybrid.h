/* Parquet's hybrid of runs and packed bits, in which levels and the indices of a
 * dictionary are written: one number after another. */
#ifndef OL_PARQUET_HYBRID_H
#define OL_PARQUET_HYBRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OL_HYBRID_MOST_WIDTH = 32 };

/* Start from {.bytes, .n, .width}; width: bits of a number, at most 32. */
struct ol_hybrid {
    const unsigned char *bytes;
    size_t n, at;
    int width;
    uint64_t left; /* numbers of this run */
    bool packed;
    uint32_t value; /* of a run */
    uint64_t bit;   /* of the packed ones: where in bytes the next begins */
};

/* The next number: false when there is none, or it is damaged. */
bool ol_hybrid_next(struct ol_hybrid *h, uint32_t *value);

#endif
