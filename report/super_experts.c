/* The "Super Experts Report.json" of the published profiling code (arXiv 2507.23279),
 * from which it prunes: a list of {expert_index, layer_index, output_max, rank}, the
 * largest output first. Indices are strings there, and output_max is a magnitude; its
 * readers pass over the further members that tell what else is known of an expert. */
#include <math.h>
#include <stdlib.h>

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
               : ol_fail(err, "%s: nothing is known of experts: %s", r->file,
                         ol_report_computed(r, "super_experts")
                             ? "the model is dense, or the run has no summaries"
                             : "super_experts is not among its statistics");
}

static void set_index(struct ol_json *to, const char *name, int64_t index)
{
    char *text = ol_xasprintf("%lld", (long long)index);
    ol_json_set(to, name, ol_json_new_string(text));
    free(text);
}

static void set_count(struct ol_json *to, const char *name, int64_t value)
{
    ol_json_set(to, name, value >= 0 ? ol_json_new_int(value) : ol_json_new_null());
}

static struct ol_json *describe(const struct ol_super_expert *e, int64_t rank)
{
    struct ol_json *one = ol_json_new_object();
    if (e->who.expert >= 0)
        set_index(one, "expert_index", e->who.expert);
    else
        ol_json_set(one, "expert_index", ol_json_new_string("shared_experts"));
    set_index(one, "layer_index", e->who.layer);
    ol_json_set(one, "output_max", ol_json_new_real(fabs(e->output)));
    set_count(one, "rank", rank);
    ol_json_set(one, "input_max", ol_json_new_real(fabs(e->input)));
    set_count(one, "output_max_channel", e->feature);
    set_count(one, "input_max_channel", e->input_column);
    ol_json_set(one, "token",
                e->at.token.piece != NULL ? ol_json_new_string(e->at.token.piece)
                                          : ol_json_new_null());
    return one;
}

static void write(const struct ol_report *report, FILE *out)
{
    const struct ol_super_block *s = report->results[0].blocks.super_experts;
    const struct ol_super_expert *experts = s->experts.items;
    struct ol_json *list = ol_json_new_array();
    for (int64_t i = 0; i < s->experts.n; i++)
        ol_json_append(list, describe(&experts[i], i + 1));
    char *text = ol_json_dump_text(list, 4);
    fprintf(out, "%s\n", text);
    free(text);
    ol_json_free(list);
}

const struct ol_format ol_super_experts_format = {
    .name = "super-experts", .write = write, .check = check};
