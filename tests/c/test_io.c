/* The io room: mappings and durable files.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/platform.h"
#include "base/prng.h"
#include "base/status.h"
#include "check.h"
#include "io/file.h"
#include "io/mapping.h"

#define MIB ((size_t)1 << 20)
#define SECTION ((size_t)SUTRA_SECTION_ALIGNMENT)

/* ---- a folder of its own for each test ---- */

struct place {
    char folder[128];
    char file[160];
};

static bool make_place(struct place *place)
{
    const char *root = getenv("TMPDIR");
    (void)snprintf(place->folder, sizeof place->folder, "%.80s/sutra-test-XXXXXX",
                   root != NULL ? root : "/tmp");
    if (mkdtemp(place->folder) == NULL)
        return false;
    (void)snprintf(place->file, sizeof place->file, "%s/file", place->folder);
    return true;
}

static int entries_in(const char *folder)
{
    int count = 0;
    DIR *directory = opendir(folder);
    if (directory == NULL)
        return -1;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(directory);
    return count;
}

static void remove_place(const struct place *place)
{
    DIR *directory = opendir(place->folder);
    if (directory == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
    }
    (void)closedir(directory);
    (void)rmdir(place->folder);
}

static uint8_t pattern(size_t at)
{
    return (uint8_t)sutra_mix64(at / 8);
}

static bool write_pattern(const char *path, size_t bytes)
{
    uint8_t *data = malloc(bytes + 1);
    FILE *file = fopen(path, "wb");
    if (data == NULL || file == NULL)
        return false;
    for (size_t i = 0; i < bytes; i++)
        data[i] = pattern(i);
    bool done = fwrite(data, 1, bytes, file) == bytes;
    done = fclose(file) == 0 && done;
    free(data);
    return done;
}

/* Whether the file holds exactly the text. */
static bool holds(const char *path, const char *text)
{
    char found[256];
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    size_t got = fread(found, 1, sizeof found, file);
    (void)fclose(file);
    return got == strlen(text) && memcmp(found, text, got) == 0;
}

static bool write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return false;
    bool done = fputs(text, file) >= 0;
    return fclose(file) == 0 && done;
}

static int exit_status_of(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- writer ---- */

static void commit_replaces_the_target(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(write_text(place.file, "old"));
    struct sutra_file_writer writer;
    REQUIRE(sutra_file_writer_begin(&writer, place.file) == SUTRA_OK);
    CHECK_EQ(entries_in(place.folder), 2);
    CHECK_EQ(sutra_file_writer_append(&writer, "????", 4), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_append(&writer, NULL, 0), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_append(&writer, " new", 4), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_rewrite(&writer, 1, "yes", 3), SUTRA_OK);
    CHECK_EQ(writer.written_bytes, 8);
    CHECK(holds(place.file, "old"));
    CHECK_EQ(fcntl(writer.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    CHECK_EQ(sutra_file_writer_commit(&writer), SUTRA_OK);
    CHECK(holds(place.file, "?yes new"));
    CHECK_EQ(entries_in(place.folder), 1);
    sutra_file_writer_abort(&writer); /* harmless after the end */
    CHECK_EQ(entries_in(place.folder), 1);
    remove_place(&place);
}

static void abort_leaves_nothing(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(write_text(place.file, "old"));
    struct sutra_file_writer writer;
    REQUIRE(sutra_file_writer_begin(&writer, place.file) == SUTRA_OK);
    CHECK_EQ(sutra_file_writer_append(&writer, "new", 3), SUTRA_OK);
    sutra_file_writer_abort(&writer);
    CHECK_EQ(entries_in(place.folder), 1);
    CHECK(holds(place.file, "old"));
    sutra_file_writer_abort(&writer);
    CHECK_EQ(entries_in(place.folder), 1);
    remove_place(&place);
}

static void rewrite_stays_inside_what_was_written(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    struct sutra_file_writer writer;
    REQUIRE(sutra_file_writer_begin(&writer, place.file) == SUTRA_OK);
    CHECK_EQ(sutra_file_writer_append(&writer, "12345", 5), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_rewrite(&writer, 3, "xx", 2), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_rewrite(&writer, 4, "xx", 2), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_file_writer_rewrite(&writer, 6, "x", 0), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_file_writer_rewrite(&writer, UINT64_MAX, "xx", 2), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_file_writer_commit(&writer), SUTRA_OK);
    CHECK(holds(place.file, "123xx"));
    remove_place(&place);
}

static void align_appends_zeros(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    struct sutra_file_writer writer;
    REQUIRE(sutra_file_writer_begin(&writer, place.file) == SUTRA_OK);
    CHECK_EQ(sutra_file_writer_align(&writer, SECTION), SUTRA_OK);
    CHECK_EQ(writer.written_bytes, 0);
    CHECK_EQ(sutra_file_writer_append(&writer, "a", 1), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_align(&writer, SECTION), SUTRA_OK);
    CHECK_EQ(writer.written_bytes, SECTION);
    CHECK_EQ(sutra_file_writer_align(&writer, 1), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_align(&writer, 0), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_file_writer_align(&writer, 48), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_file_writer_commit(&writer), SUTRA_OK);

    int fd;
    uint64_t bytes;
    REQUIRE(sutra_file_open_read(place.file, &fd, &bytes) == SUTRA_OK);
    CHECK_EQ(bytes, SECTION);
    uint8_t *data = malloc(SECTION);
    REQUIRE(data != NULL);
    CHECK_EQ(sutra_file_read_at(fd, 0, data, SECTION), SUTRA_OK);
    size_t nonzero = 0;
    for (size_t i = 1; i < SECTION; i++)
        nonzero += data[i] != 0;
    CHECK_EQ(data[0], 'a');
    CHECK_EQ(nonzero, 0);
    free(data);
    sutra_file_close(fd);
    remove_place(&place);
}

static void two_writers_of_one_target_do_not_meet(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    struct sutra_file_writer first, second;
    REQUIRE(sutra_file_writer_begin(&first, place.file) == SUTRA_OK);
    REQUIRE(sutra_file_writer_begin(&second, place.file) == SUTRA_OK);
    CHECK(strcmp(first.temporary_path, second.temporary_path) != 0);
    CHECK_EQ(sutra_file_writer_append(&first, "first", 5), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_append(&second, "second", 6), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_commit(&second), SUTRA_OK);
    CHECK(holds(place.file, "second"));
    CHECK_EQ(sutra_file_writer_commit(&first), SUTRA_OK);
    CHECK(holds(place.file, "first"));
    CHECK_EQ(entries_in(place.folder), 1);
    remove_place(&place);
}

static void replaced_files_keep_their_permissions(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(write_text(place.file, "old"));
    REQUIRE(chmod(place.file, 0600) == 0);
    struct sutra_file_writer writer;
    REQUIRE(sutra_file_writer_begin(&writer, place.file) == SUTRA_OK);
    CHECK_EQ(sutra_file_writer_commit(&writer), SUTRA_OK);
    struct stat file;
    REQUIRE(stat(place.file, &file) == 0);
    CHECK_EQ(file.st_mode & 0777, 0600);
    remove_place(&place);
}

static void relative_paths_work(void)
{
    struct place place;
    char before[4096];
    REQUIRE(make_place(&place));
    REQUIRE(getcwd(before, sizeof before) != NULL);
    REQUIRE(chdir(place.folder) == 0);
    struct sutra_file_writer writer;
    CHECK_EQ(sutra_file_writer_begin(&writer, "file"), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_append(&writer, "here", 4), SUTRA_OK);
    CHECK_EQ(sutra_file_writer_commit(&writer), SUTRA_OK);
    REQUIRE(chdir(before) == 0);
    CHECK(holds(place.file, "here"));
    remove_place(&place);
}

static void begin_refuses_what_it_cannot_replace(void)
{
    struct place place;
    char other[192];
    REQUIRE(make_place(&place));
    struct sutra_file_writer writer;
    CHECK_EQ(sutra_file_writer_begin(&writer, place.folder), EISDIR);
    CHECK_EQ(sutra_file_writer_begin(&writer, "/dev/null"), ENOTSUP);
    CHECK_EQ(sutra_file_writer_begin(&writer, ""), ENOENT);
    (void)snprintf(other, sizeof other, "%s/missing/file", place.folder);
    CHECK_EQ(sutra_file_writer_begin(&writer, other), ENOENT);
    REQUIRE(write_text(place.file, "old"));
    (void)snprintf(other, sizeof other, "%s/below", place.file);
    CHECK_EQ(sutra_file_writer_begin(&writer, other), ENOTDIR);
    sutra_file_writer_abort(&writer);
    CHECK_EQ(entries_in(place.folder), 1);
    remove_place(&place);
}

static void unwritable_folders_give_eacces(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(chmod(place.folder, 0555) == 0);
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(77);
        struct sutra_file_writer writer;
        _exit(sutra_file_writer_begin(&writer, place.file) == EACCES ? 0 : 1);
    }
    int status = exit_status_of(child);
    REQUIRE(chmod(place.folder, 0755) == 0);
    remove_place(&place);
    if (status == 77)
        SKIP("cannot give up privileges here");
    CHECK_EQ(status, 0);
}

/* A limit on file size stands in for a full disk: the write stops short, then fails. */
static int write_beyond_limit(const char *path)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {.rlim_cur = 100000, .rlim_max = 100000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 77;
    uint8_t *data = calloc(1, 60000);
    struct sutra_file_writer writer;
    if (data == NULL || sutra_file_writer_begin(&writer, path) != SUTRA_OK)
        return 1;
    if (sutra_file_writer_append(&writer, data, 60000) != SUTRA_OK)
        return 2;
    if (sutra_file_writer_append(&writer, data, 60000) != EFBIG)
        return 3;
    if (writer.written_bytes != 60000)
        return 4;
    sutra_file_writer_abort(&writer);

    /* The padding of a section can be what no longer fits. */
    if (sutra_file_writer_begin(&writer, path) != SUTRA_OK)
        return 5;
    if (sutra_file_writer_append(&writer, data, 60000) != SUTRA_OK)
        return 6;
    if (sutra_file_writer_align(&writer, 1 << 20) != EFBIG)
        return 7;
    sutra_file_writer_abort(&writer);
    free(data);
    return 0;
}

static void full_disk_leaves_the_old_file_and_no_other(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(write_text(place.file, "old"));
    pid_t child = fork();
    if (child == 0)
        _exit(write_beyond_limit(place.file));
    int status = exit_status_of(child);
    CHECK(holds(place.file, "old"));
    CHECK_EQ(entries_in(place.folder), 1);
    remove_place(&place);
    if (status == 77)
        SKIP("no file-size limit here");
    CHECK_EQ(status, 0);
}

static void writes_cannot_pass_the_largest_offset(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    struct sutra_file_writer writer;
    REQUIRE(sutra_file_writer_begin(&writer, place.file) == SUTRA_OK);
    writer.written_bytes = INT64_MAX;
    CHECK_EQ(sutra_file_writer_append(&writer, "x", 1), EFBIG);
    writer.written_bytes = UINT64_MAX;
    CHECK_EQ(sutra_file_writer_append(&writer, "x", 1), EFBIG);
    sutra_file_writer_abort(&writer);
    CHECK_EQ(entries_in(place.folder), 0);
    remove_place(&place);
}

/* ---- reading ---- */

static void reads_are_exact(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(write_text(place.file, "0123456789"));
    int fd;
    uint64_t bytes;
    REQUIRE(sutra_file_open_read(place.file, &fd, &bytes) == SUTRA_OK);
    CHECK_EQ(bytes, 10);
    CHECK_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    char data[16] = {0};
    CHECK_EQ(sutra_file_read_at(fd, 2, data, 5), SUTRA_OK);
    CHECK(strcmp(data, "23456") == 0);
    CHECK_EQ(sutra_file_read_at(fd, 10, data, 0), SUTRA_OK);
    CHECK_EQ(sutra_file_read_at(fd, 8, data, 3), SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_file_read_at(fd, 1000, data, 1), SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_file_read_at(fd, UINT64_MAX - 1, data, 3), SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_file_read_at(fd, INT64_MAX, data, 3), SUTRA_E_TRUNCATED);
    sutra_file_close(fd);
    sutra_file_close(-1);
    CHECK_EQ(sutra_file_read_at(fd, 0, data, 1), EBADF);
    remove_place(&place);
}

static void open_read_refuses_what_is_not_a_file(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    int fd = 5;
    uint64_t bytes = 5;
    CHECK_EQ(sutra_file_open_read(place.file, &fd, &bytes), ENOENT);
    CHECK_EQ(fd, -1);
    CHECK_EQ(sutra_file_open_read(place.folder, &fd, &bytes), EISDIR);
    CHECK_EQ(sutra_file_open_read("/dev/zero", &fd, &bytes), ENOTSUP);
    REQUIRE(mkfifo(place.file, 0600) == 0);
    CHECK_EQ(sutra_file_open_read(place.file, &fd, &bytes), ENOTSUP); /* and does not wait */
    CHECK_EQ(fd, -1);
    CHECK_EQ(bytes, 0);
    remove_place(&place);
}

/* ---- mappings ---- */

static void mappings_show_the_file(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    size_t file_bytes = 3 * SECTION + 777;
    REQUIRE(write_pattern(place.file, file_bytes));
    size_t page = sutra_page_bytes();
    static const size_t steps[] = {4096, 16384, 65536};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct sutra_mapping mapping;
        int status = sutra_mapping_open(place.file, steps[i], 0, SUTRA_MAP_SHARED, &mapping);
        if (steps[i] % page != 0) {
            CHECK_EQ(status, SUTRA_E_ARGUMENT);
            continue;
        }
        REQUIRE(status == SUTRA_OK);
        CHECK_EQ(mapping.bytes, file_bytes - steps[i]);
        CHECK_EQ(mapping.offset, steps[i]);
        size_t wrong = 0;
        for (size_t at = 0; at < mapping.bytes; at++)
            wrong += mapping.data[at] != pattern(steps[i] + at);
        CHECK_EQ(wrong, 0);
        sutra_mapping_close(&mapping);
        CHECK(mapping.data == NULL && mapping.bytes == 0);
        sutra_mapping_close(&mapping);
    }
    struct sutra_mapping part;
    REQUIRE(sutra_mapping_open(place.file, SECTION, 100, SUTRA_MAP_SHARED, &part) == SUTRA_OK);
    CHECK_EQ(part.bytes, 100);
    CHECK_EQ(part.data[99], pattern(SECTION + 99));
    sutra_mapping_close(&part);
    remove_place(&place);
}

static void mappings_check_offset_and_size(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(write_pattern(place.file, SECTION + 5));
    struct sutra_mapping mapping;
    CHECK_EQ(sutra_mapping_open(place.file, 1, 0, SUTRA_MAP_SHARED, &mapping), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_mapping_open(place.file, 512, 0, SUTRA_MAP_SHARED, &mapping), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_mapping_open(place.file, 0, 0, 7, &mapping), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_mapping_open(place.file, SECTION, 6, SUTRA_MAP_SHARED, &mapping),
             SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_mapping_open(place.file, 0, SECTION + 6, SUTRA_MAP_PRIVATE, &mapping),
             SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_mapping_open(place.file, 2 * SECTION, 0, SUTRA_MAP_SHARED, &mapping),
             SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_mapping_open(place.file, SECTION, SIZE_MAX, SUTRA_MAP_SHARED, &mapping),
             SUTRA_E_TRUNCATED);
    CHECK(mapping.data == NULL && mapping.bytes == 0);
    CHECK_EQ(sutra_mapping_open(place.folder, 0, 0, SUTRA_MAP_SHARED, &mapping), EISDIR);
    CHECK_EQ(sutra_mapping_open("/nowhere/at/all", 0, 0, SUTRA_MAP_SHARED, &mapping), ENOENT);
    sutra_mapping_close(&mapping);
    remove_place(&place);
}

static void empty_files_map_to_nothing(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(write_text(place.file, ""));
    struct sutra_mapping mapping;
    REQUIRE(sutra_mapping_open(place.file, 0, 0, SUTRA_MAP_SHARED, &mapping) == SUTRA_OK);
    CHECK(mapping.data == NULL && mapping.bytes == 0);
    const char *reason = NULL;
    CHECK_EQ(sutra_mapping_advise(&mapping, 0, 0, SUTRA_HINT_WILLNEED, &reason), SUTRA_OK);
    CHECK(reason != NULL);
    CHECK_EQ(sutra_resident_bytes(mapping.data, mapping.bytes), 0);
    sutra_mapping_close(&mapping);
    remove_place(&place);
}

static void private_writes_never_reach_the_file(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(write_pattern(place.file, 10000));
    struct sutra_mapping private_one, shared;
    REQUIRE(sutra_mapping_open(place.file, 0, 0, SUTRA_MAP_PRIVATE, &private_one) == SUTRA_OK);
    memset(private_one.data, 0xee, private_one.bytes);
    const char *reason = NULL;
    CHECK_EQ(sutra_mapping_advise(&private_one, 0, 0, SUTRA_HINT_DONTNEED, &reason), SUTRA_OK);
    CHECK(reason != NULL);
    CHECK_EQ(private_one.data[5000], 0xee);
    REQUIRE(sutra_mapping_open(place.file, 0, 0, SUTRA_MAP_SHARED, &shared) == SUTRA_OK);
    size_t wrong = 0;
    for (size_t at = 0; at < shared.bytes; at++)
        wrong += shared.data[at] != pattern(at);
    CHECK_EQ(wrong, 0);
    sutra_mapping_close(&shared);
    sutra_mapping_close(&private_one);
    remove_place(&place);
}

static void mappings_outlive_the_name(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(write_pattern(place.file, 5000));
    struct sutra_mapping mapping;
    REQUIRE(sutra_mapping_open(place.file, 0, 0, SUTRA_MAP_SHARED, &mapping) == SUTRA_OK);
    struct sutra_file_writer writer;
    REQUIRE(sutra_file_writer_begin(&writer, place.file) == SUTRA_OK);
    CHECK_EQ(sutra_file_writer_commit(&writer), SUTRA_OK);
    CHECK_EQ(mapping.data[4999], pattern(4999));
    sutra_mapping_close(&mapping);
    remove_place(&place);
}

static void every_hint_is_taken_or_explained(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    size_t bytes = 5 * SECTION + 123;
    REQUIRE(write_pattern(place.file, bytes));
    for (int mode = SUTRA_MAP_SHARED; mode <= SUTRA_MAP_PRIVATE; mode++) {
        struct sutra_mapping mapping;
        REQUIRE(sutra_mapping_open(place.file, 0, 0, mode, &mapping) == SUTRA_OK);
        for (int hint = SUTRA_HINT_SEQUENTIAL; hint <= SUTRA_HINT_POPULATE; hint++) {
            const char *reason = "not set";
            CHECK_EQ(sutra_mapping_advise(&mapping, 0, 0, hint, &reason), SUTRA_OK);
            CHECK(reason == NULL || strlen(reason) > 10);
            CHECK_EQ(sutra_mapping_advise(&mapping, 4097, 3, hint, NULL), SUTRA_OK);
            CHECK_EQ(sutra_mapping_advise(&mapping, bytes - 1, 1, hint, NULL), SUTRA_OK);
            CHECK_EQ(sutra_mapping_advise(&mapping, bytes, 0, hint, &reason), SUTRA_OK);
            CHECK(reason != NULL);
            CHECK_EQ(sutra_mapping_advise(&mapping, bytes + 1, 0, hint, NULL), SUTRA_E_ARGUMENT);
            CHECK_EQ(sutra_mapping_advise(&mapping, 1, bytes, hint, NULL), SUTRA_E_ARGUMENT);
            CHECK_EQ(sutra_mapping_advise(&mapping, 1, SIZE_MAX, hint, NULL), SUTRA_E_ARGUMENT);
        }
        CHECK_EQ(sutra_mapping_advise(&mapping, 0, 0, -1, NULL), SUTRA_E_ARGUMENT);
        CHECK_EQ(sutra_mapping_advise(&mapping, 0, 0, 99, NULL), SUTRA_E_ARGUMENT);
        size_t wrong = 0;
        for (size_t at = 0; at < bytes; at++)
            wrong += mapping.data[at] != pattern(at);
        CHECK_EQ(wrong, 0);
        sutra_mapping_close(&mapping);
    }
    remove_place(&place);
}

static void populate_reports_lost_pages_as_a_code(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    REQUIRE(write_pattern(place.file, 4 * SECTION));
    struct sutra_mapping mapping;
    REQUIRE(sutra_mapping_open(place.file, 0, 0, SUTRA_MAP_SHARED, &mapping) == SUTRA_OK);
    const char *reason = NULL;
    REQUIRE(truncate(place.file, (off_t)SECTION) == 0);
    int status = sutra_mapping_advise(&mapping, 0, 0, SUTRA_HINT_POPULATE, &reason);
    if (reason == NULL && getenv("SUTRA_TEST_EMULATED") == NULL)
        CHECK_EQ(status, EIO);
    sutra_mapping_close(&mapping);
    remove_place(&place);
}

static void residency_is_counted_in_bytes(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    size_t bytes = 8 * SECTION + 10;
    REQUIRE(write_pattern(place.file, bytes));
    struct sutra_mapping mapping;
    REQUIRE(sutra_mapping_open(place.file, 0, 0, SUTRA_MAP_SHARED, &mapping) == SUTRA_OK);
    unsigned sum = 0;
    for (size_t at = 0; at < bytes; at += 512)
        sum += mapping.data[at];
    CHECK(sum > 0);
    size_t resident = sutra_resident_bytes(mapping.data, bytes);
    if (resident > 0) { /* 0 where mincore is missing */
        CHECK_EQ(resident, bytes);
        CHECK_EQ(sutra_resident_bytes(mapping.data + 5, 7), 7);
        CHECK_EQ(sutra_resident_bytes(mapping.data + 4000, 200), 200);
    }
    sutra_mapping_close(&mapping);

    /* More pages than one call of the loop takes, and untouched memory is not resident. */
    struct sutra_arena arena;
    REQUIRE(sutra_arena_reserve(&arena, 0, 32 * MIB, SUTRA_HUGE_NEVER) == SUTRA_OK);
    REQUIRE(sutra_arena_commit(&arena, 32 * MIB) == SUTRA_OK);
    memset(arena.base, 1, 10 * MIB);
    resident = sutra_resident_bytes(arena.base, 32 * MIB);
    CHECK(resident == 0 || (resident >= 10 * MIB && resident <= 11 * MIB));
    sutra_arena_release(&arena);
    remove_place(&place);
}

/* ---- arenas that start as a file ---- */

static void arenas_start_as_a_file_and_grow(void)
{
    struct place place;
    REQUIRE(make_place(&place));
    size_t section_bytes = 2 * SECTION + 100;
    REQUIRE(write_pattern(place.file, SECTION + section_bytes));
    int fd;
    uint64_t file_bytes;
    REQUIRE(sutra_file_open_read(place.file, &fd, &file_bytes) == SUTRA_OK);
    struct sutra_arena arena;
    REQUIRE(sutra_arena_reserve(&arena, section_bytes, 16 * MIB, SUTRA_HUGE_ADVISE) == SUTRA_OK);
    CHECK_EQ(sutra_arena_map_file(&arena, fd, SECTION / 2, 10), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_arena_map_file(&arena, fd, SECTION, section_bytes + 1), SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_arena_map_file(&arena, fd, SECTION << 20, 1), SUTRA_E_TRUNCATED);
    CHECK_EQ(sutra_arena_map_file(&arena, fd, 0, 17 * MIB), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_arena_map_file(&arena, fd, SECTION, 0), SUTRA_OK);
    CHECK_EQ(arena.committed_bytes, 0);
    REQUIRE(sutra_arena_map_file(&arena, fd, SECTION, section_bytes) == SUTRA_OK);
    CHECK_EQ(sutra_arena_map_file(&arena, fd, SECTION, section_bytes), SUTRA_E_ARGUMENT);
    sutra_file_close(fd);

    uint8_t *base = arena.base;
    CHECK(arena.mapped_read_only);
    CHECK(arena.mapped_bytes >= section_bytes && arena.mapped_bytes % sutra_page_bytes() == 0);
    CHECK_EQ(arena.committed_bytes, arena.mapped_bytes);
    size_t wrong = 0;
    for (size_t at = 0; at < section_bytes; at++)
        wrong += base[at] != pattern(SECTION + at);
    CHECK_EQ(wrong, 0);

    /* Within the mapped pages: only the protection changes. */
    CHECK_EQ(sutra_arena_commit(&arena, section_bytes + 1), SUTRA_OK);
    CHECK(!arena.mapped_read_only);
    CHECK_EQ(arena.committed_bytes, arena.mapped_bytes);
    memset(base, 0x11, arena.committed_bytes);

    /* Beyond: anonymous memory follows without a seam. */
    CHECK_EQ(sutra_arena_commit(&arena, 12 * MIB), SUTRA_OK);
    CHECK(arena.base == base);
    size_t nonzero = 0;
    for (size_t at = arena.mapped_bytes; at < 12 * MIB; at += 512)
        nonzero += base[at] != 0;
    CHECK_EQ(nonzero, 0);
    memset(base, 0x22, 12 * MIB);
    CHECK_EQ(base[section_bytes - 1], 0x22);
    sutra_arena_release(&arena);

    struct sutra_mapping mapping;
    REQUIRE(sutra_mapping_open(place.file, 0, 0, SUTRA_MAP_SHARED, &mapping) == SUTRA_OK);
    wrong = 0;
    for (size_t at = 0; at < mapping.bytes; at++)
        wrong += mapping.data[at] != pattern(at);
    CHECK_EQ(wrong, 0);
    sutra_mapping_close(&mapping);
    remove_place(&place);
}

CHECK_MAIN(CASE(commit_replaces_the_target), CASE(abort_leaves_nothing),
           CASE(rewrite_stays_inside_what_was_written), CASE(align_appends_zeros),
           CASE(two_writers_of_one_target_do_not_meet), CASE(replaced_files_keep_their_permissions),
           CASE(relative_paths_work), CASE(begin_refuses_what_it_cannot_replace),
           CASE(unwritable_folders_give_eacces), CASE(full_disk_leaves_the_old_file_and_no_other),
           CASE(writes_cannot_pass_the_largest_offset), CASE(reads_are_exact),
           CASE(open_read_refuses_what_is_not_a_file), CASE(mappings_show_the_file),
           CASE(mappings_check_offset_and_size), CASE(empty_files_map_to_nothing),
           CASE(private_writes_never_reach_the_file), CASE(mappings_outlive_the_name),
           CASE(every_hint_is_taken_or_explained), CASE(populate_reports_lost_pages_as_a_code),
           CASE(residency_is_counted_in_bytes), CASE(arenas_start_as_a_file_and_grow))
