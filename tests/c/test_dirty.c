/* Marks of changed rows.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "base/dirty.h"
#include "base/prng.h"
#include "base/status.h"
#include "check.h"

static void nothing_is_sealed_at_first(void)
{
    struct sutra_dirty dirty = {0};
    CHECK(!sutra_dirty_test(&dirty, 0));
    sutra_dirty_mark(&dirty, 0);
    sutra_dirty_mark(&dirty, SIZE_MAX);
    CHECK_EQ(dirty.marked, 0);
    CHECK_EQ(sutra_dirty_next(&dirty, 0), 0);
    CHECK_EQ(sutra_dirty_next(&dirty, 7), 0);
    CHECK_EQ(sutra_dirty_seal(&dirty, 0), SUTRA_OK);
    CHECK(dirty.words == NULL);
    const struct sutra_dirty other = {0};
    sutra_dirty_merge(&dirty, &other);
    sutra_dirty_deinit(&dirty);
    sutra_dirty_deinit(&dirty);
}

static void marks_are_counted_once(void)
{
    static const size_t sizes[] = {1, 2, 63, 64, 65, 127, 128, 129, 1000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const size_t rows = sizes[s];
        struct sutra_dirty dirty = {0};
        REQUIRE(sutra_dirty_seal(&dirty, rows) == SUTRA_OK);
        CHECK_EQ(dirty.sealed_rows, rows);
        CHECK_EQ(sutra_dirty_next(&dirty, 0), rows);
        sutra_dirty_mark(&dirty, rows - 1);
        sutra_dirty_mark(&dirty, rows - 1);
        sutra_dirty_mark(&dirty, rows); /* not sealed: written anyway */
        sutra_dirty_mark(&dirty, rows + 63);
        CHECK_EQ(dirty.marked, 1);
        CHECK(sutra_dirty_test(&dirty, rows - 1));
        CHECK(!sutra_dirty_test(&dirty, rows));
        CHECK_EQ(sutra_dirty_next(&dirty, 0), rows - 1);
        CHECK_EQ(sutra_dirty_next(&dirty, rows - 1), rows - 1);
        CHECK_EQ(sutra_dirty_next(&dirty, rows), rows);
        CHECK_EQ(sutra_dirty_next(&dirty, SIZE_MAX), rows);
        sutra_dirty_deinit(&dirty);
        CHECK(dirty.words == NULL && dirty.sealed_rows == 0 && dirty.marked == 0);
    }
}

static void next_finds_every_mark(void)
{
    enum { ROWS = 5000 };
    struct sutra_dirty dirty = {0};
    REQUIRE(sutra_dirty_seal(&dirty, ROWS) == SUTRA_OK);
    bool marked[ROWS] = {false};
    size_t count = 0;
    for (uint64_t i = 0; i < 300; i++) {
        const size_t row = (size_t)(sutra_random_at(1, i) % ROWS);
        count += !marked[row];
        marked[row] = true;
        sutra_dirty_mark(&dirty, row);
    }
    CHECK_EQ(dirty.marked, count);
    size_t found = 0;
    for (size_t row = sutra_dirty_next(&dirty, 0); row < ROWS;
         row = sutra_dirty_next(&dirty, row + 1), found++)
        CHECK(marked[row]);
    CHECK_EQ(found, count);
    size_t expected = ROWS;
    for (size_t from = ROWS; from-- > 0;) {
        expected = marked[from] ? from : expected;
        CHECK_EQ(sutra_dirty_next(&dirty, from), expected);
        CHECK_EQ(sutra_dirty_test(&dirty, from), marked[from]);
    }
    sutra_dirty_deinit(&dirty);
}

static void sealing_clears_and_resizes(void)
{
    struct sutra_dirty dirty = {0};
    static const size_t sizes[] = {100, 100, 110, 1000, 64, 65, 0, 5};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        REQUIRE(sutra_dirty_seal(&dirty, sizes[s]) == SUTRA_OK);
        CHECK_EQ(dirty.sealed_rows, sizes[s]);
        CHECK_EQ(dirty.marked, 0);
        CHECK_EQ(sutra_dirty_next(&dirty, 0), sizes[s]);
        for (size_t row = 0; row < sizes[s]; row++)
            sutra_dirty_mark(&dirty, row);
        CHECK_EQ(dirty.marked, sizes[s]);
    }
    /* More than there is: nothing has changed. */
    CHECK_EQ(sutra_dirty_seal(&dirty, SIZE_MAX), SUTRA_E_NO_MEMORY);
    CHECK_EQ(dirty.sealed_rows, 5);
    CHECK_EQ(dirty.marked, 5);
    CHECK(sutra_dirty_test(&dirty, 4));
    sutra_dirty_deinit(&dirty);
}

static void merging_takes_every_mark(void)
{
    struct sutra_dirty all = {0}, some = {0};
    REQUIRE(sutra_dirty_seal(&all, 300) == SUTRA_OK);
    REQUIRE(sutra_dirty_seal(&some, 130) == SUTRA_OK);
    sutra_dirty_mark(&all, 5);
    sutra_dirty_mark(&all, 129);
    sutra_dirty_mark(&all, 299);
    sutra_dirty_mark(&some, 0);
    sutra_dirty_mark(&some, 64);
    sutra_dirty_mark(&some, 129);
    sutra_dirty_merge(&all, &some);
    CHECK_EQ(all.marked, 5);
    CHECK_EQ(some.marked, 3);
    static const size_t expected[] = {0, 5, 64, 129, 299, 300};
    size_t row = 0;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        row = sutra_dirty_next(&all, row);
        CHECK_EQ(row, expected[i]);
        row++;
    }
    sutra_dirty_merge(&all, &some);
    CHECK_EQ(all.marked, 5);
    sutra_dirty_deinit(&all);
    sutra_dirty_deinit(&some);
}

CHECK_MAIN(CASE(nothing_is_sealed_at_first), CASE(marks_are_counted_once),
           CASE(next_finds_every_mark), CASE(sealing_clears_and_resizes),
           CASE(merging_takes_every_mark))
