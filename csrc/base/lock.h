/* A read-write lock that a writer gets in the end.
 *
 * The read locks of glibc and musl overtake a waiting writer, for ever if readers never pause. So
 * a writer waits inside a gate, and readers that come after it wait outside. Without writers a
 * read costs one relaxed load more than the system's lock.
 *
 * To be included first in a file: it asks libc for the POSIX locks. Ownership: _init/_destroy.
 * Errors: _init returns errno values; the rest cannot fail. Not recursive.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_BASE_LOCK_H
#define SUTRA_BASE_LOCK_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <pthread.h>

#include "config.h"

struct sutra_lock {
    pthread_rwlock_t lock;
    pthread_mutex_t gate;
    unsigned writers_waiting; /* atomic */
};

static inline int sutra_lock_init(struct sutra_lock *lock)
{
    lock->writers_waiting = 0;
    int status = pthread_rwlock_init(&lock->lock, NULL);
    if (status != 0)
        return status;
    status = pthread_mutex_init(&lock->gate, NULL);
    if (status != 0)
        pthread_rwlock_destroy(&lock->lock);
    return status;
}

static inline void sutra_lock_destroy(struct sutra_lock *lock)
{
    pthread_mutex_destroy(&lock->gate);
    pthread_rwlock_destroy(&lock->lock);
}

SUTRA_INLINE void sutra_lock_read(struct sutra_lock *lock)
{
    if (__atomic_load_n(&lock->writers_waiting, __ATOMIC_RELAXED)) {
        pthread_mutex_lock(&lock->gate);
        pthread_mutex_unlock(&lock->gate);
    }
    pthread_rwlock_rdlock(&lock->lock);
}

SUTRA_INLINE void sutra_lock_write(struct sutra_lock *lock)
{
    __atomic_fetch_add(&lock->writers_waiting, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&lock->gate);
    pthread_rwlock_wrlock(&lock->lock);
    pthread_mutex_unlock(&lock->gate);
    __atomic_fetch_sub(&lock->writers_waiting, 1, __ATOMIC_RELAXED);
}

SUTRA_INLINE void sutra_unlock(struct sutra_lock *lock)
{
    pthread_rwlock_unlock(&lock->lock);
}

#endif
