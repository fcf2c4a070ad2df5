/* permute: counting sort of (token, slot) pairs by expert; stable, so rows rise within an
 * expert. */
#include "extract/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

int ol_cpu_permute(struct ol_backend *b, const uint16_t *ids, int64_t n_tokens, int top_k,
                   struct ol_permutation *p, struct ol_error *err)
{
    (void)b;
    const int64_t n_pairs = n_tokens * top_k;
    memset(p->offsets, 0, ((size_t)p->n_experts + 1) * sizeof *p->offsets);
    for (int64_t i = 0; i < n_pairs; i++) {
        if (ids[i] >= p->n_experts)
            return ol_fail(err, "cpu: permute: expert %d of %d", ids[i], p->n_experts);
        p->offsets[ids[i] + 1]++;
    }
    for (int e = 0; e < p->n_experts; e++)
        p->offsets[e + 1] += p->offsets[e];
    int64_t *next = ol_xmalloc((size_t)p->n_experts * sizeof *next);
    memcpy(next, p->offsets, (size_t)p->n_experts * sizeof *next);
    for (int64_t i = 0; i < n_pairs; i++) {
        const int64_t at = next[ids[i]]++;
        p->rows[at] = (int32_t)(i / top_k);
        p->slots[at] = (int32_t)(i % top_k);
    }
    free(next);
    return 0;
}
