#include "extract/text/parquet/parquet.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "extract/text/parquet/footer.h"
#include "extract/text/parquet/page.h"

/* The end of the file: the footer's length in 4 bytes, and "PAR1". */
enum { TAIL_BYTES = 8, HEAD_BYTES = 4, LENGTH_BYTES = 4 };

enum {
    /* What is asked for where a page's header is expected: it says how long the page is,
     * and the rest of that is asked for alone. */
    WINDOW_BYTES = 1 << 16,
    MOST_HEADER_BYTES = 1 << 24,
};

/* Bytes of the file that have been fetched and not been used up. */
struct window {
    unsigned char *bytes;
    size_t at, n, room;
    int64_t end; /* of the file: behind the last of them */
};

struct word {
    const char *text;
    uint32_t bytes;
};

struct ol_parquet {
    struct ol_parquet_file file;
    char *column;
    struct ol_parquet_column info;
    struct window window;
    size_t chunk;   /* that is read, */
    bool begun;     /* or about to be */
    int64_t n_left; /* values of it in pages that were not opened */
    int64_t row;

    struct ol_page dictionary;
    struct word *words; /* [n_words] of the dictionary */
    size_t n_words;
    bool has_words;
    bool skipped; /* the beginning of the chunk, where its dictionary would be */

    struct ol_page page;
    struct ol_page_place place;
    int64_t page_left; /* values of the page */
    bool has_levels, by_words;
    struct ol_hybrid indices;
};

/* ---- the file's ends ---- */

static int check_tail(const struct ol_parquet *p, const unsigned char tail[TAIL_BYTES],
                      int64_t *footer_bytes, struct ol_error *err)
{
    const char *name = p->file.name;
    if (memcmp(tail + LENGTH_BYTES, "PARE", 4) == 0)
        return ol_fail(err, "%s: is an encrypted Parquet file", name);
    if (memcmp(tail + LENGTH_BYTES, "PAR1", 4) != 0)
        return ol_fail(err, "%s: is no Parquet file: it does not end in PAR1", name);
    *footer_bytes = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        *footer_bytes = *footer_bytes << 8 | tail[i];
    if (*footer_bytes > p->file.size - TAIL_BYTES - HEAD_BYTES)
        return ol_fail(err,
                       "%s: its footer is damaged: it is said to be of %" PRId64
                       " bytes, the file has %" PRId64,
                       name, *footer_bytes, p->file.size);
    return 0;
}

static int read_footer(struct ol_parquet *p, struct ol_error *err)
{
    const struct ol_parquet_file *f = &p->file;
    unsigned char tail[TAIL_BYTES];
    int64_t n = 0;
    if (f->size < TAIL_BYTES + HEAD_BYTES)
        return ol_fail(err, "%s: is no Parquet file: it has %" PRId64 " bytes", f->name,
                       f->size);
    if (f->read(f->user, f->size - TAIL_BYTES, TAIL_BYTES, tail, err) != 0 ||
        check_tail(p, tail, &n, err) != 0)
        return -1;
    unsigned char *bytes = ol_xmalloc((size_t)n + 1);
    const int64_t start = f->size - TAIL_BYTES - n;
    const struct ol_parquet_footer footer = {f->name, bytes, (size_t)n, start};
    int status = n > 0 ? f->read(f->user, start, (size_t)n, bytes, err) : 0;
    if (status == 0)
        status = ol_parquet_footer_read(&footer, p->column, &p->info, err);
    free(bytes);
    return status;
}

struct ol_parquet *ol_parquet_open(const struct ol_parquet_file *file, const char *column,
                                   struct ol_error *err)
{
    struct ol_parquet *p = ol_xcalloc(1, sizeof *p);
    p->file = *file;
    p->column = ol_xstrdup(column);
    p->place = (struct ol_page_place){file->name, p->column, 0};
    if (read_footer(p, err) == 0)
        return p;
    ol_parquet_close(p);
    return NULL;
}

static void forget_words(struct ol_parquet *p)
{
    ol_page_close(&p->dictionary);
    free(p->words);
    p->words = NULL;
    p->n_words = 0;
    p->has_words = false;
}

void ol_parquet_close(struct ol_parquet *p)
{
    if (p == NULL)
        return;
    forget_words(p);
    ol_page_close(&p->page);
    ol_parquet_column_clear(&p->info);
    free(p->window.bytes);
    free(p->column);
    free(p);
}

int64_t ol_parquet_n_rows(const struct ol_parquet *p)
{
    return p->info.n_rows;
}

/* ---- bytes of a chunk, in order ---- */

/* At least n bytes into the window, which the chunk must have; no byte is asked for
 * twice. What was borrowed of the window before moves. */
static int fetch(struct ol_parquet *p, size_t n, struct ol_error *err)
{
    struct window *w = &p->window;
    const size_t there = w->n - w->at;
    if (there >= n)
        return 0;
    if (w->at > 0)
        memmove(w->bytes, w->bytes + w->at, there);
    w->at = 0;
    w->n = there;
    if (n > w->room) {
        w->room = n;
        w->bytes = ol_xrealloc_array(w->bytes, n, 1);
    }
    if (p->file.read(p->file.user, w->end, n - there, w->bytes + there, err) != 0)
        return -1;
    w->n = n;
    w->end += (int64_t)(n - there);
    return 0;
}

/* Where the next page begins. */
static int64_t window_offset(const struct ol_parquet *p)
{
    return p->window.end - (int64_t)(p->window.n - p->window.at);
}

static int64_t chunk_left(const struct ol_parquet *p)
{
    return p->info.chunks[p->chunk].end - window_offset(p);
}

/* The next page's header, out of as many bytes as it takes; they are used up. */
static int read_header(struct ol_parquet *p, struct ol_page_header *h,
                       struct ol_error *err)
{
    const int64_t left = chunk_left(p);
    struct window *w = &p->window;
    for (size_t n = WINDOW_BYTES;; n *= 2) {
        const bool is_all = (int64_t)n >= left;
        /* What came along with the page before may do. */
        struct ol_thrift t = {.state = OL_THRIFT_SHORT};
        if (w->n > w->at) {
            t = (struct ol_thrift){.bytes = w->bytes + w->at, .n = w->n - w->at};
            *h = ol_page_header_read(&t);
        }
        if (t.state == OL_THRIFT_SHORT) {
            if (fetch(p, is_all ? (size_t)left : n, err) != 0)
                return -1;
            t = (struct ol_thrift){.bytes = w->bytes + w->at, .n = w->n - w->at};
            *h = ol_page_header_read(&t);
        }
        if (t.state == OL_THRIFT_GOOD) {
            w->at += t.at;
            return 0;
        }
        if (t.state == OL_THRIFT_BAD || is_all || n >= MOST_HEADER_BYTES)
            return ol_page_fail(&p->place, err, "is damaged: it has no header");
    }
}

/* ---- pages ---- */

/* A value in front of which its length stands: 0, or -1 where it is not all there. */
static int take_plain(struct ol_page *page, const char **text, uint32_t *bytes)
{
    if (page->n < LENGTH_BYTES)
        return -1;
    const unsigned char *b = (const unsigned char *)page->values;
    *bytes = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
             (uint32_t)b[3] << 24;
    if (*bytes > page->n - LENGTH_BYTES)
        return -1;
    *text = page->values + LENGTH_BYTES;
    page->values += LENGTH_BYTES + *bytes;
    page->n -= LENGTH_BYTES + *bytes;
    return 0;
}

/* The words outlive the bytes that were fetched. */
static int open_dictionary(struct ol_parquet *p, const struct ol_page_header *h,
                           const unsigned char *body, struct ol_error *err)
{
    struct ol_page *d = &p->dictionary;
    if (p->has_words)
        return ol_page_fail(&p->place, err, "is a second dictionary");
    if (ol_page_open(d, h, &p->place, body, p->info.chunks[p->chunk].packing,
                     p->info.optional, err) != 0)
        return -1;
    if (d->bytes == NULL && d->n > 0) {
        d->bytes = ol_xmalloc(d->n);
        memcpy(d->bytes, d->values, d->n);
        d->values = d->bytes;
    }
    p->has_words = true;
    p->words = ol_xcalloc((size_t)h->n_values + 1, sizeof *p->words);
    for (; (int64_t)p->n_words < h->n_values; p->n_words++) {
        struct word *word = &p->words[p->n_words];
        if (take_plain(d, &word->text, &word->bytes) != 0)
            return ol_page_fail(&p->place, err,
                                "is damaged: value %zu of the dictionary is not there",
                                p->n_words);
    }
    return 0;
}

/* The chunk was begun at a later page: the dictionary that this one needs is read out of
 * its turn. */
static int open_skipped_dictionary(struct ol_parquet *p, struct ol_error *err)
{
    const struct window window = p->window;
    const int64_t offset = p->place.offset;
    struct ol_page_header h;
    p->window = (struct window){.end = p->info.chunks[p->chunk].start};
    p->place.offset = p->window.end;
    p->skipped = false;
    int status = read_header(p, &h, err);
    if (status == 0 && h.type == OL_PAGE_DICTIONARY)
        status =
            ol_page_header_check(&h, &p->place, chunk_left(p), p->n_left, err) == 0 &&
                    fetch(p, (size_t)h.packed, err) == 0
                ? open_dictionary(p, &h, p->window.bytes + p->window.at, err)
                : -1;
    free(p->window.bytes);
    p->window = window;
    p->place.offset = offset;
    return status;
}

static int open_data(struct ol_parquet *p, const struct ol_page_header *h,
                     const unsigned char *body, struct ol_error *err)
{
    enum { ENCODING_PLAIN = 0 };
    struct ol_page *page = &p->page;
    if (ol_page_open(page, h, &p->place, body, p->info.chunks[p->chunk].packing,
                     p->info.optional, err) != 0)
        return -1;
    p->has_levels = p->info.optional;
    p->by_words = h->encoding != ENCODING_PLAIN;
    p->page_left = h->n_values;
    p->n_left -= h->n_values;
    if (!p->by_words)
        return 0;
    if (!p->has_words && p->skipped && open_skipped_dictionary(p, err) != 0)
        return -1;
    if (!p->has_words)
        return ol_page_fail(&p->place, err, "needs a dictionary, and there is none");
    /* Where all values are null there may be nothing at all. */
    const int width = page->n > 0 ? (unsigned char)page->values[0] : 0;
    if (width > OL_HYBRID_MOST_WIDTH)
        return ol_page_fail(&p->place, err, "is damaged: indices of %d bits", width);
    p->indices =
        (struct ol_hybrid){.bytes = (const unsigned char *)page->values + (page->n > 0),
                           .n = page->n - (page->n > 0),
                           .width = width};
    return 0;
}

/* The next page of the chunk, whatever it is. */
static int open_page(struct ol_parquet *p, struct ol_error *err)
{
    struct ol_page_header h;
    struct window *w = &p->window;
    ol_page_close(&p->page);
    p->place.offset = window_offset(p);
    if (chunk_left(p) <= 0)
        return ol_page_fail(&p->place, err,
                            "is not there: the column ends before its last %" PRId64
                            " values",
                            p->n_left);
    if (read_header(p, &h, err) != 0 ||
        ol_page_header_check(&h, &p->place, chunk_left(p), p->n_left, err) != 0 ||
        fetch(p, (size_t)h.packed, err) != 0)
        return -1;
    const unsigned char *body = w->bytes + w->at;
    w->at += (size_t)h.packed;
    switch ((enum ol_page_type)h.type) {
    case OL_PAGE_DICTIONARY:
        return open_dictionary(p, &h, body, err);
    case OL_PAGE_DATA:
    case OL_PAGE_DATA_V2:
        return open_data(p, &h, body, err);
    case OL_PAGE_INDEX:
        break;
    }
    return 0;
}

/* ---- values ---- */

static int take_value(struct ol_parquet *p, struct ol_parquet_value *v,
                      struct ol_error *err)
{
    uint32_t level = 1, n = 0;
    *v = (struct ol_parquet_value){.row = p->row++};
    p->page_left--;
    if (p->has_levels && !ol_hybrid_next(&p->page.levels, &level))
        return ol_page_fail(&p->place, err, "is damaged: its levels end too early");
    if (level == 0)
        return 1;
    if (p->by_words) {
        if (!ol_hybrid_next(&p->indices, &n) || n >= p->n_words)
            return ol_page_fail(&p->place, err,
                                "is damaged: an index is not there, or is %" PRIu32
                                " of a dictionary of %zu",
                                n, p->n_words);
        v->text = p->words[n].text;
        v->bytes = p->words[n].bytes;
        return 1;
    }
    if (take_plain(&p->page, &v->text, &n) != 0)
        return ol_page_fail(&p->place, err, "is damaged: a value is not all there");
    v->bytes = n;
    return 1;
}

bool ol_parquet_has_more(const struct ol_parquet *p)
{
    return p->page_left > 0;
}

struct ol_parquet_place ol_parquet_place(const struct ol_parquet *p)
{
    return (struct ol_parquet_place){p->row, window_offset(p)};
}

bool ol_parquet_go_on(struct ol_parquet *p, struct ol_parquet_place place)
{
    int64_t before = 0;
    size_t chunk = 0;
    while (chunk < p->info.n_chunks &&
           place.row >= before + p->info.chunks[chunk].n_values)
        before += p->info.chunks[chunk++].n_values;
    const bool at_chunk = place.row == before;
    if (place.row < 0 || (chunk == p->info.n_chunks && !at_chunk) ||
        (!at_chunk && (place.offset <= p->info.chunks[chunk].start ||
                       place.offset >= p->info.chunks[chunk].end)))
        return false;
    p->chunk = chunk;
    p->row = place.row;
    p->begun = p->skipped = !at_chunk;
    if (!at_chunk) {
        p->n_left = before + p->info.chunks[chunk].n_values - place.row;
        p->window.end = place.offset;
    }
    return true;
}

int ol_parquet_next(struct ol_parquet *p, struct ol_parquet_value *value,
                    struct ol_error *err)
{
    while (p->page_left == 0) {
        if (p->begun && p->n_left == 0) {
            p->chunk++;
            p->begun = false;
        }
        if (p->chunk == p->info.n_chunks)
            return 0;
        if (!p->begun) {
            const struct ol_parquet_chunk *c = &p->info.chunks[p->chunk];
            forget_words(p);
            p->begun = true;
            p->skipped = false;
            p->n_left = c->n_values;
            p->window.at = p->window.n = 0;
            p->window.end = c->start;
        } else if (open_page(p, err) != 0) {
            return -1;
        }
    }
    return take_value(p, value, err);
}
