/* Any function of one 8-bit value as a table of its 256 results. */
#ifndef EC_TABLE_I8_H
#define EC_TABLE_I8_H

#include "ec_simd_i8.h"

/* y[i] = table[x[i]] for i < n; x counts as unsigned, so the table of a signed x begins with the result of 0. */
EC_INLINE void ec_table_i8(const void *x, const void *table, void *y, size_t n)
{
    const uint8_t *from = x, *results = table;
    uint8_t *to = y;
    size_t i = 0;
#if defined(EC_I8_TABLE)
    ec_i8_table vectors = ec_i8_table_load(results);
    EC_ROLLED
    for (; i + EC_BYTES <= n; i += EC_BYTES)
        ec_b8_store(to + i, ec_i8_look_up(&vectors, ec_b8_load(from + i)));
#endif
    for (; i < n; i++)
        to[i] = results[from[i]];
}

#endif
