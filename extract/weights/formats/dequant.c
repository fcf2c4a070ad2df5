#include "extract/weights/formats/dequant.h"

#include <assert.h>
#include <string.h>

#include "extract/weights/formats/formats.h"

const struct ol_dequant *ol_dequant_of(const struct ol_weight *w)
{
    assert(w->encoding < OL_N_ENCODINGS);
    return &ol_weight_formats[w->encoding]->decoder;
}

int64_t ol_dequant_row_multiple(const struct ol_weight *w)
{
    return ol_dequant_of(w)->by_words ? 32 / w->bits : 1;
}

void ol_dequant_cut(const struct ol_weight *w, int64_t row, int64_t n,
                    struct ol_weight_cut *cut)
{
    memset(cut, 0, sizeof *cut);
    ol_dequant_of(w)->cut(w, row, n, cut);
    if (w->groups != NULL)
        cut->runs[3] =
            ol_dequant_run(w->groups, 0, 1, w->n_cols * (int64_t)sizeof(int32_t), 0);
}

void ol_dequant_round(const struct ol_weight *w, float *x, int64_t n)
{
    if (w->rounds && w->scale_dtype == OL_DTYPE_BF16)
        for (int64_t i = 0; i < n; i++)
            x[i] = ol_bf16_round(x[i]);
    else
        for (int64_t i = 0; i < n && w->rounds; i++)
            x[i] = ol_dequant_rounded(w, x[i]);
}

struct ol_weight_run ol_dequant_run(const void *data, int64_t first, int64_t n,
                                    int64_t bytes, int64_t stride)
{
    return (struct ol_weight_run){(const char *)data + first, n, (size_t)bytes, stride};
}
