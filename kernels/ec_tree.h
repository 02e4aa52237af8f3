/* Decision trees, numbers looked up by their keys, n-grams counted. The shapes must be compile-time constants. */
#ifndef EC_TREE_H
#define EC_TREE_H

#include "ec_element.h"

#include <float.h>

enum { EC_TREE_LEQ, EC_TREE_LT, EC_TREE_GTE, EC_TREE_GT, EC_TREE_EQ, EC_TREE_NEQ };

#define EC_TREE_MISSING_HOLDS 8 /* added to a comparison: it holds for NaN */

typedef struct {
    int type, threshold_type, weight_type, reduction, mode;
    size_t columns, nodes, trees, outputs;
} ec_tree_ensemble_shape;

EC_INLINE int ec_tree_holds(double value, double threshold, int mode)
{
    if ((mode & EC_TREE_MISSING_HOLDS) && value != value)
        return 1;
    switch (mode & ~EC_TREE_MISSING_HOLDS) {
    case EC_TREE_LEQ:
        return value <= threshold;
    case EC_TREE_LT:
        return value < threshold;
    case EC_TREE_GTE:
        return value >= threshold;
    case EC_TREE_GT:
        return value > threshold;
    case EC_TREE_EQ:
        return value == threshold;
    default:
        return value != threshold;
    }
}

/* The leaf that a row reaches from a node (column, where to go if the comparison holds, where else; -1 - leaf). */
EC_INLINE size_t ec_tree_leaf(const void *x, size_t row, const int32_t *nodes, const void *thresholds,
                              const uint8_t *modes, int32_t at, const ec_tree_ensemble_shape *s)
{
    for (size_t steps = 0; at >= 0 && steps < s->nodes; steps++) {
        const int32_t *node = nodes + 3 * at;
        double value = ec_real(x, row * s->columns + (size_t)node[0], s->type);
        double threshold = ec_real(thresholds, (size_t)at, s->threshold_type);
        at = node[ec_tree_holds(value, threshold, modes ? modes[at] : s->mode) ? 1 : 2];
    }
    return at < 0 ? (size_t)(-1 - at) : 0;
}

/* A task is a row. */
EC_INLINE void ec_tree_ensemble(const void *x, const int32_t *nodes, const void *thresholds, const int32_t *roots,
                                const int32_t *leaves, const int32_t *targets, const void *weights,
                                const uint8_t *modes, void *y, const ec_tree_ensemble_shape *s, size_t begin,
                                size_t end)
{
    double most = s->type == EC_TYPE_F64 ? DBL_MAX : (double)FLT_MAX;
    double start = s->reduction == EC_REDUCTION_ADD ? 0 : s->reduction == EC_REDUCTION_MAX ? -most : most;
    for (size_t row = begin; row < end; row++) {
        for (size_t i = 0; i < s->outputs; i++)
            ec_put_real(y, row * s->outputs + i, start, s->type);
        for (size_t t = 0; t < s->trees; t++) {
            size_t leaf = ec_tree_leaf(x, row, nodes, thresholds, modes, roots[t], s);
            for (int32_t w = leaves[leaf]; w < leaves[leaf + 1]; w++) {
                union {
                    float single;
                    double wide;
                } weight;
                ec_put_real(&weight, 0, ec_real(weights, (size_t)w, s->weight_type), s->type);
                ec_join(y, row * s->outputs + (size_t)targets[w], &weight, 0, s->type, s->reduction);
            }
        }
    }
}

typedef struct {
    int type, value_type;
    size_t keys;
} ec_look_up_shape;

/* values[i] where x is keys[i], the default elsewhere; keys ascend. A task is an element. */
EC_INLINE void ec_look_up(const void *x, const void *keys, const void *values, const void *other, void *y,
                          const ec_look_up_shape *s, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        size_t low = 0, high = s->keys - 1;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (ec_less(keys, middle, x, i, s->type))
                low = middle + 1;
            else
                high = middle;
        }
        int same = !ec_less(keys, low, x, i, s->type) && !ec_less(x, i, keys, low, s->type);
        ec_move(y, i, same ? values : other, same ? low : 0, s->value_type);
    }
}

typedef struct {
    size_t row, size, longest, shortest, skips, pool, groups, starts[EC_MAX_RANK];
} ec_n_grams_shape;

/* How often n elements stand in a row, 0 to `skips` others between them, always as many. */
EC_INLINE size_t ec_occurrences(const int64_t *x, const int64_t *gram, size_t n, const ec_n_grams_shape *s)
{
    size_t found = 0;
    for (size_t step = 1; step <= (n == 1 ? 1 : s->skips + 1); step++) {
        for (size_t i = 0; i + (n - 1) * step < s->row; i++) {
            size_t same = 0;
            while (same < n && x[i + same * step] == gram[same])
                same++;
            found += same == n;
        }
    }
    return found;
}

/* Counts of the n-grams of a pool, those of n elements from starts[n - 1] on. A task is a row. */
EC_INLINE void ec_n_grams(const int64_t *x, const int64_t *pool, const int64_t *columns, float *y,
                          const ec_n_grams_shape *s, size_t begin, size_t end)
{
    for (size_t row = begin; row < end; row++) {
        size_t gram = 0;
        memset(y + row * s->size, 0, s->size * sizeof *y);
        for (size_t n = 1; n <= s->longest; n++) {
            size_t last = n < s->groups ? s->starts[n] : s->pool;
            for (size_t at = s->starts[n - 1]; at + n <= last; at += n, gram++) {
                if (n >= s->shortest && columns[gram] >= 0 && columns[gram] < (int64_t)s->size)
                    y[row * s->size + (size_t)columns[gram]] +=
                        (float)ec_occurrences(x + row * s->row, pool + at, n, s);
            }
        }
    }
}

#endif
