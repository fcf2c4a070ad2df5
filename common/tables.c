/* What the rows of tables.h mean. */
#include <stddef.h>
#include <stdio.h>

#include "common/activation_content.h"
#include "common/round_row.h"

enum axis {
    SEQUENCE,
    TOKEN,
    D_MODEL,
    PIECE,
    VALUE,         /* of the outliers: (feature, value) pairs that occur */
    POSITION_BYTE, /* eight positions each */
    ARM,
    ARM_SEQUENCE, /* the sequences of one arm after those of another */
    SITE_BYTE,    /* eight ln sites each */
    TOP_K,
    TOP_FEATURE,
    CONTRIBUTION, /* to each of the top features: value, attention, components */
    COMPONENT,
    COMPONENT_COLUMN,
    HEAD,
    HEAD_COLUMN,
    RECEIVED_COLUMN,
    MIXED_HEAD, /* of what goes into the mixer's output projection */
    MIXED_COLUMN,
    STREAM, /* of several residual streams */
    STREAM_COLUMN,
    ROUNDED_ROW, /* of the router's inputs, rounded */
    ROW_FORMAT,
    DOWN_MOMENT,
    SAMPLE, /* rows of one component's inputs of down */
    SAMPLE_COLUMN,
    DOWN_COMPONENT, /* those whose inputs of down are equally wide */
    DOWN_WIDTH,
    CODE,
    COLUMN_ROW,
    INPUT,
    INPUT_COLUMN,
};

struct row {
    const char *path;
    enum ol_h5_type type; /* OL_H5_OTHER: the tensors' */
    enum ol_table_storage storage;
    bool (*there)(const struct ol_activation_content *c,
                  const struct ol_activation_layer *layer, int what);
    int what; /* which site, summary or input; or where its member is in the content */
    int rank;
    enum axis axes[OL_H5_MAX_RANK];
};

/* ---- when a table is there ---- */

static bool always(const struct ol_activation_content *c,
                   const struct ol_activation_layer *layer, int what)
{
    (void)c, (void)layer, (void)what;
    return true;
}

static bool has_pieces(const struct ol_activation_content *c,
                       const struct ol_activation_layer *layer, int what)
{
    (void)layer, (void)what;
    return c->input.n_pieces > 0;
}

static bool has_nll(const struct ol_activation_content *c,
                    const struct ol_activation_layer *layer, int what)
{
    (void)layer, (void)what;
    return c->layout.nll;
}

static bool has_summaries(const struct ol_activation_content *c,
                          const struct ol_activation_layer *layer, int what)
{
    (void)layer, (void)what;
    return c->layout.summary;
}

static bool has_arms(const struct ol_activation_content *c,
                     const struct ol_activation_layer *layer, int what)
{
    (void)layer, (void)what;
    return c->layout.n_arms > 0;
}

static bool has_site(const struct ol_activation_content *c,
                     const struct ol_activation_layer *layer, int site)
{
    (void)c;
    return layer->sites[site];
}

static bool has_router(const struct ol_activation_content *c,
                       const struct ol_activation_layer *layer, int what)
{
    (void)c, (void)what;
    return layer->top_k > 0;
}

static bool has_writes(const struct ol_activation_content *c,
                       const struct ol_activation_layer *layer, int what)
{
    (void)c, (void)what;
    return ol_activation_has_writes(layer);
}

static bool has_components(const struct ol_activation_content *c,
                           const struct ol_activation_layer *layer, int what)
{
    (void)c, (void)what;
    return layer->n_units > 0;
}

static bool has_heads(const struct ol_activation_content *c,
                      const struct ol_activation_layer *layer, int what)
{
    (void)c, (void)what;
    return layer->n_heads > 0;
}

static bool has_mixed(const struct ol_activation_content *c,
                      const struct ol_activation_layer *layer, int what)
{
    (void)c, (void)what;
    return layer->n_mixed > 0;
}

static bool has_streams(const struct ol_activation_content *c,
                        const struct ol_activation_layer *layer, int what)
{
    (void)c, (void)what;
    return layer->n_streams > 0;
}

static bool has_rounded(const struct ol_activation_content *c,
                        const struct ol_activation_layer *layer, int what)
{
    (void)c, (void)what;
    return layer->n_rounded > 0;
}

static bool has_down(const struct ol_activation_content *c,
                     const struct ol_activation_layer *layer, int whose)
{
    (void)c;
    return layer->down_widths[whose] > 0;
}

static bool has_summary(const struct ol_activation_content *c,
                        const struct ol_activation_layer *layer, int site)
{
    (void)c;
    return layer->summary_sites[site];
}

static bool has_squares(const struct ol_activation_content *c,
                        const struct ol_activation_layer *layer, int input)
{
    (void)c;
    return layer->input_widths[input] > 0;
}

/* ---- the rows ---- */

#define OL_H5_TENSOR OL_H5_OTHER
#define AT(member)   ((int)offsetof(struct ol_activation_content, member))
#define RANK(...)    ((int)(sizeof((enum axis[]){__VA_ARGS__}) / sizeof(enum axis)))
#define ROW(name, path, type, storage, there, what, ...)                                 \
    [OL_TABLE_##name] = {path, OL_H5_##type,      OL_STORED_##storage, there,            \
                         what, RANK(__VA_ARGS__), {__VA_ARGS__}},
static const struct row rows[OL_N_TABLES] = {OL_TABLES(ROW)};
#undef ROW
#undef RANK
#undef AT
#undef OL_H5_TENSOR

static int64_t size_of(const struct ol_activation_content *c,
                       const struct ol_activation_layer *layer, int what, enum axis axis)
{
    const struct ol_activation_layout *layout = &c->layout;
    switch (axis) {
    case SEQUENCE:
        return layout->n_sequences;
    case TOKEN:
        return layout->n_tokens;
    case D_MODEL:
        return layout->d_model;
    case PIECE:
        return c->input.n_pieces;
    case VALUE:
        return c->outliers.n_values;
    case POSITION_BYTE:
        return ol_activation_position_bytes(layout);
    case ARM:
        return layout->n_arms;
    case ARM_SEQUENCE:
        return layout->n_arms * layout->n_sequences;
    case SITE_BYTE:
        return ol_activation_site_bytes(layout);
    case TOP_K:
        return layer->top_k;
    case TOP_FEATURE:
        return OL_TOP_FEATURES;
    case CONTRIBUTION:
        return (int64_t)OL_TOP_FEATURES *
               (OL_WRITES_PER_TOP +
                ol_activation_n_slots(layer, c->info.model.n_experts));
    case COMPONENT:
        return layer->n_units;
    case COMPONENT_COLUMN:
        return OL_N_UNIT_COLUMNS;
    case HEAD:
        return layer->n_heads;
    case HEAD_COLUMN:
        return OL_N_HEAD_COLUMNS;
    case RECEIVED_COLUMN:
        return OL_N_RECEIVED_COLUMNS;
    case MIXED_HEAD:
        return layer->n_mixed;
    case MIXED_COLUMN:
        return OL_N_MIXED_COLUMNS;
    case STREAM:
        return layer->n_streams;
    case STREAM_COLUMN:
        return OL_N_STREAM_COLUMNS;
    case ROUNDED_ROW:
        return layer->n_rounded;
    case ROW_FORMAT:
        return OL_N_ROW_FORMATS;
    case DOWN_MOMENT:
        return OL_N_DOWN_MOMENTS;
    case SAMPLE:
        return layer->n_sampled;
    case SAMPLE_COLUMN:
        return OL_N_SAMPLE_COLUMNS;
    case DOWN_COMPONENT:
        return what == OL_DOWN_SHARED || !layer->moe ? 1 : c->info.model.n_experts;
    case DOWN_WIDTH:
        return layer->down_widths[what];
    case CODE:
        return OL_N_CODES;
    case COLUMN_ROW:
        return OL_N_COLUMN_ROWS;
    case INPUT:
        return ol_activation_n_inputs(c->info.model.n_experts, (enum ol_input)what);
    case INPUT_COLUMN:
        return layer->input_widths[what];
    }
    return 0;
}

/* ---- what is asked of a table ---- */

enum ol_table_storage ol_table_storage(int table)
{
    return rows[table].storage;
}

bool ol_table_is_there(const struct ol_activation_content *c,
                       const struct ol_activation_layer *layer, int table)
{
    return rows[table].there(c, layer, rows[table].what);
}

void ol_table_path(char path[OL_TABLE_PATH], int layer, int table)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(path, OL_TABLE_PATH, rows[table].path, layer);
#pragma GCC diagnostic pop
}

const char *ol_table_file_path(int table)
{
    return rows[table].path;
}

struct ol_h5_shape ol_table_shape(const struct ol_activation_content *c,
                                  const struct ol_activation_layer *layer, int table)
{
    const struct row *row = &rows[table];
    struct ol_h5_shape shape = {.type = row->type, .rank = row->rank};
    if (shape.type == OL_H5_OTHER)
        shape.type = c->layout.dtype == OL_DTYPE_F32 ? OL_H5_F32 : OL_H5_BF16;
    for (int i = 0; i < row->rank; i++)
        shape.dims[i] = size_of(c, layer, row->what, row->axes[i]);
    shape.compressed = row->storage == OL_STORED_SEALED && shape.dims[0] > 0;
    shape.chunked = row->storage == OL_STORED_ROWS || row->storage == OL_STORED_WHOLE ||
                    shape.compressed;
    for (int i = 0; shape.chunked && i < row->rank; i++)
        shape.chunk[i] = shape.dims[i];
    if (row->storage == OL_STORED_ROWS || (shape.compressed && row->rank > 1))
        shape.chunk[0] = 1;
    return shape;
}

static size_t type_bytes(enum ol_h5_type type)
{
    switch (type) {
    case OL_H5_I64:
    case OL_H5_F64:
        return 8;
    case OL_H5_F32:
    case OL_H5_I32:
    case OL_H5_U32:
        return 4;
    case OL_H5_U8:
        return 1;
    case OL_H5_TEXT:
        return sizeof(char *);
    default:
        return 2;
    }
}

size_t ol_table_row_bytes(const struct ol_activation_content *c,
                          const struct ol_activation_layer *layer, int table)
{
    const struct ol_h5_shape shape = ol_table_shape(c, layer, table);
    return (shape.rank > 2 ? (size_t)shape.dims[2] : 1) * type_bytes(shape.type);
}

size_t ol_table_chunk_bytes(const struct ol_activation_content *c,
                            const struct ol_activation_layer *layer, int table)
{
    const struct ol_h5_shape shape = ol_table_shape(c, layer, table);
    size_t bytes = type_bytes(shape.type);
    for (int i = 0; i < shape.rank; i++)
        bytes *= (size_t)shape.chunk[i];
    return bytes;
}

int64_t ol_table_n_chunks(const struct ol_activation_content *c, int table)
{
    return rows[table].storage == OL_STORED_ROWS ? c->layout.n_sequences : 1;
}

void **ol_table_memory(const struct ol_activation_content *c, int table)
{
    return (void **)(void *)((char *)(uintptr_t)c + rows[table].what);
}

size_t ol_table_memory_bytes(const struct ol_activation_content *c, int table)
{
    const struct ol_h5_shape shape = ol_table_shape(c, NULL, table);
    size_t bytes = type_bytes(shape.type);
    for (int i = 0; i < shape.rank; i++)
        bytes *= (size_t)shape.dims[i];
    return bytes;
}

/* ---- all tables of a file ---- */

int64_t ol_table_index(int i_layer, int table)
{
    return table < OL_N_FILE_TABLES
               ? table
               : OL_N_FILE_TABLES + (int64_t)i_layer * OL_N_LAYER_TABLES + table -
                     OL_N_FILE_TABLES;
}

int64_t ol_tables_n(const struct ol_activation_layout *layout)
{
    return ol_table_index(layout->n_layers, OL_N_FILE_TABLES);
}

bool ol_tables_next(const struct ol_activation_content *c, struct ol_table_place *p)
{
    const int64_t n = ol_tables_n(&c->layout);
    for (int64_t i = p->begun ? p->index + 1 : 0; i < n; i++) {
        const bool of_file = i < OL_N_FILE_TABLES;
        const int64_t rest = i - OL_N_FILE_TABLES;
        p->begun = true;
        p->index = i;
        p->i_layer = of_file ? 0 : (int)(rest / OL_N_LAYER_TABLES);
        p->table = of_file ? (int)i : OL_N_FILE_TABLES + (int)(rest % OL_N_LAYER_TABLES);
        p->layer = of_file ? NULL : &c->layout.layers[p->i_layer];
        if (ol_table_is_there(c, p->layer, p->table))
            return true;
    }
    return false;
}
