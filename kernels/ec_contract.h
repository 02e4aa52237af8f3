/*
 * Sums of products, sums and maxima of elements at strides: contractions and windows of any rank and type.
 *
 * Floats are summed in double and rounded once; integers wrap around. The shape must be a compile-time constant.
 */
#ifndef EC_CONTRACT_H
#define EC_CONTRACT_H

#include "ec_element.h"

typedef struct {
    int type, reduction;
    size_t rank, depth; /* dimensions of the result, dimensions that vanish */
    size_t extents[EC_MAX_RANK], x_strides[EC_MAX_RANK], w_strides[EC_MAX_RANK];
    size_t reduced[EC_MAX_RANK], x_steps[EC_MAX_RANK], w_steps[EC_MAX_RANK];
} ec_contract_shape;

/* Where an element of the result reads first. */
EC_INLINE size_t ec_contract_start(size_t task, const size_t *strides, const ec_contract_shape *s)
{
    size_t start = 0;
    for (size_t d = s->rank; d-- > 0;) {
        start += task % s->extents[d] * strides[d];
        task /= s->extents[d];
    }
    return start;
}

/* Goes to the next place that is summed; whether there is one. */
EC_INLINE int ec_contract_next(size_t *at, size_t *i, size_t *j, const ec_contract_shape *s)
{
    for (size_t d = s->depth; d-- > 0;) {
        *i += s->x_steps[d];
        *j += s->w_steps[d];
        if (++at[d] < s->reduced[d])
            return 1;
        *i -= s->x_steps[d] * s->reduced[d];
        *j -= s->w_steps[d] * s->reduced[d];
        at[d] = 0;
    }
    return 0;
}

/* y = the sum of x * w, of x where w is NULL, or the largest x. A task is an element of y. */
EC_INLINE void ec_contract(const void *x, const void *w, void *y, const ec_contract_shape *s, size_t begin, size_t end)
{
    for (size_t task = begin; task < end; task++) {
        size_t at[EC_MAX_RANK] = {0};
        size_t i = ec_contract_start(task, s->x_strides, s), j = ec_contract_start(task, s->w_strides, s), most = i;
        double sum = 0;
        uint64_t total = 0;
        do {
            if (s->reduction == EC_REDUCTION_MAX)
                most = ec_less(x, most, x, i, s->type) ? i : most;
            else if (ec_is_real(s->type))
                sum += ec_real(x, i, s->type) * (w ? ec_real(w, j, s->type) : 1);
            else
                total += ec_word(x, i, s->type) * (w ? ec_word(w, j, s->type) : 1);
        } while (ec_contract_next(at, &i, &j, s));
        if (s->reduction == EC_REDUCTION_MAX)
            ec_move(y, task, x, most, s->type);
        else if (ec_is_real(s->type))
            ec_put_real(y, task, sum, s->type);
        else
            ec_put_word(y, task, total, s->type);
    }
}

#endif
