/* What a power cut leaves of the simulated file system.
 *
 * The medium is what has been synced, and the list of what is in flight. It is worked out from
 * the recorded changes: those of a sync move what they cover from the list into the durable tree.
 * A crash state is a copy of that tree with the things in flight that the policy lets survive.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/prng.h"
#include "../base/status.h"
#include "simulated_parts.h"

#define SECTOR_BYTES 512u

/* A machine that lost power is back a second later. */
#define RESTART_TICKS 1000000u

/* ---- the medium */

static void medium_deinit(struct sutra_simulated_medium *medium)
{
    sutra_simulated_tree_deinit(&medium->durable);
    for (size_t i = 0; i < medium->item_count; i++)
        sutra_simulated_change_release(medium->items[i].change);
    free(medium->items);
    *medium = (struct sutra_simulated_medium){0};
}

static int medium_reserve(struct sutra_simulated_medium *medium, size_t more)
{
    if (medium->item_capacity - medium->item_count >= more)
        return SUTRA_OK;
    size_t capacity = 2 * medium->item_capacity + more + 14;
    struct sutra_simulated_item *items = realloc(medium->items, capacity * sizeof *items);
    if (items == NULL)
        return ENOMEM;
    medium->items = items;
    medium->item_capacity = capacity;
    return SUTRA_OK;
}

static int medium_clone(const struct sutra_simulated_medium *medium,
                        struct sutra_simulated_medium *copy_out)
{
    *copy_out = (struct sutra_simulated_medium){0};
    int status = sutra_simulated_tree_clone(&medium->durable, &copy_out->durable);
    if (status == SUTRA_OK)
        status = medium_reserve(copy_out, medium->item_count);
    if (status != SUTRA_OK) {
        medium_deinit(copy_out);
        return status;
    }
    for (size_t i = 0; i < medium->item_count; i++) {
        sutra_simulated_change_keep(medium->items[i].change);
        copy_out->items[copy_out->item_count++] = medium->items[i];
    }
    return SUTRA_OK;
}

/* There is room (medium_reserve). */
static void put_in_flight(struct sutra_simulated_medium *medium,
                          struct sutra_simulated_change *change, int part)
{
    sutra_simulated_change_keep(change);
    medium->items[medium->item_count++] =
        (struct sutra_simulated_item){.change = change, .part = part};
}

static void drop_items(struct sutra_simulated_medium *medium, const bool *dropped)
{
    size_t kept = 0;
    for (size_t i = 0; i < medium->item_count; i++) {
        if (dropped[i])
            sutra_simulated_change_release(medium->items[i].change);
        else
            medium->items[kept++] = medium->items[i];
    }
    medium->item_count = kept;
}

/* Is it what this sync is about? */
static bool is_covered(const struct sutra_simulated_item *item,
                       const struct sutra_simulated_change *sync)
{
    if (sync->kind == SUTRA_CHANGE_SYNC_DIRECTORY)
        return item->part == SUTRA_PART_NAMES && item->change->directory == sync->directory;
    return item->part != SUTRA_PART_NAMES && item->change->node == sync->node;
}

/* Mark the node and, where it is a directory, all that its durable names lead to. `stack` has room
 * for a number of each node, which gets there once at most. */
static void mark_from(const struct sutra_simulated_tree *tree, uint32_t root, bool *reached,
                      uint32_t *stack)
{
    size_t depth = 0;
    if (sutra_simulated_tree_node(tree, root) == NULL || reached[root])
        return;
    reached[root] = true;
    stack[depth++] = root;
    while (depth > 0) {
        const struct sutra_simulated_node *node = &tree->nodes[stack[--depth]];
        for (size_t i = 0; i < node->entry_count; i++) {
            uint32_t below = node->entries[i].node;
            if (sutra_simulated_tree_node(tree, below) == NULL || reached[below])
                continue;
            reached[below] = true;
            stack[depth++] = below;
        }
    }
}

/* Forget the nodes that no name leads to, durable or in flight, and what is in flight for them. */
static int sweep(struct sutra_simulated_medium *medium)
{
    struct sutra_simulated_tree *tree = &medium->durable;
    size_t count = tree->count > 0 ? tree->count : 1;
    bool *reached = calloc(count + medium->item_count, sizeof *reached);
    uint32_t *stack = malloc(count * sizeof *stack);
    if (reached == NULL || stack == NULL) {
        free(reached);
        free(stack);
        return ENOMEM;
    }
    bool *dropped = reached + count;
    mark_from(tree, SUTRA_SIMULATED_ROOT, reached, stack);
    /* A name in flight leads somewhere if its directory is reached. Once through is enough: what
     * names that directory came before what it has in flight. */
    for (size_t i = 0; i < medium->item_count; i++) {
        const struct sutra_simulated_change *change = medium->items[i].change;
        if (medium->items[i].part == SUTRA_PART_NAMES && reached[change->directory])
            mark_from(tree, change->node, reached, stack);
    }
    for (size_t i = 0; i < medium->item_count; i++) {
        const struct sutra_simulated_item *item = &medium->items[i];
        uint32_t node =
            item->part == SUTRA_PART_NAMES ? item->change->directory : item->change->node;
        dropped[i] = !reached[node];
    }
    drop_items(medium, dropped);
    for (uint32_t i = 0; i < tree->count; i++)
        if (!reached[i])
            sutra_simulated_tree_forget(tree, i);
    free(reached);
    free(stack);
    return SUTRA_OK;
}

/* Settle what is in flight and covered by a sync: apply it (or lose it) and take it off the list.
 */
static int settle(struct sutra_simulated_medium *medium, const struct sutra_simulated_change *sync)
{
    if (medium->item_count == 0)
        return SUTRA_OK;
    bool *covered = malloc(medium->item_count * sizeof *covered);
    if (covered == NULL)
        return ENOMEM;
    int status = SUTRA_OK;
    bool removed = false;
    for (size_t i = 0; i < medium->item_count && status == SUTRA_OK; i++) {
        const struct sutra_simulated_item *item = &medium->items[i];
        covered[i] = is_covered(item, sync);
        if (!covered[i] || sync->kind == SUTRA_CHANGE_DROP)
            continue;
        status = sutra_simulated_tree_apply(&medium->durable, item->change, item->part);
        removed = removed || item->change->kind == SUTRA_CHANGE_REMOVE ||
                  item->change->kind == SUTRA_CHANGE_RENAME;
    }
    if (status == SUTRA_OK)
        drop_items(medium, covered);
    free(covered);
    return status == SUTRA_OK && removed ? sweep(medium) : status;
}

static int medium_apply(struct sutra_simulated_medium *medium,
                        struct sutra_simulated_change *change)
{
    int status = medium_reserve(medium, 2);
    if (status != SUTRA_OK)
        return status;
    switch (change->kind) {
    case SUTRA_CHANGE_SYNC:
    case SUTRA_CHANGE_DROP:
    case SUTRA_CHANGE_SYNC_DIRECTORY:
        return settle(medium, change);
    case SUTRA_CHANGE_WRITE:
    case SUTRA_CHANGE_RESIZE:
        /* A file that is open but has no name left is gone with the crash anyway. */
        if (sutra_simulated_tree_node(&medium->durable, change->node) == NULL)
            return SUTRA_OK;
        if (change->resizes)
            put_in_flight(medium, change, SUTRA_PART_SIZE);
        if (change->kind == SUTRA_CHANGE_WRITE)
            put_in_flight(medium, change, SUTRA_PART_DATA);
        return SUTRA_OK;
    default:
        if (change->kind == SUTRA_CHANGE_NAME)
            status =
                sutra_simulated_tree_make(&medium->durable, change->node, change->is_directory);
        if (status == SUTRA_OK)
            put_in_flight(medium, change, SUTRA_PART_NAMES);
        return status;
    }
}

/* ---- the history */

static void forget_cursor(struct sutra_simulated_history *history)
{
    if (history->has_cursor)
        medium_deinit(&history->cursor);
    history->has_cursor = false;
}

static void forget_changes(struct sutra_simulated_history *history)
{
    for (size_t i = 0; i < history->change_count; i++)
        sutra_simulated_change_release(history->changes[i]);
    history->change_count = 0;
}

void sutra_simulated_history_deinit(struct sutra_simulated_history *history)
{
    medium_deinit(&history->start);
    forget_cursor(history);
    forget_changes(history);
    free(history->changes);
}

int sutra_simulated_history_reserve(struct sutra_simulated_history *history)
{
    if (!history->recording || history->change_count < history->change_capacity)
        return SUTRA_OK;
    size_t capacity = 2 * history->change_capacity + 64;
    struct sutra_simulated_change **changes = realloc(history->changes, capacity * sizeof *changes);
    if (changes == NULL)
        return ENOMEM;
    history->changes = changes;
    history->change_capacity = capacity;
    return SUTRA_OK;
}

int sutra_simulated_history_push(struct sutra_simulated_history *history,
                                 struct sutra_simulated_change *change)
{
    if (history->recording) {
        history->changes[history->change_count++] = change;
        return SUTRA_OK;
    }
    int status = medium_apply(&history->start, change);
    history->first++;
    history->first_ticks = change->ticks;
    sutra_simulated_change_release(change);
    return status;
}

/* The medium after so many operations. */
static int find_medium(struct sutra_simulated_history *history, uint64_t operation,
                       const struct sutra_simulated_medium **medium_out)
{
    if (operation < history->first || operation - history->first > history->change_count)
        return EINVAL;
    *medium_out = &history->start;
    if (operation == history->first)
        return SUTRA_OK;
    if (history->has_cursor && history->cursor_at > operation)
        forget_cursor(history);
    if (!history->has_cursor) {
        int status = medium_clone(&history->start, &history->cursor);
        if (status != SUTRA_OK)
            return status;
        history->has_cursor = true;
        history->cursor_at = history->first;
    }
    while (history->cursor_at < operation) {
        int status =
            medium_apply(&history->cursor, history->changes[history->cursor_at - history->first]);
        if (status != SUTRA_OK) {
            forget_cursor(history); /* it may have been done by half */
            return status;
        }
        history->cursor_at++;
    }
    *medium_out = &history->cursor;
    return SUTRA_OK;
}

int sutra_simulated_record(struct sutra_simulated *fs)
{
    struct sutra_simulated_history *history = fs->history;
    const struct sutra_simulated_medium *medium;
    int status = find_medium(history, fs->operations, &medium);
    if (status != SUTRA_OK)
        return status;
    if (medium == &history->cursor) {
        /* Recorded before: what it led to is where this one starts. */
        history->first_ticks = history->changes[history->change_count - 1]->ticks;
        medium_deinit(&history->start);
        history->start = history->cursor;
        history->has_cursor = false;
        history->first = fs->operations;
    }
    forget_cursor(history);
    forget_changes(history);
    history->recording = true;
    return SUTRA_OK;
}

size_t sutra_simulated_in_flight(const struct sutra_simulated *fs, uint64_t operation)
{
    const struct sutra_simulated_medium *medium;
    return find_medium(fs->history, operation, &medium) == SUTRA_OK ? medium->item_count : 0;
}

/* ---- crash states */

enum fate { FATE_LOST, FATE_KEPT, FATE_TORN };

static int find_fate(int policy, uint64_t choice, uint64_t seed, size_t index, int part)
{
    switch (policy) {
    case SUTRA_CRASH_LOSE_ALL:
        return FATE_LOST;
    case SUTRA_CRASH_KEEP_ALL:
        return FATE_KEPT;
    case SUTRA_CRASH_LOSE_ONE:
        return index == choice ? FATE_LOST : FATE_KEPT;
    case SUTRA_CRASH_TEAR_ONE:
        if (index != choice)
            return FATE_KEPT;
        return part == SUTRA_PART_DATA ? FATE_TORN : FATE_LOST;
    case SUTRA_CRASH_KEEP_ONE:
        return index == choice ? FATE_KEPT : FATE_LOST;
    default:
        break;
    }
    /* How much survives is drawn too: of many things, a fair coin for each would hardly ever lose
     * or keep but a few. */
    uint64_t kept_of_8 = 1 + sutra_random_at(seed, 0) % 7;
    uint64_t drawn = sutra_random_at(seed, 1 + index);
    if (part == SUTRA_PART_DATA && drawn >> 32 & 1 && drawn >> 33 & 1)
        return FATE_TORN;
    return drawn % 8 < kept_of_8 ? FATE_KEPT : FATE_LOST;
}

/* Write some of the sectors: not all, and not none if there are two. */
static int tear(struct sutra_simulated_tree *tree, const struct sutra_simulated_change *change,
                uint64_t seed)
{
    struct sutra_simulated_node *node = sutra_simulated_tree_node(tree, change->node);
    if (node == NULL)
        return SUTRA_OK;
    uint64_t first = change->offset / SECTOR_BYTES;
    uint64_t sectors = (change->offset + change->bytes - 1) / SECTOR_BYTES - first + 1;
    uint64_t lost = sutra_random_at(seed, 0) % sectors;
    uint64_t kept =
        sectors == 1 ? UINT64_MAX : (lost + 1 + sutra_random_at(seed, 1) % (sectors - 1)) % sectors;
    for (uint64_t i = 0; i < sectors; i++) {
        if (i == lost || (i != kept && (sutra_random_at(seed, 2 + i) & 1) == 0))
            continue;
        uint64_t begin = (first + i) * SECTOR_BYTES, end = begin + SECTOR_BYTES;
        if (begin < change->offset)
            begin = change->offset;
        if (end > change->offset + change->bytes)
            end = change->offset + change->bytes;
        int status = sutra_simulated_image_write(
            &node->image, begin, change->data + (begin - change->offset), (size_t)(end - begin));
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

/* Bring what survives of the things in flight into the tree. */
static int apply_survivors(struct sutra_simulated_tree *tree,
                           const struct sutra_simulated_medium *medium, int policy, uint64_t choice,
                           uint64_t seed)
{
    for (size_t i = 0; i < medium->item_count; i++) {
        const struct sutra_simulated_item *item = &medium->items[i];
        int status = SUTRA_OK;
        switch (find_fate(policy, choice, seed, i, item->part)) {
        case FATE_KEPT:
            status = sutra_simulated_tree_apply(tree, item->change, item->part);
            break;
        case FATE_TORN:
            status = tear(tree, item->change, sutra_random_at(~seed, i));
            break;
        default:
            break;
        }
        if (status != SUTRA_OK)
            return status;
    }
    return SUTRA_OK;
}

int sutra_simulated_crash(const struct sutra_simulated *fs, uint64_t operation, int policy,
                          uint64_t choice, uint64_t seed, struct sutra_simulated **crashed_out)
{
    *crashed_out = NULL;
    if (policy < SUTRA_CRASH_LOSE_ALL || policy > SUTRA_CRASH_SUBSET)
        return EINVAL;
    struct sutra_simulated_history *history = fs->history;
    const struct sutra_simulated_medium *medium;
    int status = find_medium(history, operation, &medium);
    if (status != SUTRA_OK)
        return status;
    struct sutra_simulated *crashed;
    status = sutra_simulated_make(sutra_random_at(fs->seed ^ seed, operation), &crashed);
    if (status != SUTRA_OK)
        return status;
    struct sutra_simulated_medium *left = &crashed->history->start;
    status = sutra_simulated_tree_clone(&medium->durable, &left->durable);
    if (status == SUTRA_OK)
        status = apply_survivors(&left->durable, medium, policy, choice, seed);
    if (status == SUTRA_OK)
        status = sweep(left);
    if (status == SUTRA_OK)
        status = sutra_simulated_tree_clone(&left->durable, &crashed->now);
    if (status != SUTRA_OK) {
        sutra_simulated_free(crashed);
        return status;
    }
    crashed->capacity = fs->capacity;
    crashed->ticks =
        RESTART_TICKS + (operation == history->first
                             ? history->first_ticks
                             : history->changes[operation - history->first - 1]->ticks);
    crashed->history->first_ticks = crashed->ticks;
    *crashed_out = crashed;
    return SUTRA_OK;
}
