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

enum { OL_TABLE_PATH = 64 };

enum ol_table_storage { /* tables.h says what they are */
                        OL_STORED_ROWS,
                        OL_STORED_WHOLE,
                        OL_STORED_BEGUN,
                        OL_STORED_SEALED,
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
    int64_t *at; /* [ol_tables_n]: where a table's begin; -1: there is no such table */
};

/* A file's whole description, owned. */
struct ol_activation_content {
    int64_t version;
    struct ol_activation_info info;
    struct ol_activation_layout layout;
    struct ol_activation_input input;
    struct ol_activation_receipt receipt;
    bool complete;
    /* Chunk offsets in the file: [ol_tables_n][n_sequences or 1], NULL where there is no
     * table of ROWS or WHOLE. */
    uint64_t **offsets;
    struct ol_activation_outliers outliers; /* of a complete file with summaries */
    struct ol_activation_arms arms;         /* of a complete file with an ablation */
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

/* ---- tables (tables.c); `layer` is NULL for those of the whole file ---- */

enum ol_table_storage ol_table_storage(int table);
bool ol_table_is_there(const struct ol_activation_content *c,
                       const struct ol_activation_layer *layer, int table);
void ol_table_path(char path[OL_TABLE_PATH], int layer, int table);
const char *ol_table_file_path(int table); /* of one of the whole file */
struct ol_h5_shape ol_table_shape(const struct ol_activation_content *c,
                                  const struct ol_activation_layer *layer, int table);
/* Bytes of one token's row of ROWS, and of a chunk; how many chunks there are. */
size_t ol_table_row_bytes(const struct ol_activation_content *c,
                          const struct ol_activation_layer *layer, int table);
size_t ol_table_chunk_bytes(const struct ol_activation_content *c,
                            const struct ol_activation_layer *layer, int table);
int64_t ol_table_n_chunks(const struct ol_activation_content *c, int table);
/* Of BEGUN and SEALED: the member that holds all of it, and its bytes (of texts: those of
 * the pointers). */
void **ol_table_memory(const struct ol_activation_content *c, int table);
size_t ol_table_memory_bytes(const struct ol_activation_content *c, int table);

/* The tables that a file has, one after another as they stand in it; start from {0}. */
struct ol_table_place {
    bool begun;
    int table, i_layer;
    const struct ol_activation_layer *layer; /* NULL: of the whole file */
    int64_t index;                           /* below ol_tables_n */
};
bool ol_tables_next(const struct ol_activation_content *c, struct ol_table_place *p);
int64_t ol_tables_n(const struct ol_activation_layout *layout);
int64_t ol_table_index(int i_layer, int table);

/* ---- the list ---- */

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

/* Checksums of the tables that HDF5 writes, from memory: those of BEGUN, or of SEALED. */
void ol_activation_sum(struct ol_activation_content *c, enum ol_table_storage storage);
/* The first table that is not what its checksum says, or NULL. */
const char *ol_activation_damaged_table(const struct ol_activation_content *c);

/* Make the datasets of BEGUN, or of SEALED, and write them from memory. */
int ol_activation_write_tables(struct ol_h5 *h, const struct ol_activation_content *c,
                               enum ol_table_storage storage, struct ol_error *err);

/* All attributes of the file but format, format_version and complete. */
int ol_activation_get_attributes(const struct ol_h5 *h, struct ol_activation_info *info,
                                 struct ol_error *err);
/* That a part is one: which of the run's sequences it says it holds. */
int ol_activation_check_part(const char *path, const struct ol_activation_info *info,
                             int64_t n_sequences, struct ol_error *err);

/* The receipt's attributes have their room from the beginning, and are written again when
 * it is known. A file may be without. */
int ol_activation_receipt_write(struct ol_h5 *h,
                                const struct ol_activation_receipt *receipt,
                                struct ol_error *err);
int ol_activation_receipt_read(const struct ol_h5 *h,
                               struct ol_activation_receipt *receipt,
                               struct ol_error *err);

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
int ol_activation_room(int fd, const struct ol_activation_layout *layout,
                       struct ol_activation_bytes *bytes);

/* What sealing changes in an unfinished file, kept beside it; put back into it when it is
 * there; removed. */
int ol_activation_undo_keep(const char *partial, const struct ol_activation_content *c,
                            struct ol_error *err);
int ol_activation_undo_put_back(const char *partial, struct ol_error *err);
void ol_activation_undo_forget(const char *partial);

#endif
