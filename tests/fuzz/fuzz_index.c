/* model.safetensors.index.json beside two files that never change. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "extract/weights/checkpoint.h"
#include "tests/fuzz/fuzz.h"

const char *const fuzz_seeds[] = {"tests/fuzz/seeds/index/*.json", NULL};
const int fuzz_short_run = 1000;

static char directory[] = "/tmp/ol-fuzz-index-XXXXXX";
static const char *const names[] = {"1.safetensors", "2.safetensors",
                                    "model.safetensors.index.json"};

static void write_file(const char *name, const void *data, size_t n)
{
    char *path = ol_xasprintf("%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, n, file) != n || fclose(file) != 0)
        abort();
    free(path);
}

static void clean_up(void)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = ol_xasprintf("%s/%s", directory, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(directory);
}

static void set_up(void)
{
    static const char header[] =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
        "\"X\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[4,8]}}";
    char file[8 + sizeof header - 1 + 8] = {(char)(sizeof header - 1)};
    if (mkdtemp(directory) == NULL)
        abort();
    atexit(clean_up);
    memcpy(file + 8, header, sizeof header - 1);
    for (int i = 0; i < 2; i++) {
        *strchr(file + 8, i == 0 ? 'X' : 'b') = i == 0 ? 'b' : 'c';
        write_file(names[i], file, sizeof file);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        set_up();
    ready = true;
    write_file(names[2], data, size);
    struct ol_error err = {0};
    const char *first;
    struct ol_checkpoint *c = ol_checkpoint_open(directory, &err);
    if (c == NULL && err.text[0] == '\0')
        abort();
    if (c != NULL && (ol_checkpoint_n_absent(c, &first) > 0) != (first != NULL))
        abort();
    ol_checkpoint_close(c);
    return 0;
}
