/* make_checkpoint CONFIG.json OUTDIR: a checkpoint with random weights for any config
 * that ol-extract knows, with the tensors' real names and sensible scales, as fast as the
 * disk takes it. Same seed, same bytes, for any number of threads. What a family's plain
 * files hold as one tensor for all experts of a layer, or turned, is made so. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/dtype.h"
#include "common/options.h"
#include "common/parallel.h"
#include "extract/model/role.h"

enum {
    TABLE_BITS = 12,
    TABLE_SIZE = 1 << TABLE_BITS,
    CHUNK_ELEMENTS = 1 << 20,
    OUTLIER_STRIDE = 97, /* one norm weight in so many is large */
};

struct tensor {
    char *name;
    enum ol_role role;
    bool vector;
    int64_t shape[3], inputs, n, bytes;
    int rank;
    int64_t offset; /* in its file's data */
    int file;
    int64_t first_chunk;
};

struct plan {
    enum ol_dtype dtype;
    uint64_t seed;
    struct tensor *tensors;
    int64_t n_tensors, n_chunks;
    int n_files;
    int *fds;
    int64_t *data_starts;
    float normal[TABLE_SIZE]; /* quantiles of the normal distribution */
    struct ol_error *errors;  /* one per thread */
    char *buffers;            /* one chunk per thread */
};

/* ---- values ---- */

/* The normal distribution's quantile by bisection of its integral: slow, sure, once. */
static float quantile(double p)
{
    double low = -8, high = 8;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        if (0.5 * erfc(-middle / sqrt(2)) < p)
            low = middle;
        else
            high = middle;
    }
    return (float)low;
}

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Smallest step first: half precision has no conversion of its own in dtype.h. */
static uint16_t f16_from_f32(float value)
{
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    int exponent;
    const double fraction = frexp(fabs((double)value), &exponent);
    if (value == 0 || exponent < -24)
        return sign;
    if (exponent > 16)
        return (uint16_t)(sign | 0x7bff);
    const int shift = exponent < -13 ? -13 : exponent;
    const double steps = nearbyint(ldexp(fraction, exponent - shift + 11));
    const unsigned base = (unsigned)(shift + 13) << 10;
    const unsigned code = base + (unsigned)steps;
    return (uint16_t)(sign | (code > 0x7bff ? 0x7bff : code));
}

static bool is_norm(enum ol_role role)
{
    return role == OL_ROLE_FINAL_NORM || role == OL_ROLE_ATTN_NORM ||
           role == OL_ROLE_MLP_NORM || role == OL_ROLE_Q_NORM || role == OL_ROLE_K_NORM;
}

static float scale_of(const struct tensor *t)
{
    if (t->vector)
        return 0.1f;
    if (t->role == OL_ROLE_EMBEDDING)
        return 1;
    const float scale = (float)(1 / sqrt((double)t->inputs));
    /* A router's logits lie far apart, so that its choices are no matter of rounding. */
    return t->role == OL_ROLE_ROUTER ? 4 * scale : scale;
}

static void store(enum ol_dtype dtype, float value, void *dst, int64_t i)
{
    if (dtype == OL_DTYPE_F32)
        ((float *)dst)[i] = value;
    else if (dtype == OL_DTYPE_BF16)
        ((uint16_t *)dst)[i] = ol_bf16_from_f32(value);
    else
        ((uint16_t *)dst)[i] = f16_from_f32(value);
}

/* Vectors: norms near 1, and some of those over d_model large, which is what makes
 * outlier features; biases near 0. */
static void fill_vector(const struct plan *plan, const struct tensor *t, int64_t begin,
                        int64_t n, uint64_t state, void *dst)
{
    const bool outliers = t->role == OL_ROLE_ATTN_NORM || t->role == OL_ROLE_MLP_NORM;
    const int64_t phase = (int64_t)(mix(plan->seed) % OUTLIER_STRIDE);
    for (int64_t i = 0; i < n; i++) {
        const uint64_t bits = mix(state + (uint64_t)i);
        float value = 0.1f * plan->normal[bits % TABLE_SIZE];
        if (is_norm(t->role))
            value += 1;
        if (outliers && (begin + i) % OUTLIER_STRIDE == phase)
            value *= 6;
        store(plan->dtype, value, dst, i);
    }
}

/* Five values per 64 random bits, each looked up in a table that holds the stored form.
 */
static void fill_matrix(const struct plan *plan, const struct tensor *t, int64_t n,
                        uint64_t state, void *dst)
{
    uint32_t wide[TABLE_SIZE];
    uint16_t narrow[TABLE_SIZE];
    const float scale = scale_of(t);
    const bool is_wide = plan->dtype == OL_DTYPE_F32;
    for (int64_t i = 0; i < TABLE_SIZE; i++)
        store(plan->dtype, scale * plan->normal[i], is_wide ? (void *)wide : narrow, i);
    uint32_t *to_wide = dst;
    uint16_t *to_narrow = dst;
    for (int64_t i = 0; i < n;) {
        uint64_t bits = mix(state++);
        for (int k = 0; k < 5 && i < n; k++, i++, bits >>= TABLE_BITS) {
            if (is_wide)
                to_wide[i] = wide[bits % TABLE_SIZE];
            else
                to_narrow[i] = narrow[bits % TABLE_SIZE];
        }
    }
}

static int write_at(int fd, const void *src, int64_t bytes, int64_t offset,
                    struct ol_error *err)
{
    const char *from = src;
    while (bytes > 0) {
        const ssize_t n = pwrite(fd, from, (size_t)bytes, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ol_fail_errno(err, "cannot write the checkpoint");
        from += n;
        bytes -= n;
        offset += n;
    }
    return 0;
}

static const struct tensor *tensor_of(const struct plan *plan, int64_t chunk)
{
    int64_t low = 0, high = plan->n_tensors;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (plan->tensors[middle].first_chunk <= chunk)
            low = middle;
        else
            high = middle;
    }
    return &plan->tensors[low];
}

static void write_chunk(void *arg, int64_t chunk, int thread)
{
    struct plan *plan = arg;
    struct ol_error *err = &plan->errors[thread];
    const struct tensor *t = tensor_of(plan, chunk);
    const int64_t begin = (chunk - t->first_chunk) * CHUNK_ELEMENTS;
    const int64_t n = t->n - begin < CHUNK_ELEMENTS ? t->n - begin : CHUNK_ELEMENTS;
    const int64_t size = (int64_t)ol_dtype_size(plan->dtype);
    const uint64_t state = mix(plan->seed ^ mix((uint64_t)chunk));
    if (err->text[0] != '\0')
        return;
    void *values = plan->buffers + thread * CHUNK_ELEMENTS * size;
    if (t->vector)
        fill_vector(plan, t, begin, n, state, values);
    else
        fill_matrix(plan, t, n, state, values);
    write_at(plan->fds[t->file], values, n * size,
             plan->data_starts[t->file] + t->offset + begin * size, err);
}

/* ---- files ---- */

/* How a role's tensor is stored; false: another one holds it. */
static bool shape_of(const struct ol_role_tensor *t, struct tensor *tensor)
{
    const bool fused =
        ol_role_has_expert(t->role) && t->spec->expert_layout == OL_EXPERTS_INTERLEAVED;
    const bool turned =
        fused || (t->spec->turned_matrices && !t->vector && ol_role_has_layer(t->role));
    const bool gate =
        t->role == OL_ROLE_EXPERT_GATE || t->role == OL_ROLE_EXPERT_GATE_BIAS;
    const bool up = t->role == OL_ROLE_EXPERT_UP || t->role == OL_ROLE_EXPERT_UP_BIAS;
    const int64_t outputs = (t->vector ? t->n_cols : t->n_rows) * (fused && gate ? 2 : 1);
    int n = 0;
    if (fused)
        tensor->shape[n++] = t->spec->router.n_experts;
    if (!turned || t->vector)
        tensor->shape[n++] = outputs;
    if (ol_role_convolves(t->role))
        tensor->shape[n++] = 1;
    if (!t->vector)
        tensor->shape[n++] = t->n_cols;
    if (turned && !t->vector)
        tensor->shape[n++] = outputs;
    tensor->rank = n;
    tensor->n = 1;
    for (int i = 0; i < n; i++)
        tensor->n *= tensor->shape[i];
    return !fused || (t->expert == 0 && !up);
}

static void plan_tensors(struct plan *plan, const struct ol_spec *spec,
                         int64_t shard_bytes)
{
    struct ol_role_tensor t = {.spec = spec};
    int64_t used = 0, room = 0;
    while (ol_role_next(&t)) {
        if (plan->n_tensors == room) {
            room = 2 * room + 64;
            plan->tensors =
                ol_xrealloc_array(plan->tensors, (size_t)room, sizeof *plan->tensors);
        }
        struct tensor tensor = {.role = t.role, .vector = t.vector, .inputs = t.n_cols};
        if (!shape_of(&t, &tensor))
            continue;
        const int64_t bytes = tensor.n * (int64_t)ol_dtype_size(plan->dtype);
        if (plan->n_files == 0 || (used > 0 && used + bytes > shard_bytes)) {
            plan->n_files++;
            used = 0;
        }
        tensor.name = ol_xstrdup(t.name);
        tensor.bytes = bytes;
        tensor.offset = used;
        tensor.file = plan->n_files - 1;
        tensor.first_chunk = plan->n_chunks;
        plan->tensors[plan->n_tensors++] = tensor;
        used += bytes;
        plan->n_chunks += (tensor.n + CHUNK_ELEMENTS - 1) / CHUNK_ELEMENTS;
    }
}

static char *file_name(const struct plan *plan, int file)
{
    return plan->n_files == 1
               ? ol_xstrdup("model.safetensors")
               : ol_xasprintf("model-%05d-of-%05d.safetensors", file + 1, plan->n_files);
}

static struct ol_json *header_of(const struct plan *plan, int file)
{
    struct ol_json *header = ol_json_new_object(), *metadata = ol_json_new_object();
    ol_json_set(metadata, "format", ol_json_new_string("pt"));
    ol_json_set(header, "__metadata__", metadata);
    for (int64_t i = 0; i < plan->n_tensors; i++) {
        const struct tensor *t = &plan->tensors[i];
        if (t->file != file)
            continue;
        struct ol_json *entry = ol_json_new_object(), *shape = ol_json_new_array(),
                       *offsets = ol_json_new_array();
        for (int k = 0; k < t->rank; k++)
            ol_json_append(shape, ol_json_new_int(t->shape[k]));
        ol_json_append(offsets, ol_json_new_int(t->offset));
        ol_json_append(offsets, ol_json_new_int(t->offset + t->bytes));
        ol_json_set(entry, "dtype", ol_json_new_string(ol_dtype_name(plan->dtype)));
        ol_json_set(entry, "shape", shape);
        ol_json_set(entry, "data_offsets", offsets);
        ol_json_set(header, t->name, entry);
    }
    return header;
}

/* Write the header, padded so that the data begins at a multiple of 8. */
static int start_file(struct plan *plan, const char *directory, int file,
                      struct ol_error *err)
{
    char *name = file_name(plan, file);
    char *path = ol_xasprintf("%s/%s", directory, name);
    struct ol_json *header = header_of(plan, file);
    char *text = ol_json_dump_text(header, 0);
    const uint64_t length = (strlen(text) + 7) / 8 * 8;
    char *bytes = ol_xmalloc(8 + length);
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(length >> (8 * i) & 0xff);
    memset(bytes + 8, ' ', length);
    memcpy(bytes + 8, text, strlen(text));
    int result = -1;
    plan->data_starts[file] = (int64_t)(8 + length);
    plan->fds[file] = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (plan->fds[file] < 0)
        ol_fail_errno(err, "%s: cannot create", path);
    else
        result = write_at(plan->fds[file], bytes, (int64_t)(8 + length), 0, err);
    free(bytes);
    free(text);
    ol_json_free(header);
    free(path);
    free(name);
    return result;
}

static int write_json(const struct ol_json *json, const char *directory, const char *name,
                      struct ol_error *err)
{
    char *path = ol_xasprintf("%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    int result = file != NULL ? ol_json_dump(json, 2, file, path, err)
                              : ol_fail_errno(err, "%s: cannot create", path);
    if (file != NULL && fclose(file) != 0)
        result = ol_fail_errno(err, "%s: cannot write", path);
    free(path);
    return result;
}

static int write_index(const struct plan *plan, const char *directory,
                       struct ol_error *err)
{
    struct ol_json *index = ol_json_new_object(), *metadata = ol_json_new_object(),
                   *map = ol_json_new_object();
    int64_t total = 0;
    for (int64_t i = 0; i < plan->n_tensors; i++) {
        char *name = file_name(plan, plan->tensors[i].file);
        ol_json_set(map, plan->tensors[i].name, ol_json_new_string(name));
        free(name);
        total += plan->tensors[i].bytes;
    }
    ol_json_set(metadata, "total_size", ol_json_new_int(total));
    ol_json_set(index, "metadata", metadata);
    ol_json_set(index, "weight_map", map);
    const int result = write_json(index, directory, "model.safetensors.index.json", err);
    ol_json_free(index);
    return result;
}

static int write_files(struct plan *plan, const char *directory, struct ol_error *err)
{
    struct ol_pool *pool = ol_pool_new(0, err);
    if (pool == NULL)
        return -1;
    int result = 0;
    plan->fds = ol_xcalloc((size_t)plan->n_files, sizeof *plan->fds);
    plan->data_starts = ol_xcalloc((size_t)plan->n_files, sizeof *plan->data_starts);
    plan->errors = ol_xcalloc((size_t)ol_pool_threads(pool), sizeof *plan->errors);
    plan->buffers = ol_xcalloc((size_t)ol_pool_threads(pool),
                               CHUNK_ELEMENTS * ol_dtype_size(plan->dtype));
    for (int f = 0; f < plan->n_files && result == 0; f++)
        result = start_file(plan, directory, f, err);
    if (result == 0)
        ol_pool_run(pool, plan->n_chunks, write_chunk, plan);
    for (int i = 0; i < ol_pool_threads(pool); i++)
        if (plan->errors[i].text[0] != '\0')
            result = ol_fail(err, "%s: %s", directory, plan->errors[i].text);
    for (int f = 0; f < plan->n_files; f++)
        if (plan->fds[f] > 0 && close(plan->fds[f]) != 0)
            result = ol_fail_errno(err, "%s: cannot write", directory);
    ol_pool_free(pool);
    return result;
}

static int run(struct plan *plan, const char *config_path, const char *directory,
               int64_t shard_bytes, struct ol_error *err)
{
    int result = -1;
    struct ol_spec spec = {0};
    struct ol_config_notes notes = {0};
    struct ol_json *config = ol_json_load_file(config_path, err);
    if (config == NULL || ol_spec_read((struct ol_json_section){config_path, config},
                                       &spec, &notes, err) != 0)
        goto out;
    if (spec.quantization.method != OL_QUANTIZATION_NONE) {
        ol_fail(err, "%s: only plain weights can be made", config_path);
        goto out;
    }
    if (mkdir(directory, 0777) != 0 && errno != EEXIST) {
        ol_fail_errno(err, "%s: cannot create", directory);
        goto out;
    }
    for (int i = 0; i < TABLE_SIZE; i++)
        plan->normal[i] = quantile((i + 0.5) / TABLE_SIZE);
    plan_tensors(plan, &spec, shard_bytes);
    if (write_files(plan, directory, err) != 0 ||
        (plan->n_files > 1 && write_index(plan, directory, err) != 0) ||
        write_json(config, directory, "config.json", err) != 0)
        goto out;
    result = 0;
out:
    ol_config_notes_clear(&notes);
    ol_spec_clear(&spec);
    ol_json_free(config);
    return result;
}

int main(int argc, char **argv)
{
    static const char *const dtype_names[] = {"bf16", "f32", "f16", NULL};
    static const enum ol_dtype dtypes[] = {OL_DTYPE_BF16, OL_DTYPE_F32, OL_DTYPE_F16};
    int dtype = 0;
    int64_t seed = 0, shard_bytes = (int64_t)4 << 30;
    const struct ol_option options[] = {
        {.long_name = "dtype",
         .kind = OL_OPTION_CHOICE,
         .value = &dtype,
         .argument = "TYPE",
         .help = "bf16 (default), f32 or f16",
         .choices = dtype_names},
        {.long_name = "seed",
         .kind = OL_OPTION_INT,
         .value = &seed,
         .argument = "N",
         .help = "other weights (default 0)",
         .low = 0,
         .high = INT32_MAX},
        {.long_name = "shard-bytes",
         .kind = OL_OPTION_SIZE,
         .value = &shard_bytes,
         .argument = "SIZE",
         .help = "largest file (default 4G)"},
        {0},
    };
    const struct ol_tool tool = {
        .name = "make_checkpoint",
        .usage = "[options] CONFIG.json OUTDIR",
        .summary = "Write a checkpoint with random weights.",
        .options = options,
    };
    struct ol_texts operands = {0};
    const enum ol_options_result parsed = ol_options_parse(&tool, argc, argv, &operands);
    if (parsed != OL_OPTIONS_RUN)
        return parsed == OL_OPTIONS_DONE ? 0 : 2;
    if (operands.n != 2)
        return ol_usage_error("expected CONFIG.json and OUTDIR");
    static struct plan plan;
    struct ol_error err = {0};
    plan.dtype = dtypes[dtype];
    plan.seed = (uint64_t)seed;
    const int result =
        run(&plan, operands.items[0], operands.items[1], shard_bytes, &err);
    if (result != 0)
        ol_warn("%s", err.text);
    for (int64_t i = 0; i < plan.n_tensors; i++)
        free(plan.tensors[i].name);
    free(plan.tensors);
    free(plan.fds);
    free(plan.data_starts);
    free(plan.errors);
    free(plan.buffers);
    ol_texts_free(&operands);
    return result != 0;
}
