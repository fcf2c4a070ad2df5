#include "extract/text/tokenizer/splitter.h"

#include <stdlib.h>
#include <string.h>

#include "extract/text/tokenizer/pattern.h"

/* What becomes of the places where the pattern matches. */
enum behaviour { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };

struct stage {
    struct ol_pattern *pattern; /* NULL: does not cut */
    char *string;               /* or a text to look for */
    enum behaviour behaviour;
    bool invert;       /* matches and the rest change places */
    bool prefix_space; /* a piece that does not begin with a space gets one */
};

struct ol_splitter {
    struct stage *stages;
    int n;
    bool byte_level;
};

#define GPT2_PATTERN                                                                     \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* ---- reading ---- */

static struct stage *add_stage(struct ol_splitter *s)
{
    s->stages = ol_xrealloc_array(s->stages, (size_t)s->n + 1, sizeof *s->stages);
    s->stages[s->n] = (struct stage){.behaviour = ISOLATED};
    return &s->stages[s->n++];
}

static int read_behaviour(struct ol_json_section s, enum behaviour *behaviour,
                          struct ol_error *err)
{
    static const char *const names[] = {
        [REMOVED] = "Removed",
        [ISOLATED] = "Isolated",
        [MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [MERGED_WITH_NEXT] = "MergedWithNext",
        [CONTIGUOUS] = "Contiguous",
    };
    const char *name;
    if (ol_json_string_or(s, "behavior", "", &name, err) != 0)
        return -1;
    for (int b = REMOVED; b <= CONTIGUOUS; b++)
        if (strcmp(name, names[b]) == 0) {
            *behaviour = (enum behaviour)b;
            return 0;
        }
    return ol_fail(err, "%s: pre_tokenizer Split: behavior \"%s\" is not known", s.file,
                   name);
}

static int read_split(struct ol_splitter *splitter, struct ol_json_section s,
                      struct ol_error *err)
{
    const struct ol_json_section pattern = {s.file, ol_json_get(s.json, "pattern")};
    const char *regex, *string;
    struct stage *stage = add_stage(splitter);
    if (read_behaviour(s, &stage->behaviour, err) != 0 ||
        ol_json_bool_or(s, "invert", false, &stage->invert, err) != 0 ||
        ol_json_string_or(pattern, "Regex", "", &regex, err) != 0 ||
        ol_json_string_or(pattern, "String", "", &string, err) != 0)
        return -1;
    if ((*regex == '\0') == (*string == '\0'))
        return ol_fail(err,
                       "%s: pre_tokenizer Split: expected a pattern {\"Regex\": ...} or "
                       "{\"String\": ...}",
                       s.file);
    if (*string != '\0')
        stage->string = ol_xstrdup(string);
    else
        stage->pattern = ol_pattern_new(regex, s.file, err);
    return stage->string != NULL || stage->pattern != NULL ? 0 : -1;
}

static int read_byte_level(struct ol_splitter *splitter, struct ol_json_section s,
                           struct ol_error *err)
{
    bool use_regex;
    struct stage *stage = add_stage(splitter);
    splitter->byte_level = true;
    if (ol_json_bool_or(s, "add_prefix_space", true, &stage->prefix_space, err) != 0 ||
        ol_json_bool_or(s, "use_regex", true, &use_regex, err) != 0)
        return -1;
    if (use_regex)
        stage->pattern = ol_pattern_new(GPT2_PATTERN, s.file, err);
    return use_regex && stage->pattern == NULL ? -1 : 0;
}

static int read_digits(struct ol_splitter *splitter, struct ol_json_section s,
                       struct ol_error *err)
{
    bool individual;
    struct stage *stage = add_stage(splitter);
    if (ol_json_bool_or(s, "individual_digits", false, &individual, err) != 0)
        return -1;
    stage->pattern = ol_pattern_new(individual ? "\\p{N}" : "\\p{N}+", s.file, err);
    return stage->pattern != NULL ? 0 : -1;
}

static int read_stage(struct ol_splitter *splitter, struct ol_json_section s,
                      struct ol_error *err)
{
    const char *type;
    if (ol_json_kind(s.json) == OL_JSON_NULL)
        return 0;
    if (ol_json_string_or(s, "type", "", &type, err) != 0)
        return -1;
    if (strcmp(type, "Sequence") == 0) {
        const struct ol_json *list = ol_json_get(s.json, "pretokenizers");
        for (size_t i = 0; i < ol_json_length(list); i++)
            if (read_stage(splitter,
                           (struct ol_json_section){s.file, ol_json_at(list, i)},
                           err) != 0)
                return -1;
        return 0;
    }
    if (splitter->byte_level)
        return ol_fail(err, "%s: pre_tokenizer \"%s\" behind ByteLevel is not supported",
                       s.file, type);
    if (strcmp(type, "Split") == 0)
        return read_split(splitter, s, err);
    if (strcmp(type, "ByteLevel") == 0)
        return read_byte_level(splitter, s, err);
    if (strcmp(type, "Digits") == 0)
        return read_digits(splitter, s, err);
    return ol_fail(err,
                   "%s: pre_tokenizer of type \"%s\" is not supported; known are Split, "
                   "ByteLevel, Digits, Sequence",
                   s.file, type);
}

struct ol_splitter *ol_splitter_new(struct ol_json_section section, struct ol_error *err)
{
    struct ol_splitter *s = ol_xcalloc(1, sizeof *s);
    if (read_stage(s, section, err) == 0)
        return s;
    ol_splitter_free(s);
    return NULL;
}

void ol_splitter_free(struct ol_splitter *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < s->n; i++) {
        ol_pattern_free(s->stages[i].pattern);
        free(s->stages[i].string);
    }
    free(s->stages);
    free(s);
}

bool ol_splitter_byte_level(const struct ol_splitter *s)
{
    return s->byte_level;
}

bool ol_splitter_streams(const struct ol_splitter *s)
{
    for (int i = 0; i < s->n; i++)
        if (s->stages[i].pattern != NULL && !ol_pattern_streams(s->stages[i].pattern))
            return false;
    return true;
}

/* ---- running ---- */

struct run {
    const struct ol_splitter *splitter;
    const struct ol_word_taker *taker;
    struct ol_error *err;
    bool marks;  /* of a text that goes on */
    size_t done; /* the last mark */
};

/* What a stage is given. `inner`: splitting may begin again, with the same words, at
 * boundaries of words inside it. */
struct piece {
    const char *text;
    size_t bytes;
    size_t at; /* where it begins in the whole text */
    bool open; /* it goes on behind its end */
    bool inner;
    bool spaced; /* inside only before a space: elsewhere a stage would put one */
};

/* Stretches of one piece in order, matches and the rest, joined as the behaviour says:
 * at most one waits to be joined with the next. */
struct cutter {
    struct run *run;
    int stage;
    const struct piece *piece;
    size_t first, past; /* the waiting stretch; first == past: none */
    bool match;         /* it was (or ended in) a match */
};

static int run_stage(struct run *r, int stage, const struct piece *p);

static void mark(struct run *r, size_t at)
{
    if (!r->marks)
        return;
    r->done = at;
    r->taker->mark(r->taker->arg);
}

/* At `at` of the piece, a boundary. */
static void mark_inside(struct run *r, const struct piece *p, size_t at)
{
    if (p->inner && (!p->spaced || (at < p->bytes && p->text[at] == ' ')))
        mark(r, p->at + at);
}

/* Stretch [first, past) of a piece; `plain`: of what the pattern does not match. */
static int pass_on(const struct cutter *c, size_t first, size_t past, bool plain,
                   bool open)
{
    const struct piece *p = c->piece;
    const struct piece part = {
        .text = p->text + first,
        .bytes = past - first,
        .at = p->at + first,
        .open = open,
        .inner = p->inner && plain,
        .spaced = p->spaced,
    };
    if (first > 0)
        mark_inside(c->run, p, first);
    const int status = run_stage(c->run, c->stage + 1, &part);
    if (status == 0 && !open)
        mark_inside(c->run, p, past);
    return status;
}

static int release(struct cutter *c)
{
    const size_t first = c->first, past = c->past;
    c->first = c->past = 0;
    return first < past ? pass_on(c, first, past, false, false) : 0;
}

static int put(struct cutter *c, size_t first, size_t past, bool is_match)
{
    const struct stage *stage = &c->run->splitter->stages[c->stage];
    const bool waits = c->first < c->past, match = is_match != stage->invert;
    bool join = false;
    switch (stage->behaviour) {
    case REMOVED:
        if (!match)
            return pass_on(c, first, past, !is_match, false);
        mark_inside(c->run, c->piece, past);
        return 0;
    case ISOLATED:
        return pass_on(c, first, past, !is_match, false);
    case MERGED_WITH_PREVIOUS:
        join = waits && match && !c->match;
        break;
    case MERGED_WITH_NEXT:
        join = waits && !match && c->match;
        break;
    case CONTIGUOUS:
        join = waits && match == c->match;
        break;
    }
    if (!join) {
        const int status = release(c);
        if (status != 0)
            return status;
        c->first = first;
    }
    c->past = past;
    c->match = match;
    return 0;
}

/* The end of a piece that goes on: what is no match up to `past`, and what is behind it
 * no one knows yet. */
static int put_open(struct cutter *c, size_t first, size_t past)
{
    const struct stage *stage = &c->run->splitter->stages[c->stage];
    const bool joins = stage->behaviour != REMOVED && stage->behaviour != ISOLATED;
    const bool removed = stage->behaviour == REMOVED && stage->invert;
    return joins || removed || first >= past ? 0 : pass_on(c, first, past, true, true);
}

static int find_string(const char *string, const struct piece *p, size_t from,
                       size_t *start, size_t *end)
{
    const size_t n = strlen(string);
    const char *found = memmem(p->text + from, p->bytes - from, string, n);
    if (found == NULL) {
        /* Its first bytes may be the last that are there. */
        *start = p->bytes - from >= n ? p->bytes - (n - 1) : from;
        while (*start > from && *start < p->bytes &&
               ((unsigned char)p->text[*start] & 0xc0) == 0x80)
            --*start;
        return 0;
    }
    *start = (size_t)(found - p->text);
    *end = *start + n;
    return 1;
}

/* 1: a match. 0: none; of an open piece one may begin at *start. */
static int find(const struct run *r, const struct stage *stage, const struct piece *p,
                size_t from, size_t *start, size_t *end)
{
    if (stage->string != NULL)
        return find_string(stage->string, p, from, start, end);
    return (p->open ? ol_pattern_find_open : ol_pattern_find)(
        stage->pattern, p->text, p->bytes, from, start, end, r->err);
}

static int cut(struct run *r, int stage, const struct piece *p)
{
    struct cutter c = {.run = r, .stage = stage, .piece = p};
    size_t done = 0, start = p->bytes, end;
    int found, status = 0;
    while (done < p->bytes &&
           (found = find(r, &r->splitter->stages[stage], p, done, &start, &end)) != 0) {
        if (found < 0)
            return -1;
        if (start > done)
            status = put(&c, done, start, false);
        if (status == 0)
            status = put(&c, start, end, true);
        if (status != 0)
            return status;
        done = end;
    }
    if (p->open)
        return put_open(&c, done, start);
    if (done < p->bytes)
        status = put(&c, done, p->bytes, false);
    return status != 0 ? status : release(&c);
}

static int give_word(struct run *r, const struct piece *p)
{
    const struct ol_word_taker *t = r->taker;
    if (!p->open)
        return t->word(t->arg, p->text, p->bytes);
    size_t taken = 0;
    if (!p->inner || p->spaced)
        return 0;
    const int status = t->begun_word(t->arg, p->text, p->bytes, &taken);
    if (status == 0 && taken > 0)
        mark(r, p->at + taken);
    return status;
}

static int run_stage(struct run *r, int stage, const struct piece *piece)
{
    if (piece->bytes == 0)
        return 0;
    if (stage == r->splitter->n)
        return give_word(r, piece);
    const struct stage *s = &r->splitter->stages[stage];
    struct piece p = *piece;
    char *prefixed = NULL;
    if (s->prefix_space && p.text[0] != ' ') {
        prefixed = ol_xmalloc(p.bytes + 1);
        prefixed[0] = ' ';
        memcpy(prefixed + 1, p.text, p.bytes);
        p.text = prefixed;
        p.bytes++;
        p.at--; /* the space is no part of the text */
    }
    p.spaced = p.spaced || s->prefix_space;
    const int status = s->pattern != NULL || s->string != NULL
                           ? cut(r, stage, &p)
                           : run_stage(r, stage + 1, &p);
    free(prefixed);
    return status;
}

int ol_splitter_run(const struct ol_splitter *s, const char *text, size_t bytes,
                    const struct ol_word_taker *taker, struct ol_error *err)
{
    struct run r = {.splitter = s, .taker = taker, .err = err};
    const struct piece whole = {.text = text, .bytes = bytes};
    return run_stage(&r, 0, &whole);
}

int ol_splitter_run_open(const struct ol_splitter *s, const char *text, size_t bytes,
                         const struct ol_word_taker *taker, size_t *done,
                         struct ol_error *err)
{
    struct run r = {.splitter = s, .taker = taker, .err = err, .marks = true};
    const struct piece whole = {
        .text = text, .bytes = bytes, .open = true, .inner = true};
    mark(&r, 0);
    const int status = run_stage(&r, 0, &whole);
    *done = r.done;
    return status;
}
