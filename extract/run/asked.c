/* What a run is asked to record, and which arms of an ablation. */
#include "extract/run/session.h"

#include <stdlib.h>

struct choice {
    bool *chosen; /* [n] */
    int n;
    long largest;
};

static void choose(void *arg, long first, long last)
{
    struct choice *c = arg;
    for (long l = first; l <= last && l < c->n; l++)
        c->chosen[l] = true;
    c->largest = last > c->largest ? last : c->largest;
}

/* The list is known to be one. */
static int choose_layers(const char *list, int n, bool *chosen, struct ol_error *err)
{
    struct choice c = {chosen, n, 0};
    ol_ranges_parse(list, choose, &c);
    return c.largest < n
               ? 0
               : ol_fail(err, "--layers %s: there is no layer %ld, the model has 0-%d",
                         list, c.largest, n - 1);
}

/* Those that were asked for and that the layer has. */
static void choose_sites(const struct ol_run_request *request, const struct ol_spec *spec,
                         struct ol_activation_layer *layer)
{
    for (int site = 0; site < OL_N_SITES; site++) {
        const bool of_mixer = site == OL_SITE_LN_ATTN || site == OL_SITE_RESIDUAL_ATTN;
        layer->sites[site] =
            request->sites[site] &&
            (of_mixer ? ol_spec_mixes(spec, layer->number) : !layer->no_mlp);
    }
}

int ol_session_lay_out(struct ol_session *r, struct ol_error *err)
{
    const struct ol_spec *spec = &r->model.spec;
    const struct ol_run_request *request = r->request;
    bool *chosen = ol_xcalloc((size_t)spec->n_layers, sizeof *chosen);
    int status = 0;
    if (request->layers != NULL)
        status = choose_layers(request->layers, spec->n_layers, chosen, err);
    else
        memset(chosen, true, (size_t)spec->n_layers * sizeof *chosen);
    r->layout = (struct ol_activation_layout){
        .n_sequences = r->corpus.n_sequences,
        .n_tokens = r->corpus.n_tokens,
        .d_model = spec->d_model,
        .dtype = request->store == OL_STORE_F32 ? OL_DTYPE_F32 : OL_DTYPE_BF16,
        .nll = request->perplexity,
        .summary = request->summary,
        .threshold = request->summary ? request->threshold : 0,
        .layers = ol_xcalloc((size_t)spec->n_layers, sizeof *r->layout.layers),
    };
    for (int l = 0; l < spec->n_layers; l++) {
        if (!chosen[l])
            continue;
        struct ol_activation_layer *layer = &r->layout.layers[r->layout.n_layers++];
        layer->number = l;
        layer->moe = spec->layers[l].moe;
        layer->no_mlp = spec->layers[l].no_mlp;
        snprintf(layer->attention, sizeof layer->attention, "%s",
                 ol_attention_kind_name(spec->layers[l].attention));
        layer->top_k = layer->moe ? spec->router.top_k : 0;
        if (request->store != OL_STORE_NONE)
            choose_sites(request, spec, layer);
        if (!request->summary)
            continue;
        layer->n_units = ol_contributions_components(spec, l);
        layer->summary_sites[OL_SUMMARY_LN_ATTN] =
            request->sites[OL_SITE_LN_ATTN] && ol_spec_mixes(spec, l);
        layer->summary_sites[OL_SUMMARY_LN_MLP] =
            request->sites[OL_SITE_LN_MLP] && !layer->no_mlp;
        layer->summary_sites[OL_SUMMARY_OUTPUT] = true;
        layer->n_heads = ol_heads_n(spec, l);
        layer->n_mixed = ol_spec_mixed_heads(spec, l);
        layer->n_streams =
            spec->connection.n_streams > 1 ? spec->connection.n_streams : 0;
        layer->n_rounded = ol_rounded_n(spec, l);
        ol_down_inputs_lay_out(spec, layer);
        for (int i = 0; request->imatrix && i < OL_N_INPUTS; i++)
            layer->input_widths[i] = ol_input_squares_width(spec, l, (enum ol_input)i);
    }
    free(chosen);
    return status;
}

/* The sequences once more for every arm; the file holds what arms come to. */
int ol_session_add_arms(struct ol_session *r, struct ol_error *err)
{
    const struct ol_texts *asked = &r->request->ablate;
    const struct ol_ablation_baseline baseline = {r->corpus.n_sequences,
                                                  r->corpus.lengths, r->ids};
    struct ol_texts all = {0};
    char *found[OL_FOUND_ARMS];
    int n_found = 0;
    int status = 0;
    for (size_t i = 0; i < asked->n; i++)
        ol_texts_append(&all, asked->items[i]);
    if (r->request->ablate_from != NULL)
        status = ol_ablate_from(r->request->ablate_from, r->model.config_sha256, found,
                                &n_found, err);
    for (int i = 0; i < n_found; i++)
        ol_texts_append(&all, found[i]);
    if (status == 0)
        status = ol_ablation_init(&r->all, &r->model.spec, all.items, (int)all.n,
                                  &baseline, err);
    for (int i = 0; i < r->all.arms.n && status == 0 && r->request->part.n > 0; i++)
        if (ol_arm_is_of_run(r->all.arms.arms[i]))
            status = ol_fail(err,
                             "--ablate %s: it follows from all tokens of the run, --part "
                             "has some of them",
                             ol_arm_text(r->all.arms.arms[i]));
    for (int i = 0; i < n_found; i++)
        free(found[i]);
    ol_texts_free(&all);
    if (status != 0)
        return -1;
    r->layout.n_arms = r->all.arms.n;
    r->layout.arms = r->all.texts;
    r->layout.left_out = r->all.left_out;
    return 0;
}
