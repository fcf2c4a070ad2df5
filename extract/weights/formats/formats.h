/* The formats of weights: one file each, which says how config.json names it, finds its
 * tensors in a checkpoint, checks their types and shapes, tells their bytes where only
 * config.json is known, and decodes them. Names and shapes follow what is published with
 * each: DeepSeek-V3's fp8_cast script, the model card of gpt-oss, the compressed-tensors
 * library, TensorRT Model Optimizer, GPTQModel and AutoAWQ. */
#ifndef OL_FORMATS_H
#define OL_FORMATS_H

#include <stdbool.h>

#include "common/error.h"
#include "extract/model/role.h"
#include "extract/weights/checkpoint.h"
#include "extract/weights/formats/dequant.h"
#include "extract/weights/weight.h"

/* What is looked for, and where. */
struct ol_format_search {
    const struct ol_checkpoint *c;
    const struct ol_role_tensor *want;
    bool seen; /* what the weight's spans hold is there; else it is left `unseen` */
    struct ol_error *err;
};

/* The form of FP8's routed experts where they are in four bits. */
#define OL_FORM_FP4_EXPERTS "fp4 experts"

/* How quantization_config names a format; what is 0 or NULL does not count. */
struct ol_format_label {
    enum ol_quantization method;
    const char *form; /* compressed-tensors: "format"; modelopt: "quant_algo" */
    int bits;
    const char *type; /* compressed-tensors: "int", "float" */
    unsigned scales;  /* those of enum ol_scales that it may have; modelopt: the one */
    bool zero_points; /* compressed-tensors: "symmetric" may be false */
    /* It is published for routed experts alone, or is where no list says otherwise. */
    bool experts_alone, experts_unless_listed;
};

/* One for each format: `ol_weight_format_NAME` in NAME.c, a line in list.h. */
struct ol_weight_format {
    const char *name;                     /* as plans tell it */
    const char *name_of_8_bits;           /* where codes may have 4 or 8 */
    const struct ol_format_label *labels; /* end with an empty one; NULL: any config */
    /* 1 with *weight; 0: no such tensors; -1 with err. */
    int (*find)(const struct ol_format_search *s, struct ol_weight *weight);
    /* Of a matrix, as far as config.json tells. */
    int64_t (*bytes)(const struct ol_quantization_spec *q, int64_t n_rows,
                     int64_t n_cols);
    struct ol_dequant decoder;
};
extern const struct ol_weight_format *const ol_weight_formats[OL_N_ENCODINGS];

/* The label that says these, and whose it is; NULL: none does. */
const struct ol_format_label *ol_format_find_label(enum ol_quantization method,
                                                   const char *form, int bits,
                                                   const char *type);
/* What routed experts are called: as all else, but where they are in four bits. */
const struct ol_format_label *
ol_format_label_of_experts(const struct ol_quantization_spec *q);
const struct ol_weight_format *ol_format_of_label(const struct ol_format_label *label);

/* Whether q may mean the format. */
bool ol_format_is_meant(const struct ol_weight_format *f,
                        const struct ol_quantization_spec *q);

/* Walk over the labels of a method: the one after `last`, first after NULL. */
const struct ol_format_label *ol_format_next_label(enum ol_quantization method,
                                                   const struct ol_format_label *last);

/* modelopt: let q say what the label says. */
void ol_format_apply(const struct ol_format_label *label, struct ol_quantization_spec *q);

/* ---- what formats share ---- */

enum { OL_FORMAT_NAME_BYTES = OL_ROLE_NAME_BYTES + 32 };

struct ol_format_shape {
    int rank;
    int64_t dims[4];
};
int ol_format_check_shape(const struct ol_format_search *s,
                          const struct ol_stored_tensor *t, struct ol_format_shape shape);
int ol_format_check_type(const struct ol_format_search *s,
                         const struct ol_stored_tensor *t, const char *type);
bool ol_format_is_type(const struct ol_stored_tensor *t, const char *type);
/* BF16, F16 or F32. */
int ol_format_read_type(const struct ol_format_search *s,
                        const struct ol_stored_tensor *t, enum ol_dtype *dtype);
/* Whether the inputs are whole groups of two codes to a byte; t is named. */
int ol_format_check_groups(const struct ol_format_search *s,
                           const struct ol_stored_tensor *t, const char *format,
                           int64_t group);
struct ol_span ol_format_span(const struct ol_stored_tensor *t);

/* Which of the two matrices that lie in one tensor; the down projection lies alone, and
 * so does an up projection without a gate. */
struct ol_format_half {
    bool is_half, second;
};
struct ol_format_half ol_format_half_of(const struct ol_role_tensor *want);

/* The tensor called base + suffix, or NULL. */
const struct ol_stored_tensor *ol_format_find(const struct ol_format_search *s,
                                              const char *base, const char *suffix);
/* The same, of one that must be there because `t` is: NULL with err. */
const struct ol_stored_tensor *ol_format_need(const struct ol_format_search *s,
                                              const struct ol_stored_tensor *t,
                                              const char *base, const char *suffix);
/* The tensor where transformers 5 puts all experts, or NULL. */
const struct ol_stored_tensor *ol_format_find_fused(const struct ol_format_search *s);
/* What of fused name + suffix, a tensor of all experts of a layer, is the expert's, as if
 * it were a tensor of its own: its rows of [n_experts, rows, columns] or [n_experts *
 * rows, columns], gate's before up's; or its number of one for all, for each expert, or
 * for gate and up of each. 1; 0: there is no such tensor; -1 with err. */
int ol_format_rows_of_fused(const struct ol_format_search *s, const char *suffix,
                            struct ol_stored_tensor *rows);
int ol_format_number_of_fused(const struct ol_format_search *s, const char *suffix,
                              struct ol_stored_tensor *number);
/* The expected name without ".weight". */
void ol_format_base(const struct ol_role_tensor *want, char base[OL_FORMAT_NAME_BYTES]);

/* Input by input its group (suffix: of a tensor I32 [in]), when there is such a tensor.
 */
int ol_format_groups_of_inputs(const struct ol_format_search *s, const char *base,
                               const char *suffix, struct ol_weight *w);

#endif
