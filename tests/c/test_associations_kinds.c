/* Associations: the names of kinds, and edges of many kinds.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "association_cases.h"

static void kinds_have_names_and_limits(void)
{
    struct sutra_associations *associations;
    REQUIRE(sutra_associations_new(&associations) == SUTRA_OK);
    char name[SUTRA_KIND_BYTES_MAX + 1];
    memset(name, 'x', sizeof name);
    uint16_t kind = 0, again = 0;
    uint32_t bytes = 1;
    CHECK(sutra_associations_kind_name(associations, 0, &bytes) == NULL);
    CHECK_EQ(sutra_associations_kind(associations, "x", 1), SUTRA_NO_KIND);
    CHECK_EQ(sutra_associations_add_kind(associations, name, 0, &kind), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_associations_add_kind(associations, name, sizeof name, &kind), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_associations_add_kind(associations, "\xff", 1, &kind), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_associations_add_kind(associations, "\xc3", 1, &kind), SUTRA_E_ARGUMENT);
    CHECK_EQ(sutra_associations_kind(associations, name, 0), SUTRA_NO_KIND);
    CHECK_EQ(sutra_associations_kind(associations, name, sizeof name), SUTRA_NO_KIND);
    for (uint32_t length = 1; length <= SUTRA_KIND_BYTES_MAX; length++) {
        CHECK_EQ(sutra_associations_add_kind(associations, name, length, &kind), SUTRA_OK);
        CHECK_EQ(kind, length - 1);
        CHECK_EQ(sutra_associations_add_kind(associations, name, length, &again), SUTRA_OK);
        CHECK_EQ(again, kind);
    }
    /* Bytes count, not ends of strings. */
    CHECK_EQ(sutra_associations_add_kind(associations, "a\0b", 3, &kind), SUTRA_OK);
    CHECK_EQ(sutra_associations_add_kind(associations, "a\0c", 3, &again), SUTRA_OK);
    CHECK(kind != again && sutra_associations_kind(associations, "a", 1) == SUTRA_NO_KIND);
    size_t wrong = 0;
    for (uint32_t k = again + 1u; k < 65535; k++) {
        memcpy(name, &k, sizeof k);
        for (size_t j = 0; j < sizeof k; j++)
            name[j] = (char)('0' + (k >> 4 * j) % 16);
        wrong += sutra_associations_add_kind(associations, name, 4, &kind) != SUTRA_OK || kind != k;
    }
    CHECK_EQ(wrong, 0);
    /* Names that only begin like one, or go on with a zero, are others. */
    for (uint32_t k = again + 1u; k < 65535; k++) {
        char other[5] = {0};
        for (size_t j = 0; j < 4; j++)
            other[j] = (char)('0' + (k >> 4 * j) % 16);
        wrong += sutra_associations_kind(associations, other, 4) != k;
        wrong += sutra_associations_kind(associations, other, 3) != SUTRA_NO_KIND;
        wrong += sutra_associations_kind(associations, other, 5) != SUTRA_NO_KIND;
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(sutra_associations_add_kind(associations, "one more", 8, &kind), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_associations_add_kind(associations, name, 4, &kind), SUTRA_OK);
    CHECK_EQ(kind, 65534);
    fold(&associations);
    CHECK_EQ(sutra_associations_kind(associations, name, 4), 65534);
    const char *kept = sutra_associations_kind_name(associations, 254, &bytes);
    CHECK(kept && bytes == SUTRA_KIND_BYTES_MAX && kept[0] == 'x' && kept[254] == 'x');
    CHECK(sutra_associations_kind_name(associations, SUTRA_NO_KIND, &bytes) == NULL);
    sutra_associations_release(associations);
}

/* "Any kind" is asked kind by kind while there are few, and along the edges when there are many. */
static void every_kind_is_unlinked(void)
{
    struct sutra_associations *associations = make(65535, 300, 10);
    REQUIRE(associations);
    for (uint16_t k = 0; k < 100; k++) {
        sutra_associations_link(associations, 1, 2, (uint16_t)(k * 655), 1, 1, 0, 1);
        sutra_associations_link(associations, 1, 3, k, 1, 1, 0, 1);
        sutra_associations_link(associations, 4, 2, k, 1, 1, 0, 1);
    }
    fold(&associations);
    REQUIRE(sutra_associations_reserve(associations, 300, 10) == SUTRA_OK);
    for (uint16_t k = 0; k < 10; k++) /* some new, some in their second version */
        sutra_associations_link(associations, 1, 2, (uint16_t)(k * 655 + k % 2), 1, 1, 0, 2);
    size_t removed;
    CHECK(sutra_associations_unlink(associations, 1, 2, SUTRA_NO_KIND, 3, &removed));
    CHECK_EQ(removed, 105);
    CHECK(!sutra_associations_unlink(associations, 1, 2, SUTRA_NO_KIND, 3, &removed));
    CHECK_EQ(removed, 0);
    CHECK_EQ(count_links(associations, 2, SUTRA_IN, SUTRA_NO_KIND, 3), 100);
    CHECK_EQ(count_links(associations, 2, SUTRA_IN, SUTRA_NO_KIND, 2), 205);
    CHECK_EQ(count_links(associations, 1, SUTRA_OUT, SUTRA_NO_KIND, 3), 100);
    sutra_associations_release(associations);
}

CHECK_MAIN(CASE(kinds_have_names_and_limits), CASE(every_kind_is_unlinked))
