#include "extract/text/parquet/footer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "extract/text/parquet/thrift.h"

/* ---- the schema ---- */

enum { BYTE_ARRAY = 6 };
static const char *const type_names[] = {
    "BOOLEAN", "INT32",  "INT64",      "INT96",
    "FLOAT",   "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY",
};

enum repetition { REQUIRED, OPTIONAL, REPEATED };

/* What bytes may mean that is no text. */
enum meaning { MEANS_TEXT, MEANS_DECIMAL, MEANS_BSON };

/* SchemaElement */
struct element {
    int64_t type, repetition, n_children; /* type -1: a group */
    const char *name;
    size_t name_bytes;
    enum meaning meaning;
};

static enum meaning converted_meaning(int64_t converted)
{
    return converted == 5 ? MEANS_DECIMAL : converted == 20 ? MEANS_BSON : MEANS_TEXT;
}

/* LogicalType, a union: the field's number says which. */
static enum meaning read_logical(struct ol_thrift *t)
{
    struct ol_thrift_field f = {0};
    enum meaning meaning = MEANS_TEXT;
    while (ol_thrift_next(t, &f)) {
        meaning = f.id == 5 ? MEANS_DECIMAL : f.id == 13 ? MEANS_BSON : meaning;
        ol_thrift_skip(t, &f);
    }
    return meaning;
}

static struct element read_element(struct ol_thrift *t)
{
    struct element e = {.type = -1, .name = ""};
    struct ol_thrift_field f = {0};
    enum meaning logical = MEANS_TEXT;
    while (ol_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            e.type = ol_thrift_int(t, &f);
            break;
        case 3:
            e.repetition = ol_thrift_int(t, &f);
            break;
        case 4:
            e.name = ol_thrift_binary(t, &f, &e.name_bytes);
            break;
        case 5:
            e.n_children = ol_thrift_int(t, &f);
            break;
        case 6:
            e.meaning = converted_meaning(ol_thrift_int(t, &f));
            break;
        case 10:
            if (ol_thrift_struct(t, &f))
                logical = read_logical(t);
            break;
        default:
            ol_thrift_skip(t, &f);
        }
    }
    e.meaning = logical != MEANS_TEXT ? logical : e.meaning;
    return e;
}

/* What has been found out while the footer was read. */
struct reading {
    const struct ol_parquet_footer *footer;
    const char *column;
    struct ol_parquet_column *c;
    bool found;
    size_t leaf, n_leaves; /* columns count leaves */
    char *others;          /* the names of its columns of strings */
    struct ol_error *err;
};

static bool has_name(const struct reading *r, const char *name, size_t bytes)
{
    return strlen(r->column) == bytes && memcmp(r->column, name, bytes) == 0;
}

static void note_other(struct reading *r, const struct element *e)
{
    enum { MOST = 300 };
    if (strlen(r->others) > MOST)
        return;
    char *longer =
        ol_xasprintf("%s%s%.*s", r->others, *r->others != '\0' ? ", " : "",
                     e->name_bytes < MOST ? (int)e->name_bytes : MOST, e->name);
    free(r->others);
    r->others = longer;
}

/* The column that is wanted, at the schema's top. */
static int check_element(struct reading *r, const struct element *e)
{
    const char *name = r->footer->name;
    if (r->found)
        return ol_fail(r->err, "%s: has two columns '%s'", name, r->column);
    if (e->n_children > 0 || e->repetition == REPEATED)
        return ol_fail(r->err, "%s: column '%s' is nested, expected one flat column",
                       name, r->column);
    if (e->type != BYTE_ARRAY)
        return ol_fail(
            r->err, "%s: column '%s' is of type %s, expected strings", name, r->column,
            e->type >= 0 && e->type < (int64_t)(sizeof type_names / sizeof *type_names)
                ? type_names[e->type]
                : "(unknown)");
    if (e->meaning != MEANS_TEXT)
        return ol_fail(r->err, "%s: column '%s' holds %s, expected strings", name,
                       r->column, e->meaning == MEANS_BSON ? "BSON" : "decimal numbers");
    r->found = true;
    r->leaf = r->n_leaves;
    r->c->optional = e->repetition == OPTIONAL;
    return 0;
}

/* All elements in depth-first order, the root first. `open` counts those that are still
 * to come of what is not at the top. */
static int read_schema(struct reading *r, struct ol_thrift *t, size_t n)
{
    int64_t open = 0;
    for (size_t i = 0; i < n && t->state == OL_THRIFT_GOOD; i++) {
        const struct element e = read_element(t);
        if (t->state != OL_THRIFT_GOOD)
            break;
        if (e.n_children < 0 || e.n_children > (int64_t)n || e.repetition < REQUIRED ||
            e.repetition > REPEATED)
            return ol_fail(r->err, "%s: its schema is damaged", r->footer->name);
        if (i == 0)
            continue;
        if (open == 0 && has_name(r, e.name, e.name_bytes) && check_element(r, &e) != 0)
            return -1;
        if (open == 0 && e.type == BYTE_ARRAY && e.meaning == MEANS_TEXT &&
            e.n_children == 0)
            note_other(r, &e);
        open += e.n_children - (open > 0);
        r->n_leaves += e.n_children == 0;
    }
    return 0;
}

/* ---- chunks ---- */

static const char *const codec_names[] = {
    "UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW",
};

/* ColumnMetaData */
struct meta {
    int64_t codec, n_values, bytes, data, dictionary;
    bool here, same_path;
};

static void read_path(const struct reading *r, struct ol_thrift *t,
                      const struct ol_thrift_field *f, struct meta *m)
{
    const size_t n = ol_thrift_list(t, f, OL_THRIFT_BINARY);
    for (size_t i = 0; i < n && t->state == OL_THRIFT_GOOD; i++) {
        size_t bytes;
        const char *name = ol_thrift_element(t, &bytes);
        m->same_path = n == 1 && has_name(r, name, bytes);
    }
}

static struct meta read_meta(const struct reading *r, struct ol_thrift *t)
{
    struct meta m = {.here = true};
    struct ol_thrift_field f = {0};
    while (ol_thrift_next(t, &f)) {
        switch (f.id) {
        case 3:
            read_path(r, t, &f, &m);
            break;
        case 4:
            m.codec = ol_thrift_int(t, &f);
            break;
        case 5:
            m.n_values = ol_thrift_int(t, &f);
            break;
        case 7:
            m.bytes = ol_thrift_int(t, &f);
            break;
        case 9:
            m.data = ol_thrift_int(t, &f);
            break;
        case 11:
            m.dictionary = ol_thrift_int(t, &f);
            break;
        default:
            ol_thrift_skip(t, &f);
        }
    }
    return m;
}

static int choose_packing(const struct reading *r, int64_t codec,
                          enum ol_packing *packing)
{
    const int64_t n = sizeof codec_names / sizeof *codec_names;
    switch (codec) {
    case 0:
        *packing = OL_PACKING_NONE;
        return 0;
    case 1:
        *packing = OL_PACKING_SNAPPY;
        return 0;
    case 2:
        *packing = OL_PACKING_GZIP;
        return 0;
    case 6:
        *packing = OL_PACKING_ZSTD;
        return 0;
    default:
        return ol_fail(
            r->err,
            "%s: column '%s' is compressed by %s; what can be read is uncompressed, "
            "SNAPPY, GZIP or ZSTD",
            r->footer->name, r->column,
            codec >= 0 && codec < n ? codec_names[codec] : "an unknown codec");
    }
}

static int add_chunk(struct reading *r, const struct meta *m, int64_t n_rows)
{
    struct ol_parquet_column *c = r->c;
    struct ol_parquet_chunk chunk = {.n_values = m->n_values};
    const char *name = r->footer->name;
    if (!m->here)
        return ol_fail(r->err, "%s: column '%s' is encrypted, or lies in another file",
                       name, r->column);
    if (choose_packing(r, m->codec, &chunk.packing) != 0)
        return -1;
    /* Some writers say 0 where there is no dictionary. */
    chunk.start = m->dictionary > 0 && m->dictionary < m->data ? m->dictionary : m->data;
    if (!m->same_path || m->n_values != n_rows || n_rows < 0 || chunk.start < 0 ||
        m->bytes < 0 || chunk.start > r->footer->end ||
        m->bytes > r->footer->end - chunk.start || n_rows > INT64_MAX - c->n_rows)
        return ol_fail(r->err,
                       "%s: its footer is damaged: row group %zu says of column '%s': "
                       "%" PRId64 " values of %" PRId64 " rows in %" PRId64
                       " bytes from byte %" PRId64 " on, of %" PRId64,
                       name, c->n_chunks, r->column, m->n_values, n_rows, m->bytes,
                       chunk.start, r->footer->end);
    chunk.end = chunk.start + m->bytes;
    c->n_rows += n_rows;
    c->chunks = ol_xrealloc_array(c->chunks, c->n_chunks + 1, sizeof *c->chunks);
    c->chunks[c->n_chunks++] = chunk;
    return 0;
}

/* ColumnChunk: its metadata, unless they are elsewhere or encrypted. */
static struct meta read_chunk(const struct reading *r, struct ol_thrift *t)
{
    struct meta m = {.here = false};
    struct ol_thrift_field f = {0};
    bool elsewhere = false;
    while (ol_thrift_next(t, &f)) {
        if (f.id == 3 && ol_thrift_struct(t, &f)) {
            m = read_meta(r, t);
            continue;
        }
        /* file_path, crypto_metadata, encrypted_column_metadata */
        elsewhere = elsewhere || f.id == 1 || f.id == 8 || f.id == 9;
        ol_thrift_skip(t, &f);
    }
    m.here = m.here && !elsewhere;
    return m;
}

/* RowGroup */
static int read_group(struct reading *r, struct ol_thrift *t)
{
    struct ol_thrift_field f = {0};
    struct meta wanted = {.here = false};
    int64_t n_rows = -1;
    size_t n = 0;
    while (ol_thrift_next(t, &f)) {
        if (f.id == 1) {
            n = ol_thrift_list(t, &f, OL_THRIFT_STRUCT);
            for (size_t i = 0; i < n && t->state == OL_THRIFT_GOOD; i++) {
                const struct meta m = read_chunk(r, t);
                if (i == r->leaf)
                    wanted = m;
            }
        } else if (f.id == 3) {
            n_rows = ol_thrift_int(t, &f);
        } else {
            ol_thrift_skip(t, &f);
        }
    }
    if (t->state != OL_THRIFT_GOOD)
        return 0;
    if (n != r->n_leaves)
        return ol_fail(r->err,
                       "%s: its footer is damaged: row group %zu has %zu columns, its "
                       "schema %zu",
                       r->footer->name, r->c->n_chunks, n, r->n_leaves);
    return add_chunk(r, &wanted, n_rows);
}

/* ---- the whole ---- */

static int check_found(struct reading *r)
{
    if (r->found)
        return 0;
    return ol_fail(r->err, "%s: has no column '%s'; its columns of strings are: %s",
                   r->footer->name, r->column, *r->others != '\0' ? r->others : "none");
}

/* FileMetaData; the schema comes before the row groups. */
static int read_metadata(struct reading *r, struct ol_thrift *t)
{
    struct ol_thrift_field f = {0};
    while (ol_thrift_next(t, &f)) {
        if (f.id == 2) {
            const size_t n = ol_thrift_list(t, &f, OL_THRIFT_STRUCT);
            if (read_schema(r, t, n) != 0)
                return -1;
        } else if (f.id == 4) {
            const size_t n = ol_thrift_list(t, &f, OL_THRIFT_STRUCT);
            if (t->state == OL_THRIFT_GOOD && check_found(r) != 0)
                return -1;
            for (size_t i = 0; i < n && t->state == OL_THRIFT_GOOD; i++)
                if (read_group(r, t) != 0)
                    return -1;
        } else {
            ol_thrift_skip(t, &f);
        }
    }
    return 0;
}

int ol_parquet_footer_read(const struct ol_parquet_footer *footer, const char *column,
                           struct ol_parquet_column *c, struct ol_error *err)
{
    struct ol_thrift t = {.bytes = footer->bytes, .n = footer->n};
    struct reading r = {.footer = footer, .column = column, .c = c, .err = err};
    r.others = ol_xstrdup("");
    int status = read_metadata(&r, &t);
    if (status == 0 && t.state != OL_THRIFT_GOOD)
        status = ol_fail(err, "%s: its footer is damaged: it %s", footer->name,
                         t.state == OL_THRIFT_SHORT ? "ends too early"
                                                    : "holds what no footer has there");
    if (status == 0)
        status = check_found(&r);
    free(r.others);
    return status;
}

void ol_parquet_column_clear(struct ol_parquet_column *c)
{
    free(c->chunks);
    *c = (struct ol_parquet_column){0};
}
