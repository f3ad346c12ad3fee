/* The quant room: the rotation turns and turns back, codes keep to the bounds that quantizer.h
 * states, walk keys and fine distances estimate what they should, on every tier.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "index_cases.h"

#include "quant/quantizer.h"
#include "quant/rotation.h"

static const uint32_t dims[] = {1,  2,  3,  4,  5,  6,   7,   8,   9,   10,  11, 12, 13,
                                14, 15, 16, 17, 18, 19,  20,  21,  22,  23,  24, 25, 26,
                                27, 28, 29, 30, 31, 32,  33,  34,  35,  36,  37, 38, 39,
                                40, 63, 64, 65, 96, 100, 127, 128, 192, 384, 960};
enum { DIMS = sizeof dims / sizeof dims[0], DIM_MAX = 960 };

static double square_of(const float *x, size_t dim)
{
    double sum = 0;
    for (size_t j = 0; j < dim; j++)
        sum += (double)x[j] * (double)x[j];
    return sum;
}

static double distance_of(const float *a, const float *b, size_t dim)
{
    double sum = 0;
    for (size_t j = 0; j < dim; j++)
        sum += ((double)a[j] - (double)b[j]) * ((double)a[j] - (double)b[j]);
    return sum;
}

/* ---- rotation */

static void rotation_is_orthogonal(void)
{
    const struct sutra_kernels *k = best_kernels();
    for (size_t dim = 8; dim <= DIM_MAX; dim += dim < 136 ? 8 : 88) {
        static float a[DIM_MAX + 96], b[DIM_MAX + 96], turned[DIM_MAX + 96];
        static uint8_t signs[DIM_MAX];
        seed_random(dim);
        sutra_rotation_signs(dim, dim, signs);
        double dot = 0, turned_dot = 0;
        for (size_t j = 0; j < dim; j++) {
            a[j] = random_normal();
            b[j] = random_normal() * (j == 3 ? 100 : 1);
            dot += (double)a[j] * (double)b[j];
        }
        const double scale = sqrt(square_of(a, dim) * square_of(b, dim));
        memcpy(turned, a, dim * sizeof *a);
        sutra_rotate(k, signs, turned, dim);
        CHECK(fabs(square_of(turned, dim) / square_of(a, dim) - 1) < 1e-5);
        sutra_rotate_back(k, signs, turned, dim);
        CHECK(distance_of(turned, a, dim) < 1e-10 * square_of(a, dim));
        sutra_rotate(k, signs, turned, dim);
        memcpy(a, turned, dim * sizeof *a);
        sutra_rotate(k, signs, b, dim);
        for (size_t j = 0; j < dim; j++)
            turned_dot += (double)a[j] * (double)b[j];
        CHECK(fabs(turned_dot - dot) < 1e-5 * scale);
    }
}

/* One axis becomes a vector without a large coordinate, and seeds differ. */
static void rotation_spreads_energy(void)
{
    const struct sutra_kernels *k = best_kernels();
    static float x[DIM_MAX], y[DIM_MAX];
    static uint8_t signs[DIM_MAX];
    for (size_t dim = 64; dim <= DIM_MAX; dim += 64) {
        for (size_t axis = 0; axis < dim; axis += 37) {
            memset(x, 0, sizeof x);
            memset(y, 0, sizeof y);
            x[axis] = y[axis] = 1;
            sutra_rotation_signs(1, dim, signs);
            sutra_rotate(k, signs, x, dim);
            sutra_rotation_signs(2, dim, signs);
            sutra_rotate(k, signs, y, dim);
            float largest = 0;
            for (size_t j = 0; j < dim; j++)
                largest = fmaxf(largest, fabsf(x[j]));
            CHECK(largest < 12.0f / sqrtf((float)dim)); /* the axis itself: sqrt(dim) */
            CHECK(memcmp(x, y, dim * sizeof *x) != 0);
        }
    }
}

/* ---- codes */

enum { ROWS = 200 };

/* A quantizer fitted to rows, and all of them encoded. */
struct coded {
    struct sutra_quantizer quantizer;
    const struct sutra_kernels *kernels;
    size_t dim;
    float *vectors;
    uint8_t *high, *low;
    float *corrections;
    float *scratch; /* of encode and decode */
    float *rotated; /* one row, as the quantizer sees it */
};

static void release_coded(struct coded *coded)
{
    sutra_quantizer_deinit(&coded->quantizer);
    free(coded->high);
    free(coded->low);
    free(coded->corrections);
    free(coded->scratch);
    free(coded->rotated);
    free(coded->vectors);
}

static void code_row(const struct coded *coded, size_t row)
{
    const size_t bytes = coded->quantizer.row_bytes;
    sutra_quantizer_encode(&coded->quantizer, coded->kernels, coded->vectors + row * coded->dim, 1,
                           coded->scratch, coded->high + row * bytes, coded->low + row * bytes,
                           coded->corrections + row * SUTRA_CORRECTION_FLOATS);
}

/* Takes over the vectors. */
static bool make_coded(struct coded *coded, const struct sutra_kernels *kernels, float *vectors,
                       size_t dim)
{
    memset(coded, 0, sizeof *coded);
    coded->kernels = kernels;
    coded->dim = dim;
    coded->vectors = vectors;
    if (sutra_quantizer_init(&coded->quantizer, (uint32_t)dim, 5) != SUTRA_OK ||
        sutra_quantizer_fit(&coded->quantizer, kernels, vectors, dim, NULL, ROWS) != SUTRA_OK)
        return false;
    const size_t bytes = coded->quantizer.row_bytes;
    coded->high = malloc(ROWS * bytes);
    coded->low = malloc(ROWS * bytes);
    coded->corrections = malloc((size_t)ROWS * SUTRA_CORRECTION_FLOATS * sizeof(float));
    coded->scratch = malloc(sutra_quantizer_scratch_bytes(&coded->quantizer));
    coded->rotated = malloc(coded->quantizer.rotated_dim * sizeof(float));
    if (!coded->high || !coded->low || !coded->corrections || !coded->scratch || !coded->rotated)
        return false;
    for (size_t row = 0; row < ROWS; row++)
        code_row(coded, row);
    return true;
}

static float *shifted_vectors(size_t dim, float shift)
{
    float *vectors = random_vectors(ROWS, dim);
    for (size_t j = 0; j < ROWS * dim; j++)
        vectors[j] += shift * (float)(j % dim % 3);
    return vectors;
}

/* rotated = R x - R mean, from the same kernels that encode. */
static void rotate_row(const struct coded *coded, size_t row)
{
    const struct sutra_quantizer *quantizer = &coded->quantizer;
    memset(coded->rotated, 0, quantizer->rotated_dim * sizeof(float));
    memcpy(coded->rotated, coded->vectors + row * coded->dim, coded->dim * sizeof(float));
    sutra_rotate(coded->kernels, quantizer->signs, coded->rotated, quantizer->rotated_dim);
    for (size_t j = 0; j < quantizer->rotated_dim; j++)
        coded->rotated[j] -= quantizer->rotated_mean[j];
}

static void codes_of(const struct coded *coded, size_t row, uint8_t *codes_out)
{
    const size_t bytes = coded->quantizer.row_bytes;
    coded->kernels->join_planes(coded->high + row * bytes, coded->low + row * bytes, bytes, 0,
                                codes_out);
}

/* The bounds of quantizer.h on unit coordinates, and on what is stored beside them. */
static void check_bounds(const struct coded *coded, size_t row)
{
    static uint8_t codes[2 * DIM_MAX + 256];
    const size_t rotated = coded->quantizer.rotated_dim;
    const double step = (double)SUTRA_QUANT_STEP;
    const float *correction = coded->corrections + row * SUTRA_CORRECTION_FLOATS;
    rotate_row(coded, row);
    codes_of(coded, row, codes);
    const double square = square_of(coded->rotated, rotated);
    const double unit = sqrt(square / (double)rotated);
    CHECK(isfinite(correction[0]) && isfinite(correction[1]));
    CHECK(fabs((double)correction[0] - square) <= 1e-5 * square);
    size_t wrong = 0;
    for (size_t j = 0; unit > 0 && j < rotated; j++) {
        const double z = (double)coded->rotated[j] / unit, edge = (double)SUTRA_QUANT_HALF_RANGE;
        const double fine = step * ((double)codes[j] - 127.5);
        const double coarse = 16 * step * ((double)(codes[j] >> 4) - 7.5);
        if (fabs(z) <= edge)
            wrong += fabs(z - fine) > step / 2 + 1e-4 || fabs(z - coarse) > 8 * step + 1e-4;
        else
            wrong += codes[j] != (z > 0 ? 255 : 0) && fabs(z) > edge + 1e-4;
    }
    CHECK_EQ(wrong, 0);
}

static void codes_keep_to_the_stated_bounds(void)
{
    for (size_t d = 0; d < DIMS; d++) {
        struct coded coded;
        seed_random(dims[d]);
        REQUIRE(make_coded(&coded, best_kernels(), shifted_vectors(dims[d], 2), dims[d]));
        CHECK_EQ(coded.quantizer.rotated_dim, (dims[d] + 7) / 8 * 8);
        CHECK_EQ(coded.quantizer.row_bytes % 32, 0);
        CHECK(2 * coded.quantizer.row_bytes >= coded.quantizer.rotated_dim);
        for (size_t row = 0; row < ROWS; row++)
            check_bounds(&coded, row);
        release_coded(&coded);
    }
}

static void decoding_gives_the_row_back(void)
{
    static float back[DIM_MAX];
    for (size_t d = 0; d < DIMS; d++) {
        struct coded coded;
        const size_t dim = dims[d];
        seed_random(dim + 1000);
        REQUIRE(make_coded(&coded, best_kernels(), shifted_vectors(dim, 1), dim));
        const size_t bytes = coded.quantizer.row_bytes;
        double fine = 0, coarse = 0, all = 0;
        for (size_t row = 0; row < ROWS; row++) {
            const float *x = coded.vectors + row * dim;
            const float *correction = coded.corrections + row * SUTRA_CORRECTION_FLOATS;
            sutra_quantizer_decode(&coded.quantizer, coded.kernels, coded.high + row * bytes,
                                   coded.low + row * bytes, correction, coded.scratch, back);
            fine += distance_of(x, back, dim);
            sutra_quantizer_decode(&coded.quantizer, coded.kernels, coded.high + row * bytes, NULL,
                                   correction, coded.scratch, back);
            coarse += distance_of(x, back, dim);
            all += (double)correction[0];
        }
        /* Uniform cells: step^2 / 12, plus the thousandth of coordinates that is clipped. In a
         * few dimensions energy cannot spread, and much more is clipped. */
        CHECK(fine < (dim < 24 ? 2e-2 : 1e-3) * all);
        CHECK(coarse < (dim < 24 ? 5e-2 : 2e-2) * all);
        CHECK(fine < coarse);
        release_coded(&coded);
    }
}

/* ---- estimates */

struct query {
    struct sutra_code_query code;
    int8_t entries[2 * DIM_MAX + 256];
    float fine[2 * DIM_MAX + 256];
};

static void prepare(struct query *query, const struct coded *coded, const float *vector,
                    bool inner_product)
{
    query->code.walk.entries = query->entries;
    query->code.fine = query->fine;
    sutra_quantizer_query(&coded->quantizer, coded->kernels, vector, 1, inner_product,
                          &query->code);
}

static float walk_key(const struct coded *coded, const struct sutra_walk_query *walk, uint32_t row)
{
    float key;
    coded->kernels->score_code4_gather(walk->entries, coded->high, coded->quantizer.row_bytes, &row,
                                       1, coded->quantizer.row_bytes, coded->corrections,
                                       walk->weight, walk->offset, walk->scale, &key);
    return key;
}

static float fine_distance(const struct coded *coded, const struct sutra_code_query *code,
                           uint32_t row)
{
    float dot, norm;
    coded->kernels->dot_code8_gather(code->fine, coded->high, coded->low,
                                     coded->quantizer.row_bytes, &row, 1,
                                     coded->quantizer.row_bytes, &dot, &norm);
    return sutra_quantizer_distance(code, coded->corrections + row * SUTRA_CORRECTION_FLOATS, dot,
                                    norm);
}

/* The error of an estimate is that of 2 u.y: it shrinks with the root of the dimension. */
static void estimates_are_close(void)
{
    for (size_t d = 0; d < DIMS; d++) {
        struct coded coded;
        static struct query l2, ip;
        const size_t dim = dims[d];
        if (dim < 8)
            continue;
        seed_random(dim + 2000);
        REQUIRE(make_coded(&coded, best_kernels(), shifted_vectors(dim, 1), dim));
        float *queries = shifted_vectors(dim, 1);
        const double root = sqrt((double)coded.quantizer.rotated_dim);
        double walk_error = 0, fine_error = 0;
        for (size_t q = 0; q < 20; q++) {
            const float *u = queries + q * dim;
            prepare(&l2, &coded, u, false);
            prepare(&ip, &coded, u, true);
            const double length = sqrt(fmax(0, (double)l2.code.walk_distance));
            for (uint32_t row = 0; row < ROWS; row++) {
                const float *x = coded.vectors + row * dim;
                double dot = 0;
                for (size_t j = 0; j < dim; j++)
                    dot += (double)u[j] * (double)x[j];
                const double squared = distance_of(u, x, dim);
                const double reach =
                    2 * length * sqrt((double)coded.corrections[2 * row]) / root + 1e-6;
                const double walk =
                    (double)(walk_key(&coded, &l2.code.walk, row) + l2.code.walk_distance);
                const double fine = (double)fine_distance(&coded, &l2.code, row);
                CHECK(fabs(walk - squared) < (dim < 24 ? 4 : 1) * reach);
                CHECK(fabs(fine - squared) < (dim < 24 ? 2 : 0.5) * reach);
                walk_error += fabs(walk - squared) / reach;
                fine_error += fabs(fine - squared) / reach;
                /* The inner product leaves the mean to the other side: |u| counts whole. */
                const double ip_reach =
                    sqrt(square_of(u, dim) * (double)coded.corrections[2 * row]) / root;
                CHECK(fabs((double)(walk_key(&coded, &ip.code.walk, row) + ip.code.walk_distance) +
                           dot) < (dim < 24 ? 4 : 1) * ip_reach + 1e-3);
                CHECK(fabs((double)fine_distance(&coded, &ip.code, row) + dot) <
                      (dim < 24 ? 2 : 0.5) * ip_reach + 1e-3);
            }
        }
        if (dim >= 24) {
            CHECK(walk_error / (20 * ROWS) < 0.2);
            CHECK(fine_error / (20 * ROWS) < 0.05);
        }
        free(queries);
        release_coded(&coded);
    }
}

/* A walk from a stored row orders like a walk from the vector itself. */
static void walk_from_codes_agrees_with_query(void)
{
    for (size_t d = 0; d < DIMS; d++) {
        struct coded coded;
        static struct query query;
        static int8_t entries[2 * DIM_MAX + 256];
        static uint8_t codes[2 * DIM_MAX + 256];
        const size_t dim = dims[d];
        if (dim < 24)
            continue;
        seed_random(dim + 3000);
        REQUIRE(make_coded(&coded, best_kernels(), random_vectors(ROWS, dim), dim));
        const double root = sqrt((double)coded.quantizer.rotated_dim);
        for (uint32_t point = 0; point < 10; point++) {
            struct sutra_walk_query walk = {.entries = entries};
            const float *correction = coded.corrections + point * SUTRA_CORRECTION_FLOATS;
            codes_of(&coded, point, codes);
            sutra_quantizer_walk_from_codes(&coded.quantizer, codes, correction, &walk);
            prepare(&query, &coded, coded.vectors + point * dim, false);
            CHECK(fabs((double)(query.code.walk_distance - correction[0])) <
                  1e-4 * (double)correction[0]);
            for (uint32_t row = 0; row < ROWS; row++) {
                const double reach =
                    2 * sqrt((double)correction[0] * (double)coded.corrections[2 * row]) / root;
                const double difference = (double)walk_key(&coded, &walk, row) -
                                          (double)walk_key(&coded, &query.code.walk, row);
                CHECK(fabs(difference) < 0.5 * reach);
            }
            /* In place, as the index does it. */
            sutra_quantizer_walk_from_codes(&coded.quantizer, codes, correction,
                                            &(struct sutra_walk_query){.entries = (int8_t *)codes});
            CHECK(memcmp(codes, entries, 2 * (size_t)coded.quantizer.row_bytes) == 0);
        }
        release_coded(&coded);
    }
}

static void pair_distances_are_close(void)
{
    static uint8_t a[2 * DIM_MAX + 256], b[2 * DIM_MAX + 256];
    struct coded coded;
    seed_random(11);
    REQUIRE(make_coded(&coded, best_kernels(), random_vectors(ROWS, 128), 128));
    const size_t bytes = coded.quantizer.row_bytes;
    for (size_t row = 1; row < ROWS; row++) {
        uint32_t between;
        coded.kernels->join_planes(coded.high, coded.low, bytes, 1, a);
        coded.kernels->join_planes(coded.high + row * bytes, coded.low + row * bytes, bytes, 1, b);
        coded.kernels->l2sq_u7_many(a, b, 2 * bytes, 1, 2 * bytes, &between);
        const double exact = distance_of(coded.vectors, coded.vectors + row * 128, 128);
        const float estimate =
            sutra_quantizer_pair_distance(&coded.quantizer, sqrtf(coded.corrections[0]),
                                          sqrtf(coded.corrections[2 * row]), between);
        CHECK(fabs((double)estimate - exact) < 0.03 * exact);
    }
    release_coded(&coded);
}

/* ---- awkward data */

static void awkward_rows_stay_finite(void)
{
    static float back[DIM_MAX];
    static struct query query;
    for (size_t d = 0; d < DIMS; d++) {
        struct coded coded;
        const size_t dim = dims[d];
        seed_random(dim + 4000);
        float *vectors = random_vectors(ROWS, dim);
        memset(vectors, 0, 3 * dim * sizeof *vectors); /* zero rows */
        for (size_t j = 0; j < dim; j++) {
            vectors[3 * dim + j] = 1e15f * random_normal(); /* outliers */
            vectors[4 * dim + j] = -1e15f * random_normal();
            vectors[5 * dim + j] = 1e-22f; /* a square that hardly exists */
        }
        REQUIRE(make_coded(&coded, best_kernels(), vectors, dim));
        const size_t bytes = coded.quantizer.row_bytes;
        prepare(&query, &coded, vectors, false);
        for (uint32_t row = 0; row < ROWS; row++) {
            const float *correction = coded.corrections + row * SUTRA_CORRECTION_FLOATS;
            CHECK(isfinite(correction[0]) && isfinite(correction[1]) && correction[0] >= 0);
            sutra_quantizer_decode(&coded.quantizer, coded.kernels, coded.high + row * bytes,
                                   coded.low + row * bytes, correction, coded.scratch, back);
            CHECK(coded.kernels->all_finite_f32(back, dim));
            CHECK(isfinite(walk_key(&coded, &query.code.walk, row)));
            CHECK(isfinite(fine_distance(&coded, &query.code, row)));
        }
        release_coded(&coded);

        /* One point many times: centred, nothing is left of it. */
        vectors = random_vectors(ROWS, dim);
        for (size_t row = 1; row < ROWS; row++)
            memcpy(vectors + row * dim, vectors, dim * sizeof *vectors);
        REQUIRE(make_coded(&coded, best_kernels(), vectors, dim));
        sutra_quantizer_decode(&coded.quantizer, coded.kernels, coded.high, coded.low,
                               coded.corrections, coded.scratch, back);
        CHECK(distance_of(vectors, back, dim) <= 1e-9 * square_of(vectors, dim));
        CHECK(memcmp(coded.high, coded.high + bytes, bytes) == 0);
        release_coded(&coded);
    }
}

/* Outliers do not spoil the others: every row has its own scale. */
static void outliers_keep_to_themselves(void)
{
    struct coded coded;
    static float back[100];
    seed_random(9);
    float *vectors = random_vectors(ROWS, 100);
    for (size_t j = 0; j < 100; j++)
        vectors[7 * 100 + j] *= 1000;
    REQUIRE(make_coded(&coded, best_kernels(), vectors, 100));
    memset(coded.quantizer.rotated_mean, 0, coded.quantizer.rotated_dim * sizeof(float));
    for (size_t row = 0; row < ROWS; row++) {
        const size_t bytes = coded.quantizer.row_bytes;
        code_row(&coded, row);
        check_bounds(&coded, row);
        sutra_quantizer_decode(&coded.quantizer, coded.kernels, coded.high + row * bytes,
                               coded.low + row * bytes, coded.corrections + 2 * row, coded.scratch,
                               back);
        CHECK(distance_of(vectors + row * 100, back, 100) <
              0.01 * square_of(vectors + row * 100, 100));
    }
    release_coded(&coded);
}

/* Without a low plane the high one and the corrections are the same. */
static void one_plane_is_the_first_of_two(void)
{
    struct coded coded;
    seed_random(10);
    REQUIRE(make_coded(&coded, best_kernels(), random_vectors(ROWS, 40), 40));
    uint8_t high[32];
    float correction[SUTRA_CORRECTION_FLOATS];
    REQUIRE(coded.quantizer.row_bytes == 32);
    for (size_t row = 0; row < ROWS; row++) {
        sutra_quantizer_encode(&coded.quantizer, coded.kernels, coded.vectors + row * 40, 1,
                               coded.scratch, high, NULL, correction);
        CHECK(memcmp(high, coded.high + row * 32, 32) == 0);
        CHECK(memcmp(correction, coded.corrections + 2 * row, sizeof correction) == 0);
    }
    release_coded(&coded);
}

/* A scale given apart is a scaled vector. */
static void fit_reads_scales_and_strides(void)
{
    const struct sutra_kernels *k = best_kernels();
    struct sutra_quantizer apart, whole;
    float rows[6 * 12], scaled[6 * 10];
    const float scales[6] = {0.5f, 2, 4, 0, 8, 0.25f};
    seed_random(12);
    for (size_t j = 0; j < 6 * 12; j++)
        rows[j] = random_normal();
    for (size_t row = 0; row < 6; row++) {
        for (size_t j = 0; j < 10; j++)
            scaled[row * 10 + j] = rows[row * 12 + j] * scales[row];
    }
    REQUIRE(sutra_quantizer_init(&apart, 10, 1) == SUTRA_OK);
    REQUIRE(sutra_quantizer_init(&whole, 10, 1) == SUTRA_OK);
    CHECK_EQ(sutra_quantizer_fit(&apart, k, rows, 12, scales, 6), SUTRA_OK);
    CHECK_EQ(sutra_quantizer_fit(&whole, k, scaled, 10, NULL, 6), SUTRA_OK);
    CHECK(memcmp(apart.rotated_mean, whole.rotated_mean, 16 * sizeof(float)) == 0);
    sutra_quantizer_deinit(&apart);
    sutra_quantizer_deinit(&whole);
    sutra_quantizer_deinit(&whole);
}

/* ---- tiers */

static void compare_tiers(const struct coded *a, const struct coded *b)
{
    static uint8_t a_codes[2 * DIM_MAX + 256], b_codes[2 * DIM_MAX + 256];
    const size_t rotated = a->quantizer.rotated_dim;
    CHECK(memcmp(a->quantizer.rotated_mean, b->quantizer.rotated_mean, rotated * sizeof(float)) ==
          0);
    for (size_t row = 0; row < ROWS; row++) {
        codes_of(a, row, a_codes);
        codes_of(b, row, b_codes);
        rotate_row(a, row);
        const double unit = sqrt(square_of(a->rotated, rotated) / (double)rotated);
        for (size_t j = 0; j < rotated; j++) {
            if (a_codes[j] == b_codes[j])
                continue;
            const double cell = ((double)a->rotated[j] / unit + (double)SUTRA_QUANT_HALF_RANGE) /
                                (double)SUTRA_QUANT_STEP;
            CHECK(abs((int)a_codes[j] - (int)b_codes[j]) == 1);
            CHECK(fabs(cell - round(cell)) < 256 * ((double)rotated + 8) * 0x1p-23);
        }
        CHECK(memcmp(a_codes + rotated, b_codes + rotated,
                     2 * (size_t)a->quantizer.row_bytes - rotated) == 0);
        CHECK(fabs((double)(a->corrections[2 * row] - b->corrections[2 * row])) <=
              ((double)rotated + 8) * 0x1p-23 * (double)a->corrections[2 * row]);
    }
}

static void every_tier_codes_alike(void)
{
    struct sutra_kernels scalar, table;
    REQUIRE(sutra_kernels_select(SUTRA_TIER_SCALAR, &scalar) == SUTRA_OK);
    for (int tier = SUTRA_TIER_SCALAR + 1; tier < SUTRA_TIER_COUNT; tier++) {
        if (sutra_kernels_select(tier, &table) != SUTRA_OK)
            continue;
        for (size_t d = 0; d < DIMS; d++) {
            struct coded a, b;
            seed_random(dims[d] + 5000);
            REQUIRE(make_coded(&a, &scalar, shifted_vectors(dims[d], 1), dims[d]));
            seed_random(dims[d] + 5000);
            REQUIRE(make_coded(&b, &table, shifted_vectors(dims[d], 1), dims[d]));
            compare_tiers(&a, &b);
            release_coded(&a);
            release_coded(&b);
        }
    }
}

CHECK_MAIN(CASE(rotation_is_orthogonal), CASE(rotation_spreads_energy),
           CASE(codes_keep_to_the_stated_bounds), CASE(decoding_gives_the_row_back),
           CASE(estimates_are_close), CASE(walk_from_codes_agrees_with_query),
           CASE(pair_distances_are_close), CASE(awkward_rows_stay_finite),
           CASE(outliers_keep_to_themselves), CASE(one_plane_is_the_first_of_two),
           CASE(fit_reads_scales_and_strides), CASE(every_tier_codes_alike))
