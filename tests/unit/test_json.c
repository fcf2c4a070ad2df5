/* JSON, read and written, and numbers as text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "common/number.h"

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

static void test_units(void **state)
{
    static const struct {
        const char *text;
        double thousand, value; /* 0: it is none */
    } cases[] = {
        {"1", 1000, 1},        {"24G", 1000, 24e9},  {"24g", 1024, 24.0 * (1 << 30)},
        {"1.5K", 1024, 1536},  {"2T", 1024, 0x1p41}, {"0.5", 1000, 0},
        {"0.5K", 1000, 500},   {"-1", 1000, 0},      {"inf", 1000, 0},
        {"0x10", 1000, 0},     {"1KB", 1000, 0},     {"", 1000, 0},
        {"K", 1000, 0},        {" 1", 1000, 0},      {"1e30", 1000, 0},
        {"1000T", 1000, 1e15}, {"1000000T", 1000, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double value;
        const bool good =
            ol_number_with_unit(cases[i].text, cases[i].thousand, 1e18, &value);
        assert_int_equal(good, cases[i].value > 0);
        if (good && value != cases[i].value)
            fail_msg("%s: %g, expected %g", cases[i].text, value, cases[i].value);
    }
}

/* JSON sets no bound to a number; what is beyond 64 bits is a real one. */
static void test_long_integers(void **state)
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

/* What acts is written as escapes, and read back as it was. */
static void test_text(void **state)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shortest_numbers), cmocka_unit_test(test_units),
        cmocka_unit_test(test_long_integers), cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
