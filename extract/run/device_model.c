#include "extract/run/device_model.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/number.h"

/* Of PCI Express, what large copies from pinned memory reach: 55 of 63 GB/s were measured
 * on an H200. */
#define GEN4 25e9
#define GEN5 55e9

/* Data sheets: memory in GB, its bandwidth, dense bfloat16 with float sums, float, and
 * NVLink in one direction, of boards on which all devices have it. */
static const struct ol_device_model known[] = {
    {"b200", 180000000000, GEN5, 7.7e12, 2250e12, 75e12, 900e9},
    {"h200", 141000000000, GEN5, 4.8e12, 989e12, 67e12, 450e9},
    {"h100", 80000000000, GEN5, 3.35e12, 989e12, 67e12, 450e9},
    {"a100", 80000000000, GEN4, 2.039e12, 312e12, 19.5e12, 300e9},
    {"a100-40g", 40000000000, GEN4, 1.555e12, 312e12, 19.5e12, 300e9},
    {"l40s", 48000000000, GEN4, 864e9, 362e12, 91.6e12, 0},
    {"l4", 24000000000, GEN4, 300e9, 121e12, 30.3e12, 0},
    {"a10", 24000000000, GEN4, 600e9, 125e12, 31.2e12, 0},
    {"rtx5090", 32000000000, GEN5, 1.792e12, 209e12, 104.8e12, 0},
    {"rtx4090", 24000000000, GEN4, 1.008e12, 165e12, 82.6e12, 0},
    {"rtx3090", 24000000000, GEN4, 936e9, 71e12, 35.6e12, 0},
};

enum { N_KNOWN = sizeof known / sizeof known[0] };

static int unknown(const char *text, const char *word, struct ol_error *err)
{
    char names[N_KNOWN * (sizeof known[0].name + 2)] = "";
    for (int i = 0; i < N_KNOWN; i++) {
        strcat(names, i > 0 ? ", " : "");
        strcat(names, known[i].name);
    }
    return ol_fail(
        err,
        "--device-model %s: '%s' is neither one of %s, nor one of memory=, link=, peer=, "
        "bandwidth=, bf16=, f32= and a number like 24G",
        text, word, names);
}

static bool set_value(struct ol_device_model *m, const char *word)
{
    double bytes = (double)m->memory;
    const struct {
        const char *key;
        double *value;
    } keys[] = {
        {"memory=", &bytes},
        {"link=", &m->link_bytes_per_second},
        {"peer=", &m->peer_bytes_per_second},
        {"bandwidth=", &m->memory_bytes_per_second},
        {"bf16=", &m->bf16_flops_per_second},
        {"f32=", &m->f32_flops_per_second},
    };
    bool known_key = false;
    for (size_t i = 0; !known_key && i < sizeof keys / sizeof keys[0]; i++) {
        const size_t n = strlen(keys[i].key);
        known_key = strncmp(word, keys[i].key, n) == 0 &&
                    ol_number_with_unit(word + n, 1000, 1e18, keys[i].value);
    }
    m->memory = (int64_t)bytes;
    return known_key;
}

static bool set_name(struct ol_device_model *m, const char *word)
{
    for (int i = 0; i < N_KNOWN; i++)
        if (strcmp(known[i].name, word) == 0) {
            *m = known[i];
            return true;
        }
    return false;
}

int ol_device_model_parse(const char *text, struct ol_device_model *model,
                          struct ol_error *err)
{
    char *copy = ol_xstrdup(text), *rest = copy;
    int status = 0;
    *model = (struct ol_device_model){.name = "custom"};
    for (char *word; status == 0 && (word = strsep(&rest, ",")) != NULL;) {
        const bool first = word == copy;
        if (!(first && set_name(model, word)) && !set_value(model, word))
            status = unknown(text, word, err);
    }
    free(copy);
    if (status == 0 && model->memory == 0)
        return ol_fail(err, "--device-model %s: memory= is missing", text);
    return status;
}
