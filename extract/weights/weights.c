/* One array of weights per role: [1], [n_layers] or [n_layers, n_experts]. */
#include "extract/weights/weights.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extract/model/role.h"
#include "extract/weights/unused.h"
#include "extract/weights/weight_format.h"

enum { N_MISSING_NAMED = 5 };

struct ol_weights {
    const struct ol_spec *spec;
    const struct ol_checkpoint *checkpoint;
    struct late *late;                   /* NULL: all was there from the beginning */
    struct ol_weight *roles[OL_N_ROLES]; /* NULL: this model has none */
};

/* Of weights that are seen while others are used. */
struct late {
    pthread_mutex_t mutex;
};

/* What was looked for in vain. */
struct missing {
    int64_t n, n_sought;
    char names[N_MISSING_NAMED * (OL_ROLE_NAME_BYTES + 2)];
};

static struct ol_weight *place(const struct ol_weights *w, enum ol_role role, int layer,
                               int expert)
{
    if (w->roles[role] == NULL)
        return NULL;
    size_t i = 0;
    if (ol_role_has_layer(role))
        i = (size_t)layer;
    if (ol_role_has_expert(role))
        i = i * (size_t)w->spec->router.n_experts + (size_t)expert;
    return &w->roles[role][i];
}

static void note_missing(struct missing *missing, const char *name)
{
    const size_t used = strlen(missing->names);
    if (missing->n < N_MISSING_NAMED)
        snprintf(missing->names + used, sizeof missing->names - used, "%s%s",
                 used > 0 ? ", " : "", name);
    missing->n++;
}

static int bind(struct ol_weights *w, const struct ol_checkpoint *c,
                const struct ol_role_tensor *want, struct missing *missing,
                struct ol_error *err)
{
    missing->n_sought++;
    struct ol_weight *weight = place(w, want->role, want->layer, want->expert);
    const int found = ol_weight_find(c, want, weight, err);
    const char *file = ol_checkpoint_listed(c, want->name);
    if (found == 0 && file != NULL)
        return ol_fail(err,
                       "%s: the index says that tensor %s is in %s, but it is not there",
                       ol_checkpoint_directory(c), want->name, file);
    if (found == 0)
        note_missing(missing, want->name);
    return found < 0 ? -1 : 0;
}

static void allocate(struct ol_weights *w)
{
    for (enum ol_role role = 0; role < OL_N_ROLES; role++) {
        const struct ol_spec *spec = w->spec;
        size_t n = 1;
        if (ol_role_has_layer(role))
            n = (size_t)spec->n_layers;
        if (ol_role_has_expert(role))
            n *= (size_t)spec->router.n_experts;
        if (spec->names[role] != NULL && n > 0)
            w->roles[role] = ol_xcalloc(n, sizeof *w->roles[role]);
    }
}

static void warn_absent(const struct ol_checkpoint *c)
{
    const char *first;
    const int64_t n = ol_checkpoint_n_absent(c, &first);
    if (n > 0)
        ol_warn("%s: the index lists %" PRId64
                " tensors that are not in their files, such as %s; this model needs none "
                "of them",
                ol_checkpoint_directory(c), n, first);
}

static int warn_unused(const struct ol_weights *w, struct ol_source *source,
                       struct ol_error *err)
{
    const char *first;
    const bool wrapped = w->spec->wrapper != NULL;
    const struct ol_checkpoint *c = w->checkpoint;
    const struct ol_unused_request request = {w->spec, c, source};
    int64_t n;
    if (ol_unused_count(w, &request, &n, &first, err) != 0)
        return -1;
    if (n > 0)
        ol_warn("%s: %smodel_type %s with this config.json do%s not use %" PRId64
                " tensors that the checkpoint has for %s, such as %s",
                ol_checkpoint_directory(c), wrapped ? "" : "the layers of ",
                w->spec->family, wrapped ? "es" : "", n, wrapped ? "it" : "them", first);
    return 0;
}

/* Whether the checkpoint has a tensor of the model's in the spec's form. */
static bool has(const struct ol_spec *spec, enum ol_role role,
                const struct ol_checkpoint *c)
{
    struct ol_role_tensor t = {.spec = spec};
    while (ol_role_next(&t) && !ol_role_has_layer(t.role))
        if (t.role == role)
            return ol_checkpoint_find(c, t.name) != NULL ||
                   (t.fused_name[0] != '\0' &&
                    ol_checkpoint_find(c, t.fused_name) != NULL);
    return false;
}

static void choose_form(struct ol_spec *spec, const struct ol_checkpoint *c)
{
    for (const struct ol_name_form *form = spec->wrapper->forms; form->body != NULL;
         form++) {
        spec->form = *form;
        if (has(spec, OL_ROLE_EMBEDDING, c))
            return;
    }
    spec->form = spec->wrapper->forms[0];
}

/* A head that is stored is used: where it is the table once more, that comes to the same.
 * It counts as parameters of its own in a wrapper, where what config.json says outside
 * and inside, and what classes assume, differs. */
void ol_weights_choose_form(struct ol_spec *spec, const struct ol_checkpoint *c)
{
    const bool tied = spec->tied_embeddings;
    if (spec->wrapper != NULL)
        choose_form(spec, c);
    spec->tied_embeddings = false;
    spec->head_stored = tied && has(spec, OL_ROLE_LM_HEAD, c);
    spec->tied_embeddings = tied && (spec->wrapper == NULL || !spec->head_stored);
}

struct ol_weights *ol_weights_bind(const struct ol_spec *spec,
                                   const struct ol_checkpoint *c,
                                   struct ol_source *source, struct ol_error *err)
{
    struct ol_weights *w = ol_xcalloc(1, sizeof *w);
    w->spec = spec;
    w->checkpoint = c;
    if (!ol_checkpoint_has_bytes(c)) {
        w->late = ol_xcalloc(1, sizeof *w->late);
        pthread_mutex_init(&w->late->mutex, NULL);
    }
    allocate(w);
    struct missing missing = {0};
    struct ol_role_tensor want = {.spec = spec};
    while (ol_role_next(&want))
        if (bind(w, c, &want, &missing, err) != 0)
            goto fail;
    if (missing.n > 0) {
        ol_fail(err,
                "%s: %" PRId64 " of the %" PRId64 " tensors that model_type %s with this "
                "config.json has are missing (the checkpoint has %" PRId64
                " tensors); looked for: %s%s",
                ol_checkpoint_directory(c), missing.n, missing.n_sought, spec->family,
                ol_checkpoint_n_tensors(c), missing.names,
                missing.n > N_MISSING_NAMED ? ", ..." : "");
        goto fail;
    }
    warn_absent(c);
    if (warn_unused(w, source, err) == 0)
        return w;
fail:
    ol_weights_free(w);
    return NULL;
}

void ol_weights_free(struct ol_weights *w)
{
    if (w == NULL)
        return;
    for (int role = 0; role < OL_N_ROLES; role++)
        free(w->roles[role]);
    if (w->late != NULL)
        pthread_mutex_destroy(&w->late->mutex);
    free(w->late);
    free(w);
}

struct ol_weight ol_weights_get(const struct ol_weights *w, enum ol_role role, int layer,
                                int expert)
{
    if (role == OL_ROLE_LM_HEAD && ol_spec_shares_table(w->spec))
        role = OL_ROLE_EMBEDDING;
    const struct ol_weight *weight = place(w, role, layer, expert);
    if (weight == NULL)
        return (struct ol_weight){0};
    if (w->late != NULL)
        pthread_mutex_lock(&w->late->mutex);
    const struct ol_weight copy = *weight;
    if (w->late != NULL)
        pthread_mutex_unlock(&w->late->mutex);
    return copy;
}

int ol_weights_see(const struct ol_weights *w, enum ol_role role, int layer, int expert,
                   struct ol_error *err)
{
    if (role == OL_ROLE_LM_HEAD && ol_spec_shares_table(w->spec))
        role = OL_ROLE_EMBEDDING;
    struct ol_weight *weight = place(w, role, layer, expert);
    int status = 0;
    if (w->late == NULL || weight == NULL)
        return 0;
    pthread_mutex_lock(&w->late->mutex);
    if (weight->data != NULL && weight->unseen) {
        struct ol_role_tensor want;
        ol_role_at(w->spec, role, layer, expert, &want);
        status = ol_weight_see(w->checkpoint, &want, weight, err);
    }
    pthread_mutex_unlock(&w->late->mutex);
    return status;
}

void ol_weights_parameters(const struct ol_weights *w, int64_t *total, int64_t *active)
{
    *total = *active = 0;
    struct ol_role_tensor t = {.spec = w->spec};
    while (ol_role_next(&t)) {
        const int64_t n = ol_role_parameters(&t);
        *total += n;
        /* All experts of a layer are of one size: any top_k of them stand for those
         * chosen. */
        if (!ol_role_has_expert(t.role) || t.expert < w->spec->router.top_k)
            *active += n;
    }
}

char *ol_weights_format(const struct ol_weights *w)
{
    enum { MOST_FORMATS = 16 };
    struct {
        const char *name;
        int64_t bytes;
    } formats[MOST_FORMATS] = {{NULL, 0}};
    struct ol_role_tensor t = {.spec = w->spec};
    while (ol_role_next(&t)) {
        const struct ol_weight *weight = place(w, t.role, t.layer, t.expert);
        if (t.role == OL_ROLE_ROUTER_TABLE)
            continue; /* integers */
        const char *name = ol_weight_format_name(weight);
        int i = 0;
        while (formats[i].name != NULL && strcmp(formats[i].name, name) != 0)
            i++;
        assert(i < MOST_FORMATS - 1);
        formats[i].name = name;
        formats[i].bytes += ol_weight_bytes(weight);
    }
    char *text = ol_xstrdup("");
    for (;;) {
        int most = 0;
        for (int i = 1; i < MOST_FORMATS; i++)
            if (formats[i].bytes > formats[most].bytes)
                most = i;
        if (formats[most].bytes == 0)
            return text;
        formats[most].bytes = 0;
        char *longer =
            ol_xasprintf("%s%s%s", text, *text != '\0' ? "+" : "", formats[most].name);
        free(text);
        text = longer;
    }
}
