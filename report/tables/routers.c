/* How routers share out the tokens. */
#include <math.h>

#include "report/tables.h"

static const struct ol_column router_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"entropy", "entropy, bits", OL_COLUMN_MAGNITUDE},
    {"max_load", "busiest expert, times an even share", OL_COLUMN_MAGNITUDE},
    {"never_chosen", "never chosen", OL_COLUMN_COUNT},
    {0}};

const struct ol_table_source ol_router_table = {"router", "Router load by layer",
                                                router_columns, "router.layers", NULL};

static const struct ol_column loads_columns[] = {
    {"layer", "layer", OL_COLUMN_LABEL},
    {"expert=#", "expert", OL_COLUMN_LABEL},
    {"n_tokens=tokens", "tokens", OL_COLUMN_COUNT},
    {"mean_weight", "mean router weight", OL_COLUMN_MAGNITUDE},
    {0}};

const struct ol_table_source ol_loads_table = {
    "loads", "Tokens of every expert", loads_columns, "router.layers.tokens", NULL};
