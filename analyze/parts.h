/* One run from one or several activation files: sequences are numbered through all of
 * them, in the order of the parts where the files say which part they are (ol-extract
 * --part), else in the order in which they are given. */
#ifndef OL_ANALYZE_PARTS_H
#define OL_ANALYZE_PARTS_H

#include "common/activation_file.h"

struct ol_parts {
    struct ol_activation_file **files; /* [n_files], owned */
    int n_files;
    int64_t n_sequences, n_tokens; /* tokens: of all sequences */
    /* [n_sequences]: file and number in the file of each sequence, and its tokens. */
    int *file_of;
    int64_t *number_of;
    int32_t *lengths;
};

/* Open the files and check that they belong together: the same model, layers and sites,
 * and where they are numbered, one run. Start from {0}; clear also after a failure. */
int ol_parts_open(struct ol_parts *parts, const char *const *paths, int n,
                  struct ol_error *err);
/* Make one run of them: no part of it is missing, none is there twice. */
int ol_parts_join(struct ol_parts *parts, struct ol_error *err);
void ol_parts_clear(struct ol_parts *parts);

/* ol_activation_intact of every file. */
int ol_parts_intact(const struct ol_parts *parts, struct ol_error *err);

/* Info and layout of the first file; layers and sites are the same in all. */
const struct ol_activation_info *ol_parts_info(const struct ol_parts *parts);
const struct ol_activation_layout *ol_parts_layout(const struct ol_parts *parts);

/* Files whose inputs are different ones, from the first on: numbered parts have one. */
int ol_parts_n_inputs(const struct ol_parts *parts);

/* Of all files together: sums, and the largest of the peaks. */
struct ol_activation_receipt ol_parts_receipt(const struct ol_parts *parts);

#endif
