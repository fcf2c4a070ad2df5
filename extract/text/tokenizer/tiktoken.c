/* A line of the file is a token's bytes in base64, a space and its rank, which is its id.
 * Any two tokens that together are a token may merge, and that of the lowest rank goes
 * first: each token is a merge of every two tokens that it can be cut into. */
#include "extract/text/tokenizer/tiktoken.h"

#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/stand_in.h"
#include "extract/text/tokenizer/byte_level.h"
#include "extract/text/tokenizer/whole_file.h"

/* ---- the families ---- */

/* The alternatives of a pattern stand one by one in the Python file of the checkpoint. */
enum { MOST_ALTERNATIVES = 10 };

static const struct tiktoken_class {
    const char *name; /* "tokenizer_class" */
    const char *alternatives[MOST_ALTERNATIVES];
    int n_special; /* ids behind the ranks; those without a name are reserved */
} classes[] = {
    /* Kimi K2 and later, Kimi-Linear, Moonlight. Some of their files reserve two ids
     * more, for which no model has an embedding. */
    {.name = "TikTokenTokenizer",
     .alternatives =
         {
             "[\\p{Han}]+",
             "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*"
             "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
             "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+"
             "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
             "\\p{N}{1,3}",
             " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*",
             "\\s*[\\r\\n]+",
             "\\s+(?!\\S)",
             "\\s+",
         },
     .n_special = 256},
};
enum { N_CLASSES = sizeof classes / sizeof classes[0] };

static char *pattern_of(const struct tiktoken_class *c)
{
    char *pattern = ol_xstrdup(c->alternatives[0]);
    for (int i = 1; i < MOST_ALTERNATIVES && c->alternatives[i] != NULL; i++) {
        char *longer = ol_xasprintf("%s|%s", pattern, c->alternatives[i]);
        free(pattern);
        pattern = longer;
    }
    return pattern;
}

/* ---- ranks ---- */

enum { MOST_TOKEN_BYTES = 1024 }; /* the longest known has 128 */

static int fail_at(const struct ol_tiktoken_file *f, size_t line, struct ol_error *err)
{
    const char *meaning = ol_stand_in(f->text, f->bytes);
    if (meaning != NULL)
        return ol_fail(err, "%s: %s", f->path, meaning);
    return ol_fail(
        err,
        "%s: line %zu: expected a token of 1 to %d bytes in base64, a space and "
        "its rank, each once",
        f->path, line, MOST_TOKEN_BYTES);
}

static int digit_of(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* n characters of base64 to bytes; their number, or 0. */
static size_t decode(const char *text, size_t n, char bytes[MOST_TOKEN_BYTES])
{
    size_t used = 0;
    if (n % 4 != 0 || n / 4 * 3 > MOST_TOKEN_BYTES)
        return 0;
    for (size_t i = 0; i < n; i += 4) {
        const int padding = i + 4 < n            ? 0
                            : text[i + 3] != '=' ? 0
                            : text[i + 2] != '=' ? 1
                                                 : 2;
        uint32_t value = 0;
        for (size_t k = 0; k < 4; k++) {
            const int digit = (int)k < 4 - padding ? digit_of(text[i + k]) : 0;
            if (digit < 0)
                return 0;
            value = value << 6 | (uint32_t)digit;
        }
        for (int k = 0; k < 3 - padding; k++)
            bytes[used++] = (char)(value >> (16 - 8 * k) & 0xff);
    }
    return used;
}

/* One line, without its end: into the tokens as they are. */
static int read_line(const char *line, size_t n, struct ol_vocab *tokens)
{
    char bytes[MOST_TOKEN_BYTES];
    const char *space = memchr(line, ' ', n);
    const size_t used = space != NULL ? decode(line, (size_t)(space - line), bytes) : 0;
    if (used == 0 || space + 1 == line + n)
        return -1;
    int32_t rank = 0;
    for (const char *p = space + 1; p < line + n; p++) {
        if (*p < '0' || *p > '9' || rank >= OL_MAX_TOKEN_ID / 10)
            return -1;
        rank = 10 * rank + (*p - '0');
    }
    size_t ignored;
    return ol_vocab_text(tokens, rank, &ignored) == NULL &&
                   ol_vocab_add(tokens, bytes, used, rank)
               ? 0
               : -1;
}

static int read_lines(const struct ol_tiktoken_file *f, struct ol_vocab *tokens,
                      struct ol_error *err)
{
    const char *end = f->text + f->bytes;
    int32_t n = 0;
    size_t number = 1;
    for (const char *line = f->text; line < end; number++) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *past = newline != NULL ? newline : end;
        const size_t bytes = (size_t)(past - line) - (past > line && past[-1] == '\r');
        if (bytes > 0 && read_line(line, bytes, tokens) != 0)
            return fail_at(f, number, err);
        n += bytes > 0;
        line = past + 1;
    }
    if (n == 0 || ol_vocab_size(tokens) != n)
        return ol_fail(err,
                       "%s: has %d tokens and ranks up to %d: expected all from 0 on",
                       f->path, n, ol_vocab_size(tokens) - 1);
    for (int i = 0; i < 256; i++)
        if (ol_vocab_find(tokens, (const char[]){(char)i}, 1) < 0)
            return ol_fail(err, "%s: has no token for the byte 0x%02x", f->path,
                           (unsigned)i);
    return 0;
}

/* In the alphabet of tokenizer.json. */
static void add_token(struct ol_vocab *vocab, const char *bytes, size_t n, int32_t id)
{
    char text[2 * MOST_TOKEN_BYTES + 4];
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        used += ol_byte_level_char((uint8_t)bytes[i], text + used);
    ol_vocab_add(vocab, text, used, id);
}

static void add_merges(const struct ol_vocab *tokens, int32_t id, size_t *room,
                       struct ol_merge_list *merges)
{
    size_t n;
    const char *bytes = ol_vocab_text(tokens, id, &n);
    for (size_t cut = 1; cut < n; cut++) {
        const int32_t left = ol_vocab_find(tokens, bytes, cut);
        const int32_t right =
            left >= 0 ? ol_vocab_find(tokens, bytes + cut, n - cut) : -1;
        if (right < 0)
            continue;
        if (merges->n == *room) {
            *room = 2 * *room + 4096;
            merges->pairs =
                ol_xrealloc_array(merges->pairs, *room, sizeof *merges->pairs);
            merges->ranks =
                ol_xrealloc_array(merges->ranks, *room, sizeof *merges->ranks);
        }
        merges->pairs[merges->n][0] = left;
        merges->pairs[merges->n][1] = right;
        merges->ranks[merges->n++] = (uint32_t)id;
    }
}

static int read_ranks(const struct ol_tiktoken_file *f, struct ol_vocab *vocab,
                      struct ol_merge_list *merges, struct ol_error *err)
{
    enum { BYTES_PER_TOKEN = 12 }; /* of the file, or more */
    struct ol_vocab *tokens = ol_vocab_new();
    ol_vocab_reserve(tokens, f->bytes / BYTES_PER_TOKEN);
    ol_vocab_reserve(vocab, f->bytes / BYTES_PER_TOKEN);
    const int status = read_lines(f, tokens, err);
    size_t room = 0, n;
    for (int32_t id = 0; id < ol_vocab_size(tokens) && status == 0; id++) {
        const char *bytes = ol_vocab_text(tokens, id, &n);
        add_token(vocab, bytes, n, id);
        add_merges(tokens, id, &room, merges);
    }
    ol_vocab_free(tokens);
    return status;
}

/* ---- tokenizer_config.json ---- */

static const struct tiktoken_class *find_class(struct ol_json_section config,
                                               struct ol_error *err)
{
    const char *name;
    if (ol_json_string_or(config, "tokenizer_class", "", &name, err) != 0)
        return NULL;
    for (int i = 0; i < N_CLASSES; i++)
        if (strcmp(classes[i].name, name) == 0)
            return &classes[i];
    ol_fail(err,
            "%s: tokenizer_class \"%s\" is not known to read tiktoken.model by; known is "
            "%s",
            config.file, name, classes[0].name);
    return NULL;
}

/* "auto_map" names the Python file with the pattern, "tokenization_kimi.CLASS": where it
 * is there, it must have the pattern that is used here. */
static int check_python(const struct ol_tiktoken_file *f, struct ol_json_section config,
                        const struct tiktoken_class *c, struct ol_error *err)
{
    const struct ol_json *map =
        ol_json_get(ol_json_get(config.json, "auto_map"), "AutoTokenizer");
    if (ol_json_kind(map) == OL_JSON_ARRAY)
        map = ol_json_at(map, 0);
    const char *name =
        ol_json_kind(map) == OL_JSON_STRING ? ol_json_string(map, NULL) : "";
    const size_t n = strcspn(name, ".");
    if (n == 0 || memchr(name, '/', n) != NULL)
        return 0;
    char *path = ol_xasprintf("%s/%.*s.py", f->directory, (int)n, name), *text = NULL;
    size_t bytes;
    bool there;
    int status = ol_file_exists(path, &there, err);
    if (status == 0 && there) {
        text = ol_whole_file(path, &bytes, err);
        status = text != NULL ? 0 : -1;
    }
    for (int i = 0; text != NULL && i < MOST_ALTERNATIVES && c->alternatives[i] != NULL;
         i++)
        if (strstr(text, c->alternatives[i]) == NULL)
            status =
                ol_fail(err, "%s: has another pattern than the known one of %s, with %s",
                        path, c->name, c->alternatives[i]);
    free(text);
    free(path);
    return status;
}

/* The names of the ids behind the ranks: [n_special], borrowed, NULL: none. */
static int read_names(struct ol_json_section config, int32_t first, int n_special,
                      const struct ol_json **names, struct ol_error *err)
{
    struct ol_json *list = ol_json_get(config.json, "added_tokens_decoder");
    if (ol_json_kind(list) != OL_JSON_OBJECT)
        return ol_fail(err, "%s: key \"added_tokens_decoder\" is missing", config.file);
    for (void *it = ol_json_first(list); it != NULL; it = ol_json_next(list, it)) {
        char *end;
        const char *key = ol_json_key(it);
        const long id = *key >= '0' && *key <= '9' ? strtol(key, &end, 10) : -1;
        if (id < first || id - first >= n_special || *end != '\0')
            return ol_fail(err,
                           "%s: added_tokens_decoder: found the id \"%s\", expected ids "
                           "from %d to %d, behind the ranks of tiktoken.model",
                           config.file, key, first, first + n_special - 1);
        names[id - first] = ol_json_value(it);
    }
    return 0;
}

/* A token of the list "added_tokens". Flags of the config do not count: tiktoken knows
 * special tokens, and finds them anywhere. */
static struct ol_json *added_token(struct ol_json_section named, int32_t id,
                                   struct ol_error *err)
{
    bool special = true;
    const char *content = NULL;
    char *reserved = ol_xasprintf("<|reserved_token_%d|>", id);
    struct ol_json *token = NULL;
    if (ol_json_string_or(named, "content", reserved, &content, err) == 0 &&
        ol_json_bool_or(named, "special", true, &special, err) == 0) {
        token = ol_json_new_object();
        ol_json_set(token, "id", ol_json_new_int(id));
        ol_json_set(token, "content", ol_json_new_string(content));
        ol_json_set(token, "special", ol_json_new_bool(special));
        ol_json_set(token, "normalized", ol_json_new_bool(false));
    }
    free(reserved);
    return token;
}

/* All ids behind the ranks, each with a text of its own. */
static struct ol_json *read_added(struct ol_json_section config,
                                  const struct tiktoken_class *c,
                                  const struct ol_vocab *vocab, struct ol_error *err)
{
    const int32_t first = ol_vocab_size(vocab);
    const struct ol_json **names = ol_xcalloc((size_t)c->n_special, sizeof *names);
    struct ol_json *list = ol_json_new_array();
    struct ol_vocab *texts = ol_vocab_new();
    int status = read_names(config, first, c->n_special, names, err);
    for (int i = 0; i < c->n_special && status == 0; i++) {
        struct ol_json *token =
            added_token((struct ol_json_section){config.file, names[i]}, first + i, err);
        if (token == NULL) {
            status = -1;
            break;
        }
        size_t n;
        const char *text = ol_json_string(ol_json_get(token, "content"), &n);
        ol_json_append(list, token);
        if (n == 0 || ol_vocab_find(vocab, text, n) >= 0 ||
            !ol_vocab_add(texts, text, n, first + i))
            status = ol_fail(err,
                             "%s: added_tokens_decoder: \"%s\" of id %d is empty, or a "
                             "token of another id too",
                             config.file, text, first + i);
    }
    ol_vocab_free(texts);
    free(names);
    if (status == 0)
        return list;
    ol_json_free(list);
    return NULL;
}

/* ---- the form of tokenizer.json ---- */

static struct ol_json *part(const char *type)
{
    struct ol_json *json = ol_json_new_object();
    ol_json_set(json, "type", ol_json_new_string(type));
    return json;
}

static struct ol_json *splitter(const struct tiktoken_class *c)
{
    struct ol_json *stages = ol_json_new_array(), *all = part("Sequence"),
                   *split = part("Split"), *level = part("ByteLevel"),
                   *pattern = ol_json_new_object();
    char *text = pattern_of(c);
    ol_json_set(pattern, "Regex", ol_json_new_string(text));
    free(text);
    ol_json_set(split, "pattern", pattern);
    ol_json_set(split, "behavior", ol_json_new_string("Isolated"));
    ol_json_set(level, "add_prefix_space", ol_json_new_bool(false));
    ol_json_set(level, "use_regex", ol_json_new_bool(false));
    ol_json_append(stages, split);
    ol_json_append(stages, level);
    ol_json_set(all, "pretokenizers", stages);
    return all;
}

/* Nothing is put in front of a text: the class has no such step. */
static struct ol_json *rest_of(const struct tiktoken_class *c, struct ol_json *added)
{
    struct ol_json *rest = ol_json_new_object(), *model = part("BPE");
    ol_json_set(model, "ignore_merges", ol_json_new_bool(true));
    ol_json_set(rest, "model", model);
    ol_json_set(rest, "added_tokens", added);
    ol_json_set(rest, "pre_tokenizer", splitter(c));
    ol_json_set(rest, "post_processor", part("ByteLevel"));
    ol_json_set(rest, "decoder", part("ByteLevel"));
    return rest;
}

struct ol_json *ol_tiktoken_read(const struct ol_tiktoken_file *f, struct ol_vocab *vocab,
                                 struct ol_merge_list *merges, struct ol_error *err)
{
    char *path = ol_xasprintf("%s/tokenizer_config.json", f->directory);
    struct ol_json *json = ol_json_load_file(path, err), *added = NULL, *rest = NULL;
    const struct ol_json_section config = {path, json};
    const struct tiktoken_class *c = json != NULL ? find_class(config, err) : NULL;
    if (c != NULL && check_python(f, config, c, err) == 0 &&
        read_ranks(f, vocab, merges, err) == 0)
        added = read_added(config, c, vocab, err);
    if (added != NULL)
        rest = rest_of(c, added);
    ol_json_free(json);
    free(path);
    return rest;
}
