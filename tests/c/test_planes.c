/* The vectors room: planes grow in place, start as file mappings, come and go one by one.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "index_cases.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/platform.h"
#include "vectors/choice.h"
#include "vectors/planes.h"

#define MIB ((size_t)1 << 20)

static const size_t mixed_bytes[] = {64, 0, 8, 24, 1};

static uint8_t mark_of(unsigned plane, size_t row, size_t byte)
{
    return (uint8_t)(row * 31 + plane * 7 + byte + row / 256);
}

/* Write rows [first, last) of every present plane. */
static void fill(struct sutra_planes *planes, size_t first, size_t last)
{
    for (unsigned p = 0; p < planes->count; p++) {
        for (size_t row = first; planes->plane[p].base && row < last; row++) {
            uint8_t *bytes = sutra_planes_row(planes, p, row);
            for (size_t j = 0; j < planes->plane[p].row_bytes; j++)
                bytes[j] = mark_of(p, row, j);
        }
    }
}

static size_t count_wrong(const struct sutra_planes *planes, unsigned p, size_t first, size_t last)
{
    size_t wrong = 0;
    for (size_t row = first; row < last; row++) {
        const uint8_t *bytes = sutra_planes_row(planes, p, row);
        for (size_t j = 0; j < planes->plane[p].row_bytes; j++)
            wrong += bytes[j] != mark_of(p, row, j);
    }
    return wrong;
}

static size_t count_nonzero(const uint8_t *bytes, size_t count)
{
    size_t nonzero = 0;
    for (size_t j = 0; j < count; j++)
        nonzero += bytes[j] != 0;
    return nonzero;
}

static void planes_grow_in_place(void)
{
    struct sutra_planes planes;
    REQUIRE(sutra_planes_init(&planes, mixed_bytes, 5, SUTRA_HUGE_ADVISE) == SUTRA_OK);
    CHECK(planes.plane[1].base == NULL);
    CHECK_EQ(planes.capacity_rows, 0);
    CHECK_EQ(sutra_planes_ensure(&planes, 0), SUTRA_OK);
    uint8_t *bases[5];
    for (unsigned p = 0; p < 5; p++)
        bases[p] = planes.plane[p].base;
    size_t rows = 0;
    for (size_t wanted = 1; wanted < 70000; wanted = wanted * 2 + 1) {
        const size_t before = planes.capacity_rows;
        REQUIRE(sutra_planes_ensure(&planes, wanted) == SUTRA_OK);
        CHECK(planes.capacity_rows >= wanted);
        CHECK(planes.capacity_rows == before || planes.capacity_rows >= before + before / 4);
        for (unsigned p = 0; p < 5; p++) {
            CHECK(planes.plane[p].base == bases[p]);
            CHECK((uintptr_t)bases[p] % SUTRA_HUGE_PAGE == 0);
        }
        CHECK_EQ(count_nonzero(sutra_planes_row(&planes, 2, rows), (wanted - rows) * 8), 0);
        fill(&planes, rows, wanted);
        rows = wanted;
    }
    for (unsigned p = 0; p < 5; p++)
        CHECK_EQ(planes.plane[p].base ? count_wrong(&planes, p, 0, rows) : 0, 0);
    sutra_planes_deinit(&planes);
    CHECK_EQ(planes.count, 0);
    sutra_planes_deinit(&planes);
}

static void planes_drop_and_revive(void)
{
    struct sutra_planes planes;
    REQUIRE(sutra_planes_init(&planes, mixed_bytes, 5, SUTRA_HUGE_NEVER) == SUTRA_OK);
    REQUIRE(sutra_planes_ensure(&planes, 5000) == SUTRA_OK);
    fill(&planes, 0, 5000);
    sutra_planes_drop(&planes, 0);
    sutra_planes_drop(&planes, 0);
    CHECK(planes.plane[0].base == NULL && planes.plane[0].row_bytes == 0);
    REQUIRE(sutra_planes_ensure(&planes, 9000) == SUTRA_OK);
    REQUIRE(sutra_planes_revive(&planes, 0, 40) == SUTRA_OK);
    REQUIRE(sutra_planes_revive(&planes, 1, 16) == SUTRA_OK);
    CHECK_EQ(planes.plane[0].row_bytes, 40);
    CHECK_EQ(count_nonzero(planes.plane[0].base, planes.capacity_rows * 40), 0);
    fill(&planes, 5000, planes.capacity_rows);
    REQUIRE(sutra_planes_ensure(&planes, 3 * planes.capacity_rows) == SUTRA_OK);
    for (unsigned p = 0; p < 5; p++)
        CHECK_EQ(count_wrong(&planes, p, 5000, 9000), 0);
    CHECK_EQ(count_wrong(&planes, 3, 0, 5000), 0);
    sutra_planes_deinit(&planes);

    /* Nothing committed yet: a revived plane is as empty as the others. */
    REQUIRE(sutra_planes_init(&planes, mixed_bytes, 5, SUTRA_HUGE_NEVER) == SUTRA_OK);
    CHECK_EQ(sutra_planes_revive(&planes, 1, 16), SUTRA_OK);
    CHECK_EQ(sutra_planes_ensure(&planes, 1), SUTRA_OK);
    CHECK_EQ(count_nonzero(planes.plane[1].base, planes.capacity_rows * 16), 0);
    sutra_planes_deinit(&planes);
}

static void impossible_sizes_are_refused(void)
{
    struct sutra_planes planes;
    const size_t huge[] = {64, SIZE_MAX / 2};
    CHECK_EQ(sutra_planes_ensure(&(struct sutra_planes){0}, SUTRA_ROWS_MAX + 1), SUTRA_E_CAPACITY);
    REQUIRE(sutra_planes_init(&planes, mixed_bytes, 5, SUTRA_HUGE_NEVER) == SUTRA_OK);
    REQUIRE(sutra_planes_ensure(&planes, 100) == SUTRA_OK);
    fill(&planes, 0, 100);
    CHECK_EQ(sutra_planes_ensure(&planes, SUTRA_ROWS_MAX + 1), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_planes_ensure(&planes, SIZE_MAX), SUTRA_E_CAPACITY);
    CHECK(sutra_planes_revive(&planes, 1, SIZE_MAX / 2) != SUTRA_OK);
    CHECK(planes.plane[1].base == NULL);
    for (unsigned p = 0; p < 5; p++)
        CHECK_EQ(planes.plane[p].base ? count_wrong(&planes, p, 0, 100) : 0, 0);
    sutra_planes_deinit(&planes);
    if (sutra_planes_init(&planes, huge, 2, SUTRA_HUGE_NEVER) == SUTRA_OK) {
        CHECK(sutra_planes_ensure(&planes, 1000) != SUTRA_OK);
        sutra_planes_deinit(&planes);
    } else {
        CHECK(planes.count == 0 && planes.plane[0].base == NULL);
    }
}

/* A plane whose rows do not fill its last page, followed by another section of the file. */
static void mapped_planes_copy_on_write(void)
{
    enum { ROWS = 1000, BYTES = 24, OFFSET = SUTRA_SECTION_ALIGNMENT };
    char path[256];
    path_in_folder(path, sizeof path, "planes");
    uint8_t *image = malloc(3 * (size_t)OFFSET);
    REQUIRE(image != NULL);
    memset(image, 0xee, 3 * (size_t)OFFSET);
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t j = 0; j < BYTES; j++)
            image[OFFSET + row * BYTES + j] = mark_of(0, row, j);
    }
    REQUIRE(write_whole(path, image, 3 * (size_t)OFFSET));
    for (int mapped = 0; mapped < 2; mapped++) {
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        REQUIRE(fd >= 0);
        struct sutra_planes planes;
        const size_t bytes[] = {0, 8};
        REQUIRE(sutra_planes_init(&planes, bytes, 2, SUTRA_HUGE_ADVISE) == SUTRA_OK);
        CHECK_EQ(sutra_planes_load(&planes, 0, BYTES, ROWS, fd, 4096 + 1, mapped),
                 mapped ? SUTRA_E_ARGUMENT : SUTRA_OK);
        CHECK_EQ(sutra_planes_load(&planes, 0, BYTES, ROWS, fd, 3 * (uint64_t)OFFSET, mapped),
                 SUTRA_E_TRUNCATED);
        CHECK_EQ(sutra_planes_load(&planes, 0, BYTES, 3 * (size_t)OFFSET, fd, OFFSET, mapped),
                 SUTRA_E_TRUNCATED);
        REQUIRE(sutra_planes_load(&planes, 0, BYTES, ROWS, fd, OFFSET, mapped) == SUTRA_OK);
        CHECK(close(fd) == 0);
        const uint8_t *base = planes.plane[0].base;
        CHECK_EQ(planes.plane[0].arena.mapped_read_only, mapped);
        CHECK_EQ(count_wrong(&planes, 0, 0, ROWS), 0);

        struct sutra_plane copy;
        REQUIRE(sutra_plane_copy(&planes.plane[0], ROWS, SUTRA_HUGE_NEVER, &copy) == SUTRA_OK);
        CHECK(memcmp(copy.base, base, (size_t)ROWS * BYTES) == 0);
        sutra_plane_release(&copy);
        CHECK(copy.base == NULL);
        sutra_plane_release(&copy);

        /* Growth inside the mapped pages first, then far beyond them. */
        size_t rows = ROWS;
        for (size_t wanted = ROWS + 1; wanted < 300000; wanted *= 5) {
            REQUIRE(sutra_planes_ensure(&planes, wanted) == SUTRA_OK);
            CHECK(planes.plane[0].base == base);
            CHECK_EQ(planes.plane[0].arena.mapped_read_only, 0);
            fill(&planes, rows, wanted);
            rows = wanted;
            CHECK_EQ(count_wrong(&planes, 0, 0, rows), 0);
        }
        memset(sutra_planes_row(&planes, 0, 3), 0x55, BYTES);
        sutra_planes_deinit(&planes);
        size_t length = 0;
        uint8_t *now = read_whole(path, &length);
        CHECK(now && length == 3 * (size_t)OFFSET && memcmp(now, image, length) == 0);
        free(now);
    }
    free(image);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rmdir(path_in_folder(path, sizeof path, "")), 0);
}

/* In a child, because the limit cannot be taken back. 0 for right. */
static int grow_under_limit(void)
{
    const struct rlimit limit = {.rlim_cur = 512 * MIB, .rlim_max = 512 * MIB};
    struct sutra_planes planes;
    const size_t bytes[] = {64, 512, 8};
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return 77;
    if (sutra_planes_init(&planes, bytes, 3, SUTRA_HUGE_ADVISE) != SUTRA_OK)
        return 1;
    if (sutra_planes_ensure(&planes, 10000) != SUTRA_OK)
        return 2;
    fill(&planes, 0, 10000);
    size_t rows = 10000;
    int status = SUTRA_OK;
    while (status == SUTRA_OK && rows < 1u << 24) {
        rows += 5000;
        status = sutra_planes_ensure(&planes, rows);
    }
    if (status != SUTRA_E_CAPACITY && status != SUTRA_E_NO_MEMORY)
        return 3;
    /* All of the reservation can be had: the spare quarter is given up near its end. */
    if (rows < planes.plane[1].arena.reserved_bytes / 512)
        return 4;
    for (unsigned p = 0; p < 3; p++) {
        if (count_wrong(&planes, p, 0, 10000))
            return 5;
    }
    fill(&planes, 10000, planes.capacity_rows);
    sutra_planes_deinit(&planes);
    return 0;
}

static void planes_live_under_an_address_space_limit(void)
{
    if (SANITIZED)
        SKIP("sanitizers need the whole address space");
    if (getenv("SUTRA_TEST_EMULATED") != NULL)
        SKIP("the emulator shares the limit");
#if defined(__APPLE__)
    SKIP("this system accepts the limit without enforcing it");
#endif
    const pid_t child = fork();
    if (child == 0)
        _exit(grow_under_limit());
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    REQUIRE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        SKIP("no address-space limit here");
    CHECK_EQ(WEXITSTATUS(status), 0);
}

/* ---- choosing rows */

/* Rows 0 and the last, runs across words, single ones; more than one thread's piece. */
static bool is_wanted(size_t row, size_t rows)
{
    return row == 0 || row + 1 == rows || row % 7 == 3 || (row / 100) % 3 == 1;
}

static void chosen_rows_lie_close_together(void)
{
    const size_t rows = 40000, row_bytes = 24;
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        struct sutra_plane from = {0}, to = {0};
        struct sutra_row_choice choice;
        REQUIRE(sutra_plane_reserve(&from, row_bytes, rows, SUTRA_HUGE_NEVER) == SUTRA_OK);
        REQUIRE(sutra_plane_reserve(&to, row_bytes, rows, SUTRA_HUGE_NEVER) == SUTRA_OK);
        REQUIRE(sutra_arena_commit(&from.arena, rows * row_bytes) == SUTRA_OK);
        REQUIRE(sutra_arena_commit(&to.arena, rows * row_bytes) == SUTRA_OK);
        for (size_t byte = 0; byte < rows * row_bytes; byte++)
            from.base[byte] = mark_of(0, byte / row_bytes, byte % row_bytes);
        REQUIRE(sutra_row_choice_init(&choice, rows) == SUTRA_OK);
        size_t wanted = 0;
        for (size_t row = rows; row-- > 0;) { /* in any order */
            if (is_wanted(row, rows)) {
                CHECK(sutra_row_choice_add(&choice, row));
                wanted++;
            }
        }
        CHECK(!sutra_row_choice_add(&choice, 0));
        CHECK(!sutra_row_choice_add(&choice, rows));
        CHECK_EQ(choice.count, wanted);
        REQUIRE(sutra_row_choice_finish(&choice) == SUTRA_OK);
        const size_t end = rows - 50;
        sutra_row_choice_copy(&choice, &from, end, threads, &to);
        uint32_t *map = malloc(rows * sizeof *map);
        REQUIRE(map != NULL);
        sutra_row_choice_map(&choice, rows, 0xffffffffu, map);
        size_t place = 0, wrong = 0;
        for (size_t row = 0; row < rows; row++) {
            wrong += sutra_row_choice_below(&choice, row) != place;
            wrong +=
                sutra_row_choice_place(&choice, row) != (is_wanted(row, rows) ? place : SIZE_MAX);
            wrong += map[row] != (is_wanted(row, rows) ? (uint32_t)place : 0xffffffffu);
            if (!is_wanted(row, rows))
                continue;
            for (size_t j = 0; j < row_bytes; j++)
                wrong += to.base[place * row_bytes + j] != (row < end ? mark_of(0, row, j) : 0);
            CHECK_EQ(choice.labels[place], -1);
            place++;
        }
        CHECK_EQ(wrong, 0);
        CHECK_EQ(sutra_row_choice_place(&choice, rows), SIZE_MAX);
        free(map);
        sutra_row_choice_deinit(&choice);
        sutra_plane_release(&from);
        sutra_plane_release(&to);
    }
}

static void nothing_may_be_chosen(void)
{
    struct sutra_row_choice choice;
    REQUIRE(sutra_row_choice_init(&choice, 0) == SUTRA_OK);
    CHECK(!sutra_row_choice_add(&choice, 0));
    REQUIRE(sutra_row_choice_finish(&choice) == SUTRA_OK);
    CHECK_EQ(sutra_row_choice_below(&choice, 0), 0);
    CHECK_EQ(sutra_row_choice_place(&choice, 0), SIZE_MAX);
    sutra_row_choice_deinit(&choice);
}

CHECK_MAIN(CASE(chosen_rows_lie_close_together), CASE(nothing_may_be_chosen),
           CASE(planes_grow_in_place), CASE(planes_drop_and_revive),
           CASE(impossible_sizes_are_refused), CASE(mapped_planes_copy_on_write),
           CASE(planes_live_under_an_address_space_limit))
