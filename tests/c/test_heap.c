/* The heap and the texts in it.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "check.h"

#include "base/status.h"
#include "concepts/heap.h"
#include "base/utf8.h"

static void the_heap_gives_what_it_holds(void)
{
    struct sutra_heap heap;
    REQUIRE(sutra_heap_init(&heap) == SUTRA_OK);
    CHECK(sutra_heap_at(&heap, 0, 0) != NULL);
    CHECK(sutra_heap_at(&heap, 0, 1) == NULL);
    CHECK_EQ(sutra_heap_reserve(&heap, SUTRA_HEAP_BYTES_MAX), SUTRA_E_CAPACITY);
    CHECK_EQ(sutra_heap_reserve(&heap, UINT64_MAX), SUTRA_E_CAPACITY);
    sutra_heap_seal(&heap);
    CHECK_EQ(heap.used, 0);
    REQUIRE(sutra_heap_reserve(&heap, 110) == SUTRA_OK);
    CHECK_EQ(sutra_heap_append(&heap, "0123456789", 10), 0);
    memset(heap.plane.base + 10, 0xee, 54); /* as a mapped page may hold */
    sutra_heap_seal(&heap);
    CHECK_EQ(heap.used, SUTRA_HEAP_ROW);
    sutra_heap_seal(&heap);
    CHECK_EQ(heap.used, SUTRA_HEAP_ROW);
    CHECK_EQ(sutra_heap_append(&heap, NULL, 0), SUTRA_HEAP_ROW);
    CHECK_EQ(sutra_heap_append(&heap, heap.plane.base, 10), SUTRA_HEAP_ROW);
    const uint8_t *const row = sutra_heap_at(&heap, 0, SUTRA_HEAP_ROW);
    REQUIRE(row != NULL);
    CHECK(memcmp(row, "0123456789\0\0", 12) == 0 && row[63] == 0);
    CHECK(sutra_heap_at(&heap, 64, 10) == row + 64);
    CHECK(sutra_heap_at(&heap, 74, 0) == row + 74);
    CHECK(sutra_heap_at(&heap, 64, 11) == NULL);
    CHECK(sutra_heap_at(&heap, 73, 2) == NULL);
    CHECK(sutra_heap_at(&heap, 75, 0) == NULL);
    CHECK(sutra_heap_at(&heap, 0, 75) == NULL);
    CHECK(sutra_heap_at(&heap, UINT64_MAX, 2) == NULL);
    CHECK(sutra_heap_at(&heap, 2, UINT64_MAX) == NULL);
    sutra_heap_deinit(&heap);
    CHECK(heap.plane.base == NULL);
}

/* ---- UTF-8 */

static void utf8_is_told_from_other_bytes(void)
{
    static const char *const good[] = {
        "",
        "a",
        "plain text of more than eight bytes",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "12345678\xc3\xa9",
        "1234567\xe2\x82\xac!",
    };
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xc3(",
        "\xe0\x9f\xbf",
        "\xe2\x82",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xfe",
        "\xf0\x90\x80",
        "12345678\xc3",
        "1234567\xff",
        "\xe2\x82(",
        "\xf0\x90(\x80",
    };
    for (size_t j = 0; j < sizeof good / sizeof good[0]; j++)
        CHECK(sutra_is_utf8(good[j], strlen(good[j])));
    for (size_t j = 0; j < sizeof bad / sizeof bad[0]; j++)
        CHECK(!sutra_is_utf8(bad[j], strlen(bad[j])));
    CHECK(sutra_is_utf8("a\0b", 3));          /* a zero byte is a character */
    CHECK(!sutra_is_utf8("\xe2\x82\xac", 2)); /* cut short */
}

CHECK_MAIN(CASE(the_heap_gives_what_it_holds), CASE(utf8_is_told_from_other_bytes))
