/*
 * Choosing by value: the largest elements, places of maxima, what is not zero, what differs. Tensors are row-major.
 * Of equal elements the first is meant. The shapes must be compile-time constants.
 */
#ifndef EC_SELECT_H
#define EC_SELECT_H

#include "ec_element.h"

typedef struct {
    int type, largest;
    size_t extent, k, inner;
} ec_top_k_shape;

/* Whether element i of a line comes after element j. */
EC_INLINE int ec_top_k_after(const void *x, size_t i, size_t j, const ec_top_k_shape *s)
{
    size_t a = i * s->inner, b = j * s->inner;
    if (s->largest ? ec_less(x, a, x, b, s->type) : ec_less(x, b, x, a, s->type))
        return 1;
    return !(s->largest ? ec_less(x, b, x, a, s->type) : ec_less(x, a, x, b, s->type)) && i > j;
}

/* Lets the element at `root` of a heap of n indices sink, the one that comes last being on top. */
EC_INLINE void ec_top_k_sink(const void *x, int64_t *heap, size_t root, size_t n, const ec_top_k_shape *s)
{
    int64_t moved = heap[root * s->inner];
    for (size_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
        int64_t last = heap[child * s->inner];
        if (child + 1 < n && ec_top_k_after(x, (size_t)heap[(child + 1) * s->inner], (size_t)last, s))
            last = heap[++child * s->inner];
        if (!ec_top_k_after(x, (size_t)last, (size_t)moved, s))
            break;
        heap[root * s->inner] = last;
        root = child;
    }
    heap[root * s->inner] = moved;
}

/* The indices of the k first elements of a line, by a heap of the best so far. */
EC_INLINE void ec_top_k_indices(const void *x, int64_t *heap, const ec_top_k_shape *s)
{
    for (size_t i = 0; i < s->k; i++)
        heap[i * s->inner] = (int64_t)i;
    for (size_t i = s->k / 2; i-- > 0;)
        ec_top_k_sink(x, heap, i, s->k, s);
    for (size_t i = s->k; i < s->extent; i++) {
        if (ec_top_k_after(x, (size_t)heap[0], i, s)) {
            heap[0] = (int64_t)i;
            ec_top_k_sink(x, heap, 0, s->k, s);
        }
    }
    for (size_t n = s->k; n-- > 1;) {
        int64_t last = heap[0];
        heap[0] = heap[n * s->inner];
        heap[n * s->inner] = last;
        ec_top_k_sink(x, heap, 0, n, s);
    }
}

/* The k first elements of each line of [tasks / inner][extent][inner] and their indices. A task is a line. */
EC_INLINE void ec_top_k(const void *x, void *y, int64_t *indices, const ec_top_k_shape *s, size_t begin, size_t end)
{
    for (size_t line = begin; line < end && s->k; line++) {
        size_t outer = line / s->inner, inside = line % s->inner, to = outer * s->k * s->inner + inside;
        const char *from = (const char *)x + (outer * s->extent * s->inner + inside) * ec_bytes(s->type);
        ec_top_k_indices(from, indices + to, s);
        for (size_t i = to; i < to + s->k * s->inner; i += s->inner)
            ec_move(y, i, from, (size_t)indices[i] * s->inner, s->type);
    }
}

typedef struct {
    int type, column_major;
    size_t extents[3], sizes[3], kernel[3], strides[3], dilations[3], pads[3];
} ec_max_places_shape;

/* The flat index of a place in a plane. */
EC_INLINE size_t ec_flat_place(const size_t *at, const ec_max_places_shape *s)
{
    if (s->column_major)
        return (at[2] * s->extents[1] + at[1]) * s->extents[0] + at[0];
    return (at[0] * s->extents[1] + at[1]) * s->extents[2] + at[2];
}

/* The index of the largest element of a window; the window's own index where it lies in the padding altogether. */
EC_INLINE int64_t ec_max_place(const void *x, const size_t *out, const ec_max_places_shape *s)
{
    int64_t found = -1;
    size_t best = 0, taps = s->kernel[0] * s->kernel[1] * s->kernel[2];
    for (size_t tap = 0; tap < taps; tap++) {
        size_t k[3] = {tap / (s->kernel[1] * s->kernel[2]), tap / s->kernel[2] % s->kernel[1], tap % s->kernel[2]};
        size_t at[3], inside = 1;
        for (size_t d = 0; d < 3; d++) {
            at[d] = out[d] * s->strides[d] + k[d] * s->dilations[d] - s->pads[d];
            inside &= at[d] < s->extents[d];
        }
        size_t here = (at[0] * s->extents[1] + at[1]) * s->extents[2] + at[2];
        if (inside && (found < 0 || ec_less(x, best, x, here, s->type))) {
            best = here;
            found = (int64_t)ec_flat_place(at, s);
        }
    }
    return found;
}

/* Places of the maxima of windows, counted over all of x. A task is a plane. */
EC_INLINE void ec_max_places(const void *x, int64_t *y, const ec_max_places_shape *s, size_t begin, size_t end)
{
    size_t plane = s->extents[0] * s->extents[1] * s->extents[2], size = s->sizes[0] * s->sizes[1] * s->sizes[2];
    for (size_t n = begin; n < end; n++) {
        const void *from = (const char *)x + n * plane * ec_bytes(s->type);
        for (size_t i = 0; i < size; i++) {
            size_t out[3] = {i / (s->sizes[1] * s->sizes[2]), i / s->sizes[2] % s->sizes[1], i % s->sizes[2]};
            y[n * size + i] = (int64_t)(n * plane) + ec_max_place(from, out, s);
        }
    }
}

typedef struct {
    int type;
    size_t rank, size, extents[EC_MAX_RANK];
} ec_non_zero_shape;

/* Places [rank][size] of the elements that are not zero. */
EC_INLINE void ec_non_zero(const void *x, int64_t *y, int64_t *count, const ec_non_zero_shape *s, size_t begin,
                           size_t end)
{
    if (begin == end)
        return;
    size_t found = 0;
    memset(y, 0, s->rank * s->size * sizeof *y);
    for (size_t i = 0; i < s->size; i++) {
        if (ec_real(x, i, s->type) == 0)
            continue;
        for (size_t d = s->rank, rest = i; d-- > 0; rest /= s->extents[d])
            y[d * s->size + found] = (int64_t)(rest % s->extents[d]);
        found++;
    }
    *count = (int64_t)found;
}

typedef struct {
    int type;
    size_t outer, extent, bound, inner; /* of x; most slices of the result */
} ec_compress_shape;

/* Copies slice `from` of [outer][extent][inner] to slice `to` of [outer][bound][inner]. */
EC_INLINE void ec_take(const void *x, size_t from, size_t extent, void *y, size_t to, size_t bound, size_t outer,
                       size_t bytes)
{
    for (size_t o = 0; o < outer; o++)
        memcpy((char *)y + (o * bound + to) * bytes, (const char *)x + (o * extent + from) * bytes, bytes);
}

EC_INLINE void ec_compress(const void *x, const uint8_t *condition, void *y, int64_t *count, const ec_compress_shape *s,
                           size_t begin, size_t end)
{
    if (begin == end)
        return;
    size_t found = 0, bytes = s->inner * ec_bytes(s->type);
    memset(y, 0, s->outer * s->bound * bytes);
    for (size_t i = 0; i < s->bound; i++)
        if (condition[i])
            ec_take(x, i, s->extent, y, found++, s->bound, s->outer, bytes);
    *count = (int64_t)found;
}

typedef struct {
    int type, ordered;
    size_t outer, extent, inner;
} ec_unique_shape;

/* The order of slices i and j: below, at or above 0. */
EC_INLINE int ec_compare_slices(const void *x, size_t i, size_t j, const ec_unique_shape *s)
{
    for (size_t o = 0; o < s->outer; o++) {
        for (size_t n = 0; n < s->inner; n++) {
            size_t a = (o * s->extent + i) * s->inner + n, b = (o * s->extent + j) * s->inner + n;
            if (ec_less(x, a, x, b, s->type) || ec_less(x, b, x, a, s->type))
                return ec_less(x, a, x, b, s->type) ? -1 : 1;
        }
    }
    return 0;
}

EC_INLINE int ec_slice_after(const void *x, int64_t i, int64_t j, const ec_unique_shape *s)
{
    int order = ec_compare_slices(x, (size_t)i, (size_t)j, s);
    return order > 0 || (order == 0 && i > j);
}

EC_INLINE void ec_slices_sink(const void *x, int64_t *heap, size_t root, size_t n, const ec_unique_shape *s)
{
    int64_t moved = heap[root];
    for (size_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
        child += child + 1 < n && ec_slice_after(x, heap[child + 1], heap[child], s);
        if (!ec_slice_after(x, heap[child], moved, s))
            break;
        heap[root] = heap[child];
        root = child;
    }
    heap[root] = moved;
}

/* The order of all slices, by heap sort. */
EC_INLINE void ec_sort_slices(const void *x, int64_t *order, const ec_unique_shape *s)
{
    for (size_t i = 0; i < s->extent; i++)
        order[i] = (int64_t)i;
    for (size_t i = s->extent / 2; i-- > 0;)
        ec_slices_sink(x, order, i, s->extent, s);
    for (size_t n = s->extent; n-- > 1;) {
        int64_t last = order[0];
        order[0] = order[n];
        order[n] = last;
        ec_slices_sink(x, order, 0, n, s);
    }
}

/* Distinct slices in ascending order; `first` holds the order of all slices until it is overwritten from the front. */
EC_INLINE size_t ec_unique_ordered(const void *x, int64_t *first, int64_t *inverse, int64_t *counts,
                                   const ec_unique_shape *s)
{
    size_t found = 0;
    ec_sort_slices(x, first, s);
    for (size_t i = 0; i < s->extent; i++) {
        int64_t slice = first[i];
        if (!found || ec_compare_slices(x, (size_t)first[found - 1], (size_t)slice, s)) {
            first[found] = slice;
            counts[found++] = 0;
        }
        inverse[slice] = (int64_t)found - 1;
        counts[found - 1]++;
    }
    return found;
}

/* Distinct slices as they are first met. */
EC_INLINE size_t ec_unique_met(const void *x, int64_t *first, int64_t *inverse, int64_t *counts,
                               const ec_unique_shape *s)
{
    size_t found = 0;
    for (size_t i = 0; i < s->extent; i++) {
        size_t same = 0;
        while (same < found && ec_compare_slices(x, (size_t)first[same], i, s))
            same++;
        if (same == found) {
            first[found] = (int64_t)i;
            counts[found++] = 0;
        }
        inverse[i] = (int64_t)same;
        counts[same]++;
    }
    return found;
}

EC_INLINE void ec_unique(const void *x, void *y, int64_t *first, int64_t *inverse, int64_t *counts, int64_t *count,
                         const ec_unique_shape *s, size_t begin, size_t end)
{
    if (begin == end)
        return;
    size_t found =
        s->ordered ? ec_unique_ordered(x, first, inverse, counts, s) : ec_unique_met(x, first, inverse, counts, s);
    size_t bytes = s->inner * ec_bytes(s->type);
    memset(y, 0, s->outer * s->extent * bytes);
    for (size_t i = 0; i < found; i++)
        ec_take(x, (size_t)first[i], s->extent, y, i, s->extent, s->outer, bytes);
    for (size_t i = found; i < s->extent; i++)
        first[i] = counts[i] = 0;
    *count = (int64_t)found;
}

#endif
