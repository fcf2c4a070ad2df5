/* Attributes of groups: one number or one text each. */
#include "common/h5_private.h"

#include <stdlib.h>

#include "common/crash_guard.h"

/* An attribute that could not be reached: FILE: OBJECT: attribute NAME cannot be WHAT. */
static int fail_attribute(const struct ol_h5 *h, const char *object, const char *name,
                          const char *what, struct ol_error *err)
{
    char *text = ol_xasprintf("attribute %s cannot be %s", name, what);
    ol_h5_fail(err, h->path, object, text);
    free(text);
    return -1;
}

int ol_h5_has_attribute(const struct ol_h5 *h, const char *object, const char *name,
                        bool *there, struct ol_error *err)
{
    ol_crash_guard_step(0);
    const htri_t found = H5Aexists_by_name(h->file, object, name, H5P_DEFAULT);
    *there = found > 0;
    return found >= 0 ? 0 : fail_attribute(h, object, name, "looked for", err);
}

static int put(struct ol_h5 *h, const char *object, const char *name, hid_t file_type,
               hid_t memory_type, const void *value, struct ol_error *err)
{
    const hid_t scalar = H5Screate(H5S_SCALAR);
    /* Open while the attribute is: HDF5 1.10 does not find its attribute again else. */
    const hid_t owner = H5Oopen(h->file, object, H5P_DEFAULT);
    const htri_t there = owner >= 0 ? H5Aexists(owner, name) : -1;
    hid_t attribute = H5I_INVALID_HID;
    if (there > 0)
        attribute = H5Aopen(owner, name, H5P_DEFAULT);
    else if (there == 0)
        attribute = H5Acreate2(owner, name, file_type, scalar, H5P_DEFAULT, H5P_DEFAULT);
    bool good = attribute >= 0 && H5Awrite(attribute, memory_type, value) >= 0;
    good = (int)good & (int)ol_h5_closed(attribute, H5Aclose) &
           (int)ol_h5_closed(owner, H5Oclose) & (int)ol_h5_closed(scalar, H5Sclose);
    return good ? 0 : fail_attribute(h, object, name, "written", err);
}

int ol_h5_put_text(struct ol_h5 *h, const char *object, const char *name,
                   const char *text, struct ol_error *err)
{
    const hid_t type = ol_h5_make_type(OL_H5_TEXT);
    const int status = put(h, object, name, type, type, &text, err);
    return ol_h5_closed(type, H5Tclose) && status == 0
               ? 0
               : fail_attribute(h, object, name, "written", err);
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

/* What an attribute should be: `expected` says it in words. */
struct wanted {
    H5T_class_t class;
    const char *expected;
    hid_t memory_type;
};

static int get(const struct ol_h5 *h, const char *object, const char *name,
               struct wanted wanted, void *value, struct ol_error *err)
{
    bool there;
    if (ol_h5_has_attribute(h, object, name, &there, err) != 0)
        return -1;
    if (!there)
        return ol_fail(err, "%s: %s: attribute %s is missing", h->path, object, name);
    const hid_t attribute =
        H5Aopen_by_name(h->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0)
        return fail_attribute(h, object, name, "read", err);
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    int status = 0;
    if (type < 0 || space < 0)
        status = fail_attribute(h, object, name, "read", err);
    else if (H5Tget_class(type) != wanted.class ||
             H5Sget_simple_extent_npoints(space) != 1 ||
             (wanted.class == H5T_STRING && H5Tis_variable_str(type) <= 0))
        status = ol_fail(err, "%s: %s: attribute %s is not %s", h->path, object, name,
                         wanted.expected);
    else if (H5Aread(attribute, wanted.memory_type, value) < 0)
        status = fail_attribute(h, object, name, "read", err);
    const bool good = (int)ol_h5_closed(space, H5Sclose) &
                      (int)ol_h5_closed(type, H5Tclose) &
                      (int)ol_h5_closed(attribute, H5Aclose);
    return good ? status : fail_attribute(h, object, name, "read", err);
}

int ol_h5_get_text(const struct ol_h5 *h, const char *object, const char *name,
                   char **text, struct ol_error *err)
{
    char *read = NULL;
    const hid_t type = ol_h5_make_type(OL_H5_TEXT);
    const struct wanted wanted = {H5T_STRING, "variable-length text", type};
    int status = get(h, object, name, wanted, &read, err);
    if (!ol_h5_closed(type, H5Tclose))
        status = fail_attribute(h, object, name, "read", err);
    if (status == 0)
        *text = ol_xstrdup(read != NULL ? read : "");
    H5free_memory(read);
    return status;
}

int ol_h5_get_int(const struct ol_h5 *h, const char *object, const char *name,
                  int64_t *value, struct ol_error *err)
{
    const struct wanted wanted = {H5T_INTEGER, "one integer", H5T_NATIVE_INT64};
    return get(h, object, name, wanted, value, err);
}

int ol_h5_get_bool(const struct ol_h5 *h, const char *object, const char *name,
                   bool *value, struct ol_error *err)
{
    const struct wanted wanted = {H5T_INTEGER, "one integer", H5T_NATIVE_UINT8};
    uint8_t byte = 0;
    if (get(h, object, name, wanted, &byte, err) != 0)
        return -1;
    *value = byte != 0;
    return 0;
}

int ol_h5_get_real(const struct ol_h5 *h, const char *object, const char *name,
                   double *value, struct ol_error *err)
{
    const struct wanted wanted = {H5T_FLOAT, "one real number", H5T_NATIVE_DOUBLE};
    return get(h, object, name, wanted, value, err);
}
