/* A concept record: one cache line for each version of a concept.
 *
 * Every id has a concept number, given once and never changed. Every state of a concept is a slot:
 * a record, and beside it the sequence numbers (LSN) of its birth and of its death. A write makes a
 * new slot and chains the old one behind it, so that a reader who looks at the store as of some LSN
 * finds the slot that was alive then.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_CONCEPTS_RECORD_H
#define SUTRA_CONCEPTS_RECORD_H

#include "../base/config.h"

#define SUTRA_NO_CONCEPT 0xffffffffu
#define SUTRA_NO_SLOT 0xffffffffu
#define SUTRA_NO_ROW 0xffffffffu

#define SUTRA_LSN_NEVER UINT64_MAX /* death of what is alive */

#define SUTRA_TEXT_ID_BYTES_MAX 1024u

enum sutra_record_flags {
    SUTRA_RECORD_TEXT_ID = 1,       /* id is where the heap has it */
    SUTRA_RECORD_CONTENT = 2,       /* there is content, maybe empty */
    SUTRA_RECORD_CONTENT_BYTES = 4, /* it is bytes, not UTF-8 text */
    SUTRA_RECORD_METADATA = 8,
};

struct sutra_record {
    int64_t id; /* >= 0; for a text id, its offset in the heap */
    int64_t created_ns;
    int64_t accessed_ns;
    uint64_t content_offset; /* in the heap; the metadata follow the content */
    uint32_t flags;
    uint32_t reference_count; /* associations that point here and are alive */
    float strength;
    float confidence;
    uint32_t content_bytes;
    uint32_t metadata_bytes;
    uint32_t vector_row; /* in the index, or SUTRA_NO_ROW */
    uint32_t previous;   /* slot of the version before, or SUTRA_NO_SLOT */
};

_Static_assert(sizeof(struct sutra_record) == SUTRA_CACHE_LINE, "a record is a cache line");

#endif
