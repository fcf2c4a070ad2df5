/* Good checkpoints are read as they are; every case in tests/bad/checkpoint is refused
 * with its message. A case's folder holds `error`, the message with DIR for the
 * directory, and `case.txt`, which describes the files:
 *
 *     file NAME      starts a file
 *     length N       its first 8 bytes, if not the length of the header that follows
 *     header TEXT    the header, to the end of the line
 *     data N         N bytes
 *     text TEXT      the line as it is (an index)
 *     truncate N     cut the file to N bytes */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdbool.h>

#include "extract/weights/checkpoint.h"
#include "tests/unit/checkpoint_maker.h"

/* ---- tests/bad/checkpoint ---- */

static char *read_text(const char *directory, const char *name)
{
    char *path = ol_xasprintf("%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s: cannot open", path);
    static char text[1 << 16];
    const size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
    free(path);
    return ol_xstrdup(text);
}

/* What follows `word` and a space on the line, or NULL. */
static const char *after(const char *line, const char *word)
{
    const size_t n = strlen(word);
    return strncmp(line, word, n) == 0 && line[n] == ' ' ? line + n + 1 : NULL;
}

static void build(char *description, const char *directory)
{
    FILE *file = NULL;
    bool has_length = false;
    for (char *line = strtok(description, "\n"); line != NULL;
         line = strtok(NULL, "\n")) {
        const char *rest;
        if ((rest = after(line, "file")) != NULL) {
            if (file != NULL)
                fclose(file);
            file = create_file(directory, rest);
            has_length = false;
            continue;
        }
        if (file == NULL)
            fail_msg("\"%s\" before any file", line);
        if ((rest = after(line, "length")) != NULL) {
            write_length(file, strtoull(rest, NULL, 10));
            has_length = true;
        } else if ((rest = after(line, "header")) != NULL) {
            if (!has_length)
                write_length(file, strlen(rest));
            fputs(rest, file);
        } else if ((rest = after(line, "data")) != NULL) {
            write_data(file, strtoull(rest, NULL, 10));
        } else if ((rest = after(line, "text")) != NULL) {
            fprintf(file, "%s\n", rest);
        } else if ((rest = after(line, "truncate")) != NULL) {
            fflush(file);
            assert_int_equal(ftruncate(fileno(file), atol(rest)), 0);
        } else {
            fail_msg("\"%s\" is no line of a case", line);
        }
    }
    if (file != NULL)
        fclose(file);
}

/* text with every `from` replaced by `to`; frees text. */
static char *replace(char *text, const char *from, const char *to)
{
    char *at;
    while ((at = strstr(text, from)) != NULL) {
        char *next =
            ol_xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
        free(text);
        text = next;
    }
    return text;
}

static bool passes(const char *folder)
{
    char *directory = make_directory();
    char *description = read_text(folder, "case.txt");
    char *expected = read_text(folder, "error");
    expected[strcspn(expected, "\n")] = '\0';
    build(description, directory);
    struct ol_error err = {0};
    struct ol_checkpoint *c = ol_checkpoint_open(directory, &err);
    char *found = replace(ol_xstrdup(err.text), directory, "DIR");
    const bool good = c == NULL && strcmp(found, expected) == 0;
    if (!good)
        print_message("# %s:\n#   found    %s\n#   expected %s\n", folder, found,
                      expected);
    ol_checkpoint_close(c);
    free(found);
    free(expected);
    free(description);
    remove_directory(directory);
    return good;
}

static void bad_checkpoints_are_refused_with_their_message(void **state)
{
    (void)state;
    static const char root[] = "tests/bad/checkpoint";
    DIR *cases = opendir(root);
    assert_non_null(cases);
    int n = 0, n_failed = 0;
    for (struct dirent *entry; (entry = readdir(cases)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        char *folder = ol_xasprintf("%s/%s", root, entry->d_name);
        n_failed += !passes(folder);
        free(folder);
        n++;
    }
    closedir(cases);
    assert_int_equal(n_failed, 0);
    assert_true(n >= 30);
}

/* ---- good ones ---- */

static struct ol_checkpoint *open_good(const char *directory)
{
    struct ol_error err = {0};
    struct ol_checkpoint *c = ol_checkpoint_open(directory, &err);
    if (c == NULL)
        fail_msg("%s", err.text);
    return c;
}

static const char good_header[] =
    "{\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[5,17]},"
    "\"__metadata__\":{\"format\":\"pt\"},"
    "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[17,17]},"
    "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[17,21]},"
    "\"\\u00e4/"
    "\\ud83d\\ude00\":{\"dtype\":\"F4\",\"shape\":[3,2],\"data_offsets\":[2,5]},"
    "\"a\":{\"dtype\":\"U8\",\"shape\":[2,1,1,1,1,1,1,1],\"data_offsets\":[0,2],"
    "\"unknown key\":1}}   ";
enum { GOOD_DATA = 21 };

static void a_file_is_read_as_it_is(void **state)
{
    (void)state;
    static const char *const order[] = {"a", "\xc3\xa4/\xf0\x9f\x98\x80", "b", "empty",
                                        "scalar"};
    char *directory = make_directory();
    write_safetensors(directory, "model.safetensors", good_header, GOOD_DATA);
    struct ol_checkpoint *c = open_good(directory);
    assert_int_equal(ol_checkpoint_n_tensors(c), 5);
    for (int i = 0; i < 5; i++) {
        const struct ol_stored_tensor *t = ol_checkpoint_tensor(c, i);
        assert_string_equal(t->name, order[i]);
        assert_ptr_equal(ol_checkpoint_find(c, order[i]), t);
        /* Bytes of the data count up from 0, so the first tells where it is. */
        if (t->bytes > 0)
            assert_int_equal(*(const unsigned char *)t->data,
                             t->offset - 8 - strlen(good_header));
    }
    const struct ol_stored_tensor *b = ol_checkpoint_find(c, "b");
    assert_string_equal(b->dtype_name, "BF16");
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->shape[0], 2);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(b->bytes, 12);
    assert_int_equal(b->offset, 8 + strlen(good_header) + 5);
    assert_int_equal(ol_checkpoint_find(c, "scalar")->rank, 0);
    assert_int_equal(ol_checkpoint_find(c, "a")->rank, 8);
    assert_null(ol_checkpoint_find(c, "__metadata__"));
    assert_null(ol_checkpoint_find(c, ""));
    ol_checkpoint_close(c);
    remove_directory(directory);
}

/* Tensor a lies in both files, b in the one that the index does not say, c in none. */
static void the_index_decides(void **state)
{
    (void)state;
    char *directory = make_directory();
    write_text(directory, "model.safetensors.index.json",
               "{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"2.safetensors\","
               "\"c\":\"1.safetensors\",\"d\":\"1.safetensors\"}}");
    write_safetensors(directory, "1.safetensors",
                      "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                      "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]},"
                      "\"d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[8,9]}}",
                      9);
    write_safetensors(directory, "2.safetensors",
                      "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
                      2);
    struct ol_checkpoint *c = open_good(directory);
    assert_int_equal(ol_checkpoint_n_tensors(c), 2);
    assert_int_equal(ol_checkpoint_find(c, "a")->file, 1);
    assert_int_equal(ol_checkpoint_find(c, "a")->shape[0], 2);
    assert_int_equal(ol_checkpoint_find(c, "d")->file, 0);
    assert_null(ol_checkpoint_find(c, "b"));
    assert_null(ol_checkpoint_find(c, "c"));
    assert_string_equal(ol_checkpoint_listed(c, "b"), "2.safetensors");
    assert_null(ol_checkpoint_listed(c, "e"));
    const char *first;
    assert_int_equal(ol_checkpoint_n_absent(c, &first), 2);
    assert_string_equal(first, "b");
    ol_checkpoint_close(c);
    remove_directory(directory);
}

/* A link of the Hub cache whose file did not come yet, and one file of two. */
static void downloads_that_are_not_complete(void **state)
{
    (void)state;
    struct ol_error err = {0}, missing = {0};
    char *directory = make_directory();
    char *link = ol_xasprintf("%s/model.safetensors", directory);
    assert_int_equal(ol_checkpoint_is_complete(directory, &missing, &err), 0);
    assert_string_equal(missing.text, "");
    assert_int_equal(symlink("../blobs/none", link), 0);
    assert_int_equal(ol_checkpoint_is_complete(directory, &missing, &err), 0);
    assert_null(ol_checkpoint_open(directory, &err));
    assert_non_null(strstr(err.text, ": the download is not complete: 0 of 1 shards are "
                                     "there, model.safetensors is missing"));
    write_text(directory, "model.safetensors.index.json",
               "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\","
               "\"c\":\"1.safetensors\"}}");
    write_safetensors(directory, "2.safetensors",
                      "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                      1);
    err = (struct ol_error){0};
    assert_int_equal(ol_checkpoint_is_complete(directory, &missing, &err), 0);
    assert_non_null(strstr(missing.text, "1 of 2 shards are there, 1.safetensors is"));
    write_safetensors(directory, "1.safetensors",
                      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                      1);
    assert_int_equal(ol_checkpoint_is_complete(directory, &missing, &err), 1);
    write_text(directory, "model.safetensors.index.json", "{}");
    assert_int_equal(ol_checkpoint_is_complete(directory, &missing, &err), -1);
    free(link);
    remove_directory(directory);
}

/* The Hub cache's way: the directory holds links to files elsewhere. */
static void shards_are_found_through_links(void **state)
{
    (void)state;
    char *directory = make_directory(), *elsewhere = make_directory();
    write_text(directory, "model.safetensors.index.json",
               "{\"metadata\":{\"total_size\":12},\"weight_map\":"
               "{\"y\":\"2.safetensors\",\"x\":\"1.safetensors\"}}");
    write_safetensors(elsewhere, "blob",
                      "{\"x\":{\"dtype\":\"U8\",\"shape\":[4],"
                      "\"data_offsets\":[0,4]}}",
                      4);
    write_safetensors(directory, "2.safetensors",
                      "{\"y\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
                      8);
    /* Not named by the index, so not looked at. */
    write_text(directory, "3.safetensors", "garbage");
    char *target = ol_xasprintf("%s/blob", elsewhere);
    char *link = ol_xasprintf("%s/1.safetensors", directory);
    assert_int_equal(symlink(target, link), 0);
    struct ol_checkpoint *c = open_good(directory);
    assert_int_equal(ol_checkpoint_n_tensors(c), 2);
    assert_int_equal(ol_checkpoint_find(c, "x")->file, 0);
    assert_int_equal(ol_checkpoint_find(c, "y")->file, 1);
    assert_string_equal(ol_checkpoint_path(c, 0), link);
    assert_string_equal(ol_checkpoint_directory(c), directory);
    ol_checkpoint_close(c);
    free(link);
    free(target);
    remove_directory(elsewhere);
    remove_directory(directory);
}

/* Digests computed with Python's hashlib over the same bytes. */
static void the_identity_is_that_of_headers_sizes_and_samples(void **state)
{
    (void)state;
    struct ol_error err = {0};
    char hex[OL_SHA256_HEX_BYTES];
    char *directory = make_directory();
    write_safetensors(directory, "model.safetensors", good_header, GOOD_DATA);
    struct ol_checkpoint *c = open_good(directory);
    assert_int_equal(ol_checkpoint_sha256(c, hex, &err), 0);
    assert_string_equal(
        hex, "42fb2872b5eafb59780f35ba4bced0d4f411ff049100de7d37709cc8fd1957ae");
    ol_checkpoint_close(c);
    remove_directory(directory);

    directory = make_directory();
    write_text(directory, "model.safetensors.index.json",
               "{\"weight_map\":{\"x\":\"b.safetensors\",\"y\":\"a.safetensors\"}}");
    write_safetensors(directory, "a.safetensors",
                      "{\"y\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                      1);
    write_safetensors(directory, "b.safetensors",
                      "{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
                      2);
    c = open_good(directory);
    assert_int_equal(ol_checkpoint_sha256(c, hex, &err), 0);
    assert_string_equal(
        hex, "55d2391b98bb03afa6385899ea441b7ce84765af6042312c049938a180434616");
    ol_checkpoint_close(c);
    remove_directory(directory);
}

/* As many tensors as the largest models have. */
static void a_hundred_thousand_tensors_are_found(void **state)
{
    (void)state;
    enum { N = 100000 };
    char *directory = make_directory(), *header = ol_xmalloc(N * 100);
    size_t used = 0;
    for (int i = 0; i < N; i++)
        used +=
            (size_t)sprintf(header + used,
                            "%s\"layers.%d.experts.%d\":{\"dtype\":\"U8\",\"shape\":[1]"
                            ",\"data_offsets\":[%d,%d]}",
                            i == 0 ? "{" : ",", i / 384, i % 384, i, i + 1);
    strcpy(header + used, "}");
    write_safetensors(directory, "model.safetensors", header, N);
    struct ol_checkpoint *c = open_good(directory);
    assert_int_equal(ol_checkpoint_n_tensors(c), N);
    for (int i = 0; i < N; i++) {
        char name[64];
        sprintf(name, "layers.%d.experts.%d", i / 384, i % 384);
        const struct ol_stored_tensor *t = ol_checkpoint_find(c, name);
        assert_non_null(t);
        assert_int_equal(*(const unsigned char *)t->data, i % 251);
    }
    assert_null(ol_checkpoint_find(c, "layers.0.experts.384"));
    ol_checkpoint_close(c);
    free(header);
    remove_directory(directory);
}

static void what_is_no_directory_is_refused(void **state)
{
    (void)state;
    struct ol_error err = {0};
    char *directory = make_directory();
    char *path = ol_xasprintf("%s/missing", directory);
    assert_null(ol_checkpoint_open(path, &err));
    assert_non_null(strstr(err.text, "/missing: cannot be opened: No such file"));
    err.text[0] = '\0';
    write_text(directory, "missing", "");
    assert_null(ol_checkpoint_open(path, &err));
    assert_non_null(strstr(err.text, "is not a directory"));
    free(path);
    /* A folder or a device in the place of the file is no file. */
    path = ol_xasprintf("%s/model.safetensors", directory);
    assert_int_equal(symlink("/dev/zero", path), 0);
    err.text[0] = '\0';
    assert_null(ol_checkpoint_open(directory, &err));
    assert_non_null(strstr(err.text, "expected a regular file"));
    free(path);
    remove_directory(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_checkpoints_are_refused_with_their_message),
        cmocka_unit_test(a_file_is_read_as_it_is),
        cmocka_unit_test(shards_are_found_through_links),
        cmocka_unit_test(the_index_decides),
        cmocka_unit_test(downloads_that_are_not_complete),
        cmocka_unit_test(the_identity_is_that_of_headers_sizes_and_samples),
        cmocka_unit_test(a_hundred_thousand_tensors_are_found),
        cmocka_unit_test(what_is_no_directory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
