/* Where things are in the payload of a log record; FORMAT.md says what they mean.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_OPS_FORMAT_H
#define SUTRA_STORE_OPS_FORMAT_H

enum {
    SUTRA_OP_KIND = 0,
    SUTRA_OP_FLAGS = 4,
    SUTRA_OP_COUNT = 8,
    SUTRA_OP_EXTRA = 12, /* dimension of a PUT, kinds of a LINK or UNLINK, type of a FIELD */
    SUTRA_OP_TIME = 16,
    SUTRA_OP_HEADER_BYTES = 24
};

enum {
    SUTRA_IDS_COUNT = 0,
    SUTRA_IDS_FORM = 4,
    SUTRA_IDS_TEXT_BYTES = 8,
    SUTRA_IDS_HEADER_BYTES = 16
};

enum { SUTRA_IDS_NUMBERS = 0, SUTRA_IDS_MIXED = 1 };

enum {
    SUTRA_PUT_REPLACE = 1,
    SUTRA_PUT_STRENGTHS = 2,
    SUTRA_PUT_CONFIDENCES = 4,
    SUTRA_PUT_VECTORS = 8,
    SUTRA_PUT_SOME_VECTORS = 16,
    SUTRA_PUT_CONTENTS = 32,
    SUTRA_PUT_CONTENT_TYPES = 64,
    SUTRA_PUT_METADATA = 128,
    SUTRA_PUT_KNOWN = 255
};

enum {
    SUTRA_LINK_KINDS = 1,
    SUTRA_LINK_WEIGHTS = 2,
    SUTRA_LINK_CONFIDENCES = 4,
    SUTRA_LINK_KNOWN = 7
};

enum { SUTRA_SET_VALUE = 1, SUTRA_SET_KNOWN = 1 };

#endif
