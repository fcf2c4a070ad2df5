/* What stands where in an activation file: the one description that the writer and the
 * reader share. Private to common/activation_*.c. */
#ifndef OL_ACTIVATION_CONTENT_H
#define OL_ACTIVATION_CONTENT_H

#include "common/activation_file.h"
#include "common/h5.h"

#define OL_ACTIVATION_FORMAT  "ol-activations"
#define OL_ACTIVATION_VERSION 1

enum { OL_ACTIVATION_ALIGNMENT = 4096, OL_ACTIVATION_MAX_LAYER = 999 };

/* The tables of a layer: those before OL_TABLE_WHOLE have one chunk per sequence, which
 * is mapped; the others have one in all, and are copied. */
enum ol_table {
    OL_TABLE_SITES, /* + enum ol_site */
    OL_TABLE_ROUTER_IDS = OL_N_SITES,
    OL_TABLE_ROUTER_WEIGHTS,
    OL_TABLE_TOP_FEATURES,
    OL_TABLE_WRITES,
    OL_TABLE_WHOLE,
    OL_TABLE_UNITS = OL_TABLE_WHOLE,
    OL_TABLE_SUMMARIES, /* + OL_N_SUMMARY_TABLES * enum ol_summary_site */
    OL_TABLE_INPUTS = OL_TABLE_SUMMARIES + 4 * OL_N_SUMMARY_SITES, /* + enum ol_input */
    OL_N_TABLES = OL_TABLE_INPUTS + OL_N_INPUTS,
};

/* Of every site's summary. */
enum ol_summary_table {
    OL_SUMMARY_HISTOGRAM,
    OL_SUMMARY_COLUMNS,
    OL_SUMMARY_COUNTS,
    OL_SUMMARY_MAXIMA,
    OL_N_SUMMARY_TABLES,
};

/* A file's whole description, owned. */
struct ol_activation_content {
    struct ol_activation_info info;
    struct ol_activation_layout layout;
    struct ol_activation_input input;
    struct ol_activation_receipt receipt;
    bool complete;
    /* Chunk offsets in the file: [n_layers * OL_N_TABLES][n_sequences or 1], NULL where
     * there is no table, and those of the likelihoods. */
    uint64_t **offsets;
    uint64_t *nll_offsets;
    struct ol_activation_outliers outliers; /* of a complete file with summaries */
};
void ol_activation_content_clear(struct ol_activation_content *c);

/* Write groups, attributes and datasets (unwritten tables) as path; `complete` is 0. */
int ol_activation_content_write(const char *path, const struct ol_activation_info *info,
                                const struct ol_activation_layout *layout,
                                const struct ol_activation_input *input,
                                struct ol_error *err);

/* Read and check all of it, sealed or not. Start from {0}; clear also after a failure. */
int ol_activation_content_read(const char *path, struct ol_activation_content *c,
                               struct ol_error *err);

/* Which tables there are, where, and of what shape. */
bool ol_activation_has_table(const struct ol_activation_layer *layer, int table);
void ol_activation_table_path(char path[64], int layer, int table);
struct ol_h5_shape ol_activation_table_shape(const struct ol_activation_content *c,
                                             const struct ol_activation_layer *layer,
                                             int table);

/* Datasets of the outliers: /summary/NAME. */
enum ol_outlier_table {
    OL_OUTLIER_POSITIONS,
    OL_OUTLIER_FEATURES,
    OL_OUTLIER_CODES,
    OL_OUTLIER_COUNTS,
    OL_N_OUTLIER_TABLES,
};
const char *ol_activation_outlier_path(int table);
struct ol_h5_shape ol_activation_outlier_shape(const struct ol_activation_layout *layout,
                                               int64_t n_values, int table);
int ol_activation_outliers_write(struct ol_h5 *h,
                                 const struct ol_activation_layout *layout,
                                 const struct ol_activation_outliers *outliers,
                                 struct ol_error *err);
struct ol_h5_shape ol_activation_nll_shape(const struct ol_activation_layout *layout);

/* All attributes of the file but format, format_version and complete. */
int ol_activation_get_attributes(const struct ol_h5 *h, struct ol_activation_info *info,
                                 struct ol_error *err);

/* The receipt's attributes have their room from the beginning, and are written again when
 * it is known. A file may be without. */
int ol_activation_receipt_write(struct ol_h5 *h,
                                const struct ol_activation_receipt *receipt,
                                struct ol_error *err);
int ol_activation_receipt_read(const struct ol_h5 *h,
                               struct ol_activation_receipt *receipt,
                               struct ol_error *err);

/* Bytes of one row (token) of a table with one chunk per sequence, and of a chunk of any
 * table. */
size_t ol_activation_row_bytes(const struct ol_activation_content *c,
                               const struct ol_activation_layer *layer, int table);
size_t ol_activation_chunk_bytes(const struct ol_activation_content *c,
                                 const struct ol_activation_layer *layer, int table);

/* Name of the first attribute (except `created` and `command_line`) in which two
 * descriptions differ, or NULL. */
const char *ol_activation_info_difference(const struct ol_activation_info *a,
                                          const struct ol_activation_info *b);

/* What sealing changes in an unfinished file, kept beside it; removed. */
int ol_activation_undo_keep(const char *partial, const struct ol_activation_content *c,
                            struct ol_error *err);
void ol_activation_undo_forget(const char *partial);

#endif
