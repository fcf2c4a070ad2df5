/* Bytes that begin and end anywhere, from memory that lies anywhere, by both ways at a
 * time: the file holds them as memory would. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/unbuffered.h"

enum { BYTES = 6 << 20, BLOCK = 4096, ROUNDS = 100 };

static uint32_t state = 1;

static uint32_t below(uint32_t n)
{
    state = state * 1664525U + 1013904223U;
    return (uint32_t)((uint64_t)state * n >> 32);
}

static void any_bytes(void **unused)
{
    (void)unused;
    char path[] = "unbuffered-XXXXXX";
    struct ol_error err = {0};
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    char *expected = calloc(BYTES, 1), *found = malloc(BYTES),
         *from = aligned_alloc(BLOCK, BYTES + BLOCK);
    assert_int_equal(ftruncate(fd, BYTES), 0);
    struct ol_unbuffered *u = ol_unbuffered_open(fd, path, &err);
    unlink(path);
    if (u == NULL) {
        printf("skip: %s\n", err.text);
        skip();
    }
    for (int round = 0; round < ROUNDS; round++) {
        const bool at_block = below(2) == 0;
        size_t at = below(BYTES), n = below((uint32_t)(BYTES - at)) + 1;
        const size_t shift = at_block ? 0 : below(BLOCK);
        if (at_block)
            at = at / BLOCK * BLOCK;
        for (size_t i = 0; i < n; i++)
            from[shift + i] = (char)((i + (size_t)round) * 0x9e3779b9U >> 24);
        memcpy(expected + at, from + shift, n);
        assert_int_equal(ol_unbuffered_write_at(u, from + shift, n, at, &err), 0);
        if (round % 8 == 0) {
            assert_int_equal(ol_file_read_at(fd, path, found, BYTES, 0, &err), 0);
            assert_memory_equal(found, expected, BYTES);
        }
    }
    ol_unbuffered_close(u);
    assert_int_equal(lseek(fd, 0, SEEK_END), BYTES);
    assert_int_equal(ol_file_read_at(fd, path, found, BYTES, 0, &err), 0);
    assert_memory_equal(found, expected, BYTES);
    close(fd);
    free(expected);
    free(found);
    free(from);
}

static void another_file(void **unused)
{
    (void)unused;
    char path[] = "unbuffered-XXXXXX";
    struct ol_error err = {0};
    const int fd = mkstemp(path);
    unlink(path);
    const int other = open(path, O_RDWR | O_CREAT | O_EXCL, 0666);
    assert_true(fd >= 0 && other >= 0);
    assert_null(ol_unbuffered_open(fd, path, &err));
    assert_string_not_equal(err.text, "");
    unlink(path);
    close(fd);
    close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bytes),
        cmocka_unit_test(another_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
