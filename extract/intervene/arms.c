#include "extract/intervene/intervention.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* One line each. */
/* clang-format off */
#define INTERVENTIONS(I) \
    I(zero)              \
    I(mean)              \
    I(drop)              \
    I(first)

#define DECLARE(name) extern const struct ol_intervention ol_intervene_##name;
INTERVENTIONS(DECLARE)
#define ADDRESS(name) &ol_intervene_##name,
const struct ol_intervention *const ol_interventions[] = {INTERVENTIONS(ADDRESS) NULL};
/* clang-format on */

enum { MOST_INTERVENTIONS = 16 }; /* of an arm */

struct ol_arm {
    char *text;
    int n, left_out;
    const struct ol_intervention *kinds[MOST_INTERVENTIONS];
    void *selves[MOST_INTERVENTIONS];
};

/* ---- reading ---- */

int ol_intervention_number(const char **at, int64_t limit, const char *what,
                           int64_t *number, struct ol_error *err)
{
    char *end;
    if (!isdigit((unsigned char)**at))
        return ol_fail(err, "expected the number of %s at '%s'", what, *at);
    const long long n = strtoll(*at, &end, 10);
    if (n >= limit)
        return ol_fail(err, "there is no %s %.*s, the model has 0-%lld", what,
                       (int)(end - *at), *at, (long long)limit - 1);
    *at = end;
    *number = n;
    return 0;
}

/* The kinds and their forms, for people. */
static int unknown(const char *text, struct ol_error *err)
{
    char forms[256] = "";
    for (int i = 0; ol_interventions[i] != NULL; i++) {
        const struct ol_intervention *kind = ol_interventions[i];
        const size_t at = strlen(forms);
        snprintf(forms + at, sizeof forms - at, "%s%s%s%s", i > 0 ? ", " : "", kind->name,
                 kind->form != NULL ? ":" : "", kind->form != NULL ? kind->form : "");
    }
    return ol_fail(err, "'%s' is none of %s", text, forms);
}

static int add(struct ol_arm *arm, const char *text, const struct ol_spec *spec,
               struct ol_error *err)
{
    if (arm->n == MOST_INTERVENTIONS)
        return ol_fail(err, "an arm has at most %d interventions", MOST_INTERVENTIONS);
    const size_t n = strcspn(text, ":");
    const bool colon = text[n] == ':';
    for (int i = 0; ol_interventions[i] != NULL; i++) {
        const struct ol_intervention *kind = ol_interventions[i];
        if (strlen(kind->name) != n || strncmp(kind->name, text, n) != 0 ||
            colon != (kind->form != NULL))
            continue;
        arm->kinds[arm->n] = kind;
        arm->left_out += kind->left_out;
        if (kind->parse != NULL &&
            (arm->selves[arm->n] = kind->parse(text + n + 1, spec, err)) == NULL)
            return -1;
        arm->n++;
        return 0;
    }
    return unknown(text, err);
}

/* Whether a text is what a form says: items with commas between them, each of as many
 * numbers with points between them as the form has names. */
static bool is_of_form(const char *text, const char *form)
{
    const size_t item = strcspn(form, "[");
    for (;; text++) {
        for (size_t i = 0; i <= item; i++) {
            if (i < item && form[i] != '.')
                continue;
            const size_t digits = strspn(text, "0123456789");
            if (digits == 0)
                return false;
            text += digits;
            if (i < item && *text++ != '.')
                return false;
        }
        if (*text != ',')
            return *text == '\0';
    }
}

int ol_arm_check(const char *text, struct ol_error *err)
{
    char *copy = ol_xstrdup(text), *rest = copy;
    int status = 0;
    for (char *one; status == 0 && (one = strsep(&rest, "+")) != NULL;) {
        const struct ol_intervention *found = NULL;
        const size_t n = strcspn(one, ":");
        for (int i = 0; ol_interventions[i] != NULL && found == NULL; i++)
            if (strlen(ol_interventions[i]->name) == n &&
                strncmp(ol_interventions[i]->name, one, n) == 0)
                found = ol_interventions[i];
        if (found == NULL || (found->form != NULL) != (one[n] == ':') ||
            (found->form != NULL && !is_of_form(one + n + 1, found->form)))
            status = unknown(one, err);
    }
    free(copy);
    return status;
}

struct ol_arm *ol_arm_parse(const char *text, const struct ol_spec *spec,
                            struct ol_error *err)
{
    struct ol_arm *arm = ol_xcalloc(1, sizeof *arm);
    char *copy = ol_xstrdup(text), *rest = copy;
    int status = 0;
    arm->text = ol_xstrdup(text);
    for (char *one; status == 0 && (one = strsep(&rest, "+")) != NULL;)
        status = add(arm, one, spec, err);
    free(copy);
    if (status == 0)
        return arm;
    ol_arm_free(arm);
    return NULL;
}

void ol_arm_free(struct ol_arm *arm)
{
    if (arm == NULL)
        return;
    for (int i = 0; i < arm->n; i++)
        if (arm->kinds[i]->free != NULL)
            arm->kinds[i]->free(arm->selves[i]);
    free(arm->text);
    free(arm);
}

int ol_arms_parse(const char *const *texts, int n, const struct ol_spec *spec,
                  struct ol_arms *arms, struct ol_error *err)
{
    arms->arms = ol_xcalloc((size_t)n, sizeof *arms->arms);
    for (arms->n = 0; arms->n < n; arms->n++) {
        struct ol_error why = {0};
        struct ol_arm *arm = ol_arm_parse(texts[arms->n], spec, &why);
        if (arm == NULL) {
            ol_fail(err, "--ablate %s: %s", texts[arms->n], why.text);
            ol_arms_clear(arms);
            return -1;
        }
        arms->arms[arms->n] = arm;
    }
    return 0;
}

void ol_arms_clear(struct ol_arms *arms)
{
    for (int i = 0; i < arms->n; i++)
        ol_arm_free(arms->arms[i]);
    free(arms->arms);
    *arms = (struct ol_arms){0};
}

/* ---- what an arm does ---- */

const char *ol_arm_text(const struct ol_arm *arm)
{
    return arm->text;
}

int ol_arm_left_out(const struct ol_arm *arm)
{
    return arm->left_out;
}

bool ol_arm_is_of_run(const struct ol_arm *arm)
{
    bool of_run = false;
    for (int i = 0; i < arm->n; i++)
        of_run |= arm->kinds[i]->of_run;
    return of_run;
}

int ol_arm_change_stream(const struct ol_arm *arm, const struct ol_arm_stream *s,
                         struct ol_error *err)
{
    for (int i = 0; i < arm->n; i++)
        if (arm->kinds[i]->change_stream != NULL &&
            arm->kinds[i]->change_stream(arm->selves[i], s, err) != 0)
            return -1;
    return 0;
}

void ol_arm_change_choices(const struct ol_arm *arm, const struct ol_arm_choices *c)
{
    for (int i = 0; i < arm->n; i++)
        if (arm->kinds[i]->change_choices != NULL)
            arm->kinds[i]->change_choices(arm->selves[i], c);
}
