/* tiktoken.model, and the tokenizer_config.json beside it: whatever stands in one of them
 * is read or refused; with what is read a text gets the same ids whole and in pieces. */
#include "tests/fuzz/folder.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pieces.h"

#define FOLDER "tests/golden/tokenizers/kimi-k2/"
const char *const fuzz_seeds[] = {FOLDER "tiktoken.model", FOLDER "tokenizer_config.json",
                                  NULL};
const int fuzz_short_run = 1000;

static const char text[] =
    "Hello world,  it's 12345 o'clock!\r\n\n [EOS]<|im_user|>\xc3\xa9 e\xcc\x81 "
    "\xe4\xbd\xa0\xe5\xa5\xbd x\xe3\x80\x85 \xe3\x81\x8b\xe3\x82\x99\t\xf0\x9f\x99\x82 "
    "the dog, THE DOG's <|reserved_token_1000|>  x_y=0x1F;\n";

static void copy(const char *name)
{
    char bytes[1 << 14], *path = ol_xasprintf(FOLDER "%s", name);
    FILE *in = fopen(path, "rb");
    const size_t n = in != NULL ? fread(bytes, 1, sizeof bytes, in) : sizeof bytes;
    if (n == sizeof bytes)
        abort();
    fclose(in);
    free(path);
    fuzz_folder_write(name, bytes, n);
}

static void use(struct ol_tokenizer *t)
{
    struct ol_error err = {0};
    struct ol_ids ids = {0};
    size_t bytes;
    if (ol_tokenizer_encode(t, text, sizeof text - 1, 0, &ids, &err) != 0)
        abort();
    /* Every byte has a token, and none is lost. */
    char *back = ol_tokenizer_decode(t, ids.ids, ids.n, false, &bytes);
    if (bytes != sizeof text - 1 || memcmp(back, text, bytes) != 0)
        abort();
    free(back);
    free(ids.ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const bool is_config = size > 0 && data[0] == '{';
    copy(is_config ? "tiktoken.model" : "tokenizer_config.json");
    fuzz_folder_write(is_config ? "tokenizer_config.json" : "tiktoken.model", data, size);
    fuzz_open_tokenizer(fuzz_folder, text, use);
    return 0;
}
