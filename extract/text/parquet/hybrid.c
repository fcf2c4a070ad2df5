#include "extract/text/parquet/hybrid.h"

enum { GROUP = 8 /* packed numbers come by so many */ };

/* A run's head: the number of groups, or of equal values, and a bit that says which. */
static bool begin_run(struct ol_hybrid *h)
{
    uint64_t head = 0;
    int shift = 0;
    uint8_t byte = 0x80;
    for (; byte >= 0x80 && shift < 35 && h->at < h->n; shift += 7) {
        byte = h->bytes[h->at++];
        head |= (uint64_t)(byte & 0x7f) << shift;
    }
    if (byte >= 0x80)
        return false;
    h->packed = (head & 1) != 0;
    h->left = head >> 1;
    if (h->packed) {
        /* The last run may have fewer bytes than groups; whoever asks for what is not
         * there finds out. */
        const uint64_t bytes = h->left * (uint64_t)h->width;
        h->left *= GROUP;
        h->bit = (uint64_t)h->at * 8;
        h->at = bytes < h->n - h->at ? h->at + (size_t)bytes : h->n;
        return true;
    }
    const size_t bytes = (size_t)(h->width + 7) / 8;
    if (h->n - h->at < bytes)
        return false;
    h->value = 0;
    for (size_t i = 0; i < bytes; i++)
        h->value |= (uint32_t)h->bytes[h->at++] << (8 * i);
    return true;
}

static bool take_packed(struct ol_hybrid *h, uint32_t *value)
{
    const uint64_t first = h->bit, end = first + (uint64_t)h->width;
    uint64_t bits = 0;
    if (end > (uint64_t)h->at * 8)
        return false;
    for (uint64_t i = first / 8; i < (end + 7) / 8; i++)
        bits |= (uint64_t)h->bytes[i] << (8 * (i - first / 8));
    *value = (uint32_t)(bits >> first % 8 & ((UINT64_C(1) << h->width) - 1));
    h->bit = end;
    return true;
}

bool ol_hybrid_next(struct ol_hybrid *h, uint32_t *value)
{
    /* Runs of nothing end with the bytes. */
    while (h->left == 0)
        if (h->at == h->n || !begin_run(h))
            return false;
    h->left--;
    *value = h->value;
    return !h->packed || take_packed(h, value);
}
