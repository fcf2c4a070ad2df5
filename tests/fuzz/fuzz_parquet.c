/* Parquet files: any bytes become values, or one clear line. Nothing is asked for that
 * the file does not have, and values lie in memory that can be read. */
#include <stdlib.h>
#include <string.h>

#include "extract/text/parquet/parquet.h"
#include "tests/fuzz/fuzz.h"

const char *const fuzz_seeds[] = {"tests/golden/parquet/*.parquet",
                                  "tests/golden/parquet/refused/*.parquet", NULL};
const int fuzz_short_run = 20000;

enum { MOST_VALUES = 20000 /* a run of nulls may be of any length */ };

struct bytes {
    const uint8_t *data;
    size_t n;
};

static int read_bytes(void *user, int64_t offset, size_t n, void *bytes,
                      struct ol_error *err)
{
    const struct bytes *b = user;
    (void)err;
    if (offset < 0 || offset > (int64_t)b->n || n > b->n - (size_t)offset || n == 0)
        abort();
    memcpy(bytes, b->data + offset, n);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ol_error err = {0};
    struct bytes b = {data, size};
    const struct ol_parquet_file file = {"file", (int64_t)size, &b, read_bytes};
    struct ol_parquet *p = ol_parquet_open(&file, "text", &err);
    int found = p != NULL ? 1 : -1;
    uint64_t sum = 0;
    for (int64_t row = 0; found == 1 && row < MOST_VALUES; row++) {
        struct ol_parquet_value v;
        found = ol_parquet_next(p, &v, &err);
        if (found == 1 && v.row != row)
            abort();
        for (size_t i = 0; found == 1 && v.text != NULL && i < v.bytes; i++)
            sum += (unsigned char)v.text[i];
        if (found == 0 && row != ol_parquet_n_rows(p))
            abort();
    }
    if ((found < 0) != (err.text[0] != '\0'))
        abort();
    ol_parquet_close(p);
    return sum == UINT64_MAX;
}
