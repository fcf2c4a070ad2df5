/* Encoding a text that comes in pieces.
 *
 *   raw      what may yet be part of an added token, or of a character that is composed
 *    |       with what follows
 *    v
 *   normal   normalised text between two added tokens, from the last place where
 * splitting |       may begin again
 *    v
 *   ids
 *
 * Nothing is guessed: a stretch moves on when no text that could follow can change what
 * becomes of it. Patterns say so themselves (a match that did not look at the end), a
 * normal form by its next character, merges by characters that none of them joins. */
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "extract/text/tokenizer/parts.h"

enum { CONTEXT = 4 /* bytes kept of what is done, for neighbours to be looked at */ };

/* Text that waits, behind the last bytes of what is done. */
struct waiting {
    char *data;
    size_t from, n, room; /* done: [0, from), waiting: [from, n) */
    size_t enough;        /* not worth another try with fewer bytes */
};

struct ol_token_stream {
    struct ol_tokenizer *t;
    bool streams;
    struct waiting raw, normal;
    bool begun; /* something of the stretch between two tokens was normalised */
    /* Of the call that is running. */
    struct ol_ids *ids;
    size_t stop_at, marked; /* ids->n at the splitter's last mark */
    struct ol_error *err;
};

/* ---- waiting text ---- */

static void append(struct waiting *w, const char *text, size_t bytes)
{
    if (w->n + bytes > w->room) {
        w->room = 2 * (w->n + bytes);
        w->data = ol_xrealloc_array(w->data, w->room, 1);
    }
    if (bytes > 0)
        memcpy(w->data + w->n, text, bytes);
    w->n += bytes;
}

/* What is done of text [0, n) is [0, done): keep the rest, and a little before it. A text
 * that does not move is tried again when it is twice as long, so that time stays linear.
 */
static void keep(struct waiting *w, const char *text, size_t from, size_t done, size_t n)
{
    const size_t context = done < CONTEXT ? done : CONTEXT, first = done - context;
    const bool moved = done > from;
    if (text == w->data) {
        memmove(w->data, w->data + first, n - first);
        w->n = n - first;
    } else {
        w->n = 0;
        append(w, text + first, n - first);
    }
    w->from = context;
    w->enough = moved ? 0 : 2 * (n - done);
}

static void drop(struct waiting *w)
{
    w->from = w->n = w->enough = 0;
}

/* ---- words ---- */

static int is_enough(const struct ol_token_stream *s)
{
    return s->stop_at > 0 && s->ids->n >= s->stop_at;
}

static int encode_word(void *arg, const char *text, size_t bytes)
{
    struct ol_token_stream *s = arg;
    ol_bpe_encode(s->t->bpe, text, bytes, s->stop_at, s->ids);
    return is_enough(s);
}

static int encode_begun_word(void *arg, const char *text, size_t bytes, size_t *taken)
{
    struct ol_token_stream *s = arg;
    ol_bpe_encode_begun(s->t->bpe, text, bytes, s->stop_at, s->ids, taken);
    return is_enough(s);
}

static void mark(void *arg)
{
    struct ol_token_stream *s = arg;
    s->marked = s->ids->n;
}

/* ---- normalised text ---- */

static int add_token(struct ol_token_stream *s, int32_t id)
{
    ol_ids_append(s->ids, id);
    return is_enough(s);
}

struct splitting {
    struct ol_token_stream *s;
    size_t open_bytes,
        done; /* of a stretch that goes on: its bytes, and what was taken */
};

static int split(void *arg, const char *text, size_t bytes, int32_t id, bool is_end)
{
    struct splitting *x = arg;
    struct ol_token_stream *s = x->s;
    const struct ol_word_taker taker = {encode_word, encode_begun_word, mark, s};
    if (id >= 0)
        return add_token(s, id);
    if (is_end)
        return ol_splitter_run(s->t->splitter, text, bytes, &taker, s->err);
    x->open_bytes = bytes;
    const int status =
        ol_splitter_run_open(s->t->splitter, text, bytes, &taker, &x->done, s->err);
    if (status == 0)
        s->ids->n = s->marked;
    return status;
}

/* text [from, bytes) of a stretch; is_end: nothing of it follows. */
static int run_normal(struct ol_token_stream *s, const char *text, size_t from,
                      size_t bytes, bool is_end)
{
    struct splitting x = {.s = s};
    const struct ol_added_text t = {
        .text = text, .from = from, .bytes = bytes, .is_last = is_end};
    size_t done;
    const int status = ol_added_split(s->t->normalised, &t, split, &x, &done);
    if (status != 0)
        return status;
    if (is_end)
        drop(&s->normal);
    else
        keep(&s->normal, text, from, done - x.open_bytes + x.done, bytes);
    return 0;
}

static int put_normal(struct ol_token_stream *s, const char *text, size_t bytes,
                      bool is_end)
{
    struct waiting *w = &s->normal;
    if (w->n == 0 && is_end)
        return run_normal(s, text, 0, bytes, true);
    append(w, text, bytes);
    if (!is_end && w->n - w->from < w->enough)
        return 0;
    return run_normal(s, w->data, w->from, w->n, is_end);
}

/* ---- text as it is ---- */

/* A stretch between two tokens, or what of it is there. */
static int normalise(struct ol_token_stream *s, const char *text, size_t bytes,
                     bool is_end)
{
    size_t n;
    char *normal =
        ol_normaliser_run_part(s->t->normaliser, text, bytes, !s->begun, &n, s->err);
    if (normal == NULL)
        return -1;
    s->begun = !is_end;
    const int status = put_normal(s, normal, n, is_end);
    free(normal);
    return status;
}

/* Of a stretch that has begun and gets nothing more. */
static int end_stretch(struct ol_token_stream *s)
{
    const bool begun = s->begun;
    s->begun = false;
    return begun ? put_normal(s, "", 0, true) : 0;
}

static int take_raw(void *arg, const char *text, size_t bytes, int32_t id, bool is_end)
{
    struct ol_token_stream *s = arg;
    if (id < 0)
        return normalise(s, text, bytes, is_end);
    const int status = end_stretch(s);
    return status != 0 ? status : add_token(s, id);
}

static int run_raw(struct ol_token_stream *s, const char *text, size_t from, size_t bytes,
                   bool is_last)
{
    const struct ol_added_text t = {.text = text,
                                    .from = from,
                                    .bytes = bytes,
                                    .is_last = is_last,
                                    .may_cut = ol_normaliser_may_cut,
                                    .arg = s->t->normaliser};
    size_t done;
    int status = ol_added_split(s->t->raw, &t, take_raw, s, &done);
    if (status == 0 && is_last)
        status = end_stretch(s);
    if (status != 0)
        return status;
    if (is_last)
        drop(&s->raw);
    else
        keep(&s->raw, text, from, done, bytes);
    return 0;
}

/* ---- the interface ---- */

struct ol_token_stream *ol_token_stream_new(struct ol_tokenizer *t)
{
    struct ol_token_stream *s = ol_xcalloc(1, sizeof *s);
    s->t = t;
    s->streams = ol_normaliser_streams(t->normaliser) && ol_splitter_streams(t->splitter);
    return s;
}

void ol_token_stream_free(struct ol_token_stream *s)
{
    if (s == NULL)
        return;
    free(s->normal.data);
    free(s->raw.data);
    free(s);
}

int ol_token_stream_put(struct ol_token_stream *s, const char *text, size_t bytes,
                        bool is_last, size_t stop_at, struct ol_ids *ids,
                        struct ol_error *err)
{
    struct waiting *w = &s->raw;
    s->ids = ids;
    s->stop_at = stop_at;
    s->err = err;
    if (w->n == 0 && (is_last || s->streams))
        return run_raw(s, text, 0, bytes, is_last);
    append(w, text, bytes);
    if (!is_last && (!s->streams || w->n - w->from < w->enough))
        return 0;
    return run_raw(s, w->data, w->from, w->n, is_last);
}

size_t ol_token_stream_waiting(const struct ol_token_stream *s)
{
    return s->raw.n + s->normal.n;
}

int ol_tokenizer_encode(struct ol_tokenizer *t, const char *text, size_t bytes,
                        size_t stop_after, struct ol_ids *ids, struct ol_error *err)
{
    size_t offset;
    if (!ol_utf8_valid(text, bytes, &offset))
        return ol_fail(err, "the text is no valid UTF-8 at byte %zu", offset);
    struct ol_token_stream *s = ol_token_stream_new(t);
    const size_t stop_at = stop_after > 0 ? ids->n + stop_after : 0;
    const int status = ol_token_stream_put(s, text, bytes, true, stop_at, ids, err);
    ol_token_stream_free(s);
    return status < 0 ? -1 : 0;
}
