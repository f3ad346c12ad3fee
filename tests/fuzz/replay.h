/* A target as a plain program; included by fuzz.h.
 *
 *   fuzz_NAME [--mutations N] [--trial N [--save FILE]] [FILE ...]
 *
 * It runs its seeds and the files, then N mutations of them (1,000); what a mutation does depends
 * on its number and the inputs alone. When it dies it says in which input or mutation, and --trial
 * repeats that one, --save writes it to a file.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_FUZZ_REPLAY_H
#define SUTRA_TESTS_FUZZ_REPLAY_H

enum { FUZZ_INPUTS_MOST = 1024 };

static struct fuzz_bytes {
    uint8_t *data;
    size_t size;
} fuzz_inputs[FUZZ_INPUTS_MOST];
static size_t fuzz_input_count;
static char fuzz_place[128]; /* what a dying program says */

static void fuzz_take(uint8_t *data, size_t size)
{
    FUZZ_REQUIRE(fuzz_input_count < FUZZ_INPUTS_MOST);
    fuzz_inputs[fuzz_input_count++] = (struct fuzz_bytes){data, size};
}

static void fuzz_emit(struct fuzz_input *input)
{
    size_t size;
    uint8_t *data = fuzz_pack(input, &size);
    fuzz_take(data, size);
    fuzz_free(input);
}

static void fuzz_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    FUZZ_REQUIRE(file != NULL && fseek(file, 0, SEEK_END) == 0);
    const long size = ftell(file);
    FUZZ_REQUIRE(size >= 0);
    rewind(file);
    uint8_t *data = fuzz_alloc((size_t)size);
    FUZZ_REQUIRE(fread(data, 1, (size_t)size, file) == (size_t)size);
    (void)fclose(file);
    fuzz_take(data, (size_t)size);
}

static void fuzz_die(int number)
{
    const ssize_t done = write(STDERR_FILENO, fuzz_place, strlen(fuzz_place));
    (void)done;
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void fuzz_trial(uint64_t trial, const char *save)
{
    struct fuzz_random random = {.seed = trial};
    const struct fuzz_bytes *base = &fuzz_inputs[fuzz_below(&random, fuzz_input_count)];
    const size_t room = base->size + 1024;
    uint8_t *data = fuzz_alloc(room);
    size_t size = base->size;
    memcpy(data, base->data, size);
    for (size_t times = 1 + fuzz_below(&random, 6); times > 0; times--)
        size = fuzz_mutate(&random, data, size, room);
    if (save != NULL) {
        FILE *file = fopen(save, "wb");
        FUZZ_REQUIRE(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    }
    (void)snprintf(fuzz_place, sizeof fuzz_place, "in mutation %llu\n", (unsigned long long)trial);
    fuzz_one(data, size);
    free(data);
}

int main(int count, char **arguments)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    uint64_t mutations = 1000, only = UINT64_MAX;
    const char *save = NULL;
    for (size_t j = 0; j < sizeof signals / sizeof signals[0]; j++)
        (void)signal(signals[j], fuzz_die);
    fuzz_seeds();
    const size_t seeds = fuzz_input_count;
    for (int j = 1; j < count; j++) {
        const bool more = j + 1 < count;
        if (more && strcmp(arguments[j], "--mutations") == 0)
            mutations = strtoull(arguments[++j], NULL, 10);
        else if (more && strcmp(arguments[j], "--trial") == 0)
            only = strtoull(arguments[++j], NULL, 10);
        else if (more && strcmp(arguments[j], "--save") == 0)
            save = arguments[++j];
        else
            fuzz_read(arguments[j]);
    }
    if (only != UINT64_MAX) {
        fuzz_trial(only, save);
        return 0;
    }
    for (size_t j = 0; j < fuzz_input_count; j++) {
        (void)snprintf(fuzz_place, sizeof fuzz_place, "in %s %zu\n", j < seeds ? "seed" : "file",
                       j < seeds ? j : j - seeds);
        fuzz_one(fuzz_inputs[j].data, fuzz_inputs[j].size);
    }
    for (uint64_t trial = 0; trial < mutations; trial++)
        fuzz_trial(trial, NULL);
    (void)printf("%zu seeds, %zu files, %llu mutations\n", seeds, fuzz_input_count - seeds,
                 (unsigned long long)mutations);
    for (size_t j = 0; j < fuzz_input_count; j++)
        free(fuzz_inputs[j].data);
    return 0;
}

#endif
