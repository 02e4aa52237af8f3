/* Non-maximum suppression: the best boxes of each class that do not overlap a better one too much. */
#ifndef EC_BOXES_H
#define EC_BOXES_H

#include "ec_select.h"

typedef struct {
    size_t batch, classes, boxes, most; /* most boxes of a class */
    int centered;                       /* boxes are center and size, else two opposite corners */
} ec_non_max_suppression_shape;

/* One side of a box: its low and its high end along dimension d (0 or 1). */
EC_INLINE void ec_box_side(const float *box, size_t d, int centered, float *low, float *high)
{
    float a = box[d], b = box[2 + d];
    *low = centered ? a - b / 2.0f : a < b ? a : b;
    *high = centered ? a + b / 2.0f : a < b ? b : a;
}

/* Whether intersection over union is above a bound. */
EC_INLINE int ec_overlaps(const float *a, const float *b, float bound, int centered)
{
    float shared = 1.0f, area_a = 1.0f, area_b = 1.0f;
    for (size_t d = 0; d < 2; d++) {
        float low_a, high_a, low_b, high_b;
        ec_box_side(a, d, centered, &low_a, &high_a);
        ec_box_side(b, d, centered, &low_b, &high_b);
        float side = (high_a < high_b ? high_a : high_b) - (low_a > low_b ? low_a : low_b);
        shared *= side > 0.0f ? side : 0.0f;
        area_a *= high_a - low_a;
        area_b *= high_b - low_b;
    }
    return shared > bound * (area_a + area_b - shared);
}

/* Whether a box overlaps one of the chosen ones, whose rows (batch, class, box) stand behind one another. */
EC_INLINE int ec_is_suppressed(const float *boxes, int64_t box, const int64_t *rows, size_t chosen, float bound,
                               int centered)
{
    for (size_t i = 0; i < chosen; i++)
        if (ec_overlaps(boxes + 4 * box, boxes + 4 * rows[3 * i + 2], bound, centered))
            return 1;
    return 0;
}

/* Rows (batch, class, box) behind one another, and their count; order [boxes] is room to sort in, zero again. */
EC_INLINE void ec_non_max_suppression(const float *boxes, const float *scores, const int64_t *limit,
                                      const float *overlap, const float *least, int64_t *rows, int64_t *order,
                                      int64_t *count, const ec_non_max_suppression_shape *s, size_t begin, size_t end)
{
    if (begin == end)
        return;
    const ec_top_k_shape line = {.type = EC_TYPE_F32, .largest = 1, .extent = s->boxes, .k = s->boxes, .inner = 1};
    size_t found = 0, most = *limit < 0 ? 0 : *limit < (int64_t)s->most ? (size_t)*limit : s->most;
    memset(rows, 0, 3 * s->batch * s->classes * ec_min_size(s->boxes, s->most) * sizeof *rows);
    for (size_t n = 0; n < s->batch * s->classes; n++) {
        const float *score = scores + n * s->boxes, *box = boxes + n / s->classes * s->boxes * 4;
        size_t first = found;
        ec_top_k_indices(score, order, &line);
        for (size_t i = 0; i < s->boxes && found - first < most && (!least || score[order[i]] > *least); i++) {
            if (ec_is_suppressed(box, order[i], rows + 3 * first, found - first, *overlap, s->centered))
                continue;
            rows[3 * found] = (int64_t)(n / s->classes);
            rows[3 * found + 1] = (int64_t)(n % s->classes);
            rows[3 * found++ + 2] = order[i];
        }
    }
    memset(order, 0, s->boxes * sizeof *order);
    *count = (int64_t)found;
}

#endif
