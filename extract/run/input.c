/* The tokens of a run, and their text. */
#include "extract/run/session.h"

#include <inttypes.h>
#include <stdlib.h>

static int compare_ids(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

int ol_session_join_ids(struct ol_session *r, struct ol_error *err)
{
    const struct ol_corpus *c = &r->corpus;
    const int64_t vocab_size = r->model.spec.vocab_size;
    if (c->n_sequences * c->n_tokens > OL_MOST_TOKENS)
        return ol_fail(err,
                       "%s: %" PRId64 " sequences of up to %" PRId64
                       " tokens, expected at most %d tokens in all",
                       c->source, c->n_sequences, c->n_tokens, OL_MOST_TOKENS);
    for (int64_t s = 0; s < c->n_sequences; s++)
        if (ol_spec_check_length(&r->model.spec, c->lengths[s], err) != 0)
            return -1;
    r->ids = ol_xcalloc((size_t)(c->n_sequences * c->n_tokens), sizeof *r->ids);
    for (int64_t s = 0; s < c->n_sequences; s++) {
        for (int64_t t = 0; t < c->lengths[s]; t++) {
            const int32_t id = c->ids[s * c->n_tokens + t];
            if (id < 0 || id >= vocab_size)
                return ol_fail(err,
                               "%s: token id %" PRId32 " (sequence %" PRId64
                               ", token %" PRId64
                               ") is outside the model's vocabulary, 0 to %" PRId64,
                               c->source, id, s, t, vocab_size - 1);
            r->ids[r->n_rows++] = id;
        }
    }
    return 0;
}

/* The text of every id that occurs; none without a tokenizer. */
void ol_session_name_pieces(struct ol_session *r)
{
    r->input.token_ids = r->corpus.ids;
    r->input.lengths = r->corpus.lengths;
    if (r->tokenizer == NULL)
        return;
    int32_t *ids = ol_xcalloc((size_t)r->n_rows, sizeof *ids);
    memcpy(ids, r->ids, (size_t)r->n_rows * sizeof *ids);
    qsort(ids, (size_t)r->n_rows, sizeof *ids, compare_ids);
    int64_t n = 0;
    for (int64_t i = 0; i < r->n_rows; i++)
        if (n == 0 || ids[i] != ids[n - 1])
            ids[n++] = ids[i];
    char **pieces = ol_xcalloc((size_t)n, sizeof *pieces);
    for (int64_t i = 0; i < n; i++)
        pieces[i] = ol_tokenizer_piece(r->tokenizer, ids[i]);
    r->input.n_pieces = n;
    r->input.piece_ids = ids;
    r->input.pieces = (const char *const *)pieces;
}

int64_t ol_session_length(const struct ol_run_request *request, int positions)
{
    const int64_t length = request->corpus.length;
    return request->usual_length && positions > 0 && positions < length ? positions
                                                                        : length;
}

void ol_session_tell_length(const struct ol_run_request *request, int positions)
{
    const int64_t length = ol_session_length(request, positions);
    if (length < request->corpus.length)
        ol_note("sequences of %" PRId64 " tokens, not %" PRId64
                ": the model has embeddings for no more positions",
                length, request->corpus.length);
}

int ol_session_read_corpus(struct ol_session *r, const char *directory,
                           struct ol_error *err)
{
    struct ol_corpus_request request = r->request->corpus;
    request.bos = r->request->bos_auto && request.ids_file == NULL;
    request.length = ol_session_length(r->request, ol_model_positions(directory));
    const char *file;
    int status = ol_tokenizer_find(directory, &file, err);
    /* Ids need no tokenizer; with one their text is kept too. */
    if (status == 0 && (request.ids_file == NULL || file != NULL)) {
        r->tokenizer = ol_tokenizer_open(directory, err);
        status = r->tokenizer != NULL ? 0 : -1;
    }
    if (status != 0)
        return -1;
    return ol_corpus_read(&request, r->tokenizer, &r->corpus, err) != 0
               ? -1
               : ol_session_take_part(r, err);
}
