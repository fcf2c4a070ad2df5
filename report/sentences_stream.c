#include "report/sentences_stream.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/tables.h"
#include "report/text.h"

/* Below that share no single writer makes a dimension, */
static const double most_of_it = 0.5;
/* and below that one nobody erases it, and what is not recorded is not worth a word. */
static const double worth_a_word = 0.05;
/* A lift so near 1 is none. */
static const double no_lift = 0.1;

/* Whole numbers from a thousand on. */
static struct ol_text amount(double x)
{
    return fabs(x) >= 1000 && fabs(x) < 1e15 ? ol_text_count(llround(x))
                                             : ol_text_magnitude(x);
}

static char *tokens(int64_t n, int64_t at_first)
{
    return ol_xasprintf("%s token%s (%s at position 0)", ol_text_count(n).text,
                        n == 1 ? "" : "s", ol_text_count(at_first).text);
}

static bool known(int64_t n)
{
    return n != OL_ABSENT;
}

/* What is not recorded leaves the end open. */
static char *still_above(const struct ol_massive_dimension *f)
{
    if (!known(f->above_until))
        return ol_xstrdup("");
    if (!known(f->above_until_at_most) || f->above_until_at_most == f->above_until)
        return ol_xasprintf("; still above 100 until layer %" PRId64, f->above_until);
    return ol_xasprintf("; still above 100 until layer %" PRId64 ", perhaps %" PRId64,
                        f->above_until, f->above_until_at_most);
}

char *ol_sentence_massive(const struct ol_massive_dimension *f)
{
    if (!known(f->values.feature) || !known(f->values.n_tokens) ||
        !known(f->values.at_first_token) || !known(f->values.n_layers) ||
        !known(f->values.first_layer) || !known(f->values.last_layer) ||
        !known(f->values.max_layer))
        return NULL;
    char *on = tokens(f->values.n_tokens, f->values.at_first_token),
         *when =
             f->values.n_layers == 1
                 ? ol_xasprintf("after layer %" PRId64, f->values.first_layer)
                 : ol_xasprintf("after %" PRId64 " layers from %" PRId64 " to %" PRId64,
                                f->values.n_layers, f->values.first_layer,
                                f->values.last_layer),
         *until = still_above(f);
    char *text = ol_xasprintf(
        "Dimension %" PRId64 " is massive on %s, %s, up to %s times the median; it is "
        "largest after layer %" PRId64 ", %s%s.",
        f->values.feature, on, when, amount(f->values.max_ratio).text,
        f->values.max_layer, amount(f->values.max_magnitude).text, until);
    free(until);
    free(when);
    free(on);
    return text;
}

/* A layer's attention writes on every token: where that is known on some alone, its share
 * is of a part. Of an expert it is not said, which need not have been chosen on the rest.
 */
static char *as_far_as_known(const struct ol_attributed_feature *f,
                             const struct ol_stream_writer *w)
{
    const bool chosen = w->who.kind == NULL || strcmp(w->who.kind, "expert") == 0;
    return chosen || (double)w->n_tokens >= (1 - worth_a_word) * (double)f->n_tokens
               ? ol_xstrdup("")
               : ol_xasprintf("; known on %s of these tokens",
                              ol_text_count(w->n_tokens).text);
}

static char *made(const struct ol_attributed_feature *f)
{
    if (f->n_values == 0)
        return ol_xstrdup("of which the recording does not hold the stream's values");
    const struct ol_stream_writer *w = f->made_by.items;
    if (f->made_by.n == 0 || !known(w->who.layer))
        return ol_xstrdup("no writer is known");
    char *unit = ol_table_unit(w->who.kind, w->who.expert),
         *known_on = as_far_as_known(f, w);
    char *text =
        ol_xasprintf("%s at layer %" PRId64 " by %s: %s of %s (%s %%%s)",
                     w->share >= most_of_it ? "made" : "made by many, the largest part",
                     w->who.layer, unit, amount(w->sum).text, amount(f->magnitude).text,
                     ol_text_percent(w->share).text, known_on);
    free(known_on);
    free(unit);
    return text;
}

static char *erased(const struct ol_attributed_feature *f)
{
    const struct ol_stream_writer *w = f->erased_by.items;
    if (f->n_values == 0)
        return ol_xstrdup("");
    if (f->erased_by.n == 0 || !known(w->who.layer) || !(w->share <= -worth_a_word))
        return ol_xstrdup("; erased by none of the recorded writes");
    char *unit = ol_table_unit(w->who.kind, w->who.expert),
         *known_on = as_far_as_known(f, w);
    char *text = ol_xasprintf("; erased at layer %" PRId64 " by %s: %s (%s %%%s)",
                              w->who.layer, unit, amount(w->sum).text,
                              ol_text_percent(-w->share).text, known_on);
    free(known_on);
    free(unit);
    return text;
}

char *ol_sentence_event(const struct ol_attributed_feature *f)
{
    if (!known(f->feature) || !known(f->n_tokens) || !known(f->at_first_token))
        return NULL;
    char *on = tokens(f->n_tokens, f->at_first_token), *who = made(f), *end = erased(f),
         *rest = fabs(f->unknown / f->magnitude) >= worth_a_word
                     ? ol_xasprintf("; %s %% is not recorded",
                                    ol_text_percent(f->unknown / f->magnitude).text)
                     : ol_xstrdup("");
    const bool massive = f->event != NULL && strcmp(f->event, "massive") == 0;
    char *text =
        ol_xasprintf("Dimension %" PRId64 "%s, %s, %s, %s%s%s.", f->feature,
                     massive ? "" : " as an outlier feature",
                     f->sign != NULL ? f->sign : "sign unknown", on, who, end, rest);
    free(rest);
    free(end);
    free(who);
    free(on);
    return text;
}

char *ol_sentence_onset(const struct ol_onset_feature *f)
{
    if (!known(f->feature))
        return NULL;
    if (!known(f->first_layer) || !known(f->last_layer) || !known(f->n_sites))
        return ol_xasprintf("Feature %" PRId64
                            " has an occurrence on 1 %% of the tokens at no site.",
                            f->feature);
    const struct ol_onset_cause *c = f->cause;
    char *cause = ol_xstrdup("");
    if (c != NULL && c->by != NULL && known(c->since_layer)) {
        free(cause);
        cause = ol_xasprintf(": since layer %" PRId64 ", where it was half as large or "
                             "less, the norm's gain has grown %s times and its part of "
                             "the stream %s times, so the %s sets it in",
                             c->since_layer, ol_text_magnitude(c->gain_growth).text,
                             ol_text_magnitude(c->stream_growth).text, c->by);
    }
    char *text = ol_xasprintf(
        "Feature %" PRId64 " sets in at layer %" PRId64
        " (%s) and lasts to layer %" PRId64 ", at %" PRId64 " site%s%s.",
        f->feature, f->first_layer, f->first_site != NULL ? f->first_site : "?",
        f->last_layer, f->n_sites, f->n_sites == 1 ? "" : "s", cause);
    free(cause);
    return text;
}

char *ol_sentence_share(const char *who, const struct ol_token_share *s)
{
    if (isnan(s->lift.lift))
        return NULL;
    return ol_xasprintf(
        "%s are %s %% of the text and have %s %% of the pairs of an outlier feature and "
        "a "
        "token with an occurrence of it: %s (lift %s).",
        who, ol_text_percent(s->lift.base_rate).text, ol_text_percent(s->lift.share).text,
        fabs(s->lift.lift - 1) <= no_lift ? "no more and no less than others"
        : s->lift.lift > 1                ? "more than others"
                                          : "less than others",
        ol_text_magnitude(s->lift.lift).text);
}
