/* The JSON scanner and dates: what is found at a path, texts with escapes, numbers to the last bit,
 * and that nothing outside of a text is read.
 * SPDX-License-Identifier: Apache-2.0
 */
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

#include "base/instant.h"
#include "base/json.h"
#include "base/prng.h"
#include "check.h"

static struct sutra_json at_path(const char *text, const char *path)
{
    struct sutra_json_path at;
    struct sutra_json found = {.kind = -1};
    CHECK(sutra_json_path_set(&at, path, strlen(path)));
    sutra_json_find(text, strlen(text), &at, &found);
    return found;
}

static void kinds(void)
{
    static const char text[] =
        " { \"n\" : null,\"t\":true , \"f\":false,\"i\":-12, \"d\":1.5e1, \"s\":\"a\\\"]}\","
        "\"l\":[1,{\"i\":7},\"]\"],\"o\":{\"i\":3,\"o\":{\"i\":4},\"a.b\":5},\"e\":{},\"\":9} ";
    CHECK_EQ(at_path(text, "n").kind, SUTRA_JSON_NULL);
    CHECK(at_path(text, "t").kind == SUTRA_JSON_BOOL && at_path(text, "t").truth);
    CHECK(at_path(text, "f").kind == SUTRA_JSON_BOOL && !at_path(text, "f").truth);
    CHECK(at_path(text, "i").kind == SUTRA_JSON_INT && at_path(text, "i").integer == -12);
    CHECK(at_path(text, "d").kind == SUTRA_JSON_FLOAT && at_path(text, "d").number == 15.0);
    CHECK(at_path(text, "s").kind == SUTRA_JSON_TEXT && at_path(text, "s").escaped);
    CHECK_EQ(at_path(text, "l").kind, SUTRA_JSON_LIST);
    CHECK_EQ(at_path(text, "o").kind, SUTRA_JSON_OBJECT);
    CHECK_EQ(at_path(text, "e").kind, SUTRA_JSON_OBJECT);
    CHECK_EQ(at_path(text, "o.i").integer, 3);
    CHECK_EQ(at_path(text, "o.o.i").integer, 4);
    static const char *const nowhere[] = {"x",     "o.x", "o.i.x", "e.i", "l.i", "l.0",
                                          "o.a.b", "o.",  ".",     "s.a", "I"};
    for (size_t j = 0; j < sizeof nowhere / sizeof *nowhere; j++)
        CHECK_EQ(at_path(text, nowhere[j]).kind, SUTRA_JSON_NONE);
    /* Empty names are names, a spelled dot at the top goes first, and the last of a key counts. */
    CHECK_EQ(at_path("{\"a\":{\"\":1}}", "a.").integer, 1);
    CHECK_EQ(at_path("{\"a\":{\"b\":1},\"a.b\":2}", "a.b").integer, 2);
    CHECK_EQ(at_path("{\"a.b\":null,\"a\":{\"b\":1}}", "a.b").kind, SUTRA_JSON_NULL);
    CHECK_EQ(at_path("{\"a\":1,\"a\":2}", "a").integer, 2);
    CHECK_EQ(at_path("{\"a\":{\"b\":1},\"a\":3}", "a.b").kind, SUTRA_JSON_NONE);
    CHECK_EQ(at_path("{\"\\u0061\\u00e9\":4}", "a\xc3\xa9").integer, 4);
    struct sutra_json_path path;
    char longest[300] = {0};
    memset(longest, 'p', sizeof longest - 1);
    CHECK(sutra_json_path_set(&path, longest, 255));
    CHECK(!sutra_json_path_set(&path, longest, 256) && !sutra_json_path_set(&path, longest, 0));
}

/* What is no JSON has nothing in it; a copy without a byte to spare is all that is read. */
static void broken(void)
{
    static const char whole[] = "{\"a\":[1,\"\\u00e9\\ud83d\\ude00\",{\"b\":-1.5e-3}],\"c\":true}";
    static const char *const texts[] = {
        "",
        "{",
        "}",
        "[]",
        "7",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":01x}",
        "{\"a\":-}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":tru}",
        "{\"a\":nulll}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":[1}",
    };
    for (size_t j = 0; j < sizeof texts / sizeof *texts; j++) {
        const struct sutra_json found = at_path(texts[j], "a");
        CHECK(found.kind == SUTRA_JSON_NONE || found.kind == SUTRA_JSON_LIST);
    }
    struct sutra_json_path path;
    CHECK(sutra_json_path_set(&path, "a.b", 3));
    for (size_t bytes = 0; bytes < sizeof whole - 1; bytes++) {
        char *copy = malloc(bytes + 1);
        REQUIRE(copy != NULL);
        char *text = copy + 1; /* its end is the block's */
        if (bytes)
            memcpy(text, whole, bytes);
        struct sutra_json found;
        sutra_json_find(text, bytes, &path, &found);
        CHECK_EQ(found.kind, SUTRA_JSON_NONE);
        free(copy);
    }
}

static void lists(void)
{
    const struct sutra_json list =
        at_path("{\"l\":[ 1, \"a\" ,[2,3],{\"x\":[]}, null,false , 2.5 ]}", "l");
    static const int kinds_there[] = {SUTRA_JSON_INT,    SUTRA_JSON_TEXT, SUTRA_JSON_LIST,
                                      SUTRA_JSON_OBJECT, SUTRA_JSON_NULL, SUTRA_JSON_BOOL,
                                      SUTRA_JSON_FLOAT};
    struct sutra_json element;
    const char *at = list.at;
    size_t count = 0;
    for (; sutra_json_next(&list, &at, &element); count++)
        CHECK(count < 7 && element.kind == kinds_there[count]);
    CHECK_EQ(count, 7);
    const struct sutra_json empty = at_path("{\"l\":[ ]}", "l");
    at = empty.at;
    CHECK(!sutra_json_next(&empty, &at, &element));
}

static void texts(void)
{
    const struct sutra_json text =
        at_path("{\"s\":\"a\\n\\u00E9\\ud83d\\ude00\\ud800z\\/\\\\\"}", "s");
    static const char decoded[] = "a\n\xc3\xa9\xf0\x9f\x98\x80\xed\xa0\x80z/\\";
    char out[64];
    const size_t bytes = sutra_json_decode(&text, out, sizeof out);
    CHECK(bytes == sizeof decoded - 1 && memcmp(out, decoded, bytes) == 0);
    CHECK_EQ(sutra_json_decode(&text, out, 3), bytes);
    CHECK_EQ(sutra_json_compare(&text, decoded, bytes), 0);
    CHECK(sutra_json_compare(&text, decoded, bytes - 1) > 0);
    CHECK(sutra_json_compare(&text, "b", 1) < 0 && sutra_json_compare(&text, "", 0) > 0);
    CHECK(sutra_json_contains(&text, "\xf0\x9f\x98\x80", 4));
    CHECK(sutra_json_contains(&text, "", 0) && sutra_json_contains(&text, "/\\", 2));
    CHECK(!sutra_json_contains(&text, "\\/", 2) && !sutra_json_contains(&text, "zz", 2));
    const struct sutra_json plain = at_path("{\"s\":\"abcabd\"}", "s");
    CHECK(sutra_json_contains(&plain, "abd", 3) && !sutra_json_contains(&plain, "abe", 3));
    /* Without escapes a backslash stands for itself. */
    const char *const raw = "\\n\"\\";
    const struct sutra_json itself = {.kind = SUTRA_JSON_TEXT, .at = raw, .end = raw + 4};
    CHECK(sutra_json_contains(&itself, "\\n", 2) && sutra_json_contains(&itself, "\"\\", 2));
    CHECK(!sutra_json_contains(&itself, "\n", 1) && !sutra_json_contains(&itself, "\\\\", 2));
    CHECK(sutra_json_contains(&itself, "", 0) && !sutra_json_contains(&itself, "\\n\"\\x", 5));
    CHECK(sutra_json_compare(&plain, "abcabd", 6) == 0 && sutra_json_compare(&plain, "abd", 3) < 0);
    const struct sutra_json empty = at_path("{\"s\":\"\"}", "s");
    CHECK(sutra_json_compare(&empty, "", 0) == 0 && sutra_json_compare(&empty, "a", 1) < 0);
}

/* ---- numbers */

static double number_of(const char *text)
{
    return sutra_json_double(text, strlen(text));
}

static void numbers(void)
{
    static const char *const hard[] = {
        "0.1",
        "-0.0",
        "1e22",
        "1e23",
        "9007199254740993",
        "9007199254740993.0",
        "123456789012345678",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "4.9e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "1e400",
        "1e-400",
        "1e99999999999999999999",
        "0e99999999999999999999",
        "0.000000000000000000001e21",
        "9007199254740992.99999999999999999999999999999999999999",
        "8.5e-1",
        "5708990770823839207320493820740630171355185152001e-3",
        "7.8459735791271921e65",
        "3.571e266",
        "100000000000000000000000000000000000000000000001",
        "9223372036854775808",
        "-9223372036854775809",
    };
    for (size_t j = 0; j < sizeof hard / sizeof *hard; j++) {
        const double expected = strtod(hard[j], NULL), found = number_of(hard[j]);
        CHECK(memcmp(&expected, &found, sizeof found) == 0);
    }
    for (uint64_t j = 0; j < 20000; j++) {
        const uint64_t bits = sutra_random_at(5, j) & ~((uint64_t)1 << 62) & 0x7fffffffffffffff;
        char text[64];
        double value;
        memcpy(&value, &bits, sizeof value);
        (void)snprintf(text, sizeof text, "%.*g", j % 2 ? 17 : (int)(j % 25) + 1, value);
        const double expected = strtod(text, NULL);
        CHECK(number_of(text) == expected);
    }
    /* Just above the middle between two doubles, with the digit that decides far behind. */
    char middle[2000];
    (void)snprintf(middle, sizeof middle, "9007199254740993.%01500d", 1);
    CHECK(number_of(middle) == 9007199254740994.0);
    middle[strlen(middle) - 1] = '0';
    CHECK(number_of(middle) == 9007199254740992.0);
    CHECK(at_path("{\"a\":9223372036854775807}", "a").integer == INT64_MAX);
    CHECK(at_path("{\"a\":-9223372036854775808}", "a").integer == INT64_MIN);
    CHECK(at_path("{\"a\":9223372036854775808}", "a").number == 9223372036854775808.0);
    CHECK_EQ(at_path("{\"a\":-0}", "a").kind, SUTRA_JSON_INT);
    CHECK_EQ(at_path("{\"a\":3.0}", "a").kind, SUTRA_JSON_FLOAT);
}

/* Where the decimal point is a comma. */
static void locales(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    const char *set = NULL;
    for (size_t j = 0; j < 4 && !set; j++)
        set = setlocale(LC_NUMERIC, names[j]);
    if (!set)
        SKIP("no locale with a comma");
    CHECK(number_of("0.3000000000000000444") == 0.3);
    CHECK(number_of("1.7976931348623157e308") == DBL_MAX);
    (void)setlocale(LC_NUMERIC, "C");
}

/* ---- instants */

static bool instant(const char *text, int64_t *ns)
{
    return sutra_instant_parse(text, strlen(text), ns);
}

static void instants(void)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"1970-01-01", 0},
        {"1970-01-01T00:00Z", 0},
        {"1970-01-01 00:00:01.5", 1500000000},
        {"1969-12-31T23:59:59.999999999Z", -1},
        {"2000-02-29T12:34:56+01:30", 951822296000000000},
        {"2024-02-29", 1709164800000000000},
        {"1970-01-01T00:00:00.1234567899999", 123456789},
        {"1970-01-01T01:00-23:59", 3600000000000 + 86340000000000},
        {"1970-01-01Z", 0},
        {"2262-04-11T23:47:16.854775807Z", INT64_MAX},
        {"1677-09-21T00:12:43.145224192Z", INT64_MIN},
    };
    static const char *const bad[] = {
        "",
        "1970",
        "1970-1-1",
        "1970-13-01",
        "1970-00-01",
        "1970-02-29",
        "1900-02-29",
        "1970-04-31",
        "1970-01-01T",
        "1970-01-01T24:00",
        "1970-01-01T00:60",
        "1970-01-01T00:00:60",
        "1970-01-01T00:00:00.",
        "1970-01-01T00:00.5",
        "1970-01-01T00",
        "1970-01-01t00:00",
        "1970-01-01T00:00z",
        "1970-01-01T00:00+1:00",
        "1970-01-01T00:00+24:00",
        "1970-01-01 ",
        "1970-01-01T00:00Z ",
        " 1970-01-01",
        "1970-01-01T00:00+0100",
        "2262-04-11T23:47:16.854775808",
        "1677-09-21T00:12:43.145224191",
        "9999-01-01",
        "0001-01-01",
        "19700101",
        "+1970-01-01",
    };
    int64_t ns;
    for (size_t j = 0; j < sizeof good / sizeof *good; j++) {
        CHECK(instant(good[j].text, &ns));
        CHECK_EQ(ns, good[j].ns);
    }
    for (size_t j = 0; j < sizeof bad / sizeof *bad; j++)
        CHECK(!instant(bad[j], &ns));
    /* Every day of four centuries follows on the one before. */
    int64_t last = 0;
    for (int day = 0, year = 1800, month = 1, date = 1; day < 146097; day++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%04d-%02d-%02d", year, month, date);
        if (!instant(text, &ns)) { /* the month is over */
            CHECK(date > 28);
            date = 1;
            month = month == 12 ? 1 : month + 1;
            year += month == 1;
            day--;
            continue;
        }
        CHECK(day == 0 || ns - last == 86400000000000);
        last = ns;
        date++;
    }
}

CHECK_MAIN(CASE(kinds), CASE(broken), CASE(lists), CASE(texts), CASE(numbers), CASE(locales),
           CASE(instants))
