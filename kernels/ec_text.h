/*
 * Strings of a fixed number of bytes: UTF-8, the rest zero; one that fills all its bytes has no zero behind it. What
 * stands behind the first zero counts for nothing, and broken UTF-8 is taken byte by byte.
 */
#ifndef EC_TEXT_H
#define EC_TEXT_H

#include "ec_common.h"

#include <string.h>

EC_INLINE const char *ec_text_at(const void *x, size_t i, size_t bytes) { return (const char *)x + i * bytes; }

EC_INLINE size_t ec_text_length(const char *s, size_t bytes)
{
    const char *end = memchr(s, 0, bytes);
    return end != NULL ? (size_t)(end - s) : bytes;
}

/* Puts the first n bytes of s, at most `bytes`, in place i. */
EC_INLINE void ec_text_put(void *y, size_t i, size_t bytes, const char *s, size_t n)
{
    char *to = (char *)y + i * bytes;
    n = n < bytes ? n : bytes;
    memmove(to, s, n);
    memset(to + n, 0, bytes - n);
}

/* The order of strings by their bytes: below, at or above 0. */
EC_INLINE int ec_text_compare(const char *a, const char *b, size_t bytes)
{
    size_t i = 0;
    while (i + 1 < bytes && a[i] == b[i] && a[i] != 0)
        i++;
    return (int)(unsigned char)a[i] - (int)(unsigned char)b[i];
}

typedef struct {
    size_t bytes;
} ec_text_equal_shape;

/* A task is an element. */
EC_INLINE void ec_text_equal(const void *x, const void *y, uint8_t *z, const ec_text_equal_shape *s, size_t begin,
                             size_t end)
{
    for (size_t i = begin; i < end; i++)
        z[i] = ec_text_compare(ec_text_at(x, i, s->bytes), ec_text_at(y, i, s->bytes), s->bytes) == 0;
}

typedef struct {
    size_t bytes, count;
} ec_text_concat_shape;

EC_INLINE void ec_text_concat(const void *x, const void *y, void *z, int64_t *cut, const ec_text_concat_shape *s,
                              size_t begin, size_t end)
{
    if (begin == end)
        return;
    *cut = 0;
    for (size_t i = 0; i < s->count; i++) {
        const char *a = ec_text_at(x, i, s->bytes), *b = ec_text_at(y, i, s->bytes);
        size_t first = ec_text_length(a, s->bytes), second = ec_text_length(b, s->bytes), room = s->bytes - first;
        char *to = (char *)z + i * s->bytes;
        memcpy(to, a, first);
        memcpy(to + first, b, second < room ? second : room);
        memset(to + first + (second < room ? second : room), 0, second < room ? room - second : 0);
        *cut += second > room;
    }
}

typedef struct {
    size_t bytes, count, room;
    int most; /* delimiters that count; negative: all */
} ec_text_split_shape;

EC_INLINE int ec_text_is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* How many bytes from `at` on belong to a part: up to a delimiter, or up to white space where there is none. */
EC_INLINE size_t ec_text_part(const char *s, size_t at, size_t length, const char *mark, size_t n)
{
    size_t to = at;
    while (to < length && !(mark == NULL ? ec_text_is_space(s[to]) : to + n <= length && memcmp(s + to, mark, n) == 0))
        to++;
    return to - at;
}

/* The number of parts of a string; those that there is room for go to y. */
EC_INLINE size_t ec_text_parts(const char *x, const char *mark, char *y, const ec_text_split_shape *s)
{
    size_t length = ec_text_length(x, s->bytes), n = mark != NULL ? ec_text_length(mark, s->bytes) : 1;
    size_t at = 0, found = 0;
    for (;;) {
        while (mark == NULL && at < length && ec_text_is_space(x[at]))
            at++;
        if (mark == NULL && at == length)
            return found;
        int is_last = s->most >= 0 && found == (size_t)s->most;
        size_t part = is_last ? length - at : ec_text_part(x, at, length, mark, n);
        if (found < s->room)
            ec_text_put(y, found, s->bytes, x + at, part);
        found++;
        at += part;
        if (at == length)
            return found;
        at += n;
    }
}

EC_INLINE void ec_text_split(const void *x, const void *mark, void *y, int64_t *counts, int64_t *most,
                             const ec_text_split_shape *s, size_t begin, size_t end)
{
    if (begin == end)
        return;
    *most = 0;
    memset(y, 0, s->count * s->room * s->bytes);
    for (size_t i = 0; i < s->count; i++) {
        size_t found = ec_text_parts(ec_text_at(x, i, s->bytes), mark, (char *)y + i * s->room * s->bytes, s);
        counts[i] = (int64_t)found;
        *most = counts[i] > *most ? counts[i] : *most;
    }
}

typedef struct {
    size_t bytes, count, words;
} ec_text_normalize_shape;

/* Puts x in place i with its letters replaced by those of a table of the first 2048 code points; none gets longer. */
EC_INLINE void ec_text_cased(void *y, size_t i, const char *x, size_t bytes, const uint16_t *table)
{
    size_t length = ec_text_length(x, bytes), to = 0;
    char *made = (char *)y + i * bytes;
    for (size_t at = 0; at < length;) {
        unsigned char a = (unsigned char)x[at], b = at + 1 < length ? (unsigned char)x[at + 1] : 0;
        size_t step = a >= 0xC2 && a < 0xE0 && (b & 0xC0) == 0x80 ? 2 : 1;
        unsigned code = step == 2 ? (unsigned)(a & 0x1F) << 6 | (b & 0x3F) : a;
        unsigned put = step == 2 || a < 0x80 ? table[code] : 0;
        at += step;
        if (put == 0) {
            made[to++] = (char)a;
        } else if (put < 0x80) {
            made[to++] = (char)put;
        } else {
            made[to++] = (char)(0xC0 | put >> 6);
            made[to++] = (char)(0x80 | (put & 0x3F));
        }
    }
    memset(made + to, 0, bytes - to);
}

/* The strings that are none of some words; `folded` makes small letters of theirs before they are compared. */
EC_INLINE void ec_text_normalize(const void *x, const void *words, const uint16_t *table, const uint16_t *folded,
                                 void *y, int64_t *count, const ec_text_normalize_shape *s, size_t begin, size_t end)
{
    if (begin == end)
        return;
    size_t found = 0;
    for (size_t i = 0; i < s->count; i++) {
        const char *here = ec_text_at(x, i, s->bytes);
        if (folded != NULL)
            ec_text_cased(y, found, here, s->bytes, folded);
        else
            ec_text_put(y, found, s->bytes, here, ec_text_length(here, s->bytes));
        size_t word = 0;
        while (word < s->words &&
               ec_text_compare(ec_text_at(y, found, s->bytes), ec_text_at(words, word, s->bytes), s->bytes) != 0)
            word++;
        if (word < s->words)
            continue;
        if (table != NULL)
            ec_text_cased(y, found, here, s->bytes, table);
        else
            ec_text_put(y, found, s->bytes, here, ec_text_length(here, s->bytes));
        found++;
    }
    size_t all = s->count > 0 ? s->count : 1;
    memset((char *)y + found * s->bytes, 0, (all - found) * s->bytes);
    *count = (int64_t)(found > 0 ? found : 1);
}

typedef struct {
    size_t bytes, keys;
} ec_text_find_shape;

/* Places among keys that ascend; their number for what is none of them. A task is an element. */
EC_INLINE void ec_text_find(const void *x, const void *keys, int64_t *y, const ec_text_find_shape *s, size_t begin,
                            size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const char *here = ec_text_at(x, i, s->bytes);
        size_t low = 0, high = s->keys;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (ec_text_compare(ec_text_at(keys, middle, s->bytes), here, s->bytes) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        int same = low < s->keys && ec_text_compare(ec_text_at(keys, low, s->bytes), here, s->bytes) == 0;
        y[i] = (int64_t)(same ? low : s->keys);
    }
}

typedef struct {
    size_t bytes, kinds;
} ec_text_match_shape;

/* Whether strings lead an automaton from its first state to one that accepts. A task is an element. */
EC_INLINE void ec_text_match(const void *x, const uint8_t *classes, const uint16_t *steps, const uint8_t *accepts,
                             uint8_t *y, const ec_text_match_shape *s, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const unsigned char *here = (const unsigned char *)ec_text_at(x, i, s->bytes);
        size_t length = ec_text_length((const char *)here, s->bytes), state = 0;
        for (size_t at = 0; at < length; at++)
            state = steps[state * s->kinds + classes[here[at]]];
        y[i] = accepts[state];
    }
}

#endif
