/* Blocks of the results file as structs, each described once by a list of its fields
 * (files beside this one). The list becomes the struct's members, and a table by which a
 * block is written (ol-analyze), read (ol-report) and described as JSON Schema. A list is
 * a macro that hands each field to another one, with its kind, its name, which is the key
 * in the file too, what else is known of it, and what it means, beginning with the unit:
 *
 *     #define OL_EXAMPLE_FIELDS(F)                                        \
 *         F(COUNT, layer, 0, "number in the model")                       \
 *         F(REAL, entropy, OL_NULL, "bits; null: nothing was routed")     \
 *         F(LIST(ol_part), parts, 0, "the largest first")
 *     OL_STRUCT(ol_example, OL_EXAMPLE_FIELDS, "What the block is of")
 *
 * An absent value is OL_ABSENT of an integer, NAN of a number, false or OL_UNKNOWN, and
 * else NULL; of a text or word that no file may leave out, which one does, "". */
#ifndef OL_RESULTS_FIELD_H
#define OL_RESULTS_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

#define OL_ABSENT INT64_MIN

/* What may be not known; true is OL_YES. */
enum ol_maybe { OL_UNKNOWN, OL_NO, OL_YES };

/* What the structs of a results file point to; freed at once. Start from {0}. */
struct ol_arena {
    void **pieces; /* [n] */
    size_t n, room;
};
/* Zeroed, never NULL, also for n = 0. */
void *ol_arena_calloc(struct ol_arena *a, size_t n, size_t size);
/* What was allocated elsewhere becomes the arena's. */
void *ol_arena_take(struct ol_arena *a, void *taken);
void ol_arena_clear(struct ol_arena *a);

struct ol_list {
    void *items; /* [n] of the struct named beside the field; NULL: absent */
    int64_t n;
};
struct ol_reals {
    double *items; /* [n], NAN where the file has null; NULL: absent */
    int64_t n;
    /* Of arrays in arrays, whose elements lie one after another: how many the inner ones
     * have, from the outside. Wanted by a writer, not known to a reader. */
    int64_t inner[2];
};

/* n elements, zeroed, which become the list's; returned to be filled in. */
void *ol_list_new(struct ol_list *list, int64_t n, size_t size, struct ol_arena *arena);
double *ol_reals_new(struct ol_reals *reals, int64_t n, struct ol_arena *arena);

/* Integers of a results file are within plus and minus this: what programs that know
 * doubles alone read exactly, and what can be added up without running over. */
#define OL_FIELD_MOST ((int64_t)1 << 53)

enum ol_field_kind {
    OL_FIELD_INT,     /* int64_t, to OL_FIELD_MOST */
    OL_FIELD_COUNT,   /* and not negative */
    OL_FIELD_ORDINAL, /* and at least 1 */
    OL_FIELD_REAL,    /* double */
    OL_FIELD_SIZE,    /* and not negative */
    OL_FIELD_SHARE,   /* and from 0 to 1 */
    OL_FIELD_TEXT,    /* const char *; a NUL inside is shown as U+2400 */
    OL_FIELD_WORD,    /* const char *, one of some */
    OL_FIELD_TEXTS,   /* struct ol_list of const char * */
    OL_FIELD_BOOL,    /* bool */
    OL_FIELD_MAYBE,   /* enum ol_maybe */
    OL_FIELD_NUMBERS, /* struct ol_reals */
    OL_FIELD_OBJECT,  /* a pointer to a struct */
    OL_FIELD_LIST,    /* struct ol_list of structs */
    OL_FIELD_MEMBERS, /* a struct whose members are the object's own */
};

/* What else is known of a field. */
enum {
    OL_NULL = 1,      /* null where it is absent */
    OL_NULLS = 2,     /* elements may be null */
    OL_OLD = 4,       /* older files have it not */
    OL_EVEN = 8,      /* NUMBERS: as many as in the first struct of the list */
    OL_INFINITE = 16, /* REAL: null is infinity, not absent */
    OL_NEEDED = 32,   /* a reader fails where it is missing */
    OL_FILLED = 64,   /* absent, a TEXT is "", and an OBJECT one of absent members */
};
#define OL_AT_MOST(n) ((n) << 8) /* elements; of an integer, its value */
/* NUMBERS: as many as these counts, or lists, of the struct or of those around it come
 * to, as in OL_NULL OL_PER("layers x n_experts"); or so many: OL_PER("3"). */
#define OL_PER(names) , .per = names

struct ol_struct;
struct ol_field {
    const char *key; /* the table ends with NULL */
    const char *about;
    enum ol_field_kind kind;
    enum ol_field_kind each; /* NUMBERS: what the elements are, */
    int depth;               /* 1: an array; 2: arrays in an array */
    unsigned flags;
    size_t offset;
    const char *words;                        /* WORD: with | between them */
    const char *per;                          /* NUMBERS: OL_PER, or NULL */
    const struct ol_struct *(*element)(void); /* OBJECT, LIST, MEMBERS */
};
struct ol_struct {
    const char *name; /* its tag */
    const char *about;
    size_t size;
    const struct ol_field *fields;
};

/* ---- from a list of fields to struct and table ---- */

/* clang-format off */
#define OL_MEMBER_INT           int64_t
#define OL_MEMBER_COUNT         int64_t
#define OL_MEMBER_ORDINAL       int64_t
#define OL_MEMBER_REAL          double
#define OL_MEMBER_SIZE          double
#define OL_MEMBER_SHARE         double
#define OL_MEMBER_TEXT          const char *
#define OL_MEMBER_WORD(words)   const char *
#define OL_MEMBER_SITE          const char *
#define OL_MEMBER_COMPONENT     const char *
#define OL_MEMBER_TEXTS         struct ol_list
#define OL_MEMBER_BOOL          bool
#define OL_MEMBER_MAYBE         enum ol_maybe
#define OL_MEMBER_COUNTS(depth) struct ol_reals
#define OL_MEMBER_REALS(depth)  struct ol_reals
#define OL_MEMBER_SIZES(depth)  struct ol_reals
#define OL_MEMBER_SHARES(depth) struct ol_reals
#define OL_MEMBER_OBJECT(tag)   struct tag *
#define OL_MEMBER_LIST(tag)     struct ol_list
#define OL_MEMBER_MEMBERS(tag)  struct tag

#define OL_KIND_INT             .kind = OL_FIELD_INT
#define OL_KIND_COUNT           .kind = OL_FIELD_COUNT
#define OL_KIND_ORDINAL         .kind = OL_FIELD_ORDINAL
#define OL_KIND_REAL            .kind = OL_FIELD_REAL
#define OL_KIND_SIZE            .kind = OL_FIELD_SIZE
#define OL_KIND_SHARE           .kind = OL_FIELD_SHARE
#define OL_KIND_TEXT            .kind = OL_FIELD_TEXT
#define OL_KIND_WORD(list)      .kind = OL_FIELD_WORD, .words = list
#define OL_KIND_SITE            OL_KIND_WORD("ln_attn|ln_mlp|residual_attn|residual_mlp|output")
#define OL_KIND_COMPONENT       OL_KIND_WORD("expert|shared|mlp|attention")
#define OL_KIND_TEXTS           .kind = OL_FIELD_TEXTS
#define OL_KIND_BOOL            .kind = OL_FIELD_BOOL
#define OL_KIND_MAYBE           .kind = OL_FIELD_MAYBE
#define OL_KIND_COUNTS(d)       .kind = OL_FIELD_NUMBERS, .each = OL_FIELD_COUNT, .depth = d
#define OL_KIND_REALS(d)        .kind = OL_FIELD_NUMBERS, .each = OL_FIELD_REAL, .depth = d
#define OL_KIND_SIZES(d)        .kind = OL_FIELD_NUMBERS, .each = OL_FIELD_SIZE, .depth = d
#define OL_KIND_SHARES(d)       .kind = OL_FIELD_NUMBERS, .each = OL_FIELD_SHARE, .depth = d
#define OL_KIND_OBJECT(tag)     .kind = OL_FIELD_OBJECT, .element = tag##_struct
#define OL_KIND_LIST(tag)       .kind = OL_FIELD_LIST, .element = tag##_struct
#define OL_KIND_MEMBERS(tag)    .kind = OL_FIELD_MEMBERS, .element = tag##_struct

#define OL_MEMBER(k, f, more, text) OL_MEMBER_##k f;
#define OL_ENTRY(k, f, more, text)                                                       \
    {.key = #f, .about = text, .flags = more, .offset = offsetof(self, f), OL_KIND_##k},
/* clang-format on */

/* The struct, and TAG_struct(), its table. */
#define OL_STRUCT(tag, list, text)                                                       \
    struct tag {                                                                         \
        list(OL_MEMBER)                                                                  \
    };                                                                                   \
    static inline const struct ol_struct *tag##_struct(void)                             \
    {                                                                                    \
        typedef struct tag self;                                                         \
        static const struct ol_field fields[] = {list(OL_ENTRY){0}};                     \
        static const struct ol_struct table = {#tag, text, sizeof(self), fields};        \
        return &table;                                                                   \
    }

/* ---- what tables do ---- */

/* A string as a C text, borrowed; one with NUL inside is copied into the arena, with
 * U+2400 for it. */
const char *ol_field_text(const struct ol_json *string, struct ol_arena *arena);

/* The field of that key, also among members of members, and where *from has it; NULL:
 * there is none. */
const struct ol_field *ol_field_find(const struct ol_struct *kind, const char *key,
                                     const void *from, const void **value);

/* Fill *to, kind->size bytes of zeros, from section.json, an object. A value that
 * is null or missing is absent; one of the wrong kind, or an array of another length than
 * OL_PER or OL_EVEN say, is an error that names file and key. What *to points to belongs
 * to the arena; texts without NUL are borrowed from the JSON. */
int ol_fields_read(const struct ol_struct *kind, struct ol_json_section section, void *to,
                   struct ol_arena *arena, struct ol_error *err);

/* The object of a struct, in the order of the table. What is absent is null, or left out
 * where OL_OLD stands without OL_NULL. */
struct ol_json *ol_fields_write(const struct ol_struct *kind, const void *from);
/* Into an object, behind what it has. */
void ol_fields_set(struct ol_json *object, const struct ol_struct *kind,
                   const void *from);
/* The value of one field. */
struct ol_json *ol_field_write(const struct ol_field *f, const void *value);

/* The JSON Schema of a struct's members and of all that it is made of, set in defs under
 * the structs' tags without "ol_". */
void ol_fields_schema(const struct ol_struct *kind, struct ol_json *defs);
/* Add a struct's members, and the names of those that are required. */
void ol_fields_members(const struct ol_struct *kind, struct ol_json *required,
                       struct ol_json *properties, struct ol_json *defs);

#endif
