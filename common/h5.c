/* Files and groups; attributes and datasets are in files of their own. */
#include "common/h5_private.h"

#include <stdlib.h>
#include <string.h>

#include "common/crash_guard.h"

enum { ALIGNMENT = 4096, REASON_BYTES = 120 };

/* ---- errors ---- */

/* The innermost reason that says anything; what a system call said is quoted in a line of
 * pointers and counts: "... error message = 'No space left on device', buf = ...". */
static herr_t innermost(unsigned n, const H5E_error2_t *error, void *text)
{
    static const char quoted[] = "error message = '";
    char *reason = text;
    (void)n;
    const char *from = error->desc != NULL ? error->desc : "";
    const char *system = strstr(from, quoted);
    from = system != NULL ? system + sizeof quoted - 1 : from;
    const size_t bytes = strcspn(from, system != NULL ? "'" : "\n");
    const size_t taken = bytes < REASON_BYTES ? bytes : REASON_BYTES - 1;
    memcpy(reason, from, taken);
    reason[taken] = '\0';
    return taken > 0;
}

int ol_h5_fail(struct ol_error *err, const char *file, const char *object,
               const char *what)
{
    char reason[REASON_BYTES] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, reason);
    ol_fail(err, "%s: %s%s%s (HDF5: %s)", file, object, object[0] != '\0' ? ": " : "",
            what, reason[0] != '\0' ? reason : "no reason given");
    H5Eclear2(H5E_DEFAULT);
    return -1;
}

/* Where there is no memory for an identifier the library ends the process by exit(-1),
 * without a word; nobody else does. */
static void on_exit_of_library(int status, void *unused)
{
    (void)unused;
    if ((status & 0xff) != 0xff)
        return;
    ol_warn("HDF5 gave up: it is out of memory");
    exit(1);
}

static void watch_exit(void)
{
    static bool done;
    if (!done)
        on_exit(on_exit_of_library, NULL);
    done = true;
}

/* The library prints nothing by itself, and does not tidy up at exit: after a failed
 * write (a full disk) it would crash there. What it has freed it does not keep for later:
 * its lists would grow with the file. */
static void quiet(void)
{
    H5dont_atexit();
    watch_exit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5set_free_list_limits(0, 0, 0, 0, 0, 0);
}

/* The library forgets the reason of a failure at its next call; of the question whether
 * there is one it says so. */
bool ol_h5_closed(hid_t id, herr_t (*close_id)(hid_t))
{
    if (id < 0)
        return true;
    if (H5Eget_num(H5E_DEFAULT) == 0)
        return close_id(id) >= 0;
    const hid_t earlier = H5Eget_current_stack();
    const bool good = close_id(id) >= 0;
    const hid_t later = H5Eget_current_stack();
    const bool first = H5Eget_num(earlier) > 0;
    H5Eclose_stack(first ? later : earlier);
    H5Eset_current_stack(first ? earlier : later);
    return good;
}

/* ---- types ---- */

const char *ol_h5_type_name(enum ol_h5_type type)
{
    static const char *const names[] = {
        [OL_H5_BF16] = "bfloat16",   [OL_H5_F32] = "float32",
        [OL_H5_I32] = "int32",       [OL_H5_U16] = "uint16",
        [OL_H5_U8] = "uint8",        [OL_H5_I64] = "int64",
        [OL_H5_F64] = "float64",     [OL_H5_U32] = "uint32",
        [OL_H5_TEXT] = "UTF-8 text", [OL_H5_OTHER] = "another type",
    };
    return names[type];
}

static hid_t make_bf16(void)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    /* Fields before the size: they must lie in both. */
    if (H5Tset_fields(type, 15, 7, 8, 0, 7) < 0 || H5Tset_size(type, 2) < 0 ||
        H5Tset_ebias(type, 127) < 0) {
        H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

static hid_t make_text(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0) {
        H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

hid_t ol_h5_standard_type(enum ol_h5_type type)
{
    switch (type) {
    case OL_H5_F32:
        return H5T_IEEE_F32LE;
    case OL_H5_I32:
        return H5T_STD_I32LE;
    case OL_H5_U16:
        return H5T_STD_U16LE;
    case OL_H5_U32:
        return H5T_STD_U32LE;
    case OL_H5_U8:
        return H5T_STD_U8LE;
    case OL_H5_I64:
        return H5T_STD_I64LE;
    case OL_H5_F64:
        return H5T_IEEE_F64LE;
    case OL_H5_BF16:
    case OL_H5_TEXT:
    case OL_H5_OTHER:
        break;
    }
    return H5I_INVALID_HID;
}

hid_t ol_h5_make_type(enum ol_h5_type type)
{
    return type == OL_H5_BF16   ? make_bf16()
           : type == OL_H5_TEXT ? make_text()
                                : H5Tcopy(ol_h5_standard_type(type));
}

/* ---- files ---- */

static struct ol_h5 *wrap(hid_t file, const char *path)
{
    struct ol_h5 *h = ol_xcalloc(1, sizeof *h);
    h->file = file;
    h->path = ol_xstrdup(path);
    h->last = ol_xcalloc(1, sizeof *h->last);
    h->last->group = h->last->dataset = H5I_INVALID_HID;
    return h;
}

bool ol_h5_let_go(const struct ol_h5 *h)
{
    const bool good = ol_h5_closed(h->last->dataset, H5Dclose);
    h->last->dataset = H5I_INVALID_HID;
    free(h->last->dataset_path);
    h->last->dataset_path = NULL;
    return good;
}

static bool leave_group(const struct ol_h5 *h)
{
    const bool good = ol_h5_closed(h->last->group, H5Gclose);
    h->last->group = H5I_INVALID_HID;
    free(h->last->group_path);
    h->last->group_path = NULL;
    return good;
}

/* How the file is reached. Nothing of it stays open behind its own handle: what could not
 * be written would be found out at the end of the program. Locks are ours (file.h), where
 * the file system has them: the library's fail where it has not. Headers have checksums
 * of their own from that version of the format on. */
static hid_t make_access(int64_t align_from)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_LATEST) >= 0 &&
        H5Pset_alignment(access, (hsize_t)align_from, ALIGNMENT) >= 0 &&
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 11, 0))
        && H5Pset_file_locking(access, 0, 1) >= 0
#endif
    )
        return access;
    ol_h5_closed(access, H5Pclose);
    return H5I_INVALID_HID;
}

/* Groups that hold many attributes keep them in their headers. */
static bool keep_attributes_compact(hid_t creation)
{
    enum { MOST = 64, LEAST = 48 };
    return H5Pset_attr_phase_change(creation, MOST, LEAST) >= 0;
}

/* Nothing is ever freed in the file, so nobody need look for room in its gaps: with
 * thousands of chunks, each behind a gap, that takes the square of their number. */
struct ol_h5 *ol_h5_create(const char *path, int64_t align_from, struct ol_error *err)
{
    quiet();
    const hid_t access = make_access(align_from), creation = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = H5I_INVALID_HID;
    if (access >= 0 &&
        H5Pset_file_space_strategy(creation, H5F_FSPACE_STRATEGY_NONE, 0, 1) >= 0 &&
        keep_attributes_compact(creation))
        file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    const bool good =
        (int)ol_h5_closed(creation, H5Pclose) & (int)ol_h5_closed(access, H5Pclose);
    if (file >= 0 && good)
        return wrap(file, path);
    ol_h5_fail(err, path, "", "cannot be created");
    ol_h5_closed(file, H5Fclose);
    return NULL;
}

struct ol_h5 *ol_h5_open(const char *path, bool writable, struct ol_error *err)
{
    quiet();
    ol_crash_guard_step(0);
    const hid_t access = make_access(1);
    const hid_t file =
        access >= 0 ? H5Fopen(path, writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, access)
                    : H5I_INVALID_HID;
    hsize_t userblock = 0;
    const hid_t creation = file >= 0 ? H5Fget_create_plist(file) : H5I_INVALID_HID;
    bool good = creation >= 0 && H5Pget_userblock(creation, &userblock) >= 0;
    good = (int)good & (int)ol_h5_closed(creation, H5Pclose) &
           (int)ol_h5_closed(access, H5Pclose);
    if (good && userblock == 0)
        return wrap(file, path);
    if (good)
        ol_fail(err, "%s: has a user block of %llu bytes, expected none", path,
                (unsigned long long)userblock);
    else
        ol_h5_fail(err, path, "", "cannot be opened as an HDF5 file");
    ol_h5_closed(file, H5Fclose);
    return NULL;
}

int ol_h5_close(struct ol_h5 *h, struct ol_error *err)
{
    int status = 0;
    ol_crash_guard_step(0);
    const bool left = (int)ol_h5_let_go(h) & (int)leave_group(h);
    if (!left || H5Fflush(h->file, H5F_SCOPE_LOCAL) < 0)
        status = ol_h5_fail(err, h->path, "", "cannot be written");
    if (H5Fclose(h->file) < 0 && status == 0)
        status = ol_h5_fail(err, h->path, "", "cannot be closed");
    free(h->last);
    free(h->path);
    free(h);
    return status;
}

int ol_h5_end(const struct ol_h5 *h, uint64_t *end, struct ol_error *err)
{
    hsize_t bytes;
    if (H5Fflush(h->file, H5F_SCOPE_LOCAL) < 0 || H5Fget_filesize(h->file, &bytes) < 0)
        return ol_h5_fail(err, h->path, "", "cannot be written");
    *end = bytes;
    return 0;
}

int ol_h5_extend(struct ol_h5 *h, uint64_t bytes, struct ol_error *err)
{
    return H5Fincrement_filesize(h->file, bytes) >= 0
               ? 0
               : ol_h5_fail(err, h->path, "", "cannot be made longer");
}

void ol_h5_free(struct ol_h5 *h)
{
    struct ol_error ignored = {0};
    if (h != NULL)
        ol_h5_close(h, &ignored);
}

/* ---- groups ---- */

int ol_h5_make_group(struct ol_h5 *h, const char *path, struct ol_error *err)
{
    const hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    hid_t group = H5I_INVALID_HID;
    if (keep_attributes_compact(creation))
        group = H5Gcreate2(h->file, path, H5P_DEFAULT, creation, H5P_DEFAULT);
    const bool good = (int)(group >= 0) & (int)ol_h5_closed(group, H5Gclose) &
                      (int)ol_h5_closed(creation, H5Pclose);
    return good ? 0 : ol_h5_fail(err, h->path, path, "the group cannot be made");
}

/* Asked link by link: a missing group on the way is no error, but would be the library's.
 * prefix: the path, up to `end` of it; 0 or 1, below 0 on failure. */
static htri_t is_there(const struct ol_h5 *h, char *prefix, size_t end)
{
    htri_t found = 1;
    for (size_t i = 1; found > 0 && i <= end; i++) {
        const char next = prefix[i];
        if (next != '/' && i != end)
            continue;
        prefix[i] = '\0';
        found = H5Lexists(h->file, prefix, H5P_DEFAULT);
        prefix[i] = next;
    }
    return found;
}

/* The group that holds the path's end, whose name begins at `end`, becomes the last one:
 * as is_there, which is asked only where it cannot be opened. */
static htri_t enter_group(const struct ol_h5 *h, const char *path, size_t end)
{
    struct ol_h5_last *last = h->last;
    if (last->group_path != NULL && strlen(last->group_path) == end &&
        strncmp(last->group_path, path, end) == 0)
        return 1;
    if (!leave_group(h))
        return -1;
    char *group = ol_xstrndup(path, end);
    htri_t found = 1;
    last->group = H5Gopen2(h->file, group, H5P_DEFAULT);
    if (last->group < 0) {
        H5Eclear2(H5E_DEFAULT);
        found = is_there(h, group, end - 1);
    }
    if (found > 0 && last->group < 0)
        last->group = H5Gopen2(h->file, group, H5P_DEFAULT);
    if (last->group >= 0)
        last->group_path = group;
    else
        free(group);
    return found > 0 && last->group < 0 ? -1 : found;
}

htri_t ol_h5_enter(const struct ol_h5 *h, const char *path, hid_t *group,
                   const char **name)
{
    const char *slash = strrchr(path, '/');
    ol_crash_guard_step(0);
    *name = slash + 1;
    const htri_t found = enter_group(h, path, (size_t)(*name - path));
    *group = h->last->group;
    return found;
}

int ol_h5_exists(const struct ol_h5 *h, const char *path, bool *there,
                 struct ol_error *err)
{
    hid_t group;
    const char *name;
    htri_t found = ol_h5_enter(h, path, &group, &name);
    if (found > 0)
        found = H5Lexists(group, name, H5P_DEFAULT);
    *there = found > 0;
    return found >= 0
               ? 0
               : ol_h5_fail(err, h->path, path, "whether it is there cannot be read");
}

int ol_h5_remove(struct ol_h5 *h, const char *path, struct ol_error *err)
{
    return ol_h5_let_go(h) && H5Ldelete(h->file, path, H5P_DEFAULT) >= 0
               ? 0
               : ol_h5_fail(err, h->path, path, "cannot be removed");
}

static char *member_name(const struct ol_h5 *h, const char *path, hsize_t i)
{
    ol_crash_guard_step(0);
    const ssize_t bytes = H5Lget_name_by_idx(h->file, path, H5_INDEX_NAME, H5_ITER_INC, i,
                                             NULL, 0, H5P_DEFAULT);
    if (bytes < 0)
        return NULL;
    char *name = ol_xcalloc((size_t)bytes + 1, 1);
    if (H5Lget_name_by_idx(h->file, path, H5_INDEX_NAME, H5_ITER_INC, i, name,
                           (size_t)bytes + 1, H5P_DEFAULT) == bytes)
        return name;
    free(name);
    return NULL;
}

int ol_h5_members(const struct ol_h5 *h, const char *path, char ***names, int64_t *n,
                  struct ol_error *err)
{
    H5G_info_t info;
    *names = NULL;
    *n = 0;
    ol_crash_guard_step(0);
    if (H5Gget_info_by_name(h->file, path, &info, H5P_DEFAULT) < 0)
        return ol_h5_fail(err, h->path, path, "the group cannot be read");
    *names = ol_xcalloc((size_t)info.nlinks, sizeof **names);
    for (hsize_t i = 0; i < info.nlinks; i++) {
        char *name = member_name(h, path, i);
        if (name == NULL)
            return ol_h5_fail(err, h->path, path, "a member's name cannot be read");
        (*names)[(*n)++] = name;
    }
    return 0;
}
