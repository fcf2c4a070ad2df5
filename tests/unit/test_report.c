/* The parts that reports are made of: texts, scales, colours, tables of fields, drawings.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/number.h"
#include "common/utf8.h"
#include "report/axis.h"
#include "report/colours.h"
#include "report/csv_text.h"
#include "common/results/field.h"
#include "report/grid.h"
#include "report/markdown_text.h"
#include "report/svg.h"
#include "report/text.h"
#include "report/text_map.h"

/* What a function writes. The caller frees. */
static char *escaped(const char *text)
{
    char *buffer = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&buffer, &bytes);
    ol_text_escape(text, out);
    fclose(out);
    return buffer;
}

static void test_escape(void **state)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"<a href=\"x\">'&'</a>",
         "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;"},
        {"]]>", "]]&gt;"},
        {"\x01\x1b\x7f", "\xe2\x90\x81\xe2\x90\x9b\xe2\x90\xa1"},
        {"\xc3\xa9\xf0\x9f\x98\x80", "\xc3\xa9\xf0\x9f\x98\x80"},
        {"bad \xff\xc3", "bad \xef\xbf\xbd\xef\xbf\xbd"},
        {"\xef\xbf\xbe\xc2\x85", "\xef\xbf\xbd\xef\xbf\xbd"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = escaped(cases[i][0]);
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
    char *piece = ol_text_piece(" a\n\t\x02");
    assert_string_equal(piece, "\xe2\x90\xa3"
                               "a\xe2\x8f\x8e\xe2\x87\xa5\xe2\x90\x82");
    free(piece);
}

/* What a function writes of one text. The caller frees. */
static char *written(void (*write)(const char *text, FILE *out), const char *text)
{
    char *buffer = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&buffer, &bytes);
    write(text, out);
    fclose(out);
    return buffer;
}

static void test_visible(void **state)
{
    static const char *const cases[][2] = {
        {"\x1b[31m\a\r\n\t", "\xe2\x90\x9b[31m\xe2\x90\x87\xe2\x90\x8d\xe2\x90\x8a\t"},
        {"\xc2\x9b"
         "2J",
         "\xef\xbf\xbd"
         "2J"}, /* a C1 control */
        {"\xe2\x80\xae"
         "evil",
         "\xef\xbf\xbd"
         "evil"},                                                   /* right to left */
        {"\xe2\x81\xa6x\xe2\x81\xa9", "\xef\xbf\xbdx\xef\xbf\xbd"}, /* isolates */
        {"\xe2\x80\xa8", "\xef\xbf\xbd"},                           /* a line separator */
        {"\xf3\xa0\x81\x81", "\xef\xbf\xbd"},                       /* a tag */
        {"\xff", "\xef\xbf\xbd"},
        {"\xd7\xa9\xe2\x80\x8d\xf0\x9f\x98\x80", "\xd7\xa9\xe2\x80\x8d\xf0\x9f\x98\x80"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = ol_utf8_visible(cases[i][0], "\t");
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

static void test_csv_text(void **state)
{
    static const char *const cases[][2] = {{"plain -1+2", "plain -1+2"},
                                           {"-", "-"},
                                           {"+", "+"},
                                           {"=1+1", "'=1+1"},
                                           {"+1", "'+1"},
                                           {"-2+3", "'-2+3"},
                                           {"@SUM(A1)", "'@SUM(A1)"},
                                           {"'=1", "''=1"},
                                           {"'plain", "'plain"},
                                           {"\t=1", "\"'\t=1\""},
                                           {"\r=1", "\xe2\x90\x8d=1"},
                                           {"\xef\xbc\x9d"
                                            "1",
                                            "'\xef\xbc\x9d"
                                            "1"},
                                           {"a,\"b\"", "\"a,\"\"b\"\"\""},
                                           {"a\nb", "\"a\nb\""},
                                           {"a;=b", "\"a;=b\""},
                                           {"\x1b[2J", "\xe2\x90\x9b[2J"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = written(ol_csv_text, cases[i][0]);
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

static void test_shortest_numbers(void **state)
{
    static const double values[] = {0.06,   6,           -0.5,    1e-07, 0.1 + 0.2,
                                    5e-324, 1.79769e308, 1 / 3.0, 394.0, 0x1p-24};
    (void)state;
    assert_string_equal(ol_number_shortest(0.06).text, "0.06");
    assert_string_equal(ol_number_shortest(6).text, "6");
    assert_string_equal(ol_number_shortest(5e-324).text, "4.94066e-324");
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const struct ol_number n = ol_number_shortest(values[i]);
        assert_true(strtod(n.text, NULL) == values[i]);
        /* With one digit less it is another number. */
        char less[400];
        size_t digits = 0;
        for (const char *c = n.text; *c != '\0' && *c != 'e'; c++)
            digits += (*c >= '1' && *c <= '9') || (*c == '0' && digits > 0);
        snprintf(less, sizeof less, "%.*g", (int)digits - 1, values[i]);
        assert_true(digits <= 6 || strtod(less, NULL) != values[i]);
    }
}

static void test_markdown_text(void **state)
{
    static const char *const cases[][2] = {
        {"Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-30B-A3B"},
        {"deepseek_v3 (bf16)", "deepseek_v3 (bf16)"},
        {"_x_ *y*", "\\_x\\_ \\*y\\*"},
        {"a|b", "a\\|b"},
        {"`code`", "\\`code\\`"},
        {"[x](y)", "\\[x]\\(y)"},
        {"![x](y)", "!\\[x]\\(y)"},
        {"<b>", "\\<b>"},
        {"&lt; & co", "\\&lt; & co"},
        {"https://x.y www.x.y", "https\\://x.y www\\.x.y"},
        {"# x", "\\# x"},
        {"- x", "\\- x"},
        {"-7", "-7"},
        {"> x", "\\> x"},
        {"1. x", "1\\. x"},
        {"~~x~~", "\\~\\~x\\~\\~"},
        {"C:\\dir\\|", "C:\\dir\\\\\\|"},
        {"a\n\n# b", "a\xe2\x90\x8a\xe2\x90\x8a# b"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = ol_markdown_text(cases[i][0]);
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
    static const char *const pieces[][2] = {{"a b", "`a\xe2\x90\xa3"
                                                    "b`"},
                                            {"`", "`` ` ``"},
                                            {"a``b", "``` a``b ```"},
                                            {"<i>", "`<i>`"},
                                            {"|", "\\|"},
                                            {"\\|", "\\\\\\|"},
                                            {"", ""}};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        char *text = ol_markdown_piece(pieces[i][0]);
        assert_string_equal(text, pieces[i][1]);
        free(text);
    }
}

/* What acts is written as escapes, and read back as it was. */
/* JSON sets no bound to a number; what is beyond 64 bits is a real one. */
static void test_json_long_integers(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\": 1000000000000000019884624838656, \"b\": [-99999999999999999999, "
        "9223372036854775807, 12345678901234567890.5, 1e25, 2E-0000000000000000000003], "
        "\"99999999999999999999\": \"\\\" 99999999999999999999\"}";
    struct ol_error err = {0};
    struct ol_json *json = ol_json_load_text(text, sizeof text - 1, "f", &err);
    assert_non_null(json);
    assert_true(ol_json_real(ol_json_get(json, "a")) == 1e30);
    const struct ol_json *b = ol_json_get(json, "b");
    static const double reals[] = {-1e20, 0, 12345678901234567890.5, 1e25, 2e-3};
    for (size_t i = 0; i < 5; i++)
        if (i != 1)
            assert_true(ol_json_real(ol_json_at(b, i)) == reals[i]);
    assert_int_equal(ol_json_kind(ol_json_at(b, 1)), OL_JSON_INT);
    assert_true(ol_json_int(ol_json_at(b, 1)) == INT64_MAX);
    assert_string_equal(ol_json_string(ol_json_get(json, "99999999999999999999"), NULL),
                        "\" 99999999999999999999");
    ol_json_free(json);
    assert_null(ol_json_load_text("[1e999]", 7, "f", &err));
    assert_string_equal(err.text,
                        "f: line 1, column 6: real number overflow near '1e999'");
}

static void test_json_text(void **state)
{
    static const char text[] =
        "\x1b[31m \x7f \xc2\x9b \xe2\x80\xae \xf3\xa0\x81\x81 \"\\\n\t "
        "\xc3\xa9\xf0\x9f\x98\x80";
    struct ol_error err = {0};
    (void)state;
    struct ol_json *json = ol_json_new_array();
    ol_json_append(json, ol_json_new_string(text));
    char *dump = ol_json_dump_text(json, 0);
    assert_string_equal(
        dump, "[\"\\u001B[31m \\u007F \\u009B \\u202E \\uDB40\\uDC41 \\\"\\\\\\n\\t "
              "\xc3\xa9\xf0\x9f\x98\x80\"]");
    struct ol_json *again = ol_json_load_text(dump, strlen(dump), "f", &err);
    assert_non_null(again);
    assert_string_equal(ol_json_string(ol_json_at(again, 0), NULL), text);
    ol_json_free(again);
    free(dump);
    ol_json_free(json);
}

static void test_numbers(void **state)
{
    (void)state;
    assert_string_equal(ol_text_count(1234).text, "1234");
    assert_string_equal(ol_text_count(1234567).text, "1\xe2\x80\xaf"
                                                     "234\xe2\x80\xaf"
                                                     "567");
    assert_string_equal(ol_text_count(INT64_MIN).text, "\xe2\x88\x92"
                                                       "9\xe2\x80\xaf"
                                                       "223\xe2\x80\xaf"
                                                       "372\xe2\x80\xaf"
                                                       "036\xe2\x80\xaf"
                                                       "854\xe2\x80\xaf"
                                                       "775\xe2\x80\xaf"
                                                       "808");
    assert_string_equal(ol_text_magnitude(0.00123).text, "0.0012");
    assert_string_equal(ol_text_magnitude(-0.0).text, "0");
    assert_string_equal(ol_text_magnitude(394).text, "394.0");
    assert_string_equal(ol_text_magnitude(12345).text, "12345");
    assert_string_equal(ol_text_magnitude(INFINITY).text, "inf");
    assert_string_equal(ol_text_percent(0.355).text, "35.5");
    assert_string_equal(ol_text_tick(1e-6).text, "10\xe2\x81\xbb\xe2\x81\xb6");
    assert_string_equal(ol_text_tick(-2.5).text, "\xe2\x88\x92"
                                                 "2.5");
}

static void test_axes(void **state)
{
    static const double values[] = {NAN, 3, 97, INFINITY};
    double ticks[OL_MAX_TICKS];
    struct ol_axis a = {.low = INFINITY, .high = -INFINITY, .start = 0, .end = 400};
    (void)state;
    ol_axis_include(&a, values, 4);
    ol_axis_round(&a, true);
    assert_true(a.low == 0 && a.high == 100);
    assert_true(ol_axis_at(&a, 25) == 100 && ol_axis_at(&a, 1000) == 400);
    assert_true(isnan(ol_axis_at(&a, NAN)));
    const int n = ol_axis_ticks(&a, ticks);
    assert_true(n >= 5 && ticks[0] == 0 && ticks[n - 1] == 100);
    struct ol_axis l = {.low = INFINITY, .high = -INFINITY, .log = true, .end = 100};
    const double wide[] = {0, -5, 0.3, 4e4};
    ol_axis_include(&l, wide, 4);
    ol_axis_round(&l, false);
    assert_true(fabs(l.low - 0.2) < 1e-9 && fabs(l.high - 5e4) < 1e-3);
    assert_true(ol_axis_ticks(&l, ticks) > 3 && fabs(ticks[0] - 1) < 1e-9);
    /* 0 has a row of its own before the values, as long as there is one. */
    assert_true(l.zero && ol_axis_at(&l, 0) > 0 && ol_axis_at(&l, 0) < ol_axis_first(&l));
    assert_true(ol_axis_at(&l, 0.2) == ol_axis_first(&l) && ol_axis_at(&l, 5e4) == 100);
    assert_true(isnan(ol_axis_at(&l, -5)));
    const double positive[] = {0.3, 4e4};
    struct ol_axis p = {.low = INFINITY, .high = -INFINITY, .log = true, .end = 100};
    ol_axis_include(&p, positive, 2);
    ol_axis_round(&p, false);
    assert_true(!p.zero && ol_axis_first(&p) == 0 && isnan(ol_axis_at(&p, 0)));
    /* The ends of double precision. */
    static const double extremes[] = {5e-324, 1.7e308, -1.7e308};
    for (int log = 0; log < 2; log++) {
        struct ol_axis e = {.low = INFINITY, .high = -INFINITY, .log = log, .end = 100};
        ol_axis_include(&e, extremes, 3);
        ol_axis_round(&e, false);
        const int n_ticks = ol_axis_ticks(&e, ticks);
        assert_true(n_ticks >= 2 && n_ticks <= OL_MAX_TICKS);
        for (int i = 0; i < n_ticks; i++)
            assert_true(isfinite(ticks[i]) && ol_axis_at(&e, ticks[i]) >= 0 &&
                        ol_axis_at(&e, ticks[i]) <= 100);
        assert_true(ol_axis_at(&e, 1.7e308) > 99 && ol_axis_at(&e, 5e-324) >= 0);
    }
    assert_string_equal(ol_text_tick(5e-324).text,
                        "4.94\xc2\xb7"
                        "10\xe2\x81\xbb\xc2\xb3\xc2\xb2\xe2\x81\xb4");
    struct ol_axis none = {.low = INFINITY, .high = -INFINITY, .log = true};
    ol_axis_round(&none, false);
    assert_true(none.low < none.high);
}

static void test_colours(void **state)
{
    (void)state;
    assert_int_equal(ol_colours_level(-1), 0);
    assert_int_equal(ol_colours_level(0.5), OL_COLOUR_LEVELS / 2);
    assert_int_equal(ol_colours_level(2), OL_COLOUR_LEVELS - 1);
}

/* ---- fields ---- */

/* clang-format off */
#define INNER_FIELDS(F)                \
    F(REAL, x, OL_NULL, "metres")      \
    F(TEXT, name, OL_NULL | OL_OLD, "")
OL_STRUCT(ol_inner, INNER_FIELDS, "")

#define SPOT_FIELDS(F)          \
    F(COUNT, row, OL_NULL, "")  \
    F(MAYBE, wet, OL_NULL, "")
OL_STRUCT(ol_spot, SPOT_FIELDS, "")

#define OUTER_FIELDS(F)                            \
    F(COUNT, n, 0, "")                             \
    F(LIST(ol_inner), items, OL_NULL, "")             \
    F(REALS(2), values, OL_NULLS, "")              \
    F(OBJECT(ol_inner), one, OL_OLD, "")              \
    F(BOOL, yes, 0, "")                            \
    F(WORD("up|down"), way, OL_NULL, "")           \
    F(COUNTS(1), counts, OL_NULL | OL_AT_MOST(3), "") \
    F(MEMBERS(ol_spot), spot, 0, "")               \
    F(REALS(1), per_item, OL_OLD OL_PER("items x n"), "")
OL_STRUCT(ol_outer, OUTER_FIELDS, "")
/* clang-format on */

/* 0, or -1 with the message in err; the caller frees json and arena. */
static int read_outer(const char *text, struct ol_outer *o, struct ol_json **json,
                      struct ol_arena *arena, struct ol_error *err)
{
    *o = (struct ol_outer){0};
    *json = ol_json_load_text(text, strlen(text), "f", err);
    assert_non_null(*json);
    return ol_fields_read(ol_outer_struct(), (struct ol_json_section){"f", *json}, o,
                          arena, err);
}

static void test_fields(void **state)
{
    struct ol_outer o;
    struct ol_json *json;
    struct ol_arena arena = {0};
    struct ol_error err = {0};
    (void)state;
    assert_int_equal(read_outer("{\"n\": 3, \"items\": [{\"x\": 1.5, \"name\": "
                                "\"a\\u0000b\"}, {\"x\": null}], \"values\": [[1, null], "
                                "[2]], \"yes\": true, \"more\": {}, \"wet\": false}",
                                &o, &json, &arena, &err),
                     0);
    const struct ol_inner *items = o.items.items;
    assert_true(o.n == 3 && o.items.n == 2 && items[0].x == 1.5 && isnan(items[1].x));
    assert_string_equal(items[0].name, "a\xe2\x90\x80"
                                       "b");
    assert_true(items[1].name == NULL && o.one == NULL && o.yes);
    assert_true(o.values.n == 3 && isnan(o.values.items[1]) && o.values.items[2] == 2);
    assert_true(o.spot.row == OL_ABSENT && o.spot.wet == OL_NO);
    const void *value;
    const struct ol_field *wet = ol_field_find(ol_outer_struct(), "wet", &o, &value);
    assert_true(wet != NULL && value == &o.spot.wet);
    assert_null(ol_field_find(ol_outer_struct(), "spot", &o, &value));
    ol_json_free(json);
    assert_int_equal(read_outer("{}", &o, &json, &arena, &err), 0);
    assert_true(o.spot.wet == OL_UNKNOWN);
    assert_true(o.n == OL_ABSENT && o.items.items == NULL && o.values.items == NULL);
    ol_json_free(json);
    ol_arena_clear(&arena);
}

/* What was read is written as it was, in the order of the table. */
static void test_written_fields(void **state)
{
    static const char *const texts[] = {
        "{\"n\": 3, \"items\": [{\"x\": 1.5, \"name\": \"a\"}, {\"x\": null, \"name\": "
        "null}], \"values\": [[1.0, null], [2.0, 0.5]], \"one\": {\"x\": 1.0, \"name\": "
        "\"b\"}, \"yes\": true, \"way\": \"up\", \"counts\": [1, 9007199254740991], "
        "\"row\": 7, "
        "\"wet\": true, \"per_item\": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}",
        "{\"n\": 0, \"items\": [], \"values\": [], \"yes\": false, \"way\": null, "
        "\"counts\": null, \"row\": null, \"wet\": null}",
        "{\"n\": 0, \"items\": null, \"values\": [], \"yes\": false, \"way\": "
        "\"down\", \"counts\": [], \"row\": 0, \"wet\": false, \"per_item\": []}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct ol_outer o;
        struct ol_json *json;
        struct ol_arena arena = {0};
        struct ol_error err = {0};
        assert_int_equal(read_outer(texts[i], &o, &json, &arena, &err), 0);
        o.values.inner[0] = 2;
        struct ol_json *written = ol_fields_write(ol_outer_struct(), &o);
        char *text = ol_json_dump_text(written, 0), *wanted = ol_json_dump_text(json, 0);
        assert_string_equal(text, wanted);
        free(wanted);
        free(text);
        ol_json_free(written);
        ol_json_free(json);
        ol_arena_clear(&arena);
    }
}

static void test_described_fields(void **state)
{
    struct ol_json *defs = ol_json_new_object();
    (void)state;
    ol_fields_schema(ol_outer_struct(), defs);
    char *text = ol_json_dump_text(defs, 0);
    assert_string_equal(
        text,
        "{\"outer\":{\"type\":\"object\",\"required\":[\"n\",\"items\",\"values\",\""
        "yes\",\"way\",\"counts\",\"row\",\"wet\"],\"properties\":{\"n\":{\"type\":"
        "\"integer\",\"mi"
        "nimum\":0},\"items\":{\"type\":[\"array\",\"null\"],\"items\":{\"$ref\":\""
        "#/$defs/inner\"}},\"values\":{\"type\":\"array\",\"items\":{\"type\":\"a"
        "rray\",\"items\":{\"type\":[\"number\",\"null\"]}}},\"one\":{\"$ref\":\"#/"
        "$defs/inner\"},\"yes\":{\"type\":\"boolean\"},\"way\":{\"enum\":[\"up\",\""
        "down\",null]},\"counts\":{\"type\":[\"array\",\"null\"],\"maxItems\":3,"
        "\"items\":{\"type\":\"integer\",\"minimum\":0}},\"row\":{\"type\":"
        "[\"integer\",\"null\"],\"minimum\":0},\"wet\":{\"type\":[\"boolean\","
        "\"null\"]},\"per_item\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}}"
        "}},\"inner\":{\"type\":\"o"
        "bject\",\"required\":[\"x\"],\"properties\":{\"x\":{\"type\":[\"number\","
        "\"null\"],\"description\":\"metres\"},\"name\":{\"type\":[\"string\",\"nu"
        "ll\"]}}}}");
    free(text);
    ol_json_free(defs);
}

static void test_wrong_fields(void **state)
{
    static const char *const cases[][2] = {
        {"{\"n\": 1.5}", "f: key \"n\": expected an integer, found a number"},
        {"{\"wet\": 1}", "f: key \"wet\": expected true or false, found an integer"},
        {"{\"n\": 2, \"items\": [{}], \"per_item\": [1]}",
         "f: key \"per_item\": 1 values, expected 2 (items x n)"},
        {"{\"n\": -1}", "f: key \"n\" is -1, expected 0 to 9007199254740992"},
        {"{\"items\": [{}, 7]}", "f: key \"items[1]\": expected an object, found an "
                                 "integer"},
        {"{\"values\": [[1], [\"x\"]]}", "f: key \"values[1][0]\": expected a number, "
                                         "found a string"},
        {"{\"one\": {\"name\": []}}", "f: key \"one.name\": expected a string, found an "
                                      "array"},
        {"{\"yes\": 1}", "f: key \"yes\": expected true or false, found an integer"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ol_outer o;
        struct ol_json *json;
        struct ol_arena arena = {0};
        struct ol_error err = {0};
        assert_int_equal(read_outer(cases[i][0], &o, &json, &arena, &err), -1);
        assert_string_equal(err.text, cases[i][1]);
        ol_json_free(json);
        ol_arena_clear(&arena);
    }
}

/* ---- drawings and tables ---- */

static void test_svg(void **state)
{
    static const double x[] = {0, 10, 20.04, 30}, y[] = {1, -0.04, NAN, 2.25};
    char *buffer = NULL;
    size_t bytes = 0;
    (void)state;
    FILE *out = open_memstream(&buffer, &bytes);
    ol_svg_path(out, x, y, 4, "l", 0);
    ol_svg_rect(out, 1, 2, -3, 4.55, "f1", "a<b");
    ol_svg_text(out, 1, 2, 'e', "mu", "%s", "<script>\x1b");
    ol_svg_text_up(out, 1, 2, "]]>&");
    fclose(out);
    assert_string_equal(buffer, "<path class=\"l\" d=\"M0 1L10 0M30 2.3\"/>\n"
                                "<rect x=\"1\" y=\"2\" width=\"0\" height=\"4.6\" "
                                "class=\"f1\"><title>a&lt;b</title></rect>\n"
                                "<text x=\"1\" y=\"2\" text-anchor=\"end\" "
                                "class=\"mu\">&lt;script&gt;\xe2\x90\x9b</text>\n"
                                "<text class=\"mu\" text-anchor=\"middle\" "
                                "transform=\"translate(1 2) rotate(-90)\">]]&gt;&amp;"
                                "</text>\n");
    free(buffer);
}

static void test_grid(void **state)
{
    static const struct ol_column columns[] = {{"n", "n", OL_COLUMN_COUNT},
                                               {"share", "share, %", OL_COLUMN_PERCENT},
                                               {"piece", "text", OL_COLUMN_PIECE},
                                               {0}};
    struct ol_grid *g = ol_grid_new(columns);
    char *buffer = NULL;
    size_t bytes = 0;
    (void)state;
    ol_grid_int(g, 12345);
    ol_grid_real(g, 0.25);
    ol_grid_text(g, "a,\"b`");
    ol_grid_whole(g, NAN);
    ol_grid_real(g, NAN);
    ol_grid_text(g, NULL);
    assert_int_equal(ol_grid_rows(g), 2);
    FILE *out = open_memstream(&buffer, &bytes);
    ol_grid_csv_header(g, out);
    ol_grid_csv(g, "m", "r", out);
    ol_grid_markdown(g, 1, out);
    fclose(out);
    assert_string_equal(buffer, "model,run,n,share,piece\nm,r,12345,0.25,\"a,\"\"b`\"\n"
                                "m,r,,,\n"
                                "|     n | share, % | text        |\n"
                                "|------:|---------:|-------------|\n"
                                "| 12345 |     25.0 | `` a,\"b` `` |\n");
    free(buffer);
    ol_grid_free(g);
}

static void test_text_map(void **state)
{
    (void)state;
    static const double parts[] = {NAN, 0, 1e-9, 0.1, 0.35, 0.999, 1};
    for (int i = 0; i < 7; i++)
        assert_int_equal(ol_text_map_tenths(parts[i]), " .0139#"[i]);
    static const double values[] = {NAN, 0, 8, 4.1, 4, 2.1, 0.01, 1e-30};
    for (int i = 0; i < 8; i++)
        assert_int_equal(ol_text_map_halvings(values[i], 8), " .998800"[i]);
    /* 70 columns: 64 and 6 below; names that would not fit are left out. */
    char cells[2 * 70], *buffer = NULL, expected[512];
    const char *columns[70];
    size_t bytes = 0;
    memset(cells, '1', sizeof cells);
    memset(cells + 70 + 60, ' ', 10);
    for (int i = 0; i < 70; i++)
        columns[i] = i == 0    ? "first"
                     : i == 56 ? "too long for it"
                     : i == 64 ? "64"
                               : "x";
    FILE *out = open_memstream(&buffer, &bytes);
    ol_text_map_print(
        &(struct ol_text_map){.n_rows = 2,
                              .n_columns = 70,
                              .cells = cells,
                              .row_names = (const char *const[]){"a", "bcd"},
                              .column_names = columns,
                              .every = 8},
        out);
    fclose(out);
    snprintf(expected, sizeof expected,
             "```\n     first   x       x       x       x       x       x\n"
             "  a  %.64s\nbcd  %.60s\n\n     64\n  a  111111\nbcd\n```\n",
             cells, cells);
    assert_string_equal(buffer, expected);
    free(buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_escape),
                                       cmocka_unit_test(test_visible),
                                       cmocka_unit_test(test_csv_text),
                                       cmocka_unit_test(test_shortest_numbers),
                                       cmocka_unit_test(test_markdown_text),
                                       cmocka_unit_test(test_json_text),
                                       cmocka_unit_test(test_json_long_integers),
                                       cmocka_unit_test(test_numbers),
                                       cmocka_unit_test(test_axes),
                                       cmocka_unit_test(test_colours),
                                       cmocka_unit_test(test_fields),
                                       cmocka_unit_test(test_written_fields),
                                       cmocka_unit_test(test_described_fields),
                                       cmocka_unit_test(test_wrong_fields),
                                       cmocka_unit_test(test_svg),
                                       cmocka_unit_test(test_grid),
                                       cmocka_unit_test(test_text_map)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
