/* How routers share out the tokens. */
#include <math.h>

#include "report/tables.h"

static const struct ol_column router_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"entropy", "entropy, bits", OL_COLUMN_MAGNITUDE},
    {"max_load", "busiest expert, times an even share", OL_COLUMN_MAGNITUDE},
    {"never_chosen", "never chosen", OL_COLUMN_COUNT},
    {0}};

static struct ol_grid *make_router(const struct ol_report_results *r)
{
    if (r->n_router_layers == 0)
        return NULL;
    struct ol_grid *g = ol_grid_new(router_columns);
    for (int64_t i = 0; i < r->n_router_layers; i++) {
        ol_grid_int(g, r->router[i].layer);
        ol_grid_real(g, r->router[i].entropy);
        ol_grid_real(g, r->router[i].max_load);
        ol_grid_int(g, r->router[i].n_never);
    }
    return g;
}

const struct ol_table_source ol_router_table = {"router", "Router load by layer",
                                                make_router};

static const struct ol_column loads_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"expert", "expert", OL_COLUMN_LABEL},
    {"n_tokens", "tokens", OL_COLUMN_COUNT},
    {"mean_weight", "mean router weight", OL_COLUMN_MAGNITUDE},
    {0}};

static struct ol_grid *make_loads(const struct ol_report_results *r)
{
    if (r->blocks.router == NULL)
        return NULL;
    struct ol_grid *g = ol_grid_new(loads_columns);
    const struct ol_router_loads *layers = r->blocks.router->layers.items;
    for (int64_t i = 0; i < r->blocks.router->layers.n; i++)
        for (int64_t e = 0; e < layers[i].tokens.n; e++) {
            const double n = layers[i].tokens.items[e];
            ol_grid_int(g, layers[i].layer);
            ol_grid_int(g, e);
            ol_grid_whole(g, n);
            ol_grid_real(g, e < layers[i].mean_weight.n ? layers[i].mean_weight.items[e]
                                                        : NAN);
        }
    return g;
}

const struct ol_table_source ol_loads_table = {"loads", "Tokens of every expert",
                                               make_loads};
