/* Answers that are read whole: the Hub's API. */
#include <stdlib.h>
#include <string.h>

#include "extract/hub/client.h"

struct text {
    char *bytes;
    size_t n, room;
    bool too_long, compressed;
};

enum { MOST_TEXT_BYTES = 64 << 20 };

static enum ol_http_body begin_text(void *user, const struct ol_http_answer *a)
{
    struct text *t = user;
    const char *encoding = a->fields[OL_HTTP_CONTENT_ENCODING];
    t->n = 0;
    if (a->status != 200)
        return OL_HTTP_IGNORE;
    t->compressed = encoding != NULL && strcmp(encoding, "identity") != 0;
    return t->compressed ? OL_HTTP_STOP : OL_HTTP_TAKE;
}

static int take_text(void *user, const void *bytes, size_t n)
{
    struct text *t = user;
    t->too_long = n > MOST_TEXT_BYTES - t->n;
    if (t->too_long)
        return -1;
    while (t->n + n + 1 > t->room)
        t->bytes = ol_xrealloc_array(t->bytes, t->room *= 2, 1);
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
    return 0;
}

/* The address in 'Link: <URL>; rel="next"'; NULL: none. */
static char *next_page(const struct ol_http_answer *a)
{
    const char *link = a->fields[OL_HTTP_LINK];
    const char *end = link != NULL ? strchr(link, '>') : NULL;
    return end != NULL && link[0] == '<' && strstr(end, "rel=\"next\"") != NULL
               ? ol_xstrndup(link + 1, (size_t)(end - link - 1))
               : NULL;
}

/* One try: 1 with the text, 0 without, -1 when no other try will do. */
static int text_once(struct ol_hub_client *client, struct ol_http *http, char **url,
                     struct text *t, struct ol_http_answer *answer, struct ol_error *err)
{
    struct ol_http_request request = {
        .to = -1, .begin = begin_text, .take = take_text, .user = t};
    int n_hops = 0;
    for (char *next = ol_xstrdup(*url); next != NULL;) {
        free(*url);
        *url = ol_xstrdup(next);
        request.url = *url;
        ol_http_answer_clear(answer);
        ol_hub_client_get(client, http, &request, answer);
        if (ol_hub_client_follow(&next, &n_hops, answer, err) != 0) {
            free(next);
            return -1;
        }
    }
    char *shown = ol_hub_shown_url(*url);
    if (t->too_long)
        ol_fail(err, "%s: answers with more than %d bytes", shown, MOST_TEXT_BYTES);
    else if (t->compressed)
        ol_fail(err, "%s: answers compressed (%s), which was not asked for", shown,
                answer->fields[OL_HTTP_CONTENT_ENCODING]);
    free(shown);
    return t->too_long || t->compressed                            ? -1
           : answer->end == OL_HTTP_WHOLE && answer->status == 200 ? 1
                                                                   : 0;
}

char *ol_hub_text(struct ol_hub_client *client, struct ol_http *http,
                  const struct ol_hub_subject *about, const char *url, size_t *n,
                  char **next, struct ol_error *err)
{
    struct text t = {.room = 1 << 14};
    struct ol_hub_tries tries = {0};
    struct ol_http_answer answer = {0};
    t.bytes = ol_xmalloc(t.room);
    *next = NULL;
    int status = 0;
    while (status == 0) {
        char *at = ol_xstrdup(url);
        status = text_once(client, http, &at, &t, &answer, err);
        if (status == 0)
            status = ol_hub_client_again(client, about, at, &answer, 0, &tries, err);
        if (status == 1)
            *next = next_page(&answer);
        ol_http_answer_clear(&answer);
        free(at);
    }
    if (status == 1) {
        t.bytes[t.n] = '\0';
        *n = t.n;
        return t.bytes;
    }
    free(t.bytes);
    return NULL;
}
