/* A store made once, with a graph, several segments and logs, for tests that start from it many
 * times: each start is a copy of its disk and of its model.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_STORE_PREPARED_H
#define SUTRA_TESTS_STORE_PREPARED_H

#include "index/index.h"
#include "store_cases.h"

struct prepared {
    struct sutra_simulated *fs; /* the store is closed */
    struct job *job;
    uint64_t lsn;
};

/* Enough concepts with vectors that there is a graph. */
static inline void put_many(struct job *job, size_t count)
{
    struct work *work = job->work;
    for (size_t done = 0; done < count && job->wrong == 0; done += WORK_ITEMS) {
        struct work_op *op = &work->ops[0];
        struct sutra_op *out = &work->list[0];
        memset(out, 0, sizeof *out);
        work->time_ns++;
        for (size_t j = 0; j < WORK_ITEMS; j++) {
            op->places[j] = number_place(job->model->next_number) + (uint32_t)j;
            op->weights[j] = op->confidences[j] = 0.25f;
            op->has_vector[j] = 1;
            op->blobs[0][j] = op->blobs[1][j] = NULL;
        }
        for (size_t i = 0; i < WORK_ITEMS * MODEL_DIM; i++)
            op->vectors[i] = draw_float(work) - 0.5f;
        op->expected_first = job->model->next_number;
        out->kind = SUTRA_OP_PUT;
        out->put = (struct sutra_op_put){.ids.count = WORK_ITEMS,
                                         .dim = MODEL_DIM,
                                         .vectors = op->vectors,
                                         .stride = MODEL_DIM,
                                         .strengths = op->weights,
                                         .confidences = op->confidences,
                                         .time_ns = work->time_ns};
        apply_put_to(job->model, op, &out->put);
        op->expected = WORK_ITEMS;
        work->op_count = 1;
        work->wait = true;
        struct call *call = begin_call(job, WORK_WRITE);
        job_expect(job, job_write(job, call) == SUTRA_OK, "adding");
        end_call(job);
    }
}

/* `calls` calls after the first concepts, then a close. */
static inline struct prepared prepare(uint64_t seed, int sync, size_t calls)
{
    struct prepared prepared = {0};
    if (sutra_simulated_new(seed, &prepared.fs) != SUTRA_OK)
        abort();
    struct job *job = job_new(sutra_simulated_io(prepared.fs), prepared.fs, seed, sync);
    prepared.job = job;
    job_start(job);
    job_run(job, 2);
    put_many(job, SUTRA_FLAT_ROWS + 100);
    job_expect(job, sutra_store_settle(job->store) == SUTRA_OK, "linking");
    job_expect(job, sutra_store_checkpoint(job->store) == SUTRA_OK, "checkpoint");
    job_run(job, job->call_count + calls);
    job_close(job);
    prepared.lsn = job->lsn;
    return prepared;
}

static inline void prepared_free(struct prepared *prepared)
{
    job_free(prepared->job);
    sutra_simulated_free(prepared->fs);
}

/* A copy of the disk. */
static inline struct sutra_simulated *prepared_disk(const struct prepared *prepared)
{
    struct sutra_simulated *fs;
    if (sutra_simulated_crash(prepared->fs, sutra_simulated_operations(prepared->fs),
                              SUTRA_CRASH_KEEP_ALL, 0, 0, &fs) != SUTRA_OK)
        abort();
    return fs;
}

/* A job that goes on where the prepared one ended, on another file table; not opened. */
static inline struct job *prepared_job(const struct prepared *prepared, const struct sutra_io *io,
                                       struct sutra_simulated *fs, uint64_t seed, int sync)
{
    struct job *job = job_new(io, fs, seed, sync);
    model_copy(job->model, prepared->job->model);
    job->work->time_ns = prepared->job->work->time_ns;
    job->lsn = prepared->lsn;
    history_set(&job->history, job->lsn, job->model->digest);
    history_set(&job->history, job->lsn + 1, job->model->digest); /* the marker of the close */
    return job;
}

#endif
