/* Texts: any bytes, packed or not, JSON or not, become documents of valid UTF-8 or are
 * refused; each gets the same ids whole and in pieces. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/utf8.h"
#include "extract/text/documents.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pieces.h"

const char *const fuzz_seeds[] = {"tests/fuzz/seeds/corpus/*", NULL};
const int fuzz_short_run = 15000;

enum { MOST_BYTES = 4 << 20 /* what is unpacked may be any size */ };

struct document {
    struct ol_tokenizer *t;
    char *text;
    size_t bytes, all;
};

static int take(void *arg, const char *text, size_t bytes, bool is_last,
                struct ol_error *err)
{
    struct document *d = arg;
    (void)err;
    if (!ol_utf8_valid(text, bytes, NULL))
        abort();
    d->text = ol_xrealloc_array(d->text, d->bytes + bytes + 1, 1);
    memcpy(d->text + d->bytes, text, bytes);
    d->bytes += bytes;
    d->all += bytes;
    if (is_last) {
        fuzz_compare_pieces(d->t, d->text, d->bytes, 1 + d->bytes % 61);
        d->bytes = 0;
    }
    return d->all > MOST_BYTES ? OL_ENOUGH : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ol_tokenizer *t;
    static int fd;
    static char path[64];
    struct ol_error none = {0};
    if (t == NULL) {
        t = ol_tokenizer_open("tests/golden/tokenizers/qwen3", &none);
        fd = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (t == NULL || fd < 0 || ftruncate(fd, 0) != 0 ||
        pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    static const char *const fields[] = {NULL, "text", "data.text", ""};
    const char *items[] = {path};
    const struct ol_texts files = {items, 1};
    struct document d = {.t = t};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct ol_error err = {0};
        d.bytes = d.all = 0;
        if (ol_documents_read(&files, fields[i], take, &d, NULL, &err) != 0 &&
            err.text[0] == '\0')
            abort();
    }
    free(d.text);
    return 0;
}
