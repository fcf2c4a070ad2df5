#include "extract/observe/pending.h"

#include <stdlib.h>

struct waiting {
    struct ol_writer_job job;
    int64_t until; /* the number of the last result that it is about */
};

/* What waits is of one layer, and in the order of its stages. */
struct ol_pending {
    struct ol_backend *backend;
    struct ol_writer *writer;
    struct waiting *jobs;
    int first, n, room; /* jobs first .. n - 1 wait */
};

struct ol_pending *ol_pending_new(struct ol_backend *backend, struct ol_writer *writer)
{
    struct ol_pending *p = ol_xcalloc(1, sizeof *p);
    p->backend = backend;
    p->writer = writer;
    return p;
}

void ol_pending_free(struct ol_pending *p)
{
    if (p == NULL)
        return;
    p->backend->op->results_forget(p->backend);
    for (int i = p->first; i < p->n; i++)
        ol_writer_job_free(&p->jobs[i].job);
    free(p->jobs);
    free(p);
}

static bool none(const struct ol_pending *p)
{
    return p->first == p->n;
}

static void add(struct ol_pending *p, const struct ol_writer_job *job, int64_t until)
{
    if (p->n == p->room) {
        p->room = p->room > 0 ? 2 * p->room : 16;
        p->jobs = ol_xrealloc_array(p->jobs, (size_t)p->room, sizeof *p->jobs);
    }
    p->jobs[p->n++] = (struct waiting){*job, until};
}

/* What waits is of that layer, or nothing does. */
static int begin(struct ol_pending *p, int layer, struct ol_error *err)
{
    return none(p) || p->jobs[p->first].job.layer == layer ? 0 : ol_pending_flush(p, err);
}

int ol_pending_later(struct ol_pending *p, const struct ol_writer_job *job,
                     struct ol_error *err)
{
    const int64_t until = p->backend->n_results;
    const int status = begin(p, job->layer, err);
    /* Nothing was ever left: it is there. */
    if (status == 0 && until == 0)
        return ol_writer_put(p->writer, job, err);
    add(p, job, until);
    return status;
}

int ol_pending_put(struct ol_pending *p, const struct ol_writer_job *job,
                   struct ol_error *err)
{
    const int status = begin(p, job->layer, err);
    if (status == 0 && none(p))
        return ol_writer_put(p->writer, job, err);
    add(p, job, 0);
    return status;
}

int ol_pending_flush(struct ol_pending *p, struct ol_error *err)
{
    while (!none(p)) {
        const struct waiting *w = &p->jobs[p->first];
        const struct ol_writer_job *job = &w->job;
        if (p->backend->op->results_wait(p->backend, w->until, err) != 0 ||
            ol_writer_wait(p->writer, job->device, job->bytes, err) != 0)
            return -1;
        p->first++;
        if (ol_writer_put(p->writer, job, err) != 0)
            return -1;
    }
    p->first = p->n = 0;
    return 0;
}
