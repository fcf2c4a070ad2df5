/* Print the JSON Schema of results, from their tables of fields (common/results/). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/results/run.h"
#include "common/version.h"

static void set_const(struct ol_json *properties, struct ol_json *required,
                      const char *key, struct ol_json *taken)
{
    struct ol_json *schema = ol_json_new_object();
    ol_json_set(schema, "const", taken);
    ol_json_set(properties, key, schema);
    ol_json_append(required, ol_json_new_string(key));
}

static struct ol_json *print(void)
{
    struct ol_json *top = ol_json_new_object(), *properties = ol_json_new_object(),
                   *required = ol_json_new_array(), *defs = ol_json_new_object();
    set_const(properties, required, "format", ol_json_new_string(OL_RESULTS_FORMAT));
    set_const(properties, required, "format_version",
              ol_json_new_int(OL_RESULTS_FORMAT_VERSION));
    ol_fields_members(ol_results_struct(), required, properties, defs);
    ol_json_set(top, "$schema",
                ol_json_new_string("https://json-schema.org/draft/2020-12/schema"));
    ol_json_set(top, "title", ol_json_new_string("ol-results"));
    ol_json_set(top, "type", ol_json_new_string("object"));
    ol_json_set(
        top, "description",
        ol_json_new_string(
            "What ol-analyze(1) writes and ol-report(1) reads. A block that is null "
            "or missing was not computed; further members are allowed."));
    ol_json_set(top, "required", required);
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

int main(void)
{
    struct ol_json *schema = print();
    put(schema, 0);
    printf("\n");
    ol_json_free(schema);
    return 0;
}
