/*
 * Writing at computed places, in the order of the updates, and running totals. Indices may count from the end; an update
 * whose index lies outside is dropped. Tensors are row-major. The shape must be a compile-time constant.
 */
#ifndef EC_SCATTER_H
#define EC_SCATTER_H

#include "ec_element.h"

typedef struct {
    int type, reduction;
    size_t rank, axis, size, count, extent;            /* elements of the result, updates, extent of the axis */
    size_t extents[EC_MAX_RANK], strides[EC_MAX_RANK]; /* of the updates; of the result */
} ec_scatter_elements_shape;

/* y = x with y[i][indices[i, j, k]][k] = updates[i, j, k] where axis is 1; y may be x. */
EC_INLINE void ec_scatter_elements(const void *x, const int64_t *indices, const void *updates, void *y,
                                   const ec_scatter_elements_shape *s, size_t begin, size_t end)
{
    if (begin == end)
        return;
    if (x != y)
        memcpy(y, x, s->size * ec_bytes(s->type));
    size_t at[EC_MAX_RANK] = {0}, base = 0; /* where update n stands, and its place without the axis */
    for (size_t n = 0; n < s->count; n++) {
        int64_t place = ec_place(indices[n], s->extent);
        if (place >= 0)
            ec_join(y, base + (size_t)place * s->strides[s->axis], updates, n, s->type, s->reduction);
        for (size_t a = s->rank; a-- > 0;) {
            size_t stride = a == s->axis ? 0 : s->strides[a];
            base += stride;
            if (++at[a] < s->extents[a])
                break;
            base -= stride * s->extents[a];
            at[a] = 0;
        }
    }
}

typedef struct {
    int type, reduction;
    size_t depth, size, count, row; /* numbers of an index, elements of the result, updates, elements of a row */
    size_t extents[EC_MAX_RANK];
} ec_scatter_rows_shape;

/* y = x with y[indices[n]] = updates[n], both rows; y may be x. */
EC_INLINE void ec_scatter_rows(const void *x, const int64_t *indices, const void *updates, void *y,
                               const ec_scatter_rows_shape *s, size_t begin, size_t end)
{
    if (begin == end)
        return;
    if (x != y)
        memcpy(y, x, s->size * ec_bytes(s->type));
    for (size_t n = 0; n < s->count; n++) {
        size_t row = 0, inside = 1;
        for (size_t d = 0; d < s->depth; d++) {
            int64_t place = ec_place(indices[n * s->depth + d], s->extents[d]);
            inside &= place >= 0;
            row = row * s->extents[d] + (size_t)(place < 0 ? 0 : place);
        }
        for (size_t i = 0; inside && i < s->row; i++)
            ec_join(y, row * s->row + i, updates, n * s->row + i, s->type, s->reduction);
    }
}

typedef struct {
    int type, reduction, exclusive, reverse;
    size_t extent, inner;
} ec_cumulative_shape;

/* Running totals along the middle dimension of [tasks / inner][extent][inner]. A task is a line. */
EC_INLINE void ec_cumulative(const void *x, void *y, const ec_cumulative_shape *s, size_t begin, size_t end)
{
    for (size_t line = begin; line < end; line++) {
        size_t first = line / s->inner * s->extent * s->inner + line % s->inner;
        for (size_t n = 0; n < s->extent; n++) {
            size_t here = first + (s->reverse ? s->extent - 1 - n : n) * s->inner;
            size_t before = s->reverse ? here + s->inner : here - s->inner;
            if (n)
                ec_move(y, here, y, before, s->type);
            else if (ec_is_real(s->type))
                ec_put_real(y, here, s->reduction == EC_REDUCTION_MUL, s->type);
            else
                ec_put_word(y, here, s->reduction == EC_REDUCTION_MUL, s->type);
            if (n || !s->exclusive)
                ec_join(y, here, x, s->exclusive ? before : here, s->type, s->reduction);
        }
    }
}

#endif
