/* The parts that reports are made of: texts, scales, colours, drawings, tables. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/utf8.h"
#include "report/axis.h"
#include "report/colours.h"
#include "report/csv_text.h"
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

static void test_numbers(void **state)
{
    (void)state;
    assert_string_equal(ol_text_count(1234).text, "1234");
    assert_string_equal(ol_text_count(1234567).text, "1\xe2\x80\xaf"
                                                     "234\xe2\x80\xaf"
                                                     "567");
    assert_string_equal(ol_text_count(-INT64_MAX).text, "\xe2\x88\x92"
                                                        "9\xe2\x80\xaf"
                                                        "223\xe2\x80\xaf"
                                                        "372\xe2\x80\xaf"
                                                        "036\xe2\x80\xaf"
                                                        "854\xe2\x80\xaf"
                                                        "775\xe2\x80\xaf"
                                                        "807");
    assert_string_equal(ol_text_count(INT64_MIN).text, OL_TEXT_UNKNOWN); /* OL_ABSENT */
    char said[] = "of -9223372036854775808 units, nan % (-nan); nano, banan, `nan` stay";
    ol_text_settle(said);
    assert_string_equal(said, "of " OL_TEXT_UNKNOWN " units, " OL_TEXT_UNKNOWN
                              " % (" OL_TEXT_UNKNOWN "); nano, banan, `nan` stay");
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),   cmocka_unit_test(test_visible),
        cmocka_unit_test(test_csv_text), cmocka_unit_test(test_markdown_text),
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_axes),
        cmocka_unit_test(test_colours),  cmocka_unit_test(test_svg),
        cmocka_unit_test(test_grid),     cmocka_unit_test(test_text_map)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
