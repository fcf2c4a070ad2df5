#include "extract/text/corpus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/utf8.h"
#include "extract/text/textfile.h"

/* ---- documents ---- */

enum { ENOUGH = 1 };

/* Called for each document; ENOUGH ends the reading. */
typedef int take_document(void *arg, const char *text, size_t bytes,
                          struct ol_error *err);

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_jsonl(const char *path)
{
    return ends_with(path, ".jsonl") || ends_with(path, ".jsonl.gz") ||
           ends_with(path, ".jsonl.zst");
}

static int take_line(const char *place, const char *field, const char *line,
                     size_t line_bytes, take_document *take, void *arg,
                     struct ol_error *err)
{
    struct ol_json *json = ol_json_load_text(line, line_bytes, place, err);
    if (json == NULL)
        return -1;
    const struct ol_json *member = ol_json_get(json, field);
    int status;
    if (ol_json_kind(member) != OL_JSON_STRING) {
        status =
            ol_fail(err, "%s: expected an object with a string \"%s\"", place, field);
    } else {
        size_t bytes;
        const char *text = ol_json_string(member, &bytes);
        status = take(arg, text, bytes, err);
    }
    ol_json_free(json);
    return status;
}

static int take_lines(struct ol_textfile *file, const char *name, const char *field,
                      take_document *take, void *arg, struct ol_error *err)
{
    char *line;
    size_t bytes;
    int found, status = 0;
    for (int64_t number = 1;
         status == 0 && (found = ol_textfile_line(file, &line, &bytes, err)) != 0;
         number++) {
        if (found < 0)
            return -1;
        if (bytes == 0)
            continue;
        char *place = ol_xasprintf("%s: line %" PRId64, name, number);
        status = take_line(place, field, line, bytes, take, arg, err);
        free(place);
    }
    return status;
}

static int take_whole(struct ol_textfile *file, const char *name, take_document *take,
                      void *arg, struct ol_error *err)
{
    size_t bytes, offset;
    char *text = ol_textfile_all(file, &bytes, err);
    if (text == NULL)
        return -1;
    int status;
    if (ol_utf8_valid(text, bytes, &offset)) {
        status = take(arg, text, bytes, err);
    } else {
        int64_t line = 1;
        for (size_t i = 0; i < offset; i++)
            line += text[i] == '\n';
        status =
            ol_fail(err, "%s: line %" PRId64 ": byte %zu of the text is no valid UTF-8",
                    name, line, offset);
    }
    free(text);
    return status;
}

static const char *name_of(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

static int each_document(const struct ol_corpus_request *request, take_document *take,
                         void *arg, struct ol_error *err)
{
    int status = 0;
    for (size_t i = 0; i < request->text_files->n && status == 0; i++) {
        const char *path = request->text_files->items[i];
        struct ol_textfile *file = ol_textfile_open(path, err);
        if (file == NULL)
            return -1;
        status = is_jsonl(path)
                     ? take_lines(file, path, request->text_field, take, arg, err)
                     : take_whole(file, name_of(path), take, arg, err);
        ol_textfile_close(file);
    }
    return status < 0 ? -1 : 0;
}

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
    struct ol_tokenizer *tokenizer;
    struct ol_sha256 *sha;
    struct ol_ids ids;
    size_t wanted; /* ids; 0: all */
};

static int encode_document(void *arg, const char *text, size_t bytes,
                           struct ol_error *err)
{
    struct contiguous *c = arg;
    ol_sha256_update(c->sha, text, bytes);
    if (ol_tokenizer_encode(c->tokenizer, text, bytes,
                            c->wanted > 0 ? c->wanted - c->ids.n : 0, &c->ids, err) != 0)
        return -1;
    return c->wanted > 0 && c->ids.n >= c->wanted ? ENOUGH : 0;
}

static int read_contiguous(const struct ol_corpus_request *request,
                           struct ol_tokenizer *tokenizer, struct ol_sha256 *sha,
                           struct ol_corpus *corpus, struct ol_error *err)
{
    struct ol_ids prefix = begin_sequence(request, tokenizer);
    const int64_t own = request->length - (int64_t)prefix.n;
    struct contiguous c = {.tokenizer = tokenizer,
                           .sha = sha,
                           .wanted = (size_t)(request->n_sequences * own)};
    int status = -1;
    if (own < 1)
        ol_fail(err,
                "-l %" PRId64 ": sequences must be longer than the %zu tokens in front",
                request->length, prefix.n);
    else if (each_document(request, encode_document, &c, err) != 0)
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
    free(c.ids.ids);
    free(prefix.ids);
    return status;
}

/* ---- windowing `reference`: what the Python study does, step by step ---- */

struct joined {
    struct ol_sha256 *sha;
    char *text;
    size_t bytes, room;
};

static int join_document(void *arg, const char *text, size_t bytes, struct ol_error *err)
{
    (void)err;
    struct joined *j = arg;
    ol_sha256_update(j->sha, text, bytes);
    if (j->bytes + bytes + 1 > j->room) {
        j->room = 2 * (j->bytes + bytes) + 4096;
        j->text = ol_xrealloc_array(j->text, j->room, 1);
    }
    j->text[j->bytes++] = ' ';
    memcpy(j->text + j->bytes, text, bytes);
    j->bytes += bytes;
    return 0;
}

/* One sequence: the first ids as text, encoded again with the tokens around it. */
static int encode_again(const struct ol_corpus_request *request, struct ol_tokenizer *t,
                        const int32_t *ids, size_t n, struct ol_ids *sequence,
                        struct ol_error *err)
{
    size_t bytes;
    char *text = ol_tokenizer_decode(t, ids, n, true, &bytes);
    *sequence = begin_sequence(request, t);
    const int status = ol_tokenizer_encode(t, text, bytes, 0, sequence, err);
    free(text);
    if (status == 0 && request->bos) {
        int n_suffix;
        const int32_t *suffix = ol_tokenizer_suffix(t, &n_suffix);
        for (int i = 0; i < n_suffix; i++)
            ol_ids_append(sequence, suffix[i]);
    }
    return status;
}

static int cut_sequences(const struct ol_corpus_request *request, struct ol_tokenizer *t,
                         struct joined *rest, struct ol_ids *sequences,
                         struct ol_error *err)
{
    const size_t length = (size_t)request->length;
    const size_t n_sequences = (size_t)request->n_sequences;
    struct ol_ids ids = {0};
    int status = 0;
    for (size_t s = 0; s < n_sequences && status == 0; s++) {
        /* Ids far behind the last sequence change nothing in it. */
        const size_t wanted = (n_sequences - s + 4) * length + 4096;
        ids.n = 0;
        status = ol_tokenizer_encode(t, rest->text, rest->bytes, wanted, &ids, err);
        if (status == 0 && ids.n < length)
            status = ol_fail(err,
                             "the text is too short: sequence %zu of %" PRId64
                             " finds %zu tokens left, but %zu are needed (-n, -l)",
                             s + 1, request->n_sequences, ids.n, length);
        if (status == 0)
            status = encode_again(request, t, ids.ids, length, &sequences[s], err);
        if (status != 0)
            break;
        const size_t dropped = length / 2;
        free(rest->text);
        rest->text = ol_tokenizer_decode(t, ids.ids + dropped, ids.n - dropped, true,
                                         &rest->bytes);
    }
    free(ids.ids);
    return status;
}

static int read_reference(const struct ol_corpus_request *request,
                          struct ol_tokenizer *tokenizer, struct ol_sha256 *sha,
                          struct ol_corpus *corpus, struct ol_error *err)
{
    struct joined rest = {.sha = sha};
    struct ol_ids *sequences =
        ol_xcalloc((size_t)request->n_sequences, sizeof *sequences);
    int status = each_document(request, join_document, &rest, err);
    if (status == 0)
        status = cut_sequences(request, tokenizer, &rest, sequences, err);
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
    free(rest.text);
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
    const char *name = name_of(request->ids_file);
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
    const char *name = name_of(request->ids_file);
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

static char *describe_source(const struct ol_corpus_request *request)
{
    if (request->ids_file != NULL)
        return ol_xstrdup(name_of(request->ids_file));
    char *source = ol_xstrdup("");
    for (size_t i = 0; i < request->text_files->n; i++) {
        char *longer = ol_xasprintf("%s%s%s", source, i > 0 ? ", " : "",
                                    name_of(request->text_files->items[i]));
        free(source);
        source = longer;
    }
    return source;
}

int ol_corpus_read(const struct ol_corpus_request *request,
                   struct ol_tokenizer *tokenizer, struct ol_corpus *corpus,
                   struct ol_error *err)
{
    struct ol_sha256 *sha = ol_sha256_new();
    corpus->source = describe_source(request);
    int status;
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

struct whole {
    const struct ol_corpus_request *request;
    struct ol_tokenizer *tokenizer;
    void (*take)(void *arg, const int32_t *ids, size_t n);
    void *arg;
};

static int take_ids(void *arg, const char *text, size_t bytes, struct ol_error *err)
{
    const struct whole *w = arg;
    struct ol_ids ids = begin_sequence(w->request, w->tokenizer);
    const int status = ol_tokenizer_encode(w->tokenizer, text, bytes, 0, &ids, err);
    if (status == 0)
        w->take(w->arg, ids.ids, ids.n);
    free(ids.ids);
    return status;
}

int ol_corpus_each_document(const struct ol_corpus_request *request,
                            struct ol_tokenizer *tokenizer,
                            void (*take)(void *arg, const int32_t *ids, size_t n),
                            void *arg, struct ol_error *err)
{
    struct whole w = {request, tokenizer, take, arg};
    return each_document(request, take_ids, &w, err);
}
