/* Rotary embeddings in config.json. transformers 4.x: top-level rope_theta and
 * rope_scaling; 5.x: rope_parameters. As there, a rope_scaling that is set replaces
 * rope_parameters, and a theta inside the winner beats the top-level one. */
#include "extract/model/families/families.h"

#include <math.h>
#include <string.h>

#include "common/real_math.h"

/* Beyond these no published model is near, and arithmetic in float would overflow. */
static const struct ol_config_range theta_range = {1, 1e15, false},
                                    factor_range = {1e-3, 1e6, false},
                                    position_range = {0, 1e9, false},
                                    turns_range = {0, 1e6, false},
                                    scale_range = {0, 1e6, false},
                                    share_range = {0, 1, true};

double ol_family_yarn_magnitude(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * ol_real_log(factor) + 1;
}

int ol_family_rope_section(struct ol_config config, struct ol_config *rope,
                           struct ol_error *err)
{
    if (ol_config_section(config, "rope_scaling", rope, err) != 0)
        return -1;
    return ol_json_length(rope->json) > 0
               ? 0
               : ol_config_section(config, "rope_parameters", rope, err);
}

/* Null and 0 stand for the default, as in transformers. */
static int read_set(struct ol_config s, const char *key,
                    const struct ol_config_range range, double otherwise, double *value,
                    struct ol_error *err)
{
    const struct ol_config_range from_zero = {0, range.high, false};
    if (ol_config_real_or(s, key, from_zero, otherwise, value, err) != 0)
        return -1;
    if (*value == 0)
        *value = otherwise;
    else if (*value < range.low)
        return ol_config_real_or(s, key, range, otherwise, value, err);
    return 0;
}

/* The positions that the model was trained for at first: outside of the rope's object
 * they win; nowhere, the longest. */
static int read_original_position(struct ol_config config, struct ol_config s,
                                  double longest, double *position, struct ol_error *err)
{
    static const char key[] = "original_max_position_embeddings";
    if (read_set(s, key, position_range, longest, position, err) != 0)
        return -1;
    return read_set(config, key, position_range, *position, position, err);
}

static int read_yarn(struct ol_config config, struct ol_config s, double longest,
                     struct ol_rope_spec *rope, struct ol_error *err)
{
    double mscale, all_dim, given;
    const double stretch =
        rope->original_position > 0 ? longest / rope->original_position : 0;
    if (read_set(s, "factor", factor_range, stretch, &rope->factor, err) != 0 ||
        read_set(s, "beta_fast", turns_range, 32, &rope->beta_fast, err) != 0 ||
        read_set(s, "beta_slow", turns_range, 1, &rope->beta_slow, err) != 0 ||
        ol_config_bool_or(s, "truncate", true, &rope->truncate, err) != 0 ||
        ol_config_real_or(s, "mscale", scale_range, 0, &mscale, err) != 0 ||
        ol_config_real_or(s, "mscale_all_dim", scale_range, 0, &all_dim, err) != 0 ||
        ol_config_real_or(s, "attention_factor", scale_range, 0, &given, err) != 0)
        return -1;
    if (!(rope->original_position > 0 && rope->theta > 1 && rope->beta_fast > 0 &&
          rope->beta_slow > 0))
        return ol_fail(err,
                       "%s: yarn needs positive original_max_position_embeddings, "
                       "beta_fast and beta_slow, and a theta above 1",
                       config.file);
    rope->magnitude = given != 0 ? given
                      : mscale != 0 && all_dim != 0
                          ? ol_family_yarn_magnitude(rope->factor, mscale) /
                                ol_family_yarn_magnitude(rope->factor, all_dim)
                          : ol_family_yarn_magnitude(rope->factor, 1);
    return 0;
}

static int read_llama3(struct ol_config s, struct ol_rope_spec *rope,
                       struct ol_error *err)
{
    if (ol_config_need_real(s, "factor", factor_range, &rope->factor, err) != 0 ||
        ol_config_need_real(s, "low_freq_factor", factor_range, &rope->low_freq_factor,
                            err) != 0 ||
        ol_config_need_real(s, "high_freq_factor", factor_range, &rope->high_freq_factor,
                            err) != 0)
        return -1;
    if (!(rope->original_position > 0))
        return ol_fail(
            err, "%s: llama3 needs a positive original_max_position_embeddings", s.file);
    return 0;
}

/* A number for each pair, by which its frequency is divided. */
static int read_factors(struct ol_config s, const char *key, size_t n,
                        const struct ol_json **factors, struct ol_error *err)
{
    *factors = ol_config_whole(s, key);
    bool numbers =
        ol_json_kind(*factors) == OL_JSON_ARRAY && ol_json_length(*factors) == n;
    for (size_t i = 0; numbers && i < n; i++) {
        const struct ol_json *x = ol_json_at(*factors, i);
        const enum ol_json_kind kind = ol_json_kind(x);
        numbers = (kind == OL_JSON_INT || kind == OL_JSON_REAL) &&
                  ol_json_real(x) >= factor_range.low &&
                  ol_json_real(x) <= factor_range.high;
    }
    return numbers ? 0
                   : ol_fail(err,
                             "%s: longrope: %s: expected an array of %zu numbers from %g "
                             "to %g",
                             s.file, key, n, factor_range.low, factor_range.high);
}

/* Every pair has a factor for sequences within the original positions, and another for
 * longer ones. */
static int read_longrope(struct ol_config s, double longest, struct ol_rope_spec *rope,
                         struct ol_error *err)
{
    double given;
    const size_t n = (size_t)rope->rotary_dim / 2;
    if (!(rope->original_position > 1))
        return ol_fail(err, "%s: longrope needs original_max_position_embeddings above 1",
                       s.file);
    if (read_factors(s, "short_factor", n, &rope->short_factors, err) != 0 ||
        read_factors(s, "long_factor", n, &rope->long_factors, err) != 0 ||
        read_set(s, "factor", factor_range, longest / rope->original_position,
                 &rope->factor, err) != 0 ||
        ol_config_real_or(s, "attention_factor", scale_range, 0, &given, err) != 0)
        return -1;
    rope->magnitude =
        given != 0 ? given
        : rope->factor <= 1
            ? 1
            : sqrt(1 + ol_real_log(rope->factor) / ol_real_log(rope->original_position));
    return 0;
}

/* How positions beyond those of the training are told. */
static int read_scaling(struct ol_config config, struct ol_config s,
                        struct ol_rope_spec *rope, struct ol_error *err)
{
    const char *type;
    double longest;
    if (ol_config_string_or(s, "type", "default", &type, err) != 0 ||
        ol_config_string_or(s, "rope_type", type, &type, err) != 0)
        return -1;
    if (strcmp(type, "default") == 0)
        return 0;
    if (ol_config_real_or(config, "max_position_embeddings", position_range, 0, &longest,
                          err) != 0 ||
        read_original_position(config, s, longest, &rope->original_position, err) != 0)
        return -1;
    if (strcmp(type, "linear") == 0) {
        rope->scaling = OL_ROPE_SCALING_LINEAR;
        return ol_config_need_real(s, "factor", factor_range, &rope->factor, err);
    }
    if (strcmp(type, "llama3") == 0) {
        rope->scaling = OL_ROPE_SCALING_LLAMA3;
        return read_llama3(s, rope, err);
    }
    if (strcmp(type, "yarn") == 0) {
        rope->scaling = OL_ROPE_SCALING_YARN;
        return read_yarn(config, s, longest, rope, err);
    }
    /* Phi-3's first files call it "su". */
    if (strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0) {
        rope->scaling = OL_ROPE_SCALING_LONGROPE;
        return read_longrope(s, longest, rope, err);
    }
    const bool scaling = s.json == ol_json_get(config.json, "rope_scaling");
    return ol_fail(err,
                   "%s: %s: rope type \"%s\" is not supported; known: default, linear, "
                   "llama3, longrope, yarn",
                   config.file, scaling ? "rope_scaling" : "rope_parameters", type);
}

/* Latent attention: partial_rotary_factor, if it is there, gives the same size. */
static int check_share(struct ol_config config, struct ol_config s,
                       const struct ol_rope_spec *rope, struct ol_error *err)
{
    int64_t own;
    double partial;
    if (ol_config_need_int(config, "qk_nope_head_dim", 1, OL_MAX_HEAD_DIM, &own, err) !=
        0)
        return -1;
    const double whole = (double)(own + rope->rotary_dim),
                 share = rope->rotary_dim / whole;
    if (ol_config_real_or(s, "partial_rotary_factor", share_range, share, &partial,
                          err) != 0)
        return -1;
    if ((int)(whole * partial) == rope->rotary_dim)
        return 0;
    return ol_fail(err,
                   "%s: partial_rotary_factor is %g, but %d of %g values of a head are "
                   "rotated",
                   config.file, partial, rope->rotary_dim, whole);
}

/* From an object of the rope's keys. */
static int read_rope(struct ol_config config, struct ol_config s,
                     const struct ol_family_defaults *d, struct ol_rope_spec *rope,
                     struct ol_error *err)
{
    double theta, partial;
    const double whole = d->partial_rotary > 0 ? d->partial_rotary : 1;
    if (ol_config_real_or(config, "rope_theta", theta_range, d->rope_theta, &theta,
                          err) != 0 ||
        ol_config_real_or(s, "rope_theta", theta_range, theta, &rope->theta, err) != 0 ||
        ol_config_real_or(config, "partial_rotary_factor", share_range, whole, &partial,
                          err) != 0 ||
        ol_config_real_or(s, "partial_rotary_factor", share_range, partial, &partial,
                          err) != 0)
        return -1;
    if (d->partial_rotary > 0) {
        rope->rotary_dim = (int)((double)rope->rotary_dim * partial);
        if (rope->rotary_dim < 2 || rope->rotary_dim % 2 != 0)
            return ol_fail(err,
                           "%s: partial_rotary_factor is %g, expected an even number of "
                           "rotated values",
                           config.file, partial);
    } else if (d->share) {
        if (check_share(config, s, rope, err) != 0)
            return -1;
    } else if (partial != 1)
        return ol_fail(
            err, "%s: partial_rotary_factor is %g, but this family rotates whole heads",
            config.file, partial);
    return read_scaling(config, s, rope, err);
}

int ol_family_read_rope(struct ol_config config, const struct ol_family_defaults *d,
                        struct ol_rope_spec *rope, struct ol_error *err)
{
    struct ol_config s;
    return ol_family_rope_section(config, &s, err) == 0
               ? read_rope(config, s, d, rope, err)
               : -1;
}

int ol_family_read_rope_of(struct ol_config config, const char *type,
                           const struct ol_family_defaults *d, struct ol_rope_spec *rope,
                           bool *found, struct ol_error *err)
{
    struct ol_config all, s;
    const int whole = rope->rotary_dim;
    const enum ol_rope_kind kind = rope->kind;
    if (ol_config_section(config, "rope_parameters", &all, err) != 0 ||
        ol_config_section(all, type, &s, err) != 0)
        return -1;
    *found = s.json != NULL;
    if (!*found)
        return 0;
    *rope = (struct ol_rope_spec){.kind = kind, .rotary_dim = whole};
    return read_rope(config, s, d, rope, err);
}
