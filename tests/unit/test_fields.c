/* Blocks of results by their lists of fields: read, written, described. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/results/field.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields), cmocka_unit_test(test_written_fields),
        cmocka_unit_test(test_described_fields), cmocka_unit_test(test_wrong_fields)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
