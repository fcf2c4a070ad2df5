/* Which layers a file has, and what of each: the layout as its groups and tables say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/activation_check.h"

static int read_kind(const struct ol_activation_check *r,
                     struct ol_activation_layer *layer, struct ol_error *err)
{
    char path[64], *kind = NULL, *attention = NULL;
    snprintf(path, sizeof path, "/layers/%03d", layer->number);
    int status = -1;
    if (ol_h5_get_text(r->h, path, "kind", &kind, err) != 0 ||
        ol_h5_get_text(r->h, path, "attention", &attention, err) != 0)
        goto out;
    if (strcmp(kind, "moe") != 0 && strcmp(kind, "dense") != 0 &&
        strcmp(kind, "none") != 0) {
        ol_fail(err, "%s: %s: kind is \"%s\", expected \"dense\", \"moe\" or \"none\"",
                r->path, path, kind);
        goto out;
    }
    if (strlen(attention) >= sizeof layer->attention) {
        ol_fail(err, "%s: %s: attention \"%s\" is too long a word", r->path, path,
                attention);
        goto out;
    }
    layer->moe = strcmp(kind, "moe") == 0;
    layer->no_mlp = strcmp(kind, "none") == 0;
    snprintf(layer->attention, sizeof layer->attention, "%s", attention);
    status = 0;
out:
    free(attention);
    free(kind);
    return status;
}

/* Which tables there are; the first tensor found says the dtype of all. */
static int find_tables(const struct ol_activation_check *r,
                       struct ol_activation_layer *layer, bool *have_dtype,
                       struct ol_error *err)
{
    char path[64];
    struct ol_h5_shape shape;
    for (int site = 0; site < OL_N_SITES; site++) {
        ol_table_path(path, layer->number, ol_table_of_site((enum ol_site)site));
        if (ol_h5_exists(r->h, path, &layer->sites[site], err) != 0)
            return -1;
        if (!layer->sites[site] || *have_dtype)
            continue;
        if (ol_h5_describe(r->h, path, &shape, err) != 0)
            return -1;
        r->c->layout.dtype = shape.type == OL_H5_F32 ? OL_DTYPE_F32 : OL_DTYPE_BF16;
        *have_dtype = true;
    }
    ol_table_path(path, layer->number, OL_TABLE_ROUTER_IDS);
    bool there;
    if (ol_h5_exists(r->h, path, &there, err) != 0)
        return -1;
    if (!there)
        return 0;
    const int64_t top_k = r->c->info.model.top_k;
    if (top_k < 1 || top_k > UINT16_MAX)
        return ol_fail(err, "%s: /model: top_k is %lld, but there is %s", r->path,
                       (long long)top_k, path);
    layer->top_k = (int)top_k;
    return 0;
}

/* The extent of one axis of a table that a layer may have or not, as files of earlier
 * versions lack some. */
struct extent {
    int table, rank, axis;
    int64_t most;
    const char *axes; /* in words */
    int *n;           /* where it goes, */
    int64_t *width;   /* or there */
};

static int find_extent(const struct ol_activation_check *r, int layer,
                       const struct extent *e, struct ol_error *err)
{
    char path[OL_TABLE_PATH];
    struct ol_h5_shape shape;
    bool there;
    ol_table_path(path, layer, e->table);
    if (ol_h5_exists(r->h, path, &there, err) != 0)
        return -1;
    if (!there)
        return 0;
    if (ol_h5_describe(r->h, path, &shape, err) != 0)
        return -1;
    if (shape.rank != e->rank || shape.dims[e->axis] < 1 || shape.dims[e->axis] > e->most)
        return ol_fail(err, "%s: %s: expected %s", r->path, path, e->axes);
    if (e->n != NULL)
        *e->n = (int)shape.dims[e->axis];
    else
        *e->width = shape.dims[e->axis];
    return 0;
}

static int find_extents(const struct ol_activation_check *r,
                        struct ol_activation_layer *layer, struct ol_error *err)
{
    static const char down[] = "components x rows x columns";
    const struct extent extents[] = {
        {OL_TABLE_HEADS, 3, 1, INT16_MAX, "sequences x heads x columns", &layer->n_heads,
         NULL},
        {OL_TABLE_MIXED_HEADS, 2, 0, INT16_MAX, "heads x columns", &layer->n_mixed, NULL},
        {OL_TABLE_STREAMS, 2, 0, INT16_MAX, "streams x columns", &layer->n_streams, NULL},
        {OL_TABLE_ROUNDED_SAMPLE, 2, 0, INT16_MAX, "rows x columns", &layer->n_rounded,
         NULL},
        {OL_TABLE_DOWN_ROWS, 3, 1, INT16_MAX, down, &layer->n_sampled, NULL},
        {OL_TABLE_DOWN_ROWS, 3, 2, INT32_MAX, down, NULL,
         &layer->down_widths[OL_DOWN_OWN]},
        {OL_TABLE_DOWN_SHARED_ROWS, 3, 1, INT16_MAX, down, &layer->n_sampled, NULL},
        {OL_TABLE_DOWN_SHARED_ROWS, 3, 2, INT32_MAX, down, NULL,
         &layer->down_widths[OL_DOWN_SHARED]},
    };
    for (int input = 0; input < OL_N_INPUTS; input++) {
        const struct extent width = {ol_table_of_input((enum ol_input)input),
                                     2,
                                     1,
                                     INT32_MAX,
                                     "rows x columns",
                                     NULL,
                                     &layer->input_widths[input]};
        if (find_extent(r, layer->number, &width, err) != 0)
            return -1;
    }
    for (size_t i = 0; i < sizeof extents / sizeof extents[0]; i++)
        if (find_extent(r, layer->number, &extents[i], err) != 0)
            return -1;
    if (layer->n_rounded > 0 && layer->top_k == 0)
        return ol_fail(err,
                       "%s: /layers/%03d: the router's input was rounded, but there are "
                       "no router tables",
                       r->path, layer->number);
    return 0;
}

/* Which summaries there are: the table of units says so for the layer. */
static int find_summary(const struct ol_activation_check *r,
                        struct ol_activation_layer *layer, struct ol_error *err)
{
    char path[64];
    struct ol_h5_shape shape;
    const int64_t n_experts = layer->moe ? r->c->info.model.n_experts : 1;
    bool there;
    snprintf(path, sizeof path, "/layers/%03d/summary", layer->number);
    if (ol_h5_exists(r->h, path, &there, err) != 0)
        return -1;
    if (!there)
        return r->c->layout.summary
                   ? ol_fail(err, "%s: %s is missing, but there is /summary", r->path,
                             path)
                   : 0;
    ol_table_path(path, layer->number, OL_TABLE_UNITS);
    if (!layer->no_mlp && ol_h5_describe(r->h, path, &shape, err) != 0)
        return -1;
    if (layer->no_mlp)
        shape.dims[0] = 0;
    else if (shape.dims[0] < n_experts || shape.dims[0] > n_experts + layer->moe)
        return ol_fail(err, "%s: %s: found %lld units, expected %lld%s", r->path, path,
                       (long long)shape.dims[0], (long long)n_experts,
                       layer->moe ? " experts, and at most one shared" : "");
    layer->n_units = (int)shape.dims[0];
    for (int site = 0; site < OL_N_SUMMARY_SITES; site++) {
        snprintf(path, sizeof path, "/layers/%03d/summary/%s", layer->number,
                 ol_summary_site_name((enum ol_summary_site)site));
        if (ol_h5_exists(r->h, path, &layer->summary_sites[site], err) != 0)
            return -1;
    }
    return find_extents(r, layer, err);
}

/* Every layer has as many residual streams. */
static int check_streams(const struct ol_activation_check *r,
                         const struct ol_activation_layer *layer, struct ol_error *err)
{
    const struct ol_activation_layer *first = r->c->layout.layers;
    return layer->n_streams == first->n_streams
               ? 0
               : ol_fail(err, "%s: /layers/%03d: found %d residual streams, expected %d",
                         r->path, layer->number, layer->n_streams, first->n_streams);
}

static int layer_number(const struct ol_activation_check *r, const char *name,
                        struct ol_error *err)
{
    int number = 0;
    for (int i = 0; i < 3; i++) {
        if (name[i] < '0' || name[i] > '9')
            return ol_fail(err, "%s: /layers/%s: expected three digits", r->path, name);
        number = 10 * number + (name[i] - '0');
    }
    if (name[3] != '\0' || number >= r->c->info.model.n_layers)
        return ol_fail(err, "%s: /layers/%s: expected layers below %lld", r->path, name,
                       (long long)r->c->info.model.n_layers);
    return number;
}

int ol_activation_check_layers(const struct ol_activation_check *r, struct ol_error *err)
{
    struct ol_activation_content *c = r->c;
    char **names = NULL;
    int64_t n = 0;
    bool have_dtype = false;
    int status = ol_h5_members(r->h, "/layers", &names, &n, err);
    if (status == 0 && n == 0)
        status = ol_fail(err, "%s: /layers: there is no layer", r->path);
    if (status == 0 && n > OL_ACTIVATION_MAX_LAYER + 1)
        status = ol_fail(err, "%s: /layers: %lld members, expected layers 000 to %d",
                         r->path, (long long)n, OL_ACTIVATION_MAX_LAYER);
    c->layout.dtype = OL_DTYPE_BF16;
    c->layout.layers = ol_xcalloc((size_t)n, sizeof *c->layout.layers);
    for (int64_t i = 0; i < n && status == 0; i++) {
        struct ol_activation_layer *layer = &c->layout.layers[i];
        layer->number = layer_number(r, names[i], err);
        status = layer->number < 0 || read_kind(r, layer, err) != 0 ||
                         find_tables(r, layer, &have_dtype, err) != 0 ||
                         find_summary(r, layer, err) != 0 ||
                         check_streams(r, layer, err) != 0
                     ? -1
                     : 0;
        c->layout.n_layers++;
    }
    for (int64_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return status;
}
