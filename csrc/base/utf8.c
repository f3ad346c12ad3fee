/* UTF-8; the contract is in utf8.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "utf8.h"
#include "bytes.h"

#define HIGH_BITS 0x8080808080808080u

/* Length of the character at `at`, of which `left` bytes can be read; 0 if it is none. */
static size_t character_bytes(const uint8_t *at, size_t left)
{
    const uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    const size_t bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (bytes > left)
        return 0;
    for (size_t j = 1; j < bytes; j++) {
        if ((at[j] & 0xc0) != 0x80)
            return 0;
    }
    /* The second byte tells overlong forms, surrogates, and what is beyond the last plane. */
    if ((first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) ||
        (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f))
        return 0;
    return bytes;
}

bool sutra_is_utf8(const void *text, size_t bytes)
{
    const uint8_t *at = text;
    const uint8_t *const end = at + bytes;
    while (at < end) {
        if (end - at >= 8 && (sutra_load_u64(at) & HIGH_BITS) == 0) {
            at += 8;
            continue;
        }
        const size_t step = character_bytes(at, (size_t)(end - at));
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}
