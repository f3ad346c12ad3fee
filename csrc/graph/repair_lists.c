/* Lists without the dead; see repair_lists.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "levels.h"
#include "prune.h"
#include "repair_lists.h"
#include "tree.h"
#include "../base/threads.h"

/* A list to be repaired: of a base node, or of an upper node on a level. */
struct task {
    const struct sutra_repair *repair;
    struct sutra_scratch *scratch;
    unsigned level;
    size_t slots;
    size_t count; /* candidates in scratch->found, numbered as in `from` */
};

static const uint32_t *list_of(const struct task *task, uint32_t id)
{
    const struct sutra_graph *from = task->repair->from;
    return task->level ? sutra_graph_upper_list(from, id, task->level) : sutra_graph_list(from, id);
}

static bool is_gone(const struct task *task, uint32_t id)
{
    const struct sutra_repair *repair = task->repair;
    return sutra_graph_has_row(repair->gone, sutra_node_row(repair->from, task->level > 0, id));
}

static uint32_t name_of(const struct task *task, uint32_t id)
{
    const struct sutra_repair *repair = task->repair;
    if (!repair->names)
        return id;
    return task->level ? repair->upper_names[id] : repair->names[id];
}

static bool is_new(const struct task *task, uint32_t id)
{
    struct sutra_scratch *scratch = task->scratch;
    if (scratch->visited[id] == scratch->epoch)
        return false;
    scratch->visited[id] = scratch->epoch;
    return true;
}

/* The live nodes of a list that are no candidates yet become some. */
static void take_live(struct task *task, const uint32_t *list)
{
    for (size_t s = 0; s < task->slots && list[s] != SUTRA_NO_NODE; s++) {
        if (task->count < SUTRA_REPAIR_CANDIDATES && !is_gone(task, list[s]) &&
            is_new(task, list[s]))
            task->scratch->found[task->count++] = list[s];
    }
}

static void gather(struct task *task, uint32_t id)
{
    const struct sutra_repair *repair = task->repair;
    const struct sutra_graph *from = repair->from;
    const uint32_t *own = list_of(task, id);
    sutra_scratch_new_walk(task->scratch, task->level ? from->upper_count : from->count);
    (void)is_new(task, id);
    take_live(task, own);
    for (size_t s = 0; s < task->slots && own[s] != SUTRA_NO_NODE; s++) {
        if (is_gone(task, own[s]))
            take_live(task, list_of(task, own[s]));
    }
    if (task->count >= from->m / 2)
        return;
    for (size_t s = 0; s < task->slots && own[s] != SUTRA_NO_NODE; s++) {
        if (!is_gone(task, own[s]))
            continue;
        const uint32_t *next = list_of(task, own[s]);
        for (size_t t = 0; t < task->slots && next[t] != SUTRA_NO_NODE; t++) {
            if (is_gone(task, next[t]) && is_new(task, next[t]))
                take_live(task, list_of(task, next[t]));
        }
    }
}

static bool names_gone(const struct task *task, const uint32_t *list)
{
    for (size_t s = 0; s < task->slots && list[s] != SUTRA_NO_NODE; s++) {
        if (is_gone(task, list[s]))
            return true;
    }
    return false;
}

/* Write the list of a live node into `to`; tells whether it was repaired. */
static bool repair_list(struct task *task, uint32_t id, uint32_t *list_out)
{
    const struct sutra_repair *repair = task->repair;
    struct sutra_scratch *scratch = task->scratch;
    const bool upper = task->level > 0;
    const uint32_t *own = list_of(task, id), name = name_of(task, id);
    uint32_t kept[SUTRA_NODE_SLOTS_MAX];
    size_t count = 0;
    if (!names_gone(task, own)) {
        for (; repair->names && count < task->slots && own[count] != SUTRA_NO_NODE; count++)
            kept[count] = name_of(task, own[count]);
        if (repair->names)
            sutra_node_store(list_out, task->slots, kept, count);
        return false;
    }
    task->count = 0;
    gather(task, id);
    for (size_t j = 0; j < task->count; j++)
        scratch->found[j] = name_of(task, scratch->found[j]);
    sutra_prune_point(repair->space, sutra_node_row(repair->to, upper, name), scratch);
    sutra_prune_measure(repair->to, repair->space, upper, scratch->found, task->count, scratch);
    count = sutra_prune_choose(repair->to, repair->space, upper, task->count,
                               task->slots - task->slots / 5,
                               upper ? NULL : sutra_tree_parents(repair->to), name, scratch, kept);
    sutra_node_store(list_out, task->slots, kept, count);
    return true;
}

/* Workers share words. */
static void note(uint64_t *changed, size_t list)
{
    if (changed)
        (void)__atomic_fetch_or(&changed[list / 64], (uint64_t)1 << list % 64, __ATOMIC_RELAXED);
}

static int repair_rows(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct sutra_repair *repair = context;
    struct task task = {
        .repair = repair, .scratch = &repair->to->workers[worker], .slots = repair->from->slots};
    for (size_t row = begin; row < end; row++) {
        if (!sutra_graph_has_row(repair->gone, row) &&
            repair_list(&task, (uint32_t)row,
                        sutra_graph_list(repair->to, name_of(&task, (uint32_t)row))))
            note(repair->changed, row);
    }
    return SUTRA_OK;
}

static int repair_uppers(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct sutra_repair *repair = context;
    const struct sutra_graph *from = repair->from;
    struct task task = {
        .repair = repair, .scratch = &repair->to->workers[worker], .slots = from->upper_slots};
    for (uint32_t upper = (uint32_t)begin; upper < end; upper++) {
        if (sutra_graph_has_row(repair->gone, sutra_graph_upper_node(from, upper)))
            continue;
        for (task.level = 1; task.level <= sutra_graph_upper_level(from, upper); task.level++) {
            if (repair_list(&task, upper,
                            sutra_graph_upper_list(repair->to, name_of(&task, upper), task.level)))
                note(repair->upper_changed, sutra_level_list(from, upper, task.level));
        }
    }
    return SUTRA_OK;
}

void sutra_repair_lists(const struct sutra_repair *repair, unsigned threads)
{
    void *context = (void *)(uintptr_t)repair;
    (void)sutra_parallel_for(repair->from->count, 256, threads, repair_rows, context);
    (void)sutra_parallel_for(repair->from->upper_count, 64, threads, repair_uppers, context);
}
