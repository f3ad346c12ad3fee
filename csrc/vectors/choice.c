/* Choosing rows and copying them; see choice.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "choice.h"

#include <stdlib.h>
#include <string.h>

#include "../base/status.h"
#include "../base/threads.h"

/* Words of 64 rows that a thread takes at a time. */
#define CHUNK_WORDS 256u

static size_t word_count(const struct sutra_row_choice *choice)
{
    return choice->rows / 64 + 1;
}

int sutra_row_choice_init(struct sutra_row_choice *choice, size_t rows)
{
    *choice = (struct sutra_row_choice){.rows = rows};
    choice->bits = calloc(word_count(choice), sizeof *choice->bits);
    return choice->bits ? SUTRA_OK : SUTRA_E_NO_MEMORY;
}

void sutra_row_choice_deinit(struct sutra_row_choice *choice)
{
    free(choice->bits);
    free(choice->before);
    free(choice->labels);
    memset(choice, 0, sizeof *choice);
}

bool sutra_row_choice_add(struct sutra_row_choice *choice, size_t row)
{
    const uint64_t bit = (uint64_t)1 << row % 64;
    if (row >= choice->rows || choice->bits[row / 64] & bit)
        return false;
    choice->bits[row / 64] |= bit;
    choice->count++;
    return true;
}

int sutra_row_choice_finish(struct sutra_row_choice *choice)
{
    const size_t words = word_count(choice);
    choice->before = malloc(words * sizeof *choice->before);
    choice->labels = malloc((choice->count + 1) * sizeof *choice->labels);
    if (!choice->before || !choice->labels)
        return SUTRA_E_NO_MEMORY;
    memset(choice->labels, 0xff, (choice->count + 1) * sizeof *choice->labels);
    uint32_t before = 0;
    for (size_t w = 0; w < words; w++) {
        choice->before[w] = before;
        before += (uint32_t)__builtin_popcountll(choice->bits[w]);
    }
    return SUTRA_OK;
}

/* ---- copying */

struct copy_job {
    const struct sutra_row_choice *choice;
    const struct sutra_plane *from, *to;
    size_t end;
};

static bool is_chosen(const struct sutra_row_choice *choice, size_t row)
{
    return choice->bits[row / 64] >> row % 64 & 1;
}

/* Runs of rows go as one piece. */
static int copy_words(void *context, unsigned worker, size_t begin, size_t end)
{
    const struct copy_job *job = context;
    const size_t row_bytes = job->from->row_bytes;
    const size_t last = end * 64 < job->end ? end * 64 : job->end;
    (void)worker;
    for (size_t row = begin * 64; row < last; row++) {
        if (!is_chosen(job->choice, row))
            continue;
        const size_t first = row;
        while (row < last && is_chosen(job->choice, row))
            row++;
        memcpy(job->to->base + sutra_row_choice_below(job->choice, first) * row_bytes,
               job->from->base + first * row_bytes, (row - first) * row_bytes);
    }
    return SUTRA_OK;
}

void sutra_row_choice_copy(const struct sutra_row_choice *choice, const struct sutra_plane *from,
                           size_t end, unsigned threads, struct sutra_plane *to)
{
    struct copy_job job = {choice, from, to, end < choice->rows ? end : choice->rows};
    const size_t words = (job.end + 63) / 64;
    /* For want of threads the calling one does it all. */
    if (threads < 2 || words <= CHUNK_WORDS ||
        sutra_parallel_for(words, CHUNK_WORDS, threads, copy_words, &job) != SUTRA_OK)
        (void)copy_words(&job, 0, 0, words);
}

void sutra_row_choice_map(const struct sutra_row_choice *choice, size_t end, uint32_t absent,
                          uint32_t *map_out)
{
    uint32_t next = 0;
    for (size_t row = 0; row < end; row++)
        map_out[row] = is_chosen(choice, row) ? next++ : absent;
}
