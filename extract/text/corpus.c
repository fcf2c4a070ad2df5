#include "extract/text/corpus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "extract/text/documents.h"
#include "extract/text/reference.h"
#include "extract/text/textfile.h"

/* ---- the tokens in front of a window ---- */

static struct ol_ids begin_sequence(const struct ol_corpus_request *request,
                                    const struct ol_tokenizer *tokenizer)
{
    struct ol_ids prefix = {0};
    int n = 0;
    const int32_t *ids = ol_tokenizer_prefix(tokenizer, &n);
    for (int i = 0; request->bos && i < n; i++)
        ol_ids_append(&prefix, ids[i]);
    return prefix;
}

static int too_little(const struct ol_corpus_request *request, size_t found,
                      struct ol_error *err)
{
    return ol_fail(err,
                   "the text has %zu tokens, but %" PRId64 " sequences of %" PRId64
                   " were asked for (-n, -l)",
                   found, request->n_sequences, request->length);
}

static void allocate(struct ol_corpus *c, int64_t n_sequences, int64_t n_tokens)
{
    c->n_sequences = n_sequences;
    c->n_tokens = n_tokens;
    c->ids = ol_xcalloc((size_t)n_sequences, (size_t)n_tokens * sizeof *c->ids);
    memset(c->ids, 0xff,
           (size_t)n_sequences * (size_t)n_tokens * sizeof *c->ids); /* -1 */
    c->lengths = ol_xcalloc((size_t)n_sequences, sizeof *c->lengths);
}

/* ---- windowing `contiguous` ---- */

struct contiguous {
    struct ol_token_stream *stream;
    struct ol_sha256 *sha;
    struct ol_ids ids;
    size_t wanted; /* ids */
};

static int encode_text(void *arg, const char *text, size_t bytes, bool is_last,
                       struct ol_error *err)
{
    struct contiguous *c = arg;
    ol_sha256_update(c->sha, text, bytes);
    return ol_token_stream_put(c->stream, text, bytes, is_last, c->wanted, &c->ids, err);
}

static int read_contiguous(const struct ol_corpus_request *request,
                           struct ol_tokenizer *tokenizer, struct ol_sha256 *sha,
                           struct ol_corpus *corpus, struct ol_error *err)
{
    struct ol_ids prefix = begin_sequence(request, tokenizer);
    const int64_t own = request->length - (int64_t)prefix.n;
    struct contiguous c = {.stream = ol_token_stream_new(tokenizer),
                           .sha = sha,
                           .wanted = (size_t)(request->n_sequences * own)};
    int status = -1;
    if (own < 1)
        ol_fail(err,
                "-l %" PRId64 ": sequences must be longer than the %zu tokens in front",
                request->length, prefix.n);
    else if (ol_documents_read(request->text_files, request->text_field, encode_text, &c,
                               &corpus->source, err) != 0)
        status = -1;
    else if (c.ids.n < c.wanted)
        too_little(request, c.ids.n, err);
    else
        status = 0;
    if (status == 0) {
        allocate(corpus, request->n_sequences, request->length);
        for (int64_t s = 0; s < corpus->n_sequences; s++) {
            int32_t *row = corpus->ids + s * corpus->n_tokens;
            if (prefix.n > 0)
                memcpy(row, prefix.ids, prefix.n * sizeof *row);
            memcpy(row + prefix.n, c.ids.ids + s * own, (size_t)own * sizeof *row);
            corpus->lengths[s] = (int32_t)request->length;
        }
        corpus->bos = prefix.n > 0;
    }
    ol_token_stream_free(c.stream);
    free(c.ids.ids);
    free(prefix.ids);
    return status;
}

/* ---- windowing `reference` ---- */

static int read_reference(const struct ol_corpus_request *request,
                          struct ol_tokenizer *tokenizer, struct ol_sha256 *sha,
                          struct ol_corpus *corpus, struct ol_error *err)
{
    struct ol_ids *sequences =
        ol_xcalloc((size_t)request->n_sequences, sizeof *sequences);
    const int status =
        ol_reference_read(request, tokenizer, sha, sequences, &corpus->source, err);
    int64_t longest = 0;
    for (int64_t s = 0; s < request->n_sequences; s++)
        longest = (int64_t)sequences[s].n > longest ? (int64_t)sequences[s].n : longest;
    if (status == 0) {
        int n;
        ol_tokenizer_prefix(tokenizer, &n);
        allocate(corpus, request->n_sequences, longest);
        for (int64_t s = 0; s < corpus->n_sequences; s++) {
            memcpy(corpus->ids + s * longest, sequences[s].ids,
                   sequences[s].n * sizeof(int32_t));
            corpus->lengths[s] = (int32_t)sequences[s].n;
        }
        corpus->bos = request->bos && n > 0;
    }
    for (int64_t s = 0; s < request->n_sequences; s++)
        free(sequences[s].ids);
    free(sequences);
    return status;
}

/* ---- ids ---- */

struct rows {
    struct ol_ids *rows;
    size_t n;
};

static int read_row(const char *line, size_t bytes, const char *name, int64_t number,
                    struct ol_ids *row, struct ol_error *err)
{
    size_t i = 0;
    while (i < bytes) {
        if (line[i] == ' ' || line[i] == '\t') {
            i++;
            continue;
        }
        int64_t id = 0;
        const size_t first = i;
        for (; i < bytes && line[i] >= '0' && line[i] <= '9'; i++)
            id = id <= INT32_MAX ? id * 10 + (line[i] - '0') : id;
        if (i == first || id > INT32_MAX ||
            (i < bytes && line[i] != ' ' && line[i] != '\t'))
            return ol_fail(err,
                           "%s: line %" PRId64 ", column %zu: expected a token id, a "
                           "decimal number",
                           name, number, first + 1);
        ol_ids_append(row, (int32_t)id);
    }
    return 0;
}

static int read_rows(const struct ol_corpus_request *request, struct rows *rows,
                     struct ol_error *err)
{
    struct ol_textfile *file = ol_textfile_open(request->ids_file, err);
    if (file == NULL)
        return -1;
    const char *name = ol_text_name(request->ids_file);
    char *line;
    size_t bytes;
    int found, status = 0;
    for (int64_t number = 1;
         status == 0 && (found = ol_textfile_line(file, &line, &bytes, err)) != 0;
         number++) {
        if (found < 0) {
            status = -1;
            break;
        }
        if (request->n_sequences > 0 && (int64_t)rows->n == request->n_sequences)
            break;
        rows->rows = ol_xrealloc_array(rows->rows, rows->n + 1, sizeof *rows->rows);
        struct ol_ids *row = &rows->rows[rows->n++];
        *row = (struct ol_ids){0};
        status = read_row(line, bytes, name, number, row, err);
        if (status == 0 && row->n == 0)
            rows->n--; /* an empty line */
        else if (status == 0 && request->length > 0 && (int64_t)row->n < request->length)
            status = ol_fail(err,
                             "%s: line %" PRId64 " has %zu ids, but sequences of %" PRId64
                             " were asked for (-l)",
                             name, number, row->n, request->length);
    }
    ol_textfile_close(file);
    return status;
}

static int read_ids(const struct ol_corpus_request *request, struct ol_sha256 *sha,
                    struct ol_corpus *corpus, struct ol_error *err)
{
    struct rows rows = {0};
    const char *name = ol_text_name(request->ids_file);
    int status = read_rows(request, &rows, err);
    if (status == 0 && rows.n == 0)
        status = ol_fail(err, "%s: there are no token ids", name);
    if (status == 0 && (int64_t)rows.n < request->n_sequences)
        status =
            ol_fail(err, "%s: has %zu sequences, but %" PRId64 " were asked for (-n)",
                    name, rows.n, request->n_sequences);
    if (status == 0) {
        size_t longest = 0;
        for (size_t s = 0; s < rows.n; s++) {
            if (request->length > 0)
                rows.rows[s].n = (size_t)request->length;
            longest = rows.rows[s].n > longest ? rows.rows[s].n : longest;
        }
        allocate(corpus, (int64_t)rows.n, (int64_t)longest);
        for (size_t s = 0; s < rows.n; s++) {
            const size_t bytes = rows.rows[s].n * sizeof(int32_t);
            memcpy(corpus->ids + s * longest, rows.rows[s].ids, bytes);
            corpus->lengths[s] = (int32_t)rows.rows[s].n;
            ol_sha256_update(sha, rows.rows[s].ids, bytes);
            ol_sha256_update(sha, "\n", 1);
        }
    }
    for (size_t s = 0; s < rows.n; s++)
        free(rows.rows[s].ids);
    free(rows.rows);
    return status;
}

/* ---- the interface ---- */

int ol_corpus_read(const struct ol_corpus_request *request,
                   struct ol_tokenizer *tokenizer, struct ol_corpus *corpus,
                   struct ol_error *err)
{
    struct ol_sha256 *sha = ol_sha256_new();
    int status;
    if (request->ids_file != NULL)
        corpus->source = ol_xstrdup(ol_text_name(request->ids_file));
    if (request->ids_file != NULL)
        status = read_ids(request, sha, corpus, err);
    else if (request->windowing == OL_WINDOWING_REFERENCE)
        status = read_reference(request, tokenizer, sha, corpus, err);
    else
        status = read_contiguous(request, tokenizer, sha, corpus, err);
    ol_sha256_finish(sha, corpus->text_sha256);
    return status;
}

void ol_corpus_clear(struct ol_corpus *corpus)
{
    free(corpus->source);
    free(corpus->lengths);
    free(corpus->ids);
    *corpus = (struct ol_corpus){0};
}

/* ---- one document after another ---- */

struct whole {
    const struct ol_corpus_request *request;
    struct ol_token_stream *stream;
    struct ol_tokenizer *tokenizer;
    struct ol_ids ids; /* that were not passed on */
    bool inside;       /* a document */
    ol_take_ids *take;
    void *arg;
};

static int take_text(void *arg, const char *text, size_t bytes, bool is_last,
                     struct ol_error *err)
{
    struct whole *w = arg;
    int n = 0;
    const int32_t *prefix = ol_tokenizer_prefix(w->tokenizer, &n);
    for (int i = 0; !w->inside && w->request->bos && i < n; i++)
        ol_ids_append(&w->ids, prefix[i]);
    w->inside = !is_last;
    if (ol_token_stream_put(w->stream, text, bytes, is_last, 0, &w->ids, err) != 0)
        return -1;
    w->take(w->arg, w->ids.ids, w->ids.n, is_last);
    w->ids.n = 0;
    return 0;
}

int ol_corpus_each_document(const struct ol_corpus_request *request,
                            struct ol_tokenizer *tokenizer, ol_take_ids *take, void *arg,
                            struct ol_error *err)
{
    struct whole w = {.request = request,
                      .stream = ol_token_stream_new(tokenizer),
                      .tokenizer = tokenizer,
                      .take = take,
                      .arg = arg};
    const int status = ol_documents_read(request->text_files, request->text_field,
                                         take_text, &w, NULL, err);
    free(w.ids.ids);
    ol_token_stream_free(w.stream);
    return status;
}
