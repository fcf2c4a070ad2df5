/* Who asks the Hub: its settings, who may see the token, and when it may be asked again.
 * Threads share a client; each has a connection (http.h) of its own. */
#ifndef OL_HUB_CLIENT_H
#define OL_HUB_CLIENT_H

#include "extract/hub/http.h"
#include "extract/hub/settings.h"

struct ol_hub_client;

/* NULL on failure. */
struct ol_hub_client *ol_hub_client_new(struct ol_error *err);
void ol_hub_client_free(struct ol_hub_client *client); /* NULL is fine */
const struct ol_hub_settings *ol_hub_client_settings(const struct ol_hub_client *client);
struct ol_http *ol_hub_client_connect(const struct ol_hub_client *client,
                                      struct ol_error *err);

/* Whatever is under way ends soon, and nothing begins any more. */
void ol_hub_client_stop(struct ol_hub_client *client);
bool ol_hub_client_stopped(const struct ol_hub_client *client);

/* Whether a URL is of the Hub's own origin: the only one that is sent the token. */
bool ol_hub_client_is_hub(const struct ol_hub_client *client, const char *url);

/* One request, without following redirects. Sets the token, the timeouts and stop; waits
 * first where the Hub has asked for it. */
void ol_hub_client_get(struct ol_hub_client *client, struct ol_http *http,
                       struct ol_http_request *request, struct ol_http_answer *answer);

/* The URL to which an answer from `url` leads, in place of it; NULL: it leads nowhere.
 * *n_hops counts. -1 when it must not be followed: from https to http, round and round,
 * to something else than HTTP. */
int ol_hub_client_follow(char **url, int *n_hops, struct ol_http_answer *answer,
                         struct ol_error *err);

/* What a request is about, for messages; all borrowed. */
struct ol_hub_subject {
    const char *repo;
    const char *revision; /* NULL: the default one */
    const char *path;     /* NULL: the repository itself */
};

/* How often something has been tried without progress. Start from {0}. */
struct ol_hub_tries {
    int n, n_limited;
    bool renewed; /* an address that had expired was asked for anew */
};

/* After an answer that is not the one that was wanted: 0 when it may be tried again, with
 * the wait behind us; -1 when that is of no use, with err. url: who gave it. progress:
 * bytes that it brought. */
int ol_hub_client_again(struct ol_hub_client *client, const struct ol_hub_subject *about,
                        const char *url, const struct ol_http_answer *answer,
                        int64_t progress, struct ol_hub_tries *tries,
                        struct ol_error *err);

/* A note on stderr, on a line of its own whatever a progress line has drawn there. */
void ol_hub_client_note(struct ol_hub_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What wipes the progress line before a note; NULL: there is none. */
void ol_hub_client_set_wipe(struct ol_hub_client *client, void (*wipe)(void *user),
                            void *user);
/* Call draw(user) while nobody writes a note. */
void ol_hub_client_draw(struct ol_hub_client *client, void (*draw)(void *user),
                        void *user);

/* What is said at the end of the message that a file's bytes do not come; borrowed.
 * Before anything is asked for. */
void ol_hub_client_set_advice(struct ol_hub_client *client, const char *advice);

/* Requests so far. */
long ol_hub_client_n_requests(const struct ol_hub_client *client);

/* ---- text.c ---- */

/* The text at a URL of the Hub's, at most `most` bytes, ended by a zero; the caller
 * frees. *next: the URL of the next page, to be freed, or NULL. NULL on failure. */
char *ol_hub_text(struct ol_hub_client *client, struct ol_http *http,
                  const struct ol_hub_subject *about, const char *url, size_t *n,
                  char **next, struct ol_error *err);

/* ---- errors.c ---- */

/* What an answer means that no other try can mend; returns -1. */
int ol_hub_explain(const struct ol_hub_client *client, const struct ol_hub_subject *about,
                   const char *url, const struct ol_http_answer *answer,
                   struct ol_error *err);
/* "org/name", "org/name: path". The caller frees. */
char *ol_hub_subject_text(const struct ol_hub_subject *about);
/* A URL without what signs it. The caller frees. */
char *ol_hub_shown_url(const char *url);

#endif
