#include "extract/text/tokenizer/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"

/* A text and its id; texts lie one after another in the arena. All in one place, because
 * looking tokens up is most of the work of opening a tokenizer. */
struct slot {
    uint32_t hash, at, bytes;
    int32_t id_and_1; /* 0: free */
};

struct text {
    uint32_t at, bytes;
    bool known;
};

struct ol_vocab {
    char *arena;
    size_t used, room;
    struct slot *slots; /* open addressing */
    size_t n_slots;     /* a power of two */
    size_t n;           /* slots in use */
    struct text *by_id;
    int32_t n_ids, id_room;
};

uint64_t ol_hash_bytes(const char *text, size_t bytes)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ bytes, word;
    for (; bytes >= 8; text += 8, bytes -= 8) {
        memcpy(&word, text, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, text, bytes);
    h = (h ^ word) * 0xc4ceb9fe1a85ec53u;
    h = (h ^ h >> 32) * 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

struct ol_vocab *ol_vocab_new(void)
{
    struct ol_vocab *v = ol_xcalloc(1, sizeof *v);
    v->n_slots = 1024;
    v->slots = ol_xcalloc(v->n_slots, sizeof *v->slots);
    return v;
}

void ol_vocab_free(struct ol_vocab *v)
{
    if (v == NULL)
        return;
    free(v->by_id);
    free(v->slots);
    free(v->arena);
    free(v);
}

/* The slot of a text, or the free one where it belongs. */
static struct slot *find_slot(const struct ol_vocab *v, const char *text, size_t bytes,
                              uint32_t hash)
{
    size_t i = hash & (v->n_slots - 1);
    for (;; i = (i + 1) & (v->n_slots - 1)) {
        struct slot *slot = &v->slots[i];
        if (slot->id_and_1 == 0 || (slot->hash == hash && slot->bytes == bytes &&
                                    memcmp(v->arena + slot->at, text, bytes) == 0))
            return slot;
    }
}

static void grow_slots(struct ol_vocab *v, size_t n_slots)
{
    const struct slot *old = v->slots;
    const size_t n_old = v->n_slots;
    v->n_slots = n_slots;
    v->slots = ol_xcalloc(v->n_slots, sizeof *v->slots);
    for (size_t k = 0; k < n_old; k++) {
        if (old[k].id_and_1 == 0)
            continue;
        size_t i = old[k].hash & (v->n_slots - 1);
        while (v->slots[i].id_and_1 != 0)
            i = (i + 1) & (v->n_slots - 1);
        v->slots[i] = old[k];
    }
    free((void *)(uintptr_t)old);
}

static void grow_ids(struct ol_vocab *v, int32_t id)
{
    int32_t room = v->id_room > 0 ? v->id_room : 1024;
    while (room <= id)
        room *= 2;
    v->by_id = ol_xrealloc_array(v->by_id, (size_t)room, sizeof *v->by_id);
    memset(v->by_id + v->id_room, 0, (size_t)(room - v->id_room) * sizeof *v->by_id);
    v->id_room = room;
}

void ol_vocab_reserve(struct ol_vocab *v, size_t n)
{
    size_t n_slots = v->n_slots;
    while (n_slots < 2 * (n + 1))
        n_slots *= 2;
    if (n_slots > v->n_slots)
        grow_slots(v, n_slots);
}

bool ol_vocab_add(struct ol_vocab *v, const char *text, size_t bytes, int32_t id)
{
    if (2 * (v->n + 1) > v->n_slots)
        grow_slots(v, 4 * v->n_slots);
    const uint32_t hash = (uint32_t)ol_hash_bytes(text, bytes);
    struct slot *slot = find_slot(v, text, bytes, hash);
    if (slot->id_and_1 != 0)
        return false;
    if (v->used + bytes > v->room) {
        v->room = 2 * (v->used + bytes) + 4096;
        v->arena = ol_xrealloc_array(v->arena, v->room, 1);
    }
    memcpy(v->arena + v->used, text, bytes);
    *slot = (struct slot){hash, (uint32_t)v->used, (uint32_t)bytes, id + 1};
    v->n++;
    if (id >= v->id_room)
        grow_ids(v, id);
    if (!v->by_id[id].known)
        v->by_id[id] = (struct text){slot->at, slot->bytes, true};
    v->used += bytes;
    v->n_ids = id >= v->n_ids ? id + 1 : v->n_ids;
    return true;
}

int32_t ol_vocab_find(const struct ol_vocab *v, const char *text, size_t bytes)
{
    return find_slot(v, text, bytes, (uint32_t)ol_hash_bytes(text, bytes))->id_and_1 - 1;
}

/* Slots and texts are all over memory: they are asked for before the first is needed. */
void ol_vocab_find_many(const struct ol_vocab *v, const char *texts, const size_t *ends,
                        size_t n, int32_t *ids)
{
    uint32_t hashes[OL_VOCAB_MANY];
    for (size_t i = 0, first = 0; i < n; first = ends[i++]) {
        hashes[i] = (uint32_t)ol_hash_bytes(texts + first, ends[i] - first);
        __builtin_prefetch(&v->slots[hashes[i] & (v->n_slots - 1)]);
    }
    for (size_t i = 0; i < n; i++)
        __builtin_prefetch(v->arena + v->slots[hashes[i] & (v->n_slots - 1)].at);
    for (size_t i = 0, first = 0; i < n; first = ends[i++])
        ids[i] = find_slot(v, texts + first, ends[i] - first, hashes[i])->id_and_1 - 1;
}

const char *ol_vocab_text(const struct ol_vocab *v, int32_t id, size_t *bytes)
{
    if (id < 0 || id >= v->n_ids || !v->by_id[id].known)
        return NULL;
    *bytes = v->by_id[id].bytes;
    return v->arena + v->by_id[id].at;
}

int32_t ol_vocab_size(const struct ol_vocab *v)
{
    return v->n_ids;
}
