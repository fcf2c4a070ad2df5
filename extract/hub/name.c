#include "extract/hub/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_' || c == '.';
}

/* name or org/name of n characters: letters, digits, '-', '_', '.', with neither "--" nor
 * ".." (which the cache's folder names could not tell apart, or would lead out of it). */
static bool is_repo(const char *model, size_t n)
{
    int slashes = 0;
    if (n == 0 || n > OL_HUB_MAX_NAME)
        return false;
    for (size_t i = 0; i < n; i++) {
        const char next = i + 1 < n ? model[i + 1] : '/';
        const bool edge = i == 0 || i + 1 == n || model[i - 1] == '/' || next == '/';
        if (model[i] == '/' ? edge || ++slashes > 1 : !is_name_character(model[i]))
            return false;
        if ((edge || model[i] == next) && (model[i] == '-' || model[i] == '.'))
            return false;
    }
    return true;
}

/* A branch, a tag, refs/pr/N or a commit: a path that stays inside of refs/. */
bool ol_hub_is_revision(const char *text)
{
    if (text[0] == '\0' || text[0] == '/' || strlen(text) > OL_HUB_MAX_NAME)
        return false;
    for (const char *at = text; *at != '\0'; at++)
        if (!is_name_character(*at) && *at != '/' && *at != '+')
            return false;
    for (const char *part = text; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (*part == '.' || *part == '/' || *part == '\0')
            return false;
    }
    return true;
}

bool ol_hub_name_read(const char *model, struct ol_hub_name *name)
{
    const char *at = strchr(model, '@');
    const size_t n = at != NULL ? (size_t)(at - model) : strlen(model);
    if (!is_repo(model, n) || (at != NULL && !ol_hub_is_revision(at + 1)))
        return false;
    name->repo = ol_xstrndup(model, n);
    name->revision = at != NULL ? at + 1 : NULL;
    return true;
}

void ol_hub_name_clear(struct ol_hub_name *name)
{
    free(name->repo);
    name->repo = NULL;
}

bool ol_hub_is_repo(const char *repo)
{
    return is_repo(repo, strlen(repo));
}

bool ol_hub_is_dataset(const char *repo)
{
    static const char folder[] = "datasets/";
    const char *org = repo + sizeof folder - 1;
    return strncmp(repo, folder, sizeof folder - 1) == 0 && strchr(org, '/') != NULL;
}

bool ol_hub_is_digest(const char *text, size_t n)
{
    return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

bool ol_hub_is_commit(const char *text)
{
    return ol_hub_is_digest(text, OL_HUB_COMMIT_DIGITS);
}

bool ol_hub_is_path(const char *path)
{
    if (path[0] == '\0' || path[0] == '/')
        return false;
    for (const char *c = path; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\')
            return false;
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        const size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') ||
            (n == 2 && strncmp(part, "..", 2) == 0))
            return false;
    }
    return true;
}

char *ol_hub_encode(const char *text, bool encode_slash)
{
    char *encoded = ol_xmalloc(3 * strlen(text) + 1), *to = encoded;
    for (const char *c = text; *c != '\0'; c++) {
        if (is_name_character(*c) || *c == '~' || (*c == '/' && !encode_slash))
            *to++ = *c;
        else
            to += snprintf(to, 4, "%%%02X", (unsigned)(unsigned char)*c);
    }
    *to = '\0';
    return encoded;
}
