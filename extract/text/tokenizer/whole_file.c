#include "extract/text/tokenizer/whole_file.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/infile.h"

/* Offsets into the tokens' text have 32 bits; the largest known file has 28 MB. */
#define MAX_FILE_BYTES ((long)1 << 30)

char *ol_whole_file(const char *path, size_t *bytes, struct ol_error *err)
{
    FILE *file = ol_infile_open(path, OL_INFILE_REGULAR, err);
    if (file == NULL)
        return NULL;
    char *text = NULL;
    long size = -1;
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > MAX_FILE_BYTES)
        ol_fail(err, "%s: has %ld bytes, expected at most %ld", path, size,
                MAX_FILE_BYTES);
    else if (size >= 0) {
        rewind(file);
        text = ol_xmalloc((size_t)size + 1);
        *bytes = fread(text, 1, (size_t)size, file);
        text[*bytes] = '\0';
    }
    if (text == NULL || *bytes != (size_t)size) {
        ol_fail_errno(err, "%s: cannot be read", path);
        free(text);
        text = NULL;
    }
    ol_infile_close(file);
    return text;
}
