/* tokenizer.json: any text is read or refused; with what is read a text gets the same ids
 * whole and in pieces, and ids become text. */
#include "common/utf8.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pieces.h"

const char *const fuzz_seeds[] = {"tests/golden/tokenizers/*/tokenizer.json", NULL};
const int fuzz_short_run = 2000;

static const char text[] =
    "Hello world,  it's 12345 o'clock!\r\n\n <|endoftext|> <s>\xc3\xa9 e\xcc\x81 "
    "\xe4\xbd\xa0\xe5\xa5\xbd \xe3\x81\x8b\xe3\x82\x99\t\xf0\x9f\x99\x82 ... "
    "aaaaaaaaaaaaaaa "
    "the dog, THE DOG's <unk></s>  x_y=0x1F;\n";

static void use(struct ol_tokenizer *t)
{
    struct ol_error err = {0};
    struct ol_ids ids = {0};
    size_t bytes;
    if (ol_tokenizer_encode(t, text, sizeof text - 1, 0, &ids, &err) == 0) {
        char *back = ol_tokenizer_decode(t, ids.ids, ids.n, true, &bytes);
        if (!ol_utf8_valid(back, bytes, NULL))
            abort();
        free(back);
        for (size_t i = 0; i < ids.n; i++)
            free(ol_tokenizer_piece(t, ids.ids[i]));
    }
    int n;
    const int32_t *prefix = ol_tokenizer_prefix(t, &n);
    for (int i = 0; i < n; i++)
        free(ol_tokenizer_piece(t, prefix[i]));
    free(ids.ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_folder_write("tokenizer.json", data, size);
    fuzz_open_tokenizer(fuzz_folder, text, use);
    return 0;
}
