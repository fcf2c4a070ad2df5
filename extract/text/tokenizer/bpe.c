/* Merging repeatedly joins the pair of neighbours whose merge stands first in the list,
 * the leftmost of several (Sennrich et al., arXiv 1508.07909).
 *
 * Short words scan their pairs, long ones keep them in a heap. Two things make it fast
 * without changing a result: short words are remembered, and a long text without word
 * boundaries is cut where no merge at all can join the two characters. */
#include "extract/text/tokenizer/bpe.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "extract/text/tokenizer/byte_level.h"

enum {
    SCAN_SYMBOLS = 32, /* words of more symbols take the heap */
    CUT_BYTES = 48,    /* words of more bytes are cut first */
    CACHE_SLOTS = 1 << 16,
    CACHE_BYTES = 30, /* of a word that is remembered */
    CACHE_IDS = 8,
};

struct merge {
    uint64_t pair; /* left << 32 | right */
    uint32_t rank;
    int32_t result;
};
#define NO_PAIR UINT64_MAX

struct cached {
    uint8_t bytes, n_ids;
    char word[CACHE_BYTES];
    int32_t ids[CACHE_IDS];
};

/* A pair in the heap. It is out of date when its symbols have changed since. */
struct candidate {
    uint32_t rank;
    int32_t at, left, right, result;
};

/* Symbols of one word: ids and, for the heap, neighbours. */
struct word {
    int32_t *ids, *previous, *next;
    size_t n, room;
    struct candidate *heap;
    size_t n_heap, heap_room;
};

struct ol_bpe {
    struct ol_bpe_options is;
    const struct ol_vocab *vocab; /* texts as in the file */
    struct ol_vocab *words;       /* texts as in a word: bytes, if byte_level */
    int32_t bytes[256];           /* id of a byte's symbol or <0xHH>, or -1 */
    struct merge *merges;         /* open addressing */
    size_t merge_mask;
    uint64_t *joints; /* set of last character << 32 | first character of merges */
    size_t joint_mask;
    struct cached *cache;
    struct word word;
};

/* ---- tables ---- */

static size_t mix(uint64_t key)
{
    key *= 0x9e3779b97f4a7c15u;
    return (size_t)(key ^ key >> 32);
}

static const struct merge *find_merge(const struct ol_bpe *b, int32_t left, int32_t right)
{
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = mix(pair) & b->merge_mask;
    for (; b->merges[i].pair != NO_PAIR; i = (i + 1) & b->merge_mask)
        if (b->merges[i].pair == pair)
            return &b->merges[i];
    return NULL;
}

static void add_merge(struct ol_bpe *b, struct merge merge)
{
    size_t i = mix(merge.pair) & b->merge_mask;
    while (b->merges[i].pair != NO_PAIR && b->merges[i].pair != merge.pair)
        i = (i + 1) & b->merge_mask;
    b->merges[i] = merge; /* the later of two stands, as in the reference */
}

static bool has_joint(const struct ol_bpe *b, uint64_t joint)
{
    for (size_t i = mix(joint) & b->joint_mask; b->joints[i] != NO_PAIR;
         i = (i + 1) & b->joint_mask)
        if (b->joints[i] == joint)
            return true;
    return false;
}

static void add_joint(struct ol_bpe *b, uint64_t joint)
{
    size_t i = mix(joint) & b->joint_mask;
    while (b->joints[i] != NO_PAIR && b->joints[i] != joint)
        i = (i + 1) & b->joint_mask;
    b->joints[i] = joint;
}

static uint32_t first_character(const char *text, size_t bytes)
{
    uint32_t code = 0;
    ol_utf8_decode(text, bytes, &code);
    return code;
}

static uint32_t last_character(const char *text, size_t bytes)
{
    size_t at = bytes - 1;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return first_character(text + at, bytes - at);
}

static size_t power_of_two(size_t least)
{
    size_t n = 16;
    while (n < least)
        n *= 2;
    return n;
}

static uint64_t pair_of(const int32_t pair[2])
{
    return (uint64_t)(uint32_t)pair[0] << 32 | (uint32_t)pair[1];
}

/* The characters that meet in a merge of two texts. */
static void add_joint_of(struct ol_bpe *b, const int32_t pair[2])
{
    size_t n, m;
    const char *x = ol_vocab_text(b->vocab, pair[0], &n);
    const char *y = ol_vocab_text(b->vocab, pair[1], &m);
    if (n > 0 && m > 0)
        add_joint(b, (uint64_t)last_character(x, n) << 32 | first_character(y, m));
}

/* The merges from `first` on, OL_VOCAB_MANY at most: what each makes, one text after
 * another in *joined. Slots are asked for before they are needed. */
static size_t join(const struct ol_bpe *b, const struct ol_merge_list *list, size_t first,
                   char **joined, size_t *room, size_t ends[OL_VOCAB_MANY])
{
    size_t n = 0, used = 0;
    for (; n < OL_VOCAB_MANY && first + n < list->n; n++) {
        const int32_t *pair = list->pairs[first + n];
        for (int i = 0; i < 2; i++) {
            size_t bytes;
            const char *text = ol_vocab_text(b->vocab, pair[i], &bytes);
            if (used + bytes > *room)
                *joined = ol_xrealloc_array(*joined, *room = 2 * (used + bytes) + 256, 1);
            memcpy(*joined + used, text, bytes);
            used += bytes;
        }
        ends[n] = used;
        __builtin_prefetch(&b->merges[mix(pair_of(pair)) & b->merge_mask], 1);
    }
    return n;
}

static uint32_t rank_of(const struct ol_merge_list *list, size_t i)
{
    return list->ranks != NULL ? list->ranks[i] : (uint32_t)i;
}

static int read_merges(struct ol_bpe *b, const struct ol_merge_list *list,
                       const char *name, struct ol_error *err)
{
    const size_t n_slots = power_of_two(2 * list->n + 1);
    b->merges = ol_xmalloc(n_slots * sizeof *b->merges);
    b->merge_mask = n_slots - 1;
    for (size_t i = 0; i < n_slots; i++)
        b->merges[i].pair = NO_PAIR;
    /* Bytes meet anywhere: nobody asks for joints then. */
    const size_t n_joints = b->is.byte_level ? 1 : n_slots;
    b->joints = ol_xmalloc(n_joints * sizeof *b->joints);
    b->joint_mask = n_joints - 1;
    for (size_t i = 0; i < n_joints; i++)
        b->joints[i] = NO_PAIR;
    char *joined = NULL;
    size_t room = 0, ends[OL_VOCAB_MANY];
    int32_t results[OL_VOCAB_MANY];
    int status = 0;
    for (size_t first = 0; first < list->n && status == 0; first += OL_VOCAB_MANY) {
        const size_t n = join(b, list, first, &joined, &room, ends);
        ol_vocab_find_many(b->vocab, joined, ends, n, results);
        for (size_t i = 0; i < n && status == 0; i++) {
            const int32_t *pair = list->pairs[first + i];
            const size_t at = i > 0 ? ends[i - 1] : 0;
            if (results[i] < 0)
                status = ol_fail(err, "%s: merge %zu makes \"%.*s\", which is no token",
                                 name, first + i, (int)(ends[i] - at), joined + at);
            else
                add_merge(b, (struct merge){pair_of(pair), rank_of(list, first + i),
                                            results[i]});
            if (results[i] >= 0 && !b->is.byte_level)
                add_joint_of(b, pair);
        }
    }
    free(joined);
    return status;
}

/* Tokens by the bytes that a word has; those outside the alphabet never come of merges.
 */
static void read_words(struct ol_bpe *b)
{
    char *bytes = NULL;
    size_t room = 0;
    b->words = ol_vocab_new();
    for (int32_t id = 0; id < ol_vocab_size(b->vocab); id++) {
        size_t n;
        const char *text = ol_vocab_text(b->vocab, id, &n);
        if (text == NULL)
            continue;
        if (n > room)
            bytes = ol_xrealloc_array(bytes, room = 2 * n, 1);
        const size_t m = ol_byte_level_bytes(text, n, bytes);
        if (m != (size_t)-1)
            ol_vocab_add(b->words, bytes, m, id);
    }
    free(bytes);
}

struct ol_bpe *ol_bpe_new(const struct ol_vocab *vocab,
                          const struct ol_merge_list *merges,
                          const struct ol_bpe_options *options, const char *name,
                          struct ol_error *err)
{
    struct ol_bpe *b = ol_xcalloc(1, sizeof *b);
    b->is = *options;
    b->vocab = vocab;
    b->cache = ol_xcalloc(CACHE_SLOTS, sizeof *b->cache);
    bool all_bytes = true;
    for (int i = 0; i < 256; i++) {
        char text[8];
        size_t n = 6;
        if (b->is.byte_level) {
            n = ol_byte_level_char((uint8_t)i, text);
        } else {
            static const char digits[] = "0123456789ABCDEF";
            const char hex[6] = {'<', '0', 'x', digits[i / 16], digits[i % 16], '>'};
            memcpy(text, hex, sizeof hex);
        }
        b->bytes[i] = ol_vocab_find(vocab, text, n);
        all_bytes = all_bytes && b->bytes[i] >= 0;
    }
    b->is.byte_fallback = b->is.byte_fallback && all_bytes && !b->is.byte_level;
    if (b->is.byte_level && b->is.ignore_merges)
        read_words(b);
    if (read_merges(b, merges, name, err) == 0)
        return b;
    ol_bpe_free(b);
    return NULL;
}

void ol_bpe_free(struct ol_bpe *b)
{
    if (b == NULL)
        return;
    free(b->word.heap);
    free(b->word.next);
    free(b->word.previous);
    free(b->word.ids);
    free(b->cache);
    free(b->joints);
    free(b->merges);
    ol_vocab_free(b->words);
    free(b);
}

/* ---- symbols ---- */

static void add_symbol(struct word *w, int32_t id)
{
    if (w->n == w->room) {
        w->room = 2 * w->room + 64;
        w->ids = ol_xrealloc_array(w->ids, w->room, sizeof *w->ids);
        w->previous = ol_xrealloc_array(w->previous, w->room, sizeof *w->previous);
        w->next = ol_xrealloc_array(w->next, w->room, sizeof *w->next);
    }
    w->ids[w->n++] = id;
}

static void add_unknown(struct ol_bpe *b, bool after_unknown)
{
    if (b->is.unknown >= 0 && !(after_unknown && b->is.fuse_unknown))
        add_symbol(&b->word, b->is.unknown);
}

static void split_into_symbols(struct ol_bpe *b, const char *text, size_t bytes)
{
    bool unknown = false; /* the character before */
    b->word.n = 0;
    for (size_t i = 0, n; i < bytes; i += n) {
        uint32_t code;
        n = b->is.byte_level ? 1 : ol_utf8_decode(text + i, bytes - i, &code);
        const int32_t id = b->is.byte_level ? b->bytes[(unsigned char)text[i]]
                                            : ol_vocab_find(b->vocab, text + i, n);
        if (id >= 0) {
            add_symbol(&b->word, id);
            unknown = false;
        } else if (b->is.byte_fallback) {
            for (size_t k = 0; k < n; k++)
                add_symbol(&b->word, b->bytes[(unsigned char)text[i + k]]);
            unknown = false;
        } else {
            add_unknown(b, unknown);
            unknown = true;
        }
    }
}

/* ---- merging ---- */

static void merge_by_scan(const struct ol_bpe *b, int32_t *ids, size_t *count)
{
    const struct merge *pairs[SCAN_SYMBOLS];
    size_t n = *count;
    for (size_t i = 0; i + 1 < n; i++)
        pairs[i] = find_merge(b, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = n;
        uint32_t rank = UINT32_MAX;
        for (size_t i = 0; i + 1 < n; i++)
            if (pairs[i] != NULL && pairs[i]->rank < rank) {
                rank = pairs[i]->rank;
                best = i;
            }
        if (best == n)
            break;
        ids[best] = pairs[best]->result;
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        if (best + 1 < n) {
            memmove(pairs + best + 1, pairs + best + 2, (n - best - 2) * sizeof *pairs);
            pairs[best] = find_merge(b, ids[best], ids[best + 1]);
        }
        if (best > 0)
            pairs[best - 1] = find_merge(b, ids[best - 1], ids[best]);
    }
    *count = n;
}

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(const struct ol_bpe *b, struct word *w, int32_t at)
{
    const int32_t right = w->next[at];
    if (right < 0)
        return;
    const struct merge *merge = find_merge(b, w->ids[at], w->ids[right]);
    if (merge == NULL)
        return;
    if (w->n_heap == w->heap_room) {
        w->heap_room = 2 * w->heap_room + 256;
        w->heap = ol_xrealloc_array(w->heap, w->heap_room, sizeof *w->heap);
    }
    const struct candidate c = {merge->rank, at, w->ids[at], w->ids[right],
                                merge->result};
    size_t i = w->n_heap++;
    for (; i > 0 && before(&c, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
}

static struct candidate pop(struct word *w)
{
    const struct candidate top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->n_heap)
            break;
        if (child + 1 < w->n_heap && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return top;
}

static void merge_by_heap(const struct ol_bpe *b, struct word *w)
{
    const int32_t n = (int32_t)w->n;
    for (int32_t i = 0; i < n; i++) {
        w->previous[i] = i - 1;
        w->next[i] = i + 1 < n ? i + 1 : -1;
    }
    w->n_heap = 0;
    for (int32_t i = 0; i < n; i++)
        push(b, w, i);
    while (w->n_heap > 0) {
        const struct candidate c = pop(w);
        const int32_t right = w->next[c.at];
        if (w->ids[c.at] != c.left || right < 0 || w->ids[right] != c.right)
            continue;
        w->ids[c.at] = c.result;
        w->ids[right] = -1;
        w->next[c.at] = w->next[right];
        if (w->next[right] >= 0)
            w->previous[w->next[right]] = c.at;
        if (w->previous[c.at] >= 0)
            push(b, w, w->previous[c.at]);
        push(b, w, c.at);
    }
    size_t kept = 0;
    for (int32_t i = 0; i < n; i++)
        if (w->ids[i] >= 0)
            w->ids[kept++] = w->ids[i];
    w->n = kept;
}

/* ---- words ---- */

static void encode_piece(struct ol_bpe *b, const char *text, size_t bytes,
                         struct ol_ids *ids)
{
    struct cached *slot = NULL;
    if (bytes <= CACHE_BYTES) {
        slot = &b->cache[ol_hash_bytes(text, bytes) % CACHE_SLOTS];
        if (slot->bytes == bytes && memcmp(slot->word, text, bytes) == 0) {
            for (int i = 0; i < slot->n_ids; i++)
                ol_ids_append(ids, slot->ids[i]);
            return;
        }
    }
    struct word *w = &b->word;
    split_into_symbols(b, text, bytes);
    if (w->n <= SCAN_SYMBOLS)
        merge_by_scan(b, w->ids, &w->n);
    else
        merge_by_heap(b, w);
    for (size_t i = 0; i < w->n; i++)
        ol_ids_append(ids, w->ids[i]);
    if (slot != NULL && w->n <= CACHE_IDS) {
        slot->bytes = (uint8_t)bytes;
        slot->n_ids = (uint8_t)w->n;
        memcpy(slot->word, text, bytes);
        memcpy(slot->ids, w->ids, w->n * sizeof *w->ids);
    }
}

/* Whether some merge may join these two characters. One without a token may become bytes
 * or an unknown token, whose joints are not known. */
static bool may_join(const struct ol_bpe *b, const char *left, size_t n,
                     const char *right, size_t m)
{
    const uint64_t joint =
        (uint64_t)first_character(left, n) << 32 | first_character(right, m);
    return has_joint(b, joint) || ol_vocab_find(b->vocab, left, n) < 0 ||
           ol_vocab_find(b->vocab, right, m) < 0;
}

/* The pieces of a word up to its last cut, which is returned. */
static size_t encode_cut_pieces(struct ol_bpe *b, const char *text, size_t bytes,
                                size_t stop_after, struct ol_ids *ids)
{
    uint32_t code;
    size_t first = 0, n = ol_utf8_decode(text, bytes, &code), m;
    for (size_t at = n; at < bytes; at += m, n = m) {
        m = ol_utf8_decode(text + at, bytes - at, &code);
        if (may_join(b, text + at - n, n, text + at, m))
            continue;
        encode_piece(b, text + first, at - first, ids);
        first = at;
        if (stop_after > 0 && ids->n >= stop_after)
            break;
    }
    return first;
}

static void encode_long(struct ol_bpe *b, const char *text, size_t bytes,
                        size_t stop_after, struct ol_ids *ids)
{
    const size_t first = encode_cut_pieces(b, text, bytes, stop_after, ids);
    if (stop_after == 0 || ids->n < stop_after)
        encode_piece(b, text + first, bytes - first, ids);
}

void ol_bpe_encode_begun(struct ol_bpe *b, const char *text, size_t bytes,
                         size_t stop_after, struct ol_ids *ids, size_t *taken)
{
    const bool whole = b->is.byte_level || b->is.ignore_merges;
    *taken = whole ? 0 : encode_cut_pieces(b, text, bytes, stop_after, ids);
}

void ol_bpe_encode(struct ol_bpe *b, const char *text, size_t bytes, size_t stop_after,
                   struct ol_ids *ids)
{
    if (b->is.ignore_merges) {
        const int32_t id =
            ol_vocab_find(b->words != NULL ? b->words : b->vocab, text, bytes);
        if (id >= 0) {
            ol_ids_append(ids, id);
            return;
        }
    }
    if (!b->is.byte_level && bytes > CUT_BYTES)
        encode_long(b, text, bytes, stop_after, ids);
    else
        encode_piece(b, text, bytes, ids);
}
