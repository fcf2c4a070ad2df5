#include "extract/observe/recording.h"

#include <stdlib.h>
#include <string.h>

#include "extract/observe/observer.h"

static int n_observers(void)
{
    int n = 0;
    while (ol_observers[n] != NULL)
        n++;
    return n;
}

struct ol_recording *ol_recording_new(const struct ol_recording_target *target)
{
    const struct ol_activation_layout *layout = target->layout;
    struct ol_recording *r = ol_xcalloc(1, sizeof *r);
    r->to = *target;
    r->starts = ol_xcalloc((size_t)layout->n_sequences + 1, sizeof *r->starts);
    for (int64_t i = 0; i < layout->n_sequences; i++)
        r->starts[i + 1] = r->starts[i] + target->lengths[i];
    if (layout->dtype != target->dtype)
        r->converted = ol_xcalloc((size_t)layout->n_tokens * (size_t)layout->d_model,
                                  ol_dtype_size(layout->dtype));
    r->shared = ol_xcalloc((size_t)n_observers(), sizeof *r->shared);
    for (int i = 0; ol_observers[i] != NULL; i++)
        if (ol_observers[i]->share != NULL)
            r->shared[i] = ol_observers[i]->share(r);
    return r;
}

void ol_recording_free(struct ol_recording *r)
{
    if (r == NULL)
        return;
    for (int i = 0; ol_observers[i] != NULL; i++)
        if (r->shared[i] != NULL)
            ol_observers[i]->unshare(r->shared[i]);
    free(r->shared);
    free(r->converted);
    free(r->starts);
    free(r);
}

void *ol_recording_shared(const struct ol_recording *r, const struct ol_observer *o)
{
    for (int i = 0; ol_observers[i] != NULL; i++)
        if (ol_observers[i] == o)
            return r->shared[i];
    return NULL;
}

/* ---- what is kept of an unfinished run: [bytes of one observer, the bytes] each ---- */

size_t ol_recording_saved_bytes(const struct ol_activation_layout *layout, int64_t n)
{
    size_t bytes = 0;
    for (int i = 0; ol_observers[i] != NULL; i++)
        if (ol_observers[i]->saved_bytes != NULL) {
            const size_t one = ol_observers[i]->saved_bytes(layout, n);
            bytes += one > 0 ? sizeof(uint64_t) + one : 0;
        }
    return bytes;
}

void ol_recording_save(const struct ol_recording *r, void **bytes, size_t *n)
{
    char *all = NULL;
    *n = 0;
    for (int i = 0; ol_observers[i] != NULL; i++) {
        void *one = NULL;
        uint64_t size[1] = {0};
        size_t one_bytes = 0;
        if (ol_observers[i]->save == NULL || r->shared[i] == NULL)
            continue;
        ol_observers[i]->save(r->shared[i], &one, &one_bytes);
        size[0] = one_bytes;
        all = ol_xrealloc_array(all, *n + sizeof size + one_bytes, 1);
        memcpy(all + *n, size, sizeof size);
        memcpy(all + *n + sizeof size, one, one_bytes);
        *n += sizeof size + one_bytes;
        free(one);
    }
    *bytes = all;
}

int ol_recording_restore(struct ol_recording *r, const void *bytes, size_t n,
                         struct ol_error *err)
{
    const char *at = bytes;
    for (int i = 0; ol_observers[i] != NULL; i++) {
        uint64_t size;
        if (ol_observers[i]->save == NULL || r->shared[i] == NULL)
            continue;
        if (n < sizeof size)
            return ol_fail(err, "nothing is kept of the unfinished run's %s",
                           ol_observers[i]->name);
        memcpy(&size, at, sizeof size);
        n -= sizeof size;
        at += sizeof size;
        if (size > n)
            return ol_fail(err,
                           "%llu bytes are kept of the unfinished run's %s, %zu there",
                           (unsigned long long)size, ol_observers[i]->name, n);
        if (ol_observers[i]->restore(r->shared[i], at, (size_t)size, err) != 0)
            return -1;
        at += size;
        n -= (size_t)size;
    }
    return n == 0 ? 0
                  : ol_fail(err,
                            "%zu bytes more than expected are kept of the unfinished "
                            "run",
                            n);
}

/* ---- for what jobs do ---- */

int64_t ol_recording_rows(const struct ol_recording *r)
{
    return r->starts[r->to.layout->n_sequences];
}

bool ol_recording_is_last(const struct ol_recording *r, const struct ol_writer_job *job)
{
    return job->first + job->n == ol_recording_rows(r);
}

const struct ol_activation_layer *ol_recording_layer(const struct ol_recording *r,
                                                     int layer)
{
    for (int i = 0; i < r->to.layout->n_layers; i++)
        if (r->to.layout->layers[i].number == layer)
            return &r->to.layout->layers[i];
    return NULL;
}

bool ol_recording_next_span(const struct ol_recording *r, const struct ol_writer_job *job,
                            struct ol_row_span *span)
{
    const int64_t row = span->row + span->n;
    while (span->sequence < r->to.layout->n_sequences &&
           r->starts[span->sequence + 1] <= job->first + row)
        span->sequence++;
    if (row >= job->n)
        return false;
    const int64_t end = r->starts[span->sequence + 1], last = job->first + job->n;
    span->token = job->first + row - r->starts[span->sequence];
    span->n = (end < last ? end : last) - (job->first + row);
    span->row = row;
    return true;
}

const void *ol_recording_convert(const struct ol_recording *r, const void *values,
                                 size_t n)
{
    const enum ol_dtype to = r->to.layout->dtype;
    if (r->converted == NULL)
        return values;
    if (to == OL_DTYPE_F32)
        ol_to_f32(r->to.dtype, values, r->converted, n);
    else
        ol_from_f32(to, values, r->converted, n);
    return r->converted;
}
