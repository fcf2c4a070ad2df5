#include "extract/run/plan.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/activation_file.h"
#include "extract/model/cost.h"
#include "extract/observe/summary.h"
#include "extract/model/modules.h"
#include "extract/cuda/sizes.h"
#include "extract/model/role.h"
#include "extract/run/roofline.h"

enum part {
    PART_EMBEDDING,
    PART_NORMS,
    PART_ATTENTION,
    PART_DENSE,
    PART_ROUTER,
    PART_SHARED,
    PART_ROUTED,
    PART_HEAD,
    N_PARTS,
};

static const char *const part_names[N_PARTS] = {
    "embedding", "norms",          "attention",      "dense_mlp",
    "router",    "shared_experts", "routed_experts", "lm_head"};

static enum part part_of(enum ol_role role)
{
    if (role == OL_ROLE_EMBEDDING || role == OL_ROLE_POSITIONS)
        return PART_EMBEDDING;
    if (role == OL_ROLE_LM_HEAD)
        return PART_HEAD;
    if (role == OL_ROLE_FINAL_NORM || role == OL_ROLE_ATTN_NORM ||
        role == OL_ROLE_ATTN_POST_NORM || role == OL_ROLE_MLP_NORM ||
        role == OL_ROLE_MLP_POST_NORM || role == OL_ROLE_LAYER_SCALE ||
        role == OL_ROLE_FINAL_NORM_BIAS || role == OL_ROLE_ATTN_NORM_BIAS ||
        role == OL_ROLE_MLP_NORM_BIAS)
        return PART_NORMS;
    if (role < OL_ROLE_MLP_NORM)
        return PART_ATTENTION;
    if (role <= OL_ROLE_DOWN)
        return PART_DENSE;
    if (role <= OL_ROLE_ROUTER_CORRECTION)
        return PART_ROUTER;
    if (role <= OL_ROLE_LATENT_UP)
        return PART_ROUTED;
    return role <= OL_ROLE_SHARED_SWITCH ? PART_SHARED : PART_ROUTED;
}

/* ---- sizes of weights ---- */

static int64_t weight_bytes(const struct ol_model *model,
                            const struct ol_modules *modules,
                            const struct ol_role_tensor *t)
{
    if (model->weights == NULL)
        return ol_modules_bytes(modules, t);
    const struct ol_weight w =
        ol_weights_get(model->weights, t->role, t->layer, t->expert);
    return ol_weight_bytes(&w);
}

struct weights {
    int64_t bytes[N_PARTS], total, read;
    int64_t parameters[N_PARTS], all, active;
    /* [n_layers + 1], the last of what belongs to no layer. */
    struct ol_roofline_work *work;
};

/* The sequences pass once, and once for every arm of an ablation. */
static int64_t n_passes(const struct ol_plan_request *r)
{
    return r->layout->n_arms + 1;
}

/* The part of a weight that a run of so many tokens reads at most. */
static int64_t read_bytes(const struct ol_plan_request *r, const struct ol_role_tensor *t,
                          int64_t bytes)
{
    const struct ol_spec *spec = &r->model->spec;
    const int last = r->perplexity ? spec->n_layers - 1 : r->last_recorded;
    const int64_t tokens = r->n_sequences * r->length;
    const enum part part = part_of(t->role);
    if (t->role == OL_ROLE_EMBEDDING) {
        const int64_t rows = tokens < spec->vocab_size ? tokens : spec->vocab_size;
        const bool whole = r->perplexity && spec->tied_embeddings;
        return whole ? bytes : bytes / spec->vocab_size * rows;
    }
    if (t->role == OL_ROLE_POSITIONS)
        return bytes / spec->n_positions *
               (r->length < spec->n_positions ? r->length : spec->n_positions);
    if (!ol_role_has_layer(t->role))
        return r->perplexity ? bytes : 0;
    const bool index = t->role >= OL_ROLE_INDEX_Q && t->role <= OL_ROLE_INDEX_WEIGHTS;
    if (t->layer > last || (index && !ol_spec_chooses(spec, r->length)))
        return 0;
    /* Nothing behind the last recorded router is computed unless it is summed up. */
    const bool mlp = part == PART_DENSE || part == PART_SHARED || part == PART_ROUTED;
    return mlp && t->layer == last && !r->perplexity && !r->summary ? 0 : bytes;
}

/* Of the device's memory: a weight is written when it comes and read, the rows of a
 * product are read, and written. */
static double passing_bytes(const struct ol_plan_request *r,
                            const struct ol_role_tensor *t, double bytes)
{
    const struct ol_router_spec *router = &r->model->spec.router;
    const double rows =
        (double)(r->n_sequences * r->length * n_passes(r)) *
        (ol_role_has_expert(t->role) ? (double)router->top_k / router->n_experts : 1);
    const double row = t->vector || part_of(t->role) == PART_EMBEDDING
                           ? 0
                           : (double)(t->n_rows + t->n_cols);
    return 2 * bytes + rows * row * (double)ol_dtype_size(r->dtype);
}

static void count_work(const struct ol_plan_request *r, const struct ol_role_tensor *t,
                       int64_t bytes, struct weights *w)
{
    const int n = r->model->spec.n_layers;
    struct ol_roofline_work *work = &w->work[ol_role_has_layer(t->role) ? t->layer : n];
    w->read += bytes;
    work->read_bytes += (double)bytes;
    if (bytes > 0)
        work->memory_bytes += passing_bytes(r, t, (double)bytes);
}

static struct weights count_weights(const struct ol_plan_request *r)
{
    struct weights w = {
        .work = ol_xcalloc((size_t)r->model->spec.n_layers + 1, sizeof *w.work)};
    struct ol_modules *modules = ol_modules_new(&r->model->spec);
    struct ol_role_tensor t = {.spec = &r->model->spec};
    while (ol_role_next(&t)) {
        const enum part part = part_of(t.role);
        const int64_t bytes = weight_bytes(r->model, modules, &t),
                      n = t.n_rows * t.n_cols;
        w.bytes[part] += bytes;
        w.total += bytes;
        count_work(r, &t, read_bytes(r, &t, bytes), &w);
        w.parameters[part] += n;
        w.all += n;
        if (!ol_role_has_expert(t.role) || t.expert < r->model->spec.router.top_k)
            w.active += n;
    }
    ol_modules_free(modules);
    return w;
}

/* ---- speed of this machine ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Operations per second of a product in the precision of the run. */
static double measure_products(struct ol_backend *b, struct ol_error *err)
{
    enum { ROWS = 1024, WIDTH = 2048 };
    const double most_seconds = 0.3;
    struct ol_tensor x = {0}, out = {0};
    uint16_t *weight = ol_xcalloc((size_t)WIDTH * WIDTH, sizeof *weight);
    float row[WIDTH]; /* room for either type */
    double rate = -1;
    for (size_t i = 0; i < (size_t)WIDTH * WIDTH; i++)
        weight[i] = ol_bf16_from_f32((float)(i % 251) / 251);
    if (b->op->tensor_new(b, b->dtype, ROWS, WIDTH, &x, err) == 0 &&
        b->op->tensor_new(b, b->dtype, ROWS, WIDTH, &out, err) == 0) {
        const struct ol_matmul product = {
            .x = x,
            .weight = ol_weight_plain(weight, OL_DTYPE_BF16, WIDTH, WIDTH),
            .out = out};
        double seconds = 0;
        int n = -1; /* the first is to warm up */
        for (double start = now(); n < 1 || seconds < most_seconds; n++) {
            /* A device is not done before something of the result is there. */
            if (b->op->matmul(b, &product, 1, err) != 0 ||
                b->op->download(b, ol_tensor_rows(out, 0, 1), row, err) != 0)
                goto out;
            if (n < 0)
                start = now();
            seconds = now() - start;
        }
        rate = 2.0 * ROWS * WIDTH * WIDTH * n / seconds;
    }
out:
    b->op->tensor_free(b, &x);
    b->op->tensor_free(b, &out);
    free(weight);
    return rate;
}

/* Bytes per second of reading the checkpoint's first file in order; 0 when there is none
 * worth timing. What the page cache holds is as fast as it will be in the run. */
static double measure_reading(const struct ol_checkpoint *c)
{
    enum { PIECE = 8 << 20, MOST = 256 << 20 };
    const int fd = c != NULL ? open(ol_checkpoint_path(c, 0), O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    char *buffer = ol_xmalloc(PIECE);
    const double start = now();
    int64_t total = 0;
    for (ssize_t n; total < MOST && (n = read(fd, buffer, PIECE)) > 0;)
        total += n;
    const double seconds = now() - start;
    free(buffer);
    close(fd);
    return total >= PIECE && seconds > 0 ? (double)total / seconds : 0;
}

/* ---- the plan ---- */

static struct ol_json *by_part(const int64_t values[N_PARTS], int64_t total)
{
    struct ol_json *object = ol_json_new_object();
    for (int i = 0; i < N_PARTS; i++)
        if (values[i] > 0)
            ol_json_set(object, part_names[i], ol_json_new_int(values[i]));
    ol_json_set(object, "total", ol_json_new_int(total));
    return object;
}

static struct ol_json *describe_model(const struct ol_plan_request *r,
                                      const struct weights *w)
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
    ol_json_set(model, "total_parameters", ol_json_new_int(w->all));
    ol_json_set(model, "active_parameters", ol_json_new_int(w->active));
    ol_json_set(model, "parameters", by_part(w->parameters, w->all));
    return model;
}

/* Of one sequence, as many times as there are sequences, in each layer and, last, in the
 * head. */
static double count_operations(const struct ol_plan_request *r,
                               struct ol_roofline_work *work)
{
    const struct ol_spec *spec = &r->model->spec;
    const int32_t length = (int32_t)r->length;
    const struct ol_cost_tokens tokens = {1, &length};
    const int last = r->perplexity ? spec->n_layers - 1 : r->last_recorded;
    const double times = (double)(r->n_sequences * n_passes(r));
    double sum = 0;
    for (int l = 0; l <= spec->n_layers; l++) {
        double n = 0;
        if (l == spec->n_layers)
            n = r->perplexity ? ol_cost_head(spec, &tokens) : 0;
        else if (l <= last)
            n = ol_cost_mixer(spec, l, &tokens) + ol_cost_router(spec, l, &tokens);
        if (l < spec->n_layers &&
            (l < last || (l == last && (r->perplexity || r->summary))))
            n += ol_cost_mlp(spec, l, &tokens);
        work[l].operations = n * times;
        sum += n;
    }
    return sum * times;
}

/* Rows that are stored. */
static void count_back(const struct ol_plan_request *r, struct ol_roofline_work *work)
{
    const struct ol_activation_layout *layout = r->layout;
    const double site = (double)(r->n_sequences * r->length * layout->d_model) *
                        (double)ol_dtype_size(r->dtype);
    for (int i = 0; i < layout->n_layers; i++)
        for (int s = 0; s < OL_N_SITES; s++)
            work[layout->layers[i].number].back_bytes +=
                layout->layers[i].sites[s] ? site : 0;
}

/* Bytes of the file with its first n sequences. */
static int64_t file_bytes(const struct ol_plan_request *r, int64_t n,
                          struct ol_error *err)
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
    const int64_t bytes = ol_activation_disk_bytes(r->info, &layout, &input, err);
    free(pieces);
    free(ids);
    return bytes;
}

/* The file, and the state that --resume needs. Thousands of sequences are not laid out:
 * each takes what the one before it takes. */
static int64_t disk_bytes(const struct ol_plan_request *r, struct ol_error *err)
{
    enum { FEW = 64 };
    const struct ol_state_identity id = {
        "", r->dtype, r->n_sequences * r->length * n_passes(r), r->model->spec.d_model};
    const int64_t n = r->n_sequences;
    int64_t bytes = file_bytes(r, n < 2 * FEW ? n : 2 * FEW, err);
    if (bytes >= 0 && n > 2 * FEW) {
        const int64_t fewer = file_bytes(r, FEW, err);
        if (fewer < 0)
            return -1;
        bytes += (bytes - fewer) / FEW * (n - 2 * FEW);
    }
    return bytes < 0
               ? -1
               : bytes + ol_state_disk_bytes(
                             &id, ol_recording_saved_bytes(
                                      r->layout, ol_activation_likely_values(r->layout)));
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
    return r->model->remote.directory == NULL ? measure_reading(r->model->checkpoint) : 0;
}

static struct ol_json *describe_device(const struct ol_plan_request *r)
{
    const struct ol_device_model *d = r->device;
    const struct {
        const char *key;
        double rate;
    } rates[] = {
        {"link_bytes_per_second", d->link_bytes_per_second},
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

/* Of a device that is not here: nothing of it is measured, each layer says its bound. */
static struct ol_json *describe_bounds(const struct ol_plan_request *r,
                                       const struct weights *w, struct ol_json *layers)
{
    const int n = r->model->spec.n_layers;
    const double reading = reading_rate(r);
    const struct ol_roofline_rates rates = {r->device, r->dtype == OL_DTYPE_BF16,
                                            r->n_devices, reading};
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

static struct ol_json *describe_time(const struct ol_plan_request *r, double n_operations,
                                     int64_t bytes, struct ol_error *err)
{
    const double products = measure_products(r->backend, err);
    const double reading = reading_rate(r);
    if (products < 0)
        return NULL;
    const double computing = n_operations / products;
    const double loading = reading > 0 ? (double)bytes / reading : 0;
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
                 tokens =
                     (double)r->n_sequences * (double)r->length * (double)n_passes(r),
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
    struct ol_product_sizes products = ol_spec_products(&r->model->spec);
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
        .n_rows = n * r->length * n_passes(r),
        .longest = r->length,
        .dtype = r->dtype,
        .other_bytes = ol_memory_resident(),
        .n_parts = (int)parts,
        .part_rows = part * r->length * n_passes(r),
    };
    return ol_spec_check_length(&r->model->spec, r->length, err) == 0 &&
                   check_size(r, err) == 0 && backend_need(r, need, err) == 0
               ? ol_memory_choose(need, r->memory_budget, memory, err)
               : -1;
}

struct ol_json *ol_plan(const struct ol_plan_request *r, struct ol_error *err)
{
    struct ol_memory_need need;
    struct ol_memory_plan memory;
    if (plan_memory(r, &need, &memory, err) != 0)
        return NULL;
    const int64_t on_disk = disk_bytes(r, err);
    if (on_disk < 0)
        return NULL;
    const struct weights w = count_weights(r);
    const double n_operations = count_operations(r, w.work);
    count_back(r, w.work);
    struct ol_json *layers = ol_spec_layers_json(&r->model->spec);
    struct ol_json *time = r->device != NULL
                               ? describe_bounds(r, &w, layers)
                               : describe_time(r, n_operations, w.read, err);
    free(w.work);
    if (time == NULL) {
        ol_json_free(layers);
        return NULL;
    }

    struct ol_json *plan = ol_json_new_object();
    struct ol_json *weights = ol_json_new_object(), *run = ol_json_new_object(),
                   *ram = ol_json_new_object();
    ol_json_set(plan, "format", ol_json_new_string("ol-plan"));
    ol_json_set(plan, "format_version", ol_json_new_int(1));
    ol_json_set(plan, "model", describe_model(r, &w));
    char *format =
        r->model->weights != NULL ? ol_weights_format(r->model->weights) : NULL;
    ol_json_set(weights, "known_from",
                ol_json_new_string(format == NULL                       ? "config.json"
                                   : r->model->remote.directory != NULL ? "headers"
                                                                        : "checkpoint"));
    ol_json_set(weights, "format",
                format != NULL ? ol_json_new_string(format) : ol_json_new_null());
    ol_json_set(weights, "bytes", by_part(w.bytes, w.total));
    free(format);
    ol_json_set(plan, "weights", weights);
    ol_json_set(run, "sequences", ol_json_new_int(r->n_sequences));
    ol_json_set(run, "length", ol_json_new_int(r->length));
    ol_json_set(run, "bytes_read", ol_json_new_int(w.read));
    ol_json_set(run, "flops", ol_json_new_real(n_operations));
    ol_json_set(run, "disk_bytes", ol_json_new_int(on_disk));
    struct ol_json *download = describe_download(&r->model->remote);
    if (download != NULL)
        ol_json_set(plan, "download", download);
    ol_json_set(plan, "run", run);
    const char *least = memory.device > 0 ? "least_device_bytes" : "least_ram_bytes";
    ol_json_set(ram, "ram_bytes", ol_json_new_int(memory.total));
    ol_json_set(ram, "device_bytes", ol_json_new_int(memory.device));
    ol_json_set(ram, least, ol_json_new_int(ol_memory_least(&need)));
    ol_json_set(plan, "memory", ram);
    ol_json_set(plan, "time", time);
    if (r->device != NULL)
        ol_json_set(plan, "device", describe_device(r));
    ol_json_set(plan, "layers", layers);
    return plan;
}
