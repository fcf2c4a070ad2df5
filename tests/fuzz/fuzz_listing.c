/* What a Hub answers when it is asked what a repository holds: whatever it is, what is
 * taken of it is fit to be a file name. */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "extract/hub/listing.h"
#include "tests/fuzz/fuzz.h"

const char *const fuzz_seeds[] = {"tests/fuzz/seeds/listing/*.json", NULL};
const int fuzz_short_run = 5000;

static void check(const struct ol_hub_listing *l)
{
    enum { SHA256_DIGITS = 64 };
    if (l->commit[0] != '\0' && !ol_hub_is_commit(l->commit))
        abort();
    for (size_t i = 0; i < l->n; i++) {
        const struct ol_hub_entry *e = &l->entries[i];
        const size_t digits = e->is_lfs ? SHA256_DIGITS : OL_HUB_COMMIT_DIGITS;
        if (!ol_hub_is_path(e->path) || e->size < 0 ||
            !ol_hub_is_digest(e->etag, digits) || ol_hub_listing_find(l, e->path) == NULL)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ol_error err = {0};
    struct ol_hub_listing listing = {0};
    const struct ol_hub_source source = {"o/m", "https://hub", &listing};
    struct ol_json *json = ol_json_load_text((const char *)data, size, "answer", &err);
    if (json != NULL) {
        const int status = ol_hub_listing_add(&source, json, &err);
        if ((status < 0) != (err.text[0] != '\0'))
            abort();
        check(&listing);
    }
    ol_hub_listing_clear(&listing);
    ol_json_free(json);
    return 0;
}
