/* Status codes: 0 is success, negative codes are ours, positive codes are errno values.
 *
 * Codes are append-only and grouped in tens. No string crosses a C boundary except the
 * static ones returned by sutra_strerror. Where a caller wants to know what was wrong,
 * it passes a struct sutra_fault, filled only on failure.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_STATUS_H
#define SUTRA_BASE_STATUS_H

#include <stdint.h>

enum sutra_status {
    SUTRA_OK = 0,

    /* arguments */
    SUTRA_E_ARGUMENT = -10,     /* outside its documented range */
    SUTRA_E_DIMENSION = -11,    /* vector length differs from the index */
    SUTRA_E_VECTOR = -12,       /* NaN, infinity, or too long; fault.row names the row */
    SUTRA_E_DUPLICATE_ID = -13, /* fault.row names the row, fault.found the id */
    SUTRA_E_NEGATIVE_ID = -14,  /* fault.row names the row, fault.found the id */
    SUTRA_E_NOT_FOUND = -15,
    SUTRA_E_CONFIG = -16, /* a configuration value is not allowed */

    /* resources */
    SUTRA_E_NO_MEMORY = -20,
    SUTRA_E_CAPACITY = -21, /* more rows than the format or the reservation can hold */

    /* object state */
    SUTRA_E_CLOSED = -30,
    SUTRA_E_BUSY = -31,       /* views are exported */
    SUTRA_E_CANCELLED = -32,  /* the progress callback asked to stop */
    SUTRA_E_FORKED = -33,     /* handle used in a forked child */
    SUTRA_E_LOCKED = -34,     /* another writer has the store */
    SUTRA_E_READ_ONLY = -35,  /* opened for reading */
    SUTRA_E_DURABILITY = -36, /* a sync has failed: nothing more is written by this handle */

    /* files */
    SUTRA_E_CORRUPT = -40,   /* fault.offset names the place */
    SUTRA_E_VERSION = -41,   /* written by a newer version; fault.found is that version */
    SUTRA_E_TRUNCATED = -42, /* shorter than its header says */
    SUTRA_E_NOT_INDEX = -43, /* magic number missing */
    SUTRA_E_NOT_STORE = -44, /* a directory with other files in it */

    /* structure (verify) */
    SUTRA_E_GRAPH_ID = -50,     /* neighbour id out of range */
    SUTRA_E_GRAPH_SELF = -51,   /* node links to itself */
    SUTRA_E_GRAPH_SUFFIX = -52, /* sentinel before a neighbour, or a neighbour twice */
    SUTRA_E_GRAPH_LEVEL = -53,  /* levels inconsistent */
    SUTRA_E_GRAPH_REACH = -54,  /* node not reachable from the entry point */
};

/* What exactly was wrong. Fields that do not apply are -1 / NULL / 0. */
struct sutra_fault {
    int64_t row;    /* row or node number */
    int64_t offset; /* byte offset in a file */
    uint64_t expected;
    uint64_t found;
    const char *what; /* static string naming the part, e.g. a file section */
};

#define SUTRA_FAULT_NONE                                                                           \
    (struct sutra_fault)                                                                           \
    {                                                                                              \
        .row = -1, .offset = -1                                                                    \
    }

/* A static English sentence for a code; for positive codes strerror's text is the caller's job. */
const char *sutra_strerror(int status);

#endif
