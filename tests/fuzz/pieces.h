/* Encoding a text whole and in pieces, for fuzz targets: the ids must be the same. */
#ifndef OL_FUZZ_PIECES_H
#define OL_FUZZ_PIECES_H

#include <stdlib.h>
#include <string.h>

#include "extract/text/tokenizer.h"

/* text is valid UTF-8. A tokenizer may refuse it (a pattern that does not come to an
 * end). */
static inline void fuzz_compare_pieces(struct ol_tokenizer *t, const char *text,
                                       size_t bytes, size_t longest)
{
    struct ol_error err = {0};
    struct ol_ids whole = {0}, ids = {0};
    struct ol_token_stream *s = ol_token_stream_new(t);
    uint64_t seed = longest;
    size_t at = 0, end = 0;
    int status = ol_tokenizer_encode(t, text, bytes, 0, &whole, &err);
    do {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        end = at + 1 + (size_t)(seed >> 33) % longest;
        end = end < bytes ? end : bytes;
        while (end < bytes && ((unsigned char)text[end] & 0xc0) == 0x80)
            end++;
        if (status == 0)
            status =
                ol_token_stream_put(s, text + at, end - at, end == bytes, 0, &ids, &err);
        at = end;
    } while (status == 0 && at < bytes);
    if (status == 0 &&
        (ids.n != whole.n ||
         (ids.n > 0 && memcmp(ids.ids, whole.ids, ids.n * sizeof *ids.ids) != 0)))
        abort();
    if (status < 0 && err.text[0] == '\0')
        abort();
    ol_token_stream_free(s);
    free(ids.ids);
    free(whole.ids);
}

/* Open the tokenizer of a folder, which may be refused with a message; with what is read
 * text (valid UTF-8) is compared in pieces, and it is used. */
static inline void fuzz_open_tokenizer(const char *folder, const char *text,
                                       void (*use)(struct ol_tokenizer *t))
{
    struct ol_error err = {0};
    const size_t bytes = strlen(text);
    struct ol_tokenizer *t = ol_tokenizer_open(folder, &err);
    if (t == NULL && err.text[0] == '\0')
        abort();
    if (t == NULL)
        return;
    for (size_t longest = 1; longest <= bytes; longest *= 3)
        fuzz_compare_pieces(t, text, bytes, longest);
    use(t);
    ol_tokenizer_close(t);
}

#endif
