/* A test harness in one header.
 *
 * A test is a `static void name(void)`; a file ends with CHECK_MAIN(CASE(a), CASE(b), ...).
 * CHECK notes a failure with its place and goes on; REQUIRE also leaves the test; both may be
 * used from threads (REQUIRE only in functions that return void). CHECK_EQ shows both
 * integers. SKIP leaves the test with a printed reason. The program prints one line
 * "N passed, N failed" and exits non-zero when a test failed. An argument runs only the tests
 * whose name contains it.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SUTRA_TESTS_CHECK_H
#define SUTRA_TESTS_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct check_case {
    const char *name;
    void (*run)(void);
};

/* Failed checks of the test that runs, and whether it gave up with a reason. */
static atomic_int check_failures;
static atomic_int check_skips;

static inline bool check_that(bool holds, const char *file, int line, const char *text)
{
    if (!holds) {
        atomic_fetch_add(&check_failures, 1);
        (void)fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
    }
    return holds;
}

static inline bool check_equal(long long a, long long b, const char *file, int line,
                               const char *text)
{
    if (a != b) {
        atomic_fetch_add(&check_failures, 1);
        (void)fprintf(stderr, "%s:%d: failed: %s (%lld and %lld)\n", file, line, text, a, b);
    }
    return a == b;
}

static inline void check_skip(const char *file, int line, const char *reason)
{
    atomic_fetch_add(&check_skips, 1);
    (void)fprintf(stderr, "%s:%d: skipped: %s\n", file, line, reason);
}

#define CHECK(condition) ((void)check_that((condition), __FILE__, __LINE__, #condition))
#define CHECK_EQ(a, b)                                                                             \
    ((void)check_equal((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b))
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!check_that((condition), __FILE__, __LINE__, #condition))                              \
            return;                                                                                \
    } while (0)
#define SKIP(reason)                                                                               \
    do {                                                                                           \
        check_skip(__FILE__, __LINE__, reason);                                                    \
        return;                                                                                    \
    } while (0)

static inline int check_run(const struct check_case *cases, size_t count, const char *filter)
{
    int passed = 0, failed = 0;
    for (size_t i = 0; i < count; i++) {
        if (filter != NULL && strstr(cases[i].name, filter) == NULL)
            continue;
        atomic_store(&check_failures, 0);
        atomic_store(&check_skips, 0);
        cases[i].run();
        if (atomic_load(&check_failures) != 0) {
            (void)fprintf(stderr, "FAILED %s\n", cases[i].name);
            failed++;
        } else if (atomic_load(&check_skips) == 0) {
            passed++;
        }
    }
    (void)printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

#define CASE(function)                                                                             \
    {                                                                                              \
#function, function                                                                        \
    }
#define CHECK_MAIN(...)                                                                            \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        static const struct check_case cases[] = {__VA_ARGS__};                                    \
        return check_run(cases, sizeof cases / sizeof cases[0], argc > 1 ? argv[1] : NULL);        \
    }

#endif
