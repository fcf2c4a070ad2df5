#include "common/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "common/error.h"

struct ol_sha256 {
    EVP_MD_CTX *context;
};

/* EVP calls fail only when the library has no such digest or no memory: nothing to
 * recover from. */
static void must(int ok)
{
    if (ok != 1) {
        ol_warn("the cryptography library cannot compute SHA-256 or SHA-1");
        exit(1);
    }
}

static struct ol_sha256 *begin(const EVP_MD *kind)
{
    struct ol_sha256 *sha = ol_xcalloc(1, sizeof *sha);
    sha->context = EVP_MD_CTX_new();
    must(sha->context != NULL);
    must(EVP_DigestInit_ex(sha->context, kind, NULL));
    return sha;
}

struct ol_sha256 *ol_sha256_new(void)
{
    return begin(EVP_sha256());
}

struct ol_sha256 *ol_sha256_new_git(uint64_t bytes)
{
    char header[32];
    struct ol_sha256 *sha = begin(EVP_sha1());
    const int n = snprintf(header, sizeof header, "blob %" PRIu64, bytes);
    ol_sha256_update(sha, header, (size_t)n + 1);
    return sha;
}

void ol_sha256_update(struct ol_sha256 *sha, const void *data, size_t bytes)
{
    must(EVP_DigestUpdate(sha->context, data, bytes));
}

static unsigned finish(struct ol_sha256 *sha, unsigned char digest[EVP_MAX_MD_SIZE])
{
    unsigned bytes = 0;
    must(EVP_DigestFinal_ex(sha->context, digest, &bytes));
    EVP_MD_CTX_free(sha->context);
    free(sha);
    return bytes;
}

void ol_sha256_finish(struct ol_sha256 *sha, char hex[OL_SHA256_HEX_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    const unsigned bytes = finish(sha, digest);
    for (unsigned i = 0; i < bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

void ol_sha256_finish_base64(struct ol_sha256 *sha, char text[OL_SHA256_BASE64_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    const unsigned bytes = finish(sha, digest);
    EVP_EncodeBlock((unsigned char *)text, digest, (int)bytes);
}
