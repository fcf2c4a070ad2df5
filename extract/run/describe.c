/* What the file says of the run. */
#include "common/version.h"
#include "extract/run/session.h"

#include <time.h>

static char *utc_now(void)
{
    char text[32];
    const time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return ol_xstrdup(text);
}

/* What is known of a run from its command and the model's config alone. */
static void describe_command(struct ol_session *r)
{
    const struct ol_model *m = &r->model;
    const struct ol_run_request *request = r->request;
    struct ol_activation_info *info = &r->info;
    info->tool = ol_xstrdup("ol-extract");
    info->tool_version = ol_xstrdup(OL_VERSION);
    info->command_line = ol_xstrdup(request->command_line);
    info->created = utc_now();
    info->precision = ol_xstrdup(request->precision == OL_DTYPE_F32 ? "f32" : "bf16");
    info->input.windowing =
        ol_xstrdup(request->corpus.ids_file != NULL                      ? "ids"
                   : request->corpus.windowing == OL_WINDOWING_REFERENCE ? "reference"
                                                                         : "contiguous");
    info->model.name = ol_xstrdup(m->name);
    info->model.family = ol_xstrdup(m->spec.family);
    info->model.config_json = ol_xstrdup(m->config_text);
    struct ol_json *layers = ol_spec_layers_json(&m->spec);
    info->model.layers_json = ol_json_dump_text(layers, 0);
    ol_json_free(layers);
    info->model.activations_config =
        ol_xstrdup(m->notes.activations != NULL ? m->notes.activations : "");
    info->model.n_layers = m->spec.n_layers;
    info->model.d_model = m->spec.d_model;
    info->model.vocab_size = m->spec.vocab_size;
    info->model.n_experts = m->spec.router.n_experts;
    info->model.top_k = m->spec.router.top_k;
}

void ol_session_describe_plan(struct ol_session *r)
{
    static const char digest[] =
        "0000000000000000000000000000000000000000000000000000000000000000",
                      words[] = "most descriptions of a device are shorter than this";
    struct ol_activation_info *info = &r->info;
    describe_command(r);
    info->backend = ol_xstrdup("cuda");
    info->device = ol_xstrdup(words);
    info->processor = ol_xstrdup(words);
    info->model.weight_format = ol_xstrdup("BF16, NVFP4");
    info->model.config_sha256 = ol_xstrdup(digest);
    info->model.weights_sha256 = ol_xstrdup(digest);
    info->model.shards_sha256 = ol_xstrdup(digest);
    info->input.source = ol_xstrdup(words);
    info->input.text_sha256 = ol_xstrdup(digest);
    info->input.tokenizer_file = ol_xstrdup("tokenizer.json");
    info->input.tokenizer_sha256 = ol_xstrdup(digest);
    info->part.n_parts = r->request->part.n;
    if (info->part.n_parts > 0)
        info->part.run_sha256 = ol_xstrdup(digest);
}

int ol_session_describe(struct ol_session *r, struct ol_error *err)
{
    const struct ol_model *m = &r->model;
    struct ol_activation_info *info = &r->info;
    char sha[OL_SHA256_HEX_BYTES];
    describe_command(r);
    info->backend = ol_xstrdup(r->devices.backends[0]->op->name);
    info->device = ol_xstrdup(r->devices.backends[0]->device);
    info->processor = ol_xstrdup(r->devices.backends[0]->processor);
    info->model.weight_format = ol_weights_format(m->weights);
    info->model.config_sha256 = ol_xstrdup(m->config_sha256);
    if (ol_checkpoint_sha256(m->checkpoint, sha, err) != 0)
        return -1;
    info->model.weights_sha256 = ol_xstrdup(sha);
    ol_checkpoint_claims_sha256(m->checkpoint, sha);
    info->model.shards_sha256 = ol_xstrdup(sha);
    ol_weights_parameters(m->weights, &info->model.total_parameters,
                          &info->model.active_parameters);
    info->input.source = ol_xstrdup(r->corpus.source);
    info->input.text_sha256 = ol_xstrdup(r->corpus.text_sha256);
    info->input.tokenizer_file =
        ol_xstrdup(r->tokenizer != NULL ? ol_tokenizer_file(r->tokenizer) : "");
    info->input.tokenizer_sha256 =
        ol_xstrdup(r->tokenizer != NULL ? ol_tokenizer_sha256(r->tokenizer) : "");
    info->input.bos = r->corpus.bos;
    return 0;
}
