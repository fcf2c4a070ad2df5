/* Workers sleep on a condition variable; a run is one generation number, its tasks are
 * handed out by an atomic counter. */
#include "common/parallel.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cgroup.h"
#include "common/process.h"

struct worker {
    struct ol_pool *pool;
    pthread_t id;
    int thread;
};

struct ol_pool {
    int n_threads;
    struct worker *workers; /* [n_threads - 1]: the caller is thread 0 */
    pthread_mutex_t mutex;
    pthread_cond_t start;
    pthread_cond_t done;
    uint64_t generation;
    int n_busy;
    bool stop;
    void (*task)(void *arg, int64_t i, int thread);
    void *arg;
    int64_t n_tasks;
    atomic_llong next;
};

static void work(struct ol_pool *pool, int thread)
{
    for (;;) {
        int64_t i = atomic_fetch_add(&pool->next, 1);
        if (i >= pool->n_tasks)
            return;
        pool->task(pool->arg, i, thread);
    }
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct ol_pool *pool = worker->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->stop && pool->generation == seen)
            pthread_cond_wait(&pool->start, &pool->mutex);
        if (pool->stop)
            break;
        seen = pool->generation;
        pthread_mutex_unlock(&pool->mutex);
        work(pool, worker->thread);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->n_busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Those that this process may run on, and no more than its control groups give time on:
 * threads beyond that would be stopped in turns. */
static int processors(void)
{
    cpu_set_t set;
    /* A set of fixed size is too small for the largest machines. */
    const int n = sched_getaffinity(0, sizeof set, &set) == 0
                      ? CPU_COUNT(&set)
                      : (int)sysconf(_SC_NPROCESSORS_ONLN);
    const double most = ceil(ol_cgroup_limits("").processors);
    return n < 1 || most < 1 ? 1 : n > most ? (int)most : n;
}

struct ol_pool *ol_pool_new(int n_threads, struct ol_error *err)
{
    struct ol_pool *pool = ol_xcalloc(1, sizeof *pool);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->start, NULL);
    pthread_cond_init(&pool->done, NULL);
    const int wanted = n_threads > 0 ? n_threads : processors();
    pool->workers = ol_xcalloc((size_t)wanted, sizeof *pool->workers);
    pool->n_threads = 1;
    /* Signals are the main thread's: it may be making the name that a handler removes. */
    sigset_t before;
    ol_process_block_signals(&before);
    while (pool->n_threads < wanted) {
        struct worker *worker = &pool->workers[pool->n_threads - 1];
        worker->pool = pool;
        worker->thread = pool->n_threads;
        int status = pthread_create(&worker->id, NULL, worker_main, worker);
        if (status != 0) {
            ol_fail(err, "cannot start thread %d of %d: %s", pool->n_threads + 1, wanted,
                    strerror(status));
            pthread_sigmask(SIG_SETMASK, &before, NULL);
            ol_pool_free(pool);
            return NULL;
        }
        pool->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool;
}

void ol_pool_free(struct ol_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->stop = true;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->n_threads - 1; i++)
        pthread_join(pool->workers[i].id, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->start);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->workers);
    free(pool);
}

int ol_pool_threads(const struct ol_pool *pool)
{
    return pool->n_threads;
}

void ol_pool_run(struct ol_pool *pool, int64_t n_tasks,
                 void (*task)(void *arg, int64_t i, int thread), void *arg)
{
    if (pool->n_threads == 1 || n_tasks <= 1) {
        for (int64_t i = 0; i < n_tasks; i++)
            task(arg, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->task = task;
    pool->arg = arg;
    pool->n_tasks = n_tasks;
    atomic_store(&pool->next, 0);
    pool->n_busy = pool->n_threads - 1;
    pool->generation++;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    work(pool, 0);
    pthread_mutex_lock(&pool->mutex);
    while (pool->n_busy > 0)
        pthread_cond_wait(&pool->done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}
