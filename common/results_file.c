#include "common/results_file.h"

#include <stdlib.h>
#include <string.h>

#include "common/atomic_file.h"
#include "common/infile.h"
#include "common/version.h"

#define FORMAT         OL_RESULTS_FORMAT
#define FORMAT_VERSION OL_RESULTS_FORMAT_VERSION

struct ol_json *ol_results_new(const char *command_line)
{
    struct ol_json *results = ol_json_new_object();
    ol_json_set(results, "format", ol_json_new_string(FORMAT));
    ol_json_set(results, "format_version", ol_json_new_int(FORMAT_VERSION));
    ol_json_set(results, "tool_version", ol_json_new_string(OL_VERSION));
    ol_json_set(results, "command_line", ol_json_new_string(command_line));
    return results;
}

int ol_results_write(const struct ol_json *results, const char *path,
                     struct ol_error *err)
{
    const bool to_stdout = path == NULL || strcmp(path, "-") == 0;
    struct ol_atomic_file *file = ol_atomic_open(path, err);
    if (file == NULL)
        return -1;
    if (ol_json_dump(results, 1, ol_atomic_stream(file),
                     to_stdout ? "standard output" : path, err) != 0) {
        ol_atomic_discard(file);
        return -1;
    }
    return ol_atomic_commit(file, err);
}

static char *read_all(const char *path, const char *name, size_t *bytes,
                      struct ol_error *err)
{
    FILE *file = ol_infile_open(path, OL_INFILE_STREAM, err);
    if (file == NULL)
        return NULL;
    size_t room = 1 << 16;
    char *text = ol_xmalloc(room);
    *bytes = 0;
    for (size_t n; (n = fread(text + *bytes, 1, room - *bytes, file)) > 0;) {
        *bytes += n;
        if (*bytes == room)
            text = ol_xrealloc_array(text, room *= 2, 1);
    }
    if (ferror(file) || *bytes == 0) {
        if (ferror(file))
            ol_fail_errno(err, "%s: cannot be read", name);
        else
            ol_fail(err, "%s is empty: no results to report", name);
        free(text);
        text = NULL;
    }
    ol_infile_close(file);
    return text;
}

static int check_format(struct ol_json_section s, struct ol_error *err)
{
    const char *format = NULL, *written_by = NULL;
    int64_t version = 0;
    if (ol_json_kind(s.json) != OL_JSON_OBJECT)
        return ol_fail(err, "%s: expected a JSON object written by ol-analyze", s.file);
    if (ol_json_string_or(s, "format", "", &format, err) != 0)
        return -1;
    if (strcmp(format, FORMAT) != 0)
        return ol_fail(err, "%s: format is \"%s\", expected \"" FORMAT "\"", s.file,
                       format);
    if (ol_json_need_int(s, "format_version", INT64_MIN, INT64_MAX, &version, err) != 0)
        return -1;
    if (version == FORMAT_VERSION)
        return 0;
    if (ol_json_string_or(s, "tool_version", "unknown", &written_by, err) != 0)
        return -1;
    if (version < FORMAT_VERSION)
        return ol_fail(err,
                       "%s: format_version is %lld (ol-analyze %s), expected %d: make it "
                       "again from the same recording with ol-analyze " OL_RESULTS_SINCE
                       " or later",
                       s.file, (long long)version, written_by, FORMAT_VERSION);
    return ol_fail(err,
                   "%s: format_version is %lld, expected %d: it needs ol-report %s or "
                   "later",
                   s.file, (long long)version, FORMAT_VERSION, written_by);
}

struct ol_json *ol_results_parse(const char *text, size_t bytes, const char *name,
                                 struct ol_error *err)
{
    struct ol_json *json = ol_json_load_text(text, bytes, name, err);
    if (json != NULL && check_format((struct ol_json_section){name, json}, err) == 0)
        return json;
    ol_json_free(json);
    return NULL;
}

struct ol_json *ol_results_read(const char *path, struct ol_error *err)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    size_t bytes;
    char *text = read_all(path, name, &bytes, err);
    struct ol_json *json = text != NULL ? ol_results_parse(text, bytes, name, err) : NULL;
    free(text);
    return json;
}
