/* A safetensors file is
 *
 *     8 bytes   n, the header's length, little endian
 *     n bytes   JSON: {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ...}
 *     the rest  the tensors' bytes; begin and end count from here
 *
 * The checks are those of the official reader (huggingface/safetensors, tensor.rs):
 * sorted by offset, the tensors fill the data without gap or overlap to the file's last
 * byte. The header is read, not mapped: a mapped page that cannot be read is a signal,
 * not an error. */
#include "extract/weights/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/infile.h"
#include "common/json.h"
#include "common/mapping.h"
#include "common/stand_in.h"

enum { LENGTH_BYTES = 8 };

struct ol_safetensors {
    char *path;
    const void *map;
    uint64_t bytes;      /* of the file */
    uint64_t data_start; /* where the tensors' bytes begin */
    struct ol_stored_tensor *tensors;
    int64_t n_tensors;
    char *names;       /* all names, each ended by a zero */
    bool is_elsewhere; /* the header alone is here */
    char *claimed;     /* the file's digest as it is said to be; NULL: nobody says it */
};

static const struct stored_dtype {
    const char *name;
    unsigned bits;
} stored_dtypes[] = {
    {"BF16", 16},   {"F16", 16},        {"F32", 32},        {"F64", 64},
    {"BOOL", 8},    {"U8", 8},          {"I8", 8},          {"U16", 16},
    {"I16", 16},    {"U32", 32},        {"I32", 32},        {"U64", 64},
    {"I64", 64},    {"C64", 64},        {"F8_E4M3", 8},     {"F8_E5M2", 8},
    {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F4", 4},
    {"F6_E2M3", 6}, {"F6_E3M2", 6},
};

static const struct stored_dtype *find_dtype(const char *name)
{
    for (size_t i = 0; i < sizeof stored_dtypes / sizeof stored_dtypes[0]; i++)
        if (strcmp(stored_dtypes[i].name, name) == 0)
            return &stored_dtypes[i];
    return NULL;
}

static int read_exactly(int fd, const char *path, void *dst, size_t bytes,
                        uint64_t offset, struct ol_error *err)
{
    char *to = dst;
    size_t got = 0;
    while (got < bytes) {
        const ssize_t n = pread(fd, to + got, bytes - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ol_fail_errno(err, "%s: cannot be read", path);
        if (n == 0)
            return ol_fail(err, "%s: the file became shorter while it was read", path);
        got += (size_t)n;
    }
    return 0;
}

/* Where a header is read from: an open file, or the bytes themselves. */
struct origin {
    int fd;
    const struct ol_safetensors_header *header; /* NULL: the file */
};

static int read_origin(const struct origin *from, const char *path, void *dst,
                       size_t bytes, uint64_t offset, struct ol_error *err)
{
    const struct ol_safetensors_header *h = from->header;
    if (h == NULL)
        return read_exactly(from->fd, path, dst, bytes, offset, err);
    if (offset > h->n || bytes > h->n - offset)
        return ol_fail(err, "%s: its header has more than the %zu bytes at hand", path,
                       h->n);
    memcpy(dst, h->bytes + offset, bytes);
    return 0;
}

static void store_u64(unsigned char bytes[LENGTH_BYTES], uint64_t value)
{
    for (int i = 0; i < LENGTH_BYTES; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t load_u64(const unsigned char bytes[LENGTH_BYTES])
{
    uint64_t value = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static int check_stand_in(const struct ol_safetensors *s, const struct origin *from,
                          struct ol_error *err)
{
    char start[64];
    const size_t n = s->bytes < sizeof start ? (size_t)s->bytes : sizeof start;
    if (read_origin(from, s->path, start, n, 0, err) != 0)
        return -1;
    const char *meaning = ol_stand_in(start, n);
    return meaning == NULL ? 0 : ol_fail(err, "%s: %s", s->path, meaning);
}

/* The header as text in *header, to be freed; sets data_start. */
static int read_header(struct ol_safetensors *s, const struct origin *from, char **header,
                       size_t *length, struct ol_sha256 *sha, struct ol_error *err)
{
    unsigned char prefix[LENGTH_BYTES], size[LENGTH_BYTES];
    if (s->bytes < LENGTH_BYTES)
        return ol_fail(err, "%s: %llu bytes are no safetensors file: it has at least 8",
                       s->path, (unsigned long long)s->bytes);
    if (read_origin(from, s->path, prefix, sizeof prefix, 0, err) != 0)
        return -1;
    if (check_stand_in(s, from, err) != 0)
        return -1;
    const uint64_t n = load_u64(prefix);
    if (n > OL_SAFETENSORS_MAX_HEADER)
        return ol_fail(err, "%s: the header's length is %llu, expected at most %d",
                       s->path, (unsigned long long)n, OL_SAFETENSORS_MAX_HEADER);
    if (n > s->bytes - LENGTH_BYTES)
        return ol_fail(err,
                       "%s: the header's length is %llu, but the file has only %llu "
                       "bytes after it (truncated?)",
                       s->path, (unsigned long long)n,
                       (unsigned long long)(s->bytes - LENGTH_BYTES));
    *header = malloc((size_t)n + 1);
    if (*header == NULL)
        return ol_fail(err, "%s: out of memory for a header of %llu bytes", s->path,
                       (unsigned long long)n);
    if (read_origin(from, s->path, *header, (size_t)n, LENGTH_BYTES, err) != 0)
        return -1;
    if (n == 0 || (*header)[0] != '{')
        return ol_fail(err, "%s: the header is no JSON object: it does not begin with {",
                       s->path);
    *length = (size_t)n;
    s->data_start = LENGTH_BYTES + n;
    ol_sha256_update(sha, prefix, sizeof prefix);
    ol_sha256_update(sha, *header, *length);
    store_u64(size, s->bytes);
    ol_sha256_update(sha, size, sizeof size);
    return 0;
}

/* shape and the number of elements, as long as that fits. */
static int read_shape(const struct ol_safetensors *s, const struct ol_json *shape,
                      struct ol_stored_tensor *t, uint64_t *n_elements,
                      struct ol_error *err)
{
    if (ol_json_kind(shape) != OL_JSON_ARRAY)
        return ol_fail(err, "%s: %s: \"shape\" is no array", s->path, t->name);
    const size_t rank = ol_json_length(shape);
    if (rank > OL_TENSOR_MAX_RANK)
        return ol_fail(err, "%s: %s: the shape has %zu dimensions, expected at most %d",
                       s->path, t->name, rank, OL_TENSOR_MAX_RANK);
    t->rank = (int)rank;
    *n_elements = 1;
    for (size_t i = 0; i < rank; i++) {
        const struct ol_json *item = ol_json_at(shape, i);
        if (ol_json_kind(item) != OL_JSON_INT || ol_json_int(item) < 0)
            return ol_fail(err, "%s: %s: shape[%zu] is no integer >= 0", s->path, t->name,
                           i);
        t->shape[i] = ol_json_int(item);
        if (__builtin_mul_overflow(*n_elements, (uint64_t)t->shape[i], n_elements))
            return ol_fail(err, "%s: %s: the shape's product overflows 64 bits", s->path,
                           t->name);
    }
    return 0;
}

static int read_offsets(const struct ol_safetensors *s, const struct ol_json *offsets,
                        struct ol_stored_tensor *t, struct ol_error *err)
{
    const struct ol_json *begin = ol_json_at(offsets, 0), *end = ol_json_at(offsets, 1);
    if (ol_json_kind(offsets) != OL_JSON_ARRAY || ol_json_length(offsets) != 2 ||
        ol_json_kind(begin) != OL_JSON_INT || ol_json_kind(end) != OL_JSON_INT ||
        ol_json_int(begin) < 0)
        return ol_fail(err, "%s: %s: \"data_offsets\" are not two integers >= 0", s->path,
                       t->name);
    if (ol_json_int(end) < ol_json_int(begin))
        return ol_fail(err, "%s: %s: data_offsets [%lld, %lld] end before they begin",
                       s->path, t->name, (long long)ol_json_int(begin),
                       (long long)ol_json_int(end));
    t->offset = (uint64_t)ol_json_int(begin);
    t->bytes = (uint64_t)ol_json_int(end) - t->offset;
    return 0;
}

/* One entry of the header; offset still counts from the start of the data. */
static int read_tensor(const struct ol_safetensors *s, const struct ol_json *entry,
                       struct ol_stored_tensor *t, struct ol_error *err)
{
    if (ol_json_kind(entry) != OL_JSON_OBJECT)
        return ol_fail(err, "%s: %s: the header's entry is no object", s->path, t->name);
    const struct ol_json *type = ol_json_get(entry, "dtype");
    if (ol_json_kind(type) != OL_JSON_STRING)
        return ol_fail(err, "%s: %s: \"dtype\" is no string", s->path, t->name);
    const struct stored_dtype *dtype = find_dtype(ol_json_string(type, NULL));
    if (dtype == NULL)
        return ol_fail(err, "%s: %s: dtype \"%.40s\" is unknown", s->path, t->name,
                       ol_json_string(type, NULL));
    t->dtype_name = dtype->name;
    uint64_t n_elements = 0, bits;
    if (read_shape(s, ol_json_get(entry, "shape"), t, &n_elements, err) != 0 ||
        read_offsets(s, ol_json_get(entry, "data_offsets"), t, err) != 0)
        return -1;
    if (__builtin_mul_overflow(n_elements, (uint64_t)dtype->bits, &bits))
        return ol_fail(err, "%s: %s: the number of bits overflows 64 bits", s->path,
                       t->name);
    if (bits % 8 != 0)
        return ol_fail(err, "%s: %s: %llu bits of %s are no whole number of bytes",
                       s->path, t->name, (unsigned long long)bits, dtype->name);
    if (t->bytes != bits / 8)
        return ol_fail(err,
                       "%s: %s: data_offsets hold %llu bytes, expected %llu from shape "
                       "and dtype",
                       s->path, t->name, (unsigned long long)t->bytes,
                       (unsigned long long)(bits / 8));
    return 0;
}

static int check_metadata(const struct ol_safetensors *s, struct ol_json *metadata,
                          struct ol_error *err)
{
    if (ol_json_kind(metadata) != OL_JSON_OBJECT)
        return ol_fail(err, "%s: __metadata__ is no object", s->path);
    for (void *it = ol_json_first(metadata); it != NULL; it = ol_json_next(metadata, it))
        if (ol_json_kind(ol_json_value(it)) != OL_JSON_STRING)
            return ol_fail(err, "%s: __metadata__: \"%.100s\" is no string", s->path,
                           ol_json_key(it));
    return 0;
}

/* Fill in tensors and names from the parsed header. */
static int read_tensors(struct ol_safetensors *s, struct ol_json *header,
                        struct ol_error *err)
{
    size_t name_bytes = 0;
    for (void *it = ol_json_first(header); it != NULL; it = ol_json_next(header, it))
        name_bytes += strlen(ol_json_key(it)) + 1;
    s->names = ol_xmalloc(name_bytes);
    s->tensors = ol_xcalloc(ol_json_length(header), sizeof *s->tensors);
    char *name = s->names;
    for (void *it = ol_json_first(header); it != NULL; it = ol_json_next(header, it)) {
        if (strcmp(ol_json_key(it), "__metadata__") == 0) {
            if (check_metadata(s, ol_json_value(it), err) != 0)
                return -1;
            continue;
        }
        struct ol_stored_tensor *t = &s->tensors[s->n_tensors++];
        const size_t bytes = strlen(ol_json_key(it)) + 1;
        t->name = memcpy(name, ol_json_key(it), bytes);
        name += bytes;
        if (read_tensor(s, ol_json_value(it), t, err) != 0)
            return -1;
    }
    return 0;
}

/* By offset; empty tensors before the one that begins where they do. Names settle what is
 * left, so that the order is one and the same everywhere. */
static int compare_offsets(const void *a, const void *b)
{
    const struct ol_stored_tensor *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int check_layout(struct ol_safetensors *s, struct ol_error *err)
{
    qsort(s->tensors, (size_t)s->n_tensors, sizeof *s->tensors, compare_offsets);
    uint64_t end = 0;
    const uint64_t data_bytes = s->bytes - s->data_start;
    for (int64_t i = 0; i < s->n_tensors; i++) {
        struct ol_stored_tensor *t = &s->tensors[i];
        if (t->offset != end)
            return ol_fail(err, "%s: %s: begins at %llu, expected %llu: %s", s->path,
                           t->name, (unsigned long long)t->offset,
                           (unsigned long long)end,
                           t->offset < end ? "it overlaps the tensor before it"
                                           : "there is a gap before it");
        end += t->bytes;
        if (end > data_bytes)
            return ol_fail(err,
                           "%s: %s: ends at byte %llu of the data, but there are only "
                           "%llu (truncated?)",
                           s->path, t->name, (unsigned long long)end,
                           (unsigned long long)data_bytes);
    }
    if (end != data_bytes)
        return ol_fail(err, "%s: %llu bytes follow the last tensor, expected none",
                       s->path, (unsigned long long)(data_bytes - end));
    return 0;
}

static int map_file(struct ol_safetensors *s, const struct origin *from, int file,
                    struct ol_error *err)
{
    const void *map = from->header == NULL
                          ? ol_mapping_new(from->fd, s->path, (size_t)s->bytes, err)
                          : ol_mapping_zeros(s->path, (size_t)s->bytes, err);
    if (map == NULL)
        return -1;
    s->map = map;
    for (int64_t i = 0; i < s->n_tensors; i++) {
        struct ol_stored_tensor *t = &s->tensors[i];
        t->file = file;
        t->offset += s->data_start;
        t->data = (const char *)map + t->offset;
    }
    return 0;
}

static int read_file(struct ol_safetensors *s, const struct origin *from, int file,
                     struct ol_sha256 *sha, struct ol_error *err)
{
    int result = -1;
    char *header = NULL;
    size_t length = 0;
    struct ol_json *json = NULL;
    char *label = ol_xasprintf("%s: header", s->path);
    if (read_header(s, from, &header, &length, sha, err) != 0)
        goto out;
    json = ol_json_load_text(header, length, label, err);
    if (json == NULL || read_tensors(s, json, err) != 0 || check_layout(s, err) != 0)
        goto out;
    result = map_file(s, from, file, err);
out:
    ol_json_free(json);
    free(header);
    free(label);
    return result;
}

/* Bytes of a tensor's middle, where padding and rows that are never trained seldom are.
 */
enum { SAMPLE_BYTES = 64 };

void ol_safetensors_claim(struct ol_safetensors *s, const char *digest)
{
    if (s->claimed == NULL && digest != NULL)
        s->claimed = ol_xstrdup(digest);
}

bool ol_safetensors_add_claim(const struct ol_safetensors *s, struct ol_sha256 *sha)
{
    if (s->claimed != NULL)
        ol_sha256_update(sha, s->claimed, strlen(s->claimed));
    return s->claimed != NULL;
}

int ol_safetensors_sample(const struct ol_safetensors *s, int64_t step,
                          struct ol_sha256 *sha, struct ol_error *err)
{
    if (s->is_elsewhere)
        return ol_safetensors_add_claim(s, sha) ? 0
                                                : ol_fail(err,
                                                          "%s: nobody says what digest "
                                                          "it has",
                                                          s->path);
    const int fd = ol_infile_descriptor(s->path, err);
    if (fd < 0)
        return -1;
    int status = 0;
    for (int64_t i = 0; i < s->n_tensors && status == 0; i += step) {
        const struct ol_stored_tensor *t = &s->tensors[i];
        const uint64_t rest = t->bytes - t->bytes / 2;
        const size_t n = rest < SAMPLE_BYTES ? (size_t)rest : SAMPLE_BYTES;
        unsigned char bytes[SAMPLE_BYTES];
        status = read_exactly(fd, s->path, bytes, n, t->offset + t->bytes / 2, err);
        if (status == 0)
            ol_sha256_update(sha, bytes, n);
    }
    close(fd);
    return status;
}

struct ol_safetensors *ol_safetensors_open(const char *path, int file,
                                           struct ol_sha256 *sha, struct ol_error *err)
{
    struct ol_safetensors *s = ol_xcalloc(1, sizeof *s), *result = NULL;
    s->path = ol_xstrdup(path);
    struct stat status;
    const int fd = ol_infile_descriptor(path, err);
    if (fd < 0)
        goto out;
    if (fstat(fd, &status) != 0) {
        ol_fail_errno(err, "%s: cannot read its size", path);
        goto out;
    }
    s->bytes = (uint64_t)status.st_size;
    if (read_file(s, &(struct origin){.fd = fd}, file, sha, err) != 0)
        goto out;
    result = s;
    s = NULL;
out:
    if (fd >= 0)
        close(fd);
    ol_safetensors_close(s);
    return result;
}

struct ol_safetensors *
ol_safetensors_from_header(const struct ol_safetensors_header *header, int file,
                           struct ol_sha256 *sha, struct ol_error *err)
{
    struct ol_safetensors *s = ol_xcalloc(1, sizeof *s);
    s->path = ol_xstrdup(header->path);
    s->bytes = header->file_bytes;
    s->is_elsewhere = true;
    ol_safetensors_claim(s, header->claimed);
    if (read_file(s, &(struct origin){.fd = -1, .header = header}, file, sha, err) == 0)
        return s;
    ol_safetensors_close(s);
    return NULL;
}

void ol_safetensors_close(struct ol_safetensors *s)
{
    if (s == NULL)
        return;
    if (s->map != NULL)
        ol_mapping_free(s->map, (size_t)s->bytes);
    free(s->tensors);
    free(s->names);
    free(s->claimed);
    free(s->path);
    free(s);
}

const struct ol_stored_tensor *ol_safetensors_tensors(const struct ol_safetensors *s,
                                                      int64_t *n)
{
    *n = s->n_tensors;
    return s->tensors;
}

const char *ol_safetensors_path(const struct ol_safetensors *s)
{
    return s->path;
}

const void *ol_safetensors_map(const struct ol_safetensors *s, uint64_t *bytes)
{
    *bytes = s->bytes;
    return s->map;
}
