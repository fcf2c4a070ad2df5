#include "extract/observe/held.h"

#include <assert.h>
#include <stdlib.h>

static int64_t fewer(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t ol_held_result_bytes(const struct ol_spec *spec, int64_t n, int64_t n_rows)
{
    const int64_t d = spec->d_model, n_held = fewer(n, OL_MOST_HELD),
                  one = ol_result_bytes((int64_t)ol_digest_result_bytes(d, 0)),
                  listed = ol_digests_listed(n_held, n_rows * d) *
                               (int64_t)sizeof(struct ol_occurrence) +
                           n_held * OL_RESULT_ALIGNMENT;
    return n_held * one + listed;
}

struct ol_writer_job *ol_held_add(struct ol_held *held,
                                  const struct ol_observer_context *c,
                                  const struct ol_writer_job *job, size_t bytes,
                                  struct ol_error *err)
{
    void *room = ol_observer_room(c, bytes, err);
    if (room == NULL)
        return NULL;
    assert(held->n < OL_MOST_HELD);
    struct ol_writer_job *added = &held->jobs[held->n++];
    *added = *job;
    added->data = room;
    added->bytes = bytes;
    return added;
}

int ol_held_put(struct ol_held *held, const struct ol_observer_context *c,
                int (*put)(const struct ol_observer_context *c,
                           const struct ol_writer_job *job, struct ol_error *err),
                struct ol_error *err)
{
    int status = 0, done = 0;
    while (status == 0 && done < held->n)
        status = put(c, &held->jobs[done++], err);
    held->n -= done;
    memmove(held->jobs, held->jobs + done, (size_t)held->n * sizeof *held->jobs);
    return status;
}

int ol_held_settle(struct ol_held *held, const struct ol_observer_context *c,
                   struct ol_error *err)
{
    if (held->n > 0 && c->backend->op->results_wait(c->backend, held->until, err) != 0)
        return -1;
    return ol_held_put(held, c, ol_observer_put, err);
}

void ol_held_clear(struct ol_held *held)
{
    while (held->n > 0)
        ol_writer_job_free(&held->jobs[--held->n]);
}
