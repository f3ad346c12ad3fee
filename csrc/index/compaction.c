/* Compaction of an index: what is alive, close together, and nothing else.
 *
 * The copy is made beside the index while readers go on, then takes its place at once. A save of an
 * index with dead rows writes such a copy: a file has none.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

static int choose_alive(const struct sutra_front *now, struct sutra_row_choice *choice)
{
    int status = sutra_row_choice_init(choice, now->count);
    if (status != SUTRA_OK)
        return status;
    for (size_t row = 0; row < now->count; row++) {
        if (!sutra_front_is_dead(now, row))
            (void)sutra_row_choice_add(choice, row);
    }
    return sutra_row_choice_finish(choice);
}

static int copy_ids(const struct sutra_front *from, const struct sutra_row_choice *choice,
                    struct sutra_front *to)
{
    int status = sutra_planes_revive(&to->planes, SUTRA_PLANE_ID, sizeof(int64_t));
    if (status != SUTRA_OK)
        return status;
    int64_t *ids = sutra_planes_row(&to->planes, SUTRA_PLANE_ID, 0);
    bool identity = true;
    size_t place = 0;
    for (size_t row = 0; row < choice->rows; row++) {
        if (sutra_row_choice_place(choice, row) == SIZE_MAX)
            continue;
        ids[place] = sutra_front_id_of(from, row);
        identity = identity && ids[place] == (int64_t)place;
        place++;
    }
    to->identity_ids = identity;
    if (identity)
        sutra_planes_drop(&to->planes, SUTRA_PLANE_ID);
    return SUTRA_OK;
}

int sutra_index_make_compact(const struct sutra_index *index, unsigned threads,
                             struct sutra_index **copy_out)
{
    const struct sutra_front *now = &index->now;
    struct sutra_index *copy = NULL;
    struct sutra_row_choice choice;
    struct sutra_fault fault;
    int status = choose_alive(now, &choice);
    if (status == SUTRA_OK)
        status = sutra_index_make(now->kernels, &now->options, &copy, &fault);
    if (status == SUTRA_OK && choice.count) /* without a vector it begins anew, flat */
        status = sutra_front_gather(now, &choice, choice.rows, threads, &copy->now);
    if (status == SUTRA_OK)
        status = copy_ids(now, &choice, &copy->now);
    if (status == SUTRA_OK) {
        copy->now.count = choice.count;
        copy->next_id = index->next_id;
        copy->tuned_ef = __atomic_load_n(&index->tuned_ef, __ATOMIC_RELAXED);
        *copy_out = copy;
    } else {
        sutra_index_free(copy);
    }
    sutra_row_choice_deinit(&choice);
    return status;
}

/* What readers see changes places with the copy's; what is freed with the copy, they have left. */
static void take_over(struct sutra_index *index, struct sutra_index *copy,
                      struct sutra_front *fresh)
{
    const struct sutra_front old = index->now;
    index->now = copy->now;
    copy->now = old;
    copy->dead = index->dead;
    copy->vacant = index->vacant;
    index->dead = index->vacant = NULL;
    index->vacant_words = 0;
    sutra_front_publish(index, fresh, NULL);
    sutra_front_settle(index);
}

static int compact(struct sutra_index *index, unsigned threads)
{
    if (index->now.dead_count == 0)
        return SUTRA_OK;
    struct sutra_front *fresh = sutra_front_new();
    struct sutra_index *copy = NULL;
    int status = fresh ? SUTRA_OK : SUTRA_E_NO_MEMORY;
    if (status == SUTRA_OK)
        status = sutra_index_make_compact(index, threads, &copy);
    if (status != SUTRA_OK) {
        free(fresh);
        return status;
    }
    take_over(index, copy, fresh);
    sutra_index_free(copy);
    return SUTRA_OK;
}

int sutra_index_compact(struct sutra_index *index, unsigned threads)
{
    sutra_index_stop_copier(index);
    pthread_mutex_lock(&index->writer);
    int status = index->closed ? SUTRA_E_CLOSED : SUTRA_OK;
    if (status == SUTRA_OK)
        status = compact(index, threads ? threads : 1);
    pthread_mutex_unlock(&index->writer);
    return status;
}
