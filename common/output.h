/* Where an output may go, asked before the work and once more before it is written. */
#ifndef OL_OUTPUT_H
#define OL_OUTPUT_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

enum ol_output_kind {
    OL_OUTPUT_STREAM, /* bytes in order: FIFOs and character devices are written into,
                         "-" and NULL are standard output */
    OL_OUTPUT_FILE,   /* an activation file: a regular one, or none yet */
};

struct ol_output {
    char *path; /* with symbolic links followed: a file is made beside it and renamed;
                   NULL: `name` is written into, as it is */
    const char *name; /* as it was given, borrowed; NULL: standard output */
    bool exists;
    mode_t mode; /* of a file that exists, */
    uid_t owner;
    gid_t group;
};

/* Fails, whatever an output of that kind must not be: a directory, a file of this
 * process's inputs by whatever name (infile.h), a block device; in a directory that is
 * not there or cannot be written into; a name too long for what is put behind it while it
 * is not whole. Clear it also after a failure. */
int ol_output_find(const char *name, enum ol_output_kind kind, struct ol_output *output,
                   struct ol_error *err);
void ol_output_clear(struct ol_output *output);

/* The directory in which its file is made; of one that has a path. The caller frees. */
char *ol_output_directory(const struct ol_output *output);

/* Whether two outputs that were found would be one file. */
bool ol_output_same(const struct ol_output *a, const struct ol_output *b);

/* Whether it can be found, and nothing else. */
int ol_output_check(const char *name, enum ol_output_kind kind, struct ol_error *err);

/* Give an open file the mode of the one that it will replace, and its owner as far as
 * that is allowed; without one nothing is changed. */
int ol_output_keep_mode(const struct ol_output *output, int fd, struct ol_error *err);

#endif
