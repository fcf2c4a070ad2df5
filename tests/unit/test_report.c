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

#include "report/axis.h"
#include "report/colours.h"
#include "report/fields.h"
#include "report/grid.h"
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
    assert_true(isnan(ol_axis_at(&l, 0)));
    assert_true(ol_axis_ticks(&l, ticks) > 3 && fabs(ticks[0] - 1) < 1e-9);
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

struct inner {
    double x;
    const char *name;
};
struct outer {
    int64_t n;
    struct ol_list items; /* struct inner */
    struct ol_reals values;
    struct inner *one;
    bool yes;
};
static const struct ol_field inner_fields[] = {
    {"x", OL_FIELD_REAL, offsetof(struct inner, x), NULL},
    {"name", OL_FIELD_TEXT, offsetof(struct inner, name), NULL},
    {0}};
static const struct ol_struct inner_struct = {sizeof(struct inner), inner_fields};
static const struct ol_field outer_fields[] = {
    {"n", OL_FIELD_COUNT, offsetof(struct outer, n), NULL},
    {"items", OL_FIELD_LIST, offsetof(struct outer, items), &inner_struct},
    {"values", OL_FIELD_REALS, offsetof(struct outer, values), NULL},
    {"one", OL_FIELD_OBJECT, offsetof(struct outer, one), &inner_struct},
    {"yes", OL_FIELD_BOOL, offsetof(struct outer, yes), NULL},
    {0}};
static const struct ol_struct outer_struct = {sizeof(struct outer), outer_fields};

/* 0, or -1 with the message in err; the caller frees json and arena. */
static int read_outer(const char *text, struct outer *o, struct ol_json **json,
                      struct ol_arena *arena, struct ol_error *err)
{
    *o = (struct outer){0};
    *json = ol_json_load_text(text, strlen(text), "f", err);
    assert_non_null(*json);
    return ol_fields_read(&outer_struct, (struct ol_json_section){"f", *json}, o, arena,
                          err);
}

static void test_fields(void **state)
{
    struct outer o;
    struct ol_json *json;
    struct ol_arena arena = {0};
    struct ol_error err = {0};
    (void)state;
    assert_int_equal(read_outer("{\"n\": 3, \"items\": [{\"x\": 1.5, \"name\": "
                                "\"a\\u0000b\"}, {\"x\": null}], \"values\": [[1, null], "
                                "[2]], \"yes\": true, \"more\": {}}",
                                &o, &json, &arena, &err),
                     0);
    const struct inner *items = o.items.items;
    assert_true(o.n == 3 && o.items.n == 2 && items[0].x == 1.5 && isnan(items[1].x));
    assert_string_equal(items[0].name, "a\xe2\x90\x80"
                                       "b");
    assert_true(items[1].name == NULL && o.one == NULL && o.yes);
    assert_true(o.values.n == 3 && isnan(o.values.items[1]) && o.values.items[2] == 2);
    ol_json_free(json);
    assert_int_equal(read_outer("{}", &o, &json, &arena, &err), 0);
    assert_true(o.n == OL_ABSENT && o.items.items == NULL && o.values.items == NULL);
    ol_json_free(json);
    ol_arena_clear(&arena);
}

static void test_wrong_fields(void **state)
{
    static const char *const cases[][2] = {
        {"{\"n\": 1.5}", "f: key \"n\": expected an integer, found a number"},
        {"{\"n\": -1}", "f: key \"n\": expected an integer of at least 0, found an "
                        "integer"},
        {"{\"items\": [{}, 7]}", "f: key \"items[1]\": expected an object, found an "
                                 "integer"},
        {"{\"values\": [[1], [\"x\"]]}", "f: key \"values[1][0]\": expected a number, "
                                         "found a string"},
        {"{\"one\": {\"name\": []}}", "f: key \"one.name\": expected a string, found an "
                                      "array"},
        {"{\"yes\": 1}", "f: key \"yes\": expected true or false, found an integer"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outer o;
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
    fclose(out);
    assert_string_equal(buffer, "<path class=\"l\" d=\"M0 1L10 0M30 2.3\"/>\n"
                                "<rect x=\"1\" y=\"2\" width=\"0\" height=\"4.6\" "
                                "class=\"f1\"><title>a&lt;b</title></rect>\n");
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
    ol_grid_csv(g, "m", out);
    ol_grid_markdown(g, 1, out);
    fclose(out);
    assert_string_equal(buffer, "model,n,share,piece\nm,12345,0.25,\"a,\"\"b`\"\nm,,,\n"
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),  cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_axes),    cmocka_unit_test(test_colours),
        cmocka_unit_test(test_fields),  cmocka_unit_test(test_wrong_fields),
        cmocka_unit_test(test_svg),     cmocka_unit_test(test_grid),
        cmocka_unit_test(test_text_map)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
