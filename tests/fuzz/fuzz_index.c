/* model.safetensors.index.json beside two files that never change. */
#include <stdlib.h>
#include <string.h>

#include "extract/weights/checkpoint.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"

const char *const fuzz_seeds[] = {"tests/fuzz/seeds/index/*.json", NULL};
const int fuzz_short_run = 1000;

static const char *const names[] = {"1.safetensors", "2.safetensors"};

static void set_up(void)
{
    static const char header[] =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
        "\"X\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[4,8]}}";
    char file[8 + sizeof header - 1 + 8] = {(char)(sizeof header - 1)};
    memcpy(file + 8, header, sizeof header - 1);
    for (int i = 0; i < 2; i++) {
        *strchr(file + 8, i == 0 ? 'X' : 'b') = i == 0 ? 'b' : 'c';
        fuzz_folder_write(names[i], file, sizeof file);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        set_up();
    ready = true;
    fuzz_folder_write("model.safetensors.index.json", data, size);
    struct ol_error err = {0};
    const char *first;
    struct ol_checkpoint *c = ol_checkpoint_open(fuzz_folder, &err);
    if (c == NULL && err.text[0] == '\0')
        abort();
    if (c != NULL && (ol_checkpoint_n_absent(c, &first) > 0) != (first != NULL))
        abort();
    ol_checkpoint_close(c);
    return 0;
}
