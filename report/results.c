#include "report/results.h"

#include <math.h>

#include "common/results_file.h"

int ol_report_read(struct ol_report_results *r, const char *file, struct ol_error *err)
{
    return ol_report_take(r, ol_results_read(file, err), file, err);
}

static void set_outliers(struct ol_report_results *r)
{
    static const struct ol_int8_pairs no_pairs;
    static const struct ol_int8_features no_features;
    const struct ol_llm_int8 *block = r->blocks.llm_int8;
    r->has_outliers = block != NULL;
    r->pairs = r->has_outliers ? block->pairs : &no_pairs;
    r->unique = r->has_outliers ? block->unique : &no_features;
    r->pooled = r->has_outliers ? block->pooled : &no_features;
    r->strict = r->has_outliers ? block->strict : &no_features;
    r->n_batches = r->has_outliers ? block->batches.n : 0;
    r->has_pairs = r->has_outliers && !isnan(r->pairs->mean_layer_fraction);
}

/* What null means depends on what stands beside it: a magnitude is infinite where values
 * are, a perplexity where the mean it is the exponential of is known. */
static void set_infinite(struct ol_report_results *r)
{
    struct ol_site_values *sites = r->blocks.sites.items;
    for (int64_t i = 0; i < r->blocks.sites.n; i++)
        if (isnan(sites[i].max_magnitude) && sites[i].n_inf > 0)
            sites[i].max_magnitude = INFINITY;
    const struct ol_perplexity *p = r->blocks.perplexity;
    r->has_perplexity = p != NULL;
    r->perplexity = p == NULL                                ? 0
                    : isnan(p->value) && !isnan(p->mean_nll) ? INFINITY
                                                             : p->value;
}

int ol_report_take(struct ol_report_results *r, struct ol_json *json, const char *file,
                   struct ol_error *err)
{
    const struct ol_json_section top = {file, json};
    struct ol_results all = {0};
    r->json = json;
    r->file = file;
    if (json == NULL ||
        ol_fields_read(ol_results_struct(), top, &all, &r->arena, err) != 0)
        return -1;
    r->tool_version = all.tool_version;
    r->command_line = all.command_line;
    r->run = all.head.run;
    r->model = all.head.model;
    r->input = all.head.input;
    r->criterion = all.head.criterion;
    r->n_sites = all.size.n_sites;
    r->n_tokens = all.size.n_tokens;
    r->n_sequences = all.size.n_sequences;
    r->blocks = all.blocks;
    set_outliers(r);
    set_infinite(r);
    return 0;
}

int64_t ol_report_all_sites(const struct ol_report_results *r)
{
    return r->model->n_sites != OL_ABSENT ? r->model->n_sites : 2 * r->model->n_layers;
}

const struct ol_int8_feature *ol_report_feature(const struct ol_int8_features *block,
                                                int64_t i)
{
    return (const struct ol_int8_feature *)block->features.items + i;
}

const struct ol_int8_feature *ol_report_find(const struct ol_int8_features *block,
                                             int64_t feature)
{
    for (int64_t i = 0; i < block->features.n; i++)
        if (ol_report_feature(block, i)->feature == feature)
            return ol_report_feature(block, i);
    return NULL;
}

const char *ol_report_sign(const struct ol_int8_feature *f)
{
    return !f->one_sided                                     ? "both"
           : f->quartiles.n > 0 && f->quartiles.items[1] < 0 ? "-"
                                                             : "+";
}

int64_t ol_report_layers(const struct ol_report_results *r)
{
    return r->model->n_layers > 0 ? r->model->n_layers : 1;
}

double ol_report_largest(const struct ol_report_results *r)
{
    const struct ol_site_values *sites = r->blocks.sites.items;
    double most = NAN;
    for (int64_t i = 0; i < r->blocks.sites.n; i++)
        most = fmax(most, sites[i].max_magnitude);
    return most;
}

bool ol_report_computed(const struct ol_report_results *r, const char *block)
{
    return ol_json_get(r->json, block) != NULL;
}

void ol_report_clear(struct ol_report_results *r)
{
    ol_published_clear(&r->published);
    ol_arena_clear(&r->arena);
    ol_json_free(r->json);
    *r = (struct ol_report_results){0};
}
