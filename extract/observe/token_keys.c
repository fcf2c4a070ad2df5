#include "extract/observe/token_keys.h"

enum { KEY_SEED = 1 };

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) of a key and a token. */
static uint64_t mix(uint64_t key, int32_t id)
{
    uint64_t z = key + ((uint64_t)id + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t *ol_token_keys(const struct ol_recording *r)
{
    const int32_t *ids = r->to.ids;
    uint64_t *keys = ol_xcalloc((size_t)ol_recording_rows(r), sizeof *keys);
    for (int64_t s = 0; s < r->to.layout->n_sequences; s++) {
        uint64_t key = KEY_SEED;
        for (int64_t row = r->starts[s]; row < r->starts[s + 1]; row++) {
            key = mix(key, ids[row]);
            keys[row] = (key & ~(uint64_t)1) | (row == r->starts[s]);
        }
    }
    return keys;
}
