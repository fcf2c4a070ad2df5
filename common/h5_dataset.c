#include "common/h5_private.h"

#include <stdlib.h>
#include <string.h>

#include "common/crash_guard.h"

enum { DEFLATE_LEVEL = 1 };

static htri_t is_type(hid_t found, enum ol_h5_type type)
{
    if (type != OL_H5_BF16)
        return H5Tequal(ol_h5_standard_type(type), found);
    const hid_t bf16 = ol_h5_make_type(type);
    const htri_t same = H5Tequal(bf16, found);
    return ol_h5_closed(bf16, H5Tclose) ? same : -1;
}

/* 0, or -1 when the library cannot tell. */
static int type_of(hid_t found, enum ol_h5_type *type)
{
    static const size_t sizes[OL_H5_TEXT] = {
        [OL_H5_BF16] = 2, [OL_H5_F32] = 4, [OL_H5_I32] = 4, [OL_H5_U16] = 2,
        [OL_H5_U32] = 4,  [OL_H5_U8] = 1,  [OL_H5_I64] = 8, [OL_H5_F64] = 8,
    };
    const H5T_class_t class = H5Tget_class(found);
    const size_t size = H5Tget_size(found);
    *type = OL_H5_OTHER;
    if (class == H5T_NO_CLASS || size == 0)
        return -1;
    if (class == H5T_STRING) {
        const htri_t variable = H5Tis_variable_str(found);
        *type = variable > 0 ? OL_H5_TEXT : OL_H5_OTHER;
        return variable < 0 ? -1 : 0;
    }
    for (int t = 0; t < OL_H5_TEXT && *type == OL_H5_OTHER; t++) {
        const htri_t same = sizes[t] == size ? is_type(found, (enum ol_h5_type)t) : 0;
        if (same < 0)
            return -1;
        *type = same > 0 ? (enum ol_h5_type)t : OL_H5_OTHER;
    }
    return 0;
}

/* How the dataset lies in the file; H5I_INVALID_HID on failure. */
static hid_t make_creation(const struct ol_h5_shape *shape)
{
    hsize_t chunk[OL_H5_MAX_RANK];
    for (int i = 0; i < shape->rank; i++)
        chunk[i] = (hsize_t)shape->chunk[i];
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    /* The same run gives the same bytes: no time stamps. */
    bool good = H5Pset_obj_track_times(creation, 0) >= 0;
    if (shape->chunked)
        good = good && H5Pset_chunk(creation, shape->rank, chunk) >= 0;
    if (shape->compressed)
        good = good && H5Pset_deflate(creation, DEFLATE_LEVEL) >= 0;
    else if (shape->type != OL_H5_TEXT)
        good = good && H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) >= 0 &&
               H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0;
    if (good)
        return creation;
    ol_h5_closed(creation, H5Pclose);
    return H5I_INVALID_HID;
}

int ol_h5_make_dataset(struct ol_h5 *h, const char *path, const struct ol_h5_shape *shape,
                       struct ol_error *err)
{
    hsize_t dims[OL_H5_MAX_RANK];
    for (int i = 0; i < shape->rank; i++)
        dims[i] = (hsize_t)shape->dims[i];
    const hid_t type = ol_h5_make_type(shape->type);
    const hid_t space = H5Screate_simple(shape->rank, dims, NULL);
    const hid_t creation = make_creation(shape);
    hid_t dataset = H5I_INVALID_HID;
    if (type >= 0 && space >= 0 && creation >= 0)
        dataset =
            H5Dcreate2(h->file, path, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    const bool good = (int)(dataset >= 0) & (int)ol_h5_closed(dataset, H5Dclose) &
                      (int)ol_h5_closed(creation, H5Pclose) &
                      (int)ol_h5_closed(space, H5Sclose) &
                      (int)ol_h5_closed(type, H5Tclose);
    return good ? 0 : ol_h5_fail(err, h->path, path, "the dataset cannot be made");
}

/* Opened at once, as nearly all are there; else it is asked whether it is, and opened
 * once more for the reason. */
static hid_t open_dataset(const struct ol_h5 *h, const char *path, struct ol_error *err)
{
    hid_t group;
    const char *name;
    bool there;
    if (ol_h5_enter(h, path, &group, &name) > 0) {
        const hid_t dataset = H5Dopen2(group, name, H5P_DEFAULT);
        if (dataset >= 0)
            return dataset;
        H5Eclear2(H5E_DEFAULT);
    }
    if (ol_h5_exists(h, path, &there, err) != 0)
        return H5I_INVALID_HID;
    const hid_t dataset = there ? H5Dopen2(h->file, path, H5P_DEFAULT) : H5I_INVALID_HID;
    if (!there)
        ol_fail(err, "%s: %s: the dataset is missing", h->path, path);
    else if (dataset < 0)
        ol_h5_fail(err, h->path, path, "the dataset cannot be opened");
    return dataset;
}

hid_t ol_h5_find_dataset(const struct ol_h5 *h, const char *path, struct ol_error *err)
{
    struct ol_h5_last *last = h->last;
    ol_crash_guard_step(0);
    if (last->dataset_path != NULL && strcmp(last->dataset_path, path) == 0)
        return last->dataset;
    if (!ol_h5_let_go(h)) {
        ol_h5_fail(err, h->path, path, "the dataset before it cannot be closed");
        return H5I_INVALID_HID;
    }
    last->dataset = open_dataset(h, path, err);
    if (last->dataset >= 0)
        last->dataset_path = ol_xstrdup(path);
    return last->dataset;
}

/* Bytes that lie in other files are no part of this one. */
static bool describe_creation(hid_t dataset, struct ol_h5_shape *shape)
{
    const hid_t creation = H5Dget_create_plist(dataset);
    hsize_t chunk[OL_H5_MAX_RANK] = {0};
    if (creation < 0)
        return false;
    const H5D_layout_t layout = H5Pget_layout(creation);
    const int n_filters = H5Pget_nfilters(creation),
              n_elsewhere = H5Pget_external_count(creation);
    unsigned flags = 0, config = 0;
    size_t n_values = 0;
    bool good = layout != H5D_LAYOUT_ERROR && n_filters >= 0 && n_elsewhere >= 0;
    shape->chunked = layout == H5D_CHUNKED;
    if (good && n_filters > 0) {
        const H5Z_filter_t first =
            H5Pget_filter2(creation, 0, &flags, &n_values, NULL, 0, NULL, &config);
        good = first >= 0;
        shape->compressed = n_filters == 1 && first == H5Z_FILTER_DEFLATE;
    }
    shape->filtered = n_filters != 0 && !shape->compressed;
    shape->elsewhere = n_elsewhere != 0 || layout == H5D_VIRTUAL;
    if (good && shape->chunked)
        good = H5Pget_chunk(creation, OL_H5_MAX_RANK, chunk) >= 0;
    for (int i = 0; i < OL_H5_MAX_RANK; i++)
        shape->chunk[i] = (int64_t)chunk[i];
    return (int)ol_h5_closed(creation, H5Pclose) & (int)good;
}

static int describe(const struct ol_h5 *h, const char *path, hid_t dataset,
                    struct ol_h5_shape *shape, struct ol_error *err)
{
    hsize_t dims[OL_H5_MAX_RANK] = {0};
    const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    bool good = type >= 0 && space >= 0 && type_of(type, &shape->type) == 0;
    shape->rank = good ? H5Sget_simple_extent_ndims(space) : -1;
    const bool fits = shape->rank >= 1 && shape->rank <= OL_H5_MAX_RANK;
    good = good && shape->rank >= 0 &&
           (!fits || (H5Sget_simple_extent_dims(space, dims, NULL) >= 0 &&
                      describe_creation(dataset, shape)));
    for (int i = 0; i < OL_H5_MAX_RANK; i++)
        shape->dims[i] = (int64_t)dims[i];
    good = (int)ol_h5_closed(space, H5Sclose) & (int)ol_h5_closed(type, H5Tclose) &
           (int)good;
    if (!good)
        return ol_h5_fail(err, h->path, path, "its shape cannot be read");
    return fits ? 0
                : ol_fail(err, "%s: %s: has %d dimensions, expected 1 to %d", h->path,
                          path, shape->rank, OL_H5_MAX_RANK);
}

int ol_h5_describe(const struct ol_h5 *h, const char *path, struct ol_h5_shape *shape,
                   struct ol_error *err)
{
    const hid_t dataset = ol_h5_find_dataset(h, path, err);
    *shape = (struct ol_h5_shape){0};
    return dataset < 0 ? -1 : describe(h, path, dataset, shape, err);
}

int ol_h5_write(struct ol_h5 *h, const char *path, enum ol_h5_type type, const void *data,
                struct ol_error *err)
{
    const hid_t dataset = ol_h5_find_dataset(h, path, err);
    if (dataset < 0)
        return -1;
    const hid_t memory = ol_h5_make_type(type);
    bool good = memory >= 0 &&
                H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    /* What was only taken into the library's cache is written when it is closed. */
    good = (int)good & (int)ol_h5_closed(memory, H5Tclose) & (int)ol_h5_let_go(h);
    return good ? 0 : ol_h5_fail(err, h->path, path, "cannot be written");
}

/* What all of it is in memory. */
static uint64_t bytes_of(hid_t dataset, hid_t memory)
{
    const hid_t space = H5Dget_space(dataset);
    const hssize_t n = space >= 0 ? H5Sget_simple_extent_npoints(space) : 0;
    const size_t bytes = memory >= 0 ? H5Tget_size(memory) : 0;
    return ol_h5_closed(space, H5Sclose) && n > 0 && bytes > 0 &&
                   (uint64_t)n <= UINT64_MAX / bytes
               ? (uint64_t)n * bytes
               : 0;
}

int ol_h5_read(const struct ol_h5 *h, const char *path, enum ol_h5_type type, void *data,
               struct ol_error *err)
{
    const hid_t dataset = ol_h5_find_dataset(h, path, err);
    if (dataset < 0)
        return -1;
    const hid_t memory = ol_h5_make_type(type);
    ol_crash_guard_step(bytes_of(dataset, memory));
    bool good =
        memory >= 0 && H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    good = (int)good & (int)ol_h5_closed(memory, H5Tclose);
    return good ? 0 : ol_h5_fail(err, h->path, path, "cannot be read");
}

int ol_h5_offset(const struct ol_h5 *h, const char *path, uint64_t *offset,
                 struct ol_error *err)
{
    const hid_t dataset = ol_h5_find_dataset(h, path, err);
    if (dataset < 0)
        return -1;
    const haddr_t at = H5Dget_offset(dataset);
    *offset = at;
    return at != HADDR_UNDEF ? 0
                             : ol_h5_fail(err, h->path, path, "has no place in the file");
}
