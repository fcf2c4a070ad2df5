#include "extract/text/file_kind.h"

#include <stdlib.h>
#include <string.h>

struct kind {
    const char *what;
    const char *advice; /* FILE stands for its name */
    size_t at;          /* where these bytes are */
    const char *magic;
    size_t n;
};

#define MAGIC(text) text, sizeof text - 1

static const struct kind kinds[] = {
    {"a Parquet file",
     "it is read from its end: give it as a file, -t FILE#COLUMN, neither by a pipe nor "
     "compressed",
     0, MAGIC("PAR1")},
    {"compressed by xz",
     "unpack it: `xz -dc FILE | ol-extract -t -`, with --text-field KEY if its lines are "
     "JSON",
     0,
     MAGIC("\xfd"
           "7zXZ\0")},
    {"compressed by bzip2",
     "unpack it: `bzip2 -dc FILE | ol-extract -t -`, with --text-field KEY if its lines "
     "are JSON",
     4, MAGIC("1AY&SY")},
    {"compressed by lz4",
     "unpack it: `lz4 -dc FILE | ol-extract -t -`, with --text-field KEY if its lines "
     "are JSON",
     0, MAGIC("\x04\x22\x4d\x18")},
    /* Once is undone already. */
    {"compressed a second time by gzip", "give -t FILE", 0, MAGIC("\x1f\x8b\x08")},
    {"compressed a second time by zstd", "give -t FILE", 0, MAGIC("\x28\xb5\x2f\xfd")},
    {"a ZIP archive",
     "give a file out of it: `unzip -p FILE MEMBER | ol-extract -t -`, with --text-field "
     "KEY if its lines are JSON",
     0, MAGIC("PK\x03\x04")},
    {"a 7z archive", "give a file out of it", 0, MAGIC("7z\xbc\xaf\x27\x1c")},
    {"a tar archive",
     "give a file out of it: `tar -xOf FILE MEMBER | ol-extract -t -`, with --text-field "
     "KEY if its lines are JSON",
     257, MAGIC("ustar")},
    {"an Arrow file", "write its texts as one JSON object per line", 0, MAGIC("ARROW1")},
    {"an Arrow stream", "write its texts as one JSON object per line", 0,
     MAGIC("\xff\xff\xff\xff\x10\x01\x00\x00")},
    {"an Avro file", "write its texts as one JSON object per line", 0, MAGIC("Obj\x01")},
    {"an HDF5 file", "a text or lines of JSON are expected", 0, MAGIC("\x89HDF\r\n")},
    {"a SQLite database", "a text or lines of JSON are expected", 0,
     MAGIC("SQLite format 3\0")},
    {"a PDF document", "give its text: `pdftotext FILE - | ol-extract -t -`", 0,
     MAGIC("%PDF-")},
    {"a Git LFS pointer, not the file that it stands for", "fetch that: `git lfs pull`",
     0, MAGIC("version https://git-lfs.github.com/spec/")},
    /* The wider form first: its mark begins as the other's does. */
    {"text in UTF-32", "convert it: `iconv -f UTF-32 -t UTF-8 FILE`", 0,
     MAGIC("\xff\xfe\0\0")},
    {"text in UTF-32", "convert it: `iconv -f UTF-32 -t UTF-8 FILE`", 0,
     MAGIC("\0\0\xfe\xff")},
    {"text in UTF-16", "convert it: `iconv -f UTF-16 -t UTF-8 FILE`", 0,
     MAGIC("\xff\xfe")},
    {"text in UTF-16", "convert it: `iconv -f UTF-16 -t UTF-8 FILE`", 0,
     MAGIC("\xfe\xff")},
};

/* UTF-16 and UTF-32 without a mark: most characters of most texts have no upper bytes,
 * and a text in UTF-8 has hardly a NUL. */
static const char *wide_encoding(const char *head, size_t bytes)
{
    size_t nuls[4] = {0};
    bytes = bytes / 4 * 4;
    for (size_t i = 0; i < bytes; i++)
        nuls[i % 4] += head[i] == '\0';
    const size_t most = bytes / 4, many = most - most / 4, few = most / 8;
    if (most < 2)
        return NULL;
    if (nuls[1] >= many && nuls[2] >= many && (nuls[0] >= many || nuls[3] >= many))
        return nuls[3] >= many ? "UTF-32LE" : "UTF-32BE";
    if (nuls[1] + nuls[3] >= many && nuls[0] + nuls[2] <= few)
        return "UTF-16LE";
    if (nuls[0] + nuls[2] >= many && nuls[1] + nuls[3] <= few)
        return "UTF-16BE";
    return NULL;
}

/* A name as one would type it to a shell. */
static char *quote(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_./:,+@%=-";
    if (name[strspn(name, plain)] == '\0')
        return ol_xstrdup(name);
    char *quoted = ol_xmalloc(4 * strlen(name) + 3), *to = quoted;
    *to++ = '\'';
    for (; *name != '\0'; name++) {
        if (*name != '\'') {
            *to++ = *name;
            continue;
        }
        memcpy(to, "'\\''", 4);
        to += 4;
    }
    memcpy(to, "'", 2);
    return quoted;
}

/* Where FILE stands in the advice, `shown`. The caller frees. */
static char *tell(const char *advice, const char *shown)
{
    char *text = ol_xstrdup("");
    for (const char *at = advice; at != NULL;) {
        const char *file = strstr(at, "FILE");
        char *longer = ol_xasprintf(
            "%s%.*s%s", text, (int)(file != NULL ? (size_t)(file - at) : strlen(at)), at,
            file != NULL ? shown : "");
        free(text);
        text = longer;
        at = file != NULL ? file + strlen("FILE") : NULL;
    }
    return text;
}

/* What came by a pipe has no name to type; what was unpacked already is no file yet, and
 * is to be made one first. */
static int fail(const struct ol_file_head *head, const char *what, const char *advice,
                struct ol_error *err)
{
    char *shown = quote(head->path != NULL ? head->path : "FILE");
    if (head->packing == OL_PACKING_NONE) {
        char *text = tell(advice, shown);
        ol_fail(err, "%s: is %s; %s", head->name, what, text);
        free(text);
    } else {
        const char *by = head->packing == OL_PACKING_GZIP ? "gzip" : "zstd";
        char *before = head->path != NULL
                           ? ol_xasprintf("after `%s -dc %s >FILE`, ", by, shown)
                           : ol_xstrdup("");
        ol_fail(err, "%s: unpacked by %s, it is %s; %s%s", head->name, by, what, before,
                advice);
        free(before);
    }
    free(shown);
    return -1;
}

int ol_file_kind_check(const struct ol_file_head *head, struct ol_error *err)
{
    const char *bytes = head->bytes;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const struct kind *k = &kinds[i];
        if (head->n >= k->at + k->n && memcmp(bytes + k->at, k->magic, k->n) == 0)
            return fail(head, k->what, k->advice, err);
    }
    const char *wide =
        wide_encoding(bytes, head->n < OL_FILE_KIND_BYTES ? head->n : OL_FILE_KIND_BYTES);
    if (wide == NULL)
        return 0;
    char *what = ol_xasprintf("text in %s", wide);
    char *advice = ol_xasprintf("convert it: `iconv -f %s -t UTF-8 FILE`", wide);
    fail(head, what, advice, err);
    free(advice);
    free(what);
    return -1;
}
