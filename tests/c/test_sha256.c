/* SHA-256 against the examples of FIPS 180-4 and of NIST's validation suite.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "base/sha256.h"
#include "check.h"

static void digest_of(const void *data, size_t bytes, size_t step, char text[65])
{
    struct sutra_sha256 hash;
    uint8_t digest[SUTRA_SHA256_BYTES];
    sutra_sha256_begin(&hash);
    for (size_t at = 0; at < bytes; at += step)
        sutra_sha256_add(&hash, (const uint8_t *)data + at, bytes - at < step ? bytes - at : step);
    sutra_sha256_end(&hash, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

static const struct {
    const char *message, *digest;
} examples[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnop"
     "qrsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

static void the_standards_examples(void)
{
    for (size_t e = 0; e < sizeof examples / sizeof examples[0]; e++) {
        const size_t bytes = strlen(examples[e].message);
        for (size_t step = 1; step < 130; step++) {
            char text[65];
            digest_of(examples[e].message, bytes, step, text);
            CHECK(strcmp(text, examples[e].digest) == 0);
        }
    }
}

static void a_million_letters(void)
{
    const size_t bytes = 1000000;
    char *letters = malloc(bytes);
    REQUIRE(letters != NULL);
    memset(letters, 'a', bytes);
    static const size_t steps[] = {1, 63, 64, 65, 1000, 1000000};
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        char text[65];
        digest_of(letters, bytes, steps[s], text);
        CHECK(strcmp(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0") ==
              0);
    }
    free(letters);
}

/* Lengths around the padding's edges: zeros of 55, 56, 63, 64, 65 and 119 bytes. */
static void lengths_at_the_edges(void)
{
    static const struct {
        size_t bytes;
        const char *digest;
    } edges[] = {
        {55, "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"},
        {56, "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"},
        {63, "c7723fa1e0127975e49e62e753db53924c1bd84b8ac1ac08df78d09270f3d971"},
        {64, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"},
        {65, "98ce42deef51d40269d542f5314bef2c7468d401ad5d85168bfab4c0108f75f7"},
        {119, "f616b0d54e78571a9611f343c9f8e022e859e920381ab0e4d3da01e193a7bd7e"},
    };
    static const uint8_t zeros[128] = {0};
    for (size_t e = 0; e < sizeof edges / sizeof edges[0]; e++) {
        char text[65];
        digest_of(zeros, edges[e].bytes, 128, text);
        CHECK(strcmp(text, edges[e].digest) == 0);
    }
}

CHECK_MAIN(CASE(the_standards_examples), CASE(a_million_letters), CASE(lengths_at_the_edges))
