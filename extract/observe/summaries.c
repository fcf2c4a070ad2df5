/* What summaries keep of sites and of the stream after a layer (digest.h): gathered where
 * the rows are, sequence by sequence. */
#include "extract/observe/observer.h"

#include <stdlib.h>

#include "common/magnitude.h"
#include "extract/observe/summary.h"

static enum ol_summary_site site_at(enum ol_point point)
{
    return point == OL_POINT_LN_ATTN        ? OL_SUMMARY_LN_ATTN
           : point == OL_POINT_LN_MLP       ? OL_SUMMARY_LN_MLP
           : point == OL_POINT_RESIDUAL_OUT ? OL_SUMMARY_OUTPUT
                                            : OL_N_SUMMARY_SITES;
}

static bool wants(const struct ol_observed *what,
                  const struct ol_activation_layer *recorded, enum ol_point point)
{
    (void)what;
    const enum ol_summary_site site = site_at(point);
    return recorded != NULL && site < OL_N_SUMMARY_SITES && recorded->summary_sites[site];
}

static int64_t bytes(const struct ol_observed *what)
{
    return what->layout->summary
               ? ol_summary_bytes(what->n_rows, what->spec->d_model, what->n_sequences)
               : 0;
}

/* Of one sequence. */
static int digest(const struct ol_observer_context *c, const struct ol_writer_rows *at,
                  enum ol_summary_site site, struct ol_tensor rows, struct ol_error *err)
{
    /* In the stream itself nothing is an occurrence. */
    const uint32_t least =
        site == OL_SUMMARY_OUTPUT ? 0 : ol_least_bf16(c->what.layout->threshold);
    void *room = ol_writer_room(c->writer, c->part,
                                ol_digest_bytes(rows.n_rows, rows.n_cols), err);
    if (room == NULL)
        return -1;
    struct ol_digest *d = ol_digest_in(room, rows.n_rows, rows.n_cols);
    if (c->backend->op->digest(c->backend, rows, least, d, err) != 0) {
        free(d);
        return -1;
    }
    return ol_writer_take_digest(c->writer, at, site, d, err);
}

static int take_counts(const struct ol_observer_context *c, int layer,
                       enum ol_summary_site site, struct ol_error *err)
{
    int64_t *counts = ol_xcalloc(OL_N_CODES, sizeof *counts);
    if (c->backend->op->take_histogram(c->backend, counts, err) != 0) {
        free(counts);
        return -1;
    }
    const struct ol_writer_rows at = ol_observer_rows(c, layer, 0, c->what.n_rows);
    return ol_writer_take_counts(c->writer, &at, site, counts, err);
}

static int see(void *self, const struct ol_view *view, struct ol_error *err)
{
    const struct ol_observer_context *c = self;
    const enum ol_summary_site site = site_at(view->point);
    const int32_t *length = view->lengths;
    for (int64_t row = 0; row < view->x.n_rows; row += *length++) {
        const struct ol_writer_rows at =
            ol_observer_rows(c, view->layer, view->first + row, *length);
        if (digest(c, &at, site, ol_tensor_rows(view->x, row, *length), err) != 0)
            return -1;
    }
    return view->first + view->x.n_rows == c->what.n_rows
               ? take_counts(c, view->layer, site, err)
               : 0;
}

const struct ol_observer ol_observe_summaries = {
    .name = "summaries", .wants = wants, .bytes = bytes, .see = see};
