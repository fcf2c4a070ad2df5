/* A tokenizer's file as a chain of parts: added tokens, normaliser, splitter, merges; the
 * post-processor's special tokens; the decoder. */
#include "extract/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/json.h"
#include "extract/text/tokenizer/parts.h"
#include "extract/text/tokenizer/tiktoken.h"
#include "extract/text/tokenizer/whole_file.h"

void ol_ids_append(struct ol_ids *ids, int32_t id)
{
    if (ids->n == ids->room) {
        ids->room = 2 * ids->room + 256;
        ids->ids = ol_xrealloc_array(ids->ids, ids->room, sizeof *ids->ids);
    }
    ids->ids[ids->n++] = id;
}

/* ---- reading ---- */

static int read_model(struct ol_tokenizer *t, struct ol_json_section top,
                      const struct ol_merge_list *merges, struct ol_error *err)
{
    const struct ol_json_section s = {top.file, ol_json_get(top.json, "model")};
    struct ol_bpe_options is = {.byte_level = ol_splitter_byte_level(t->splitter),
                                .unknown = -1};
    const char *type, *unknown, *prefix, *suffix;
    double dropout;
    /* Older files do not say the type, but only BPE has merges. */
    if (ol_json_string_or(s, "type", "BPE", &type, err) != 0 ||
        ol_json_string_or(s, "unk_token", "", &unknown, err) != 0 ||
        ol_json_string_or(s, "continuing_subword_prefix", "", &prefix, err) != 0 ||
        ol_json_string_or(s, "end_of_word_suffix", "", &suffix, err) != 0 ||
        ol_json_real_or(s, "dropout", 0, &dropout, err) != 0 ||
        ol_json_bool_or(s, "ignore_merges", false, &is.ignore_merges, err) != 0 ||
        ol_json_bool_or(s, "byte_fallback", false, &is.byte_fallback, err) != 0 ||
        ol_json_bool_or(s, "fuse_unk", false, &is.fuse_unknown, err) != 0)
        return -1;
    if (strcmp(type, "BPE") != 0)
        return ol_fail(err, "%s: model of type \"%s\" is not supported; known is BPE",
                       s.file, type);
    if (*prefix != '\0' || *suffix != '\0' || dropout != 0)
        return ol_fail(err, "%s: model: %s is not supported", s.file,
                       *prefix != '\0'   ? "continuing_subword_prefix"
                       : *suffix != '\0' ? "end_of_word_suffix"
                                         : "dropout");
    if (*unknown != '\0') {
        is.unknown = ol_vocab_find(t->vocab, unknown, strlen(unknown));
        if (is.unknown < 0)
            return ol_fail(err, "%s: model: unk_token \"%s\" is not in the vocabulary",
                           s.file, unknown);
    }
    t->bpe = ol_bpe_new(t->vocab, merges, &is, s.file, err);
    return t->bpe != NULL ? 0 : -1;
}

static int read_added_token(struct ol_tokenizer *t, struct ol_json_section s,
                            struct ol_error *err)
{
    struct ol_added_flags is;
    int64_t id;
    bool normalised;
    const struct ol_json *content = ol_json_get(s.json, "content");
    if (ol_json_kind(content) != OL_JSON_STRING)
        return ol_fail(err, "%s: added_tokens: a token has no content", s.file);
    size_t bytes;
    const char *text = ol_json_string(content, &bytes);
    if (ol_json_need_int(s, "id", 0, OL_MAX_TOKEN_ID - 1, &id, err) != 0 ||
        ol_json_bool_or(s, "single_word", false, &is.single_word, err) != 0 ||
        ol_json_bool_or(s, "lstrip", false, &is.lstrip, err) != 0 ||
        ol_json_bool_or(s, "rstrip", false, &is.rstrip, err) != 0 ||
        ol_json_bool_or(s, "special", false, &is.special, err) != 0 ||
        ol_json_bool_or(s, "normalized", !is.special, &normalised, err) != 0)
        return -1;
    /* A token of the model keeps the model's id. */
    const int32_t known = ol_vocab_find(t->vocab, text, bytes);
    const int32_t token = known >= 0 ? known : (int32_t)id;
    if (bytes == 0 || !ol_vocab_add(t->added_vocab, text, bytes, token))
        return 0;
    const size_t n = (size_t)ol_vocab_size(t->added_vocab);
    t->special = ol_xrealloc_array(t->special, n, sizeof *t->special);
    t->special[token] = is.special;
    if (!normalised) {
        ol_added_put(t->raw, text, bytes, token, is);
        return 0;
    }
    char *normal = ol_normaliser_run(t->normaliser, text, bytes, &bytes, err);
    if (normal == NULL)
        return -1;
    ol_added_put(t->normalised, normal, bytes, token, is);
    free(normal);
    return 0;
}

static int read_added_tokens(struct ol_tokenizer *t, struct ol_json_section top,
                             struct ol_error *err)
{
    const struct ol_json *list = ol_json_get(top.json, "added_tokens");
    t->added_vocab = ol_vocab_new();
    t->raw = ol_added_new();
    t->normalised = ol_added_new();
    for (size_t i = 0; i < ol_json_length(list); i++)
        if (read_added_token(t, (struct ol_json_section){top.file, ol_json_at(list, i)},
                             err) != 0)
            return -1;
    return 0;
}

/* One part of TemplateProcessing's "single". */
static int read_template_part(struct ol_tokenizer *t, struct ol_json_section processor,
                              const struct ol_json *part, bool *behind,
                              struct ol_error *err)
{
    if (ol_json_get(part, "Sequence") != NULL) {
        *behind = true;
        return 0;
    }
    const struct ol_json_section special = {processor.file,
                                            ol_json_get(part, "SpecialToken")};
    const char *name;
    if (ol_json_string_or(special, "id", "", &name, err) != 0)
        return -1;
    const struct ol_json *ids = ol_json_get(
        ol_json_get(ol_json_get(processor.json, "special_tokens"), name), "ids");
    if (ol_json_length(ids) == 0)
        return ol_fail(err, "%s: post_processor: special token \"%s\" has no ids",
                       processor.file, name);
    for (size_t i = 0; i < ol_json_length(ids); i++) {
        const struct ol_json *id = ol_json_at(ids, i);
        if (ol_json_kind(id) != OL_JSON_INT || ol_json_int(id) < 0 ||
            ol_json_int(id) >= OL_MAX_TOKEN_ID)
            return ol_fail(err, "%s: post_processor: ids of \"%s\" are no token ids",
                           processor.file, name);
        ol_ids_append(*behind ? &t->suffix : &t->prefix, (int32_t)ol_json_int(id));
    }
    return 0;
}

static int read_processor(struct ol_tokenizer *t, struct ol_json_section s,
                          struct ol_error *err)
{
    const char *type;
    if (ol_json_kind(s.json) == OL_JSON_NULL)
        return 0;
    if (ol_json_string_or(s, "type", "", &type, err) != 0)
        return -1;
    if (strcmp(type, "ByteLevel") == 0) /* changes offsets only */
        return 0;
    const struct ol_json *list;
    if (strcmp(type, "Sequence") == 0) {
        list = ol_json_get(s.json, "processors");
        for (size_t i = 0; i < ol_json_length(list); i++)
            if (read_processor(t, (struct ol_json_section){s.file, ol_json_at(list, i)},
                               err) != 0)
                return -1;
        return 0;
    }
    if (strcmp(type, "TemplateProcessing") != 0)
        return ol_fail(err,
                       "%s: post_processor of type \"%s\" is not supported; known are "
                       "ByteLevel, TemplateProcessing, Sequence",
                       s.file, type);
    bool behind = false;
    list = ol_json_get(s.json, "single");
    for (size_t i = 0; i < ol_json_length(list); i++)
        if (read_template_part(t, s, ol_json_at(list, i), &behind, err) != 0)
            return -1;
    return behind
               ? 0
               : ol_fail(err, "%s: post_processor: the template has no sequence", s.file);
}

/* Without any post-processor, add_bos_token of tokenizer_config.json decides. */
static int read_config(struct ol_tokenizer *t, const char *directory,
                       struct ol_error *err)
{
    char *path = ol_xasprintf("%s/tokenizer_config.json", directory);
    struct ol_json *json = NULL;
    bool there;
    int status = ol_file_exists(path, &there, err);
    if (status == 0 && there) {
        json = ol_json_load_file(path, err);
        status = json != NULL ? 0 : -1;
    }
    const struct ol_json_section s = {path, json};
    bool add = false;
    const char *text = NULL;
    if (json != NULL && ol_json_bool_or(s, "add_bos_token", false, &add, err) != 0)
        status = -1;
    if (add) {
        /* A string, or an added token written out. */
        struct ol_json *bos = ol_json_get(json, "bos_token");
        const struct ol_json_section token = {path, bos};
        if (ol_json_kind(bos) == OL_JSON_OBJECT)
            status = ol_json_string_or(token, "content", "", &text, err);
        else
            status = ol_json_string_or(s, "bos_token", "", &text, err);
    }
    if (add && status == 0) {
        const int32_t id = ol_vocab_find(t->added_vocab, text, strlen(text));
        if (id < 0)
            status = ol_fail(err, "%s: bos_token \"%s\" is not among the added tokens",
                             path, text);
        else
            ol_ids_append(&t->prefix, id);
    }
    ol_json_free(json);
    free(path);
    return status;
}

static int read_parts(struct ol_tokenizer *t, struct ol_json_section top,
                      const struct ol_merge_list *merges, const char *directory,
                      struct ol_error *err)
{
    const struct ol_json_section normaliser = {top.file,
                                               ol_json_get(top.json, "normalizer")};
    const struct ol_json_section splitter = {top.file,
                                             ol_json_get(top.json, "pre_tokenizer")};
    const struct ol_json_section processor = {top.file,
                                              ol_json_get(top.json, "post_processor")};
    const struct ol_json_section decoder = {top.file, ol_json_get(top.json, "decoder")};
    if ((t->normaliser = ol_normaliser_new(normaliser, err)) == NULL ||
        (t->splitter = ol_splitter_new(splitter, err)) == NULL ||
        (t->decoder = ol_decoder_new(decoder, err)) == NULL ||
        read_model(t, top, merges, err) != 0 || read_added_tokens(t, top, err) != 0)
        return -1;
    if (ol_json_kind(processor.json) == OL_JSON_NULL)
        return read_config(t, directory, err);
    return read_processor(t, processor, err);
}

/* By falling preference. */
static const char *const files[] = {"tokenizer.json", "tiktoken.model"};
enum { N_FILES = sizeof files / sizeof files[0] };

int ol_tokenizer_find(const char *directory, const char **name, struct ol_error *err)
{
    bool there = false;
    *name = NULL;
    for (int i = 0; i < N_FILES && !there; i++) {
        char *path = ol_xasprintf("%s/%s", directory, files[i]);
        const int status = ol_file_exists(path, &there, err);
        free(path);
        if (status != 0)
            return -1;
        *name = there ? files[i] : NULL;
    }
    return 0;
}

/* What is in the file but the vocabulary and the merges. */
static struct ol_json *read_tables(struct ol_tokenizer *t, struct ol_merge_list *merges,
                                   const struct ol_tiktoken_file *f, struct ol_error *err)
{
    if (t->file != files[0])
        return ol_tiktoken_read(f, t->vocab, merges, err);
    struct ol_json *json = NULL;
    char *rest = ol_model_tables_read(f->text, f->bytes, f->path, t->vocab, merges, err);
    if (rest != NULL)
        json = ol_json_load_text(rest, strlen(rest), f->path, err);
    free(rest);
    return json;
}

struct ol_tokenizer *ol_tokenizer_open(const char *directory, struct ol_error *err)
{
    const char *name;
    if (ol_tokenizer_find(directory, &name, err) != 0)
        return NULL;
    struct ol_tokenizer *t = ol_xcalloc(1, sizeof *t);
    t->file = name != NULL ? name : files[0];
    t->vocab = ol_vocab_new();
    char *path = ol_xasprintf("%s/%s", directory, t->file);
    struct ol_tiktoken_file f = {.directory = directory, .path = path};
    char *text = ol_whole_file(path, &f.bytes, err);
    struct ol_merge_list merges = {0};
    struct ol_json *json = NULL;
    int status = -1;
    if (text != NULL) {
        struct ol_sha256 *sha = ol_sha256_new();
        ol_sha256_update(sha, text, f.bytes);
        ol_sha256_finish(sha, t->sha256);
        f.text = text;
        json = read_tables(t, &merges, &f, err);
    }
    if (json != NULL)
        status =
            read_parts(t, (struct ol_json_section){path, json}, &merges, directory, err);
    ol_json_free(json);
    free(merges.ranks);
    free(merges.pairs);
    free(text);
    free(path);
    if (status == 0)
        return t;
    ol_tokenizer_close(t);
    return NULL;
}

void ol_tokenizer_close(struct ol_tokenizer *t)
{
    if (t == NULL)
        return;
    free(t->suffix.ids);
    free(t->prefix.ids);
    ol_decoder_free(t->decoder);
    ol_bpe_free(t->bpe);
    ol_splitter_free(t->splitter);
    ol_normaliser_free(t->normaliser);
    ol_added_free(t->normalised);
    ol_added_free(t->raw);
    free(t->special);
    ol_vocab_free(t->added_vocab);
    ol_vocab_free(t->vocab);
    free(t);
}

/* ---- what others ask for ---- */

const int32_t *ol_tokenizer_prefix(const struct ol_tokenizer *t, int *n)
{
    *n = (int)t->prefix.n;
    return t->prefix.ids;
}

const int32_t *ol_tokenizer_suffix(const struct ol_tokenizer *t, int *n)
{
    *n = (int)t->suffix.n;
    return t->suffix.ids;
}

const char *ol_tokenizer_file(const struct ol_tokenizer *t)
{
    return t->file;
}

const char *ol_tokenizer_sha256(const struct ol_tokenizer *t)
{
    return t->sha256;
}

/* ---- decoding ---- */

static bool find_text(const struct ol_tokenizer *t, int32_t id,
                      struct ol_token_text *text)
{
    text->text = ol_vocab_text(t->added_vocab, id, &text->bytes);
    if (text->text == NULL)
        text->text = ol_vocab_text(t->vocab, id, &text->bytes);
    return text->text != NULL;
}

static bool is_special(const struct ol_tokenizer *t, int32_t id)
{
    size_t bytes;
    return ol_vocab_text(t->added_vocab, id, &bytes) != NULL && t->special[id];
}

char *ol_tokenizer_decode(const struct ol_tokenizer *t, const int32_t *ids, size_t n,
                          bool skip_special, size_t *bytes)
{
    struct ol_token_text *texts = ol_xcalloc(n, sizeof *texts);
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        if (!(skip_special && is_special(t, ids[i])) &&
            find_text(t, ids[i], &texts[used]))
            used++;
    char *text = ol_decoder_run(t->decoder, texts, used, true, bytes);
    free(texts);
    return text;
}

char *ol_tokenizer_piece(const struct ol_tokenizer *t, int32_t id)
{
    struct ol_token_text text;
    size_t bytes;
    if (!find_text(t, id, &text))
        return ol_xstrdup("");
    char *piece = ol_decoder_run(t->decoder, &text, 1, false, &bytes);
    if (memchr(piece, '\0', bytes) == NULL)
        return piece;
    /* A C string cannot show a NUL. */
    free(piece);
    return ol_xstrdup("\xef\xbf\xbd");
}
