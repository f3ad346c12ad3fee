/* Log files: what replays is in order and inside the file, can be gone on from, and has a
 * successor.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz.h"

#include "disk.h"
#include "mend.h"
#include "store/ops.h"

enum { FIRST = 7 }; /* number of the first file; the second is the next */

/* ---- seeds */

static void append(struct sutra_log *log, uint32_t flags, size_t bytes, uint64_t durable)
{
    uint8_t payload[256];
    const struct sutra_span span = {payload, bytes};
    for (size_t j = 0; j < bytes; j++)
        payload[j] = (uint8_t)sutra_random_at(bytes, j);
    FUZZ_REQUIRE(sutra_log_append(log, flags, &span, bytes > 0, durable) == SUTRA_OK);
}

static void emit_logs(uint64_t first_lsn, bool second, bool unfinished, uint8_t options)
{
    struct disk disk = disk_new();
    struct sutra_log log;
    struct sutra_log_end end;
    struct fuzz_input input = {0};
    FUZZ_REQUIRE(sutra_log_create(&log, disk.io, FUZZ_DIRECTORY, fuzz_store_id, FIRST, first_lsn,
                                  NULL) == SUTRA_OK);
    append(&log, 0, 40, first_lsn - 1);
    append(&log, SUTRA_LOG_MORE, 13, first_lsn - 1);
    append(&log, 0, 200, first_lsn);
    append(&log, 0, 0, first_lsn + 2);
    append(&log, 0, 64, first_lsn + 3);
    if (unfinished)
        append(&log, SUTRA_LOG_MORE, 24, first_lsn + 4);
    sutra_log_end_of(&log, &end);
    sutra_log_close(&log);
    if (second) {
        FUZZ_REQUIRE(sutra_log_create(&log, disk.io, FUZZ_DIRECTORY, fuzz_store_id, FIRST + 1,
                                      end.next_lsn, &end) == SUTRA_OK);
        append(&log, 0, 16, end.next_lsn - 1);
        append(&log, 0, 8, end.next_lsn);
        sutra_log_close(&log);
    }
    input.options[1] = options;
    disk_take(&disk, "00000007.wal", &input, 0, FIRST, 48);
    disk_take(&disk, "00000008.wal", &input, 1, FIRST + 1, 48);
    fuzz_emit(&input);
    disk_free(&disk);
}

static void fuzz_seeds(void)
{
    emit_logs(1, false, false, 1);
    emit_logs(41, false, true, 1);
    emit_logs(1000000, true, false, 0);
    emit_logs(3, true, true, 3);
    emit_logs(UINT64_MAX - 20, true, true, 0);
}

/* ---- replaying */

struct seen {
    uint64_t first, count, last_whole; /* LSNs; of complete batches */
    uint64_t stop_lsn;
    struct sutra_decoder decoder;
};

static int see(void *context, uint64_t lsn, uint32_t flags, const uint8_t *payload, uint32_t bytes)
{
    struct seen *seen = context;
    if (seen->count == 0)
        seen->first = lsn;
    FUZZ_REQUIRE(lsn == seen->first + seen->count && lsn <= seen->stop_lsn);
    FUZZ_REQUIRE((flags & ~(uint32_t)SUTRA_LOG_MORE) == 0);
    FUZZ_REQUIRE(bytes <= FUZZ_FILE_MOST && (uintptr_t)payload % 8 == 0);
    fuzz_touch(payload, bytes);
    seen->count++;
    if (!(flags & SUTRA_LOG_MORE))
        seen->last_whole = lsn;
    struct sutra_op op;
    bool more = bytes > 0;
    int status = sutra_decoder_start(&seen->decoder, payload, bytes);
    while (status == SUTRA_OK && more)
        status = sutra_decode_op(&seen->decoder, &op, &more);
    FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CORRUPT);
    return SUTRA_OK;
}

/* Nothing is left behind the end. */
static int see_none(void *context, uint64_t lsn, uint32_t flags, const uint8_t *payload,
                    uint32_t bytes)
{
    (void)context, (void)lsn, (void)flags, (void)payload, (void)bytes;
    FUZZ_REQUIRE(false);
    return SUTRA_OK;
}

static void go_on(const struct sutra_log_replay *replay, const struct sutra_log_end *end)
{
    struct sutra_log_replay rest = *replay;
    struct sutra_log_end again;
    struct sutra_fault fault;
    rest.skip_bytes = end->bytes;
    rest.skip_lsn = end->next_lsn;
    rest.skip_checksum = end->last_checksum;
    rest.expected_lsn = 0;
    rest.before = NULL;
    rest.each = see_none;
    FUZZ_REQUIRE(sutra_log_replay(&rest, &again, NULL, &fault) == SUTRA_OK);
    FUZZ_REQUIRE(again.file_number == end->file_number && again.bytes == end->bytes &&
                 again.last_checksum == end->last_checksum && again.next_lsn == end->next_lsn);
}

/* A writer begins the next file, and a reader of that one finds what it wrote. */
static void succeed(struct disk *disk, const struct sutra_log_end *end)
{
    struct sutra_log log;
    struct sutra_log_end next;
    struct sutra_fault fault;
    struct seen seen = {.stop_lsn = UINT64_MAX};
    if (end->next_lsn > UINT64_MAX - 4)
        return;
    FUZZ_REQUIRE(sutra_log_create(&log, disk->io, FUZZ_DIRECTORY, fuzz_store_id, FIRST + 2,
                                  end->next_lsn, end) == SUTRA_OK);
    append(&log, 0, 24, end->next_lsn - 1);
    sutra_log_close(&log);
    const struct sutra_log_replay replay = {.io = disk->io,
                                            .directory = FUZZ_DIRECTORY,
                                            .store_id = fuzz_store_id,
                                            .file_number = FIRST + 2,
                                            .before = end,
                                            .expected_lsn = end->next_lsn,
                                            .stop_lsn = UINT64_MAX,
                                            .last = true,
                                            .each = see,
                                            .context = &seen};
    FUZZ_REQUIRE(sutra_log_replay(&replay, &next, NULL, &fault) == SUTRA_OK);
    FUZZ_REQUIRE(seen.count == 1 && next.next_lsn == end->next_lsn + 1);
    sutra_decoder_deinit(&seen.decoder);
}

/* Options 1: the first file is the last one (bit 0), the second is said to follow something else
 * (bit 1). Options 2, where not 0: records to replay of each. */
static void fuzz_run(struct fuzz_input *input)
{
    struct disk disk = disk_new();
    struct sutra_log_end end = {0};
    const bool raw = input->options[0] & 1, alone = input->options[1] & 1;
    for (uint32_t j = 0; j < 2; j++) {
        struct fuzz_file *file = &input->files[j];
        char name[SUTRA_LOG_NAME_BYTES];
        file->number = FIRST + j;
        if (!raw) {
            if (j == 1 && !(input->options[1] & 2))
                mend_before(file, &end);
            end = mend_log(file);
        }
        sutra_log_name(file->number, name);
        disk_put(&disk, name, file);
    }
    int status = SUTRA_OK;
    struct sutra_log_end before = {0};
    for (uint32_t j = 0; j < (alone ? 1u : 2u) && status == SUTRA_OK; j++) {
        const struct fuzz_file *file = &input->files[j];
        struct seen seen = {.stop_lsn = UINT64_MAX};
        struct sutra_fault fault = SUTRA_FAULT_NONE;
        uint64_t torn = 0;
        if (input->options[2] && file->bytes >= SUTRA_LOG_HEADER_BYTES)
            seen.stop_lsn =
                sutra_load_u64(file->data + SUTRA_LOG_HEADER_FIRST_LSN) + input->options[2] - 1;
        const struct sutra_log_replay replay = {.io = disk.io,
                                                .directory = FUZZ_DIRECTORY,
                                                .store_id = fuzz_store_id,
                                                .file_number = FIRST + j,
                                                .before = j ? &before : NULL,
                                                .expected_lsn = j ? before.next_lsn : 0,
                                                .stop_lsn = seen.stop_lsn,
                                                .last = alone || j == 1,
                                                .each = see,
                                                .context = &seen};
        status = sutra_log_replay(&replay, &end, &torn, &fault);
        FUZZ_REQUIRE(status == SUTRA_OK || status == SUTRA_E_CORRUPT || status == ENOENT ||
                     status == SUTRA_E_TRUNCATED || status == SUTRA_E_VERSION);
        FUZZ_REQUIRE(status != SUTRA_E_CORRUPT || fault.what != NULL);
        if (status == SUTRA_OK) {
            FUZZ_REQUIRE(end.file_number == FIRST + j && end.bytes + torn <= file->bytes);
            FUZZ_REQUIRE(end.bytes >= SUTRA_LOG_HEADER_BYTES && end.bytes % 8 == 0);
            FUZZ_REQUIRE(seen.count == 0 || end.next_lsn == seen.first + seen.count);
            FUZZ_REQUIRE(seen.count == 0 || seen.last_whole == end.next_lsn - 1);
            go_on(&replay, &end);
            if (replay.last && end.next_lsn <= replay.stop_lsn)
                succeed(&disk, &end);
        }
        before = end;
        sutra_decoder_deinit(&seen.decoder);
    }
    disk_free(&disk);
}
