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

static const struct ol_stored_tensor *find_with_suffix(const struct ol_format_search *s,
                                                       const char *suffix)
{
    return s->want->fused_name[0] != '\0' && ol_role_has_expert(s->want->role)
               ? ol_format_find(s, s->want->fused_name, suffix)
               : NULL;
}

int ol_format_rows_of_fused(const struct ol_format_search *s, const char *suffix,
                            struct ol_stored_tensor *rows)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_format_half half = ol_format_half_of(want);
    const int64_t n_experts = want->spec->router.n_experts,
                  stored = want->n_rows * (half.is_half ? 2 : 1),
                  first = want->expert * stored + (half.second ? want->n_rows : 0);
    const struct ol_stored_tensor *t = find_with_suffix(s, suffix);
    if (t == NULL)
        return 0;
    const int64_t n_cols = t->rank > 0 ? t->shape[t->rank - 1] : 0;
    const struct ol_format_shape flat = {2, {n_experts * stored, n_cols}},
                                 deep = {3, {n_experts, stored, n_cols}};
    if (ol_format_check_shape(s, t, t->rank == 2 ? flat : deep) != 0)
        return -1;
    const uint64_t row = t->bytes / (uint64_t)(n_experts * stored);
    *rows = *t;
    rows->rank = 2;
    rows->shape[0] = want->n_rows;
    rows->shape[1] = n_cols;
    rows->data = (const char *)t->data + (uint64_t)first * row;
    rows->bytes = (uint64_t)want->n_rows * row;
    return 1;
}

int ol_format_number_of_fused(const struct ol_format_search *s, const char *suffix,
                              struct ol_stored_tensor *number)
{
    const struct ol_role_tensor *want = s->want;
    const struct ol_format_half half = ol_format_half_of(want);
    const int64_t n_experts = want->spec->router.n_experts;
    const struct ol_stored_tensor *t = find_with_suffix(s, suffix);
    int64_t n = 1, at = 0;
    if (t == NULL)
        return 0;
    for (int i = 0; i < t->rank; i++)
        n *= t->shape[i];
    if (n == n_experts)
        at = want->expert;
    else if (half.is_half && n == 2 * n_experts)
        at = 2 * want->expert + (half.second ? 1 : 0);
    else if (n != 1)
        return ol_format_check_shape(s, t, (struct ol_format_shape){1, {n_experts}});
    *number = *t;
    number->rank = 0;
    number->bytes = t->bytes / (uint64_t)n;
    number->data = (const char *)t->data + (uint64_t)at * number->bytes;
    return 1;
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

struct ol_format_half ol_format_half_of(const struct ol_role_tensor *want)
{
    const enum ol_role role = want->role;
    const bool gate = role == OL_ROLE_EXPERT_GATE || role == OL_ROLE_EXPERT_GATE_BIAS;
    const bool up = role == OL_ROLE_EXPERT_UP || role == OL_ROLE_EXPERT_UP_BIAS;
    /* An up without a gate has a tensor of its own. */
    const bool is_half = (gate || up) && !want->spec->glu.alone;
    return (struct ol_format_half){is_half, is_half && up};
}
