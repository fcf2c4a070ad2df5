/* Super experts by themselves, for tools that prune or protect experts: what they are and
 * by which rule, and of every routed expert the largest input and output of its down
 * projection. */
#include <stdlib.h>
#include <string.h>

#include "report/format.h"

static int check(const struct ol_report *report, struct ol_error *err)
{
    const struct ol_report_results *r = &report->results[0];
    if (report->n != 1)
        return ol_fail(err,
                       "--format super-experts describes one model, %d results were "
                       "given",
                       report->n);
    return r->blocks.super_experts != NULL
               ? 0
               : ol_fail(err,
                         "%s: nothing is known of experts: the model is dense, or the "
                         "run has no summaries",
                         r->file);
}

static void copy(struct ol_json *to, const char *name, const struct ol_json *from,
                 const char *key)
{
    const struct ol_json *value = ol_json_get(from, key);
    ol_json_set(to, name, value != NULL ? ol_json_new_copy(value) : ol_json_new_null());
}

static bool is_expert(const struct ol_json *unit)
{
    const char *kind = ol_json_string(ol_json_get(unit, "kind"), NULL);
    return kind != NULL && strcmp(kind, "expert") == 0;
}

/* One entry per expert, the largest output first. */
static struct ol_json *list_super(const struct ol_json *experts)
{
    struct ol_json *list = ol_json_new_array();
    for (size_t i = 0; i < ol_json_length(experts); i++) {
        const struct ol_json *unit = ol_json_at(experts, i);
        if (!is_expert(unit))
            continue;
        struct ol_json *one = ol_json_new_object();
        copy(one, "layer", unit, "layer");
        copy(one, "expert", unit, "expert");
        copy(one, "max_down_proj_output", unit, "output");
        copy(one, "max_down_proj_input", unit, "input");
        copy(one, "output_channel", unit, "feature");
        copy(one, "input_channel", unit, "input_column");
        copy(one, "token", unit, "piece");
        ol_json_append(list, one);
    }
    return list;
}

/* {"layer": {"expert": [input, output]}} */
static struct ol_json *map_all(const struct ol_json *layers)
{
    struct ol_json *map = ol_json_new_object();
    for (size_t l = 0; l < ol_json_length(layers); l++) {
        const struct ol_json *layer = ol_json_at(layers, l),
                             *units = ol_json_get(layer, "units");
        struct ol_json *experts = ol_json_new_object();
        for (size_t i = 0; i < ol_json_length(units); i++) {
            const struct ol_json *unit = ol_json_at(units, i);
            if (!is_expert(unit))
                continue;
            struct ol_json *pair = ol_json_new_array();
            ol_json_append(pair, ol_json_new_copy(ol_json_get(unit, "input")));
            ol_json_append(pair, ol_json_new_copy(ol_json_get(unit, "output")));
            char *name =
                ol_xasprintf("%lld", (long long)ol_json_int(ol_json_get(unit, "expert")));
            ol_json_set(experts, name, pair);
            free(name);
        }
        char *name =
            ol_xasprintf("%lld", (long long)ol_json_int(ol_json_get(layer, "layer")));
        ol_json_set(map, name, experts);
        free(name);
    }
    return map;
}

static void write(const struct ol_report *report, FILE *out)
{
    const struct ol_report_results *r = &report->results[0];
    const struct ol_json *block = ol_json_get(r->json, "super_experts");
    struct ol_json *top = ol_json_new_object();
    ol_json_set(top, "model", ol_json_new_string(r->model.name));
    copy(top, "criterion", block, "criterion");
    copy(top, "limit", block, "limit");
    ol_json_set(top, "super_experts", list_super(ol_json_get(block, "experts")));
    ol_json_set(top, "max_down_proj", map_all(ol_json_get(block, "layers")));
    char *text = ol_json_dump_text(top, 1);
    fprintf(out, "%s\n", text);
    free(text);
    ol_json_free(top);
}

const struct ol_format ol_super_experts_format = {
    .name = "super-experts", .write = write, .check = check};
