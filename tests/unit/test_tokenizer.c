/* Tokenizers against what the `tokenizers` package does
 * (tests/golden/make_tokenizers.py).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "extract/text/tokenizer.h"

#define ROOT "tests/golden/tokenizers"

static void compare_ids(const struct ol_json *expected, const int32_t *ids, size_t n,
                        const char *what)
{
    for (size_t i = 0; i < n && i < ol_json_length(expected); i++)
        if (ids[i] != (int32_t)ol_json_int(ol_json_at(expected, i)))
            fail_msg("%s: token %zu is %d, expected %d", what, i, ids[i],
                     (int)ol_json_int(ol_json_at(expected, i)));
    if (n != ol_json_length(expected))
        fail_msg("%s: %zu tokens, expected %zu", what, n, ol_json_length(expected));
}

static void compare_text(const struct ol_json *expected, struct ol_tokenizer *t,
                         const struct ol_ids *ids, bool skip_special)
{
    size_t n, bytes;
    const char *want = ol_json_string(expected, &n);
    char *text = ol_tokenizer_decode(t, ids->ids, ids->n, skip_special, &bytes);
    if (bytes != n || memcmp(text, want, n) != 0)
        fail_msg("decoded to \"%s\", expected \"%s\"", text, want);
    free(text);
}

static void compare_case(struct ol_tokenizer *t, const struct ol_json *c)
{
    struct ol_error err = {0};
    size_t bytes;
    const char *text = ol_json_string(ol_json_get(c, "text"), &bytes);
    const struct ol_json *expected = ol_json_get(c, "ids");
    struct ol_ids ids = {0}, some = {0};
    assert_int_equal(ol_tokenizer_encode(t, text, bytes, 0, &ids, &err), 0);
    compare_ids(expected, ids.ids, ids.n, text);
    compare_text(ol_json_get(c, "decoded"), t, &ids, true);
    compare_text(ol_json_get(c, "with_special"), t, &ids, false);
    /* Stopping early gives the beginning of the same ids, behind what is there. */
    if (ids.n > 3) {
        assert_int_equal(ol_tokenizer_encode(t, "a", 1, 0, &some, &err), 0);
        const size_t before = some.n;
        assert_int_equal(ol_tokenizer_encode(t, text, bytes, 3, &some, &err), 0);
        assert_true(some.n >= before + 3 && some.n <= before + ids.n);
        assert_memory_equal(some.ids + before, ids.ids,
                            (some.n - before) * sizeof *ids.ids);
    }
    free(some.ids);
    free(ids.ids);
}

/* ids of text in pieces of up to `longest` bytes, whole characters. */
static struct ol_ids encode_in_pieces(struct ol_tokenizer *t, const char *text,
                                      size_t bytes, size_t longest)
{
    struct ol_error err = {0};
    struct ol_ids ids = {0};
    struct ol_token_stream *s = ol_token_stream_new(t);
    uint64_t seed = longest;
    size_t at = 0, end;
    do {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        end = at + 1 + (size_t)(seed >> 33) % longest;
        end = end < bytes ? end : bytes;
        while (end < bytes && ((unsigned char)text[end] & 0xc0) == 0x80)
            end++;
        /* Behind the piece is nothing that may be looked at. */
        char *piece = ol_xmalloc(end - at + 1);
        memcpy(piece, text + at, end - at);
        assert_int_equal(
            ol_token_stream_put(s, piece, end - at, end == bytes, 0, &ids, &err), 0);
        free(piece);
        at = end;
    } while (at < bytes);
    ol_token_stream_free(s);
    return ids;
}

/* All texts of a golden file, again and again in an order of their own: whatever stands
 * at a piece's end, the ids are those of the whole. */
static void compare_pieces(struct ol_tokenizer *t, const struct ol_json *cases)
{
    static const size_t longest[] = {1, 3, 17, 200, 5000};
    struct ol_error err = {0};
    char *text = ol_xmalloc(1);
    size_t n = 0;
    uint64_t seed = 1;
    while (n < 40000) {
        size_t bytes;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const char *next = ol_json_string(
            ol_json_get(ol_json_at(cases, (size_t)(seed >> 33) % ol_json_length(cases)),
                        "text"),
            &bytes);
        text = ol_xrealloc_array(text, n + bytes + 1, 1);
        memcpy(text + n, next, bytes);
        n += bytes + 1;
        text[n - 1] = ' ';
    }
    struct ol_ids whole = {0};
    assert_int_equal(ol_tokenizer_encode(t, text, n, 0, &whole, &err), 0);
    for (size_t i = 0; i < sizeof longest / sizeof longest[0]; i++) {
        struct ol_ids ids = encode_in_pieces(t, text, n, longest[i]);
        assert_int_equal(ids.n, whole.n);
        assert_memory_equal(ids.ids, whole.ids, ids.n * sizeof *ids.ids);
        free(ids.ids);
    }
    free(whole.ids);
    free(text);
}

/* What is kept of a text does not grow with it: a stream is fed far more than the memory
 * that it may take. */
static void streams_keep_little(void **state)
{
    (void)state;
    static const char *const names[] = {ROOT "/qwen3", ROOT "/mixtral",
                                        ROOT "/deepseek-v3", ROOT "/llama-4"};
    static const char text[] = "It is a truth universally acknowledged, that a single "
                               "man in possession of 10,000 pounds\n";
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        struct ol_error err = {0};
        struct ol_ids ids = {0};
        struct ol_tokenizer *t = ol_tokenizer_open(names[k], &err);
        assert_non_null(t);
        struct ol_token_stream *s = ol_token_stream_new(t);
        size_t n = 0;
        for (int i = 0; i < 2000; i++) {
            assert_int_equal(
                ol_token_stream_put(s, text, sizeof text - 1, false, 0, &ids, &err), 0);
            n += sizeof text - 1;
        }
        const size_t waiting = ol_token_stream_waiting(s);
        assert_true(waiting < 2000 && n > 100 * waiting);
        assert_true(ids.n > 10000);
        /* Enough is said at once. */
        assert_int_equal(
            ol_token_stream_put(s, text, sizeof text - 1, false, ids.n, &ids, &err), 1);
        ol_token_stream_free(s);
        ol_tokenizer_close(t);
        free(ids.ids);
    }
}

static void golden(void **state)
{
    struct ol_error err = {0};
    char *folder = ol_xasprintf(ROOT "/%s", (const char *)*state);
    char *path = ol_xasprintf("%s/cases.json", folder);
    struct ol_tokenizer *t = ol_tokenizer_open(folder, &err);
    struct ol_json *json = ol_json_load_file(path, &err);
    if (t == NULL || json == NULL)
        fail_msg("%s", err.text);
    int n;
    const int32_t *ids = ol_tokenizer_prefix(t, &n);
    compare_ids(ol_json_get(json, "prefix"), ids, (size_t)n, "prefix");
    ids = ol_tokenizer_suffix(t, &n);
    compare_ids(ol_json_get(json, "suffix"), ids, (size_t)n, "suffix");
    const struct ol_json *cases = ol_json_get(json, "cases");
    assert_true(ol_json_length(cases) > 20);
    for (size_t i = 0; i < ol_json_length(cases); i++)
        compare_case(t, ol_json_at(cases, i));
    compare_pieces(t, cases);
    ol_json_free(json);
    ol_tokenizer_close(t);
    free(path);
    free(folder);
}

static void invalid_text_is_refused(void **state)
{
    (void)state;
    struct ol_error err = {0};
    struct ol_ids ids = {0};
    struct ol_tokenizer *t = ol_tokenizer_open(ROOT "/qwen3", &err);
    assert_non_null(t);
    assert_int_equal(ol_tokenizer_encode(t, "ab\xff", 3, 0, &ids, &err), -1);
    assert_string_equal(err.text, "the text is no valid UTF-8 at byte 2");
    ol_tokenizer_close(t);
    free(ids.ids);
}

/* Time in proportion to the text: 16 times as much of one endless word must not take 100
 * times as long (a quadratic way takes 256). */
static double seconds_for(struct ol_tokenizer *t, const char *text, size_t bytes)
{
    struct ol_error err = {0};
    struct ol_ids ids = {0};
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    assert_int_equal(ol_tokenizer_encode(t, text, bytes, 0, &ids, &err), 0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    free(ids.ids);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

static void long_words_take_linear_time(void **state)
{
    (void)state;
    static const char *const names[] = {ROOT "/qwen3", ROOT "/mixtral"};
    enum { SMALL = 1 << 16, LARGE = 16 * SMALL };
    char *text = ol_xmalloc(LARGE);
    for (int i = 0; i < LARGE; i++)
        text[i] = (char)('a' + i * 7 % 5);
    for (int k = 0; k < 2; k++) {
        struct ol_error err = {0};
        struct ol_tokenizer *t = ol_tokenizer_open(names[k], &err);
        assert_non_null(t);
        const double small = seconds_for(t, text, SMALL);
        assert_true(seconds_for(t, text, LARGE) < 100 * small);
        ol_tokenizer_close(t);
    }
    free(text);
}

static void pieces(void **state)
{
    (void)state;
    /* A text with tokens that show something by themselves, and their pieces. */
    static const struct {
        const char *folder, *text, *pieces[4];
    } cases[] = {
        {ROOT "/mixtral", "\n", {" ", "\n"}}, /* U+2581, <0x0A> */
        {ROOT "/mixtral", "\1<s>", {" ", "\1", "<s>"}},
        {ROOT "/qwen3", " \t<|endoftext|>", {" ", "\t", "<|endoftext|>"}},
        {ROOT "/olmoe", "\xe2\x82\xac", {"\xef\xbf\xbd", "\xef\xbf\xbd", "\xef\xbf\xbd"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ol_error err = {0};
        struct ol_ids ids = {0};
        struct ol_tokenizer *t = ol_tokenizer_open(cases[i].folder, &err);
        assert_non_null(t);
        assert_int_equal(
            ol_tokenizer_encode(t, cases[i].text, strlen(cases[i].text), 0, &ids, &err),
            0);
        for (size_t k = 0; k < 4 && cases[i].pieces[k] != NULL; k++) {
            assert_true(k < ids.n);
            char *text = ol_tokenizer_piece(t, ids.ids[k]);
            assert_string_equal(text, cases[i].pieces[k]);
            free(text);
        }
        char *none = ol_tokenizer_piece(t, 99999999);
        assert_string_equal(none, "");
        free(none);
        free(ids.ids);
        ol_tokenizer_close(t);
    }
}

static int by_name(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(void)
{
    enum { MAX = 64 };
    struct dirent **found;
    struct CMUnitTest tests[MAX] = {
        cmocka_unit_test(invalid_text_is_refused),
        cmocka_unit_test(long_words_take_linear_time),
        cmocka_unit_test(pieces),
        cmocka_unit_test(streams_keep_little),
    };
    size_t used = 4;
    const int n = scandir(ROOT, &found, by_name, alphasort);
    for (int i = 0; i < n && used < MAX; i++)
        tests[used++] =
            (struct CMUnitTest){found[i]->d_name, golden, NULL, NULL, found[i]->d_name};
    const int status = _cmocka_run_group_tests("tokenizer", tests, used, NULL, NULL);
    for (int i = 0; i < n; i++)
        free(found[i]);
    free(found);
    return n < 20 ? 1 : status;
}
