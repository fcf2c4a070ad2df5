#include "extract/weights/weight_format.h"

#include "extract/weights/formats/formats.h"

/* Inputs that are scaled before the product belong to the weight: without them it is
 * another one. */
static int check_inputs(const struct ol_format_search *s)
{
    static const char suffix[] = ".pre_quant_scale";
    if (s->want->spec->quantization.method != OL_QUANTIZATION_MODELOPT)
        return 0;
    char base[OL_FORMAT_NAME_BYTES];
    ol_format_base(s->want, base);
    const struct ol_stored_tensor *t = ol_format_find(s, base, suffix);
    return t == NULL
               ? 0
               : ol_fail(s->err,
                         "%s: tensor %s scales the inputs of a weight, which is not "
                         "supported",
                         ol_checkpoint_path(s->c, t->file), t->name);
}

static int find(const struct ol_format_search *s, struct ol_weight *weight)
{
    /* Plain tensors are first in the table. */
    for (int i = OL_N_ENCODINGS - 1; i >= 0; i--) {
        const struct ol_weight_format *f = ol_weight_formats[i];
        const int found =
            ol_format_is_meant(f, &s->want->spec->quantization) ? f->find(s, weight) : 0;
        if (found != 0)
            return found;
    }
    return 0;
}

int ol_weight_find(const struct ol_checkpoint *c, const struct ol_role_tensor *want,
                   struct ol_weight *weight, struct ol_error *err)
{
    const struct ol_format_search s = {c, want, ol_checkpoint_has_bytes(c), err};
    return check_inputs(&s) == 0 ? find(&s, weight) : -1;
}

int ol_weight_see(const struct ol_checkpoint *c, const struct ol_role_tensor *want,
                  struct ol_weight *weight, struct ol_error *err)
{
    const struct ol_format_search s = {c, want, true, err};
    return find(&s, weight) > 0 ? 0 : -1;
}
