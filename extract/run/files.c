/* The files of a run: where they are, begun, gone on with, sealed or given up. */
#include "extract/run/session.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/file.h"
#include "common/process.h"

/* Digits that decide the values of the hidden states. */
static void identify(const struct ol_session *r, char hex[OL_SHA256_HEX_BYTES])
{
    struct ol_sha256 *sha = ol_sha256_new();
    ol_sha256_update(sha, r->info.model.config_sha256,
                     strlen(r->info.model.config_sha256));
    ol_sha256_update(sha, r->info.model.weights_sha256,
                     strlen(r->info.model.weights_sha256));
    ol_sha256_update(sha, r->info.backend, strlen(r->info.backend));
    ol_sha256_update(sha, r->ids, (size_t)r->n_rows * sizeof *r->ids);
    ol_sha256_update(sha, r->corpus.lengths,
                     (size_t)r->corpus.n_sequences * sizeof *r->corpus.lengths);
    ol_sha256_finish(sha, hex);
}

/* The name of the file goes there when it is sealed. */
static int check_stdout(struct ol_error *err)
{
    return ol_process_stdout_closed() ? 0 : ol_output_check(NULL, OL_OUTPUT_STREAM, err);
}

/* Names at which this run makes files must not be those of its inputs either. */
int ol_session_check_names(const struct ol_session *r, struct ol_error *err)
{
    const struct {
        const char *path, *suffix;
    } made[] = {{r->path, ""},
                {r->partial_path, ""},
                {r->partial_path, ".undo"},
                {r->partial_path, ".status"},
                {r->partial_path, ".status.new"},
                {r->state_path, ""},
                {r->digests_path, ""},
                {r->state_path, ".0"},
                {r->state_path, ".1"}};
    int status = check_stdout(err);
    for (size_t i = 0; i < sizeof made / sizeof made[0] && status == 0; i++) {
        char *name = ol_xasprintf("%s%s", made[i].path, made[i].suffix);
        struct stat file;
        const bool there = stat(name, &file) == 0;
        const char *input = there ? ol_infile_name(&file) : NULL;
        if (there && !S_ISREG(file.st_mode))
            status = ol_fail(err, "%s: is %s, expected a regular file, or none", name,
                             ol_file_kind(file.st_mode));
        else if (input != NULL)
            status = ol_fail(err, "%s: is also an input, %s: it would be replaced", name,
                             input);
        free(name);
    }
    return status;
}

/* Beside the unfinished file, or in a folder of the user's, where files of other folders
 * may have the same name: there it is told apart by digits of its folder. */
static char *state_path(const struct ol_session *r)
{
    if (r->request->tmpdir == NULL)
        return ol_xasprintf("%s.state", r->partial_path);
    char *copy = ol_xstrdup(r->partial_path), hex[OL_SHA256_HEX_BYTES];
    char *slash = strrchr(copy, '/');
    const char *name = slash != NULL ? slash + 1 : copy;
    if (slash != NULL)
        *slash = '\0';
    char *folder = realpath(slash == NULL ? "." : slash == copy ? "/" : copy, NULL);
    struct ol_sha256 *sha = ol_sha256_new();
    if (folder != NULL)
        ol_sha256_update(sha, folder, strlen(folder));
    ol_sha256_finish(sha, hex);
    char *path = ol_xasprintf("%s/%.8s-%s.state", r->request->tmpdir, hex, name);
    free(folder);
    free(copy);
    return path;
}

static int check_tmpdir(const char *path, struct ol_error *err)
{
    struct stat status;
    if (path == NULL)
        return 0;
    if (stat(path, &status) != 0)
        return ol_fail_errno(err, "--tmpdir %s", path);
    return S_ISDIR(status.st_mode)
               ? 0
               : ol_fail(err, "--tmpdir %s: is %s, expected a directory", path,
                         ol_file_kind(status.st_mode));
}

/* Where it is written: before anything that takes long. */
int ol_session_find_output(struct ol_session *r, struct ol_error *err)
{
    char *short_name = ol_model_short_name(r->request->model);
    char *name = r->request->output != NULL ? ol_xstrdup(r->request->output)
                                            : ol_xasprintf("%s.h5", short_name);
    r->name = ol_part_path(&r->request->part, name);
    free(name);
    free(short_name);
    if (check_stdout(err) != 0 || check_tmpdir(r->request->tmpdir, err) != 0 ||
        ol_output_find(r->name, OL_OUTPUT_FILE, &r->output, err) != 0)
        return -1;
    r->path = ol_xstrdup(r->output.path);
    r->partial_path = ol_xasprintf("%s.partial", r->path);
    r->state_path = state_path(r);
    r->digests_path = ol_xasprintf("%s.weights", r->partial_path);
    return 0;
}

/* What replaces a file is for the same people's eyes, also while it is made: so are the
 * files beside it, none of which may be read by more than it. */
static int keep_mode(const struct ol_session *r, const char *path, struct ol_error *err)
{
    const int fd = r->output.exists ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    const int status = ol_output_keep_mode(&r->output, fd, err);
    close(fd);
    return status;
}

/* With --resume, whether the run is complete: *complete. Another run's file fails. */
int ol_session_look_for_complete(const struct ol_session *r, bool *complete,
                                 struct ol_error *err)
{
    *complete = false;
    bool unfinished;
    if (ol_file_exists(r->partial_path, &unfinished, err) != 0)
        return -1;
    if (!r->request->resume || unfinished || !r->output.exists)
        return 0;
    const char *what = NULL;
    if (ol_activation_compare(r->path, &r->info, &r->layout, &r->input, &what, err) != 0)
        return -1;
    if (what != NULL)
        return ol_fail(err,
                       "%s: is complete, but belongs to another run, its %s differs; "
                       "remove it, or give another --output",
                       r->name, what);
    /* What a run leaves that ended between the file's name and its own end. */
    ol_state_remove(r->state_path);
    *complete = true;
    return 0;
}

/* What streamed weights are held to, which a run that goes on has from before. */
static int open_digests(struct ol_session *r, bool go_on, struct ol_error *err)
{
    if (r->model.ranges == NULL)
        return 0;
    r->digests = ol_digests_open(r->digests_path, go_on, err);
    ol_hub_ranges_note(r->model.ranges, r->digests);
    return r->digests != NULL ? 0 : -1;
}

/* What an unfinished run had come to. */
static int take_up(struct ol_session *r, struct ol_error *err)
{
    void *extra = NULL;
    size_t n = 0;
    int status = ol_state_get(r->states, r->hidden, &r->done, &extra, &n, err);
    if (status == 0 && r->done >= 0)
        status = ol_recording_restore(r->recording, extra, n, err);
    free(extra);
    if (status == 0)
        ol_activation_go_on_after(r->file, r->done);
    return status;
}

/* What is there may be at work this moment. */
static void refuse_unfinished(const char *partial, struct ol_error *err)
{
    const int fd = ol_file_open(partial, O_RDONLY, err);
    if (fd < 0)
        return;
    if (ol_file_lock(fd, partial, OL_LOCK_SHARED, err) == 0)
        ol_fail(err,
                "%s: an unfinished run is there: go on with it (--resume), or remove it "
                "to begin anew",
                partial);
    close(fd);
}

/* Weights that are read through the page cache: as many bytes as their files have. */
static int64_t mapped_bytes(const struct ol_session *r)
{
    uint64_t all = 0, bytes;
    if (r->model.source != NULL)
        return 0;
    for (int i = 0; i < ol_checkpoint_n_files(r->model.checkpoint); i++) {
        ol_checkpoint_map(r->model.checkpoint, i, &bytes);
        all += bytes;
    }
    return (int64_t)all;
}

int ol_session_open_files(struct ol_session *r, struct ol_error *err)
{
    char hex[OL_SHA256_HEX_BYTES];
    identify(r, hex);
    const struct ol_state_identity id = {hex, r->request->precision, r->all.n_rows,
                                         ol_spec_stream_width(&r->model.spec)};
    const char *partial = r->partial_path;
    bool there, kept;
    int status = -1;
    if (ol_file_exists(partial, &there, err) != 0 ||
        ol_file_exists(r->state_path, &kept, err) != 0)
        return -1;
    if (r->output.exists)
        umask(umask(0777) | (~r->output.mode & 0777));
    if (there && !r->request->resume) {
        refuse_unfinished(partial, err);
    } else if (there && kept) {
        r->file = ol_activation_reopen(r->path, &r->info, &r->layout, &r->input, err);
        if (r->file != NULL)
            r->states = ol_state_open(r->state_path, &id, err);
        r->hidden =
            ol_xcalloc((size_t)(r->all.n_rows * id.d_model), ol_dtype_size(id.dtype));
        if (r->file != NULL && r->states != NULL)
            status = take_up(r, err);
        if (status == 0)
            ol_note("%s: going on after layer %d", partial, r->done);
    } else {
        if (there)
            ol_note("%s: its states are not there (%s): beginning with layer 0", partial,
                    r->state_path);
        else if (r->request->resume)
            ol_detail("%s: there is nothing to resume, beginning with layer 0", r->path);
        r->file = ol_activation_create(r->path, r->request->resume, &r->info, &r->layout,
                                       &r->input, err);
        r->created = r->file != NULL;
        if (r->file != NULL && keep_mode(r, partial, err) == 0)
            r->states =
                ol_state_create(r->state_path, &id,
                                ol_recording_saved_bytes(
                                    &r->layout, ol_activation_likely_values(&r->layout)),
                                err);
        status = r->states != NULL ? keep_mode(r, r->state_path, err) : -1;
    }
    if (status != 0)
        return -1;
    ol_activation_fit(r->file, ol_memory_available() - r->memory.total - mapped_bytes(r));
    return open_digests(r, there && kept, err);
}

/* A failure before the first layer was kept leaves nothing behind. Nothing is allocated
 * here: it may have been memory that failed. */
void ol_session_abandon(struct ol_session *r)
{
    if (r->file == NULL)
        return;
    ol_activation_abandon(r->file);
    r->file = NULL;
    if (!r->created && r->states == NULL)
        return;
    if (!r->created || (r->states != NULL && ol_state_is_kept(r->states))) {
        ol_note("%s can be finished with --resume", r->partial_path);
        return;
    }
    unlink(r->partial_path);
    if (r->states != NULL)
        ol_state_remove(r->state_path);
    if (r->digests != NULL)
        unlink(r->digests_path);
}

void ol_session_print_name(const struct ol_session *r)
{
    if (ol_process_stdout_closed())
        return;
    char *name = isatty(STDOUT_FILENO) == 1 ? ol_shown(r->name) : ol_xstrdup(r->name);
    printf("%s\n", name);
    free(name);
}

int ol_session_seal(struct ol_session *r, struct ol_error *err)
{
    struct ol_activation_writer *file = r->file;
    struct ol_activation_outliers outliers = {0};
    r->file = NULL;
    if (r->layout.summary)
        ol_summaries_outliers(r->recording, &outliers);
    const int status =
        ol_activation_seal(file, r->layout.summary ? &outliers : NULL,
                           ol_arms_recorded(r->recording), &r->receipt, err);
    ol_activation_outliers_clear(&outliers);
    if (status != 0)
        return -1;
    ol_state_remove(r->state_path);
    if (r->digests != NULL)
        unlink(r->digests_path);
    ol_session_print_name(r);
    return 0;
}
