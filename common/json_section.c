/* Typed members of an object. */
#include "common/json.h"

static const char *kind_name(const struct ol_json *json)
{
    static const char *const names[] = {
        [OL_JSON_NULL] = "null",        [OL_JSON_BOOL] = "a boolean",
        [OL_JSON_INT] = "an integer",   [OL_JSON_REAL] = "a number",
        [OL_JSON_STRING] = "a string",  [OL_JSON_ARRAY] = "an array",
        [OL_JSON_OBJECT] = "an object",
    };
    return names[ol_json_kind(json)];
}

static int wrong_kind(struct ol_json_section s, const char *key, const char *expected,
                      struct ol_error *err)
{
    return ol_fail(err, "%s: key \"%s\": expected %s, found %s", s.file, key, expected,
                   kind_name(ol_json_get(s.json, key)));
}

static bool absent(struct ol_json_section s, const char *key)
{
    return ol_json_kind(ol_json_get(s.json, key)) == OL_JSON_NULL;
}

int ol_json_need_int(struct ol_json_section s, const char *key, int64_t low, int64_t high,
                     int64_t *value, struct ol_error *err)
{
    if (absent(s, key))
        return ol_fail(err, "%s: key \"%s\" is missing", s.file, key);
    return ol_json_int_or(s, key, low, high, 0, value, err);
}

int ol_json_int_or(struct ol_json_section s, const char *key, int64_t low, int64_t high,
                   int64_t fallback, int64_t *value, struct ol_error *err)
{
    *value = fallback;
    if (absent(s, key))
        return 0;
    const struct ol_json *member = ol_json_get(s.json, key);
    if (ol_json_kind(member) != OL_JSON_INT)
        return wrong_kind(s, key, "an integer", err);
    *value = ol_json_int(member);
    if (*value < low || *value > high)
        return ol_fail(err, "%s: key \"%s\" is %lld, expected %lld to %lld", s.file, key,
                       (long long)*value, (long long)low, (long long)high);
    return 0;
}

int ol_json_need_real(struct ol_json_section s, const char *key, double *value,
                      struct ol_error *err)
{
    if (absent(s, key))
        return ol_fail(err, "%s: key \"%s\" is missing", s.file, key);
    return ol_json_real_or(s, key, 0, value, err);
}

int ol_json_real_or(struct ol_json_section s, const char *key, double fallback,
                    double *value, struct ol_error *err)
{
    *value = fallback;
    if (absent(s, key))
        return 0;
    const struct ol_json *member = ol_json_get(s.json, key);
    if (ol_json_kind(member) != OL_JSON_INT && ol_json_kind(member) != OL_JSON_REAL)
        return wrong_kind(s, key, "a number", err);
    *value = ol_json_real(member);
    return 0;
}

int ol_json_bool_or(struct ol_json_section s, const char *key, bool fallback, bool *value,
                    struct ol_error *err)
{
    *value = fallback;
    if (absent(s, key))
        return 0;
    const struct ol_json *member = ol_json_get(s.json, key);
    if (ol_json_kind(member) != OL_JSON_BOOL)
        return wrong_kind(s, key, "true or false", err);
    *value = ol_json_bool(member);
    return 0;
}

int ol_json_string_or(struct ol_json_section s, const char *key, const char *fallback,
                      const char **value, struct ol_error *err)
{
    *value = fallback;
    if (absent(s, key))
        return 0;
    const struct ol_json *member = ol_json_get(s.json, key);
    if (ol_json_kind(member) != OL_JSON_STRING)
        return wrong_kind(s, key, "a string", err);
    *value = ol_json_string(member, NULL);
    return 0;
}
