/* Every kernel of kernels.def, on every tier this CPU runs, against plain definitions.
 *
 * The list itself makes the table of tests: a kernel without a function test_<name> here does
 * not compile. EXACT and ELEMENT results must equal a definition written here from the words
 * of kernels.def, bit for bit; SUM results must lie within the stated bound of a sum in
 * double. Two allowances are made where kernels.def is silent: products may underflow
 * (2^-149 a term), and the sign of a zero found by range_f32 is free.
 * SPDX-License-Identifier: Apache-2.0
 */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS */
#endif

#include <float.h>

#include "base/status.h"
#include "kernel_cases.h"

/* ---- float32 */

enum measure { DOT, L2SQ, COSINE };

static const char *const float_names[2][3] = {
    {"dot_f32_many", "l2sq_f32_many", "cosine_f32_many"},
    {"dot_f32_gather", "l2sq_f32_gather", "cosine_f32_gather"},
};

/* Within (dim + 8) * 2^-24 of the sum of |terms|, plus what underflow may take. */
static void check_sum(const char *kernel, int tier, size_t dim, size_t r, float got, double exact,
                      double magnitude)
{
    const double terms = (double)dim;
    const double allowed = (terms + 8) * 0x1p-24 * magnitude + terms * 0x1p-149;
    if (!(fabs((double)got - exact) <= allowed))
        fail(kernel, tier, dim, r, (double)got, exact);
}

/* The exact result and its sum of |terms|; for cosine 1 is one of the terms. */
static double exact_sum(enum measure measure, const float *query, float query_inverse_norm,
                        const float *row, size_t dim, double *magnitude_out)
{
    double sum = 0, magnitude = 0, norm = 0;
    for (size_t j = 0; j < dim; j++) {
        const double q = (double)query[j], x = (double)row[j];
        const double term = measure == L2SQ ? (q - x) * (q - x) : q * x;
        sum += term;
        magnitude += fabs(term);
        norm += x * x;
    }
    if (measure == COSINE) {
        const double scale = norm == 0 ? 0 : (double)query_inverse_norm / sqrt(norm);
        sum = 1 - sum * scale;
        magnitude = 1 + magnitude * scale;
    }
    *magnitude_out = magnitude;
    return sum;
}

static void call_float(const struct sutra_kernels *k, enum measure measure, const float *query,
                       float inverse, const float *x, const struct rows *rows, float *out)
{
    const size_t stride = rows->stride, count = rows->count, dim = rows->dim;
    const uint32_t *ids = rows->ids;
    if (measure == DOT && ids != NULL)
        k->dot_f32_gather(query, x, stride, ids, count, dim, out);
    else if (measure == DOT)
        k->dot_f32_many(query, x, stride, count, dim, out);
    else if (measure == L2SQ && ids != NULL)
        k->l2sq_f32_gather(query, x, stride, ids, count, dim, out);
    else if (measure == L2SQ)
        k->l2sq_f32_many(query, x, stride, count, dim, out);
    else if (ids != NULL)
        k->cosine_f32_gather(query, inverse, x, stride, ids, count, dim, out);
    else
        k->cosine_f32_many(query, inverse, x, stride, count, dim, out);
}

static float inverse_norm(const float *x, size_t dim)
{
    double norm = 0;
    for (size_t j = 0; j < dim; j++)
        norm += (double)x[j] * (double)x[j];
    return norm > 0 ? (float)(1 / sqrt(norm)) : 0.0f;
}

static void float_rows(enum measure measure, bool gather)
{
    const char *name = float_names[gather][measure];
    FOR_CASES(c)
    {
        enum float_kind kind = (enum float_kind)random_below(FLOAT_KINDS);
        if (measure == COSINE && kind == TINY)
            kind = UNIT; /* a norm that underflows is no direction */
        const struct rows rows = make_rows(c.dim, case_count(&c), gather);
        float *query = place(QUERY, c.dim, sizeof *query);
        float *x = place(ROWS, rows.elements, sizeof *x);
        float *out = place(OUT, rows.count, sizeof *out);
        fill_floats(query, c.dim, kind);
        fill_floats(x, rows.elements, kind);
        if (random_below(4) == 0)
            memset(random_below(2) && rows.total > 0 ? x : query, 0, c.dim * sizeof *x);
        const float inverse = inverse_norm(query, c.dim);
        FOR_TIERS(tier, k)
        {
            scribble(OUT);
            call_float(k, measure, query, inverse, x, &rows, out);
            for (size_t r = 0; r < rows.count; r++) {
                double magnitude;
                const float *row = x + row_number(&rows, r) * rows.stride;
                const double exact = exact_sum(measure, query, inverse, row, c.dim, &magnitude);
                check_sum(name, tier, c.dim, r, out[r], exact, magnitude);
                if (measure == COSINE && (inverse == 0.0f || inverse_norm(row, c.dim) == 0.0f))
                    CHECK(out[r] == 1.0f);
            }
            check_frame(name, tier, c.dim, OUT);
        }
    }
}

static void float_pairs(enum measure measure)
{
    FOR_CASES(c)
    {
        for (int kind = 0; kind < FLOAT_KINDS; kind++) {
            float *a = place(QUERY, c.dim, sizeof *a), *b = place(ROWS, c.dim, sizeof *b);
            fill_floats(a, c.dim, (enum float_kind)kind);
            fill_floats(b, c.dim, (enum float_kind)kind);
            FOR_TIERS(tier, k)
            {
                double magnitude;
                const double exact = exact_sum(measure, a, 0, b, c.dim, &magnitude);
                const float got =
                    measure == DOT ? k->dot_f32(a, b, c.dim) : k->l2sq_f32(a, b, c.dim);
                check_sum(measure == DOT ? "dot_f32" : "l2sq_f32", tier, c.dim, 0, got, exact,
                          magnitude);
                if (measure == L2SQ)
                    CHECK(k->l2sq_f32(a, a, c.dim) == 0.0f);
            }
        }
    }
}

static void test_dot_f32(void)
{
    float_pairs(DOT);
}

static void test_l2sq_f32(void)
{
    float_pairs(L2SQ);
}

static void test_dot_f32_many(void)
{
    float_rows(DOT, false);
}

static void test_l2sq_f32_many(void)
{
    float_rows(L2SQ, false);
}

static void test_cosine_f32_many(void)
{
    float_rows(COSINE, false);
}

static void test_dot_f32_gather(void)
{
    float_rows(DOT, true);
}

static void test_l2sq_f32_gather(void)
{
    float_rows(L2SQ, true);
}

static void test_cosine_f32_gather(void)
{
    float_rows(COSINE, true);
}

/* ---- byte codes */

enum byte_kernel { U7_MANY, U8_MANY, U8_GATHER };

static void l2sq_bytes_case(enum byte_kernel which, size_t dim, size_t count)
{
    static const char *const names[] = {"l2sq_u7_many", "l2sq_u8_many", "l2sq_u8_gather"};
    const unsigned top = which == U7_MANY ? 127 : 255;
    const struct rows rows = make_rows(dim, count, which == U8_GATHER);
    uint8_t *query = place(QUERY, dim, 1), *x = place(ROWS, rows.elements, 1);
    uint32_t *out = place(OUT, count, sizeof *out), wanted[16];
    fill_bytes(query, dim, top);
    fill_bytes(x, rows.elements, top);
    if (random_below(4) == 0)
        memset(query, 0, dim);
    for (size_t r = 0; r < count; r++) {
        const uint8_t *row = x + row_number(&rows, r) * rows.stride;
        uint64_t sum = 0;
        for (size_t j = 0; j < dim; j++)
            sum += (uint64_t)((query[j] - row[j]) * (query[j] - row[j]));
        wanted[r] = (uint32_t)sum;
    }
    FOR_TIERS(tier, k)
    {
        scribble(OUT);
        if (which == U7_MANY)
            k->l2sq_u7_many(query, x, rows.stride, count, dim, out);
        else if (which == U8_MANY)
            k->l2sq_u8_many(query, x, rows.stride, count, dim, out);
        else
            k->l2sq_u8_gather(query, x, rows.stride, rows.ids, count, dim, out);
        same_uint32_t(names[which], tier, dim, out, wanted, count);
        check_frame(names[which], tier, dim, OUT);
    }
}

/* The largest dim allowed is tried too, at both extremes. */
static void l2sq_bytes(enum byte_kernel which)
{
    FOR_CASES(c)
    {
        l2sq_bytes_case(which, c.dim, case_count(&c));
    }
    for (size_t i = 0; i < 8; i++)
        l2sq_bytes_case(which, 33000 - i % 2, 5);
}

static void test_l2sq_u7_many(void)
{
    l2sq_bytes(U7_MANY);
}

static void test_l2sq_u8_many(void)
{
    l2sq_bytes(U8_MANY);
}

static void test_l2sq_u8_gather(void)
{
    l2sq_bytes(U8_GATHER);
}

/* Both halves of the contract: rows <= 127 with any query, any rows with |query| <= 64. */
static void dot_bytes_case(bool gather, bool small_rows, size_t dim, size_t count)
{
    const char *name = gather ? "dot_u8s8_gather" : "dot_u8s8_many";
    const struct rows rows = make_rows(dim, count, gather);
    int8_t *query = place(QUERY, dim, 1);
    uint8_t *x = place(ROWS, rows.elements, 1);
    int32_t *out = place(OUT, count, sizeof *out), wanted[16];
    fill_signed(query, dim, small_rows ? -128 : -64, small_rows ? 127 : 64);
    fill_bytes(x, rows.elements, small_rows ? 127 : 255);
    for (size_t r = 0; r < count; r++) {
        const uint8_t *row = x + row_number(&rows, r) * rows.stride;
        int64_t sum = 0;
        for (size_t j = 0; j < dim; j++)
            sum += query[j] * row[j];
        wanted[r] = (int32_t)sum;
    }
    FOR_TIERS(tier, k)
    {
        scribble(OUT);
        if (gather)
            k->dot_u8s8_gather(query, x, rows.stride, rows.ids, count, dim, out);
        else
            k->dot_u8s8_many(query, x, rows.stride, count, dim, out);
        same_int32_t(name, tier, dim, out, wanted, count);
        check_frame(name, tier, dim, OUT);
    }
}

static void dot_bytes(bool gather)
{
    FOR_CASES(c)
    {
        dot_bytes_case(gather, true, c.dim, case_count(&c));
        dot_bytes_case(gather, false, c.dim, case_count(&c));
    }
    for (size_t i = 0; i < 12; i++)
        dot_bytes_case(gather, i % 2, 65536 - i % 3, 5);
}

static void test_dot_u8s8_many(void)
{
    dot_bytes(false);
}

static void test_dot_u8s8_gather(void)
{
    dot_bytes(true);
}

/* ---- 4-bit codes */

enum { MOST_ROWS = 600 };

static size_t padded_row_bytes(size_t dim)
{
    return (dim + 63) / 64 * 32;
}

/* Where the row is padding the query is zero and the row may hold anything. */
static void code4_case(const char *name, bool score, bool gather, size_t dim, size_t count)
{
    static int32_t dots[MOST_ROWS];
    static float wanted[MOST_ROWS];
    const size_t row_bytes = padded_row_bytes(dim);
    const struct rows rows = make_rows(row_bytes, count, gather);
    int8_t *query = place(QUERY, 2 * row_bytes, 1);
    uint8_t *x = place(ROWS, rows.elements, 1);
    float *pairs = place(CORRECTIONS, 2 * rows.total, sizeof *pairs);
    int32_t *dots_out = place(OUT, count, sizeof *dots_out);
    float *out = place(OUT2, count, sizeof *out);
    fill_signed(query, dim, -127, 127);
    memset(query + dim, 0, 2 * row_bytes - dim);
    fill_bytes(x, rows.elements, 255);
    fill_floats(pairs, 2 * rows.total, random_below(2) ? UNIT : WIDE);
    const float weight = random_float(random_below(2) ? UNIT : CORNERS);
    const float offset = random_float(random_below(2) ? UNIT : CORNERS);
    const float scale = random_float(random_below(2) ? UNIT : CORNERS);
    for (size_t r = 0; r < count; r++) {
        const size_t number = row_number(&rows, r);
        dots[r] = 0;
        for (size_t j = 0; j < dim; j++)
            dots[r] += query[j] * (int32_t)plane_nibble(x + number * rows.stride, j);
        /* Every operation rounds by itself. */
        const volatile float scaled = scale * (float)dots[r];
        const volatile float product = offset + scaled;
        const volatile float first = weight * pairs[2 * number];
        const volatile float second = pairs[2 * number + 1] * product;
        wanted[r] = first + second;
    }
    FOR_TIERS(tier, k)
    {
        scribble(OUT);
        scribble(OUT2);
        if (!score)
            k->dot_code4_many(query, x, rows.stride, count, row_bytes, dots_out);
        else if (gather)
            k->score_code4_gather(query, x, rows.stride, rows.ids, count, row_bytes, pairs, weight,
                                  offset, scale, out);
        else
            k->score_code4_many(query, x, rows.stride, count, row_bytes, pairs, weight, offset,
                                scale, out);
        if (score)
            same_float(name, tier, dim, out, wanted, count);
        else
            same_int32_t(name, tier, dim, dots_out, dots, count);
        check_frame(name, tier, dim, OUT);
        check_frame(name, tier, dim, OUT2);
    }
}

static void code4(const char *name, bool score, bool gather)
{
    FOR_CASES(c)
    {
        code4_case(name, score, gather, c.dim, case_count(&c));
    }
    for (size_t count = 14; count <= MOST_ROWS; count += count / 8 + 1)
        code4_case(name, score, gather, 100, count);
    code4_case(name, score, gather, 100, MOST_ROWS);
    for (size_t i = 0; i < 6; i++)
        code4_case(name, score, gather, 20000, 6);
}

static void test_dot_code4_many(void)
{
    code4("dot_code4_many", false, false);
}

static void test_score_code4_many(void)
{
    code4("score_code4_many", true, false);
}

static void test_score_code4_gather(void)
{
    code4("score_code4_gather", true, true);
}

/* ---- 8-bit codes */

/* Sums over all entries: where the row is padding the query is zero, the row is not. */
static void test_dot_code8_gather(void)
{
    const char *name = "dot_code8_gather";
    FOR_CASES(c)
    {
        const size_t row_bytes = padded_row_bytes(c.dim), entries = 2 * row_bytes;
        const struct rows rows = make_rows(row_bytes, case_count(&c), true);
        float *query = place(QUERY, entries, sizeof *query);
        uint8_t *high = place(ROWS, rows.elements, 1), *low = place(LOW_ROWS, rows.elements, 1);
        float *dots = place(OUT, rows.count, sizeof *dots);
        float *norms = place(OUT2, rows.count, sizeof *norms);
        memset(query, 0, entries * sizeof *query);
        fill_floats(query, c.dim, (enum float_kind)random_below(FLOAT_KINDS));
        fill_bytes(high, rows.elements, 255);
        fill_bytes(low, rows.elements, 255);
        FOR_TIERS(tier, k)
        {
            scribble(OUT);
            scribble(OUT2);
            k->dot_code8_gather(query, high, low, rows.stride, rows.ids, rows.count, row_bytes,
                                dots, norms);
            for (size_t r = 0; r < rows.count; r++) {
                const size_t at = rows.ids[r] * rows.stride;
                float values[2048];
                for (size_t j = 0; j < entries; j++)
                    values[j] =
                        (float)(16 * plane_nibble(high + at, j) + plane_nibble(low + at, j)) -
                        127.5f;
                double magnitude;
                double exact = exact_sum(DOT, query, 0, values, entries, &magnitude);
                check_sum(name, tier, entries, r, dots[r], exact, magnitude);
                exact = exact_sum(DOT, values, 0, values, entries, &magnitude);
                check_sum(name, tier, entries, r, norms[r], exact, magnitude);
            }
            check_frame(name, tier, c.dim, OUT);
            check_frame(name, tier, c.dim, OUT2);
        }
    }
}

/* ---- quantization */

/* A value near a boundary between codes, or any bit pattern. */
static float boundary_float(float offset, float step)
{
    if (random_below(3) == 0)
        return any_float();
    const float value = offset + step * 0.5f * (float)((int)random_below(560) - 280);
    return random_below(2) ? value : nextafterf(value, random_unit());
}

static void test_encode_u8(void)
{
    static uint8_t wanted[2048];
    FOR_CASES(c)
    {
        const float offset = c.round == 0 ? 0.0f : random_unit();
        const float step = c.round == 0 ? 0.25f : 0.01f + fabsf(random_unit());
        const float inverse = 1.0f / step;
        float *x = place(QUERY, c.dim, sizeof *x);
        uint8_t *out = place(OUT, c.dim, 1);
        for (size_t j = 0; j < c.dim; j++) {
            x[j] = boundary_float(offset, step);
            const float position = (x[j] - offset) * inverse;
            if (isnan(position) || position <= 0.0f)
                wanted[j] = 0;
            else
                wanted[j] = position >= 255.0f ? 255 : (uint8_t)position;
        }
        FOR_TIERS(tier, k)
        {
            scribble(OUT);
            k->encode_u8(x, c.dim, offset, inverse, out);
            same_uint8_t("encode_u8", tier, c.dim, out, wanted, c.dim);
            check_frame("encode_u8", tier, c.dim, OUT);
        }
    }
}

static void test_encode_s8(void)
{
    static int8_t wanted[2048];
    FOR_CASES(c)
    {
        const float step = c.round == 0 ? 0.25f : 0.01f + fabsf(random_unit());
        const float inverse = 1.0f / step;
        float *x = place(QUERY, c.dim, sizeof *x);
        int8_t *out = place(OUT, c.dim, 1);
        for (size_t j = 0; j < c.dim; j++) {
            x[j] = boundary_float(0.0f, step);
            const float rounded = rintf(x[j] * inverse);
            if (isnan(rounded) || rounded <= -127.0f)
                wanted[j] = -127;
            else
                wanted[j] = rounded >= 127.0f ? 127 : (int8_t)rounded;
        }
        FOR_TIERS(tier, k)
        {
            scribble(OUT);
            k->encode_s8(x, c.dim, inverse, out);
            same_int8_t("encode_s8", tier, c.dim, out, wanted, c.dim);
            check_frame("encode_s8", tier, c.dim, OUT);
        }
    }
}

static void test_split_planes(void)
{
    FOR_CASES(c)
    {
        const size_t row_bytes = padded_row_bytes(c.dim);
        uint8_t *codes = place(QUERY, 2 * row_bytes, 1);
        uint8_t *high = place(OUT, row_bytes, 1), *low = place(OUT2, row_bytes, 1);
        fill_bytes(codes, 2 * row_bytes, 255);
        FOR_TIERS(tier, k)
        {
            scribble(OUT);
            scribble(OUT2);
            k->split_planes(codes, row_bytes, high, low);
            for (size_t j = 0; j < 2 * row_bytes; j++) {
                const unsigned got = 16 * plane_nibble(high, j) + plane_nibble(low, j);
                if (got != codes[j]) {
                    fail("split_planes", tier, c.dim, j, got, codes[j]);
                    break;
                }
            }
            check_frame("split_planes", tier, c.dim, OUT);
            check_frame("split_planes", tier, c.dim, OUT2);
        }
    }
}

static void test_join_planes(void)
{
    static uint8_t wanted[2048];
    FOR_CASES(c)
    {
        const size_t row_bytes = padded_row_bytes(c.dim);
        const unsigned shift = (unsigned)(c.dim + (size_t)c.round) % 8;
        uint8_t *high = place(ROWS, row_bytes, 1), *low = place(LOW_ROWS, row_bytes, 1);
        uint8_t *out = place(OUT, 2 * row_bytes, 1);
        fill_bytes(high, row_bytes, 255);
        fill_bytes(low, row_bytes, 255);
        for (size_t j = 0; j < 2 * row_bytes; j++)
            wanted[j] = (uint8_t)((16 * plane_nibble(high, j) + plane_nibble(low, j)) >> shift);
        FOR_TIERS(tier, k)
        {
            scribble(OUT);
            k->join_planes(high, low, row_bytes, shift, out);
            same_uint8_t("join_planes", tier, c.dim, out, wanted, 2 * row_bytes);
            check_frame("join_planes", tier, c.dim, OUT);
        }
    }
}

static void test_range_f32(void)
{
    FOR_CASES(c)
    {
        if (c.dim == 0)
            continue;
        float *x = place(QUERY, c.dim, sizeof *x);
        float *least_out = place(OUT, 1, sizeof *x), *most_out = place(OUT2, 1, sizeof *x);
        do
            fill_floats(x, c.dim, (enum float_kind)random_below(FLOAT_KINDS));
        while (random_below(3) == 0);
        x[random_below(c.dim)] = random_below(2) ? FLT_MAX : -1e30f;
        float least = x[0], most = x[0];
        for (size_t j = 1; j < c.dim; j++) {
            least = fminf(least, x[j]);
            most = fmaxf(most, x[j]);
        }
        FOR_TIERS(tier, k)
        {
            scribble(OUT);
            scribble(OUT2);
            k->range_f32(x, c.dim, least_out, most_out);
            if (!(*least_out == least))
                fail("range_f32", tier, c.dim, 0, (double)*least_out, (double)least);
            if (!(*most_out == most))
                fail("range_f32", tier, c.dim, 1, (double)*most_out, (double)most);
            check_frame("range_f32", tier, c.dim, OUT);
            check_frame("range_f32", tier, c.dim, OUT2);
        }
    }
}

/* One bad value at a time: at every place of short vectors, at random ones of long ones. */
static void test_all_finite_f32(void)
{
    static const uint32_t bad[] = {0x7f800000u, 0xff800000u, 0x7fc00000u,
                                   0xffffffffu, 0x7f800001u, 0xff812345u};
    FOR_CASES(c)
    {
        float *x = place(QUERY, c.dim, sizeof *x);
        fill_floats(x, c.dim, (enum float_kind)random_below(FLOAT_KINDS));
        if (c.dim > 0)
            x[random_below(c.dim)] = random_below(2) ? FLT_MAX : -FLT_MAX;
        FOR_TIERS(tier, k)
        {
            if (k->all_finite_f32(x, c.dim) != 1)
                fail("all_finite_f32", tier, c.dim, 0, 0, 1);
        }
        const size_t tries = c.dim < 40 ? c.dim : 40;
        for (size_t i = 0; i < tries; i++) {
            const size_t at = c.dim < 40 ? i : random_below(c.dim);
            const float saved = x[at];
            memcpy(&x[at], &bad[random_below(6)], sizeof *x);
            FOR_TIERS(tier, k)
            {
                if (k->all_finite_f32(x, c.dim) != 0)
                    fail("all_finite_f32", tier, c.dim, at, 1, 0);
            }
            x[at] = saved;
        }
    }
}

/* ---- rotation */

/* The transform's definition: row i, column j has the sign of popcount(i & j). */
static void check_hadamard(const float *x, const float *result, size_t dim)
{
    for (size_t i = 0; i < dim; i += 1 + dim / 64) {
        double sum = 0, magnitude = 0;
        for (size_t j = 0; j < dim; j++) {
            sum += __builtin_parityll(i & j) ? -(double)x[j] : (double)x[j];
            magnitude += fabs((double)x[j]);
        }
        CHECK(fabs((double)result[i] - sum) <= 16 * 0x1p-24 * magnitude);
    }
}

static void test_hadamard_f32(void)
{
    static float original[4096], wanted[4096];
    for (size_t dim = 1; dim <= 4096; dim *= 2) {
        for (size_t i = 0; i < 3 * ROUNDS; i++) {
            case_round = (int)(i % ROUNDS);
            random_seed = 64 * dim + i;
            fill_floats(original, dim, (enum float_kind)(i % FLOAT_KINDS));
            memcpy(wanted, original, dim * sizeof *wanted);
            for (size_t half = 1; half < dim; half *= 2) {
                for (size_t j = 0; j < dim; j++) {
                    const float a = wanted[j], b = wanted[j ^ half];
                    if ((j & half) == 0) {
                        wanted[j] = a + b;
                        wanted[j ^ half] = a - b;
                    }
                }
            }
            check_hadamard(original, wanted, dim);
            float *x = place(OUT, dim, sizeof *x);
            FOR_TIERS(tier, k)
            {
                memcpy(x, original, dim * sizeof *x);
                k->hadamard_f32(x, dim);
                same_float("hadamard_f32", tier, dim, x, wanted, dim);
                check_frame("hadamard_f32", tier, dim, OUT);
            }
        }
    }
}

static void test_butterfly_f32(void)
{
    static float original[4096], wanted[4096];
    FOR_CASES(c)
    {
        const size_t half = c.dim, dim = 2 * half;
        fill_floats(original, dim, (enum float_kind)random_below(FLOAT_KINDS));
        for (size_t j = 0; j < half; j++) {
            wanted[j] = original[j] + original[j + half];
            wanted[j + half] = original[j] - original[j + half];
        }
        float *x = place(OUT, dim, sizeof *x);
        FOR_TIERS(tier, k)
        {
            memcpy(x, original, dim * sizeof *x);
            k->butterfly_f32(x, dim);
            same_float("butterfly_f32", tier, dim, x, wanted, dim);
            check_frame("butterfly_f32", tier, dim, OUT);
        }
    }
}

static void test_flip_signs_f32(void)
{
    static float original[2048], wanted[2048];
    FOR_CASES(c)
    {
        uint8_t *signs = place(ROWS, (c.dim + 7) / 8, 1);
        fill_bytes(signs, (c.dim + 7) / 8, 255);
        for (size_t j = 0; j < c.dim; j++) {
            uint32_t bits;
            original[j] = any_float();
            memcpy(&bits, &original[j], sizeof bits);
            if (signs[j / 8] & 1u << (j % 8))
                bits ^= 0x80000000u;
            memcpy(&wanted[j], &bits, sizeof bits);
        }
        float *x = place(OUT, c.dim, sizeof *x);
        FOR_TIERS(tier, k)
        {
            memcpy(x, original, c.dim * sizeof *x);
            k->flip_signs_f32(x, c.dim, signs);
            same_float("flip_signs_f32", tier, c.dim, x, wanted, c.dim);
            check_frame("flip_signs_f32", tier, c.dim, OUT);
        }
    }
}

/* ---- top-k */

static void below_case(size_t count)
{
    static uint32_t wanted[2048];
    static const float thresholds[] = {0.0f, -0.0f, 0.5f, INFINITY, -INFINITY, NAN, -2.0f};
    const float threshold = thresholds[random_below(7)];
    float *keys = place(QUERY, count, sizeof *keys);
    uint32_t *out = place(OUT, count + 8, sizeof *out);
    const size_t way = random_below(4);
    size_t found = 0;
    for (size_t j = 0; j < count; j++) {
        if (way == 0)
            keys[j] = any_float();
        else if (way == 1)
            keys[j] = random_below(3) ? threshold : random_unit();
        else
            keys[j] = way == 2 && random_below(40) ? 3.0f : random_unit();
        if (keys[j] < threshold)
            wanted[found++] = (uint32_t)j;
    }
    FOR_TIERS(tier, k)
    {
        scribble(OUT);
        const size_t got = k->below_f32(keys, count, threshold, out);
        if (got != found)
            fail("below_f32", tier, count, count, (double)got, (double)found);
        same_uint32_t("below_f32", tier, count, out, wanted, found);
        check_frame("below_f32", tier, count, OUT);
    }
}

static void test_below_f32(void)
{
    FOR_CASES(c)
    {
        below_case(c.dim);
    }
    for (size_t count = 0; count <= 600; count += 1 + random_below(9))
        below_case(count);
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Where the item belongs (behind its equals) and what the array then is. */
static void pool_case(const uint64_t *sorted, size_t count, uint64_t item)
{
    static uint64_t wanted[1024];
    size_t position = 0;
    while (position < count && sorted[position] <= item)
        position++;
    memcpy(wanted, sorted, position * sizeof *wanted);
    wanted[position] = item;
    memcpy(wanted + position + 1, sorted + position, (count - position) * sizeof *wanted);
    uint64_t *pool = place(OUT, count + 8, sizeof *pool);
    FOR_TIERS(tier, k)
    {
        scribble(OUT);
        memcpy(pool, sorted, count * sizeof *pool);
        const size_t got = k->pool_insert(pool, count, item);
        if (got != position)
            fail("pool_insert", tier, count, count, (double)got, (double)position);
        same_uint64_t("pool_insert", tier, count, pool, wanted, count + 1);
        check_frame("pool_insert", tier, count, OUT);
    }
}

static void test_pool_insert(void)
{
    static uint64_t sorted[600];
    for (size_t count = 0; count <= 600; count += count < 70 ? 1 : 37) {
        random_seed = count;
        case_round = (int)(count % ROUNDS);
        const size_t way = random_below(4);
        for (size_t j = 0; j < count; j++) {
            sorted[j] = random_u64();
            if (way == 0)
                sorted[j] = sorted[j] % 7 + (UINT64_MAX - 7); /* above the signed range */
            else if (way == 1)
                sorted[j] = (sorted[j] & 1) ? (uint64_t)1 << 63 : ((uint64_t)1 << 63) - 1;
            else if (way == 2)
                sorted[j] %= 9;
        }
        qsort(sorted, count, sizeof *sorted, compare_u64);
        const uint64_t corners[] = {0, 1, ((uint64_t)1 << 63) - 1, (uint64_t)1 << 63, UINT64_MAX};
        for (size_t i = 0; i < 5; i++)
            pool_case(sorted, count, corners[i]);
        for (size_t i = 0; i < 12 && count > 0; i++) {
            const size_t at = i == 0 ? 0 : i == 1 ? count - 1 : random_below(count);
            pool_case(sorted, count, sorted[at]);
            pool_case(sorted, count, sorted[at] + 1);
            pool_case(sorted, count, sorted[at] - 1);
        }
    }
}

/* ---- rows far away: offsets and ids beyond 31 and 32 bits */

enum far_kernel {
    FAR_DOT_F32,
    FAR_L2SQ_F32,
    FAR_COSINE_F32,
    FAR_L2SQ_U8,
    FAR_DOT_U8S8,
    FAR_SCORE_CODE4,
    FAR_DOT_CODE8,
    FAR_KERNELS
};

enum { FAR_COUNT = 5, FAR_DIM = 64 };

static const uint32_t far_id = 0x80000007u;

/* The same 64 small whole numbers serve as any kind of query: every sum is exact. */
static void call_far(const struct sutra_kernels *k, enum far_kernel which, const void *rows,
                     size_t stride, const uint32_t *ids, const float *corrections, void *out)
{
    float query[FAR_DIM];
    int8_t signed_query[FAR_DIM];
    uint8_t byte_query[FAR_DIM];
    for (int j = 0; j < FAR_DIM; j++) {
        query[j] = (float)(j % 7);
        signed_query[j] = (int8_t)(j % 7 - 3);
        byte_query[j] = (uint8_t)(j % 7);
    }
    float norms[FAR_COUNT];
    const size_t n = FAR_COUNT, dim = FAR_DIM;
    if (which == FAR_DOT_F32)
        k->dot_f32_gather(query, rows, stride, ids, n, dim, out);
    else if (which == FAR_L2SQ_F32)
        k->l2sq_f32_gather(query, rows, stride, ids, n, dim, out);
    else if (which == FAR_COSINE_F32)
        k->cosine_f32_gather(query, 0.125f, rows, stride, ids, n, dim, out);
    else if (which == FAR_L2SQ_U8)
        k->l2sq_u8_gather(byte_query, rows, stride, ids, n, dim, out);
    else if (which == FAR_DOT_U8S8)
        k->dot_u8s8_gather(signed_query, rows, stride, ids, n, dim, out);
    else if (which == FAR_SCORE_CODE4)
        k->score_code4_gather(signed_query, rows, stride, ids, n, dim / 2, corrections, 2.0f, 3.0f,
                              0.5f, out);
    else
        k->dot_code8_gather(query, rows, rows, stride, ids, n, dim / 2, out, norms);
}

/* Rows of 64 elements at 0, stride and far_id * stride, against a copy of them close together;
 * the corrections lie 1024 bytes behind the first row and reach as far. */
static void far_rows_case(uint8_t *region, enum far_kernel which)
{
    const uint32_t far_ids[FAR_COUNT] = {far_id, 1, 0, far_id, far_id};
    const uint32_t near_ids[FAR_COUNT] = {2, 1, 0, 2, 2};
    const size_t unit = which <= FAR_COSINE_F32 ? sizeof(float) : 1, stride = 2;
    uint8_t copy[3 * FAR_DIM * sizeof(float)];
    const size_t places[3] = {0, stride * unit, far_id * stride * unit};
    for (int i = 0; i < 3; i++) {
        for (size_t j = 0; j < FAR_DIM; j++) {
            const uint8_t byte = (uint8_t)random_below(100);
            const float value = (float)byte;
            memcpy(region + places[i] + j * unit, unit == 1 ? (const void *)&byte : &value, unit);
        }
    }
    for (int i = 0; i < 3; i++)
        memcpy(copy + (size_t)i * FAR_DIM * unit, region + places[i], FAR_DIM * unit);
    float *corrections = (float *)(void *)(region + 1024);
    const float near_corrections[6] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f};
    memcpy(corrections, near_corrections, 4 * sizeof *corrections);
    memcpy(corrections + 2 * (size_t)far_id, near_corrections + 4, 2 * sizeof *corrections);
    FOR_TIERS(tier, k)
    {
        uint32_t far_out[FAR_COUNT], near_out[FAR_COUNT];
        call_far(k, which, region, stride, far_ids, corrections, far_out);
        call_far(k, which, copy, FAR_DIM, near_ids, near_corrections, near_out);
        if (memcmp(far_out, near_out, sizeof far_out) != 0)
            fail("far rows", tier, which, 0, far_out[0], near_out[0]);
    }
}

static void far_rows(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = (size_t)far_id * 2 * sizeof(float) + 4 * page;
    uint8_t *region =
        mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        SKIP("no address space for 17 GB without memory");
    const size_t used[] = {0, (size_t)far_id * 2, (size_t)far_id * 2 * sizeof(float)};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        REQUIRE(mprotect(region + used[i] / page * page, 3 * page, PROT_READ | PROT_WRITE) == 0);
    for (int which = 0; which < FAR_KERNELS; which++)
        far_rows_case(region, (enum far_kernel)which);
    CHECK(munmap(region, bytes) == 0);
}

/* ---- tiers */

static const struct check_case kernel_tests[] = {
#define SUTRA_KERNEL(type, name, parameters, family) {#name, test_##name},
#include "simd/kernels.def"
#undef SUTRA_KERNEL
};

enum { KERNEL_TESTS = sizeof kernel_tests / sizeof kernel_tests[0] };

/* The list, the struct and the tests agree name by name, and no slot stays empty. */
static void list_is_complete(void)
{
    size_t names = 0;
    for (; sutra_kernel_names[names] != NULL; names++) {
        REQUIRE(names < KERNEL_TESTS);
        CHECK(strcmp(sutra_kernel_names[names], kernel_tests[names].name) == 0);
    }
    CHECK_EQ(names, KERNEL_TESTS);
    CHECK_EQ(sizeof(struct sutra_kernels), names * sizeof(void (*)(void)));
    FOR_TIERS(tier, k)
    {
#define SUTRA_KERNEL(type, name, parameters, family) CHECK(k->name != NULL);
#include "simd/kernels.def"
#undef SUTRA_KERNEL
    }
}

/* A tier that cannot run here is refused, and said to be untested. */
static void tiers_are_named(void)
{
    for (int tier = 0; tier < SUTRA_TIER_COUNT; tier++) {
        struct sutra_kernels table;
        const char *name = sutra_tier_name(tier);
        REQUIRE(name != NULL);
        CHECK_EQ(sutra_tier_from_name(name), tier);
        const bool runs = sutra_tier_supported(tier);
        CHECK(!runs || sutra_tier_compiled(tier));
        CHECK_EQ(sutra_kernels_select(tier, &table), runs ? SUTRA_OK : SUTRA_E_CONFIG);
        (void)fprintf(stderr, "tier %s: %s\n", name,
                      runs                        ? "runs"
                      : sutra_tier_compiled(tier) ? "compiled, NOT RUN: this CPU lacks it"
                                                  : "of another architecture");
    }
    CHECK(sutra_tier_supported(sutra_tier_best()));
    CHECK_EQ(next_tier(sutra_tier_best()), SUTRA_TIER_COUNT);
    CHECK(sutra_tier_supported(SUTRA_TIER_SCALAR));
    CHECK(sutra_tier_name(-1) == NULL && sutra_tier_name(SUTRA_TIER_COUNT) == NULL);
    CHECK_EQ(sutra_tier_from_name("sse9"), -1);
}

int main(int argc, char **argv)
{
    struct check_case cases[KERNEL_TESTS + 3] = {
        CASE(tiers_are_named),
        CASE(list_is_complete),
        CASE(far_rows),
    };
    memcpy(cases + 3, kernel_tests, sizeof kernel_tests);
    open_areas();
    for (int tier = next_tier(-1); tier < SUTRA_TIER_COUNT; tier = next_tier(tier)) {
        if (sutra_kernels_select(tier, &tables[tier]) != SUTRA_OK)
            return 2;
    }
    return check_run(cases, KERNEL_TESTS + 3, argc > 1 ? argv[1] : NULL);
}
