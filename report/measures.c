#include "report/measures.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Empty where outliers could not be counted. */
static double count_of(const struct ol_report_results *r, int64_t n)
{
    return r->has_outliers && n != OL_ABSENT ? (double)n : NAN;
}

static double pairs(const struct ol_report_results *r)
{
    return count_of(r, r->pairs->count);
}

static double unique(const struct ol_report_results *r)
{
    return count_of(r, r->unique->count);
}

static double pooled(const struct ol_report_results *r)
{
    return count_of(r, r->pooled->count);
}

static double strict(const struct ol_report_results *r)
{
    return count_of(r, r->strict->count);
}

static double mean_layer_fraction(const struct ol_report_results *r)
{
    return r->has_pairs ? r->pairs->mean_layer_fraction : NAN;
}

static double median_layer_fraction(const struct ol_report_results *r)
{
    return r->has_pairs ? r->pairs->median_layer_fraction : NAN;
}

static double mean_position_fraction(const struct ol_report_results *r)
{
    return r->has_pairs ? r->pairs->mean_position_fraction : NAN;
}

static double median_position_fraction(const struct ol_report_results *r)
{
    return r->has_pairs ? r->pairs->median_position_fraction : NAN;
}

static double stream_largest(const struct ol_report_results *r)
{
    const struct ol_massive_block *m = r->blocks.massive;
    const struct ol_massive_after *layers = m != NULL ? m->layers.items : NULL;
    double most = NAN;
    for (int64_t i = 0; m != NULL && i < m->layers.n; i++)
        most = fmax(most, layers[i].max_magnitude);
    return most;
}

/* The largest over the sites of the stream, or of norms, of the median token's. */
static double kurtosis_of(const struct ol_report_results *r, bool stream)
{
    const struct ol_distributions *d = r->blocks.distributions;
    const struct ol_distribution *sites = d != NULL ? d->sites.items : NULL;
    double most = NAN;
    for (int64_t i = 0; d != NULL && i < d->sites.n; i++)
        if (sites[i].site != NULL && (strcmp(sites[i].site, "output") == 0) == stream)
            most = fmax(most, sites[i].kurtosis_token_median);
    return most;
}

static double stream_kurtosis(const struct ol_report_results *r)
{
    return kurtosis_of(r, true);
}

static double norm_kurtosis(const struct ol_report_results *r)
{
    return kurtosis_of(r, false);
}

static double massive(const struct ol_report_results *r)
{
    const struct ol_massive_block *m = r->blocks.massive;
    return m != NULL ? (double)m->features.n : NAN;
}

static double massive_tokens(const struct ol_report_results *r)
{
    const struct ol_massive_block *m = r->blocks.massive;
    const struct ol_massive_id *tokens = m != NULL ? m->tokens.items : NULL;
    double n = 0;
    for (int64_t i = 0; m != NULL && i < m->tokens.n; i++)
        n += (double)(tokens[i].at_first + tokens[i].elsewhere);
    return m != NULL && r->n_sequences > 0 ? n / (double)r->n_sequences : NAN;
}

/* (layer, head, sequence) whose first token is a sink, of all. */
static double sink_heads(const struct ol_report_results *r)
{
    const struct ol_attention_sinks *s = r->blocks.attention_sinks;
    return s != NULL ? s->sink_heads : NAN;
}

/* Dimensions of the stream that are large on most tokens. */
static double residual_sinks(const struct ol_report_results *r)
{
    const struct ol_residual_sinks *s = r->blocks.residual_sinks;
    return s != NULL ? (double)s->n_sinks : NAN;
}

/* Over those: of their root mean square to their layer's median. */
static double residual_ratio(const struct ol_report_results *r)
{
    const struct ol_residual_sinks *s = r->blocks.residual_sinks;
    const struct ol_sink_dimension *features = s != NULL ? s->features.items : NULL;
    double most = NAN;
    for (int64_t i = 0; s != NULL && i < s->features.n; i++)
        if (features[i].n_layers > 0)
            most = fmax(most, features[i].ratio);
    return most;
}

/* Of all massive dimensions those of a direction: how many, or the largest. */
static double steps_of(const struct ol_report_results *r, const char *direction,
                       bool largest)
{
    const struct ol_steps *block = r->blocks.steps;
    const struct ol_step_feature *features = block != NULL ? block->features.items : NULL;
    double n = 0, most = NAN;
    for (int64_t i = 0; block != NULL && i < block->features.n; i++) {
        const struct ol_step *steps = features[i].steps.items;
        for (int64_t k = 0; k < features[i].steps.n; k++)
            if (strcmp(steps[k].direction, direction) == 0) {
                n++;
                most = fmax(most, fabs(steps[k].share));
            }
    }
    return block == NULL ? NAN : largest ? most : n;
}

static double steps_up(const struct ol_report_results *r)
{
    return steps_of(r, "up", false);
}

static double steps_down(const struct ol_report_results *r)
{
    return steps_of(r, "down", false);
}

static double largest_up(const struct ol_report_results *r)
{
    return steps_of(r, "up", true);
}

static double largest_down(const struct ol_report_results *r)
{
    return steps_of(r, "down", true);
}

static double super_experts(const struct ol_report_results *r)
{
    const struct ol_super_block *s = r->blocks.super_experts;
    return s != NULL ? (double)s->experts.n : NAN;
}

static double perplexity(const struct ol_report_results *r)
{
    return r->has_perplexity ? r->perplexity : NAN;
}

static double n_tokens(const struct ol_report_results *r)
{
    return (double)r->n_tokens;
}

double ol_measure(const struct ol_report_results *r, const char *name)
{
    static const struct {
        const char *name;
        double (*value)(const struct ol_report_results *r);
    } measures[] = {
        {"pairs", pairs},
        {"unique", unique},
        {"pooled", pooled},
        {"strict", strict},
        {"mean_layer_fraction", mean_layer_fraction},
        {"median_layer_fraction", median_layer_fraction},
        {"mean_position_fraction", mean_position_fraction},
        {"median_position_fraction", median_position_fraction},
        {"max_magnitude", ol_report_largest}, /* of the norms */
        {"max_norms", ol_report_largest},
        {"max_stream", stream_largest},
        {"kurtosis_norms", norm_kurtosis},
        {"kurtosis_stream", stream_kurtosis},
        {"massive", massive},
        {"massive_tokens", massive_tokens},
        {"sink_heads", sink_heads},
        {"residual_sinks", residual_sinks},
        {"residual_ratio", residual_ratio},
        {"steps_up", steps_up},
        {"steps_down", steps_down},
        {"largest_up", largest_up},
        {"largest_down", largest_down},
        {"super_experts", super_experts},
        {"perplexity", perplexity},
        {"n_tokens", n_tokens},
    };
    for (size_t i = 0; i < sizeof measures / sizeof measures[0]; i++)
        if (strcmp(measures[i].name, name) == 0)
            return measures[i].value(r);
    assert(false && "a measure of that name");
    return NAN;
}
