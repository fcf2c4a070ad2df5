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

/* Hand the oldest recording over. */
static int settle_oldest(struct sites *s, struct ol_error *err)
{
    const struct recording oldest = s->recordings[0];
    const struct ol_tensor rows = oldest.download.src;
    struct ol_backend *b = s->c.backend;
    s->n--;
    memmove(s->recordings, s->recordings + 1, (size_t)s->n * sizeof *s->recordings);
    void *copy = ol_writer_room(s->c.writer, s->c.part, ol_tensor_bytes(rows), err);
    if (copy == NULL)
        return -1;
    if (b->op->download_end(b, &oldest.download, copy, err) != 0) {
        free(copy);
        return -1;
    }
    const struct ol_writer_rows at =
        ol_observer_rows(&s->c, oldest.layer, oldest.first, rows.n_rows);
    return ol_writer_take_site(s->c.writer, &at, oldest.site, copy, err);
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
