/* Names and shapes of the formats follow what is published with each: DeepSeek-V3's
 * fp8_cast script, the model card of gpt-oss, the compressed-tensors library, GPTQModel
 * and AutoAWQ. */
#include "extract/weights/weight_format.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = OL_ROLE_NAME_BYTES + 32, CODES_PER_WORD = 8, MXFP4_GROUP = 32 };

/* What is looked for, and where. */
struct search {
    const struct ol_checkpoint *c;
    const struct ol_role_tensor *want;
    struct ol_error *err;
};

struct shape {
    int rank;
    int64_t dims[4];
};

static void print_shape(const int64_t *dims, int rank, char *text, size_t bytes)
{
    size_t used = (size_t)snprintf(text, bytes, "[");
    for (int i = 0; i < rank && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%" PRId64,
                                 i > 0 ? ", " : "", dims[i]);
    if (used < bytes)
        snprintf(text + used, bytes - used, "]");
}

static int check_shape(const struct search *s, const struct ol_stored_tensor *t,
                       struct shape shape)
{
    bool same = t->rank == shape.rank;
    for (int i = 0; same && i < shape.rank; i++)
        same = t->shape[i] == shape.dims[i];
    if (same)
        return 0;
    char found[OL_TENSOR_MAX_RANK * 24], expected[128];
    print_shape(t->shape, t->rank, found, sizeof found);
    print_shape(shape.dims, shape.rank, expected, sizeof expected);
    return ol_fail(s->err,
                   "%s: tensor %s has shape %s, expected %s from config.json (%s)",
                   ol_checkpoint_path(s->c, t->file), t->name, found, expected,
                   s->want->spec->family);
}

static int check_type(const struct search *s, const struct ol_stored_tensor *t,
                      const char *type)
{
    if (strcmp(t->dtype_name, type) == 0)
        return 0;
    return ol_fail(s->err, "%s: tensor %s has type %s, expected %s",
                   ol_checkpoint_path(s->c, t->file), t->name, t->dtype_name, type);
}

static int read_type(const struct search *s, const struct ol_stored_tensor *t,
                     enum ol_dtype *dtype)
{
    static const enum ol_dtype known[] = {OL_DTYPE_BF16, OL_DTYPE_F16, OL_DTYPE_F32};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(t->dtype_name, ol_dtype_name(known[i])) == 0) {
            *dtype = known[i];
            return 0;
        }
    }
    return ol_fail(s->err, "%s: tensor %s has type %s, expected BF16, F16 or F32",
                   ol_checkpoint_path(s->c, t->file), t->name, t->dtype_name);
}

static struct ol_span span_of(const struct ol_stored_tensor *t)
{
    return (struct ol_span){t->data, (size_t)t->bytes};
}

/* The tensor called base + suffix, or NULL. */
static const struct ol_stored_tensor *find(const struct search *s, const char *base,
                                           const char *suffix)
{
    char name[NAME_BYTES];
    const int n = snprintf(name, sizeof name, "%s%s", base, suffix);
    assert(n < (int)sizeof name);
    (void)n;
    return ol_checkpoint_find(s->c, name);
}

/* The same, of one that must be there because `t` is. */
static const struct ol_stored_tensor *need(const struct search *s,
                                           const struct ol_stored_tensor *t,
                                           const char *base, const char *suffix)
{
    const struct ol_stored_tensor *found = find(s, base, suffix);
    if (found == NULL)
        ol_fail(s->err, "%s: tensor %s is there, but %s%s, which belongs to it, is not",
                ol_checkpoint_path(s->c, t->file), t->name, base, suffix);
    return found;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* ---- plain ---- */

static int plain(const struct search *s, const struct ol_stored_tensor *t,
                 struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    struct shape shape = {2, {want->n_rows, want->n_cols}};
    if (want->vector)
        shape = (struct shape){1, {want->n_cols}};
    else if (want->role == OL_ROLE_DELTA_CONV)
        shape = (struct shape){3, {want->n_rows, 1, want->n_cols}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (read_type(s, t, &dtype) != 0 || check_shape(s, t, shape) != 0)
        return -1;
    *weight = ol_weight_plain(t->data, dtype, want->n_rows, want->n_cols);
    return 1;
}

/* ---- all experts in one tensor ---- */

/* Which of the two matrices that lie in one tensor; the down projection lies alone. */
struct half {
    bool is_half, second;
};

static struct half half_of(enum ol_role role)
{
    const bool gate = role == OL_ROLE_EXPERT_GATE || role == OL_ROLE_EXPERT_GATE_BIAS;
    const bool up = role == OL_ROLE_EXPERT_UP || role == OL_ROLE_EXPERT_UP_BIAS;
    return (struct half){gate || up, up};
}

/* Matrices [n_experts, in, out], or biases [n_experts, out]. */
static int fused(const struct search *s, const struct ol_stored_tensor *t,
                 struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct half half = half_of(want->role);
    const bool interleaved =
        half.is_half && want->spec->expert_layout == OL_EXPERTS_INTERLEAVED;
    const int64_t outputs = want->vector ? want->n_cols : want->n_rows;
    const int64_t inputs = want->vector ? 1 : want->n_cols;
    const int64_t width = outputs * (half.is_half ? 2 : 1);
    const int64_t n_experts = want->spec->router.n_experts;
    const struct shape vectors = {2, {n_experts, width}},
                       matrices = {3, {n_experts, inputs, width}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (read_type(s, t, &dtype) != 0 ||
        check_shape(s, t, want->vector ? vectors : matrices) != 0)
        return -1;
    const size_t size = ol_dtype_size(dtype);
    const size_t bytes = (size_t)(inputs * width) * size;
    const char *expert = (const char *)t->data + (size_t)want->expert * bytes;
    const int64_t first = !half.second ? 0 : interleaved ? 1 : outputs;
    const int64_t step = interleaved ? 2 : 1;
    *weight =
        ol_weight_plain(expert + (size_t)first * size, dtype, want->n_rows, want->n_cols);
    weight->row_step = want->vector ? step * outputs : step;
    weight->col_step = want->vector ? step : width;
    weight->spans[0] = (struct ol_span){expert, bytes};
    weight->sharers = half.is_half ? 2 : 1;
    return 1;
}

/* X_blocks U8 [n_experts, out, in / 32, 16], X_scales U8 [n_experts, out, in / 32]. */
static int mxfp4(const struct search *s, const struct ol_stored_tensor *blocks,
                 struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct half half = half_of(want->role);
    const int64_t n_experts = want->spec->router.n_experts;
    const int64_t step = half.is_half ? 2 : 1;
    const int64_t groups = want->n_cols / MXFP4_GROUP;
    const struct ol_stored_tensor *scales = need(s, blocks, want->name, "_scales");
    if (want->n_cols % MXFP4_GROUP != 0)
        return ol_fail(s->err,
                       "%s: tensor %s: MXFP4 needs a multiple of %d inputs, not %" PRId64,
                       ol_checkpoint_path(s->c, blocks->file), blocks->name, MXFP4_GROUP,
                       want->n_cols);
    const struct shape codes = {
        4, {n_experts, step * want->n_rows, groups, MXFP4_GROUP / 2}};
    const struct shape exponents = {3, {n_experts, step * want->n_rows, groups}};
    if (scales == NULL || check_type(s, blocks, "U8") != 0 ||
        check_type(s, scales, "U8") != 0 || check_shape(s, blocks, codes) != 0 ||
        check_shape(s, scales, exponents) != 0)
        return -1;
    const size_t code_bytes = (size_t)(step * want->n_rows * want->n_cols / 2);
    const size_t scale_bytes = (size_t)(step * want->n_rows * groups);
    const char *data = (const char *)blocks->data + (size_t)want->expert * code_bytes;
    const char *exponent =
        (const char *)scales->data + (size_t)want->expert * scale_bytes;
    *weight = (struct ol_weight){
        .data = data + (half.second ? want->n_cols / 2 : 0),
        .encoding = OL_ENCODING_MXFP4,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .row_step = step * want->n_cols,
        .col_step = 1,
        .scales = exponent + (half.second ? groups : 0),
        .block_rows = 1,
        .block_cols = MXFP4_GROUP,
        .spans = {{data, code_bytes}, {exponent, scale_bytes}},
        .sharers = (int)step,
    };
    return 1;
}

/* ---- quantised, a tensor each ---- */

/* Without ".weight". */
static void base_name(const struct ol_role_tensor *want, char base[NAME_BYTES])
{
    static const char suffix[] = ".weight";
    snprintf(base, NAME_BYTES, "%s", want->name);
    const size_t n = strlen(base), tail = sizeof suffix - 1;
    if (n > tail && strcmp(base + n - tail, suffix) == 0)
        base[n - tail] = '\0';
}

/* Scales of E4M3 codes: of blocks, of rows, or one. */
static int fp8_scales(const struct search *s, const struct ol_stored_tensor *scales,
                      struct ol_weight *w)
{
    const struct ol_quantization_spec *q = &s->want->spec->quantization;
    const bool blocks = q->block_rows > 0;
    int64_t n = 1;
    for (int i = 0; i < scales->rank; i++)
        n *= scales->shape[i];
    w->block_rows = w->n_rows;
    w->block_cols = w->n_cols;
    if (blocks) {
        w->block_rows = q->block_rows;
        w->block_cols = q->block_cols;
        const struct shape shape = {
            2, {ceil_div(w->n_rows, w->block_rows), ceil_div(w->n_cols, w->block_cols)}};
        return check_shape(s, scales, shape);
    }
    if (n == 1)
        return 0;
    w->block_rows = 1;
    const struct shape shape = {2, {w->n_rows, 1}};
    if (scales->rank == 1 && n == w->n_rows)
        return 0;
    return check_shape(s, scales, shape);
}

static int fp8(const struct search *s, const struct ol_stored_tensor *t,
               struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const bool tensors = want->spec->quantization.method == OL_QUANTIZATION_FLOAT;
    char base[NAME_BYTES];
    base_name(want, base);
    const struct ol_stored_tensor *scales = find(s, base, ".weight_scale_inv");
    if (scales == NULL)
        scales = need(s, t, base,
                      tensors || want->spec->quantization.block_rows == 0
                          ? ".weight_scale"
                          : ".weight_scale_inv");
    const struct shape shape = {2, {want->n_rows, want->n_cols}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (scales == NULL || check_shape(s, t, shape) != 0 ||
        read_type(s, scales, &dtype) != 0)
        return -1;
    *weight = (struct ol_weight){
        .data = t->data,
        .encoding = OL_ENCODING_FP8,
        .dtype = dtype,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .row_step = want->n_cols,
        .col_step = 1,
        .scales = scales->data,
        .rounds = tensors, /* compressed-tensors multiplies in the type of the scales */
        .spans = {span_of(t), span_of(scales)},
        .sharers = 1,
    };
    return fp8_scales(s, scales, weight) == 0 ? 1 : -1;
}

/* weight_shape: [out, in] once more. */
static int check_packed_shape(const struct search *s, const struct ol_stored_tensor *t)
{
    const struct ol_role_tensor *want = s->want;
    const bool wide = strcmp(t->dtype_name, "I64") == 0;
    if (check_shape(s, t, (struct shape){1, {2}}) != 0 ||
        (!wide && check_type(s, t, "I32") != 0))
        return -1;
    int64_t found[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        int32_t narrow;
        if (wide) {
            memcpy(&found[i], (const char *)t->data + 8 * i, 8);
        } else {
            memcpy(&narrow, (const char *)t->data + 4 * i, 4);
            found[i] = narrow;
        }
    }
    if (found[0] == want->n_rows && found[1] == want->n_cols)
        return 0;
    return ol_fail(s->err,
                   "%s: tensor %s says [%" PRId64 ", %" PRId64 "], expected [%" PRId64
                   ", %" PRId64 "] from config.json (%s)",
                   ol_checkpoint_path(s->c, t->file), t->name, found[0], found[1],
                   want->n_rows, want->n_cols, want->spec->family);
}

static int groups_of_inputs(const struct search *s, const char *base, const char *suffix,
                            struct ol_weight *w)
{
    const struct ol_stored_tensor *t = find(s, base, suffix);
    if (t == NULL)
        return 0;
    if (check_type(s, t, "I32") != 0 ||
        check_shape(s, t, (struct shape){1, {w->n_cols}}) != 0)
        return -1;
    const int64_t n = ceil_div(w->n_cols, w->block_cols);
    for (int64_t c = 0; c < w->n_cols; c++) {
        int32_t g;
        memcpy(&g, (const char *)t->data + 4 * c, 4);
        if (g < 0 || g >= n)
            return ol_fail(s->err,
                           "%s: tensor %s: input %" PRId64 " is in group %" PRId32
                           ", but there are %" PRId64,
                           ol_checkpoint_path(s->c, t->file), t->name, c, g, n);
    }
    w->groups = t->data;
    w->spans[3] = span_of(t);
    return 0;
}

/* weight_packed I32 [out, in / 8], weight_scale [out, groups], weight_zero_point I32
 * [out / 8, groups] unless symmetric, weight_g_idx when inputs are not in order. */
static int packed(const struct search *s, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_quantization_spec *q = &want->spec->quantization;
    char base[NAME_BYTES];
    base_name(want, base);
    const struct ol_stored_tensor *t = find(s, base, ".weight_packed");
    if (t == NULL)
        return 0;
    const struct ol_stored_tensor *scales = need(s, t, base, ".weight_scale"),
                                  *zeros = NULL, *shape = find(s, base, ".weight_shape");
    if (scales == NULL || (shape != NULL && check_packed_shape(s, shape) != 0))
        return -1;
    if (!q->symmetric && (zeros = need(s, t, base, ".weight_zero_point")) == NULL)
        return -1;
    const int64_t size = q->group > 0 ? q->group : want->n_cols;
    const int64_t groups = ceil_div(want->n_cols, size);
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (check_type(s, t, "I32") != 0 ||
        check_shape(
            s, t,
            (struct shape){2, {want->n_rows, ceil_div(want->n_cols, CODES_PER_WORD)}}) !=
            0 ||
        read_type(s, scales, &dtype) != 0 ||
        check_shape(s, scales, (struct shape){2, {want->n_rows, groups}}) != 0)
        return -1;
    if (zeros != NULL &&
        (check_type(s, zeros, "I32") != 0 ||
         check_shape(
             s, zeros,
             (struct shape){2, {ceil_div(want->n_rows, CODES_PER_WORD), groups}}) != 0))
        return -1;
    *weight = (struct ol_weight){
        .data = t->data,
        .encoding = OL_ENCODING_INT4,
        .dtype = dtype,
        .n_rows = want->n_rows,
        .n_cols = want->n_cols,
        .scales = scales->data,
        .zeros = zeros != NULL ? zeros->data : NULL,
        .block_rows = 1,
        .block_cols = size,
        .rounds = true,
        .spans = {span_of(t), span_of(scales)},
        .sharers = 1,
    };
    if (zeros != NULL)
        weight->spans[2] = span_of(zeros);
    return groups_of_inputs(s, base, ".weight_g_idx", weight) == 0 ? 1 : -1;
}

/* qweight I32 [in / 8, out] (GPTQ) or [in, out / 8] (AWQ), qzeros I32 [groups, out / 8],
 * scales [groups, out], g_idx I32 [in] (GPTQ). */
static int gptq_or_awq(const struct search *s, struct ol_weight *weight)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_quantization_spec *q = &want->spec->quantization;
    const bool awq = q->method == OL_QUANTIZATION_AWQ;
    char base[NAME_BYTES];
    base_name(want, base);
    const struct ol_stored_tensor *t = find(s, base, ".qweight");
    if (t == NULL)
        return 0;
    const struct ol_stored_tensor *scales = need(s, t, base, ".scales"),
                                  *zeros = need(s, t, base, ".qzeros");
    if (scales == NULL || zeros == NULL)
        return -1;
    const int64_t in = want->n_cols, out = want->n_rows;
    if (out % CODES_PER_WORD != 0 || (!awq && in % CODES_PER_WORD != 0))
        return ol_fail(s->err,
                       "%s: tensor %s: %" PRId64 " x %" PRId64
                       " is no multiple of %d codes to a word",
                       ol_checkpoint_path(s->c, t->file), t->name, out, in,
                       CODES_PER_WORD);
    const int64_t size = q->group > 0 ? q->group : in, groups = ceil_div(in, size);
    const struct shape gptq_codes = {2, {in / CODES_PER_WORD, out}},
                       awq_codes = {2, {in, out / CODES_PER_WORD}};
    enum ol_dtype dtype = OL_DTYPE_F32;
    if (check_type(s, t, "I32") != 0 || check_type(s, zeros, "I32") != 0 ||
        read_type(s, scales, &dtype) != 0 ||
        check_shape(s, t, awq ? awq_codes : gptq_codes) != 0 ||
        check_shape(s, zeros, (struct shape){2, {groups, out / CODES_PER_WORD}}) != 0 ||
        check_shape(s, scales, (struct shape){2, {groups, out}}) != 0)
        return -1;
    *weight = (struct ol_weight){
        .data = t->data,
        .encoding = awq ? OL_ENCODING_AWQ : OL_ENCODING_GPTQ,
        .dtype = dtype,
        .n_rows = out,
        .n_cols = in,
        .scales = scales->data,
        .zeros = zeros->data,
        .block_rows = 1,
        .block_cols = size,
        .zero_offset = awq ? 0 : q->zero_offset,
        .rounds = true,
        .spans = {span_of(t), span_of(scales), span_of(zeros)},
        .sharers = 1,
    };
    return awq || groups_of_inputs(s, base, ".g_idx", weight) == 0 ? 1 : -1;
}

int ol_weight_find(const struct ol_checkpoint *c, const struct ol_role_tensor *want,
                   struct ol_weight *weight, struct ol_error *err)
{
    const struct search s = {c, want, err};
    const enum ol_quantization method = want->spec->quantization.method;
    const struct ol_stored_tensor *t = ol_checkpoint_find(c, want->name);
    if (t != NULL && strcmp(t->dtype_name, "F8_E4M3") == 0 &&
        (method == OL_QUANTIZATION_FP8 || method == OL_QUANTIZATION_FLOAT))
        return fp8(&s, t, weight);
    if (t != NULL && ol_role_has_expert(want->role) &&
        want->spec->expert_layout != OL_EXPERTS_SEPARATE)
        return fused(&s, t, weight);
    if (t != NULL)
        return plain(&s, t, weight);
    switch (method) {
    case OL_QUANTIZATION_NONE:
    case OL_QUANTIZATION_FP8:
    case OL_QUANTIZATION_FLOAT:
        return 0;
    case OL_QUANTIZATION_MXFP4:
        t = find(&s, want->name, "_blocks");
        return t != NULL ? mxfp4(&s, t, weight) : 0;
    case OL_QUANTIZATION_PACKED:
        return packed(&s, weight);
    case OL_QUANTIZATION_GPTQ:
    case OL_QUANTIZATION_AWQ:
        return gptq_or_awq(&s, weight);
    }
    return 0;
}
