/* A folder of this process' own, for fuzz targets whose cases are files beside others. It
 * goes when the process ends. */
#ifndef OL_FUZZ_FOLDER_H
#define OL_FUZZ_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"

enum { FUZZ_FOLDER_FILES = 4 };

static char fuzz_folder[] = "/tmp/ol-fuzz-XXXXXX";
static char *fuzz_folder_paths[FUZZ_FOLDER_FILES];

static inline void fuzz_folder_remove(void)
{
    for (int i = 0; i < FUZZ_FOLDER_FILES && fuzz_folder_paths[i] != NULL; i++) {
        unlink(fuzz_folder_paths[i]);
        free(fuzz_folder_paths[i]);
    }
    rmdir(fuzz_folder);
}

/* Where the file of that name is written; the folder is made with its first. */
static inline const char *fuzz_folder_path(const char *name)
{
    int i = 0;
    for (; i < FUZZ_FOLDER_FILES && fuzz_folder_paths[i] != NULL; i++)
        if (strcmp(strrchr(fuzz_folder_paths[i], '/') + 1, name) == 0)
            return fuzz_folder_paths[i];
    if (i == FUZZ_FOLDER_FILES || (i == 0 && mkdtemp(fuzz_folder) == NULL))
        abort();
    if (i == 0)
        atexit(fuzz_folder_remove);
    return fuzz_folder_paths[i] = ol_xasprintf("%s/%s", fuzz_folder, name);
}

static inline void fuzz_folder_write(const char *name, const void *data, size_t n)
{
    FILE *file = fopen(fuzz_folder_path(name), "wb");
    if (file == NULL || fwrite(data, 1, n, file) != n || fclose(file) != 0)
        abort();
}

#endif
