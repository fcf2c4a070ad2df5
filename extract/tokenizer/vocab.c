#include "extract/tokenizer/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"

/* A text and its id; texts lie one after another in the arena. */
struct entry {
    size_t at;
    uint32_t bytes;
    int32_t id;
};

struct ol_vocab {
    char *arena;
    size_t used, room;
    struct entry *entries;
    size_t n_entries, entry_room;
    uint32_t *slots; /* entry + 1, open addressing; 0: free */
    size_t n_slots;  /* a power of two */
    uint32_t *by_id; /* entry + 1 */
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
    return h ^ h >> 29;
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
    free(v->entries);
    free(v->arena);
    free(v);
}

/* The slot of a text, or the free one where it belongs. */
static uint32_t *find_slot(const struct ol_vocab *v, const char *text, size_t bytes)
{
    size_t i = (size_t)ol_hash_bytes(text, bytes) & (v->n_slots - 1);
    for (;; i = (i + 1) & (v->n_slots - 1)) {
        if (v->slots[i] == 0)
            return &v->slots[i];
        const struct entry *e = &v->entries[v->slots[i] - 1];
        if (e->bytes == bytes && memcmp(v->arena + e->at, text, bytes) == 0)
            return &v->slots[i];
    }
}

static void grow_slots(struct ol_vocab *v)
{
    free(v->slots);
    v->n_slots *= 4;
    v->slots = ol_xcalloc(v->n_slots, sizeof *v->slots);
    for (size_t i = 0; i < v->n_entries; i++) {
        const struct entry *e = &v->entries[i];
        *find_slot(v, v->arena + e->at, e->bytes) = (uint32_t)i + 1;
    }
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

bool ol_vocab_add(struct ol_vocab *v, const char *text, size_t bytes, int32_t id)
{
    if (2 * (v->n_entries + 1) > v->n_slots)
        grow_slots(v);
    uint32_t *slot = find_slot(v, text, bytes);
    if (*slot != 0)
        return false;
    if (v->used + bytes > v->room) {
        v->room = 2 * (v->used + bytes) + 4096;
        v->arena = ol_xrealloc_array(v->arena, v->room, 1);
    }
    if (v->n_entries == v->entry_room) {
        v->entry_room = 2 * v->entry_room + 1024;
        v->entries = ol_xrealloc_array(v->entries, v->entry_room, sizeof *v->entries);
    }
    memcpy(v->arena + v->used, text, bytes);
    v->entries[v->n_entries++] = (struct entry){v->used, (uint32_t)bytes, id};
    v->used += bytes;
    *slot = (uint32_t)v->n_entries;
    if (id >= v->id_room)
        grow_ids(v, id);
    if (v->by_id[id] == 0)
        v->by_id[id] = (uint32_t)v->n_entries;
    v->n_ids = id >= v->n_ids ? id + 1 : v->n_ids;
    return true;
}

int32_t ol_vocab_find(const struct ol_vocab *v, const char *text, size_t bytes)
{
    const uint32_t entry = *find_slot(v, text, bytes);
    return entry != 0 ? v->entries[entry - 1].id : -1;
}

const char *ol_vocab_text(const struct ol_vocab *v, int32_t id, size_t *bytes)
{
    if (id < 0 || id >= v->n_ids || v->by_id[id] == 0)
        return NULL;
    const struct entry *e = &v->entries[v->by_id[id] - 1];
    *bytes = e->bytes;
    return v->arena + e->at;
}

int32_t ol_vocab_size(const struct ol_vocab *v)
{
    return v->n_ids;
}
