/* decode: stored weights as numbers, exact in float except what a format itself rounds:
 * bit for bit what the CPU makes. dst [n_rows, n_cols] row-major, as float or bf16. */
#include "extract/cuda/decode.h"

static ol_cuda_decoder *const decoders[OL_N_ENCODINGS] = {
#define OL_FORMAT(NAME, name) ol_cuda_decode_##name,
#include "extract/weights/formats/list.h"
};

int ol_cuda_decode(struct ol_cuda *cuda, const struct ol_cuda_weight *w,
                   enum ol_dtype rounding, enum ol_dtype dtype, void *dst,
                   struct ol_error *err)
{
    return decoders[w->encoding](cuda, w, rounding, dtype, dst, err);
}
