/* Settings: small named values that belong to a store's state, such as a tuned search width.
 *
 * A name is UTF-8, a value any bytes; ops.h has their lengths. Settings have no versions: a reader
 * sees those of now, each value whole, and those of one batch together. A batch is staged while it
 * is checked and published when it is applied, which cannot fail. Saved, settings are SET
 * operations with values as the log has them, in the order of their names.
 *
 * Ownership: the table owns copies of everything. Threading: _get and _names from any thread at any
 * time; the rest by one thread at a time, the store's writer, while others may read. Errors:
 * SUTRA_E_NO_MEMORY, and as named.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_STORE_SETTINGS_H
#define SUTRA_STORE_SETTINGS_H

#include <pthread.h>

#include "ops.h"

struct sutra_setting;

struct sutra_settings {
    pthread_mutex_t lock;                            /* of what readers look at: items, count */
    struct sutra_setting *items[SUTRA_SETTINGS_MAX]; /* in the order of their names */
    size_t count;
    /* What a batch will change, in the same order: new values, and names of those to remove. */
    struct sutra_setting *staged[2 * SUTRA_SETTINGS_MAX];
    size_t staged_count;
    size_t total;     /* settings once that is done */
    uint64_t version; /* another number: something has changed */
};

void sutra_settings_init(struct sutra_settings *settings);
void sutra_settings_deinit(struct sutra_settings *settings);

/* The value, copied if it fits into `room` (SUTRA_E_CAPACITY), and its length in either case.
 * SUTRA_E_NOT_FOUND. */
int sutra_settings_get(struct sutra_settings *settings, const char *name, size_t name_bytes,
                       uint8_t *value_out, size_t room, size_t *bytes_out);
/* All names in order, each after a byte with its length; malloc'd. */
int sutra_settings_names(struct sutra_settings *settings, uint8_t **names_out, size_t *bytes_out,
                         size_t *count_out);

/* Add an operation, whose lengths are in range, to what is staged. *done_out: 1, or 0 for a removal
 * of what is not there. SUTRA_E_CAPACITY if there would be more than SUTRA_SETTINGS_MAX. */
int sutra_settings_stage(struct sutra_settings *settings, const struct sutra_op_set *set,
                         size_t *done_out);
/* Forget what is staged. */
void sutra_settings_unstage(struct sutra_settings *settings);
/* Do what is staged, if anything is. */
void sutra_settings_publish(struct sutra_settings *settings);

/* Append all of them to what is encoded. */
int sutra_settings_encode(const struct sutra_settings *settings, struct sutra_encoder *encoder);
/* Fill an empty table with what _encode has made. Nothing in it is trusted: SUTRA_E_CORRUPT with
 * fault.what, and row for which. On failure the table is empty. */
int sutra_settings_decode(struct sutra_settings *settings, const uint8_t *data, size_t bytes,
                          struct sutra_fault *fault_out);
/* Fill an empty table with what another has; nobody may publish there meanwhile. */
int sutra_settings_copy(const struct sutra_settings *from, struct sutra_settings *to);

#endif
