#include "extract/text/documents.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/utf8.h"
#include "extract/text/column.h"
#include "extract/text/json_line.h"
#include "extract/text/remote.h"
#include "extract/text/textfile.h"

/* Of a text at a time. What is read when a text is cut short, and so what its SHA-256 is
 * of, depends on it. */
enum { PIECE_BYTES = 1 << 20 };

struct reading {
    struct ol_textfile *file;
    const char *path, *name, *field;
    ol_take_text *take;
    void *arg;
};

const char *ol_text_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

/* ---- what a file is ---- */

static bool take_end(const char *name, size_t *n, const char *end)
{
    const size_t m = strlen(end);
    if (*n < m || strncasecmp(name + *n - m, end, m) != 0)
        return false;
    *n -= m;
    return true;
}

static bool is_named_json(const char *path)
{
    size_t n = strlen(path);
    if (!take_end(path, &n, ".gz") && !take_end(path, &n, ".zst"))
        take_end(path, &n, ".zstd");
    return take_end(path, &n, ".jsonl") || take_end(path, &n, ".ndjson") ||
           take_end(path, &n, ".json");
}

static int refuse_array(const struct reading *r, struct ol_error *err)
{
    return ol_fail(
        err,
        "%s: is a JSON array; expected one JSON object per line, as `jq -c '.[]'` "
        "writes them, with --text-field KEY (or --text-field '' to read it as "
        "plain text)",
        r->name);
}

static int refuse_objects(const struct reading *r, const char *head, size_t bytes,
                          struct ol_error *err)
{
    char *keys = ol_json_string_keys(head, bytes);
    const bool some = *keys != '\0';
    ol_fail(
        err,
        "%s: begins with a JSON object: give --text-field KEY to read the text under a "
        "key of every line%s%s%s, or --text-field '' to read it as plain text",
        r->name, some ? " (it has " : "", keys, some ? ")" : "");
    free(keys);
    return -1;
}

/* Whether its lines are JSON: 1 or 0; -1: refused. */
static int lines_are_json(const struct reading *r, struct ol_error *err)
{
    const char *head;
    size_t bytes;
    if (r->field != NULL && *r->field == '\0')
        return 0;
    if (ol_textfile_peek(r->file, &head, &bytes, err) != 0)
        return -1;
    const bool said = r->field != NULL || is_named_json(r->path);
    switch (ol_json_beginning(head, bytes, bytes < OL_TEXTFILE_PEEK)) {
    case OL_BEGINS_ARRAY:
        return refuse_array(r, err);
    case OL_BEGINS_OBJECT:
        return said ? 1 : refuse_objects(r, head, bytes, err);
    case OL_BEGINS_NO_JSON:
        break;
    }
    return said;
}

/* ---- lines ---- */

static bool is_blank(const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

/* Files that were joined keep their marks. */
static void skip_mark(char **line, size_t *bytes)
{
    if (*bytes >= 3 && memcmp(*line, "\xef\xbb\xbf", 3) == 0) {
        *line += 3;
        *bytes -= 3;
    }
}

static int take_lines(const struct reading *r, struct ol_error *err)
{
    struct ol_json_line json = {0};
    const char *field = r->field != NULL ? r->field : OL_DEFAULT_FIELD;
    char *line;
    size_t bytes;
    int found = 0, status = 0;
    for (int64_t number = 1;
         status == 0 && (found = ol_textfile_line(r->file, &line, &bytes, err)) > 0;
         number++) {
        skip_mark(&line, &bytes);
        if (is_blank(line, bytes))
            continue;
        char place[4200]; /* a path and a number */
        snprintf(place, sizeof place, "%s: line %" PRId64, r->name, number);
        status = ol_json_line_read(&json, line, bytes, field, place, err);
        if (status == 0)
            status = r->take(r->arg, json.text, json.bytes, true, err);
    }
    if (status >= 0 && json.n_surrogates > 0)
        ol_warn(
            "%s: lone surrogates (\\ud800 to \\udfff without their other half): %" PRId64
            " became U+FFFD",
            r->name, json.n_surrogates);
    ol_json_line_clear(&json);
    return found < 0 ? -1 : status;
}

/* ---- whole texts ---- */

/* A text as it is read. */
struct pieces {
    char *data;  /* [PIECE_BYTES + some for a character that was cut] */
    size_t kept; /* bytes of it in front */
    int64_t line;
    size_t before; /* bytes of the text before data */
};

static int fail_encoding(const struct reading *r, const struct pieces *p, size_t offset,
                         struct ol_error *err)
{
    int64_t line = p->line;
    for (size_t i = 0; i < offset; i++)
        line += p->data[i] == '\n';
    return ol_fail(err, "%s: line %" PRId64 ": byte %zu of the text is no valid UTF-8",
                   r->name, line, p->before + offset);
}

/* Bytes of the piece's whole characters, when more follows it. */
static size_t whole_characters(const char *text, size_t bytes, size_t valid)
{
    const size_t rest = bytes - valid;
    return rest < 4 && rest > 0 && ((unsigned char)text[valid] & 0xc0) == 0xc0 ? valid
                                                                               : bytes;
}

static int take_piece(const struct reading *r, struct pieces *p, size_t bytes,
                      bool is_last, struct ol_error *err)
{
    size_t offset = bytes, n = bytes;
    if (!ol_utf8_valid(p->data, bytes, &offset)) {
        n = is_last ? bytes : whole_characters(p->data, bytes, offset);
        if (n == bytes)
            return fail_encoding(r, p, offset, err);
    }
    const int status = r->take(r->arg, p->data, n, is_last, err);
    for (const char *at = p->data; (at = memchr(at, '\n', (size_t)(p->data + n - at)));
         at++)
        p->line++;
    p->before += n;
    p->kept = bytes - n;
    memmove(p->data, p->data + n, p->kept);
    return status;
}

static int take_whole(const struct reading *r, struct ol_error *err)
{
    struct pieces p = {.data = ol_xmalloc(PIECE_BYTES + 4), .line = 1};
    int status = 0;
    for (bool is_last = false; !is_last && status == 0;) {
        size_t got;
        status = ol_textfile_read(r->file, p.data + p.kept, PIECE_BYTES, &got, err);
        is_last = got < PIECE_BYTES;
        if (status == 0)
            status = take_piece(r, &p, p.kept + got, is_last, err);
    }
    free(p.data);
    return status;
}

int ol_documents_read_file(const char *path, const char *field, ol_take_text *take,
                           void *arg, struct ol_error *err)
{
    struct reading r = {.path = path,
                        .name = ol_text_name(path),
                        .field = field,
                        .take = take,
                        .arg = arg};
    r.file = ol_textfile_open(path, err);
    if (r.file == NULL)
        return -1;
    const int json = lines_are_json(&r, err);
    const int status = json < 0 ? -1 : json ? take_lines(&r, err) : take_whole(&r, err);
    ol_textfile_close(r.file);
    return status;
}

/* A file of any kind, maybe with the column's name behind it. */
static int read_text(const char *item, const char *field, ol_take_text *take, void *arg,
                     struct ol_error *err)
{
    const char *column;
    char *path = ol_column_split(item, &column);
    int status = -1;
    const bool plain = field != NULL && *field == '\0';
    if (ol_column_is_parquet(path) && (column != NULL || !plain))
        status =
            ol_column_read_file(path, column != NULL ? column : field, take, arg, err);
    else if (column != NULL && access(path, F_OK) == 0)
        ol_fail(err, "%s: is no Parquet file, of which #%s could name a column", path,
                column);
    else
        status = ol_documents_read_file(item, field, take, arg, err);
    free(path);
    return status;
}

void ol_documents_append(char **list, const char *text)
{
    char *longer = *list != NULL && **list != '\0' ? ol_xasprintf("%s, %s", *list, text)
                                                   : ol_xstrdup(text);
    free(*list);
    *list = longer;
}

int ol_documents_read(const struct ol_texts *texts, const char *field, ol_take_text *take,
                      void *arg, char **source, struct ol_error *err)
{
    int status = 0;
    char *read = ol_xstrdup("");
    for (size_t i = 0; i < texts->n; i++) {
        const char *item = texts->items[i];
        if (status == 0 && ol_remote_is(item)) {
            status = ol_remote_read(item, field, take, arg, &read, err);
            continue;
        }
        ol_documents_append(&read, ol_text_name(item));
        if (status == 0)
            status = read_text(item, field, take, arg, err);
    }
    if (source != NULL)
        *source = read;
    else
        free(read);
    return status < 0 ? -1 : 0;
}

bool ol_documents_announce(const struct ol_texts *texts, const char *field)
{
    bool any = false;
    for (size_t i = 0; i < texts->n; i++)
        if (ol_remote_is(texts->items[i]) && ol_remote_announce(texts->items[i], field))
            any = true;
    return any;
}
