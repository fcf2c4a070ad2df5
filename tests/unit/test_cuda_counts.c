/* What a layer costs the thread that queues a device's computing, on simulated devices:
 * waits and copies, each of which stops it for as long as the device needs, and what it
 * reserves. The numbers hold whatever a device's speed is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "extract/run/model.h"
#include "extract/run/run.h"
#include "tests/cudasim/cudasim.h"
#include "tests/unit/checkpoint_maker.h"
#include "tests/unit/run_folder.h"

#define MODELS "tests/golden/models"

struct asked {
    const char *folder, *ids; /* of the model; a file */
    const char *devices;
    int last; /* layer */
    enum ol_store store;
    double threshold;
    bool imatrix;
    const char *arms[2];
};

static struct cudasim_counts run(const struct asked *asked)
{
    struct ol_error err = {0};
    char *path = test_run_path();
    char *layers = ol_xasprintf("0-%d", asked->last);
    const struct ol_texts no_texts = {0};
    struct ol_texts arms = {0};
    for (int i = 0; i < 2 && asked->arms[i] != NULL; i++)
        ol_texts_append(&arms, asked->arms[i]);
    const struct ol_run_request request = {
        .model = asked->folder,
        .output = path,
        .command_line = "test",
        .corpus = {.text_files = &no_texts, .ids_file = asked->ids, .text_field = "text"},
        .precision = OL_DTYPE_BF16,
        .sites = {true, true, false, false},
        .layers = layers,
        .store = asked->store,
        .summary = true,
        .threshold = asked->threshold,
        .imatrix = asked->imatrix,
        .ablate = arms,
        .backend = OL_BACKEND_CUDA,
        .devices = asked->devices,
        .n_threads = 2,
        .keep_seconds = 1e9,
    };
    unlink(path);
    cudasim_count_begin();
    if (ol_run(&request, &err) != 0)
        fail_msg("%s: %s", asked->folder, err.text);
    const struct cudasim_counts counts = cudasim_counted();
    ol_texts_free(&arms);
    free(layers);
    free(path);
    return counts;
}

/* A run as far as layer `last` of a golden model, 12 sequences. Of their values some are
 * occurrences, in no sequence a quarter of them: else its rows are looked at again, which
 * is a copy more. */
static struct cudasim_counts golden(const char *model, int last, enum ol_store store,
                                    const struct asked *more)
{
    char *folder = ol_xasprintf(MODELS "/%s", model);
    char *ids = ol_xasprintf("%s/ids.txt", folder);
    struct asked asked = more != NULL ? *more : (struct asked){0};
    asked.folder = folder;
    asked.ids = ids;
    asked.last = last;
    asked.store = store;
    asked.threshold = 2.5;
    const struct cudasim_counts counts = run(&asked);
    free(ids);
    free(folder);
    return counts;
}

/* What comes back of a layer, whatever it is: digests of what goes into its mixer, before
 * other rows take their place; of what goes into its MLP, where there is a router with
 * the choices, which the host needs to know whose weights are sent; and all that the
 * layer comes to, while the next one is computed. */
enum { DOWNLOADS = 3 };

/* Bytes sent by this thread: what it tells kernels, no weights. With tensors each site is
 * a copy more, of a block. */
enum { MOST_SENT_BYTES = 16 << 10, SITES = 2 };

struct bounds {
    long launches, products;
};

static void one_layer_more(const char *model, int last, enum ol_store store,
                           struct bounds most)
{
    const struct cudasim_counts before = golden(model, last - 1, store, NULL),
                                after = golden(model, last, store, NULL);
    const long waits = after.waits - before.waits,
               launches = after.launches - before.launches,
               products = after.products - before.products,
               received = after.received - before.received,
               allocations = after.allocations - before.allocations,
               tensors = store == OL_STORE_NONE ? 0 : SITES;
    const long long sent = after.sent_bytes - before.sent_bytes;
    print_message("%s, layer %d: %ld waits, %ld launches, %ld products, %ld copies of "
                  "%lld bytes sent, "
                  "%ld of %lld received, %ld allocations; by all threads %ld copies of "
                  "%lld bytes sent\n",
                  model, last, waits, launches, products, after.sent - before.sent, sent,
                  received, after.received_bytes - before.received_bytes, allocations,
                  after.carried - before.carried,
                  after.carried_bytes - before.carried_bytes);
    assert_true(received <= DOWNLOADS + tensors);
    assert_true(waits <= DOWNLOADS + tensors);
    assert_true(launches <= most.launches);
    assert_true(products <= most.products);
    /* Rows that are still being written keep their memory: then others are pinned. */
    assert_true(allocations <= tensors);
    assert_true(sent <= MOST_SENT_BYTES);
}

static void a_layer(void **state)
{
    (void)state;
    /* Of 12 sequences, all of one block: digests of a site are one copy, attention one
     * launch. gpt_oss has a bias for every product of every expert, and learned sinks. */
    static const struct {
        const char *model;
        struct bounds most;
    } layers[] = {
        {"qwen3_moe", {125, 28}},
        {"deepseek_v3", {145, 36}},
        {"gpt_oss", {190, 22}},
    };
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        one_layer_more(layers[i].model, 2, OL_STORE_NONE, layers[i].most);
        if (i == 0)
            one_layer_more(layers[i].model, 2, OL_STORE_BF16, layers[i].most);
    }
}

/* Sums of the squares of products' inputs, and arms of an ablation, come back with the
 * rest of a layer; of arms the head's likelihoods too. What an arm sets to the mean of a
 * dimension the host asks for: after the embedding, and twice a layer. */
static void also_asked(void **state)
{
    (void)state;
    enum { GOLDEN_LAYERS = 3, HEAD = 1, MEANS = 1 + 2 * GOLDEN_LAYERS };
    static const struct {
        const char *model;
        struct asked asked;
        long more;
    } cases[] = {
        {"qwen3_moe", {.imatrix = true, .arms = {"zero:1", "drop:2.0"}}, HEAD},
        {"deepseek_v3", {.imatrix = true}, 0},
        {"mixtral", {.arms = {"mean:1"}}, HEAD + MEANS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *model = cases[i].model;
        const int last = GOLDEN_LAYERS - 1;
        const struct cudasim_counts plain = golden(model, last, OL_STORE_NONE, NULL),
                                    counts = golden(model, last, OL_STORE_NONE,
                                                    &cases[i].asked);
        print_message("%s: %ld waits, %ld copies received in %d layers, without what is "
                      "asked %ld and %ld\n",
                      model, counts.waits, counts.received, GOLDEN_LAYERS, plain.waits,
                      plain.received);
        assert_true(counts.received <= GOLDEN_LAYERS * DOWNLOADS + cases[i].more);
        /* A device is waited for when it is closed, too. */
        assert_true(counts.waits - counts.received <= plain.waits - plain.received);
    }
}

/* ---- Qwen3-30B-A3B's shape cut down, on one device and on two ---- */

enum {
    N_LAYERS = 4,
    N_SEQUENCES = 12,
    N_EXPERTS = 16,
    D = 64,
    D_EXPERT = 128,
    /* Of a layer: pairs of rows and experts, several times over, and rows that are routed
     * once more in every format; a quarter of its weights. */
    SENT_BYTES = 192 << 10,
};

/* The program that makes checkpoints stands beside the tests. */
static void make_model(const char *folder)
{
    static const char *const config =
        "{\"model_type\": \"qwen3_moe\", \"architectures\": [\"Qwen3MoeForCausalLM\"],"
        " \"hidden_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": 4,"
        " \"num_key_value_heads\": 2, \"head_dim\": 16, \"intermediate_size\": 96,"
        " \"moe_intermediate_size\": %d, \"num_experts\": %d,"
        " \"num_experts_per_tok\": 4, \"norm_topk_prob\": true, \"vocab_size\": 512,"
        " \"rms_norm_eps\": 1e-06, \"rope_theta\": 1000000.0,"
        " \"max_position_embeddings\": 4096, \"hidden_act\": \"silu\","
        " \"tie_word_embeddings\": false, \"decoder_sparse_step\": 1,"
        " \"mlp_only_layers\": [], \"attention_bias\": false,"
        " \"torch_dtype\": \"bfloat16\"}";
    char *text = ol_xasprintf(config, D, N_LAYERS, D_EXPERT, N_EXPERTS);
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    char *command =
        ol_xasprintf("'%s/../make_checkpoint' '%s/shape.json' '%s/model' >/dev/null",
                     self, folder, folder);
    write_text(folder, "shape.json", text);
    if (system(command) != 0)
        fail_msg("%s", command);
    free(command);
    free(text);
}

/* Sequences of 5 to 16 tokens. */
static void make_ids(const char *folder)
{
    FILE *file = create_file(folder, "ids");
    for (int s = 0; s < N_SEQUENCES; s++)
        for (int t = 0, n = 5 + s; t < n; t++)
            fprintf(file, "%d%c", (s * 131 + t * t * 17 + t) % 512,
                    t == n - 1 ? '\n' : ' ');
    fclose(file);
}

static void on_devices(const char *folder, int n, enum cudasim_peers peers)
{
    char *model = ol_xasprintf("%s/model", folder), *ids = ol_xasprintf("%s/ids", folder);
    struct asked asked = {.folder = model,
                          .ids = ids,
                          .devices = n == 1 ? "0" : "0,1",
                          .store = OL_STORE_NONE,
                          .threshold = 6};
    const long more = N_LAYERS - 1;
    const long long weights =
        more * N_EXPERTS * 3 * D * D_EXPERT * (long long)sizeof(uint16_t);
    cudasim_reset();
    cudasim_set_devices(n, (size_t)1 << 30);
    cudasim_set_peers(peers);
    const struct cudasim_counts first = run(&asked);
    asked.last = N_LAYERS - 1;
    const struct cudasim_counts all = run(&asked);
    long long control = 0;
    for (int d = 0; d < n; d++) {
        const struct cudasim_control *before = &first.control[d],
                                     *after = &all.control[d];
        const long received = after->received - before->received,
                   waits = after->waits - before->waits;
        print_message("device %d of %d: %ld downloads, %ld waits, %lld bytes sent by who "
                      "queues, in %ld layers\n",
                      d, n, received, waits, after->sent_bytes - before->sent_bytes,
                      more);
        assert_true(received > 0 && received <= more * DOWNLOADS);
        assert_true(waits <= more * DOWNLOADS);
        assert_true(after->sent_bytes - before->sent_bytes <= more * SENT_BYTES);
        control += after->sent_bytes - before->sent_bytes;
    }
    /* The weights were sent, and none of them by who queues. */
    assert_true(all.carried_bytes - first.carried_bytes - control >= weights);
    assert_true(all.allocations == first.allocations);
    free(ids);
    free(model);
}

static void layers_of_qwen3(void **state)
{
    (void)state;
    char *folder = make_directory();
    make_model(folder);
    make_ids(folder);
    on_devices(folder, 1, CUDASIM_APART);
    on_devices(folder, 2, CUDASIM_APART);
    on_devices(folder, 2, CUDASIM_NEAR);
    cudasim_reset();
    remove_directory(folder);
}

/* ---- every family ---- */

/* A sequence of the first tokens of a file: the counts are those of a block, however many
 * tokens are in it. */
static void copy_tokens(const char *folder, const char *from, int n)
{
    int id;
    FILE *in = fopen(from, "r"), *out = create_file(folder, "ids");
    assert_non_null(in);
    for (; n > 0 && fscanf(in, "%d", &id) == 1; n--)
        fprintf(out, "%d%c", id, n > 1 ? ' ' : '\n');
    assert_int_equal(n, 0);
    fclose(out);
    fclose(in);
}

static void one_family(const char *folder, const char *family)
{
    struct ol_error err = {0};
    struct ol_model m = {0};
    char *model = ol_xasprintf(MODELS "/%s", family),
         *all = ol_xasprintf("%s/ids.txt", model), *ids = ol_xasprintf("%s/ids", folder);
    if (ol_model_open_config(&m, model, &err) != 0)
        fail_msg("%s", err.text);
    const int n_layers = m.spec.n_layers;
    ol_model_clear(&m);
    copy_tokens(folder, all, 10);
    const struct asked asked = {.folder = model,
                                .ids = ids,
                                .last = n_layers - 1,
                                .store = OL_STORE_NONE,
                                .threshold = 1000};
    const struct cudasim_counts counts = run(&asked);
    print_message("%s: %ld downloads and %ld waits in %d layers\n", family,
                  counts.received, counts.waits, n_layers);
    assert_true(counts.received <= n_layers * DOWNLOADS);
    free(ids);
    free(all);
    free(model);
}

static void families(void **state)
{
    (void)state;
    char *folder = make_directory();
    struct dirent **found;
    const int n = scandir(MODELS, &found, NULL, alphasort);
    int n_families = 0;
    for (int i = 0; i < n; i++) {
        /* Behind a dash stands what another model of the family has. */
        if (strpbrk(found[i]->d_name, ".-") == NULL) {
            one_family(folder, found[i]->d_name);
            n_families++;
        }
        free(found[i]);
    }
    free(found);
    assert_true(n_families >= 30);
    remove_directory(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer),
        cmocka_unit_test(also_asked),
        cmocka_unit_test(layers_of_qwen3),
        cmocka_unit_test(families),
    };
    const char *only = getenv("OL_TEST_FILTER");
    if (only != NULL && only[0] != '\0')
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, test_run_begin, test_run_end);
}
