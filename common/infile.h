/* Input files: every one is opened here, so that a FIFO is waited for only where a stream
 * is meant, and so that no output can replace a file that was read (output.h). */
#ifndef OL_INFILE_H
#define OL_INFILE_H

#include <stdio.h>
#include <sys/stat.h>

#include "common/error.h"

enum ol_infile_kind {
    OL_INFILE_REGULAR, /* config.json, weights, recordings: anything else is refused */
    OL_INFILE_STREAM,  /* texts, results: FIFOs and devices too, "-" is standard input */
};

/* Open path for reading; NULL on failure. stdin must not be closed: ol_infile_close
 * knows. */
FILE *ol_infile_open(const char *path, enum ol_infile_kind kind, struct ol_error *err);
void ol_infile_close(FILE *file); /* NULL is fine */

/* The same of a regular file, as a descriptor of the caller's; -1 on failure. */
int ol_infile_descriptor(const char *path, struct ol_error *err);

/* Count a file among the inputs before it is opened, if it is there. */
void ol_infile_expect(const char *path);

/* The name by which that file, the same device and inode, was opened as an input of this
 * process; NULL: it was not. */
const char *ol_infile_name(const struct stat *file);

/* "a directory", "a FIFO", ...: what a file is that is not what it should be. */
const char *ol_file_kind(mode_t mode);

#endif
