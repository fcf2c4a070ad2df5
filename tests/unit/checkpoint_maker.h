/* For tests: directories and safetensors files made on the spot, and how they are
 * described in tests/bad/checkpoint. */
#ifndef OL_TESTS_CHECKPOINT_MAKER_H
#define OL_TESTS_CHECKPOINT_MAKER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"

/* A new empty directory; the caller frees the name and calls remove_directory. */
static inline char *make_directory(void)
{
    char *path = ol_xstrdup("/tmp/ol-test-XXXXXX");
    if (mkdtemp(path) == NULL)
        abort();
    return path;
}

static inline void remove_directory(char *path)
{
    char *command = ol_xasprintf("rm -rf '%s'", path);
    if (system(command) != 0)
        abort();
    free(command);
    free(path);
}

static inline FILE *create_file(const char *directory, const char *name)
{
    char *path = ol_xasprintf("%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        abort();
    free(path);
    return file;
}

static inline void write_text(const char *directory, const char *name, const char *text)
{
    FILE *file = create_file(directory, name);
    fputs(text, file);
    fclose(file);
}

/* Byte i of the data is i modulo 251. */
static inline void write_data(FILE *file, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        fputc((int)(i % 251), file);
}

static inline void write_length(FILE *file, uint64_t length)
{
    for (int i = 0; i < 8; i++)
        fputc((int)(length >> (8 * i) & 0xff), file);
}

static inline void write_safetensors(const char *directory, const char *name,
                                     const char *header, size_t data_bytes)
{
    FILE *file = create_file(directory, name);
    write_length(file, strlen(header));
    fputs(header, file);
    write_data(file, data_bytes);
    fclose(file);
}

#endif
