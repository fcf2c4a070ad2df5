#include "extract/run/run.h"
#include "extract/run/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/infile.h"
#include "common/output.h"
#include "common/process.h"
#include "common/version.h"
#include "extract/run/ablate_from.h"
#include "extract/run/ablation.h"
#include "extract/observe/summary.h"
#include "extract/run/devices.h"
#include "extract/weights/hub.h"
#include "extract/observe/contributions.h"
#include "extract/observe/arms.h"
#include "extract/observe/input_squares.h"
#include "extract/observe/likelihood.h"
#include "extract/observe/summaries.h"
#include "extract/run/data_parallel.h"
#include "extract/run/model.h"

/* Everything that a run holds, in the order in which it is made. */
struct run {
    const struct ol_run_request *request;
    char *name; /* of the output, as it is printed */
    struct ol_output output;
    char *path, *partial_path, *state_path; /* of the output, its links followed */
    struct ol_model model;
    struct ol_tokenizer *tokenizer;
    struct ol_corpus corpus;
    struct ol_devices devices;
    int n_parts; /* devices that are used */
    struct ol_activation_info info;
    struct ol_activation_layout layout;
    struct ol_activation_input input;
    struct ol_activation_writer *file;
    struct ol_state_file *states;
    bool created; /* the two files are this process's, not an earlier run's */
    int32_t *ids; /* without padding */
    int64_t n_rows;
    struct ol_recording *recording;

    void *hidden; /* of a resumed run */
    int done;     /* layer of hidden, or -1 */
    struct ol_memory_plan memory;
    struct ol_ablation all; /* the sequences with those of all arms */
    struct ol_activation_receipt receipt;
};

/* ---- what is asked for ---- */

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

static int lay_out(struct run *r, struct ol_error *err)
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
        snprintf(layer->attention, sizeof layer->attention, "%s",
                 ol_attention_kind_name(spec->layers[l].attention));
        layer->top_k = layer->moe ? spec->router.top_k : 0;
        if (request->store != OL_STORE_NONE)
            memcpy(layer->sites, request->sites, sizeof layer->sites);
        if (!request->summary)
            continue;
        layer->n_units = ol_contributions_components(spec, l);
        layer->summary_sites[OL_SUMMARY_LN_ATTN] = request->sites[OL_SITE_LN_ATTN];
        layer->summary_sites[OL_SUMMARY_LN_MLP] = request->sites[OL_SITE_LN_MLP];
        layer->summary_sites[OL_SUMMARY_OUTPUT] = true;
        for (int i = 0; request->imatrix && i < OL_N_INPUTS; i++)
            layer->input_widths[i] = ol_input_squares_width(spec, l, (enum ol_input)i);
    }
    free(chosen);
    return status;
}

/* The sequences once more for every arm; the file holds what arms come to. */
static int add_arms(struct run *r, struct ol_error *err)
{
    const struct ol_texts *asked = &r->request->ablate;
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
                                  r->corpus.lengths, r->corpus.n_sequences, r->ids, err);
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

/* ---- the input ---- */

static int compare_ids(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int join_ids(struct run *r, struct ol_error *err)
{
    const struct ol_corpus *c = &r->corpus;
    const int64_t vocab_size = r->model.spec.vocab_size;
    if (c->n_sequences * c->n_tokens > OL_MOST_TOKENS)
        return ol_fail(err,
                       "%s: %" PRId64 " sequences of up to %" PRId64
                       " tokens, expected at most %d tokens in all",
                       c->source, c->n_sequences, c->n_tokens, OL_MOST_TOKENS);
    r->ids = ol_xcalloc((size_t)(c->n_sequences * c->n_tokens), sizeof *r->ids);
    for (int64_t s = 0; s < c->n_sequences; s++) {
        for (int64_t t = 0; t < c->lengths[s]; t++) {
            const int32_t id = c->ids[s * c->n_tokens + t];
            if (id < 0 || id >= vocab_size)
                return ol_fail(err,
                               "%s: token id %" PRId32 " (sequence %" PRId64
                               ", token %" PRId64
                               ") is outside the model's vocabulary, 0 to %" PRId64,
                               c->source, id, s, t, vocab_size - 1);
            r->ids[r->n_rows++] = id;
        }
    }
    return 0;
}

/* The text of every id that occurs; none without a tokenizer. */
static void name_pieces(struct run *r)
{
    r->input.token_ids = r->corpus.ids;
    r->input.lengths = r->corpus.lengths;
    if (r->tokenizer == NULL)
        return;
    int32_t *ids = ol_xcalloc((size_t)r->n_rows, sizeof *ids);
    memcpy(ids, r->ids, (size_t)r->n_rows * sizeof *ids);
    qsort(ids, (size_t)r->n_rows, sizeof *ids, compare_ids);
    int64_t n = 0;
    for (int64_t i = 0; i < r->n_rows; i++)
        if (n == 0 || ids[i] != ids[n - 1])
            ids[n++] = ids[i];
    char **pieces = ol_xcalloc((size_t)n, sizeof *pieces);
    for (int64_t i = 0; i < n; i++)
        pieces[i] = ol_tokenizer_piece(r->tokenizer, ids[i]);
    r->input.n_pieces = n;
    r->input.piece_ids = ids;
    r->input.pieces = (const char *const *)pieces;
}

static int read_corpus(struct run *r, const char *directory, struct ol_error *err)
{
    struct ol_corpus_request request = r->request->corpus;
    request.bos = r->request->bos_auto && request.ids_file == NULL;
    char *path = ol_xasprintf("%s/tokenizer.json", directory);
    /* Ids need no tokenizer; with one their text is kept too. */
    if (request.ids_file == NULL || access(path, F_OK) == 0) {
        r->tokenizer = ol_tokenizer_open(directory, err);
        if (r->tokenizer == NULL) {
            free(path);
            return -1;
        }
    }
    free(path);
    return ol_corpus_read(&request, r->tokenizer, &r->corpus, err);
}

/* ---- what the file says of the run ---- */

static char *utc_now(void)
{
    char text[32];
    const time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return ol_xstrdup(text);
}

/* What is known of a model from its config alone. */
static void describe_config(struct run *r)
{
    const struct ol_model *m = &r->model;
    struct ol_activation_info *info = &r->info;
    info->model.name = ol_xstrdup(m->name);
    info->model.family = ol_xstrdup(m->spec.family);
    info->model.config_json = ol_xstrdup(m->config_text);
    struct ol_json *layers = ol_spec_layers_json(&m->spec);
    info->model.layers_json = ol_json_dump_text(layers, 0);
    ol_json_free(layers);
    info->model.n_layers = m->spec.n_layers;
    info->model.d_model = m->spec.d_model;
    info->model.vocab_size = m->spec.vocab_size;
    info->model.n_experts = m->spec.router.n_experts;
    info->model.top_k = m->spec.router.top_k;
}

static int describe(struct run *r, struct ol_error *err)
{
    const struct ol_model *m = &r->model;
    const struct ol_run_request *request = r->request;
    struct ol_activation_info *info = &r->info;
    char sha[OL_SHA256_HEX_BYTES];
    info->tool = ol_xstrdup("ol-extract");
    info->tool_version = ol_xstrdup(OL_VERSION);
    info->command_line = ol_xstrdup(request->command_line);
    info->created = utc_now();
    info->backend = ol_xstrdup(r->devices.backends[0]->op->name);
    info->precision = ol_xstrdup(request->precision == OL_DTYPE_F32 ? "f32" : "bf16");
    info->device = ol_xstrdup(r->devices.backends[0]->device);
    info->processor = ol_xstrdup(r->devices.backends[0]->processor);
    describe_config(r);
    info->model.weight_format = ol_weights_format(m->weights);
    info->model.config_sha256 = ol_xstrdup(m->config_sha256);
    if (ol_checkpoint_sha256(m->checkpoint, sha, err) != 0)
        return -1;
    info->model.weights_sha256 = ol_xstrdup(sha);
    ol_weights_parameters(m->weights, &info->model.total_parameters,
                          &info->model.active_parameters);
    info->input.source = ol_xstrdup(r->corpus.source);
    info->input.text_sha256 = ol_xstrdup(r->corpus.text_sha256);
    info->input.tokenizer_sha256 =
        ol_xstrdup(r->tokenizer != NULL ? ol_tokenizer_sha256(r->tokenizer) : "");
    info->input.windowing =
        ol_xstrdup(request->corpus.ids_file != NULL                      ? "ids"
                   : request->corpus.windowing == OL_WINDOWING_REFERENCE ? "reference"
                                                                         : "contiguous");
    info->input.bos = r->corpus.bos;
    return 0;
}

/* ---- files ---- */

/* Digits that decide the values of the hidden states. */
static void identify(const struct run *r, char hex[OL_SHA256_HEX_BYTES])
{
    struct ol_sha256 *sha = ol_sha256_new();
    ol_sha256_update(sha, r->info.model.config_sha256,
                     strlen(r->info.model.config_sha256));
    ol_sha256_update(sha, r->info.model.weights_sha256,
                     strlen(r->info.model.weights_sha256));
    ol_sha256_update(sha, r->info.backend, strlen(r->info.backend));
    ol_sha256_update(sha, r->ids, (size_t)r->n_rows * sizeof *r->ids);
    ol_sha256_update(sha, r->corpus.lengths,
                     (size_t)r->corpus.n_sequences * sizeof *r->corpus.lengths);
    ol_sha256_finish(sha, hex);
}

/* The name of the file goes there when it is sealed. */
static int check_stdout(struct ol_error *err)
{
    return ol_process_stdout_closed() ? 0 : ol_output_check(NULL, OL_OUTPUT_STREAM, err);
}

/* Names at which this run makes files must not be those of its inputs either. */
static int check_names(const struct run *r, struct ol_error *err)
{
    static const char *const suffixes[] = {"",
                                           ".partial",
                                           ".partial.state",
                                           ".partial.state.0",
                                           ".partial.state.1",
                                           ".partial.undo"};
    int status = check_stdout(err);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0] && status == 0; i++) {
        char *name = ol_xasprintf("%s%s", r->path, suffixes[i]);
        struct stat file;
        const bool there = stat(name, &file) == 0;
        const char *input = there ? ol_infile_name(&file) : NULL;
        if (there && !S_ISREG(file.st_mode))
            status = ol_fail(err, "%s: is %s, expected a regular file, or none", name,
                             ol_file_kind(file.st_mode));
        else if (input != NULL)
            status = ol_fail(err, "%s: is also an input, %s: it would be replaced", name,
                             input);
        free(name);
    }
    return status;
}

/* Where it is written: before anything that takes long. */
static int find_output(struct run *r, struct ol_error *err)
{
    char *short_name = ol_model_short_name(r->request->model);
    r->name = r->request->output != NULL ? ol_xstrdup(r->request->output)
                                         : ol_xasprintf("%s.h5", short_name);
    free(short_name);
    if (check_stdout(err) != 0 ||
        ol_output_find(r->name, OL_OUTPUT_FILE, &r->output, err) != 0)
        return -1;
    r->path = ol_xstrdup(r->output.path);
    r->partial_path = ol_xasprintf("%s.partial", r->path);
    r->state_path = ol_xasprintf("%s.state", r->partial_path);
    return 0;
}

/* What replaces a file is for the same people's eyes, also while it is made: so are the
 * files beside it, none of which may be read by more than it. */
static int keep_mode(const struct run *r, const char *path, struct ol_error *err)
{
    const int fd = r->output.exists ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    const int status = ol_output_keep_mode(&r->output, fd, err);
    close(fd);
    return status;
}

/* With --resume, whether the run is complete: *complete. Another run's file fails. */
static int look_for_complete(const struct run *r, bool *complete, struct ol_error *err)
{
    *complete = false;
    const bool unfinished = access(r->partial_path, F_OK) == 0;
    if (!r->request->resume || unfinished || !r->output.exists)
        return 0;
    const char *what = NULL;
    if (ol_activation_compare(r->path, &r->info, &r->layout, &r->input, &what, err) != 0)
        return -1;
    if (what != NULL)
        return ol_fail(err,
                       "%s: is complete, but belongs to another run, its %s differs; "
                       "remove it, or give another --output",
                       r->name, what);
    /* What a run leaves that ended between the file's name and its own end. */
    ol_state_remove(r->state_path);
    *complete = true;
    return 0;
}

/* What an unfinished run had come to. */
static int take_up(struct run *r, struct ol_error *err)
{
    void *extra = NULL;
    size_t n = 0;
    int status = ol_state_get(r->states, r->hidden, &r->done, &extra, &n, err);
    if (status == 0 && r->done >= 0)
        status = ol_recording_restore(r->recording, extra, n, err);
    free(extra);
    if (status == 0)
        ol_activation_go_on_after(r->file, r->done);
    return status;
}

static int open_files(struct run *r, struct ol_error *err)
{
    char hex[OL_SHA256_HEX_BYTES];
    identify(r, hex);
    const struct ol_state_identity id = {hex, r->request->precision, r->all.n_rows,
                                         r->model.spec.d_model};
    const char *partial = r->partial_path;
    const bool there = access(partial, F_OK) == 0;
    int status = -1;
    if (r->output.exists)
        umask(umask(0777) | (~r->output.mode & 0777));
    if (there && !r->request->resume) {
        ol_fail(err,
                "%s: an unfinished run is there: go on with it (--resume), or remove it "
                "to begin anew",
                partial);
    } else if (there && access(r->state_path, F_OK) == 0) {
        r->file = ol_activation_reopen(r->path, &r->info, &r->layout, &r->input, err);
        if (r->file != NULL)
            r->states = ol_state_open(r->state_path, &id, err);
        r->hidden =
            ol_xcalloc((size_t)(r->all.n_rows * id.d_model), ol_dtype_size(id.dtype));
        if (r->file != NULL && r->states != NULL)
            status = take_up(r, err);
        if (status == 0)
            ol_note("%s: going on after layer %d", partial, r->done);
    } else {
        if (r->request->resume)
            ol_detail("%s: there is nothing to resume, beginning with layer 0", r->path);
        r->file = ol_activation_create(r->path, r->request->resume, &r->info, &r->layout,
                                       &r->input, err);
        r->created = r->file != NULL;
        if (r->file != NULL && keep_mode(r, partial, err) == 0)
            r->states =
                ol_state_create(r->state_path, &id,
                                ol_recording_saved_bytes(
                                    &r->layout, ol_activation_likely_values(&r->layout)),
                                err);
        status = r->states != NULL ? keep_mode(r, r->state_path, err) : -1;
    }
    return status;
}

/* A failure before the first layer was kept leaves nothing behind. Nothing is allocated
 * here: it may have been memory that failed. */
static void abandon(struct run *r)
{
    if (r->file == NULL)
        return;
    ol_activation_abandon(r->file);
    r->file = NULL;
    if (!r->created && r->states == NULL)
        return;
    if (!r->created || (r->states != NULL && ol_state_is_kept(r->states))) {
        ol_note("%s can be finished with --resume", r->partial_path);
        return;
    }
    unlink(r->partial_path);
    if (r->states != NULL)
        ol_state_remove(r->state_path);
}

/* ---- the run ---- */

/* What --verbose is for: which model, text, device and memory these are. */
static void tell_details(const struct run *r)
{
    const struct ol_spec *spec = &r->model.spec;
    ol_detail("%s: %s of %d layers, %d dimensions, %d experts (top %d), %s, %lld "
              "parameters, %lld active, from %s",
              r->model.name, spec->family, spec->n_layers, spec->d_model,
              spec->router.n_experts, spec->router.top_k, r->info.model.weight_format,
              (long long)r->info.model.total_parameters,
              (long long)r->info.model.active_parameters, r->model.directory);
    ol_detail("%s: %" PRId64 " sequences, %" PRId64 " tokens, the longest sequence of "
              "%" PRId64 "; %s",
              r->corpus.source, r->corpus.n_sequences, r->n_rows, r->corpus.n_tokens,
              r->corpus.bos ? "begun by the tokenizer's tokens"
                            : "without tokens in front");
    for (int i = 0; i < r->devices.n; i++)
        ol_detail("device %d: %s, %s", i, r->devices.backends[i]->op->name,
                  r->devices.backends[i]->device);
}

static void tell_memory(const struct run *r)
{
    const double mib = 1.0 / (1 << 20);
    const struct ol_forward_buffers *buffers = &r->memory.buffers;
    ol_detail("memory: %.0f MiB, %.0f MiB of each device, and %.0f MiB of weights ahead "
              "of their use; %" PRId64 " rows of a block, %" PRId64 " of experts",
              (double)r->memory.total * mib, (double)r->memory.device * mib,
              (double)buffers->weight_bytes * mib, buffers->block_rows,
              buffers->group_rows);
}

/* The rows of the largest part. */
static int64_t split_rows(struct run *r, int64_t longest)
{
    const struct ol_corpus *c = &r->corpus;
    const int n = r->devices.n;
    r->n_parts = n < c->n_sequences ? n : (int)c->n_sequences;
    if (r->all.arms.n > 0)
        return r->all.n_rows;
    return ol_data_parallel_most_rows(
        c->lengths, c->n_sequences, ol_memory_block_rows(r->n_rows, longest), r->n_parts);
}

static int plan_memory(struct run *r, struct ol_error *err)
{
    const struct ol_corpus *c = &r->corpus;
    struct ol_memory_need need = {
        .what = {&r->model.spec, &r->layout, r->n_rows, c->n_sequences},
        .n_rows = r->all.n_rows,
        .dtype = r->request->precision,
        .scratch_bytes = r->devices.backends[0]->op->scratch_bytes(
            r->devices.backends[0], ol_spec_products(&r->model.spec)),
        .other_bytes = ol_memory_resident(),
    };
    /* The stream that an earlier run left is read beside the one it becomes. */
    if (r->request->resume)
        need.other_bytes += r->all.n_rows * r->model.spec.d_model *
                            (int64_t)ol_dtype_size(r->request->precision);
    for (int64_t s = 0; s < c->n_sequences; s++)
        if (c->lengths[s] > need.longest)
            need.longest = c->lengths[s];
    need.part_rows = split_rows(r, need.longest);
    /* Sums over parts would be in another order than those of one. */
    if ((r->request->imatrix || r->all.arms.n > 0) && r->n_parts > 1)
        return ol_fail(err, "--%s runs on one device, --devices %s names several",
                       r->request->imatrix ? "imatrix" : "ablate", r->request->devices);
    need.n_parts = r->n_parts;
    for (int i = 0; i < r->n_parts; i++) {
        int64_t bytes;
        if (r->devices.backends[i]->op->device_bytes(r->devices.backends[i], &bytes,
                                                     err) != 0)
            return -1;
        if (i == 0 || bytes < need.device_bytes)
            need.device_bytes = bytes;
    }
    return ol_memory_choose(&need, r->request->memory, &r->memory, err);
}

static void begin_recording(struct run *r)
{
    const struct ol_recording_target target = {
        .spec = &r->model.spec,
        .weights = r->model.weights,
        .layout = &r->layout,
        .lengths = r->corpus.lengths,
        .dtype = r->request->precision,
        .n_devices = r->n_parts,
    };
    r->recording = ol_recording_new(&target);
}

static void tell_arms(const struct run *r)
{
    for (int arm = 0; arm < r->layout.n_arms; arm++) {
        int64_t n;
        const double mean = ol_arms_mean_nll(r->recording, arm, &n);
        if (n > 0)
            ol_note("%s: perplexity %.4f (mean negative log-likelihood %.6f over %" PRId64
                    " tokens)",
                    r->layout.arms[arm], exp(mean), mean, n);
    }
}

static int compute(struct run *r, struct ol_error *err)
{
    /* Where there was a choice. */
    if (r->request->backend == OL_BACKEND_AUTO && ol_cuda_libraries() != NULL)
        ol_note("running on %s", r->devices.backends[0]->device);
    r->recording->file = r->file;
    r->recording->states = r->states;
    struct ol_data_parallel passes = {
        .forward =
            {
                .spec = &r->model.spec,
                .weights = r->model.weights,
                .arms = &r->all.arms,
                .buffers = &r->memory.buffers,
                .n_sequences = r->all.n_sequences,
                .lengths = r->all.lengths,
                .ids = r->all.ids,
                .done = r->done,
                .states = r->hidden,
            },
        .backends = r->devices.backends,
        .n_devices = r->n_parts,
        .layout = &r->layout,
        .recording = r->recording,
    };
    const struct ol_observed what = {&r->model.spec, &r->layout, r->n_rows,
                                     r->corpus.n_sequences};
    double total, skipped;
    int status = -1;
    passes.forward.stream = ol_stream_new(r->memory.buffers.weight_bytes, err);
    if (passes.forward.stream != NULL)
        passes.writer =
            ol_writer_new(r->n_parts, (size_t)(r->memory.writer_bytes / r->n_parts), err);
    if (passes.writer == NULL)
        goto out;
    ol_observers_extent(&what, &passes.forward);
    ol_forward_cost(&passes.forward, &total, &skipped);
    const struct ol_progress_sources sources = {
        passes.forward.stream, r->devices.backends, r->n_parts, passes.writer};
    passes.progress =
        ol_progress_new(r->all.n_rows, r->model.spec.n_layers, total, skipped, &sources);
    if (ol_data_parallel_run(&passes, err) != 0 ||
        ol_writer_finish(passes.writer, err) != 0)
        goto out;
    ol_progress_finish(passes.progress, &r->receipt);
    int64_t n_nll;
    const double mean_nll = ol_likelihood_mean(r->recording, &n_nll);
    if (n_nll > 0 && isnan(mean_nll))
        ol_note("the perplexity is not known: a token's probability is not a number");
    else if (n_nll > 0)
        ol_note("perplexity %.4f (mean negative log-likelihood %.6f over %" PRId64
                " tokens)",
                exp(mean_nll), mean_nll, n_nll);
    tell_arms(r);
    status = 0;
out:
    /* What waits is still worth writing: a resumed run then starts later. */
    if (status != 0 && passes.writer != NULL) {
        struct ol_error ignored = {0};
        ol_writer_finish(passes.writer, &ignored);
    }
    ol_progress_free(passes.progress);
    ol_writer_free(passes.writer);
    ol_stream_free(passes.forward.stream);
    return status;
}

/* As it is for whoever reads it from a pipe, harmless on a terminal. */
static void print_name(const struct run *r)
{
    if (ol_process_stdout_closed())
        return;
    char *name = isatty(STDOUT_FILENO) == 1 ? ol_shown(r->name) : ol_xstrdup(r->name);
    printf("%s\n", name);
    free(name);
}

static int seal(struct run *r, struct ol_error *err)
{
    struct ol_activation_writer *file = r->file;
    struct ol_activation_outliers outliers = {0};
    r->file = NULL;
    if (r->layout.summary)
        ol_summaries_outliers(r->recording, &outliers);
    const int status =
        ol_activation_seal(file, r->layout.summary ? &outliers : NULL,
                           ol_arms_recorded(r->recording), &r->receipt, err);
    ol_activation_outliers_clear(&outliers);
    if (status != 0)
        return -1;
    ol_state_remove(r->state_path);
    print_name(r);
    return 0;
}

static void clear(struct run *r)
{
    abandon(r);
    ol_state_close(r->states);
    ol_recording_free(r->recording);
    ol_activation_info_clear(&r->info);
    for (int64_t i = 0; i < r->input.n_pieces; i++)
        free((char *)(uintptr_t)r->input.pieces[i]);
    free((void *)(uintptr_t)r->input.pieces);
    free((void *)(uintptr_t)r->input.piece_ids);
    free(r->layout.layers);
    free(r->hidden);
    ol_ablation_clear(&r->all);
    free(r->ids);
    ol_devices_close(&r->devices);
    ol_corpus_clear(&r->corpus);
    ol_tokenizer_close(r->tokenizer);
    ol_model_clear(&r->model);
    free(r->state_path);
    free(r->partial_path);
    free(r->path);
    free(r->name);
    ol_output_clear(&r->output);
}

int ol_run(const struct ol_run_request *request, struct ol_error *err)
{
    struct run r = {.request = request, .done = -1};
    bool complete = false;
    int status = -1;
    /* Before anything that takes long. */
    if (find_output(&r, err) != 0 ||
        ol_devices_open(&r.devices, request, OL_DEVICES_MOST, err) != 0 ||
        ol_model_open(&r.model, request->model, err) != 0 ||
        read_corpus(&r, r.model.directory, err) != 0 || check_names(&r, err) != 0 ||
        join_ids(&r, err) != 0 || lay_out(&r, err) != 0 || add_arms(&r, err) != 0)
        goto out;
    name_pieces(&r);
    if (describe(&r, err) != 0)
        goto out;
    /* Not needed any more, and large. */
    ol_tokenizer_close(r.tokenizer);
    r.tokenizer = NULL;
    tell_details(&r);
    if (look_for_complete(&r, &complete, err) != 0)
        goto out;
    if (complete) {
        ol_note("%s: already complete", r.name);
        print_name(&r);
        status = 0;
        goto out;
    }
    if (plan_memory(&r, err) != 0)
        goto out;
    tell_memory(&r);
    begin_recording(&r);
    if (open_files(&r, err) != 0 || compute(&r, err) != 0 || seal(&r, err) != 0)
        goto out;
    status = 0;
out:
    clear(&r);
    return status;
}

/* ---- --tokenize ---- */

/* *arg: whether the line has begun. */
static void print_ids(void *arg, const int32_t *ids, size_t n, bool is_last)
{
    bool *begun = arg;
    for (size_t i = 0; i < n; i++, *begun = true)
        printf("%s%" PRId32, *begun ? " " : "", ids[i]);
    if (is_last)
        printf("\n");
    *begun = *begun && !is_last;
}

int ol_run_tokenize(const struct ol_run_request *request, struct ol_error *err)
{
    struct run r = {.request = request, .done = -1};
    struct ol_corpus_request corpus = request->corpus;
    corpus.bos = request->bos_auto;
    /* Ids are printed while texts are read: they must not be added to one of them. */
    for (size_t i = 0; i < corpus.text_files->n; i++)
        ol_infile_expect(corpus.text_files->items[i]);
    if (corpus.ids_file != NULL)
        ol_infile_expect(corpus.ids_file);
    if (ol_output_check(NULL, OL_OUTPUT_STREAM, err) != 0)
        return -1;
    char *directory = ol_hub_resolve(request->model, err);
    bool begun = false;
    int status = -1;
    if (directory == NULL) {
        status = -1;
    } else if (corpus.ids_file == NULL && corpus.n_sequences == 0) {
        r.tokenizer = ol_tokenizer_open(directory, err);
        if (r.tokenizer != NULL)
            status =
                ol_corpus_each_document(&corpus, r.tokenizer, print_ids, &begun, err);
    } else {
        status = read_corpus(&r, directory, err);
        for (int64_t s = 0; s < r.corpus.n_sequences && status == 0; s++)
            print_ids(&begun, r.corpus.ids + s * r.corpus.n_tokens,
                      (size_t)r.corpus.lengths[s], true);
    }
    free(directory);
    clear(&r);
    return status;
}

/* ---- --plan ---- */

int ol_run_plan(const struct ol_run_request *request, struct ol_error *err)
{
    struct run r = {.request = request, .done = -1};
    struct ol_json *plan = NULL;
    int status = -1;
    if (ol_model_open_config(&r.model, request->model, err) != 0)
        goto out;
    r.corpus.n_sequences = request->corpus.n_sequences;
    r.corpus.n_tokens = request->corpus.length;
    if (lay_out(&r, err) != 0 || add_arms(&r, err) != 0)
        goto out;
    if (ol_devices_open(&r.devices, request, 1, err) != 0)
        goto out;
    describe_config(&r);
    struct ol_plan_request wanted = {
        .model = &r.model,
        .backend = r.devices.backends[0],
        .layout = &r.layout,
        .n_sequences = request->corpus.n_sequences,
        .length = request->corpus.length,
        .last_recorded = r.layout.layers[r.layout.n_layers - 1].number,
        .info = &r.info,
        .perplexity = request->perplexity,
        .summary = request->summary,
        .memory_budget = request->memory,
    };
    plan = ol_plan(&wanted, err);
    if (plan != NULL && ol_output_check(NULL, OL_OUTPUT_STREAM, err) == 0)
        status = ol_json_dump(plan, 1, stdout, "stdout", err);
out:
    ol_json_free(plan);
    clear(&r);
    return status;
}
