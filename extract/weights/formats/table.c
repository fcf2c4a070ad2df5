#include <string.h>

#include "extract/weights/formats/formats.h"

#define OL_FORMAT(NAME, name)                                                            \
    extern const struct ol_weight_format ol_weight_format_##name;
#include "extract/weights/formats/list.h"

const struct ol_weight_format *const ol_weight_formats[OL_N_ENCODINGS] = {
#define OL_FORMAT(NAME, name) [OL_ENCODING_##NAME] = &ol_weight_format_##name,
#include "extract/weights/formats/list.h"
};

const struct ol_format_label *ol_format_next_label(enum ol_quantization method,
                                                   const struct ol_format_label *last)
{
    for (int i = 0; i < OL_N_ENCODINGS; i++)
        for (const struct ol_format_label *l = ol_weight_formats[i]->labels;
             l != NULL && l->method != OL_QUANTIZATION_NONE; l++) {
            if (l->method == method && last == NULL)
                return l;
            if (l == last)
                last = NULL;
        }
    return NULL;
}

/* What is not said does not count, unless it has to be `exactly` the same form or none.
 */
static bool says_form(const struct ol_format_label *l, const char *form, bool exactly)
{
    if (l->form == NULL || form == NULL)
        return !exactly || l->form == form;
    return strcmp(l->form, form) == 0;
}

const struct ol_format_label *ol_format_find_label(enum ol_quantization method,
                                                   const char *form, int bits,
                                                   const char *type)
{
    for (int turn = 0; turn < 2; turn++) {
        const struct ol_format_label *l = NULL;
        while ((l = ol_format_next_label(method, l)) != NULL)
            if (says_form(l, form, turn == 0) &&
                (l->bits == 0 || bits == 0 || l->bits == bits) &&
                (l->type == NULL || type == NULL || strcmp(l->type, type) == 0))
                return l;
    }
    return NULL;
}

static bool has_label(const struct ol_weight_format *f,
                      const struct ol_format_label *label)
{
    for (const struct ol_format_label *l = f->labels;
         l != NULL && l->method != OL_QUANTIZATION_NONE; l++)
        if (l == label)
            return true;
    return false;
}

const struct ol_weight_format *ol_format_of_label(const struct ol_format_label *label)
{
    for (int i = 0; i < OL_N_ENCODINGS; i++)
        if (has_label(ol_weight_formats[i], label))
            return ol_weight_formats[i];
    return NULL;
}

const struct ol_format_label *
ol_format_label_of_experts(const struct ol_quantization_spec *q)
{
    const struct ol_format_label *l = NULL;
    while (q->fp4_experts && (l = ol_format_next_label(q->method, l)) != NULL)
        if (l->form != NULL && strcmp(l->form, OL_FORM_FP4_EXPERTS) == 0)
            return l;
    return q->label;
}

/* modelopt's modules may be stored in several formats: in which is seen in their tensors.
 */
bool ol_format_is_meant(const struct ol_weight_format *f,
                        const struct ol_quantization_spec *q)
{
    if (f->labels == NULL || has_label(f, q->label) ||
        has_label(f, ol_format_label_of_experts(q)))
        return true;
    for (const struct ol_format_label *l = f->labels; l->method != OL_QUANTIZATION_NONE;
         l++)
        if (l->method == q->method && q->method == OL_QUANTIZATION_MODELOPT)
            return true;
    return false;
}

void ol_format_apply(const struct ol_format_label *label, struct ol_quantization_spec *q)
{
    enum { BLOCK = 128 };
    q->label = label;
    q->scales = (enum ol_scales)label->scales;
    q->block_rows = q->block_cols = q->scales == OL_SCALES_BLOCK ? BLOCK : 0;
}
