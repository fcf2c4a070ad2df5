#include "extract/run/plan.h"

#include <stdlib.h>

#include "common/activation_file.h"
#include "extract/cuda/sizes.h"
#include "extract/observe/summary.h"
#include "extract/run/roofline.h"
#include "extract/run/speed.h"
#include "extract/run/workload.h"

static struct ol_json *by_kind(const int64_t values[OL_N_ROLE_KINDS], int64_t total)
{
    static const char *const names[OL_N_ROLE_KINDS] = {
        [OL_WEIGHTS_EMBEDDING] = "embedding",   [OL_WEIGHTS_NORM] = "norms",
        [OL_WEIGHTS_MIXER] = "attention",       [OL_WEIGHTS_DENSE] = "dense_mlp",
        [OL_WEIGHTS_ROUTER] = "router",         [OL_WEIGHTS_SHARED] = "shared_experts",
        [OL_WEIGHTS_ROUTED] = "routed_experts", [OL_WEIGHTS_HEAD] = "lm_head"};
    struct ol_json *object = ol_json_new_object();
    for (int i = 0; i < OL_N_ROLE_KINDS; i++)
        if (values[i] > 0)
            ol_json_set(object, names[i], ol_json_new_int(values[i]));
    ol_json_set(object, "total", ol_json_new_int(total));
    return object;
}

static struct ol_json *describe_model(const struct ol_plan_request *r,
                                      const struct ol_workload *w)
{
    const struct ol_model *m = r->model;
    struct ol_json *model = ol_json_new_object();
    ol_json_set(model, "name", ol_json_new_string(m->name));
    ol_json_set(model, "family", ol_json_new_string(m->spec.family));
    ol_json_set(model, "n_layers", ol_json_new_int(m->spec.n_layers));
    ol_json_set(model, "d_model", ol_json_new_int(m->spec.d_model));
    ol_json_set(model, "vocab_size", ol_json_new_int(m->spec.vocab_size));
    ol_json_set(model, "n_experts", ol_json_new_int(m->spec.router.n_experts));
    ol_json_set(model, "top_k", ol_json_new_int(m->spec.router.top_k));
    ol_json_set(model, "total_parameters", ol_json_new_int(w->all_parameters));
    ol_json_set(model, "active_parameters", ol_json_new_int(w->active_parameters));
    ol_json_set(model, "parameters", by_kind(w->parameters, w->all_parameters));
    return model;
}

/* What the file takes with its first n sequences. */
static int file_bytes(const struct ol_plan_request *r, int64_t n,
                      struct ol_activation_bytes *bytes, struct ol_error *err)
{
    /* Of texts that nobody has read yet: an id in two has another one than all before,
     * and few are longer than this. */
    static const char piece[] = "longer than most";
    struct ol_activation_layout layout = *r->layout;
    const int64_t n_tokens = n * r->length, vocab_size = r->model->spec.vocab_size,
                  n_pieces = n_tokens < vocab_size ? n_tokens : vocab_size;
    int32_t *ids = ol_xcalloc((size_t)n_pieces, sizeof *ids);
    const char **pieces = ol_xcalloc((size_t)n_pieces, sizeof *pieces);
    for (int64_t i = 0; i < n_pieces; i++)
        pieces[i] = piece;
    const struct ol_activation_input input = {
        .n_pieces = n_pieces, .piece_ids = ids, .pieces = pieces};
    layout.n_sequences = n;
    const int status = ol_activation_disk_bytes(r->info, &layout, &input, bytes, err);
    free(pieces);
    free(ids);
    return status;
}

/* The file, and beside it while the run goes on the state that --resume needs. Thousands
 * of sequences are not laid out: each takes what the one before it takes. */
static int disk_bytes(const struct ol_plan_request *r, struct ol_activation_bytes *bytes,
                      struct ol_error *err)
{
    enum { FEW = 64 };
    const struct ol_state_identity id = {
        "", r->dtype, r->n_sequences * r->length * ol_workload_passes(r),
        ol_spec_stream_width(&r->model->spec)};
    const int64_t n = r->n_sequences;
    if (file_bytes(r, n < 2 * FEW ? n : 2 * FEW, bytes, err) != 0)
        return -1;
    if (n > 2 * FEW) {
        struct ol_activation_bytes fewer;
        if (file_bytes(r, FEW, &fewer, err) != 0)
            return -1;
        bytes->file += (bytes->file - fewer.file) / FEW * (n - 2 * FEW);
        bytes->room += (bytes->room - fewer.room) / FEW * (n - 2 * FEW);
    }
    bytes->room += ol_state_disk_bytes(
        &id, ol_recording_saved_bytes(r->layout, ol_activation_likely_values(r->layout)));
    return 0;
}

/* What would be fetched from the Hub before the run; NULL: nothing. */
static struct ol_json *describe_download(const struct ol_hub_remote *remote)
{
    if (remote->directory == NULL)
        return NULL;
    struct ol_json *download = ol_json_new_object();
    const int64_t bytes = remote->bytes - remote->there;
    const double speed = remote->bytes_per_second;
    ol_json_set(download, "bytes", ol_json_new_int(bytes));
    ol_json_set(download, "files", ol_json_new_int(remote->n_files));
    ol_json_set(download, "directory", ol_json_new_string(remote->directory));
    ol_json_set(download, "free_bytes", ol_json_new_int(remote->room));
    ol_json_set(download, "measured_bytes_per_second",
                speed > 0 ? ol_json_new_real(speed) : ol_json_new_null());
    ol_json_set(download, "seconds",
                speed > 0 ? ol_json_new_real((double)bytes / speed) : ol_json_new_null());
    return download;
}

static double reading_rate(const struct ol_plan_request *r)
{
    return r->model->remote.directory == NULL ? ol_speed_of_reading(r->model->checkpoint)
                                              : 0;
}

static struct ol_json *describe_device(const struct ol_plan_request *r)
{
    const struct ol_device_model *d = r->device;
    const struct {
        const char *key;
        double rate;
    } rates[] = {
        {"link_bytes_per_second", d->link_bytes_per_second},
        {"peer_bytes_per_second", d->peer_bytes_per_second},
        {"memory_bytes_per_second", d->memory_bytes_per_second},
        {"bf16_flops_per_second", d->bf16_flops_per_second},
        {"f32_flops_per_second", d->f32_flops_per_second},
    };
    struct ol_json *device = ol_json_new_object();
    ol_json_set(device, "name", ol_json_new_string(d->name));
    ol_json_set(device, "devices", ol_json_new_int(r->n_devices));
    ol_json_set(device, "memory_bytes", ol_json_new_int(d->memory));
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        ol_json_set(device, rates[i].key,
                    rates[i].rate > 0 ? ol_json_new_real(rates[i].rate)
                                      : ol_json_new_null());
    return device;
}

/* How weights come to several devices. */
static struct ol_json *describe_sharing(const struct ol_plan_request *r)
{
    struct ol_json *sharing = ol_json_new_object();
    ol_json_set(sharing, "devices", ol_json_new_int(r->n_named));
    ol_json_set(sharing, "links_of_each_weight",
                ol_json_new_int(r->shares ? 1 : r->n_named));
    ol_json_set(sharing, "because", ol_json_new_string(r->shares_because));
    return sharing;
}

/* Of a device that is not here: nothing of it is measured, each layer says its bound. */
static struct ol_json *describe_bounds(const struct ol_plan_request *r,
                                       const struct ol_workload *w,
                                       struct ol_json *layers)
{
    const int n = r->model->spec.n_layers;
    const double reading = reading_rate(r);
    const struct ol_roofline_rates rates = {r->device, r->dtype == OL_DTYPE_BF16,
                                            r->n_devices, r->shares, reading};
    struct ol_roofline_work all = {0};
    struct ol_json *time = ol_json_new_object();
    for (int l = 0; l <= n; l++) {
        const struct ol_roofline_work *work = &w->work[l];
        all.read_bytes += work->read_bytes;
        all.back_bytes += work->back_bytes;
        all.memory_bytes += work->memory_bytes;
        all.operations += work->operations;
        if (l < n && work->operations > 0)
            ol_roofline_json(work, &rates, ol_json_at(layers, (size_t)l));
    }
    ol_json_set(time, "measured_read_bytes_per_second",
                reading > 0 ? ol_json_new_real(reading) : ol_json_new_null());
    ol_roofline_json(&all, &rates, time);
    return time;
}

/* Of this machine: what is measured, and what follows from it. */
static struct ol_json *describe_time(const struct ol_plan_request *r,
                                     const struct ol_workload *w, struct ol_error *err)
{
    const double products = ol_speed_of_products(r->backend, err);
    const double reading = reading_rate(r);
    if (products < 0)
        return NULL;
    const double computing = w->operations / products;
    const double loading = reading > 0 ? (double)w->read_bytes / reading : 0;
    struct ol_json *time = ol_json_new_object();
    ol_json_set(time, "measured_flops_per_second", ol_json_new_real(products));
    ol_json_set(time, "measured_read_bytes_per_second",
                reading > 0 ? ol_json_new_real(reading) : ol_json_new_null());
    ol_json_set(time, "compute_seconds", ol_json_new_real(computing));
    ol_json_set(time, "read_seconds",
                reading > 0 ? ol_json_new_real(loading) : ol_json_new_null());
    ol_json_set(time, "floor_seconds",
                ol_json_new_real(computing > loading ? computing : loading));
    return time;
}

/* Bytes are counted in 64 bits: what comes near their end is refused before it is counted
 * wrong. */
static int check_size(const struct ol_plan_request *r, struct ol_error *err)
{
    /* More than the file, the stream and the buffers hold of one value of one layer. */
    const double bytes_per_value = 64,
                 tokens = (double)r->n_sequences * (double)r->length *
                          (double)ol_workload_passes(r),
                 bytes = tokens * r->model->spec.d_model * r->model->spec.n_layers *
                         bytes_per_value;
    return bytes < 0x1p62
               ? 0
               : ol_fail(err,
                         "%.0f tokens of %d dimensions through %d layers are more than "
                         "a file can hold",
                         tokens, r->model->spec.d_model, r->model->spec.n_layers);
}

/* What the backend takes, or a device would that is not here. */
static int backend_need(const struct ol_plan_request *r, struct ol_memory_need *need,
                        struct ol_error *err)
{
    enum { CONTEXT = 512 << 20 }; /* of a device, before a run begins */
    struct ol_product_sizes products =
        ol_spec_products(&r->model->spec, need->n_rows, need->longest);
    products.received = r->layout->summary ? need->longest : 0;
    if (r->device == NULL) {
        need->scratch = r->backend->op->scratch_bytes(r->backend, products);
        return r->backend->op->device_bytes(r->backend, &need->device_bytes, err);
    }
    const struct ol_cuda_sizes sizes =
        ol_cuda_sizes_of(r->device->memory, r->memory_budget);
    if (r->device->memory <= CONTEXT)
        return ol_fail(err, "a device with %lld bytes of memory: expected more than %d",
                       (long long)r->device->memory, CONTEXT);
    need->scratch = ol_cuda_scratch_bytes(&sizes, r->dtype, products);
    need->device_bytes = ol_cuda_usable_bytes(r->device->memory - CONTEXT);
    return 0;
}

static int plan_memory(const struct ol_plan_request *r, struct ol_memory_need *need,
                       struct ol_memory_plan *memory, struct ol_error *err)
{
    /* Whole sequences on each device. */
    const int64_t n = r->n_sequences, parts = r->n_devices < n ? r->n_devices : n,
                  part = (n + parts - 1) / parts;
    *need = (struct ol_memory_need){
        .what = {&r->model->spec, r->layout, n * r->length, n},
        .n_rows = n * r->length * ol_workload_passes(r),
        .longest = r->length,
        .dtype = r->dtype,
        .other_bytes = ol_memory_resident(),
        .elsewhere = r->device != NULL,
        .n_parts = (int)parts,
        .part_rows = part * r->length * ol_workload_passes(r),
    };
    return ol_spec_check_length(&r->model->spec, r->length, err) == 0 &&
                   check_size(r, err) == 0 && backend_need(r, need, err) == 0
               ? ol_memory_choose(need, r->memory_budget, memory, err)
               : -1;
}

static struct ol_json *describe_weights(const struct ol_plan_request *r,
                                        const struct ol_workload *w)
{
    const bool remote = r->model->remote.directory != NULL;
    struct ol_json *weights = ol_json_new_object();
    char *format =
        r->model->weights != NULL ? ol_weights_format(r->model->weights) : NULL;
    ol_json_set(weights, "known_from",
                ol_json_new_string(format == NULL ? "config.json"
                                   : remote       ? "headers"
                                                  : "checkpoint"));
    ol_json_set(weights, "format",
                format != NULL ? ol_json_new_string(format) : ol_json_new_null());
    ol_json_set(weights, "bytes", by_kind(w->bytes, w->all_bytes));
    free(format);
    return weights;
}

static struct ol_json *describe_run(const struct ol_plan_request *r,
                                    const struct ol_workload *w,
                                    const struct ol_activation_bytes *disk)
{
    struct ol_json *run = ol_json_new_object();
    ol_json_set(run, "sequences", ol_json_new_int(r->n_sequences));
    ol_json_set(run, "length", ol_json_new_int(r->length));
    ol_json_set(run, "bytes_read", ol_json_new_int(w->read_bytes));
    ol_json_set(run, "flops", ol_json_new_real(w->operations));
    ol_json_set(run, "file_bytes", ol_json_new_int(disk->file));
    ol_json_set(run, "disk_bytes", ol_json_new_int(disk->room));
    return run;
}

/* need: as the plan was made for it, of a model whose weights are mapped. */
static struct ol_json *describe_memory(const struct ol_plan_request *r,
                                       const struct ol_memory_need *need,
                                       const struct ol_memory_plan *plan)
{
    const char *least = plan->device > 0 ? "least_device_bytes" : "least_ram_bytes";
    struct ol_json *memory = ol_json_new_object();
    ol_json_set(memory, "ram_bytes", ol_json_new_int(plan->total));
    ol_json_set(memory, "device_bytes", ol_json_new_int(plan->device));
    ol_json_set(memory, least, ol_json_new_int(ol_memory_least(need)));
    if (r->model->weights != NULL) {
        struct ol_memory_need streamed = *need;
        ol_memory_count_streamed(&streamed, r->model->weights, r->perplexity);
        ol_json_set(memory, "least_ram_bytes_streamed",
                    ol_json_new_int(ol_memory_least_of_host(&streamed)));
    }
    return memory;
}

struct ol_json *ol_plan(const struct ol_plan_request *r, struct ol_error *err)
{
    struct ol_memory_need need;
    struct ol_memory_plan memory;
    if (plan_memory(r, &need, &memory, err) != 0)
        return NULL;
    struct ol_activation_bytes disk;
    if (disk_bytes(r, &disk, err) != 0)
        return NULL;
    struct ol_workload w;
    ol_workload_count(r, &w);
    struct ol_json *plan = NULL, *layers = ol_spec_layers_json(&r->model->spec),
                   *time = r->device != NULL ? describe_bounds(r, &w, layers)
                                             : describe_time(r, &w, err);
    if (time == NULL) {
        ol_json_free(layers);
        goto out;
    }
    plan = ol_json_new_object();
    ol_json_set(plan, "format", ol_json_new_string("ol-plan"));
    ol_json_set(plan, "format_version", ol_json_new_int(1));
    ol_json_set(plan, "model", describe_model(r, &w));
    ol_json_set(plan, "weights", describe_weights(r, &w));
    struct ol_json *download = describe_download(&r->model->remote);
    if (download != NULL)
        ol_json_set(plan, "download", download);
    ol_json_set(plan, "run", describe_run(r, &w, &disk));
    ol_json_set(plan, "memory", describe_memory(r, &need, &memory));
    ol_json_set(plan, "time", time);
    if (r->device != NULL)
        ol_json_set(plan, "device", describe_device(r));
    if (r->n_named > 1)
        ol_json_set(plan, "sharing", describe_sharing(r));
    ol_json_set(plan, "layers", layers);
out:
    ol_workload_clear(&w);
    return plan;
}
