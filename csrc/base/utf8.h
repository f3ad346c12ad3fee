/* Is this UTF-8? Shortest forms only, no surrogates, nothing above U+10FFFF (RFC 3629).
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_UTF8_H
#define SUTRA_BASE_UTF8_H

#include "config.h"

bool sutra_is_utf8(const void *text, size_t bytes);

#endif
