#include "common/h5.h"

#include <stdlib.h>
#include <string.h>

#include <hdf5.h>

enum { ALIGNMENT = 4096, DEFLATE_LEVEL = 1 };

struct ol_h5 {
    hid_t file;
    char *path;
};

/* ---- errors ---- */

static herr_t innermost(unsigned n, const H5E_error2_t *error, void *text)
{
    (void)n;
    *(const char **)text = error->desc;
    return 1;
}

/* FILE: OBJECT: what could not be done: the library's reason, on one line. */
static int fail(struct ol_error *err, const char *file, const char *object,
                const char *what)
{
    const char *found = "no reason given";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &found);
    char *reason = ol_xstrdup(found);
    for (char *c = reason; *c != '\0'; c++)
        *c = *c == '\n' ? ' ' : *c;
    ol_fail(err, "%s: %s%s%s (HDF5: %s)", file, object, object[0] != '\0' ? ": " : "",
            what, reason);
    free(reason);
    H5Eclear2(H5E_DEFAULT);
    return -1;
}

/* The library prints nothing by itself, and does not tidy up at exit: after a failed
 * write (a full disk) it would crash there. */
static void quiet(void)
{
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* ---- types ---- */

const char *ol_h5_type_name(enum ol_h5_type type)
{
    static const char *const names[] = {
        [OL_H5_BF16] = "bfloat16",      [OL_H5_F32] = "float32",
        [OL_H5_I32] = "int32",          [OL_H5_U16] = "uint16",
        [OL_H5_U8] = "uint8",           [OL_H5_I64] = "int64",
        [OL_H5_F64] = "float64",        [OL_H5_TEXT] = "UTF-8 text",
        [OL_H5_OTHER] = "another type",
    };
    return names[type];
}

static hid_t make_bf16(void)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    /* Fields before the size: they must lie in both. */
    H5Tset_fields(type, 15, 7, 8, 0, 7);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 127);
    return type;
}

static hid_t make_text(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

/* A new handle; the caller closes it. */
static hid_t make_type(enum ol_h5_type type)
{
    switch (type) {
    case OL_H5_BF16:
        return make_bf16();
    case OL_H5_F32:
        return H5Tcopy(H5T_IEEE_F32LE);
    case OL_H5_I32:
        return H5Tcopy(H5T_STD_I32LE);
    case OL_H5_U16:
        return H5Tcopy(H5T_STD_U16LE);
    case OL_H5_U8:
        return H5Tcopy(H5T_STD_U8LE);
    case OL_H5_I64:
        return H5Tcopy(H5T_STD_I64LE);
    case OL_H5_F64:
        return H5Tcopy(H5T_IEEE_F64LE);
    case OL_H5_TEXT:
        return make_text();
    case OL_H5_OTHER:
        break;
    }
    return H5I_INVALID_HID;
}

static enum ol_h5_type type_of(hid_t found)
{
    if (H5Tget_class(found) == H5T_STRING)
        return H5Tis_variable_str(found) > 0 ? OL_H5_TEXT : OL_H5_OTHER;
    for (int t = 0; t < OL_H5_TEXT; t++) {
        const hid_t type = make_type((enum ol_h5_type)t);
        const bool same = H5Tequal(type, found) > 0;
        H5Tclose(type);
        if (same)
            return (enum ol_h5_type)t;
    }
    return OL_H5_OTHER;
}

/* ---- files ---- */

static struct ol_h5 *wrap(hid_t file, const char *path)
{
    struct ol_h5 *h = ol_xcalloc(1, sizeof *h);
    h->file = file;
    h->path = ol_xstrdup(path);
    return h;
}

struct ol_h5 *ol_h5_create(const char *path, int64_t align_from, struct ol_error *err)
{
    quiet();
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_alignment(access, (hsize_t)align_from, ALIGNMENT);
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    if (file >= 0)
        return wrap(file, path);
    fail(err, path, "", "cannot be created");
    return NULL;
}

struct ol_h5 *ol_h5_open(const char *path, bool writable, struct ol_error *err)
{
    quiet();
    const hid_t file =
        H5Fopen(path, writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) {
        fail(err, path, "", "cannot be opened as an HDF5 file");
        return NULL;
    }
    hsize_t userblock = 0;
    const hid_t creation = H5Fget_create_plist(file);
    H5Pget_userblock(creation, &userblock);
    H5Pclose(creation);
    if (userblock == 0)
        return wrap(file, path);
    ol_fail(err, "%s: has a user block of %llu bytes, expected none", path,
            (unsigned long long)userblock);
    H5Fclose(file);
    return NULL;
}

int ol_h5_close(struct ol_h5 *h, struct ol_error *err)
{
    int status = 0;
    if (H5Fclose(h->file) < 0)
        status = fail(err, h->path, "", "cannot be closed");
    free(h->path);
    free(h);
    return status;
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
    const hid_t group = H5Gcreate2(h->file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0 || H5Gclose(group) < 0)
        return fail(err, h->path, path, "the group cannot be made");
    return 0;
}

bool ol_h5_exists(const struct ol_h5 *h, const char *path)
{
    return H5Lexists(h->file, path, H5P_DEFAULT) > 0;
}

int ol_h5_remove(struct ol_h5 *h, const char *path, struct ol_error *err)
{
    return H5Ldelete(h->file, path, H5P_DEFAULT) >= 0
               ? 0
               : fail(err, h->path, path, "cannot be removed");
}

int ol_h5_members(const struct ol_h5 *h, const char *path, char ***names, int64_t *n,
                  struct ol_error *err)
{
    H5G_info_t info;
    *names = NULL;
    *n = 0;
    if (H5Gget_info_by_name(h->file, path, &info, H5P_DEFAULT) < 0)
        return fail(err, h->path, path, "the group cannot be read");
    *names = ol_xcalloc((size_t)info.nlinks, sizeof **names);
    for (hsize_t i = 0; i < info.nlinks; i++) {
        const ssize_t bytes = H5Lget_name_by_idx(h->file, path, H5_INDEX_NAME,
                                                 H5_ITER_INC, i, NULL, 0, H5P_DEFAULT);
        if (bytes < 0)
            return fail(err, h->path, path, "a member's name cannot be read");
        (*names)[*n] = ol_xcalloc((size_t)bytes + 1, 1);
        H5Lget_name_by_idx(h->file, path, H5_INDEX_NAME, H5_ITER_INC, i, (*names)[*n],
                           (size_t)bytes + 1, H5P_DEFAULT);
        ++*n;
    }
    return 0;
}

/* ---- attributes ---- */

bool ol_h5_has_attribute(const struct ol_h5 *h, const char *object, const char *name)
{
    return H5Aexists_by_name(h->file, object, name, H5P_DEFAULT) > 0;
}

static int put(struct ol_h5 *h, const char *object, const char *name, hid_t file_type,
               hid_t memory_type, const void *value, struct ol_error *err)
{
    const hid_t scalar = H5Screate(H5S_SCALAR);
    /* Open while the attribute is: HDF5 1.10 does not find its attribute again else. */
    const hid_t owner = H5Oopen(h->file, object, H5P_DEFAULT);
    const hid_t attribute =
        H5Aexists(owner, name) > 0
            ? H5Aopen(owner, name, H5P_DEFAULT)
            : H5Acreate2(owner, name, file_type, scalar, H5P_DEFAULT, H5P_DEFAULT);
    const bool good = attribute >= 0 && H5Awrite(attribute, memory_type, value) >= 0;
    int status = 0;
    if (!good)
        status =
            ol_fail(err, "%s: %s: attribute %s cannot be written", h->path, object, name);
    if (attribute >= 0)
        H5Aclose(attribute);
    if (owner >= 0)
        H5Oclose(owner);
    H5Sclose(scalar);
    return status;
}

int ol_h5_put_text(struct ol_h5 *h, const char *object, const char *name,
                   const char *text, struct ol_error *err)
{
    const hid_t type = make_text();
    const int status = put(h, object, name, type, type, &text, err);
    H5Tclose(type);
    return status;
}

int ol_h5_put_int(struct ol_h5 *h, const char *object, const char *name, int64_t value,
                  struct ol_error *err)
{
    return put(h, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value, err);
}

int ol_h5_put_bool(struct ol_h5 *h, const char *object, const char *name, bool value,
                   struct ol_error *err)
{
    const uint8_t byte = value;
    return put(h, object, name, H5T_STD_U8LE, H5T_NATIVE_UINT8, &byte, err);
}

int ol_h5_put_real(struct ol_h5 *h, const char *object, const char *name, double value,
                   struct ol_error *err)
{
    return put(h, object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value, err);
}

static int get(const struct ol_h5 *h, const char *object, const char *name,
               H5T_class_t class, const char *expected, hid_t memory_type, void *value,
               struct ol_error *err)
{
    if (H5Aexists_by_name(h->file, object, name, H5P_DEFAULT) <= 0)
        return ol_fail(err, "%s: %s: attribute %s is missing", h->path, object, name);
    const hid_t attribute =
        H5Aopen_by_name(h->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0)
        return ol_fail(err, "%s: %s: attribute %s cannot be read", h->path, object, name);
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    int status = 0;
    if (H5Tget_class(type) != class || H5Sget_simple_extent_npoints(space) != 1 ||
        (class == H5T_STRING && H5Tis_variable_str(type) <= 0))
        status = ol_fail(err, "%s: %s: attribute %s is not %s", h->path, object, name,
                         expected);
    else if (H5Aread(attribute, memory_type, value) < 0)
        status =
            ol_fail(err, "%s: %s: attribute %s cannot be read", h->path, object, name);
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    return status;
}

int ol_h5_get_text(const struct ol_h5 *h, const char *object, const char *name,
                   char **text, struct ol_error *err)
{
    char *read = NULL;
    const hid_t type = make_text();
    const int status =
        get(h, object, name, H5T_STRING, "variable-length text", type, &read, err);
    H5Tclose(type);
    if (status != 0)
        return -1;
    *text = ol_xstrdup(read != NULL ? read : "");
    H5free_memory(read);
    return 0;
}

int ol_h5_get_int(const struct ol_h5 *h, const char *object, const char *name,
                  int64_t *value, struct ol_error *err)
{
    return get(h, object, name, H5T_INTEGER, "one integer", H5T_NATIVE_INT64, value, err);
}

int ol_h5_get_bool(const struct ol_h5 *h, const char *object, const char *name,
                   bool *value, struct ol_error *err)
{
    uint8_t byte = 0;
    if (get(h, object, name, H5T_INTEGER, "one integer", H5T_NATIVE_UINT8, &byte, err) !=
        0)
        return -1;
    *value = byte != 0;
    return 0;
}

int ol_h5_get_real(const struct ol_h5 *h, const char *object, const char *name,
                   double *value, struct ol_error *err)
{
    return get(h, object, name, H5T_FLOAT, "one real number", H5T_NATIVE_DOUBLE, value,
               err);
}

/* ---- datasets ---- */

int ol_h5_make_dataset(struct ol_h5 *h, const char *path, const struct ol_h5_shape *shape,
                       struct ol_error *err)
{
    hsize_t dims[OL_H5_MAX_RANK], chunk[OL_H5_MAX_RANK];
    for (int i = 0; i < shape->rank; i++) {
        dims[i] = (hsize_t)shape->dims[i];
        chunk[i] = (hsize_t)shape->chunk[i];
    }
    const hid_t type = make_type(shape->type);
    const hid_t space = H5Screate_simple(shape->rank, dims, NULL);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    /* The same run gives the same bytes: no time stamps. */
    H5Pset_obj_track_times(creation, 0);
    if (shape->chunked)
        H5Pset_chunk(creation, shape->rank, chunk);
    if (shape->compressed) {
        H5Pset_deflate(creation, DEFLATE_LEVEL);
    } else if (shape->type != OL_H5_TEXT) {
        H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
        H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
    }
    const hid_t dataset =
        H5Dcreate2(h->file, path, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    int status = 0;
    if (dataset < 0 || H5Dclose(dataset) < 0)
        status = fail(err, h->path, path, "the dataset cannot be made");
    H5Pclose(creation);
    H5Sclose(space);
    H5Tclose(type);
    return status;
}

static hid_t open_dataset(const struct ol_h5 *h, const char *path, struct ol_error *err)
{
    /* Asked link by link: a missing one is no error of the library's. */
    const hid_t dataset =
        ol_h5_exists(h, path) ? H5Dopen2(h->file, path, H5P_DEFAULT) : H5I_INVALID_HID;
    if (dataset < 0)
        ol_fail(err, "%s: %s: the dataset is missing", h->path, path);
    return dataset;
}

static void describe_creation(hid_t dataset, struct ol_h5_shape *shape)
{
    const hid_t creation = H5Dget_create_plist(dataset);
    hsize_t chunk[OL_H5_MAX_RANK] = {0};
    shape->chunked = H5Pget_layout(creation) == H5D_CHUNKED;
    const int n_filters = H5Pget_nfilters(creation);
    shape->compressed =
        n_filters == 1 && H5Pget_filter_by_id2(creation, H5Z_FILTER_DEFLATE, NULL, NULL,
                                               NULL, 0, NULL, NULL) >= 0;
    shape->filtered = n_filters != 0 && !shape->compressed;
    if (shape->chunked)
        H5Pget_chunk(creation, OL_H5_MAX_RANK, chunk);
    for (int i = 0; i < OL_H5_MAX_RANK; i++)
        shape->chunk[i] = (int64_t)chunk[i];
    H5Pclose(creation);
}

int ol_h5_describe(const struct ol_h5 *h, const char *path, struct ol_h5_shape *shape,
                   struct ol_error *err)
{
    const hid_t dataset = open_dataset(h, path, err);
    if (dataset < 0)
        return -1;
    *shape = (struct ol_h5_shape){0};
    const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    shape->type = type_of(type);
    shape->rank = H5Sget_simple_extent_ndims(space);
    int status = 0;
    if (shape->rank < 1 || shape->rank > OL_H5_MAX_RANK) {
        status = ol_fail(err, "%s: %s: has %d dimensions, expected 1 to %d", h->path,
                         path, shape->rank, OL_H5_MAX_RANK);
    } else {
        hsize_t dims[OL_H5_MAX_RANK] = {0};
        H5Sget_simple_extent_dims(space, dims, NULL);
        for (int i = 0; i < shape->rank; i++)
            shape->dims[i] = (int64_t)dims[i];
        describe_creation(dataset, shape);
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(dataset);
    return status;
}

int ol_h5_write(struct ol_h5 *h, const char *path, enum ol_h5_type type, const void *data,
                struct ol_error *err)
{
    const hid_t dataset = open_dataset(h, path, err);
    if (dataset < 0)
        return -1;
    const hid_t memory = make_type(type);
    int status = 0;
    if (H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        status = fail(err, h->path, path, "cannot be written");
    H5Tclose(memory);
    H5Dclose(dataset);
    return status;
}

int ol_h5_read(const struct ol_h5 *h, const char *path, enum ol_h5_type type, void *data,
               struct ol_error *err)
{
    const hid_t dataset = open_dataset(h, path, err);
    if (dataset < 0)
        return -1;
    const hid_t memory = make_type(type);
    int status = 0;
    if (H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        status = fail(err, h->path, path, "cannot be read");
    H5Tclose(memory);
    H5Dclose(dataset);
    return status;
}

int ol_h5_chunks(const struct ol_h5 *h, const char *path, int64_t n, uint64_t *offsets,
                 uint64_t *bytes, struct ol_error *err)
{
    const hid_t dataset = open_dataset(h, path, err);
    if (dataset < 0)
        return -1;
    int status = 0;
    for (int64_t i = 0; i < n && status == 0; i++) {
        const hsize_t corner[OL_H5_MAX_RANK] = {(hsize_t)i, 0, 0};
        unsigned mask = 0;
        haddr_t offset = HADDR_UNDEF;
        hsize_t size = 0;
        if (H5Dget_chunk_info_by_coord(dataset, corner, &mask, &offset, &size) < 0)
            status = fail(err, h->path, path, "a chunk cannot be found");
        else if (offset == HADDR_UNDEF)
            status = ol_fail(err, "%s: %s: chunk %lld has no place in the file", h->path,
                             path, (long long)i);
        offsets[i] = offset;
        bytes[i] = size;
    }
    H5Dclose(dataset);
    return status;
}
