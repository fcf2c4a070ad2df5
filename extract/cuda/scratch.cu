/* Device memory of one operation: a block from which pieces are cut one after another.
 * What does not fit goes into further blocks, and before the next operation all become
 * one, so that a run soon allocates no more. */
#include "extract/cuda/cuda.h"

enum { MOST_BLOCKS = 64, ALIGNMENT = 256, LEAST_BYTES = 1 << 20 };

struct block {
    char *memory;
    size_t bytes, used;
};

struct ol_cuda_arena {
    struct ol_cuda *cuda;
    struct block blocks[MOST_BLOCKS];
    int n;
};

struct ol_cuda_arena *ol_cuda_scratch_new(struct ol_cuda *cuda)
{
    struct ol_cuda_arena *s = (struct ol_cuda_arena *)ol_xcalloc(1, sizeof *s);
    s->cuda = cuda;
    return s;
}

static void release(struct ol_cuda_arena *s)
{
    for (int i = 0; i < s->n; i++)
        ol_cuda_memory_free(s->cuda, s->blocks[i].memory, s->blocks[i].bytes);
    s->n = 0;
}

void ol_cuda_scratch_free(struct ol_cuda_arena *s)
{
    if (s != NULL)
        release(s);
    free(s);
}

static int add_block(struct ol_cuda_arena *s, size_t bytes, struct ol_error *err)
{
    if (s->n == MOST_BLOCKS)
        return ol_fail(err, "CUDA: an operation needs more than %d blocks of memory",
                       MOST_BLOCKS);
    if (bytes < LEAST_BYTES)
        bytes = LEAST_BYTES;
    void *memory = ol_cuda_memory_new(s->cuda, bytes, "an operation", err);
    if (memory == NULL)
        return -1;
    s->blocks[s->n].memory = (char *)memory;
    s->blocks[s->n].bytes = bytes;
    s->blocks[s->n++].used = 0;
    return 0;
}

int ol_cuda_scratch_reset(struct ol_cuda_arena *s, struct ol_error *err)
{
    size_t bytes = 0;
    for (int i = 0; i < s->n; i++) {
        bytes += s->blocks[i].bytes;
        s->blocks[i].used = 0;
    }
    if (s->n <= 1)
        return 0;
    release(s);
    return add_block(s, bytes, err);
}

void *ol_cuda_scratch(struct ol_cuda *cuda, size_t bytes, struct ol_error *err)
{
    struct ol_cuda_arena *s = cuda->scratch;
    const size_t room = ((bytes > 0 ? bytes : 1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct block *b = s->n > 0 ? &s->blocks[s->n - 1] : NULL;
    if (b == NULL || b->bytes - b->used < room) {
        /* At least as much again, so that the blocks stay few. */
        if (add_block(s, b != NULL && b->bytes > room ? b->bytes : room, err) != 0)
            return NULL;
        b = &s->blocks[s->n - 1];
    }
    void *piece = b->memory + b->used;
    b->used += room;
    return piece;
}
