#include "extract/hub/hub.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "extract/hub/cache.h"
#include "extract/hub/download.h"
#include "extract/hub/settings.h"
#include "extract/weights/checkpoint.h"

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* What cannot be told is another one's to report, who opens it: it is no reason to fetch.
 */
static bool is_there(const char *directory, const char *name)
{
    char *path = ol_xasprintf("%s/%s", directory, name);
    const bool there = access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
    free(path);
    return there;
}

/* A tokenizer, or the note that the commit has none (of that kind). */
static bool has_tokenizer(const char *folder, const char *snapshot)
{
    char *absent = ol_xasprintf("%s/.no_exist%s", folder, strrchr(snapshot, '/'));
    const bool has = is_there(snapshot, "tokenizer.json") ||
                     is_there(snapshot, "tiktoken.model") ||
                     is_there(absent, "tokenizer.json");
    free(absent);
    return has;
}

/* Whether a snapshot, of which anybody may have fetched a part, has what is needed. */
static bool suffices(const char *folder, const char *snapshot, unsigned need)
{
    struct ol_error missing = {0}, ignored = {0};
    if (!is_there(snapshot, "config.json"))
        return false;
    if ((need & OL_HUB_TOKENIZER) != 0 && !has_tokenizer(folder, snapshot))
        return false;
    /* An index that cannot be read is another one's to report. */
    return (need & OL_HUB_WEIGHTS) == 0 ||
           ol_checkpoint_is_complete(snapshot, &missing, &ignored) != 0;
}

/* model is as it was given: a name, or a name and "@" and a revision. */
static char *find(const char *model, const struct ol_hub_name *name, unsigned need,
                  struct ol_error *err)
{
    const char *from;
    struct ol_error absent = {0};
    const bool offline = ol_hub_is_offline();
    char *cache = ol_hub_cache_folder(&from),
         *folder = ol_hub_cache_model(cache, name->repo), *snapshot = NULL;
    if (is_directory(folder))
        snapshot = ol_hub_cache_find(folder, name, &absent);
    else
        ol_fail(&absent,
                "%s: there is no such directory, and no such model in the Hub cache: "
                "looked for %s (from %s)",
                model, folder, from);
    if (snapshot == NULL && offline)
        ol_fail(err, "%s; HF_HUB_OFFLINE forbids to ask the Hub", absent.text);
    if (!offline && (snapshot == NULL || !suffices(folder, snapshot, need))) {
        free(snapshot);
        snapshot = ol_hub_fetch_model(name, need, err);
    }
    free(folder);
    free(cache);
    return snapshot;
}

char *ol_hub_resolve(const char *model, unsigned need, struct ol_error *err)
{
    struct stat status;
    struct ol_hub_name name;
    if (stat(model, &status) == 0) {
        if (S_ISDIR(status.st_mode))
            return ol_xstrdup(model);
        ol_fail(err, "%s: is a file, expected a directory or a Hub name (org/name)",
                model);
        return NULL;
    }
    const int error = errno;
    if (!ol_hub_name_read(model, &name)) {
        errno = error;
        ol_fail_errno(err, "%s: cannot be opened, and is no Hub name (org/name)", model);
        return NULL;
    }
    char *directory = find(model, &name, need, err);
    ol_hub_name_clear(&name);
    return directory;
}

char *ol_hub_download(const char *model, struct ol_error *err)
{
    struct ol_hub_name name;
    if (is_directory(model) || ol_hub_is_offline())
        return ol_hub_resolve(model, OL_HUB_WHOLE, err);
    if (!ol_hub_name_read(model, &name)) {
        ol_fail(err, "%s: is no Hub name (org/name)", model);
        return NULL;
    }
    char *directory = ol_hub_fetch_model(&name, OL_HUB_WHOLE, err);
    ol_hub_name_clear(&name);
    return directory;
}
