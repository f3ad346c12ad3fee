/* SHA-256 as in FIPS 180-4, section 6.2.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "sha256.h"

/* Fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u,
    0xab1c5ed5u, 0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu,
    0x9bdc06a7u, 0xc19bf174u, 0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu,
    0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau, 0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u,
    0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u, 0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu,
    0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u, 0xa2bfe8a1u, 0xa81a664bu,
    0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u, 0x19a4c116u,
    0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u,
    0xc67178f2u,
};

static uint32_t turn(uint32_t x, unsigned bits)
{
    return x >> bits | x << (32 - bits);
}

/* The standard is big-endian. */
static uint32_t load_big(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void store_big(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 24);
    to[1] = (uint8_t)(value >> 16);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

static void add_block(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64];
    for (unsigned t = 0; t < 16; t++)
        w[t] = load_big(block + (size_t)4 * t);
    for (unsigned t = 16; t < 64; t++) {
        const uint32_t low = turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ w[t - 15] >> 3;
        const uint32_t high = turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + low + w[t - 7] + high;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (unsigned t = 0; t < 64; t++) {
        const uint32_t first = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) +
                               round_constants[t] + w[t];
        const uint32_t second =
            (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + first;
        d = c;
        c = b;
        b = a;
        a = first + second;
    }
    const uint32_t added[8] = {a, b, c, d, e, f, g, h};
    for (unsigned i = 0; i < 8; i++)
        state[i] += added[i];
}

void sutra_sha256_begin(struct sutra_sha256 *hash)
{
    /* Fractional parts of the square roots of the first eight primes. */
    *hash = (struct sutra_sha256){.state = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                            0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u}};
}

void sutra_sha256_add(struct sutra_sha256 *hash, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    size_t held = (size_t)(hash->bytes % 64);
    hash->bytes += bytes;
    if (held > 0) {
        const size_t step = bytes < 64 - held ? bytes : 64 - held;
        if (step > 0)
            memcpy(hash->block + held, at, step);
        at += step;
        bytes -= step;
        held += step;
        if (held < 64)
            return;
        add_block(hash->state, hash->block);
    }
    for (; bytes >= 64; bytes -= 64, at += 64)
        add_block(hash->state, at);
    if (bytes > 0)
        memcpy(hash->block, at, bytes);
}

void sutra_sha256_end(struct sutra_sha256 *hash, uint8_t digest_out[SUTRA_SHA256_BYTES])
{
    /* A one bit, zeros, and the length in bits in the last eight bytes of a block. */
    static const uint8_t padding[64] = {0x80};
    const uint64_t bits = hash->bytes * 8;
    const size_t held = (size_t)(hash->bytes % 64);
    sutra_sha256_add(hash, padding, held < 56 ? 56 - held : 120 - held);
    uint8_t length[8];
    store_big(length, (uint32_t)(bits >> 32));
    store_big(length + 4, (uint32_t)bits);
    sutra_sha256_add(hash, length, sizeof length);
    for (unsigned i = 0; i < 8; i++)
        store_big(digest_out + (size_t)4 * i, hash->state[i]);
}
