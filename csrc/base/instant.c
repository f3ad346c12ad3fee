/* Dates and times; see instant.h.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "instant.h"

struct reader {
    const char *at, *end;
};

static bool take(struct reader *reader, char wanted)
{
    if (reader->at == reader->end || *reader->at != wanted)
        return false;
    reader->at++;
    return true;
}

/* So many digits, and a number of [least, most]. */
static bool digits(struct reader *reader, int count, int least, int most, int *value_out)
{
    int value = 0;
    if (reader->end - reader->at < count)
        return false;
    for (int j = 0; j < count; j++, reader->at++) {
        if (*reader->at < '0' || *reader->at > '9')
            return false;
        value = value * 10 + (*reader->at - '0');
    }
    *value_out = value;
    return value >= least && value <= most;
}

static int days_of_month(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01, in the Gregorian calendar: years begin in March, so that the day that may
 * be missing is the last of one. */
static int64_t days_since_1970(int year, int month, int day)
{
    const int from_march = (month + 9) % 12;
    const int64_t y = (int64_t)year - (month <= 2);
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t in_era = y - era * 400;
    const int64_t day_of_year = (153 * from_march + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
}

static bool read_date(struct reader *reader, int64_t *seconds_out)
{
    int year, month, day;
    if (!digits(reader, 4, 0, 9999, &year) || !take(reader, '-') ||
        !digits(reader, 2, 1, 12, &month) || !take(reader, '-') ||
        !digits(reader, 2, 1, days_of_month(year, month), &day))
        return false;
    *seconds_out = days_since_1970(year, month, day) * 86400;
    return true;
}

/* Digits of a fraction, one at least. */
static bool read_fraction(struct reader *reader, int64_t *ns_out)
{
    const char *first = reader->at;
    int64_t ns = 0, unit = 100000000;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        ns += unit * (*reader->at - '0');
        unit /= 10;
    }
    *ns_out = ns;
    return reader->at > first;
}

static bool read_time(struct reader *reader, int64_t *seconds_inout, int64_t *ns_out)
{
    int hour, minute, second = 0;
    if (!digits(reader, 2, 0, 23, &hour) || !take(reader, ':') ||
        !digits(reader, 2, 0, 59, &minute))
        return false;
    if (take(reader, ':')) {
        if (!digits(reader, 2, 0, 59, &second))
            return false;
        if (take(reader, '.') && !read_fraction(reader, ns_out))
            return false;
    }
    *seconds_inout += hour * 3600 + minute * 60 + second;
    return true;
}

static bool read_offset(struct reader *reader, int64_t *seconds_inout)
{
    int hour, minute;
    if (take(reader, 'Z'))
        return true;
    const bool west = take(reader, '-');
    if (!west && !take(reader, '+'))
        return true;
    if (!digits(reader, 2, 0, 23, &hour) || !take(reader, ':') ||
        !digits(reader, 2, 0, 59, &minute))
        return false;
    const int64_t offset = hour * 3600 + minute * 60;
    *seconds_inout += west ? offset : -offset;
    return true;
}

bool sutra_instant_parse(const char *text, size_t bytes, int64_t *ns_out)
{
    struct reader reader = {text, text + bytes};
    int64_t seconds, ns = 0;
    if (!read_date(&reader, &seconds))
        return false;
    if ((take(&reader, 'T') || take(&reader, ' ')) && !read_time(&reader, &seconds, &ns))
        return false;
    if (!read_offset(&reader, &seconds) || reader.at != reader.end)
        return false;
    /* Before 1970 the product may be out of range where the sum is not. */
    if (seconds < 0 && ns > 0) {
        seconds++;
        ns -= 1000000000;
    }
    int64_t whole;
    return !__builtin_mul_overflow(seconds, (int64_t)1000000000, &whole) &&
           !__builtin_add_overflow(whole, ns, ns_out);
}
