/* What stands where in an activation file: the one description that the writer and the
 * reader share. Private to common/activation_*.c. */
#ifndef OL_ACTIVATION_CONTENT_H
#define OL_ACTIVATION_CONTENT_H

#include "common/activation_file.h"
#include "common/h5.h"

#define OL_ACTIVATION_FORMAT  "ol-activations"
#define OL_ACTIVATION_VERSION 2

enum {
    OL_ACTIVATION_OLDEST_VERSION = 1, /* that is read; it has no list of tables */
};
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

/* Tables beside the layers', in the order of the list. */
enum ol_other_table {
    OL_OTHER_TOKEN_IDS,
    OL_OTHER_LENGTHS,
    OL_OTHER_PIECE_IDS,
    OL_OTHER_PIECES,
    OL_OTHER_NLL,
    OL_OTHER_OUTLIERS, /* + enum ol_outlier_table */
    OL_N_OTHER_TABLES = OL_OTHER_OUTLIERS + 4,
};

/* Every table that the file was meant to hold, and a checksum of each of its chunks (of
 * the whole table where it is not stored chunk by chunk as it is):
 *
 *     tables     /input/token_ids | /input/nll | ... | /layers/000/ln_attn | ...
 *     checksums         1         |   n_seq    |     |       n_seq         |
 */
struct ol_activation_list {
    int64_t n_tables, n_checksums; /* 0 tables: an old file, without */
    char (*paths)[64];             /* [n_tables] */
    int64_t *n_chunks;             /* [n_tables] */
    _Atomic uint32_t *checksums;   /* [n_checksums]; of zeros, until there is more */
    /* Where a table's checksums begin; -1: there is no such table. */
    int64_t of_others[OL_N_OTHER_TABLES], *of_layers; /* [n_layers * OL_N_TABLES] */
};

/* A file's whole description, owned. */
struct ol_activation_content {
    int64_t version;
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
    struct ol_activation_list list;
    uint64_t checksums_at; /* their offset in the file */
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

/* The list: what a file of that description is meant to hold, every checksum that of
 * zeros; written before anything else has been, read, and compared with the tables that
 * there are. */
void ol_activation_list_make(struct ol_activation_content *c);
void ol_activation_list_clear(struct ol_activation_list *list);
int ol_activation_list_write(struct ol_h5 *h, const struct ol_activation_list *list,
                             struct ol_error *err);
/* The list as it is in the file, whose tables must all be there (those of the outliers
 * only when it is complete); none in an old file. */
int ol_activation_list_read(const struct ol_h5 *h, const char *path, bool complete,
                            struct ol_activation_list *list, struct ol_error *err);
/* That the file has the tables listed and no others; c->list becomes one in the order of
 * c's tables. Takes `found` over. */
int ol_activation_list_accept(struct ol_activation_content *c, const char *path,
                              struct ol_activation_list *found, struct ol_error *err);
const char *ol_activation_checksums_path(void);

/* Checksums of the tables that HDF5 writes, from memory. */
void ol_activation_sum_input(struct ol_activation_content *c);
void ol_activation_sum_outliers(struct ol_activation_list *list,
                                const struct ol_activation_layout *layout,
                                const struct ol_activation_outliers *outliers);
/* The first table that is not what its checksum says, or NULL. */
const char *ol_activation_damaged_table(const struct ol_activation_content *c);

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

/* In what a file is not of that run, or is not what another is, in words; or NULL. */
const char *ol_activation_run_difference(const struct ol_activation_content *c,
                                         const struct ol_activation_info *info,
                                         const struct ol_activation_layout *layout,
                                         const struct ol_activation_input *input);
const char *ol_activation_difference(const struct ol_activation_content *a,
                                     const struct ol_activation_content *b);

/* Bytes that an open file, laid out and not written, takes on the disk until it is
 * sealed, with what is kept meanwhile; -1 and errno on failure. */
int64_t ol_activation_room(int fd, const struct ol_activation_layout *layout);

/* What sealing changes in an unfinished file, kept beside it; put back into it when it is
 * there; removed. */
int ol_activation_undo_keep(const char *partial, const struct ol_activation_content *c,
                            struct ol_error *err);
int ol_activation_undo_put_back(const char *partial, struct ol_error *err);
void ol_activation_undo_forget(const char *partial);

#endif
