/* The rows of sites, handed over as they are. They are copied to the host while the layer
 * goes on, so they have to stay as they are until settle(); the stream changes before. */
#include "extract/observe/observer.h"

#include <stdlib.h>

/* Rows that are on their way to the host. */
struct recording {
    struct ol_download download;
    int layer;
    enum ol_site site;
    int64_t first;
};

struct sites {
    struct ol_observer_context c;
    struct recording recordings[OL_DOWNLOADS]; /* the oldest first */
    int n;
};

static const enum ol_point points[OL_N_SITES] = {
    [OL_SITE_LN_ATTN] = OL_POINT_LN_ATTN,
    [OL_SITE_LN_MLP] = OL_POINT_LN_MLP,
    [OL_SITE_RESIDUAL_ATTN] = OL_POINT_RESIDUAL_ATTN,
    [OL_SITE_RESIDUAL_MLP] = OL_POINT_RESIDUAL_MLP,
};

static enum ol_site site_at(enum ol_point point)
{
    int site = 0;
    while (site < OL_N_SITES && points[site] != point)
        site++;
    return (enum ol_site)site;
}

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    const enum ol_site site = site_at(point);
    return recorded != NULL && site < OL_N_SITES && recorded->sites[site];
}

static void *new (const struct ol_observer_context *context)
{
    struct sites *s = ol_xcalloc(1, sizeof *s);
    s->c = *context;
    return s;
}

static enum ol_writer_stage stage_of(enum ol_site site)
{
    return site == OL_SITE_LN_ATTN || site == OL_SITE_RESIDUAL_ATTN ? OL_STAGE_ATTENTION
                                                                    : OL_STAGE_MLP;
}

static int take(void *shared, const struct ol_writer_job *job, struct ol_error *err)
{
    const struct ol_recording *r = shared;
    const size_t d = (size_t)r->to.layout->d_model, size = ol_dtype_size(r->to.dtype);
    struct ol_row_span s = {0};
    while (ol_recording_next_span(r, job, &s)) {
        const char *data = (const char *)job->data + (size_t)s.row * d * size;
        const struct ol_activation_rows rows = {s.sequence, s.token, s.n};
        if (ol_activation_put(r->file,
                              (enum ol_table)ol_table_of_site((enum ol_site)job->what),
                              job->layer, &rows,
                              ol_recording_convert(r, data, (size_t)s.n * d), err) != 0)
            return -1;
    }
    return 0;
}

static void release(void *backend, void *rows)
{
    struct ol_backend *b = backend;
    b->op->download_release(b, rows);
}

/* Hand the oldest recording over. */
static int settle_oldest(struct sites *s, struct ol_error *err)
{
    const struct recording oldest = s->recordings[0];
    const struct ol_tensor rows = oldest.download.src;
    struct ol_backend *b = s->c.backend;
    s->n--;
    memmove(s->recordings, s->recordings + 1, (size_t)s->n * sizeof *s->recordings);
    struct ol_writer_job job = ol_observer_job(&s->c, oldest.layer, stage_of(oldest.site),
                                               oldest.first, rows.n_rows);
    if (ol_writer_wait(s->c.writer, s->c.device, ol_tensor_bytes(rows), err) != 0 ||
        b->op->download_end(b, &oldest.download, &job.data, err) != 0)
        return -1;
    job.take = take;
    job.shared = s->c.recording;
    job.what = (int)oldest.site;
    job.give_back = release;
    job.owner = b;
    job.bytes = ol_tensor_bytes(rows);
    return ol_observer_put(&s->c, &job, err);
}

static int settle(void *self, struct ol_error *err)
{
    struct sites *s = self;
    while (s->n > 0)
        if (settle_oldest(s, err) != 0)
            return -1;
    return 0;
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    struct sites *s = self;
    const enum ol_site site = site_at(view->point);
    struct recording recording = {
        .layer = view->layer, .site = site, .first = view->first};
    if (s->n == OL_DOWNLOADS && settle_oldest(s, err) != 0)
        return -1;
    if (s->c.backend->op->download_begin(s->c.backend, view->x, &recording.download,
                                         err) != 0)
        return -1;
    s->recordings[s->n++] = recording;
    const bool stream = site == OL_SITE_RESIDUAL_ATTN || site == OL_SITE_RESIDUAL_MLP;
    return stream ? settle(s, err) : 0;
}

const struct ol_observer ol_observe_sites = {
    .name = "sites",
    .wants = wants,
    .new = new,
    .free = free,
    .see = see,
    .settle = settle,
};
