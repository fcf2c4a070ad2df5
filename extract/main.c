/* ol-extract: command line to request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/options.h"
#include "common/process.h"
#include "extract/cpu/gemm.h"
#include "extract/cpu/gemm_bf16.h"
#include "extract/intervene/intervention.h"
#include "extract/run/device_model.h"
#include "extract/run/devices.h"
#include "extract/run/heartbeat.h"
#include "extract/run/run.h"

enum { DEFAULT_SEQUENCES = 16, DEFAULT_LENGTH = 2048 };

struct command {
    struct ol_run_request request;
    struct ol_texts texts;
    int64_t n_sequences, length, n_threads;
    int windowing, bos, precision, backend, store;
    const char *sites, *part, *status, *device_model;
    struct ol_device_model device;
    bool json, tokenize, plan, download, no_summaries;
};

static void print_versions(void)
{
    const char *cuda = ol_cuda_libraries();
    const struct ol_gemm_bf16_kind *halves = ol_gemm_bf16_kind();
    printf("products: %s%s%s\ndevices: CPU%s%s\n", ol_gemm_kind()->name,
           halves != NULL ? ", " : "", halves != NULL ? halves->name : "",
           cuda != NULL ? ", " : " (built without CUDA)", cuda != NULL ? cuda : "");
}

/* LIST of site names, separated by commas. */
static int parse_sites(const char *list, bool sites[OL_N_SITES])
{
    char *copy = ol_xstrdup(list), *rest = copy;
    int status = 0;
    for (char *word; status == 0 && (word = strsep(&rest, ",")) != NULL;) {
        int site = 0;
        while (site < OL_N_SITES && strcmp(ol_site_name((enum ol_site)site), word) != 0)
            site++;
        if (site == OL_N_SITES)
            status = ol_usage_error("--sites: '%s' is not one of ln_attn, ln_mlp, "
                                    "residual_attn, residual_mlp",
                                    word);
        else
            sites[site] = true;
    }
    free(copy);
    return status;
}

static int parse(struct command *c, int argc, char **argv, struct ol_texts *operands,
                 enum ol_options_result *result)
{
    static const char *const windowings[] = {"contiguous", "reference", NULL};
    static const char *const bos[] = {"auto", "none", NULL};
    static const char *const precisions[] = {"bf16", "f32", NULL};
    static const char *const backends[] = {"auto", "cpu", "cuda", NULL};
    static const char *const stores[] = {"bf16", "f32", "none", NULL};
    struct ol_run_request *r = &c->request;
    const struct ol_option options[] = {
        {'o', "output", OL_OPTION_FILE, &r->output, "FILE",
         "activation file (default: NAME.h5); its name is\nprinted on stdout when it is "
         "complete",
         0, 0, NULL},
        {'t', "text", OL_OPTION_TEXTS, &c->texts, "TEXT",
         "a file: plain text or lines of JSON, also gzip or zstd,\nor "
         "FILE.parquet[#COLUMN]; - is stdin; at the Hub:\nfineweb-edu, or "
         "hf://datasets/ORG/NAME[@REVISION]/PATH\n[#COLUMN]; repeatable",
         0, 0, NULL},
        {0, "text-field", OL_OPTION_TEXT, &r->corpus.text_field, "KEY",
         "lines are JSON with the text under KEY (default: text,\nin .jsonl, .ndjson and "
         ".json files); like data.text;\nof Parquet the column",
         0, 0, NULL},
        {0, "ids", OL_OPTION_FILE, &r->corpus.ids_file, "FILE",
         "token ids instead of text: one sequence per line", 0, 0, NULL},
        {'n', "sequences", OL_OPTION_INT, &c->n_sequences, "N",
         "sequences (default: 16; with --ids what it holds)", 1, 1e9, NULL},
        {'l', "length", OL_OPTION_INT, &c->length, "L",
         "tokens per sequence (default: 2048)", 1, 1e9, NULL},
        {0, "part", OL_OPTION_TEXT, &c->part, "I/P",
         "the I-th of P parts of the run's sequences, like 1/4,\nin a file of its own, "
         "NAME.part-1-of-4.h5; ol-analyze\ntakes all of them as one run",
         0, 0, NULL},
        {0, "windowing", OL_OPTION_CHOICE, &c->windowing, "MODE",
         "contiguous (default) or reference", 0, 0, windowings},
        {0, "bos", OL_OPTION_CHOICE, &c->bos, "MODE",
         "auto (default): begin sequences as the tokenizer\ndoes; none", 0, 0, bos},
        {0, "precision", OL_OPTION_CHOICE, &c->precision, "P",
         "bf16 (default): round where the reference models\nround; f32: exact", 0, 0,
         precisions},
        {0, "backend", OL_OPTION_CHOICE, &c->backend, "B", "auto (default), cpu or cuda",
         0, 0, backends},
        {0, "devices", OL_OPTION_TEXT, &r->devices, "LIST",
         "CUDA devices to run on, counted from 0, like 0,1\n(default: 0)", 0, 0, NULL},
        {0, "threads", OL_OPTION_INT, &c->n_threads, "N",
         "default: as many as processors", 1, 4096, NULL},
        {0, "memory", OL_OPTION_SIZE, &r->memory, "SIZE",
         "memory to use, like 8G: of the device with CUDA, else\nRAM (default: what is "
         "free, less a reserve)",
         1 << 20, 1e18, NULL},
        {0, "layers", OL_OPTION_TEXT, &r->layers, "LIST",
         "layers to record, like 0-7,12 (default: all)", 0, 0, NULL},
        {0, "sites", OL_OPTION_TEXT, &c->sites, "LIST",
         "of ln_attn, ln_mlp, residual_attn, residual_mlp\n(default: ln_attn,ln_mlp)", 0,
         0, NULL},
        {0, "store", OL_OPTION_CHOICE, &c->store, "MODE",
         "bf16 (default), f32, or none: no tensors", 0, 0, stores},
        {0, "no-summaries", OL_OPTION_FLAG, &c->no_summaries, NULL,
         "do not make the statistics that most of ol-analyze\nneeds (histograms, "
         "largest values, who wrote them)",
         0, 0, NULL},
        {0, "imatrix", OL_OPTION_FLAG, &r->imatrix, NULL,
         "sum up the squares of products' inputs, for\nol-analyze --imatrix", 0, 0, NULL},
        {0, "threshold", OL_OPTION_REAL, &r->threshold, "X",
         "magnitude of an occurrence in summaries\n(default: 6.0)", 0, 0, NULL},
        {0, "perplexity", OL_OPTION_FLAG, &r->perplexity, NULL,
         "run to the logits and store each token's negative\nlog-likelihood", 0, 0, NULL},
        {0, "ablate", OL_OPTION_TEXTS, &r->ablate, "ARM",
         "run the sequences once more with a change, and record\ntheir likelihoods and "
         "outliers; repeatable, each ARM of\nzero:DIMENSION[,...], mean:DIMENSION[,...],"
         "\ndrop:LAYER.EXPERT[,...], first, or several joined by +",
         0, 0, NULL},
        {0, "ablate-from", OL_OPTION_FILE, &r->ablate_from, "RESULTS",
         "arms of what ol-analyze found: the massive dimensions\nat zero, at their mean, "
         "and without the super experts",
         0, 0, NULL},
        {0, "tokenize", OL_OPTION_FLAG, &c->tokenize, NULL,
         "print the token ids in the format of --ids and stop;\nwithout -n and -l: all, "
         "one line per document",
         0, 0, NULL},
        {0, "plan", OL_OPTION_FLAG, &c->plan, NULL,
         "print what the run would need, and the model's layers,\nas JSON and stop; "
         "MODEL "
         "may be a config.json alone",
         0, 0, NULL},
        {0, "device-model", OL_OPTION_TEXT, &c->device_model, "DEVICE",
         "with --plan: of a CUDA device that is not here, by name\n(h200, a100, rtx4090, "
         "...) or by numbers, like\nmemory=24G,link=25G,bandwidth=900G,bf16=165T",
         0, 0, NULL},
        {0, "download", OL_OPTION_FLAG, &c->download, NULL,
         "fetch MODEL, and what a run uses of a --text that is\nthere, from the Hub into "
         "its local cache, print the\ndirectory, and stop",
         0, 0, NULL},
        {0, "stream", OL_OPTION_FLAG, &r->stream, NULL,
         "run MODEL from the Hub without keeping it: of its weights\nonly what is used "
         "is fetched, when it is used",
         0, 0, NULL},
        {0, "status", OL_OPTION_FILE, &c->status, "FILE",
         "say how far the run is that makes FILE.partial, on\nwhatever machine, and "
         "stop; "
         "needs no MODEL",
         0, 0, NULL},
        {0, "json", OL_OPTION_FLAG, &c->json, NULL, "with --status: as JSON", 0, 0, NULL},
        {0, "progress", OL_OPTION_REAL, &r->progress_seconds, "SECONDS",
         "how often progress is told where stderr is no\nterminal (default: 60; 0: "
         "never)",
         0, 1e9, NULL},
        {0, "keep-every", OL_OPTION_REAL, &r->keep_seconds, "SECONDS",
         "how often the states of a run under way are kept\nfor --resume (default: 20; "
         "0: "
         "after every layer)",
         0, 1e9, NULL},
        {0, "tmpdir", OL_OPTION_FILE, &r->tmpdir, "FOLDER",
         "keep these states there, on a faster disk, and not\nbeside the file", 0, 0,
         NULL},
        {0, "resume", OL_OPTION_FLAG, &r->resume, NULL,
         "go on with an unfinished run of the same command", 0, 0, NULL},
        {0},
    };
    const struct ol_tool tool = {
        .name = "ol-extract",
        .usage = "[options] MODEL",
        .summary =
            "Run MODEL over a text and record activations.\n"
            "MODEL is a directory with config.json and *.safetensors, or a name "
            "at the Hub,\norg/name[@revision], which is downloaded unless it is in "
            "the local cache.",
        .options = options,
        .print_versions = print_versions,
    };
    *result = ol_options_parse(&tool, argc, argv, operands);
    return *result == OL_OPTIONS_RUN ? 0 : -1;
}

static int check_devices(const struct ol_run_request *r)
{
    int devices[OL_DEVICES_MOST];
    struct ol_error err = {0};
    if (r->devices == NULL)
        return 0;
    if (r->backend == OL_BACKEND_CPU)
        return ol_usage_error("--devices names CUDA devices, --backend is cpu");
    return ol_devices_parse(r->devices, devices, &err) > 0
               ? 0
               : ol_usage_error("%s", err.text);
}

static int check_tokens(const struct ol_run_request *r)
{
    const int64_t n = r->corpus.n_sequences, length = r->corpus.length;
    return n == 0 || length <= OL_MOST_TOKENS / n
               ? 0
               : ol_usage_error("%lld sequences of %lld tokens (-n, -l): a run has at "
                                "most %d tokens",
                                (long long)n, (long long)length, OL_MOST_TOKENS);
}

static int check_device_model(struct command *c)
{
    struct ol_error err = {0};
    if (c->device_model == NULL)
        return 0;
    if (!c->plan)
        return ol_usage_error("--device-model is of --plan");
    if (c->request.backend == OL_BACKEND_CPU)
        return ol_usage_error("--device-model is a CUDA device, --backend is cpu");
    c->request.device_model = &c->device;
    return ol_device_model_parse(c->device_model, &c->device, &err) == 0
               ? 0
               : ol_usage_error("%s", err.text);
}

/* Which of the run's sequences; 0, or the exit status of a usage error. */
static int check_part(struct command *c)
{
    struct ol_error err = {0};
    if (c->part == NULL)
        return 0;
    if (ol_part_parse(c->part, &c->request.part, &err) != 0)
        return ol_usage_error("%s", err.text);
    if (c->tokenize && c->n_sequences == 0 && c->length == 0 &&
        c->request.corpus.ids_file == NULL)
        return ol_usage_error(
            "--tokenize of all documents has no --part: give -n and -l");
    return 0;
}

/* What is asked for in place of a run. */
static int check_instead(const struct command *c)
{
    const struct ol_run_request *r = &c->request;
    const int n = c->plan + c->tokenize + c->download;
    const char *instead = c->plan ? "--plan" : c->tokenize ? "--tokenize" : "--download";
    if (n > 1)
        return ol_usage_error("%s and %s exclude each other", instead,
                              c->download ? "--download" : "--tokenize");
    if (r->stream && n > 0)
        return ol_usage_error("--stream is of a run: %s does not go with it", instead);
    if (c->download && r->corpus.ids_file != NULL)
        return ol_usage_error("--download takes no ids: they are here");
    if (r->output != NULL && n > 0)
        return ol_usage_error("--output names an activation file; %s writes to standard "
                              "output",
                              instead);
    return 0;
}

/* Options that do not go together; 0, or the exit status of a usage error. */
static int check(struct command *c, const struct ol_texts *operands)
{
    struct ol_run_request *r = &c->request;
    if (c->json && c->status == NULL)
        return ol_usage_error("--json is of --status");
    if (c->status != NULL)
        return operands->n == 0 ? 0
                                : ol_usage_error("--status %s needs no MODEL", c->status);
    if (operands->n != 1)
        return ol_usage_error(operands->n == 0 ? "MODEL is missing"
                                               : "more than one MODEL");
    if (r->output != NULL && strcmp(r->output, "-") == 0)
        return ol_usage_error("--output -: an activation file is no stream");
    if (check_instead(c) != 0)
        return 2;
    if (!c->plan && !c->download && (c->texts.n > 0) == (r->corpus.ids_file != NULL))
        return ol_usage_error(c->texts.n > 0 ? "--text and --ids exclude each other"
                                             : "a text is missing: give --text or --ids");
    if (!(r->threshold > 0))
        return ol_usage_error("--threshold must be greater than 0");
    r->summary = !c->no_summaries;
    for (size_t i = 0; i < c->texts.n; i++)
        if (c->texts.items[i][0] == '\0')
            return ol_usage_error("--text: the name is empty");
    for (size_t i = 0; i < r->ablate.n; i++) {
        struct ol_error err = {0};
        if (ol_arm_check(r->ablate.items[i], &err) != 0)
            return ol_usage_error("--ablate %s: %s", r->ablate.items[i], err.text);
    }
    const bool ablates = r->ablate.n > 0 || r->ablate_from != NULL;
    if (ablates && c->no_summaries)
        return ol_usage_error("--ablate needs the summaries");
    r->perplexity |= ablates;
    if (r->imatrix && c->no_summaries)
        return ol_usage_error("--imatrix needs the summaries");
    r->model = operands->items[0];
    r->corpus.text_files = &c->texts;
    const bool ids = r->corpus.ids_file != NULL && !c->plan;
    const bool whole = c->tokenize && c->n_sequences == 0 && c->length == 0;
    r->corpus.n_sequences =
        c->n_sequences > 0 || ids || whole ? c->n_sequences : DEFAULT_SEQUENCES;
    r->usual_length = c->length == 0 && !ids && !whole;
    r->corpus.length = r->usual_length ? DEFAULT_LENGTH : c->length;
    r->corpus.windowing =
        c->windowing == 1 ? OL_WINDOWING_REFERENCE : OL_WINDOWING_CONTIGUOUS;
    r->bos_auto = c->bos == 0;
    r->precision = c->precision == 1 ? OL_DTYPE_F32 : OL_DTYPE_BF16;
    r->store = (enum ol_store)c->store;
    r->backend = (enum ol_backend_kind)c->backend;
    r->n_threads = (int)c->n_threads;
    if (r->layers != NULL && ol_ranges_parse(r->layers, NULL, NULL) != 0)
        return ol_usage_error("--layers %s: expected numbers and rising ranges like "
                              "0-7,12",
                              r->layers);
    if (check_devices(r) != 0 || check_device_model(c) != 0 || check_tokens(r) != 0 ||
        check_part(c) != 0)
        return 2;
    const int status =
        parse_sites(c->sites != NULL ? c->sites : "ln_attn,ln_mlp", r->sites);
    if (status == 0 && r->imatrix &&
        !(r->sites[OL_SITE_LN_ATTN] && r->sites[OL_SITE_LN_MLP]))
        return ol_usage_error("--imatrix needs both ln_attn and ln_mlp among --sites");
    return status;
}

int main(int argc, char **argv)
{
    ol_process_begin();
    struct command command = {
        .request = {.threshold = 6.0, .keep_seconds = 20, .progress_seconds = 60}};
    struct ol_texts operands = {0};
    struct ol_error err = {0};
    enum ol_options_result result;
    int status = 2;
    char *command_line = ol_command_line(argc, argv);
    command.request.command_line = command_line;
    if (parse(&command, argc, argv, &operands, &result) != 0) {
        status = ol_options_status(result);
        goto out;
    }
    status = check(&command, &operands);
    if (status != 0)
        goto out;
    const int done = command.status != NULL
                         ? ol_heartbeat_tell(command.status, command.json, &err)
                     : command.tokenize ? ol_run_tokenize(&command.request, &err)
                     : command.plan     ? ol_run_plan(&command.request, &err)
                     : command.download ? ol_run_download(&command.request, &err)
                                        : ol_run(&command.request, &err);
    if (done != 0 || ol_stdout_close(&err) != 0) {
        ol_warn("%s", err.text);
        status = 1;
        if (ol_process_term_came())
            ol_process_end_by_term();
    }
out:
    ol_texts_free(&command.texts);
    ol_texts_free(&command.request.ablate);
    ol_texts_free(&operands);
    free(command_line);
    return status;
}
