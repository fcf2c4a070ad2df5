/* The list of a file's tables and their checksums: /contents. Private to
 * common/activation_*.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/activation_content.h"
#include "common/crc32.h"

static const char tables_path[] = "/contents/tables", chunks_path[] = "/contents/chunks",
                  checksums_path[] = "/contents/crc32";

const char *ol_activation_checksums_path(void)
{
    return checksums_path;
}

void ol_activation_list_clear(struct ol_activation_list *list)
{
    free(list->paths);
    free(list->n_chunks);
    free(list->checksums);
    free(list->of_layers);
    *list = (struct ol_activation_list){0};
}

/* ---- what there is to be ---- */

static const char *other_path(int table)
{
    static const char *const paths[OL_OTHER_OUTLIERS] = {
        [OL_OTHER_TOKEN_IDS] = "/input/token_ids",
        [OL_OTHER_LENGTHS] = "/input/lengths",
        [OL_OTHER_PIECE_IDS] = "/input/piece_ids",
        [OL_OTHER_PIECES] = "/input/pieces",
        [OL_OTHER_NLL] = "/input/nll",
    };
    return table < OL_OTHER_OUTLIERS
               ? paths[table]
               : ol_activation_outlier_path(table - OL_OTHER_OUTLIERS);
}

static bool has_other(const struct ol_activation_content *c, int table)
{
    switch (table) {
    case OL_OTHER_PIECE_IDS:
    case OL_OTHER_PIECES:
        return c->input.n_pieces > 0;
    case OL_OTHER_NLL:
        return c->layout.nll;
    default:
        return table < OL_OTHER_OUTLIERS || c->layout.summary;
    }
}

/* n checksums of chunks of that many bytes; what is known of it when nothing is
 * written. Returns where they begin. */
static int64_t append(struct ol_activation_list *list, const char *path, int64_t n,
                      uint64_t bytes)
{
    const int64_t first = list->n_checksums;
    const uint32_t zeros = ol_crc32_of_zeros(bytes);
    list->n_checksums += n;
    list->paths =
        ol_xrealloc_array(list->paths, (size_t)list->n_tables + 1, sizeof *list->paths);
    list->n_chunks = ol_xrealloc_array(list->n_chunks, (size_t)list->n_tables + 1,
                                       sizeof *list->n_chunks);
    list->checksums = ol_xrealloc_array(list->checksums, (size_t)list->n_checksums,
                                        sizeof *list->checksums);
    for (int64_t i = 0; i < n; i++)
        list->checksums[first + i] = zeros;
    snprintf(list->paths[list->n_tables], sizeof *list->paths, "%s", path);
    list->n_chunks[list->n_tables++] = n;
    return first;
}

void ol_activation_list_make(struct ol_activation_content *c)
{
    const struct ol_activation_layout *layout = &c->layout;
    struct ol_activation_list *list = &c->list;
    char path[64];
    *list = (struct ol_activation_list){0};
    list->of_layers =
        ol_xcalloc((size_t)layout->n_layers * OL_N_TABLES, sizeof *list->of_layers);
    for (int t = 0; t < OL_N_OTHER_TABLES; t++) {
        const bool chunked = t == OL_OTHER_NLL;
        list->of_others[t] =
            has_other(c, t)
                ? append(list, other_path(t), chunked ? layout->n_sequences : 1,
                         chunked ? (uint64_t)layout->n_tokens * 4 : 0)
                : -1;
    }
    for (int l = 0; l < layout->n_layers; l++)
        for (int t = 0; t < OL_N_TABLES; t++) {
            const struct ol_activation_layer *layer = &layout->layers[l];
            ol_activation_table_path(path, layer->number, t);
            list->of_layers[l * OL_N_TABLES + t] =
                ol_activation_has_table(layer, t)
                    ? append(list, path, t < OL_TABLE_WHOLE ? layout->n_sequences : 1,
                             ol_activation_chunk_bytes(c, layer, t))
                    : -1;
        }
}

/* ---- in the file ---- */

int ol_activation_list_write(struct ol_h5 *h, const struct ol_activation_list *list,
                             struct ol_error *err)
{
    const struct ol_h5_shape tables = {
        .type = OL_H5_TEXT, .rank = 1, .dims = {list->n_tables}};
    const struct ol_h5_shape chunks = {
        .type = OL_H5_I64, .rank = 1, .dims = {list->n_tables}};
    const struct ol_h5_shape checksums = {
        .type = OL_H5_U32, .rank = 1, .dims = {list->n_checksums}};
    const char **paths = ol_xcalloc((size_t)list->n_tables, sizeof *paths);
    for (int64_t i = 0; i < list->n_tables; i++)
        paths[i] = list->paths[i];
    int status = 0;
    if (ol_h5_make_group(h, "/contents", err) != 0 ||
        ol_h5_make_dataset(h, tables_path, &tables, err) != 0 ||
        ol_h5_write(h, tables_path, OL_H5_TEXT, paths, err) != 0 ||
        ol_h5_make_dataset(h, chunks_path, &chunks, err) != 0 ||
        ol_h5_write(h, chunks_path, OL_H5_I64, list->n_chunks, err) != 0 ||
        ol_h5_make_dataset(h, checksums_path, &checksums, err) != 0 ||
        ol_h5_write(h, checksums_path, OL_H5_U32, (const void *)list->checksums, err) !=
            0)
        status = -1;
    free(paths);
    return status;
}

/* A one-dimensional dataset of that type, allocated; NULL on failure. */
static void *read_list(const struct ol_h5 *h, const char *path, const char *dataset,
                       enum ol_h5_type type, int64_t *n, struct ol_error *err)
{
    struct ol_h5_shape shape;
    if (ol_h5_describe(h, dataset, &shape, err) != 0)
        return NULL;
    if (shape.type != type || shape.rank != 1 || shape.dims[0] < 1 ||
        shape.dims[0] > INT32_MAX || shape.filtered || shape.elsewhere) {
        ol_fail(err, "%s: %s: expected a list of %s", path, dataset,
                ol_h5_type_name(type));
        return NULL;
    }
    *n = shape.dims[0];
    void *values = ol_xcalloc((size_t)*n, sizeof(int64_t));
    if (ol_h5_read(h, dataset, type, values, err) == 0)
        return values;
    free(values);
    return NULL;
}

static int check_table(const struct ol_h5 *h, const char *path, const char *table,
                       bool complete, struct ol_error *err)
{
    bool there;
    for (int t = 0; t < OL_N_OUTLIER_TABLES && !complete; t++)
        if (strcmp(table, ol_activation_outlier_path(t)) == 0)
            return 0;
    if (table[0] != '/' || strlen(table) >= 64)
        return ol_fail(err, "%s: %s: \"%.80s\" is no table", path, tables_path, table);
    if (ol_h5_exists(h, table, &there, err) != 0)
        return -1;
    return there ? 0
                 : ol_fail(err, "%s: %s is missing: the file was made with it", path,
                           table);
}

int ol_activation_list_read(const struct ol_h5 *h, const char *path, bool complete,
                            struct ol_activation_list *list, struct ol_error *err)
{
    int64_t n_chunks = 0;
    char **paths = read_list(h, path, tables_path, OL_H5_TEXT, &list->n_tables, err);
    int status = paths != NULL ? 0 : -1;
    list->paths = ol_xcalloc((size_t)list->n_tables, sizeof *list->paths);
    for (int64_t i = 0; i < list->n_tables && status == 0; i++) {
        const char *table = paths[i] != NULL ? paths[i] : "";
        status = check_table(h, path, table, complete, err);
        snprintf(list->paths[i], sizeof *list->paths, "%s", table);
    }
    for (int64_t i = 0; i < list->n_tables && paths != NULL; i++)
        free(paths[i]);
    free(paths);
    if (status != 0)
        return -1;
    list->n_chunks = read_list(h, path, chunks_path, OL_H5_I64, &n_chunks, err);
    if (list->n_chunks == NULL)
        return -1;
    if (n_chunks != list->n_tables)
        return ol_fail(err, "%s: %s: %" PRId64 " tables, but %" PRId64 " in %s", path,
                       chunks_path, n_chunks, list->n_tables, tables_path);
    list->checksums =
        read_list(h, path, checksums_path, OL_H5_U32, &list->n_checksums, err);
    return list->checksums != NULL ? 0 : -1;
}

int ol_activation_list_accept(struct ol_activation_content *c, const char *path,
                              struct ol_activation_list *found, struct ol_error *err)
{
    ol_activation_list_make(c);
    struct ol_activation_list *made = &c->list;
    int status = 0;
    for (int64_t i = 0; i < made->n_tables && status == 0; i++) {
        if (i >= found->n_tables || strcmp(made->paths[i], found->paths[i]) != 0)
            status = ol_fail(err, "%s: %s is not in %s, which has %s in its place", path,
                             made->paths[i], tables_path,
                             i < found->n_tables ? found->paths[i] : "nothing");
        else if (made->n_chunks[i] != found->n_chunks[i])
            status = ol_fail(
                err, "%s: %s: %" PRId64 " checksums of %s, expected %" PRId64, path,
                chunks_path, found->n_chunks[i], made->paths[i], made->n_chunks[i]);
    }
    if (status == 0 && found->n_tables > made->n_tables)
        status = ol_fail(err, "%s: %s: nothing is known of %s", path, tables_path,
                         found->paths[made->n_tables]);
    if (status == 0 && found->n_checksums != made->n_checksums)
        status = ol_fail(err, "%s: %s: %" PRId64 " checksums, expected %" PRId64, path,
                         checksums_path, found->n_checksums, made->n_checksums);
    if (status == 0) {
        free(made->checksums);
        made->checksums = found->checksums;
        found->checksums = NULL;
    }
    ol_activation_list_clear(found);
    return status;
}

/* ---- tables that are in memory ---- */

/* Texts one after another, each with the zero behind it. */
static uint32_t sum_texts(const char *const *texts, int64_t n)
{
    uint64_t behind = 0;
    for (int64_t i = 0; i < n; i++)
        behind += strlen(texts[i]) + 1;
    uint32_t sum = ol_crc32_of_zeros(behind);
    for (int64_t i = 0; i < n; i++) {
        const size_t bytes = strlen(texts[i]) + 1;
        behind -= bytes;
        sum ^= ol_crc32_part(texts[i], bytes, behind);
    }
    return sum;
}

static uint32_t sum_input(const struct ol_activation_content *c, int table)
{
    const size_t n_sequences = (size_t)c->layout.n_sequences,
                 n = n_sequences * (size_t)c->layout.n_tokens;
    switch (table) {
    case OL_OTHER_TOKEN_IDS:
        return ol_crc32(c->input.token_ids, n * sizeof(int32_t));
    case OL_OTHER_LENGTHS:
        return ol_crc32(c->input.lengths, n_sequences * sizeof(int32_t));
    case OL_OTHER_PIECE_IDS:
        return ol_crc32(c->input.piece_ids, (size_t)c->input.n_pieces * sizeof(int32_t));
    default:
        return sum_texts(c->input.pieces, c->input.n_pieces);
    }
}

static uint32_t sum_outliers(const struct ol_activation_layout *layout,
                             const struct ol_activation_outliers *o, int table)
{
    const size_t n = (size_t)o->n_values;
    switch (table) {
    case OL_OUTLIER_POSITIONS:
        return ol_crc32(o->positions, (size_t)(layout->n_sequences * layout->d_model *
                                               ol_activation_position_bytes(layout)));
    case OL_OUTLIER_FEATURES:
        return ol_crc32(o->features, n * sizeof *o->features);
    case OL_OUTLIER_CODES:
        return ol_crc32(o->codes, n * sizeof *o->codes);
    default:
        return ol_crc32(o->counts, n * sizeof *o->counts);
    }
}

void ol_activation_sum_input(struct ol_activation_content *c)
{
    for (int t = 0; t < OL_OTHER_NLL; t++)
        if (c->list.of_others[t] >= 0)
            c->list.checksums[c->list.of_others[t]] = sum_input(c, t);
}

void ol_activation_sum_outliers(struct ol_activation_list *list,
                                const struct ol_activation_layout *layout,
                                const struct ol_activation_outliers *outliers)
{
    for (int t = 0; t < OL_N_OUTLIER_TABLES; t++)
        list->checksums[list->of_others[OL_OTHER_OUTLIERS + t]] =
            sum_outliers(layout, outliers, t);
}

const char *ol_activation_damaged_table(const struct ol_activation_content *c)
{
    for (int t = 0; t < OL_N_OTHER_TABLES && c->list.n_tables > 0; t++) {
        const int64_t at = c->list.of_others[t];
        const bool outliers = t >= OL_OTHER_OUTLIERS;
        if (at < 0 || t == OL_OTHER_NLL || (outliers && !c->complete))
            continue;
        const uint32_t sum =
            outliers ? sum_outliers(&c->layout, &c->outliers, t - OL_OTHER_OUTLIERS)
                     : sum_input(c, t);
        if (sum != c->list.checksums[at])
            return other_path(t);
    }
    return NULL;
}
