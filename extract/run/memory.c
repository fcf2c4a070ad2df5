#include "extract/run/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cgroup.h"
#include "common/unbuffered.h"
#include "extract/backend.h"
#include "extract/forward/experts.h"
#include "extract/forward/mixer/mixer.h"
#include "extract/weights/layer_weights.h"

#define MIB ((int64_t)1 << 20)

enum {
    /* Of whole sequences. Not cut to the budget: where a block of products begins may
     * show in the last bits of float ones, and a budget is not to. */
    BLOCK_ROWS = 2048,
    MOST_DENSE_ROWS = 4096,
    MOST_GROUP_ROWS = 8192,
    /* A device gets as many as fit: for each group the host has something to do. */
    MOST_DEVICE_GROUP_ROWS = MOST_GROUP_ROWS << 4,
    MOST_WRITER_MIB = 256,
    LEAST_WRITER_MIB = 16,
    LEAST_WEIGHT_MIB = 256,
    /* Every level halves the buffers, down to OL_PRODUCT_ROWS; of a device first the
     * groups alone. */
    LEVELS = 5,
    DEVICE_LEVELS = LEVELS + 4,
    /* For people: sizes are refused and suggested in steps of this. */
    STEP_MIB = 16,
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Tensors, where they are; and what is on the host whatever the backend. */
static void add_up(const struct ol_memory_need *need, struct ol_memory_plan *plan)
{
    const struct ol_spec *spec = need->what.spec;
    const int64_t size = (int64_t)ol_dtype_size(need->dtype), d = spec->d_model;
    const bool moe = spec->router.n_experts > 0;
    const struct ol_mixer_sizes mixers = ol_mixer_sizes(spec, need->longest);
    const int64_t n = spec->connection.n_streams;
    const int64_t stream = (ol_spec_has_apart(spec) ? 3 : 2) * need->part_rows * d * size,
                  streams = need->part_rows *
                            (n * d * size + (n + n * n) * (int64_t)sizeof(float));
    const int64_t sums = moe ? need->part_rows * d * (int64_t)sizeof(float) : 0;
    /* Ids and weights of the chosen experts, twice over for the writer, the permutation.
     */
    const int64_t tables = need->n_rows * (16 + (int64_t)spec->router.top_k * 20);
    const int64_t logits =
        need->part_rows * spec->router.n_experts * (int64_t)sizeof(float);
    const int64_t blocks =
        plan->buffers.block_rows * ((mixers.width + d) * size + mixers.float_bytes);
    const int64_t d_ff = ol_spec_widest_d_ff(spec);
    const int dense_widths = spec->names[OL_ROLE_GATE_UP] != NULL ? 4 : 2;
    const int64_t dense =
        d_ff > 0 ? plan->buffers.dense_rows * (dense_widths * d_ff + d) * size : 0;
    const int64_t experts = moe ? ol_experts_buffer_bytes(spec, plan->buffers.group_rows,
                                                          need->part_rows, size)
                                : 0;
    const int64_t kept =
        need->part_rows * (mixers.chosen_bytes + mixers.kept * size) +
        mixers.score_bytes +
        ol_forward_input_bytes(spec, need->part_rows, plan->buffers.block_rows, size);
    /* One piece may wait however large: the stream itself after a layer. */
    const int64_t states = need->n_rows * ol_spec_stream_width(spec) * size;
    const int64_t writer =
        plan->writer_bytes + OL_UNBUFFERED_BYTES + (need->n_parts > 1 ? 2 : 1) * states;
    const int64_t observers = ol_observers_bytes(&need->what);
    struct ol_observed part = need->what;
    part.n_rows = need->part_rows;
    const bool device = need->device_bytes > 0;
    plan->buffers.result_bytes = device
                                     ? ol_observers_result_bytes(&part) +
                                           ol_experts_result_bytes(spec, need->part_rows)
                                     : 0;
    const int64_t results = OL_RESULT_BATCHES * plan->buffers.result_bytes;
    const int64_t tensors = need->scratch.tensors + results + stream + streams + sums +
                            logits + blocks + dense + experts + mixers.rope_bytes + kept +
                            ol_observers_backend_bytes(&part);
    const int64_t downloads =
        need->n_parts * (OL_DOWNLOADS * plan->buffers.block_rows * d * size + results);
    plan->device = device ? tensors : 0;
    plan->total = need->other_bytes + observers + tables + writer +
                  need->n_parts * need->scratch.pinned + (device ? downloads : tensors);
}

void ol_memory_count_streamed(struct ol_memory_need *need, const struct ol_weights *w,
                              bool head)
{
    const struct ol_spec *spec = need->what.spec;
    const struct ol_weight table = ol_weights_get(w, OL_ROLE_EMBEDDING, 0, 0);
    const int64_t page = 4096,
                  row = ol_weight_bytes(&table) / (table.n_rows > 0 ? table.n_rows : 1);
    const int64_t n = least(need->what.n_rows, spec->vocab_size);
    need->other_bytes += n * (row / page + 2) * page;
    need->streamed_bytes = ol_layer_weights_least(w, spec, head);
}

int64_t ol_memory_block_rows(int64_t n_rows, int64_t longest)
{
    return least(most(BLOCK_ROWS, longest), n_rows);
}

static int levels_of(const struct ol_memory_need *need)
{
    return need->device_bytes > 0 ? DEVICE_LEVELS : LEVELS;
}

static struct ol_memory_plan at_level(const struct ol_memory_need *need, int depth)
{
    const bool device = need->device_bytes > 0;
    const int64_t group = (device ? MOST_DEVICE_GROUP_ROWS : MOST_GROUP_ROWS) >> depth;
    const int level = device ? (int)most(0, depth - (DEVICE_LEVELS - LEVELS)) : depth;
    const int64_t n_pairs =
        most(1, need->part_rows * (int64_t)need->what.spec->router.top_k);
    struct ol_memory_plan plan = {
        .buffers =
            {
                .block_rows = ol_memory_block_rows(need->n_rows, need->longest),
                .dense_rows = least(most(MOST_DENSE_ROWS >> level, OL_PRODUCT_ROWS),
                                    need->part_rows),
                .group_rows = least(most(group, OL_PRODUCT_ROWS), n_pairs),
            },
        .writer_bytes = most(MOST_WRITER_MIB >> level, LEAST_WRITER_MIB) * MIB,
    };
    add_up(need, &plan);
    return plan;
}

/* A line "Name:   123 kB" of a file of the kernel's; 0 where there is none. */
static int64_t kernel_bytes(const char *path, const char *name)
{
    FILE *file = fopen(path, "r");
    char line[256];
    int64_t kib = 0;
    const size_t n = strlen(name);
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, n) == 0 && line[n] == ':')
            kib = strtoll(line + n + 1, NULL, 10);
    if (file != NULL)
        fclose(file);
    return kib * 1024;
}

int64_t ol_memory_available(void)
{
    const int64_t machine = kernel_bytes("/proc/meminfo", "MemAvailable");
    const int64_t group = ol_cgroup_limits("").memory;
    return machine > 0 && machine < group ? machine : group;
}

int64_t ol_memory_resident(void)
{
    return kernel_bytes("/proc/self/status", "RssAnon");
}

static int64_t in_steps(int64_t bytes)
{
    const int64_t step = STEP_MIB * MIB;
    return (bytes + step - 1) / step * step;
}

int64_t ol_memory_least_of_host(const struct ol_memory_need *need)
{
    return in_steps(at_level(need, levels_of(need) - 1).total + need->streamed_bytes);
}

int64_t ol_memory_least(const struct ol_memory_need *need)
{
    return need->device_bytes > 0 ? in_steps(at_level(need, levels_of(need) - 1).device)
                                  : ol_memory_least_of_host(need);
}

int ol_memory_choose(const struct ol_memory_need *need, int64_t budget,
                     struct ol_memory_plan *plan, struct ol_error *err)
{
    const bool given = budget > 0, device = need->device_bytes > 0;
    const int64_t available = need->elsewhere ? INT64_MAX : ol_memory_available();
    const int64_t host = available < INT64_MAX ? available - available / 8 : INT64_MAX;
    if (!given)
        budget = device ? need->device_bytes : host;
    for (int level = 0; level < levels_of(need); level++) {
        *plan = at_level(need, level);
        if ((device ? plan->device : plan->total + need->streamed_bytes) > budget)
            continue;
        /* With a budget of the host's memory, weights that wait for their use are to fit
         * into it too. */
        const int64_t left = (device ? host : budget) - plan->total;
        if (left < 0)
            return ol_fail(err,
                           "free memory of %lld MiB cannot hold this run of %lld tokens: "
                           "it needs %lldM beside the memory of devices",
                           (long long)(host / MIB), (long long)need->n_rows,
                           (long long)(in_steps(plan->total) / MIB));
        if (need->streamed_bytes > left)
            return ol_fail(err,
                           "free memory of %lld MiB cannot hold the weights that are "
                           "streamed: %lld MiB at a time, beside %lld MiB for the run",
                           (long long)(host / MIB),
                           (long long)(need->streamed_bytes / MIB),
                           (long long)(plan->total / MIB));
        plan->buffers.weight_bytes =
            need->streamed_bytes > 0 ? left : most(left, LEAST_WEIGHT_MIB * MIB);
        return 0;
    }
    return ol_fail(
        err,
        "%s of %lld MiB cannot hold this run of %lld tokens: it needs at least "
        "%lldM",
        given    ? "--memory"
        : device ? "free device memory"
                 : "free memory",
        (long long)(budget / MIB), (long long)need->n_rows,
        (long long)(ol_memory_least(need) / MIB));
}
