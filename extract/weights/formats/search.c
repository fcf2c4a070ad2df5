#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "extract/weights/formats/formats.h"

static void print_shape(const int64_t *dims, int rank, char *text, size_t bytes)
{
    size_t used = (size_t)snprintf(text, bytes, "[");
    for (int i = 0; i < rank && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%" PRId64,
                                 i > 0 ? ", " : "", dims[i]);
    if (used < bytes)
        snprintf(text + used, bytes - used, "]");
}

int ol_format_check_shape(const struct ol_format_search *s,
                          const struct ol_stored_tensor *t, struct ol_format_shape shape)
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

bool ol_format_is_type(const struct ol_stored_tensor *t, const char *type)
{
    return strcmp(t->dtype_name, type) == 0;
}

int ol_format_check_type(const struct ol_format_search *s,
                         const struct ol_stored_tensor *t, const char *type)
{
    if (ol_format_is_type(t, type))
        return 0;
    return ol_fail(s->err, "%s: tensor %s has type %s, expected %s",
                   ol_checkpoint_path(s->c, t->file), t->name, t->dtype_name, type);
}

int ol_format_read_type(const struct ol_format_search *s,
                        const struct ol_stored_tensor *t, enum ol_dtype *dtype)
{
    static const enum ol_dtype known[] = {OL_DTYPE_BF16, OL_DTYPE_F16, OL_DTYPE_F32};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (ol_format_is_type(t, ol_dtype_name(known[i]))) {
            *dtype = known[i];
            return 0;
        }
    }
    return ol_fail(s->err, "%s: tensor %s has type %s, expected BF16, F16 or F32",
                   ol_checkpoint_path(s->c, t->file), t->name, t->dtype_name);
}

int ol_format_check_groups(const struct ol_format_search *s,
                           const struct ol_stored_tensor *t, const char *format,
                           int64_t group)
{
    if (group % 2 == 0 && s->want->n_cols % group == 0)
        return 0;
    return ol_fail(s->err,
                   "%s: tensor %s: %s needs a multiple of %" PRId64
                   " inputs (an even number), not %" PRId64,
                   ol_checkpoint_path(s->c, t->file), t->name, format, group,
                   s->want->n_cols);
}

struct ol_span ol_format_span(const struct ol_stored_tensor *t)
{
    return (struct ol_span){t->data, (size_t)t->bytes};
}

const struct ol_stored_tensor *ol_format_find(const struct ol_format_search *s,
                                              const char *base, const char *suffix)
{
    char name[OL_FORMAT_NAME_BYTES];
    const int n = snprintf(name, sizeof name, "%s%s", base, suffix);
    assert(n < (int)sizeof name);
    (void)n;
    return ol_checkpoint_find(s->c, name);
}

const struct ol_stored_tensor *ol_format_need(const struct ol_format_search *s,
                                              const struct ol_stored_tensor *t,
                                              const char *base, const char *suffix)
{
    const struct ol_stored_tensor *found = ol_format_find(s, base, suffix);
    if (found == NULL)
        ol_fail(s->err, "%s: tensor %s is there, but %s%s, which belongs to it, is not",
                ol_checkpoint_path(s->c, t->file), t->name, base, suffix);
    return found;
}

const struct ol_stored_tensor *ol_format_find_fused(const struct ol_format_search *s)
{
    return s->want->fused_name[0] != '\0' ? ol_checkpoint_find(s->c, s->want->fused_name)
                                          : NULL;
}

void ol_format_base(const struct ol_role_tensor *want, char base[OL_FORMAT_NAME_BYTES])
{
    static const char suffix[] = ".weight";
    snprintf(base, OL_FORMAT_NAME_BYTES, "%s", want->name);
    const size_t n = strlen(base), tail = sizeof suffix - 1;
    if (n > tail && strcmp(base + n - tail, suffix) == 0)
        base[n - tail] = '\0';
}

int ol_format_groups_of_inputs(const struct ol_format_search *s, const char *base,
                               const char *suffix, struct ol_weight *w)
{
    const struct ol_stored_tensor *t = ol_format_find(s, base, suffix);
    if (t == NULL)
        return 0;
    if (ol_format_check_type(s, t, "I32") != 0 ||
        ol_format_check_shape(s, t, (struct ol_format_shape){1, {w->n_cols}}) != 0)
        return -1;
    const int64_t n = ol_ceil_div(w->n_cols, w->block_cols);
    w->unseen |= !s->seen;
    for (int64_t c = 0; c < w->n_cols && s->seen; c++) {
        int32_t g;
        memcpy(&g, (const char *)t->data + 4 * c, 4);
        if (g < 0 || g >= n)
            return ol_fail(s->err,
                           "%s: tensor %s: input %" PRId64 " is in group %" PRId32
                           ", but there are %" PRId64,
                           ol_checkpoint_path(s->c, t->file), t->name, c, g, n);
    }
    w->groups = t->data;
    w->spans[3] = ol_format_span(t);
    return 0;
}

struct ol_format_half ol_format_half_of(enum ol_role role)
{
    const bool gate = role == OL_ROLE_EXPERT_GATE || role == OL_ROLE_EXPERT_GATE_BIAS;
    const bool up = role == OL_ROLE_EXPERT_UP || role == OL_ROLE_EXPERT_UP_BIAS;
    return (struct ol_format_half){gate || up, up};
}
