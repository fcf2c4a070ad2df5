/* Print the JSON Schema of results: what it says of the blocks from their tables of
 * fields (common/results/), all else as it stands in FILE.
 *
 *     print_schema FILE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/results/blocks.h"

static bool is_block(const char *key)
{
    const struct ol_field *f = ol_blocks_struct()->fields;
    while (f->key != NULL && strcmp(f->key, key) != 0)
        f++;
    return f->key != NULL;
}

/* Copy the definitions that json refers to, and those that they refer to. */
static void keep(struct ol_json *json, const struct ol_json *from, struct ol_json *defs)
{
    for (size_t i = 0; ol_json_kind(json) == OL_JSON_ARRAY && i < ol_json_length(json);
         i++)
        keep(ol_json_at(json, i), from, defs);
    for (void *it = ol_json_first(json); it != NULL; it = ol_json_next(json, it)) {
        if (strcmp(ol_json_key(it), "$ref") == 0) {
            const char *name = strrchr(ol_json_string(ol_json_value(it), NULL), '/') + 1;
            if (ol_json_get(defs, name) == NULL) {
                ol_json_set(defs, name, ol_json_new_copy(ol_json_get(from, name)));
                keep(ol_json_get(defs, name), from, defs);
            }
        }
        keep(ol_json_value(it), from, defs);
    }
}

/* A new top object: members as they stand, then the blocks. */
static struct ol_json *print(struct ol_json *old)
{
    struct ol_json *top = ol_json_new_object(), *properties = ol_json_new_object(),
                   *defs = ol_json_new_object(),
                   *members = ol_json_get(old, "properties");
    for (void *it = ol_json_first(old); it != NULL; it = ol_json_next(old, it))
        if (strcmp(ol_json_key(it), "properties") != 0 &&
            strcmp(ol_json_key(it), "$defs") != 0)
            ol_json_set(top, ol_json_key(it), ol_json_new_copy(ol_json_value(it)));
    for (void *it = ol_json_first(members); it != NULL; it = ol_json_next(members, it))
        if (!is_block(ol_json_key(it)))
            ol_json_set(properties, ol_json_key(it), ol_json_new_copy(ol_json_value(it)));
    keep(properties, ol_json_get(old, "$defs"), defs);
    for (const struct ol_field *f = ol_blocks_struct()->fields; f->key != NULL; f++)
        ol_json_set(properties, f->key, ol_field_schema(f, defs));
    ol_json_set(top, "properties", properties);
    ol_json_set(top, "$defs", defs);
    return top;
}

/* In one line what fits into one. */
static void put(struct ol_json *json, int indent)
{
    enum { WIDTH = 100 };
    char *text = ol_json_dump_text(json, 0);
    const bool object = ol_json_kind(json) == OL_JSON_OBJECT,
               array = ol_json_kind(json) == OL_JSON_ARRAY;
    const int n = (int)ol_json_length(json);
    if ((!object && !array) || (size_t)indent + strlen(text) <= WIDTH) {
        printf("%s", text);
        free(text);
        return;
    }
    free(text);
    void *it = object ? ol_json_first(json) : NULL;
    for (int i = 0; i < n; i++) {
        printf("%c\n%*s", i > 0 ? ',' : object ? '{' : '[', indent + 1, "");
        if (object)
            printf("\"%s\": ", ol_json_key(it));
        put(object ? ol_json_value(it) : ol_json_at(json, (size_t)i), indent + 1);
        it = object ? ol_json_next(json, it) : NULL;
    }
    printf("\n%*s%c", indent, "", object ? '}' : ']');
}

int main(int argc, char **argv)
{
    struct ol_error err = {0};
    struct ol_json *old = argc == 2 ? ol_json_load_file(argv[1], &err) : NULL;
    if (old == NULL) {
        fprintf(stderr, "print_schema: %s\n", argc == 2 ? err.text : "one FILE");
        return 1;
    }
    struct ol_json *schema = print(old);
    put(schema, 0);
    printf("\n");
    ol_json_free(schema);
    ol_json_free(old);
    return 0;
}
