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
    free(list->at);
    *list = (struct ol_activation_list){0};
}

/* ---- what there is to be ---- */

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
    struct ol_activation_list *list = &c->list;
    const int64_t n = ol_tables_n(&c->layout);
    char path[OL_TABLE_PATH];
    *list = (struct ol_activation_list){.at = ol_xcalloc((size_t)n, sizeof *list->at)};
    for (int64_t i = 0; i < n; i++)
        list->at[i] = -1;
    for (struct ol_table_place p = {0}; ol_tables_next(c, &p);) {
        const enum ol_table_storage storage = ol_table_storage(p.table);
        const bool chunked = storage == OL_STORED_ROWS || storage == OL_STORED_WHOLE;
        ol_table_path(path, p.layer != NULL ? p.layer->number : 0, p.table);
        list->at[p.index] =
            append(list, path, ol_table_n_chunks(c, p.table),
                   chunked ? ol_table_chunk_bytes(c, p.layer, p.table) : 0);
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
    for (int t = 0; t < OL_N_FILE_TABLES && !complete; t++)
        if (ol_table_storage(t) == OL_STORED_SEALED &&
            strcmp(table, ol_table_file_path(t)) == 0)
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

static uint32_t sum_table(const struct ol_activation_content *c, int table)
{
    const struct ol_h5_shape shape = ol_table_shape(c, NULL, table);
    const void *memory = *ol_table_memory(c, table);
    return shape.type == OL_H5_TEXT ? sum_texts(memory, shape.dims[0])
                                    : ol_crc32(memory, ol_table_memory_bytes(c, table));
}

void ol_activation_sum(struct ol_activation_content *c, enum ol_table_storage storage)
{
    for (struct ol_table_place p = {0}; ol_tables_next(c, &p);)
        if (ol_table_storage(p.table) == storage && *ol_table_memory(c, p.table) != NULL)
            c->list.checksums[c->list.at[p.index]] = sum_table(c, p.table);
}

const char *ol_activation_damaged_table(const struct ol_activation_content *c)
{
    for (struct ol_table_place p = {0}; c->list.n_tables > 0 && ol_tables_next(c, &p);) {
        const enum ol_table_storage storage = ol_table_storage(p.table);
        const bool read =
            storage == OL_STORED_BEGUN || (storage == OL_STORED_SEALED && c->complete);
        if (read && sum_table(c, p.table) != c->list.checksums[c->list.at[p.index]])
            return ol_table_file_path(p.table);
    }
    return NULL;
}
