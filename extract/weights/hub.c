/* The local Hub cache, as huggingface_hub lays it out:
 *
 *     CACHE/models--ORG--NAME/refs/main            40 hexadecimal digits: a commit
 *     CACHE/models--ORG--NAME/snapshots/COMMIT/    the files (links into blobs/) */
#include "extract/weights/hub.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/infile.h"

enum { MAX_NAME = 96, COMMIT_DIGITS = 40 };

static const char folder_prefix[] = "models--";

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_' || c == '.';
}

/* name or org/name of n characters: letters, digits, '-', '_', '.', with neither "--" nor
 * ".." (which the cache's folder names could not tell apart, or would lead out of it). */
static bool is_hub_name(const char *model, size_t n)
{
    int slashes = 0;
    if (n == 0 || n > MAX_NAME)
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

static bool is_commit(const char *text)
{
    return strlen(text) == COMMIT_DIGITS &&
           strspn(text, "0123456789abcdef") == COMMIT_DIGITS;
}

/* A branch, a tag, refs/pr/N or a commit: a path that stays inside of refs/. */
static bool is_revision(const char *text)
{
    if (text[0] == '\0' || text[0] == '/' || strlen(text) > MAX_NAME)
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

/* The folder of the cache and, for messages, the variable that says so. */
static char *cache_folder(const char **from)
{
    static const struct {
        const char *variable, *below;
    } places[] = {
        {"HF_HUB_CACHE", ""},
        {"HUGGINGFACE_HUB_CACHE", ""},
        {"HF_HOME", "/hub"},
        {"XDG_CACHE_HOME", "/huggingface/hub"},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        *from = places[i].variable;
        if (variable(*from) == NULL)
            continue;
        char *path = expand(variable(*from));
        char *folder = ol_xasprintf("%s%s", path, places[i].below);
        free(path);
        return folder;
    }
    *from = "default";
    return ol_xasprintf("%s/.cache/huggingface/hub", home());
}

static int read_commit(const char *path, char commit[COMMIT_DIGITS + 1],
                       struct ol_error *err)
{
    char text[COMMIT_DIGITS + 8];
    FILE *file = ol_infile_open(path, OL_INFILE_REGULAR, err);
    if (file == NULL)
        return -1;
    size_t n = fread(text, 1, sizeof text - 1, file);
    ol_infile_close(file);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL && text[n - 1] != '\0')
        n--;
    text[n] = '\0';
    if (strlen(text) != n || !is_commit(text))
        return ol_fail(err, "%s: expected a commit (%d hexadecimal digits)", path,
                       COMMIT_DIGITS);
    memcpy(commit, text, COMMIT_DIGITS + 1);
    return 0;
}

/* CACHE/models--ORG--NAME, of a name of n characters. */
static char *model_folder(const char *cache, const char *model, size_t n)
{
    const char *slash = memchr(model, '/', n);
    if (slash == NULL)
        return ol_xasprintf("%s/%s%.*s", cache, folder_prefix, (int)n, model);
    const int org = (int)(slash - model);
    return ol_xasprintf("%s/%s%.*s--%.*s", cache, folder_prefix, org, model,
                        (int)n - org - 1, slash + 1);
}

/* The only commit below snapshots/: 0 with it; 1 when there is none, or more than one. */
static int only_snapshot(const char *folder, char commit[COMMIT_DIGITS + 1])
{
    int n = 0;
    char *path = ol_xasprintf("%s/snapshots", folder);
    DIR *directory = opendir(path);
    free(path);
    if (directory == NULL)
        return 1;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (is_commit(entry->d_name)) {
            memcpy(commit, entry->d_name, COMMIT_DIGITS + 1);
            n++;
        }
    closedir(directory);
    return n == 1 ? 0 : 1;
}

/* The commit of a revision; without one, what refs/main says or, where no reference was
 * written, the only snapshot that there is. */
static int find_commit(const char *folder, const char *revision,
                       char commit[COMMIT_DIGITS + 1], struct ol_error *err)
{
    if (revision != NULL && is_commit(revision)) {
        memcpy(commit, revision, COMMIT_DIGITS + 1);
        return 0;
    }
    struct stat status;
    int result = 0;
    char *ref = ol_xasprintf("%s/refs/%s", folder, revision != NULL ? revision : "main");
    const bool absent = stat(ref, &status) != 0 && errno == ENOENT;
    if (!absent || revision != NULL)
        result = read_commit(ref, commit, err);
    else if (only_snapshot(folder, commit) != 0)
        result = ol_fail(err,
                         "%s: is not there, and snapshots/ does not hold exactly one "
                         "commit to take in its place: name one, org/name@COMMIT",
                         ref);
    free(ref);
    return result;
}

/* model: a name, or a name and "@" and a revision. */
static char *find_snapshot(const char *model, struct ol_error *err)
{
    const char *from, *at = strchr(model, '@');
    const size_t n = at != NULL ? (size_t)(at - model) : strlen(model);
    char commit[COMMIT_DIGITS + 1];
    char *cache = cache_folder(&from);
    char *folder = model_folder(cache, model, n);
    char *snapshot = NULL, *result = NULL;
    if (!is_directory(folder)) {
        ol_fail(err,
                "%s: there is no such directory, and no such model in the Hub cache: "
                "looked for %s (from %s)",
                model, folder, from);
        goto out;
    }
    if (find_commit(folder, at != NULL ? at + 1 : NULL, commit, err) != 0)
        goto out;
    snapshot = ol_xasprintf("%s/snapshots/%s", folder, commit);
    if (!is_directory(snapshot)) {
        ol_fail(err, "%s: %s/refs names a snapshot that is not there: looked for %s",
                model, folder, snapshot);
        goto out;
    }
    result = snapshot;
    snapshot = NULL;
out:
    free(snapshot);
    free(folder);
    free(cache);
    return result;
}

char *ol_hub_resolve(const char *model, struct ol_error *err)
{
    struct stat status;
    const char *at = strchr(model, '@');
    if (stat(model, &status) == 0) {
        if (S_ISDIR(status.st_mode))
            return ol_xstrdup(model);
        ol_fail(err, "%s: is a file, expected a directory or a Hub name (org/name)",
                model);
        return NULL;
    }
    const int error = errno;
    if (is_hub_name(model, at != NULL ? (size_t)(at - model) : strlen(model)) &&
        (at == NULL || is_revision(at + 1)))
        return find_snapshot(model, err);
    errno = error;
    ol_fail_errno(err, "%s: cannot be opened, and is no Hub name (org/name)", model);
    return NULL;
}

char *ol_hub_name(const char *directory)
{
    char *path = realpath(directory, NULL), *name = NULL;
    char *commit = path != NULL ? strrchr(path, '/') : NULL;
    if (commit == NULL || !is_commit(commit + 1))
        goto out;
    *commit = '\0';
    char *snapshots = strrchr(path, '/');
    if (snapshots == NULL || strcmp(snapshots, "/snapshots") != 0)
        goto out;
    *snapshots = '\0';
    const char *folder = strrchr(path, '/');
    if (folder == NULL ||
        strncmp(folder + 1, folder_prefix, sizeof folder_prefix - 1) != 0)
        goto out;
    folder += sizeof folder_prefix;
    const char *middle = strstr(folder, "--");
    name = middle == NULL
               ? ol_xstrdup(folder)
               : ol_xasprintf("%.*s/%s", (int)(middle - folder), folder, middle + 2);
out:
    free(path);
    return name;
}
