/* CRC-32C (Castagnoli, reflected polynomial 0x82f63b78).
 *
 * Portable path: slice-by-8 (Kounavis and Berry, 2005). Instruction paths: the CPU's CRC-32C
 * step has a latency of three cycles and a throughput of one, so long inputs run as three
 * independent streams of STREAM_BYTES, joined by multiplying with x^(8 * STREAM_BYTES)
 * through a table (Gopal et al., 2011; Adler).
 *
 * A CRC without its inversions is linear over GF(2): the entry for a byte is the sum of the
 * entries for its bits. The tables are therefore written as eight constants each and expanded
 * by the compiler, so there is nothing to initialise at run time.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "bytes.h"
#include "crc32c.h"

#if defined(SUTRA_ARCH_X86_64)
#include <nmmintrin.h>
#elif defined(SUTRA_ARCH_AARCH64) && defined(__linux__)
#include <sys/auxv.h>
#endif

#define ENTRY(i, b0, b1, b2, b3, b4, b5, b6, b7)                                                   \
    (((i)&1 ? b0 : 0) ^ ((i)&2 ? b1 : 0) ^ ((i)&4 ? b2 : 0) ^ ((i)&8 ? b3 : 0) ^                   \
     ((i)&16 ? b4 : 0) ^ ((i)&32 ? b5 : 0) ^ ((i)&64 ? b6 : 0) ^ ((i)&128 ? b7 : 0))
#define ENTRIES_4(i, ...)                                                                          \
    ENTRY(i, __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__), ENTRY((i) + 2, __VA_ARGS__),               \
        ENTRY((i) + 3, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                         \
    ENTRIES_4(i, __VA_ARGS__), ENTRIES_4((i) + 4, __VA_ARGS__), ENTRIES_4((i) + 8, __VA_ARGS__),   \
        ENTRIES_4((i) + 12, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                         \
    ENTRIES_16(i, __VA_ARGS__), ENTRIES_16((i) + 16, __VA_ARGS__),                                 \
        ENTRIES_16((i) + 32, __VA_ARGS__), ENTRIES_16((i) + 48, __VA_ARGS__)
#define TABLE(...)                                                                                 \
    {                                                                                              \
        ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__), ENTRIES_64(128, __VA_ARGS__),     \
            ENTRIES_64(192, __VA_ARGS__)                                                           \
    }

/* slice[k][b]: the CRC of byte b followed by k zero bytes. */
static const uint32_t slice[8][256] = {
    TABLE(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu,
          0x82f63b78u),
    TABLE(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u, 0xff17c604u,
          0xfbc3faf9u),
    TABLE(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u, 0xc76580d9u,
          0x8b277743u),
    TABLE(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu, 0xaba65fe7u,
          0x52a0c93fu),
    TABLE(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu,
          0x6ea2d55cu),
    TABLE(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du, 0x0e045bebu,
          0x1c08b7d6u),
    TABLE(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au,
          0xf56e0ef4u),
    TABLE(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u, 0x1a00cb32u,
          0x34019664u),
};

uint32_t sutra_crc32c_portable(uint32_t crc, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    crc = ~crc;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint32_t low = sutra_load_u32(at) ^ crc;
        uint32_t high = sutra_load_u32(at + 4);
        crc = slice[7][low & 255] ^ slice[6][low >> 8 & 255] ^ slice[5][low >> 16 & 255] ^
              slice[4][low >> 24] ^ slice[3][high & 255] ^ slice[2][high >> 8 & 255] ^
              slice[1][high >> 16 & 255] ^ slice[0][high >> 24];
    }
    for (; bytes > 0; bytes--, at++)
        crc = crc >> 8 ^ slice[0][(crc ^ *at) & 255];
    return ~crc;
}

#if defined(SUTRA_ARCH_X86_64) || defined(SUTRA_ARCH_AARCH64)

#if defined(SUTRA_ARCH_X86_64)
#define CRC_TARGET __attribute__((target("sse4.2")))
#define STEP_8(crc, value) ((uint32_t)_mm_crc32_u64(crc, value))
#define STEP_1(crc, value) _mm_crc32_u8(crc, value)

static bool have_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

#else
/* The builtins, because clang before 16 hides the arm_acle.h names outside -march=...+crc. */
#if defined(__clang__)
#define CRC_TARGET __attribute__((target("crc")))
#define STEP_8(crc, value) __builtin_arm_crc32cd(crc, value)
#define STEP_1(crc, value) __builtin_arm_crc32cb(crc, value)
#else
#define CRC_TARGET __attribute__((target("+crc")))
#define STEP_8(crc, value) __builtin_aarch64_crc32cx(crc, value)
#define STEP_1(crc, value) __builtin_aarch64_crc32cb(crc, value)
#endif

static bool have_instruction(void)
{
#if defined(__APPLE__)
    return true;
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) & 1ul << 7) != 0; /* HWCAP_CRC32 */
#else
    return false;
#endif
}
#endif

#define STREAM_BYTES 2048

/* skip[k][b]: the CRC of byte b at place k of a register, followed by STREAM_BYTES zeros. */
static const uint32_t skip[4][256] = {
    TABLE(0xf7506984u, 0xeb4ca5f9u, 0xd3753d03u, 0xa3060cf7u, 0x43e06f1fu, 0x87c0de3eu, 0x0a6dca8du,
          0x14db951au),
    TABLE(0x29b72a34u, 0x536e5468u, 0xa6dca8d0u, 0x48552751u, 0x90aa4ea2u, 0x24b8ebb5u, 0x4971d76au,
          0x92e3aed4u),
    TABLE(0x202b2b59u, 0x405656b2u, 0x80acad64u, 0x04b52c39u, 0x096a5872u, 0x12d4b0e4u, 0x25a961c8u,
          0x4b52c390u),
    TABLE(0x96a58720u, 0x28a778b1u, 0x514ef162u, 0xa29de2c4u, 0x40d7b379u, 0x81af66f2u, 0x06b2bb15u,
          0x0d65762au),
};

static uint32_t skip_stream(uint32_t crc)
{
    return skip[0][crc & 255] ^ skip[1][crc >> 8 & 255] ^ skip[2][crc >> 16 & 255] ^
           skip[3][crc >> 24];
}

CRC_TARGET static uint32_t crc_instruction(uint32_t crc, const uint8_t *at, size_t bytes)
{
    crc = ~crc;
    while (bytes >= 3 * (size_t)STREAM_BYTES) {
        uint32_t second = 0, third = 0;
        for (const uint8_t *end = at + STREAM_BYTES; at < end; at += 8) {
            crc = STEP_8(crc, sutra_load_u64(at));
            second = STEP_8(second, sutra_load_u64(at + STREAM_BYTES));
            third = STEP_8(third, sutra_load_u64(at + 2 * STREAM_BYTES));
        }
        crc = skip_stream(crc) ^ second;
        crc = skip_stream(crc) ^ third;
        at += 2 * (size_t)STREAM_BYTES;
        bytes -= 3 * (size_t)STREAM_BYTES;
    }
    for (; bytes >= 8; bytes -= 8, at += 8)
        crc = STEP_8(crc, sutra_load_u64(at));
    for (; bytes > 0; bytes--, at++)
        crc = STEP_1(crc, *at);
    return ~crc;
}
#endif

uint32_t sutra_crc32c(uint32_t crc, const void *data, size_t bytes)
{
#if defined(SUTRA_ARCH_X86_64) || defined(SUTRA_ARCH_AARCH64)
    if (have_instruction())
        return crc_instruction(crc, data, bytes);
#endif
    return sutra_crc32c_portable(crc, data, bytes);
}
