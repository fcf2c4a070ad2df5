#include "extract/run/part.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extract/run/session.h"

static bool read_number(const char **at, int64_t *number)
{
    char *end;
    if (!isdigit((unsigned char)**at))
        return false;
    *number = strtoll(*at, &end, 10);
    *at = end;
    return *number >= 1 && *number <= OL_PARTS_MOST;
}

int ol_part_parse(const char *text, struct ol_part *part, struct ol_error *err)
{
    const char *at = text;
    if (read_number(&at, &part->number) && *at++ == '/' && read_number(&at, &part->n) &&
        *at == '\0' && part->number <= part->n)
        return 0;
    return ol_fail(err, "--part %s: expected I/P, part I of P, like 1/4, 2/4, 3/4, 4/4",
                   text);
}

int ol_part_sequences(const struct ol_part *part, int64_t n_sequences, int64_t *first,
                      int64_t *n, struct ol_error *err)
{
    *first = 0;
    *n = n_sequences;
    if (part->n == 0)
        return 0;
    if (n_sequences < part->n)
        return ol_fail(err,
                       "--part %" PRId64 "/%" PRId64 ": the run has %" PRId64
                       " sequence%s, expected at least one for each part",
                       part->number, part->n, n_sequences, n_sequences == 1 ? "" : "s");
    *first = n_sequences * (part->number - 1) / part->n;
    *n = n_sequences * part->number / part->n - *first;
    return 0;
}

char *ol_part_path(const struct ol_part *part, const char *path)
{
    static const char ending[] = ".h5";
    const size_t n = strlen(path), n_ending = sizeof ending - 1;
    if (part->n == 0)
        return ol_xstrdup(path);
    const bool ends = n > n_ending && strcmp(path + n - n_ending, ending) == 0;
    return ol_xasprintf("%.*s.part-%" PRId64 "-of-%" PRId64 "%s",
                        (int)(ends ? n - n_ending : n), path, part->number, part->n,
                        ends ? ending : "");
}

/* The run by its tokens: every part of it comes to the same. */
static char *digits_of(const struct ol_corpus *c)
{
    char hex[OL_SHA256_HEX_BYTES];
    struct ol_sha256 *sha = ol_sha256_new();
    ol_sha256_update(sha, c->lengths, (size_t)c->n_sequences * sizeof *c->lengths);
    for (int64_t s = 0; s < c->n_sequences; s++)
        ol_sha256_update(sha, c->ids + s * c->n_tokens,
                         (size_t)c->lengths[s] * sizeof *c->ids);
    ol_sha256_finish(sha, hex);
    return ol_xstrdup(hex);
}

/* Rows stay as long as the run's longest sequence, as they are in its one file. */
int ol_session_take_part(struct ol_session *r, struct ol_error *err)
{
    const struct ol_part *part = &r->request->part;
    struct ol_corpus *c = &r->corpus;
    int64_t first, n;
    if (ol_part_sequences(part, c->n_sequences, &first, &n, err) != 0)
        return -1;
    if (part->n == 0)
        return 0;
    r->info.part.number = part->number;
    r->info.part.n_parts = part->n;
    r->info.part.first_sequence = first;
    r->info.part.run_sequences = c->n_sequences;
    r->info.part.run_sha256 = digits_of(c);
    memmove(c->ids, c->ids + first * c->n_tokens,
            (size_t)(n * c->n_tokens) * sizeof *c->ids);
    memmove(c->lengths, c->lengths + first, (size_t)n * sizeof *c->lengths);
    c->n_sequences = n;
    return 0;
}
