/* tiktoken.model, and the tokenizer_config.json beside it: whatever stands in one of them
 * is read or refused; with what is read a text gets the same ids whole and in pieces. */
#include <stdio.h>
#include <unistd.h>

#include "common/utf8.h"
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

static char directory[] = "/tmp/fuzz_tiktoken_XXXXXX";
static char model[sizeof directory + sizeof "/tiktoken.model"];
static char config[sizeof directory + sizeof "/tokenizer_config.json"];

static void remove_all(void)
{
    unlink(model);
    unlink(config);
    rmdir(directory);
}

static void copy(const char *from, const char *to)
{
    char bytes[1 << 14];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (in == NULL || out == NULL)
        abort();
    const size_t n = fread(bytes, 1, sizeof bytes, in);
    if (n == sizeof bytes || fwrite(bytes, 1, n, out) != n || fclose(out) != 0)
        abort();
    fclose(in);
}

static void use(struct ol_tokenizer *t)
{
    struct ol_error err = {0};
    struct ol_ids ids = {0};
    size_t bytes;
    for (size_t longest = 1; longest < sizeof text; longest *= 3)
        fuzz_compare_pieces(t, text, sizeof text - 1, longest);
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
    if (model[0] == '\0') {
        if (mkdtemp(directory) == NULL)
            abort();
        snprintf(model, sizeof model, "%s/tiktoken.model", directory);
        snprintf(config, sizeof config, "%s/tokenizer_config.json", directory);
        atexit(remove_all);
    }
    const char *path = size > 0 && data[0] == '{' ? config : model;
    copy(FOLDER "tiktoken.model", model);
    copy(FOLDER "tokenizer_config.json", config);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
    struct ol_error err = {0};
    struct ol_tokenizer *t = ol_tokenizer_open(directory, &err);
    if (t == NULL)
        return err.text[0] != '\0' ? 0 : (abort(), 0);
    use(t);
    ol_tokenizer_close(t);
    return 0;
}
