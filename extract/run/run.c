#include "extract/run/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "common/process.h"
#include "extract/run/session.h"
#include "extract/text/documents.h"
#include "extract/weights/layer_weights.h"

/* What --verbose is for: which model, text, device and memory these are. */
static void tell_details(const struct ol_session *r)
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

static void tell_memory(const struct ol_session *r)
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
static int64_t split_rows(struct ol_session *r, int64_t longest)
{
    const struct ol_corpus *c = &r->corpus;
    const int n = r->devices.n;
    r->n_parts = n < c->n_sequences ? n : (int)c->n_sequences;
    if (r->all.arms.n > 0)
        return r->all.n_rows;
    return ol_data_parallel_most_rows(
        c->lengths, c->n_sequences, ol_memory_block_rows(r->n_rows, longest), r->n_parts);
}

static int plan_memory(struct ol_session *r, struct ol_error *err)
{
    const struct ol_corpus *c = &r->corpus;
    struct ol_memory_need need = {
        .what = {&r->model.spec, &r->layout, r->n_rows, c->n_sequences},
        .n_rows = r->all.n_rows,
        .dtype = r->request->precision,
        .other_bytes = ol_memory_resident(),
    };
    if (r->model.source != NULL)
        ol_memory_count_streamed(&need, r->model.weights, r->request->perplexity);
    /* The stream that an earlier run left is read beside the one it becomes. */
    if (r->request->resume)
        need.other_bytes += r->all.n_rows * ol_spec_stream_width(&r->model.spec) *
                            (int64_t)ol_dtype_size(r->request->precision);
    for (int64_t s = 0; s < c->n_sequences; s++)
        if (c->lengths[s] > need.longest)
            need.longest = c->lengths[s];
    struct ol_product_sizes products =
        ol_spec_products(&r->model.spec, need.n_rows, need.longest);
    products.received = r->layout.summary ? need.longest : 0;
    need.scratch =
        r->devices.backends[0]->op->scratch_bytes(r->devices.backends[0], products);
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

static void begin_recording(struct ol_session *r)
{
    const struct ol_recording_target target = {
        .spec = &r->model.spec,
        .weights = r->model.weights,
        .layout = &r->layout,
        .lengths = r->corpus.lengths,
        .ids = r->ids,
        .dtype = r->request->precision,
        .n_devices = r->n_parts,
        .keep_seconds = r->request->keep_seconds,
    };
    r->recording = ol_recording_new(&target);
}

static void tell_likelihoods(const struct ol_session *r)
{
    int64_t n_nll;
    const double mean_nll = ol_likelihood_mean(r->recording, &n_nll);
    if (n_nll > 0 && isnan(mean_nll))
        ol_note("the perplexity is not known: a token's probability is not a number");
    else if (n_nll > 0)
        ol_note("perplexity %.4f (mean negative log-likelihood %.6f over %" PRId64
                " tokens)",
                exp(mean_nll), mean_nll, n_nll);
    for (int arm = 0; arm < r->layout.n_arms; arm++) {
        int64_t n;
        const double mean = ol_arms_mean_nll(r->recording, arm, &n);
        if (n > 0)
            ol_note("%s: perplexity %.4f (mean negative log-likelihood %.6f over %" PRId64
                    " tokens)",
                    r->layout.arms[arm], exp(mean), mean, n);
    }
}

/* What weights come by, from files or from afar, and what goes into the file. */
static int make_ways(struct ol_session *r, struct ol_data_parallel *passes,
                     struct ol_error *err)
{
    if (r->model.source == NULL)
        r->files = ol_source_files_new(!r->devices.backends[0]->op->reads_files);
    passes->forward.stream =
        ol_stream_new(r->memory.buffers.weight_bytes,
                      r->files != NULL ? r->files : r->model.source, err);
    if (passes->forward.stream == NULL)
        return -1;
    passes->writer =
        ol_writer_new(r->n_parts, (size_t)(r->memory.writer_bytes / r->n_parts), err);
    return passes->writer != NULL ? 0 : -1;
}

static int compute(struct ol_session *r, struct ol_error *err)
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
    if (make_ways(r, &passes, err) != 0)
        goto out;
    ol_observers_extent(&what, &passes.forward);
    ol_forward_cost(&passes.forward, &total, &skipped);
    const struct ol_progress_sources sources = {
        passes.forward.stream, r->devices.backends, r->n_parts, passes.writer};
    passes.progress =
        ol_progress_new(r->all.n_rows, r->model.spec.n_layers, total, skipped, &sources);
    r->heartbeat = ol_heartbeat_new(r->partial_path, passes.progress,
                                    r->request->progress_seconds, err);
    if (r->heartbeat == NULL || ol_data_parallel_run(&passes, err) != 0 ||
        ol_writer_finish(passes.writer, err) != 0)
        goto out;
    ol_progress_finish(passes.progress, &r->receipt);
    tell_likelihoods(r);
    status = 0;
out:
    /* What waits is still worth writing: a resumed run then starts later. */
    if (status != 0 && passes.writer != NULL) {
        struct ol_error ignored = {0};
        ol_writer_finish(passes.writer, &ignored);
    }
    ol_heartbeat_detach(r->heartbeat);
    ol_progress_free(passes.progress);
    ol_writer_free(passes.writer);
    ol_stream_free(passes.forward.stream);
    ol_source_free(r->files);
    return status;
}

/* As it is for whoever reads it from a pipe, harmless on a terminal. */
static void clear(struct ol_session *r)
{
    ol_session_abandon(r);
    ol_heartbeat_free(r->heartbeat);
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
    ol_digests_close(r->digests);
    free(r->digests_path);
    free(r->state_path);
    free(r->partial_path);
    free(r->path);
    free(r->name);
    ol_output_clear(&r->output);
}

/* Say what will be fetched of texts: whether anything will be. */
static bool announce_texts(const struct ol_run_request *request)
{
    return request->corpus.ids_file == NULL &&
           ol_documents_announce(request->corpus.text_files, request->corpus.text_field);
}

/* What a run uses of texts at the Hub into the cache, which its tokens say. That is
 * megabytes, and comes before the gigabytes of a model: what is wrong with it is told at
 * once. */
static int fetch_texts(const struct ol_run_request *request, struct ol_error *err)
{
    struct ol_session r = {.request = request, .done = -1};
    char *directory =
        ol_hub_resolve(request->model, OL_HUB_CONFIG | OL_HUB_TOKENIZER, err);
    const int status =
        directory != NULL ? ol_session_read_corpus(&r, directory, err) : -1;
    free(directory);
    clear(&r);
    return status;
}

int ol_run(const struct ol_run_request *request, struct ol_error *err)
{
    struct ol_session r = {.request = request, .done = -1};
    bool complete = false;
    int status = -1;
    /* Before anything that takes long. */
    if (ol_session_find_output(&r, err) != 0 ||
        ol_devices_open(&r.devices, request, OL_DEVICES_MOST, err) != 0 ||
        (announce_texts(request) && fetch_texts(request, err) != 0) ||
        ol_model_open(&r.model,
                      &(struct ol_model_request){request->model,
                                                 request->corpus.ids_file == NULL,
                                                 request->stream},
                      err) != 0)
        goto out;
    ol_session_tell_length(request, r.model.spec.n_positions);
    if (ol_session_read_corpus(&r, r.model.directory, err) != 0 ||
        ol_session_join_ids(&r, err) != 0 || ol_session_lay_out(&r, err) != 0 ||
        ol_session_add_arms(&r, err) != 0)
        goto out;
    ol_session_name_pieces(&r);
    /* All that is read is known by now. */
    if (ol_session_check_names(&r, err) != 0)
        goto out;
    if (ol_session_describe(&r, err) != 0)
        goto out;
    /* Not needed any more, and large. */
    ol_tokenizer_close(r.tokenizer);
    r.tokenizer = NULL;
    tell_details(&r);
    if (ol_session_look_for_complete(&r, &complete, err) != 0)
        goto out;
    if (complete) {
        ol_note("%s: already complete", r.name);
        ol_session_print_name(&r);
        status = 0;
        goto out;
    }
    if (plan_memory(&r, err) != 0)
        goto out;
    tell_memory(&r);
    begin_recording(&r);
    ol_process_defer_term();
    if (ol_session_open_files(&r, err) == 0 && compute(&r, err) == 0 &&
        ol_session_seal(&r, err) == 0)
        status = 0;
    ol_process_undefer_term();
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
    struct ol_session r = {.request = request, .done = -1};
    struct ol_corpus_request corpus = request->corpus;
    corpus.bos = request->bos_auto;
    /* Ids are printed while texts are read: they must not be added to one of them. */
    for (size_t i = 0; i < corpus.text_files->n; i++)
        ol_infile_expect(corpus.text_files->items[i]);
    if (corpus.ids_file != NULL)
        ol_infile_expect(corpus.ids_file);
    if (ol_output_check(NULL, OL_OUTPUT_STREAM, err) != 0)
        return -1;
    char *directory =
        ol_hub_resolve(request->model, OL_HUB_CONFIG | OL_HUB_TOKENIZER, err);
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
        ol_session_tell_length(request, ol_model_positions(directory));
        status = ol_session_read_corpus(&r, directory, err);
        for (int64_t s = 0; s < r.corpus.n_sequences && status == 0; s++)
            print_ids(&begun, r.corpus.ids + s * r.corpus.n_tokens,
                      (size_t)r.corpus.lengths[s], true);
    }
    free(directory);
    clear(&r);
    return status;
}

/* ---- --download ---- */

int ol_run_download(const struct ol_run_request *request, struct ol_error *err)
{
    if (ol_output_check(NULL, OL_OUTPUT_STREAM, err) != 0)
        return -1;
    announce_texts(request);
    if (request->corpus.text_files->n > 0 && fetch_texts(request, err) != 0)
        return -1;
    char *directory = ol_hub_download(request->model, err);
    if (directory == NULL)
        return -1;
    printf("%s\n", directory);
    free(directory);
    return 0;
}

/* ---- --plan ---- */

/* Whether the devices that are named would bring each other the weights, and why. */
static int plan_sharing(const struct ol_run_request *request, struct ol_plan_request *p,
                        char *why, size_t size, struct ol_error *err)
{
    const struct ol_device_model *d = request->device_model;
    int devices[OL_DEVICES_MOST];
    p->n_named =
        request->devices == NULL ? 1 : ol_devices_parse(request->devices, devices, err);
    p->shares_because = why;
    if (p->n_named < 2)
        return p->n_named < 1 ? -1 : 0;
    if (d == NULL) {
        const int near = ol_cuda_are_near(devices, p->n_named, why, size, err);
        p->shares = near > 0;
        return near < 0 ? -1 : 0;
    }
    p->n_devices = p->n_named;
    p->shares = d->peer_bytes_per_second > d->link_bytes_per_second;
    if (d->peer_bytes_per_second > 0)
        snprintf(why, size,
                 "of %s, from other devices %.0f GB/s, from the host %.0f GB/s", d->name,
                 d->peer_bytes_per_second * 1e-9, d->link_bytes_per_second * 1e-9);
    else
        snprintf(why, size, "%s has no links to other devices", d->name);
    return 0;
}

int ol_run_plan(const struct ol_run_request *request, struct ol_error *err)
{
    struct ol_session r = {.request = request, .done = -1};
    struct ol_json *plan = NULL;
    int status = -1;
    char why[200] = "";
    if (ol_model_open_config(&r.model, request->model, err) != 0)
        goto out;
    int64_t first;
    if (ol_part_sequences(&request->part, request->corpus.n_sequences, &first,
                          &r.corpus.n_sequences, err) != 0)
        goto out;
    ol_session_tell_length(request, r.model.spec.n_positions);
    r.corpus.n_tokens = ol_session_length(request, r.model.spec.n_positions);
    if (ol_session_lay_out(&r, err) != 0 || ol_session_add_arms(&r, err) != 0)
        goto out;
    /* Of the device that is here one is enough to measure. */
    if (request->device_model == NULL &&
        ol_devices_open(&r.devices, request, 1, err) != 0)
        goto out;
    ol_session_describe_plan(&r);
    struct ol_plan_request wanted = {
        .model = &r.model,
        .backend = r.devices.backends[0],
        .device = request->device_model,
        .n_devices = 1,
        .dtype = request->precision,
        .layout = &r.layout,
        .n_sequences = r.corpus.n_sequences,
        .length = r.corpus.n_tokens,
        .last_recorded = r.layout.layers[r.layout.n_layers - 1].number,
        .info = &r.info,
        .perplexity = request->perplexity,
        .summary = request->summary,
        .memory_budget = request->memory,
    };
    if (plan_sharing(request, &wanted, why, sizeof why, err) != 0)
        goto out;
    plan = ol_plan(&wanted, err);
    if (plan != NULL && ol_output_check(NULL, OL_OUTPUT_STREAM, err) == 0)
        status = ol_json_dump(plan, 1, stdout, "stdout", err);
out:
    ol_json_free(plan);
    clear(&r);
    return status;
}
