/* Transposes a matrix in register-sized blocks. */
#ifndef EC_TRANSPOSE_F32_H
#define EC_TRANSPOSE_F32_H

#include "ec_simd.h"

#define EC_TRANSPOSE_ROWS 16 /* rows of one task: they fill whole cache lines of y */

EC_INLINE size_t ec_transpose_f32_tasks(size_t rows) { return ec_ceil_div(rows, EC_TRANSPOSE_ROWS); }

/* The rows from..to - 1, one element at a time in the columns first..columns - 1. */
EC_INLINE void ec_transpose_f32_edge(const float *x, float *y, size_t from, size_t to, size_t first, size_t columns,
                                     ptrdiff_t x_stride, ptrdiff_t y_stride)
{
    for (size_t c = first; c < columns; c++)
        for (size_t r = from; r < to; r++)
            y[(ptrdiff_t)c * y_stride + (ptrdiff_t)r] = x[(ptrdiff_t)r * x_stride + (ptrdiff_t)c];
}

/* y[c * y_stride + r] = x[r * x_stride + c]; computes the tasks begin .. end - 1 of ec_transpose_f32_tasks. */
EC_INLINE void ec_transpose_f32(const float *x, float *y, size_t rows, size_t columns, ptrdiff_t x_stride,
                                ptrdiff_t y_stride, size_t begin, size_t end)
{
    const size_t edge = EC_TRANSPOSE_EDGE, whole = columns / edge * edge;
    for (size_t task = begin; task < end; task++) {
        const size_t from = task * EC_TRANSPOSE_ROWS, to = ec_min_size(from + EC_TRANSPOSE_ROWS, rows);
        const size_t blocks = from + (to - from) / edge * edge;
        for (size_t c = 0; c < whole; c += edge)
            for (size_t r = from; r < blocks; r += edge)
                ec_f32_transpose(x + (ptrdiff_t)r * x_stride + (ptrdiff_t)c, x_stride,
                                 y + (ptrdiff_t)c * y_stride + (ptrdiff_t)r, y_stride);
        ec_transpose_f32_edge(x, y, from, blocks, whole, columns, x_stride, y_stride);
        ec_transpose_f32_edge(x, y, blocks, to, 0, columns, x_stride, y_stride);
    }
}

#endif
