/* What the Hub's refusals mean, and what to do about them: one line each. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/json.h"
#include "extract/hub/client.h"
#include "extract/hub/name.h"

char *ol_hub_subject_text(const struct ol_hub_subject *about)
{
    return about->path != NULL ? ol_xasprintf("%s: %s", about->repo, about->path)
                               : ol_xstrdup(about->repo);
}

char *ol_hub_shown_url(const char *url)
{
    const size_t n = strcspn(url, "?#");
    const char *scheme = strstr(url, "://"), *user = memchr(url, '@', n);
    /* A name and a password before the host are nobody's business. */
    if (scheme != NULL && user != NULL &&
        strcspn(scheme + 3, "/") > (size_t)(user - scheme - 3))
        return ol_xasprintf("%.*s://%.*s", (int)(scheme - url), url,
                            (int)(n - (size_t)(user + 1 - url)), user + 1);
    return ol_xstrndup(url, n);
}

static char *beginning_of(const char *text)
{
    enum { MOST = 200 };
    return ol_xstrndup(text, strnlen(text, MOST));
}

/* What the Hub says: X-Error-Message, else "error" of a JSON body, else the body's
 * beginning. The caller frees. */
static char *message_of(const struct ol_http_answer *a)
{
    struct ol_error ignored = {0};
    if (a->fields[OL_HTTP_ERROR_MESSAGE] != NULL)
        return beginning_of(a->fields[OL_HTTP_ERROR_MESSAGE]);
    struct ol_json *json =
        a->start[0] == '{' ? ol_json_load_text(a->start, strlen(a->start), "", &ignored)
                           : NULL;
    const struct ol_json *error = ol_json_get(json, "error");
    char *text = beginning_of(
        ol_json_kind(error) == OL_JSON_STRING ? ol_json_string(error, NULL) : a->start);
    ol_json_free(json);
    for (char *c = text; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r' || *c == '\t')
            *c = ' ';
    return text;
}

static bool code_is(const struct ol_http_answer *a, const char *code)
{
    const char *found = a->fields[OL_HTTP_ERROR_CODE];
    return found != NULL && strcmp(found, code) == 0;
}

static int explain_gated(const struct ol_hub_settings *s, const char *repo,
                         struct ol_error *err)
{
    if (s->token == NULL)
        return ol_fail(err,
                       "%s: its terms must be accepted: open %s/%s, accept them, and set "
                       "HF_TOKEN to a token of that account",
                       repo, s->endpoint, repo);
    return ol_fail(err,
                   "%s: the account of the token (from %s) has no access: open %s/%s and "
                   "accept the terms there",
                   repo, s->token_from, s->endpoint, repo);
}

static int explain_absent(const struct ol_hub_settings *s, const char *repo,
                          struct ol_error *err)
{
    const bool is_dataset = ol_hub_is_dataset(repo);
    char *absent = is_dataset
                       ? ol_xasprintf("there is no such data set at %s", s->endpoint)
                       : ol_xasprintf("there is no such directory, and at %s no such "
                                      "model",
                                      s->endpoint);
    if (s->token == NULL)
        ol_fail(err, "%s: %s, or a private one: set HF_TOKEN if it is yours", repo,
                absent);
    else
        ol_fail(err, "%s: %s, or a private one that the token (from %s) does not open",
                repo, absent, s->token_from);
    free(absent);
    return -1;
}

static int explain_token(const struct ol_hub_settings *s, const char *repo,
                         struct ol_error *err)
{
    return ol_fail(err,
                   "%s: the Hub does not know the token (from %s): it is wrong, or has "
                   "expired: run `hf auth login`, or set HF_TOKEN",
                   repo, s->token_from);
}

static int explain_unreachable(const struct ol_hub_client *c, const char *subject,
                               const char *shown, const struct ol_http_answer *a,
                               struct ol_error *err)
{
    const char *file = ol_hub_client_settings(c)->ca_file;
    const bool certificate =
        a->trouble != NULL && strcasestr(a->trouble, "certificate") != NULL;
    if (!certificate)
        return ol_fail(err, "%s: %s: %s", subject, shown, a->trouble);
    return ol_fail(err, "%s: %s: %s (certificates: %s; SSL_CERT_FILE names others)",
                   subject, shown, a->trouble, file != NULL ? file : "the system's");
}

/* An answer with a status that the Hub's own pages define; 1: it is none of these. */
static int explain_hub(const struct ol_hub_client *c, const struct ol_hub_subject *about,
                       const struct ol_http_answer *a, const char *message,
                       struct ol_error *err)
{
    const struct ol_hub_settings *s = ol_hub_client_settings(c);
    if (code_is(a, "GatedRepo"))
        return explain_gated(s, about->repo, err);
    if (code_is(a, "RevisionNotFound"))
        return ol_fail(err, "%s: has no revision '%s' at %s", about->repo,
                       about->revision != NULL ? about->revision : "main", s->endpoint);
    if (code_is(a, "EntryNotFound"))
        return ol_fail(err, "%s: has no file %s at that revision", about->repo,
                       about->path != NULL ? about->path : "of that name");
    if (strstr(message, "Access to this resource is disabled") != NULL)
        return ol_fail(err, "%s: was taken down (the Hub says: %s)", about->repo,
                       message);
    if (a->status == 401 && s->token != NULL &&
        (code_is(a, "InvalidToken") || strstr(message, "Invalid credentials") != NULL))
        return explain_token(s, about->repo, err);
    if (code_is(a, "RepoNotFound") || a->status == 401 ||
        (a->status == 404 && about->path == NULL))
        return explain_absent(s, about->repo, err);
    return 1;
}

int ol_hub_explain(const struct ol_hub_client *c, const struct ol_hub_subject *about,
                   const char *url, const struct ol_http_answer *a, struct ol_error *err)
{
    char *subject = ol_hub_subject_text(about), *shown = ol_hub_shown_url(url),
         *message = message_of(a);
    int status = 1;
    if (a->end == OL_HTTP_UNREACHABLE)
        status = explain_unreachable(c, subject, shown, a, err);
    else if (ol_hub_client_is_hub(c, url))
        status = explain_hub(c, about, a, message, err);
    if (status == 1)
        status = ol_fail(err, "%s: %s answers %ld%s%s", subject, shown, a->status,
                         message[0] != '\0' ? ": " : "", message);
    free(message);
    free(shown);
    free(subject);
    return status;
}
