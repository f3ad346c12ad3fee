/* A file table that fails on request: every k-th call can be tried, once or for ever.
 * Ownership: the wrapped table must outlive it. Threading: as the wrapped table; it counts
 * atomically.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_IO_FAULTY_H
#define SUTRA_IO_FAULTY_H

#include "simulated.h"

struct sutra_faulty {
    struct sutra_io io; /* the table to use */
    const struct sutra_io *inner;
    uint64_t calls;   /* atomic: calls so far that can fail: all but close and the clocks */
    uint64_t fail_at; /* fail this call, counted from 1; 0: none */
    bool sticky;      /* and all after it */
    int error;        /* errno to give, EIO at first; EINTR and short transfers are always once */
    bool short_transfer; /* a read or write does half instead of failing, all else goes through */
    bool drop_on_sync; /* when it is the sync of a file that fails, what it would have made durable
                        * never will be, but reads as before and looks clean to the next sync */
    struct sutra_simulated *simulated; /* where that happens; NULL: nowhere */
    uint64_t failed;                   /* atomic: how often it failed or was short */
};

/* The struct stays where it is: the table points to it. Everything but `inner` may be set at any
 * time when no call is under way. */
void sutra_faulty_init(struct sutra_faulty *faulty, const struct sutra_io *inner);

#endif
