/* /proc/self/cgroup names the process's group in each hierarchy, /proc/self/mountinfo
 * where a hierarchy is mounted, and which group of it the mount shows as its top: in a
 * container that is often the container's own. */
#include "common/cgroup.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"

/* ---- small files ---- */

/* The first line of a file in a group's directory; NULL where there is none. */
static char *read_line(const char *directory, const char *name)
{
    char *path = ol_xasprintf("%s/%s", directory, name), *line = NULL;
    FILE *file = fopen(path, "r");
    size_t room = 0;
    free(path);
    if (file == NULL)
        return NULL;
    const bool good = getline(&line, &room, file) > 0;
    fclose(file);
    if (good)
        return line;
    free(line);
    return NULL;
}

/* A number of bytes or microseconds; -1: "max", none, or nothing that can be read. */
static int64_t read_number(const char *directory, const char *name)
{
    char *line = read_line(directory, name), *end = line;
    const int64_t value = line != NULL ? strtoll(line, &end, 10) : -1;
    const bool number = end != line;
    free(line);
    return number ? value : -1;
}

/* The sum of two values of memory.stat, lines "name value". */
static int64_t read_stat(const char *directory, const char *first, const char *second)
{
    char *path = ol_xasprintf("%s/memory.stat", directory);
    FILE *file = fopen(path, "r");
    char name[64];
    long long value;
    int64_t sum = 0;
    free(path);
    while (file != NULL && fscanf(file, "%63s %lld", name, &value) == 2)
        if (strcmp(name, first) == 0 || strcmp(name, second) == 0)
            sum += value;
    if (file != NULL)
        fclose(file);
    return sum;
}

/* ---- one group ---- */

/* What version 1 has instead of a limit is near the end of the numbers. */
#define NO_LIMIT ((int64_t)1 << 62)

/* Pages of files do not count as used: they are given back when they are asked for, as
 * MemAvailable has it too. */
static void limit_memory(struct ol_cgroup_limits *limits, int64_t limit, int64_t used,
                         int64_t file_pages)
{
    if (limit < 0 || limit >= NO_LIMIT || used < 0)
        return;
    const int64_t kept = used > file_pages ? used - file_pages : 0;
    const int64_t left = limit > kept ? limit - kept : 0;
    limits->memory = left < limits->memory ? left : limits->memory;
}

static void limit_processors(struct ol_cgroup_limits *limits, double quota, double period)
{
    if (quota > 0 && period > 0)
        limits->processors = fmin(limits->processors, quota / period);
}

static void take_version_2(const char *directory, struct ol_cgroup_limits *limits)
{
    static const char *const names[] = {"memory.max", "memory.high"};
    const int64_t used = read_number(directory, "memory.current");
    const int64_t pages = read_stat(directory, "inactive_file", "active_file");
    for (int i = 0; i < 2; i++)
        limit_memory(limits, read_number(directory, names[i]), used, pages);
    char *line = read_line(directory, "cpu.max");
    double quota, period;
    if (line != NULL && sscanf(line, "%lf %lf", &quota, &period) == 2)
        limit_processors(limits, quota, period);
    free(line);
}

static void take_memory_1(const char *directory, struct ol_cgroup_limits *limits)
{
    limit_memory(limits, read_number(directory, "memory.limit_in_bytes"),
                 read_number(directory, "memory.usage_in_bytes"),
                 read_stat(directory, "total_inactive_file", "total_active_file"));
}

static void take_processors_1(const char *directory, struct ol_cgroup_limits *limits)
{
    limit_processors(limits, (double)read_number(directory, "cpu.cfs_quota_us"),
                     (double)read_number(directory, "cpu.cfs_period_us"));
}

/* ---- the way up ---- */

static bool has_word(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    }
    return false;
}

/* The process's group in the hierarchy of that controller ("": version 2), to be freed;
 * NULL: it is in none. Lines are "number:controllers:path". */
static char *own_group(const char *root, const char *controller)
{
    char *path = ol_xasprintf("%s/proc/self/cgroup", root), *line = NULL, *found = NULL;
    FILE *file = fopen(path, "r");
    size_t room = 0;
    free(path);
    while (file != NULL && found == NULL && getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        char *list = strchr(line, ':'),
             *group = list != NULL ? strchr(list + 1, ':') : NULL;
        if (group == NULL)
            continue;
        *group++ = '\0';
        if (*controller == '\0' ? list[1] == '\0' : has_word(list + 1, controller))
            found = ol_xstrdup(group);
    }
    free(line);
    if (file != NULL)
        fclose(file);
    return found;
}

/* The part of a group's path below the group that the mount shows as its top. A group
 * outside of that (a namespace writes it with "..") is seen as the top itself. */
static const char *below(const char *group, const char *top)
{
    const size_t n = strcmp(top, "/") == 0 ? 0 : strlen(top);
    if (strncmp(group, top, n) != 0 || (group[n] != '/' && group[n] != '\0') ||
        strstr(group, "/..") != NULL)
        return "";
    return group + n;
}

typedef void take_group(const char *directory, struct ol_cgroup_limits *limits);

static void take_all(const char *mount, const char *rest, take_group *take,
                     struct ol_cgroup_limits *limits)
{
    char *directory = ol_xasprintf("%s%s", mount, rest);
    const size_t top = strlen(mount);
    for (;;) {
        take(directory, limits);
        char *slash = strrchr(directory, '/');
        if (strlen(directory) <= top || slash == NULL || slash < directory + top)
            break;
        *slash = '\0';
    }
    free(directory);
}

/* Spaces and the like in paths of mountinfo are written \040. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        unsigned code;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &code) == 1) {
            *to = (char)code;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

struct mount {
    char *top, *point, *type, *options;
};

/* "id parent device TOP POINT options [optional]... - TYPE source OPTIONS" */
static bool split_mount(char *line, struct mount *m)
{
    char *rest = line;
    line[strcspn(line, "\n")] = '\0';
    for (int i = 0; i < 3; i++)
        strsep(&rest, " ");
    m->top = strsep(&rest, " ");
    m->point = strsep(&rest, " ");
    char *behind = rest != NULL ? strstr(rest, " - ") : NULL;
    if (behind == NULL)
        return false;
    rest = behind + strlen(" - ");
    m->type = strsep(&rest, " ");
    strsep(&rest, " ");
    m->options = strsep(&rest, " ");
    if (m->options == NULL)
        return false;
    unescape(m->top);
    unescape(m->point);
    return true;
}

static void take_mount(const char *root, const struct mount *m,
                       struct ol_cgroup_limits *limits)
{
    static const struct {
        const char *type, *controller;
        take_group *take;
    } kinds[] = {{"cgroup2", "", take_version_2},
                 {"cgroup", "memory", take_memory_1},
                 {"cgroup", "cpu", take_processors_1}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(m->type, kinds[i].type) != 0 ||
            (*kinds[i].controller != '\0' && !has_word(m->options, kinds[i].controller)))
            continue;
        char *group = own_group(root, kinds[i].controller);
        char *point = ol_xasprintf("%s%s", root, m->point);
        if (group != NULL)
            take_all(point, below(group, m->top), kinds[i].take, limits);
        free(point);
        free(group);
    }
}

struct ol_cgroup_limits ol_cgroup_limits(const char *root)
{
    struct ol_cgroup_limits limits = {INT64_MAX, INFINITY};
    char *path = ol_xasprintf("%s/proc/self/mountinfo", root), *line = NULL;
    FILE *file = fopen(path, "r");
    size_t room = 0;
    free(path);
    while (file != NULL && getline(&line, &room, file) > 0) {
        struct mount m;
        if (split_mount(line, &m))
            take_mount(root, &m, &limits);
    }
    free(line);
    if (file != NULL)
        fclose(file);
    return limits;
}
