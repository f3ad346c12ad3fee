/* What this machine is, read anew on every call.
 *
 * Linux: sysfs for caches and huge pages, the scheduler's affinity mask and the cgroup CPU
 * quota for cores, /proc/meminfo and the cgroup limits for memory. A cgroup's limits hold for
 * everything below it, so each is looked up from the process's own group to the root and the
 * tightest wins. Inside a container the path in /proc/self/cgroup may not exist below the
 * mount; walking up ends at the mount's root, which is then the container's own group.
 * macOS: sysctl and the VM statistics; there are no cgroups.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#elif defined(__APPLE__)
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif

#include "platform.h"

size_t sutra_page_bytes(void)
{
    long bytes = sysconf(_SC_PAGESIZE);
    return bytes > 0 ? (size_t)bytes : 4096;
}

static unsigned cores_online(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 ? (unsigned)cores : 1;
}

#if defined(__linux__)

#define TEXT_BYTES 8192 /* enough for /proc/meminfo, memory.stat's head and /proc/self/cgroup */
#define PATH_BYTES 4096

/* The start of a small text file, NUL-terminated; false when it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t used = 0;
    while (used + 1 < size) {
        ssize_t got = read(fd, text + used, size - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            (void)close(fd);
            return false;
        }
        if (got == 0)
            break;
        used += (size_t)got;
    }
    text[used] = '\0';
    (void)close(fd);
    return true;
}

/* An unsigned number at the start of a string; false for "max", "-1" and other text. */
static bool parse_number(const char *text, uint64_t *value_out)
{
    while (*text == ' ')
        text++;
    if (*text < '0' || *text > '9')
        return false;
    *value_out = strtoull(text, NULL, 10);
    return true;
}

static bool read_number(const char *path, uint64_t *value_out)
{
    char text[64];
    return read_text(path, text, sizeof text) && parse_number(text, value_out);
}

/* The number behind "<key> " or "<key>:" at the start of a line. */
static bool find_number(const char *text, const char *key, uint64_t *value_out)
{
    size_t length = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, key, length) == 0 && (line[length] == ' ' || line[length] == ':'))
            return parse_number(line + length + 1, value_out);
    }
    return false;
}

/* "32K" -> 32768 */
static size_t read_size(const char *path)
{
    char text[64];
    uint64_t value = 0;
    if (!read_text(path, text, sizeof text) || !parse_number(text, &value))
        return 0;
    if (strchr(text, 'K') != NULL)
        value <<= 10;
    else if (strchr(text, 'M') != NULL)
        value <<= 20;
    return (size_t)value;
}

static void read_caches(struct sutra_platform *platform)
{
    char path[128], text[64];
    for (int index = 0; index < 8; index++) {
        uint64_t level = 0;
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level",
                       index);
        if (!read_number(path, &level))
            break;
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", index);
        if (!read_text(path, text, sizeof text) || strncmp(text, "Instruction", 11) == 0)
            continue;
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
        size_t bytes = read_size(path);
        if (level == 1)
            platform->l1d_bytes = bytes;
        else if (level == 2)
            platform->l2_bytes = bytes;
        else if (level == 3)
            platform->l3_bytes = bytes;
        (void)snprintf(path, sizeof path,
                       "/sys/devices/system/cpu/cpu0/cache/index%d/coherency_line_size", index);
        if (platform->cache_line_bytes == 0)
            platform->cache_line_bytes = read_size(path);
    }
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    /* glibc asks the CPU itself; virtual machines sometimes have no sysfs entries. */
    static const int names[4] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE,
                                 _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL1_DCACHE_LINESIZE};
    size_t *const sizes[4] = {&platform->l1d_bytes, &platform->l2_bytes, &platform->l3_bytes,
                              &platform->cache_line_bytes};
    for (int i = 0; i < 4; i++) {
        long bytes = *sizes[i] == 0 ? sysconf(names[i]) : 0;
        if (bytes > 0)
            *sizes[i] = (size_t)bytes;
    }
#endif
}

int sutra_read_thp_mode(void)
{
    char text[128];
    if (!read_text("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text))
        return SUTRA_THP_UNKNOWN;
    if (strstr(text, "[never]") != NULL)
        return SUTRA_THP_NEVER;
    if (strstr(text, "[madvise]") != NULL)
        return SUTRA_THP_MADVISE;
    if (strstr(text, "[always]") != NULL)
        return SUTRA_THP_ALWAYS;
    return SUTRA_THP_UNKNOWN;
}

static unsigned cores_in_affinity(void)
{
    /* The kernel refuses masks smaller than its own: grow until it agrees. */
    for (size_t cores = 1024; cores <= (size_t)1 << 16; cores *= 4) {
        cpu_set_t *set = CPU_ALLOC(cores);
        if (set == NULL)
            break;
        size_t bytes = CPU_ALLOC_SIZE(cores);
        CPU_ZERO_S(bytes, set);
        int failed = sched_getaffinity(0, bytes, set);
        int count = failed == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (failed == 0)
            return count > 0 ? (unsigned)count : 1;
        if (errno != EINVAL)
            break;
    }
    return cores_online();
}

/* Called for each directory from the process's cgroup up to the root of its hierarchy. */
typedef void (*group_fn)(const char *directory, bool unified, void *context);

static void walk_up(const char *mount, const char *group, bool unified, group_fn fn, void *context)
{
    char directory[PATH_BYTES];
    size_t mount_length = strlen(mount);
    int length = snprintf(directory, sizeof directory, "%s%s", mount, group);
    if (length < 0 || (size_t)length >= sizeof directory)
        return;
    for (;;) {
        fn(directory, unified, context);
        char *slash = strrchr(directory, '/');
        if (slash == NULL || (size_t)(slash - directory) < mount_length)
            return;
        *slash = '\0';
    }
}

static bool lists_controller(const char *list, const char *controller)
{
    size_t length = strlen(controller);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        if (*at == ',')
            at++;
        if (strncmp(at, controller, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* Visit the groups that limit `controller` for this process, in both cgroup versions. */
static void for_each_group(const char *controller, group_fn fn, void *context)
{
    char text[TEXT_BYTES], mount[PATH_BYTES];
    if (!read_text("/proc/self/cgroup", text, sizeof text))
        return;
    char *rest = text;
    while (rest != NULL && *rest != '\0') {
        /* One line is "<hierarchy>:<controllers>:<path>". */
        char *line = rest;
        rest = strchr(line, '\n');
        if (rest != NULL)
            *rest++ = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL)
            continue;
        *controllers++ = '\0';
        *group++ = '\0';
        if (*controllers == '\0') {
            walk_up("/sys/fs/cgroup", group, true, fn, context);
            walk_up("/sys/fs/cgroup/unified", group, true, fn, context);
        } else if (lists_controller(controllers, controller)) {
            (void)snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", controller);
            walk_up(mount, group, false, fn, context);
        }
    }
}

static bool read_number_in(const char *directory, const char *name, uint64_t *value_out)
{
    char path[PATH_BYTES + 64];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return read_number(path, value_out);
}

static void tighten_cores(const char *directory, bool unified, void *context)
{
    unsigned *cores = context;
    uint64_t quota = 0, period = 0;
    if (unified) {
        char path[PATH_BYTES + 64], text[64];
        (void)snprintf(path, sizeof path, "%s/cpu.max", directory);
        if (!read_text(path, text, sizeof text) || !parse_number(text, &quota))
            return;
        const char *space = strchr(text, ' ');
        if (space == NULL || !parse_number(space, &period))
            return;
    } else if (!read_number_in(directory, "cpu.cfs_quota_us", &quota) ||
               !read_number_in(directory, "cpu.cfs_period_us", &period)) {
        return;
    }
    if (quota == 0 || period == 0)
        return;
    uint64_t allowed = (quota - 1) / period + 1;
    if (allowed < *cores)
        *cores = (unsigned)allowed;
}

unsigned sutra_cores_usable(void)
{
    unsigned cores = cores_in_affinity();
    for_each_group("cpu", tighten_cores, &cores);
    return cores > 0 ? cores : 1;
}

uint64_t sutra_memory_total_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (uint64_t)pages * sutra_page_bytes() : 0;
}

/* What a group may still take: its limit less its use, where clean file pages that the kernel
 * would drop first do not count as used. */
static void tighten_memory(const char *directory, bool unified, void *context)
{
    uint64_t *available = context;
    uint64_t limit = 0, used = 0, cache = 0;
    if (!read_number_in(directory, unified ? "memory.max" : "memory.limit_in_bytes", &limit) ||
        !read_number_in(directory, unified ? "memory.current" : "memory.usage_in_bytes", &used))
        return;
    char path[PATH_BYTES + 64], text[TEXT_BYTES];
    (void)snprintf(path, sizeof path, "%s/memory.stat", directory);
    if (read_text(path, text, sizeof text))
        (void)find_number(text, unified ? "inactive_file" : "total_inactive_file", &cache);
    used -= cache < used ? cache : used;
    uint64_t left = used < limit ? limit - used : 0;
    if (left < *available)
        *available = left;
}

static uint64_t memory_available(void)
{
    char text[TEXT_BYTES];
    uint64_t available = 0;
    if (read_text("/proc/meminfo", text, sizeof text) &&
        find_number(text, "MemAvailable", &available))
        available <<= 10;
    else
        available = sutra_memory_total_bytes();
    for_each_group("memory", tighten_memory, &available);
    return available;
}

#elif defined(__APPLE__)

static uint64_t read_sysctl(const char *name)
{
    uint64_t value = 0; /* 32-bit values fill the low half on a little-endian host */
    size_t bytes = sizeof value;
    return sysctlbyname(name, &value, &bytes, NULL, 0) == 0 ? value : 0;
}

static size_t read_sysctl_size(const char *preferred, const char *fallback)
{
    uint64_t value = read_sysctl(preferred);
    return (size_t)(value != 0 ? value : read_sysctl(fallback));
}

static void read_caches(struct sutra_platform *platform)
{
    /* perflevel0 is the cluster of fast cores, where searches run. */
    platform->l1d_bytes = read_sysctl_size("hw.perflevel0.l1dcachesize", "hw.l1dcachesize");
    platform->l2_bytes = read_sysctl_size("hw.perflevel0.l2cachesize", "hw.l2cachesize");
    platform->l3_bytes = read_sysctl_size("hw.perflevel0.l3cachesize", "hw.l3cachesize");
    platform->cache_line_bytes = (size_t)read_sysctl("hw.cachelinesize");
}

int sutra_read_thp_mode(void)
{
    return SUTRA_THP_UNKNOWN;
}

unsigned sutra_cores_usable(void)
{
    return cores_online();
}

uint64_t sutra_memory_total_bytes(void)
{
    return read_sysctl("hw.memsize");
}

static uint64_t memory_available(void)
{
    vm_statistics64_data_t statistics;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    mach_port_t host = mach_host_self();
    kern_return_t result =
        host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&statistics, &count);
    (void)mach_port_deallocate(mach_task_self(), host);
    if (result != KERN_SUCCESS)
        return 0;
    uint64_t pages = (uint64_t)statistics.free_count + statistics.inactive_count;
    return pages * sutra_page_bytes();
}

#else

static void read_caches(struct sutra_platform *platform)
{
    (void)platform;
}

int sutra_read_thp_mode(void)
{
    return SUTRA_THP_UNKNOWN;
}

unsigned sutra_cores_usable(void)
{
    return cores_online();
}

uint64_t sutra_memory_total_bytes(void)
{
#if defined(_SC_PHYS_PAGES)
    long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? (uint64_t)pages * sutra_page_bytes() : 0;
#else
    return 0;
#endif
}

static uint64_t memory_available(void)
{
    return sutra_memory_total_bytes();
}

#endif

void sutra_platform_read(struct sutra_platform *platform_out)
{
    *platform_out = (struct sutra_platform){0};
    read_caches(platform_out);
    platform_out->page_bytes = sutra_page_bytes();
    if (platform_out->cache_line_bytes == 0)
        platform_out->cache_line_bytes = SUTRA_CACHE_LINE;
    platform_out->cores_usable = sutra_cores_usable();
    platform_out->thp_mode = sutra_read_thp_mode();
    platform_out->memory_total_bytes = sutra_memory_total_bytes();
    platform_out->memory_available_bytes = memory_available();
}
