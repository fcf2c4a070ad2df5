/* Tables of fields as JSON Schema. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/results/field.h"

static void set_type(struct ol_json *to, const char *type, bool nullable)
{
    struct ol_json *types = ol_json_new_string(type);
    if (nullable) {
        struct ol_json *both = ol_json_new_array();
        ol_json_append(both, types);
        ol_json_append(both, ol_json_new_string("null"));
        types = both;
    }
    ol_json_set(to, "type", types);
}

/* most: of an integer; 0: any. */
static struct ol_json *number(enum ol_field_kind kind, bool nullable, int64_t most)
{
    struct ol_json *schema = ol_json_new_object();
    const bool whole =
        kind == OL_FIELD_INT || kind == OL_FIELD_COUNT || kind == OL_FIELD_ORDINAL;
    set_type(schema, whole ? "integer" : "number", nullable);
    if (kind != OL_FIELD_INT && kind != OL_FIELD_REAL)
        ol_json_set(schema, "minimum", ol_json_new_int(kind == OL_FIELD_ORDINAL));
    if (kind == OL_FIELD_SHARE || most > 0)
        ol_json_set(schema, "maximum", ol_json_new_int(most > 0 ? most : 1));
    return schema;
}

static struct ol_json *words(const char *list, bool nullable)
{
    struct ol_json *schema = ol_json_new_object(), *all = ol_json_new_array();
    while (*list != '\0') {
        const size_t n = strcspn(list, "|");
        char *word = ol_xasprintf("%.*s", (int)n, list);
        ol_json_append(all, ol_json_new_string(word));
        free(word);
        list += n + (list[n] == '|');
    }
    if (nullable)
        ol_json_append(all, ol_json_new_null());
    ol_json_set(schema, "enum", all);
    return schema;
}

static struct ol_json *array_of(struct ol_json *items, const struct ol_field *f,
                                bool outermost)
{
    struct ol_json *schema = ol_json_new_object();
    set_type(schema, "array", outermost && (f->flags & OL_NULL) != 0);
    if (outermost && f->per != NULL && isdigit((unsigned char)*f->per)) {
        ol_json_set(schema, "minItems", ol_json_new_int(atoll(f->per)));
        ol_json_set(schema, "maxItems", ol_json_new_int(atoll(f->per)));
    }
    if (outermost && f->flags >> 8 > 0)
        ol_json_set(schema, "maxItems", ol_json_new_int(f->flags >> 8));
    ol_json_set(schema, "items", items);
    return schema;
}

static struct ol_json *reference(const struct ol_struct *kind, struct ol_json *defs)
{
    struct ol_json *schema = ol_json_new_object();
    char *path = ol_xasprintf("#/$defs/%s", kind->name + strlen("ol_"));
    ol_json_set(schema, "$ref", ol_json_new_string(path));
    free(path);
    ol_fields_schema(kind, defs);
    return schema;
}

static struct ol_json *or_null(struct ol_json *taken)
{
    struct ol_json *schema = ol_json_new_object(), *either = ol_json_new_array(),
                   *null = ol_json_new_object();
    set_type(null, "null", false);
    ol_json_append(either, taken);
    ol_json_append(either, null);
    ol_json_set(schema, "oneOf", either);
    return schema;
}

static struct ol_json *plain(const char *type, bool nullable)
{
    struct ol_json *schema = ol_json_new_object();
    set_type(schema, type, nullable);
    return schema;
}

static struct ol_json *of_kind(const struct ol_field *f, struct ol_json *defs)
{
    const bool nullable = (f->flags & OL_NULL) != 0, nulls = (f->flags & OL_NULLS) != 0;
    struct ol_json *schema;
    switch (f->kind) {
    case OL_FIELD_TEXT:
        return plain("string", nullable);
    case OL_FIELD_WORD:
        return words(f->words, nullable);
    case OL_FIELD_BOOL:
    case OL_FIELD_MAYBE:
        return plain("boolean", nullable);
    case OL_FIELD_TEXTS:
        return array_of(plain("string", nulls), f, true);
    case OL_FIELD_NUMBERS:
        schema = number(f->each, nulls, 0);
        for (int d = f->depth; d > 0; d--)
            schema = array_of(schema, f, d == 1);
        return schema;
    case OL_FIELD_OBJECT:
        schema = reference(f->element(), defs);
        return nullable ? or_null(schema) : schema;
    case OL_FIELD_LIST:
        return array_of(reference(f->element(), defs), f, true);
    case OL_FIELD_INT:
    case OL_FIELD_COUNT:
    case OL_FIELD_ORDINAL:
    case OL_FIELD_REAL:
    case OL_FIELD_SIZE:
    case OL_FIELD_SHARE:
    case OL_FIELD_MEMBERS:
        break;
    }
    return number(f->kind, nullable, f->flags >> 8);
}

static struct ol_json *field_schema(const struct ol_field *f, struct ol_json *defs)
{
    struct ol_json *schema = of_kind(f, defs);
    if (*f->about != '\0')
        ol_json_set(schema, "description", ol_json_new_string(f->about));
    return schema;
}

void ol_fields_members(const struct ol_struct *kind, struct ol_json *required,
                       struct ol_json *properties, struct ol_json *defs)
{
    for (const struct ol_field *f = kind->fields; f->key != NULL; f++) {
        if (f->kind == OL_FIELD_MEMBERS) {
            ol_fields_members(f->element(), required, properties, defs);
            continue;
        }
        if ((f->flags & OL_OLD) == 0)
            ol_json_append(required, ol_json_new_string(f->key));
        ol_json_set(properties, f->key, field_schema(f, defs));
    }
}

void ol_fields_schema(const struct ol_struct *kind, struct ol_json *defs)
{
    const char *name = kind->name + strlen("ol_");
    if (ol_json_get(defs, name) != NULL)
        return;
    struct ol_json *schema = ol_json_new_object(), *required = ol_json_new_array(),
                   *properties = ol_json_new_object();
    ol_json_set(schema, "type", ol_json_new_string("object"));
    if (*kind->about != '\0')
        ol_json_set(schema, "description", ol_json_new_string(kind->about));
    ol_json_set(schema, "required", required);
    ol_json_set(schema, "properties", properties);
    ol_json_set(defs, name, schema);
    ol_fields_members(kind, required, properties, defs);
}
