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

/* ---- running ---- */

struct run {
    const struct ol_splitter *splitter;
    int (*word)(void *arg, const char *text, size_t bytes);
    void *arg;
    struct ol_error *err;
};

/* Stretches of one piece in order, matches and the rest, joined as the behaviour says:
 * at most one waits to be joined with the next. */
struct cutter {
    const struct run *run;
    int stage;
    const char *text;
    size_t first, past; /* the waiting stretch; first == past: none */
    bool match;         /* it was (or ended in) a match */
};

static int run_stage(const struct run *r, int stage, const char *text, size_t bytes);

static int release(struct cutter *c)
{
    const size_t first = c->first, past = c->past;
    c->first = c->past = 0;
    return first < past ? run_stage(c->run, c->stage + 1, c->text + first, past - first)
                        : 0;
}

static int put(struct cutter *c, size_t first, size_t past, bool match)
{
    const struct stage *stage = &c->run->splitter->stages[c->stage];
    const bool waits = c->first < c->past;
    match = match != stage->invert;
    bool join = false;
    switch (stage->behaviour) {
    case REMOVED:
        return match ? 0 : run_stage(c->run, c->stage + 1, c->text + first, past - first);
    case ISOLATED:
        return run_stage(c->run, c->stage + 1, c->text + first, past - first);
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

static int find(const struct run *r, const struct stage *stage, const char *text,
                size_t bytes, size_t from, size_t *start, size_t *end)
{
    if (stage->string == NULL)
        return ol_pattern_find(stage->pattern, text, bytes, from, start, end, r->err);
    const size_t n = strlen(stage->string);
    const char *found = memmem(text + from, bytes - from, stage->string, n);
    if (found == NULL)
        return 0;
    *start = (size_t)(found - text);
    *end = *start + n;
    return 1;
}

static int cut(const struct run *r, int stage, const char *text, size_t bytes)
{
    struct cutter c = {.run = r, .stage = stage, .text = text};
    size_t done = 0, start, end;
    int found, status = 0;
    while (done < bytes && (found = find(r, &r->splitter->stages[stage], text, bytes,
                                         done, &start, &end)) != 0) {
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
    if (done < bytes)
        status = put(&c, done, bytes, false);
    return status != 0 ? status : release(&c);
}

static int run_stage(const struct run *r, int stage, const char *text, size_t bytes)
{
    if (bytes == 0)
        return 0;
    if (stage == r->splitter->n)
        return r->word(r->arg, text, bytes);
    const struct stage *s = &r->splitter->stages[stage];
    char *prefixed = NULL;
    if (s->prefix_space && text[0] != ' ') {
        prefixed = ol_xmalloc(bytes + 1);
        prefixed[0] = ' ';
        memcpy(prefixed + 1, text, bytes);
        text = prefixed;
        bytes++;
    }
    const int status = s->pattern != NULL || s->string != NULL
                           ? cut(r, stage, text, bytes)
                           : run_stage(r, stage + 1, text, bytes);
    free(prefixed);
    return status;
}

int ol_splitter_run(const struct ol_splitter *s, const char *text, size_t bytes,
                    int (*word)(void *arg, const char *text, size_t bytes), void *arg,
                    struct ol_error *err)
{
    const struct run r = {s, word, arg, err};
    return run_stage(&r, 0, text, bytes);
}
