/* Dates and times of ISO 8601 as nanoseconds since 1970, UTC.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_INSTANT_H
#define SUTRA_BASE_INSTANT_H

#include "config.h"

/* YYYY-MM-DD[(T| )HH:MM[:SS[.fraction]]][Z|+-HH:MM]; no offset means UTC, and what a fraction has
 * beyond nanoseconds is cut. false: it is no such text, no such day or time, or not within the
 * years (1677 to 2262) that 64 bits of nanoseconds hold. */
bool sutra_instant_parse(const char *text, size_t bytes, int64_t *ns_out);

#endif
