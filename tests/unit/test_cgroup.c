/* Control groups as the kernel shows them, in directories that the tests make. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>

#include <cmocka.h>

#include "common/cgroup.h"
#include "common/error.h"

static char root[] = "/tmp/ol-test-cgroup-XXXXXX";

/* Write a file below the root, and the directories that lead to it. */
static void put(const char *path, const char *text)
{
    char *full = ol_xasprintf("%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0777);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(full);
}

static int set_up(void **state)
{
    (void)state;
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char *command = ol_xasprintf("rm -r '%s'", root);
    const int status = system(command);
    free(command);
    return status;
}

static void without_files_nothing_is_limited(void **state)
{
    (void)state;
    const struct ol_cgroup_limits limits = ol_cgroup_limits(root);
    assert_true(limits.memory == INT64_MAX && isinf(limits.processors));
}

static void version_2_takes_the_tightest_of_nested_groups(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a b/c/d\n");
    put("/proc/self/mountinfo",
        "22 1 0:20 / / rw - ext4 /dev/x rw\n"
        "24 22 0:21 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
    put("/sys/fs/cgroup/a b/memory.max", "1000000\n");
    put("/sys/fs/cgroup/a b/memory.current", "600000\n");
    put("/sys/fs/cgroup/a b/memory.stat",
        "anon 5\nfile 400000\ninactive_file 100000\nactive_file 200000\nshmem 7\n");
    put("/sys/fs/cgroup/a b/cpu.max", "250000 100000\n");
    put("/sys/fs/cgroup/a b/c/memory.max", "max\n");
    put("/sys/fs/cgroup/a b/c/memory.current", "1\n");
    put("/sys/fs/cgroup/a b/c/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a b/c/d/memory.max", "9000000\n");
    put("/sys/fs/cgroup/a b/c/d/memory.current", "1000\n");
    put("/sys/fs/cgroup/a b/c/d/cpu.max", "800000 100000\n");
    struct ol_cgroup_limits limits = ol_cgroup_limits(root);
    assert_int_equal(limits.memory, 1000000 - (600000 - 300000));
    assert_true(limits.processors == 2.5);
    /* A limit that throttles before the one that kills. */
    put("/sys/fs/cgroup/a b/c/d/memory.high", "500000\n");
    limits = ol_cgroup_limits(root);
    assert_int_equal(limits.memory, 499000);
    /* More in use than the limit, which was lowered. */
    put("/sys/fs/cgroup/a b/c/d/memory.current", "600000\n");
    assert_int_equal(ol_cgroup_limits(root).memory, 0);
}

static void a_container_sees_its_group_as_the_top(void **state)
{
    (void)state;
    /* With a namespace of its own, and without one. */
    static const char *const groups[] = {"0::/\n", "0::/docker/abc\n", "0::/../other\n"};
    put("/proc/self/mountinfo",
        "24 22 0:21 /docker/abc /cg\\040x ro - cgroup2 cgroup rw\n");
    put("/cg x/memory.max", "700\n");
    put("/cg x/memory.current", "200\n");
    put("/cg x/cpu.max", "50000 100000\n");
    for (int i = 0; i < 3; i++) {
        put("/proc/self/cgroup", groups[i]);
        const struct ol_cgroup_limits limits = ol_cgroup_limits(root);
        assert_int_equal(limits.memory, 500);
        assert_true(limits.processors == 0.5);
    }
}

static void version_1_has_a_hierarchy_for_each_controller(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "5:cpuacct,cpu:/job/step\n4:memory:/job/step\n"
                             "3:cpuset:/\n1:name=systemd:/x\n0::/\n");
    put("/proc/self/mountinfo",
        "31 23 0:28 / /cg rw - tmpfs tmpfs rw,mode=755\n"
        "32 31 0:29 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:30 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n"
        "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n");
    put("/cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/cg/memory/memory.usage_in_bytes", "123456\n");
    put("/cg/memory/job/memory.limit_in_bytes", "4000\n");
    put("/cg/memory/job/memory.usage_in_bytes", "3000\n");
    put("/cg/memory/job/memory.stat",
        "inactive_file 1\nactive_file 1\ntotal_inactive_file 1000\ntotal_active_file "
        "500\n");
    put("/cg/memory/job/step/memory.limit_in_bytes", "9223372036854771712\n");
    put("/cg/memory/job/step/memory.usage_in_bytes", "10\n");
    put("/cg/cpu,cpuacct/job/step/cpu.cfs_quota_us", "-1\n");
    put("/cg/cpu,cpuacct/job/step/cpu.cfs_period_us", "100000\n");
    put("/cg/cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n");
    put("/cg/cpu,cpuacct/job/cpu.cfs_period_us", "50000\n");
    const struct ol_cgroup_limits limits = ol_cgroup_limits(root);
    assert_int_equal(limits.memory, 2500);
    assert_true(limits.processors == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_files_nothing_is_limited, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(version_2_takes_the_tightest_of_nested_groups,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_container_sees_its_group_as_the_top, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(version_1_has_a_hierarchy_for_each_controller,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
