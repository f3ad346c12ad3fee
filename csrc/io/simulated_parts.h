/* Inside the simulated file system: contents, trees of names, changes, and what the medium has.
 *
 * The same tree serves three times: as what programs see now, as what has reached the medium, and
 * as what a crash leaves. Whatever changes a file system is one immutable `change`; it is applied
 * to the tree of now at once, and to the medium's in up to two parts, each when it is synced or
 * chosen to survive. Contents are shared between trees until written to, which is what makes a
 * crash state cheap.
 *
 * Ownership: as each function says; changes and buffers count their users. Threading: none, but
 * trees that share contents may be used by different threads. Errors: ENOMEM, EFBIG.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_IO_SIMULATED_PARTS_H
#define SUTRA_IO_SIMULATED_PARTS_H

#include <pthread.h>

#include "simulated.h"

/* ---- contents (simulated_tree.c) */

/* Data beyond it is refused with EFBIG; sizes may be larger. */
#define SUTRA_SIMULATED_DATA_MAX ((uint64_t)1 << 32)

struct sutra_simulated_buffer;

struct sutra_simulated_image {
    uint64_t size;
    size_t length; /* bytes in the buffer that count; from there to size all is zero */
    struct sutra_simulated_buffer *buffer; /* NULL while length is 0 */
};

void sutra_simulated_image_resize(struct sutra_simulated_image *image, uint64_t size);
/* Only what lies within the size is written. */
int sutra_simulated_image_write(struct sutra_simulated_image *image, uint64_t offset,
                                const void *data, size_t bytes);
/* [offset, offset + bytes) lies within the size. */
void sutra_simulated_image_read(const struct sutra_simulated_image *image, uint64_t offset,
                                void *data, size_t bytes);
/* All of it in one buffer of its own, which is never NULL. */
int sutra_simulated_image_flatten(struct sutra_simulated_image *image, uint8_t **data_out);

/* ---- changes (simulated_tree.c) */

enum sutra_simulated_kind {
    SUTRA_CHANGE_WRITE,
    SUTRA_CHANGE_RESIZE,
    SUTRA_CHANGE_SYNC,
    SUTRA_CHANGE_DROP, /* a sync that failed: what was in flight for the file is lost */
    SUTRA_CHANGE_NAME, /* made or linked */
    SUTRA_CHANGE_REMOVE,
    SUTRA_CHANGE_RENAME,
    SUTRA_CHANGE_SYNC_DIRECTORY,
};

struct sutra_simulated_change {
    size_t users; /* atomic */
    int kind;
    bool resizes;      /* WRITE, RESIZE: to `size` */
    bool is_directory; /* NAME: what the node is */
    uint32_t node;
    uint32_t directory; /* NAME, REMOVE, RENAME, SYNC_DIRECTORY: where the names are */
    uint64_t offset, size;
    uint64_t ticks;     /* of the clock when it was made */
    size_t bytes;       /* of data */
    size_t second_name; /* RENAME: where the new name starts in data */
    uint8_t data[];     /* what is written, or the name with its zero, then the new name */
};

/* What of a change can reach the medium without the rest. */
enum sutra_simulated_part { SUTRA_PART_SIZE, SUTRA_PART_DATA, SUTRA_PART_NAMES };

struct sutra_simulated_change *sutra_simulated_change_new(int kind, size_t bytes);
void sutra_simulated_change_keep(struct sutra_simulated_change *change);
void sutra_simulated_change_release(struct sutra_simulated_change *change);

/* ---- trees (simulated_tree.c) */

#define SUTRA_SIMULATED_ROOT 0u
#define SUTRA_SIMULATED_NONE UINT32_MAX

struct sutra_simulated_entry {
    char *name;
    uint32_t node;
};

struct sutra_simulated_node {
    bool used;
    bool directory;
    uint32_t links;
    uint32_t opens; /* descriptors; this and the next in the tree of now only */
    int locker;     /* the descriptor with the lock, or -1 */
    struct sutra_simulated_image image;
    struct sutra_simulated_entry *entries; /* of a directory, sorted by name */
    size_t entry_count, entry_capacity;
};

/* Nodes by number; numbers are never used again. */
struct sutra_simulated_tree {
    struct sutra_simulated_node *nodes;
    uint32_t count, capacity;
};

int sutra_simulated_tree_init(struct sutra_simulated_tree *tree);
void sutra_simulated_tree_deinit(struct sutra_simulated_tree *tree);
/* Names and contents; nothing is open or locked in the copy. */
int sutra_simulated_tree_clone(const struct sutra_simulated_tree *tree,
                               struct sutra_simulated_tree *copy_out);
/* NULL if there is no such node (any more). */
struct sutra_simulated_node *sutra_simulated_tree_node(const struct sutra_simulated_tree *tree,
                                                       uint32_t node);
/* See that there is room for a node of this number, and that it is used. */
int sutra_simulated_tree_make(struct sutra_simulated_tree *tree, uint32_t node, bool directory);
void sutra_simulated_tree_forget(struct sutra_simulated_tree *tree, uint32_t node);
/* SUTRA_SIMULATED_NONE if there is no such name. */
uint32_t sutra_simulated_tree_find(const struct sutra_simulated_tree *tree, uint32_t directory,
                                   const char *name, size_t name_bytes);
/* On failure nothing has changed. Nodes that are gone are left alone. */
int sutra_simulated_tree_apply(struct sutra_simulated_tree *tree,
                               const struct sutra_simulated_change *change, int part);

/* ---- the medium (simulated_crash.c) */

struct sutra_simulated_item {
    struct sutra_simulated_change *change; /* kept */
    int part;
};

struct sutra_simulated_medium {
    struct sutra_simulated_tree durable;
    struct sutra_simulated_item *items; /* in flight, in order */
    size_t item_count, item_capacity;
};

/* The medium as of `first` operations, the changes after it if they are recorded (if not, the
 * medium is that of now), and a copy of the medium somewhere in between: crash states
 * are asked for in ascending order as a rule, so it only moves on. */
struct sutra_simulated_history {
    struct sutra_simulated_medium start, cursor;
    uint64_t first, first_ticks, cursor_at;
    bool recording, has_cursor;
    struct sutra_simulated_change **changes; /* kept */
    size_t change_count, change_capacity;
};

void sutra_simulated_history_deinit(struct sutra_simulated_history *history);
/* Room for one change more; then _push takes it over, and fails only when not recording. */
int sutra_simulated_history_reserve(struct sutra_simulated_history *history);
int sutra_simulated_history_push(struct sutra_simulated_history *history,
                                 struct sutra_simulated_change *change);

/* ---- the file system (simulated.c) */

struct sutra_simulated_open {
    uint32_t node; /* SUTRA_SIMULATED_NONE: the descriptor is free */
    bool writable;
};

struct sutra_simulated {
    struct sutra_io io;
    pthread_mutex_t mutex;
    struct sutra_simulated_tree now;
    struct sutra_simulated_history *history;
    struct sutra_simulated_open *opens;
    size_t open_count;
    uint64_t seed, random_used;
    uint64_t ticks; /* of the clock, microseconds */
    uint64_t capacity;
    uint64_t operations; /* atomic */
};

/* All but the tree of now and the medium's. */
int sutra_simulated_make(uint64_t seed, struct sutra_simulated **fs_out);
void sutra_simulated_fill_table(struct sutra_simulated *fs); /* simulated_calls.c */

/* Take the mutex of the file system that is a table's context; give it back and return `status`. */
struct sutra_simulated *sutra_simulated_enter(void *context);
int sutra_simulated_leave(struct sutra_simulated *fs, int status);

/* Far from what the system gives out: a descriptor handed to the wrong table is found out. */
#define SUTRA_SIMULATED_FIRST_FD 100000

struct sutra_simulated_place {
    uint32_t directory;
    uint32_t node;     /* SUTRA_SIMULATED_NONE: no such name */
    size_t name_bytes; /* 0: the root */
    const char *name;  /* in the path, ends without a zero */
};

/* Where a path leads; only its last name may be missing. */
int sutra_simulated_find_place(const struct sutra_simulated *fs, const char *path,
                               struct sutra_simulated_place *place_out);
bool sutra_simulated_is_directory(const struct sutra_simulated *fs,
                                  const struct sutra_simulated_place *place);
/* NULL: no such descriptor. */
struct sutra_simulated_open *sutra_simulated_find_open(const struct sutra_simulated *fs, int fd);
/* Do it now and note it. Takes the change (NULL: there was no memory for it). */
int sutra_simulated_commit(struct sutra_simulated *fs, struct sutra_simulated_change *change);
/* SYNC, DROP, SYNC_DIRECTORY. */
int sutra_simulated_sync_node(struct sutra_simulated *fs, int kind, uint32_t node);

#endif
