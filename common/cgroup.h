/* What the control groups that a process is in leave it: containers and batch systems
 * limit memory and processors by them, and /proc/meminfo and the affinity do not tell.
 * Versions 1 and 2, also side by side; a group's own limit and those of all above it that
 * can be seen. */
#ifndef OL_CGROUP_H
#define OL_CGROUP_H

#include <stdint.h>

struct ol_cgroup_limits {
    int64_t memory;    /* bytes that may still be had; INT64_MAX: no limit */
    double processors; /* INFINITY: no limit */
};

/* root stands before every path that is read: "" but in tests. What cannot be read is no
 * limit. */
struct ol_cgroup_limits ol_cgroup_limits(const char *root);

#endif
