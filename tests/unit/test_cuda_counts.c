/* What a layer costs the thread that queues a device's computing, on a simulated device:
 * waits and copies, each of which stops it for as long as the device needs, and what it
 * reserves. The numbers hold whatever a device's speed is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "extract/run/run.h"
#include "tests/cudasim/cudasim.h"
#include "tests/unit/run_folder.h"

/* A run as far as layer `last`, 12 sequences. */
static struct cudasim_counts run(const char *model, int last, enum ol_store store)
{
    struct ol_error err = {0};
    char *path = test_run_path();
    char *folder = ol_xasprintf("tests/golden/models/%s", model);
    char *ids = ol_xasprintf("%s/ids.txt", folder);
    char *layers = ol_xasprintf("0-%d", last);
    const struct ol_texts no_texts = {0};
    const struct ol_run_request request = {
        .model = folder,
        .output = path,
        .command_line = "test",
        .corpus = {.text_files = &no_texts, .ids_file = ids, .text_field = "text"},
        .precision = OL_DTYPE_BF16,
        .sites = {true, true, false, false},
        .layers = layers,
        .store = store,
        .summary = true,
        .threshold = 1.5,
        .backend = OL_BACKEND_CUDA,
        .n_threads = 2,
        .keep_seconds = 1e9,
    };
    unlink(path);
    cudasim_count_begin();
    if (ol_run(&request, &err) != 0)
        fail_msg("%s", err.text);
    const struct cudasim_counts counts = cudasim_counted();
    free(layers);
    free(ids);
    free(folder);
    free(path);
    return counts;
}

/* The bounds of one layer more: of what is waited for, which is what comes back; */
struct bounds {
    long received, launches, products;
};
/* and of bytes sent by this thread: what it tells kernels, no weights, and the rows that
 * are routed once more, rounded. With tensors each site is a copy more, of a block. */
enum { MOST_SENT_BYTES = 48 << 10, SITES = 2 };

static void one_layer_more(const char *model, int last, enum ol_store store,
                           struct bounds most)
{
    const struct cudasim_counts before = run(model, last - 1, store),
                                after = run(model, last, store);
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
    assert_true(received <= most.received + tensors);
    assert_true(waits <= most.received + tensors);
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
     * launch. gpt_oss has a bias for every product of every expert, and learned sinks,
     * whose shares are a copy more. */
    static const struct {
        const char *model;
        struct bounds most;
    } layers[] = {
        {"qwen3_moe", {12, 125, 28}},
        {"deepseek_v3", {12, 145, 36}},
        {"gpt_oss", {18, 190, 22}},
    };
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        one_layer_more(layers[i].model, 2, OL_STORE_NONE, layers[i].most);
        one_layer_more(layers[i].model, 2, OL_STORE_BF16, layers[i].most);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_layer)};
    return cmocka_run_group_tests(tests, test_run_begin, test_run_end);
}
