/* A fixed set of threads that share out numbered tasks. Results must not depend on who
 * runs which task. */
#ifndef OL_PARALLEL_H
#define OL_PARALLEL_H

#include <stdint.h>

#include "common/error.h"

struct ol_pool;

/* A pool of n_threads workers in all, the caller of ol_pool_run counted in; 0 means one
 * per processor that this process may use. NULL on failure. */
struct ol_pool *ol_pool_new(int n_threads, struct ol_error *err);
void ol_pool_free(struct ol_pool *pool);
int ol_pool_threads(const struct ol_pool *pool);

/* Run task(arg, i, thread) for i in 0..n_tasks-1, each once, in any order, and return
 * when all are done. thread is in 0..ol_pool_threads()-1 and names scratch memory,
 * nothing else. Not reentrant; one caller at a time. */
void ol_pool_run(struct ol_pool *pool, int64_t n_tasks,
                 void (*task)(void *arg, int64_t i, int thread), void *arg);

#endif
