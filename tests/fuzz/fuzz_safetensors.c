/* A safetensors file: any bytes are opened or refused; of what is opened every tensor
 * lies in the file. Cases whose size is odd get a length field that fits their header, so
 * that most of them are not refused for that alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "extract/weights/safetensors.h"
#include "tests/fuzz/fuzz.h"

const char *const fuzz_seeds[] = {"tests/golden/models/qwen3/model.safetensors",
                                  "tests/golden/models/llama/model.safetensors",
                                  "tests/golden/models/qwen3_moe-nvfp4/model.safetensors",
                                  NULL};
const int fuzz_short_run = 4000;

enum { LENGTH_BYTES = 8 };

/* The header as it is there: up to the last "}}" of text. */
static uint64_t header_bytes(const uint8_t *data, size_t size)
{
    uint64_t n = 0;
    for (size_t i = LENGTH_BYTES; i + 1 < size && data[i] != 0 && data[i] < 0x80; i++)
        if (data[i] == '}' && data[i + 1] == '}')
            n = i + 2 - LENGTH_BYTES;
    return n;
}

static void use(const struct ol_safetensors *s, size_t size)
{
    int64_t n;
    unsigned sum = 0;
    const struct ol_stored_tensor *t = ol_safetensors_tensors(s, &n);
    for (int64_t i = 0; i < n; i++) {
        if (t[i].offset > size || t[i].bytes > size - t[i].offset || t[i].name == NULL)
            abort();
        if (t[i].bytes > 0)
            sum += ((const uint8_t *)t[i].data)[0] +
                   ((const uint8_t *)t[i].data)[t[i].bytes - 1];
    }
    if (sum == UINT32_MAX)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd;
    static char path[64];
    if (fd == 0) {
        fd = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    uint8_t length[LENGTH_BYTES];
    const bool mended = size % 2 == 1 && size > LENGTH_BYTES;
    const uint64_t n = mended ? header_bytes(data, size) : 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (uint8_t)(n >> (8 * i));
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size ||
        (mended && pwrite(fd, length, sizeof length, 0) != LENGTH_BYTES))
        abort();
    struct ol_error err = {0};
    struct ol_sha256 *sha = ol_sha256_new();
    char hex[OL_SHA256_HEX_BYTES];
    struct ol_safetensors *s = ol_safetensors_open(path, 0, sha, &err);
    ol_sha256_finish(sha, hex);
    if (s != NULL)
        use(s, size);
    else if (err.text[0] == '\0')
        abort();
    ol_safetensors_close(s);
    return 0;
}
