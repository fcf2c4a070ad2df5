#include "extract/text/reference.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "extract/text/documents.h"

/* A document is put behind what is left of those before, a space between; while there are
 * as many tokens as a sequence has, the first of them become one, as text, and half as
 * many are dropped, by decoding the others. Special tokens are skipped by every decoding,
 * those of a document that comes later therefore later: they count until then. */
struct reference {
    const struct ol_corpus_request *request;
    struct ol_tokenizer *tokenizer;
    struct ol_sha256 *sha;
    struct ol_token_stream *stream;
    char *left; /* the text that has not been dropped */
    size_t bytes, room;
    struct ol_ids ids; /* of it */
    bool inside;       /* a document */
    struct ol_ids *sequences;
    size_t n; /* of them that are made */
};

/* Ids far behind the last sequence change nothing in it. */
static size_t enough_ids(const struct reference *r)
{
    const size_t length = (size_t)r->request->length;
    return ((size_t)r->request->n_sequences - r->n + 4) * length + 4096;
}

static void append(struct reference *r, const char *text, size_t bytes)
{
    if (r->room - r->bytes < bytes) {
        r->room = 2 * r->room + bytes;
        r->left = ol_xrealloc_array(r->left, r->room, 1);
    }
    if (bytes > 0)
        memcpy(r->left + r->bytes, text, bytes);
    r->bytes += bytes;
}

/* One sequence: the first n ids as text, encoded again with the tokens around it. */
static int encode_again(struct reference *r, size_t n, struct ol_error *err)
{
    size_t bytes;
    struct ol_ids *sequence = &r->sequences[r->n];
    char *text = ol_tokenizer_decode(r->tokenizer, r->ids.ids, n, true, &bytes);
    int n_prefix, n_suffix;
    const int32_t *prefix = ol_tokenizer_prefix(r->tokenizer, &n_prefix),
                  *suffix = ol_tokenizer_suffix(r->tokenizer, &n_suffix);
    for (int i = 0; r->request->bos && i < n_prefix; i++)
        ol_ids_append(sequence, prefix[i]);
    const int status = ol_tokenizer_encode(r->tokenizer, text, bytes, 0, sequence, err);
    for (int i = 0; r->request->bos && i < n_suffix; i++)
        ol_ids_append(sequence, suffix[i]);
    free(text);
    return status;
}

/* All sequences that what is left has, whose ids are known: the number of tokens that
 * remain is taken before they are encoded again. */
static int cut(struct reference *r, struct ol_error *err)
{
    const size_t length = (size_t)r->request->length, dropped = length / 2;
    for (size_t remain = r->ids.n;
         remain >= length && r->n < (size_t)r->request->n_sequences;) {
        const size_t n = r->ids.n < length ? r->ids.n : length,
                     from = r->ids.n < dropped ? r->ids.n : dropped;
        if (encode_again(r, n, err) != 0)
            return -1;
        r->n++;
        remain = r->ids.n - from;
        free(r->left);
        r->left =
            ol_tokenizer_decode(r->tokenizer, r->ids.ids + from, remain, true, &r->bytes);
        r->room = r->bytes;
        r->ids.n = 0;
        if (ol_tokenizer_encode(r->tokenizer, r->left, r->bytes, enough_ids(r), &r->ids,
                                err) != 0)
            return -1;
    }
    return 0;
}

/* 1 once there are enough ids for all sequences, whatever follows. */
static int put(struct reference *r, const char *text, size_t bytes, bool is_last,
               struct ol_error *err)
{
    return ol_token_stream_put(r->stream, text, bytes, is_last, enough_ids(r), &r->ids,
                               err);
}

static int take_text(void *arg, const char *text, size_t bytes, bool is_last,
                     struct ol_error *err)
{
    struct reference *r = arg;
    int status = 0;
    ol_sha256_update(r->sha, text, bytes);
    if (!r->inside) {
        r->ids.n = 0;
        append(r, " ", 1);
        status = put(r, r->left, r->bytes, false, err);
    }
    r->inside = !is_last;
    if (status == 0) {
        append(r, text, bytes);
        status = put(r, text, bytes, is_last, err);
    }
    if (status < 0 || (status == 0 && !is_last))
        return status;
    if (cut(r, err) != 0)
        return -1;
    return status == 1 || r->n == (size_t)r->request->n_sequences ? OL_ENOUGH : 0;
}

int ol_reference_read(const struct ol_corpus_request *request,
                      struct ol_tokenizer *tokenizer, struct ol_sha256 *sha,
                      struct ol_ids *sequences, char **source, struct ol_error *err)
{
    struct reference r = {.request = request,
                          .tokenizer = tokenizer,
                          .sha = sha,
                          .stream = ol_token_stream_new(tokenizer),
                          .sequences = sequences};
    int status = ol_documents_read(request->text_files, request->text_field, take_text,
                                   &r, source, err);
    if (status == 0 && r.n < (size_t)request->n_sequences)
        status = ol_fail(err,
                         "the text is too short: sequence %zu of %" PRId64
                         " finds %zu tokens left, but %" PRId64 " are needed (-n, -l)",
                         r.n + 1, request->n_sequences, r.ids.n, request->length);
    free(r.left);
    free(r.ids.ids);
    ol_token_stream_free(r.stream);
    return status;
}
