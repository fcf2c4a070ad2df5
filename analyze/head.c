#include "analyze/head.h"

#include <string.h>

#include "analyze/layers_said.h"
#include "common/results_file.h"

/* Parts may have run on several kinds of processors. NULL: none is known. */
static const char *list_processors(const struct ol_parts *parts, struct ol_arena *arena)
{
    const char *all = "";
    for (int i = 0; i < parts->n_files; i++) {
        const char *next = ol_activation_info(parts->files[i])->processor;
        bool known = false;
        for (int k = 0; k < i; k++)
            known |= strcmp(ol_activation_info(parts->files[k])->processor, next) == 0;
        if (!known)
            all =
                ol_arena_take(arena, ol_xasprintf("%s%s%s", all, *all != '\0' ? ", " : "",
                                                  *next != '\0' ? next : "unknown"));
    }
    return strcmp(all, "unknown") != 0 ? all : NULL;
}

static struct ol_results_receipt describe_receipt(const struct ol_parts *parts)
{
    const struct ol_activation_receipt r = ol_parts_receipt(parts);
    return (struct ol_results_receipt){.bytes_read = r.bytes_read,
                                       .bytes_fetched = r.bytes_fetched,
                                       .requests = r.n_requests,
                                       .link_bytes = r.link_bytes,
                                       .peer_bytes = r.peer_bytes,
                                       .copied_bytes = r.copied_bytes,
                                       .peak_memory = r.peak_memory,
                                       .peak_device_memory = r.peak_device_memory,
                                       .n_devices = r.n_devices,
                                       .seconds = r.seconds,
                                       .disk_seconds = r.disk_seconds,
                                       .copy_seconds = r.copy_seconds,
                                       .link_seconds = r.link_seconds,
                                       .compute_seconds = r.compute_seconds,
                                       .writer_seconds = r.writer_seconds};
}

static const char *or_none(const char *text)
{
    return *text != '\0' ? text : NULL;
}

void ol_describe_head(const struct ol_parts *parts, const char *label,
                      const struct ol_criterion *criterion, struct ol_json *results)
{
    const struct ol_activation_info *info = ol_parts_info(parts);
    struct ol_arena arena = {0};
    struct ol_results_receipt receipt = describe_receipt(parts);
    struct ol_results_run run = {.label = label,
                                 .tool = info->tool,
                                 .tool_version = info->tool_version,
                                 .command_line = info->command_line,
                                 .created = info->created,
                                 .backend = info->backend,
                                 .precision = info->precision,
                                 .device = info->device,
                                 .processor = list_processors(parts, &arena),
                                 .parts = parts->n_files,
                                 .receipt = &receipt};
    struct ol_results_model model = {
        .name = info->model.name,
        .family = info->model.family,
        .n_layers = info->model.n_layers,
        .n_sites = ol_layers_sites(info->model.layers_json, info->model.n_layers),
        .d_model = info->model.d_model,
        .vocab_size = info->model.vocab_size,
        .n_experts = info->model.n_experts,
        .top_k = info->model.top_k,
        .experts_read =
            ol_arena_take(&arena, ol_layers_said(info->model.layers_json, OL_ANY_LAYER,
                                                 "experts_read")),
        .routing = ol_arena_take(&arena, ol_layers_routing(info->model.layers_json)),
        .total_parameters = info->model.total_parameters,
        .active_parameters = info->model.active_parameters,
        .weight_format = info->model.weight_format,
        .activations_config = or_none(info->model.activations_config),
        .config_sha256 = info->model.config_sha256,
        .weights_sha256 = info->model.weights_sha256,
        .shards_sha256 = or_none(info->model.shards_sha256)};
    struct ol_results_input input = {.source = info->input.source,
                                     .text_sha256 = info->input.text_sha256,
                                     .tokenizer_file =
                                         or_none(info->input.tokenizer_file),
                                     .tokenizer_sha256 = info->input.tokenizer_sha256,
                                     .windowing = info->input.windowing,
                                     .bos = info->input.bos};
    struct ol_criterion used = *criterion;
    const struct ol_results_head head = {&run, &model, &input, &used};
    ol_fields_set(results, ol_results_head_struct(), &head);
    ol_arena_clear(&arena);
}
