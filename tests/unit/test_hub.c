/* The Hub cache's layout and the precedence of the variables that say where it is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "extract/hub/client.h"
#include "extract/hub/hub.h"
#include "extract/hub/meter.h"
#include "extract/hub/name.h"
#include "tests/unit/checkpoint_maker.h"

static const char commit[] = "0123456789abcdef0123456789abcdef01234567";
static char *root;

static void make_directories(const char *path)
{
    char *command = ol_xasprintf("mkdir -p '%s'", path);
    assert_int_equal(system(command), 0);
    free(command);
}

/* A cached model below root/cache; the snapshot's directory, to be freed. */
static char *cache_model(const char *cache, const char *folder, const char *ref)
{
    char *refs = ol_xasprintf("%s/%s/%s/refs", root, cache, folder);
    char *snapshot = ol_xasprintf("%s/%s/%s/snapshots/%s", root, cache, folder, commit);
    make_directories(refs);
    make_directories(snapshot);
    write_text(refs, "main", ref);
    free(refs);
    return snapshot;
}

static int set_up(void **state)
{
    (void)state;
    root = make_directory();
    /* What is not there is not asked for: that is tests/cli/hub_download.bats. */
    setenv("HF_HUB_OFFLINE", "1", 1);
    unsetenv("HF_HUB_CACHE");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    unsetenv("HF_HOME");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", root, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_directory(root);
    return 0;
}

static void resolves_to(const char *model, const char *expected)
{
    struct ol_error err = {0};
    char *found = ol_hub_resolve(model, OL_HUB_CONFIG, &err);
    if (found == NULL)
        fail_msg("%s", err.text);
    assert_string_equal(found, expected);
    free(found);
}

static void fails_with(const char *model, const char *part)
{
    struct ol_error err = {0};
    assert_null(ol_hub_resolve(model, OL_HUB_CONFIG, &err));
    if (strstr(err.text, part) == NULL)
        fail_msg("found    %s\nexpected %s", err.text, part);
}

static void set_below(const char *name, const char *below)
{
    char *path = ol_xasprintf("%s/%s", root, below);
    setenv(name, path, 1);
    free(path);
}

static void a_directory_is_itself(void **state)
{
    (void)state;
    resolves_to(root, root);
    resolves_to(".", ".");
    write_text(root, "file", "");
    char *file = ol_xasprintf("%s/file", root);
    fails_with(file, "is a file, expected a directory or a Hub name (org/name)");
    free(file);
    char *missing = ol_xasprintf("%s/missing", root);
    fails_with(missing, "cannot be opened, and is no Hub name (org/name): No such file");
    free(missing);
}

static void names_lead_to_snapshots(void **state)
{
    (void)state;
    char *with_org =
        cache_model(".cache/huggingface/hub", "models--Org-1--a.b_c", commit);
    char *newline = ol_xasprintf("%s\n", commit);
    char *without = cache_model(".cache/huggingface/hub", "models--gpt2", newline);
    resolves_to("Org-1/a.b_c", with_org);
    resolves_to("gpt2", without);
    free(newline);
    free(with_org);
    free(without);
}

static void variables_have_their_order(void **state)
{
    (void)state;
    char *home = cache_model(".cache/huggingface/hub", "models--o--m", commit);
    char *xdg = cache_model("xdg/huggingface/hub", "models--o--m", commit);
    char *hf_home = cache_model("hf/hub", "models--o--m", commit);
    char *legacy = cache_model("legacy", "models--o--m", commit);
    char *hub_cache = cache_model("hub cache", "models--o--m", commit);
    setenv("XDG_CACHE_HOME", "", 1);
    resolves_to("o/m", home);
    set_below("XDG_CACHE_HOME", "xdg");
    resolves_to("o/m", xdg);
    set_below("HF_HOME", "hf");
    resolves_to("o/m", hf_home);
    set_below("HUGGINGFACE_HUB_CACHE", "legacy");
    resolves_to("o/m", legacy);
    set_below("HF_HUB_CACHE", "hub cache");
    resolves_to("o/m", hub_cache);
    free(home);
    free(xdg);
    free(hf_home);
    free(legacy);
    free(hub_cache);
}

static void paths_in_variables_are_expanded(void **state)
{
    (void)state;
    char *snapshot = cache_model("a/b/c", "models--o--m", commit);
    setenv("OL_TEST_B", "b", 1);
    unsetenv("OL_TEST_NONE");
    setenv("HF_HUB_CACHE", "~/a/$OL_TEST_B/c", 1);
    resolves_to("o/m", snapshot);
    setenv("HF_HUB_CACHE", "${HOME}/a/${OL_TEST_B}/c", 1);
    resolves_to("o/m", snapshot);
    setenv("HF_HUB_CACHE", "$OL_TEST_NONE/$/${HOME", 1);
    fails_with("o/m",
               "looked for $OL_TEST_NONE/$/${HOME/models--o--m (from HF_HUB_CACHE)");
    free(snapshot);
}

static void what_is_not_cached_is_said(void **state)
{
    (void)state;
    char *expected =
        ol_xasprintf("no/such: there is no such directory, and no such model in "
                     "the Hub cache: looked for "
                     "%s/.cache/huggingface/hub/models--no--such (from default); "
                     "HF_HUB_OFFLINE forbids to ask the Hub",
                     root);
    fails_with("no/such", expected);
    free(expected);
    set_below("HF_HUB_CACHE", "hub");
    char *snapshot = cache_model("hub", "models--o--m", "main");
    fails_with("o/m", "/refs/main: expected a commit (40 hexadecimal digits)");
    free(snapshot);
    snapshot =
        cache_model("hub", "models--o--m", "../../../../../../../../../../../../etc1");
    fails_with("o/m", "/refs/main: expected a commit (40 hexadecimal digits)");
    free(snapshot);
    snapshot = cache_model("hub", "models--o--m", "");
    fails_with("o/m", "/refs/main: expected a commit (40 hexadecimal digits)");
    free(snapshot);
    snapshot = cache_model("hub", "models--o--m", commit);
    assert_int_equal(rmdir(snapshot), 0);
    fails_with("o/m", "names a snapshot that is not there: looked for ");
    free(snapshot);
    char *ref = ol_xasprintf("%s/hub/models--o--m/refs/main", root);
    assert_int_equal(unlink(ref), 0);
    fails_with("o/m",
               "/refs/main: is not there, and snapshots/ does not hold exactly one");
    free(ref);
}

static void revisions(void **state)
{
    (void)state;
    static const char other[] = "89abcdef0123456789abcdef0123456789abcdef";
    set_below("HF_HUB_CACHE", "hub");
    char *main_snapshot = cache_model("hub", "models--o--m", commit);
    char *folder = ol_xasprintf("%s/hub/models--o--m", root);
    char *snapshot = ol_xasprintf("%s/snapshots/%s", folder, other);
    char *refs = ol_xasprintf("%s/refs/refs/pr", folder), *name;
    make_directories(snapshot);
    make_directories(refs);
    write_text(refs, "1", other);
    resolves_to("o/m", main_snapshot);
    resolves_to("o/m@main", main_snapshot);
    resolves_to("o/m@89abcdef0123456789abcdef0123456789abcdef", snapshot);
    resolves_to("o/m@refs/pr/1", snapshot);
    fails_with("o/m@v2", "/refs/v2: is not there; the cache has the revisions ");
    fails_with("o/m@v2", "refs/pr/1");
    fails_with("o/m@v2", other);
    fails_with("o/m@v2", commit);
    fails_with("o/m@0000000000000000000000000000000000000000", "not there: looked for ");
    fails_with("o/m@refs/pr", "/refs/refs/pr: is a directory, expected a regular file");
    /* A snapshot's own path is of a model too. */
    name = ol_hub_name(snapshot);
    assert_string_equal(name, "o/m");
    free(name);
    assert_null(ol_hub_name(folder));
    assert_null(ol_hub_name(root));
    assert_null(ol_hub_name("o/m"));
    /* Without refs/main the only snapshot is the one that is meant. */
    char *ref = ol_xasprintf("%s/refs/main", folder);
    assert_int_equal(unlink(ref), 0);
    fails_with("o/m", "does not hold exactly one commit to take in its place");
    assert_int_equal(rmdir(snapshot), 0);
    resolves_to("o/m", main_snapshot);
    free(ref), free(refs), free(snapshot), free(folder), free(main_snapshot);
}

/* Names that are no Hub names never touch the cache. */
static void other_names_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        "a/b@../c", "a/b@/c", "a@b@c", "@c",        "a/b@c/", "a/b@.c", "",
        "a/b/c",    "a//b",   "/a",    "a/",        "a--b",   "a..b",   "../a",
        "a/..",     ".a/b",   "a/b.",  "a b",       "a/b\n",  "a/-b",   "a\\b",
        "a/b@",     "a:b",    "~/a",   "\xc3\xa4/b"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        fails_with(names[i], "is no Hub name (org/name)");
    char longest[200];
    memset(longest, 'a', sizeof longest);
    longest[97] = '\0';
    fails_with(longest, "is no Hub name (org/name)");
    longest[96] = '\0';
    fails_with(longest, "no such model in the Hub cache");
}

static void parts_of_urls_are_encoded(void **state)
{
    (void)state;
    static const struct {
        const char *text, *encoded;
        bool slash;
    } cases[] = {
        {"refs/pr/1", "refs%2Fpr%2F1", true},
        {"a b/c+d.json", "a%20b/c%2Bd.json", false},
        {"A-z_0.9~", "A-z_0.9~", true},
        {"\xc3\xa4?#%&", "%C3%A4%3F%23%25%26", true},
        {"", "", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *encoded = ol_hub_encode(cases[i].text, cases[i].slash);
        assert_string_equal(encoded, cases[i].encoded);
        free(encoded);
    }
}

static void listed_paths_stay_inside(void **state)
{
    (void)state;
    static const char *const inside[] = {"a",  "a/b", "..a",     "a..",
                                         ".a", "a b", "\xc3\xa4"};
    static const char *const outside[] = {"",      "/",      "/a",   "a/",   "a//b",
                                          ".",     "..",     "./a",  "a/..", "../a",
                                          "a/./b", "a/../b", "a\\b", "a\nb", "a\x7f"};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++)
        assert_true(ol_hub_is_path(inside[i]));
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        assert_false(ol_hub_is_path(outside[i]));
}

/* What signs a URL, and who is named in it, is in no message; the origin is what decides
 * who may see the token. */
static void urls(void **state)
{
    (void)state;
    static const char *const shown[][2] = {
        {"https://a/b?Signature=x", "https://a/b"},
        {"https://user:word@a/b", "https://a/b"},
        {"https://a/b@c", "https://a/b@c"},
        {"https://a/b#x", "https://a/b"},
    };
    static const char *const origins[][2] = {
        {"https://Huggingface.co/a", "https://huggingface.co:443"},
        {"http://a/", "http://a:80"},
        {"http://a:8080/", "http://a:8080"},
        {"https://huggingface.co@evil.example/", "https://evil.example:443"},
        {"https://huggingface.co.evil.example/",
         "https://huggingface.co.evil.example:443"},
        {"http://[::1]:5/", "http://[::1]:5"},
    };
    static const char *const none[] = {"", "ftp://a/", "file:///etc/passwd", "//a/b",
                                       "https://"};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        char *text = ol_hub_shown_url(shown[i][0]);
        assert_string_equal(text, shown[i][1]);
        free(text);
    }
    for (size_t i = 0; i < sizeof origins / sizeof origins[0]; i++) {
        char *origin = ol_http_origin(origins[i][0]);
        assert_non_null(origin);
        assert_string_equal(origin, origins[i][1]);
        free(origin);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_null(ol_http_origin(none[i]));
}

static void amounts(void **state)
{
    (void)state;
    assert_string_equal(ol_amount(0).text, "0 kB");
    assert_string_equal(ol_amount(123456).text, "123 kB");
    assert_string_equal(ol_amount(9.1e6).text, "9.1 MB");
    assert_string_equal(ol_amount(61.066e9).text, "61.07 GB");
    assert_string_equal(ol_amount(673e9).text, "673.00 GB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_directory_is_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_lead_to_snapshots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(variables_have_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(paths_in_variables_are_expanded, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(revisions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_cached_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_names_are_refused, set_up, tear_down),
        cmocka_unit_test(parts_of_urls_are_encoded),
        cmocka_unit_test(listed_paths_stay_inside),
        cmocka_unit_test(urls),
        cmocka_unit_test(amounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
