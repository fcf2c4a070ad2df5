/* The formats of weights: one file each, which recognises its tensors, checks their types
 * and shapes, and says where their bytes are (weight.h says how they are read). Names and
 * shapes follow what is published with each: DeepSeek-V3's fp8_cast script, the model
 * card of gpt-oss, the compressed-tensors library, TensorRT Model Optimizer, GPTQModel
 * and AutoAWQ. */
#ifndef OL_FORMATS_H
#define OL_FORMATS_H

#include <stdbool.h>

#include "common/error.h"
#include "extract/model/role.h"
#include "extract/weights/checkpoint.h"
#include "extract/weights/weight.h"

enum { OL_FORMAT_NAME_BYTES = OL_ROLE_NAME_BYTES + 32, OL_FORMAT_CODES_PER_WORD = 8 };

/* What is looked for, and where. */
struct ol_format_search {
    const struct ol_checkpoint *c;
    const struct ol_role_tensor *want;
    struct ol_error *err;
};

/* ---- formats: 1 with *weight; 0: not there; -1 with err ---- */

/* t: the tensor of the expected name. */
int ol_format_plain(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                    struct ol_weight *weight);
/* All experts in one tensor: as the family's own files have it, or as transformers 5
 * writes every family, [n_experts, out, in] with gate's rows before up's. */
int ol_format_fused(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                    struct ol_weight *weight);
int ol_format_fused_rows(const struct ol_format_search *s,
                         const struct ol_stored_tensor *t, struct ol_weight *weight);
int ol_format_fp8(const struct ol_format_search *s, const struct ol_stored_tensor *t,
                  struct ol_weight *weight);
int ol_format_fp8_fused(const struct ol_format_search *s,
                        const struct ol_stored_tensor *t, struct ol_weight *weight);
/* modelopt: codes U8 under the expected name. */
int ol_format_nvfp4_modelopt(const struct ol_format_search *s,
                             const struct ol_stored_tensor *t, struct ol_weight *weight);

/* These have names of their own. */
int ol_format_mxfp4(const struct ol_format_search *s, struct ol_weight *weight);
int ol_format_nvfp4(const struct ol_format_search *s, struct ol_weight *weight);
int ol_format_packed(const struct ol_format_search *s, struct ol_weight *weight);
int ol_format_gptq_or_awq(const struct ol_format_search *s, struct ol_weight *weight);

/* ---- what they share ---- */

struct ol_format_shape {
    int rank;
    int64_t dims[4];
};
int ol_format_check_shape(const struct ol_format_search *s,
                          const struct ol_stored_tensor *t, struct ol_format_shape shape);
int ol_format_check_type(const struct ol_format_search *s,
                         const struct ol_stored_tensor *t, const char *type);
/* BF16, F16 or F32. */
int ol_format_read_type(const struct ol_format_search *s,
                        const struct ol_stored_tensor *t, enum ol_dtype *dtype);
struct ol_span ol_format_span(const struct ol_stored_tensor *t);

/* Which of the two matrices that lie in one tensor; the down projection lies alone. */
struct ol_format_half {
    bool is_half, second;
};
struct ol_format_half ol_format_half_of(enum ol_role role);

/* The tensor called base + suffix, or NULL. */
const struct ol_stored_tensor *ol_format_find(const struct ol_format_search *s,
                                              const char *base, const char *suffix);
/* The same, of one that must be there because `t` is: NULL with err. */
const struct ol_stored_tensor *ol_format_need(const struct ol_format_search *s,
                                              const struct ol_stored_tensor *t,
                                              const char *base, const char *suffix);
/* The expected name without ".weight". */
void ol_format_base(const struct ol_role_tensor *want, char base[OL_FORMAT_NAME_BYTES]);

/* Input by input its group (suffix: of a tensor I32 [in]), when there is such a tensor.
 */
int ol_format_groups_of_inputs(const struct ol_format_search *s, const char *base,
                               const char *suffix, struct ol_weight *w);

int64_t ol_format_ceil_div(int64_t a, int64_t b);

#endif
