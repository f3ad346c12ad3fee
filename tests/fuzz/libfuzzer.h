/* A target as a libFuzzer program; included by fuzz.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_FUZZ_LIBFUZZER_H
#define SUTRA_TESTS_FUZZ_LIBFUZZER_H

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *count, char ***arguments);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);

static const char *fuzz_directory;
static unsigned fuzz_written;

static void fuzz_emit(struct fuzz_input *input)
{
    char path[512];
    size_t size;
    uint8_t *data = fuzz_pack(input, &size);
    (void)snprintf(path, sizeof path, "%s/seed-%02u", fuzz_directory, fuzz_written++);
    FILE *file = fopen(path, "wb");
    FUZZ_REQUIRE(file != NULL && fwrite(data, 1, size, file) == size);
    FUZZ_REQUIRE(fclose(file) == 0);
    free(data);
    fuzz_free(input);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    if (*count == 3 && strcmp((*arguments)[1], "--write-seeds") == 0) {
        fuzz_directory = (*arguments)[2];
        fuzz_seeds();
        exit(0);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_one(data, size);
    return 0;
}

/* libFuzzer's own mutations, which know what was compared with what, stay inside a chunk most of
 * the time: elsewhere they would move all chunks behind them. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
    struct fuzz_random random = {.seed = seed};
    struct fuzz_chunk chunk;
    const size_t kind = fuzz_below(&random, 16);
    if (kind == 0 || size < FUZZ_HEAD)
        return LLVMFuzzerMutate(data, size, room);
    if (kind < 8 && fuzz_choose(&random, data, size, &chunk) && chunk.bytes > 0) {
        uint8_t window[64];
        const size_t at = fuzz_below(&random, chunk.bytes) & ~(size_t)7, left = chunk.bytes - at;
        const size_t bytes = left < sizeof window ? left : sizeof window;
        memcpy(window, data + chunk.at + at, bytes);
        const size_t changed = LLVMFuzzerMutate(window, bytes, bytes);
        memcpy(data + chunk.at + at, window, changed);
        return size;
    }
    for (size_t times = 1 + fuzz_below(&random, 4); times > 0; times--)
        size = fuzz_mutate(&random, data, size, room);
    return size;
}

#endif
