#include "extract/hub/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* An environment variable that is set to something, else NULL. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static const char *home(void)
{
    const char *value = variable("HOME");
    return value != NULL ? value : "";
}

/* A path with a leading ~ and any $NAME or ${NAME} replaced, as huggingface_hub does;
 * names that are not set stay as they are. The caller frees. */
static char *expand(const char *path)
{
    char *text = path[0] == '~' && (path[1] == '/' || path[1] == '\0')
                     ? ol_xasprintf("%s%s", home(), path + 1)
                     : ol_xstrdup(path);
    for (char *at = strchr(text, '$'); at != NULL;) {
        const bool braces = at[1] == '{';
        const char *name = at + 1 + braces;
        const size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        char *key = ol_xstrndup(name, length);
        const char *value = length > 0 ? getenv(key) : NULL;
        free(key);
        if (value == NULL || (braces && name[length] != '}')) {
            at = strchr(at + 1, '$');
            continue;
        }
        const size_t before = (size_t)(at - text);
        char *longer =
            ol_xasprintf("%.*s%s%s", (int)before, text, value, name + length + braces);
        free(text);
        text = longer;
        at = strchr(text + before + strlen(value), '$');
    }
    return text;
}

/* The first of the variables that is set, as a path, and what stands below it. */
struct place {
    const char *variable, *below;
};

static char *first_place(const struct place *places, size_t n, const char **from)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = variable(places[i].variable);
        if (value == NULL)
            continue;
        *from = places[i].variable;
        char *path = expand(value);
        char *place = ol_xasprintf("%s%s", path, places[i].below);
        free(path);
        return place;
    }
    return NULL;
}

char *ol_hub_cache_folder(const char **from)
{
    static const struct place places[] = {
        {"HF_HUB_CACHE", ""},
        {"HUGGINGFACE_HUB_CACHE", ""},
        {"HF_HOME", "/hub"},
        {"XDG_CACHE_HOME", "/huggingface/hub"},
    };
    char *folder = first_place(places, sizeof places / sizeof places[0], from);
    if (folder == NULL) {
        *from = "default";
        folder = ol_xasprintf("%s/.cache/huggingface/hub", home());
    }
    return folder;
}

static bool is_yes(const char *name)
{
    static const char *const words[] = {"1", "ON", "YES", "TRUE"};
    const char *value = variable(name);
    for (size_t i = 0; value != NULL && i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

bool ol_hub_is_offline(void)
{
    return is_yes("HF_HUB_OFFLINE") || is_yes("TRANSFORMERS_OFFLINE");
}

/* ---- the token ---- */

/* Without white space around; NULL when nothing is left. */
static char *strip(const char *text)
{
    text += strspn(text, " \t\r\n");
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL)
        n--;
    return n > 0 ? ol_xstrndup(text, n) : NULL;
}

/* What cannot be in a header would end it, or begin another one. */
static int check_token(const char *token, const char *from, struct ol_error *err)
{
    for (const char *c = token; *c != '\0'; c++)
        if (*c <= ' ' || *c == 0x7f)
            return ol_fail(err, "%s: holds no token of the Hub: expected one word", from);
    return 0;
}

static int read_token_file(struct ol_hub_settings *s, struct ol_error *err)
{
    static const struct place places[] = {
        {"HF_TOKEN_PATH", ""},
        {"HF_HOME", "/token"},
        {"XDG_CACHE_HOME", "/huggingface/token"},
    };
    enum { MOST = 4096 };
    char text[MOST];
    const char *from;
    char *path = first_place(places, sizeof places / sizeof places[0], &from);
    if (path == NULL)
        path = ol_xasprintf("%s/.cache/huggingface/token", home());
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        const bool fails = errno != ENOENT && errno != ENOTDIR;
        if (fails)
            ol_fail_errno(err, "%s: cannot read the Hub's token", path);
        free(path);
        return fails ? -1 : 0;
    }
    const size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    s->token = strip(text);
    s->token_from = path;
    return 0;
}

static int read_token(struct ol_hub_settings *s, struct ol_error *err)
{
    static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    if (is_yes("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && s->token == NULL; i++) {
        const char *value = variable(names[i]);
        s->token = value != NULL ? strip(value) : NULL;
        if (s->token != NULL)
            s->token_from = ol_xstrdup(names[i]);
    }
    if (s->token == NULL && read_token_file(s, err) != 0)
        return -1;
    return s->token == NULL ? 0 : check_token(s->token, s->token_from, err);
}

/* ---- */

/* libcurl reads none of these by itself; proxies of a campus need them. */
static char *find_ca_file(void)
{
    static const struct place places[] = {
        {"REQUESTS_CA_BUNDLE", ""}, {"CURL_CA_BUNDLE", ""}, {"SSL_CERT_FILE", ""}};
    const char *from;
    return first_place(places, sizeof places / sizeof places[0], &from);
}

static int read_seconds(const char *name, long fallback, long *seconds,
                        struct ol_error *err)
{
    const char *value = variable(name);
    char *end;
    *seconds = fallback;
    if (value == NULL)
        return 0;
    const double number = strtod(value, &end);
    if (*end != '\0' || !(number > 0) || number > 1e6)
        return ol_fail(err, "%s: '%s' is no number of seconds", name, value);
    *seconds = number < 1 ? 1 : (long)number;
    return 0;
}

static int read_endpoint(struct ol_hub_settings *s, struct ol_error *err)
{
    const char *value = variable("HF_ENDPOINT");
    s->endpoint = ol_xstrdup(value != NULL ? value : "https://huggingface.co");
    size_t n = strlen(s->endpoint);
    while (n > 0 && s->endpoint[n - 1] == '/')
        s->endpoint[--n] = '\0';
    if (strncasecmp(s->endpoint, "https://", 8) != 0 &&
        strncasecmp(s->endpoint, "http://", 7) != 0)
        return ol_fail(err, "HF_ENDPOINT: '%s' is no address: expected https://...",
                       s->endpoint);
    return 0;
}

int ol_hub_settings_read(struct ol_hub_settings *s, struct ol_error *err)
{
    *s = (struct ol_hub_settings){.offline = ol_hub_is_offline()};
    s->cache = ol_hub_cache_folder(&s->cache_from);
    s->ca_file = find_ca_file();
    if (read_endpoint(s, err) != 0 || read_token(s, err) != 0 ||
        read_seconds("HF_HUB_ETAG_TIMEOUT", 30, &s->answer_seconds, err) != 0 ||
        read_seconds("HF_HUB_DOWNLOAD_TIMEOUT", 30, &s->stall_seconds, err) != 0)
        return -1;
    s->connect_seconds = s->answer_seconds < 10 ? s->answer_seconds : 10;
    return 0;
}

void ol_hub_settings_clear(struct ol_hub_settings *s)
{
    free(s->endpoint);
    free(s->cache);
    free(s->token);
    free(s->token_from);
    free(s->ca_file);
    *s = (struct ol_hub_settings){0};
}
