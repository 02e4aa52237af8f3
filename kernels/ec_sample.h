/*
 * Sampling between pixels at places that are computed at run time: grids, regions, resizing, deformed windows. Images are
 * row-major, [N][C][H][W]. Places are single precision (those of a resize double), sums are double. A place that is no
 * number, or far outside, reads nothing that it should not. The shapes must be compile-time constants.
 */
#ifndef EC_SAMPLE_H
#define EC_SAMPLE_H

#include "ec_element.h"

#include <math.h>

enum { EC_MODE_NEAREST, EC_MODE_LINEAR, EC_MODE_CUBIC };
enum { EC_PADDING_ZEROS, EC_PADDING_BORDER, EC_PADDING_REFLECTION };

#define EC_FAR 1073741824.0 /* as good as infinitely far */

/* A place that an integer can hold. */
EC_INLINE double ec_near(double x) { return x > EC_FAR ? EC_FAR : x > -EC_FAR ? x : -EC_FAR; }

EC_INLINE double ec_within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

/* Keys' cubic convolution kernel at the distance d, not negative. */
EC_INLINE double ec_cubic(double d, double a)
{
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* x mirrored at low and high until it lies between them. */
EC_INLINE double ec_reflect(double x, double low, double high)
{
    if (high <= low)
        return low;
    if (x >= low && x <= high)
        return x;
    double span = high - low, apart = x < low ? low - x : x - high;
    double turns = floor(apart / span), rest = apart - turns * span;
    int inward = fmod(turns, 2) == 0;
    return (x < low) == inward ? low + rest : high - rest;
}

typedef struct {
    int type, mode, padding, aligned;
    size_t dims, channels, points, extents[3];
} ec_grid_sample_shape;

/* The places and weights of one point along one axis: at most four; a place below 0 counts nothing. */
EC_INLINE void ec_grid_taps(float normal, size_t extent, int64_t *places, double *weights,
                            const ec_grid_sample_shape *s)
{
    float size = (float)extent, low = s->aligned ? 0.0f : -0.5f, high = s->aligned ? size - 1.0f : size - 0.5f;
    float at = s->aligned ? (normal + 1.0f) / 2.0f * (size - 1.0f) : ((normal + 1.0f) * size - 1.0f) / 2.0f;
    at = (float)ec_near(at);
    at = s->mode == EC_MODE_NEAREST ? rintf(at) : at;
    int whole = s->mode != EC_MODE_CUBIC; /* the taps of a cubic are moved one by one */
    if (whole && s->padding == EC_PADDING_BORDER && (at < low || at > high))
        at = (float)ec_within(at, 0, size - 1.0f);
    if (whole && s->padding == EC_PADDING_REFLECTION)
        at = (float)ec_reflect(at, low, high);
    float first = s->mode == EC_MODE_NEAREST ? truncf(at) : floorf(at);
    int count = s->mode == EC_MODE_NEAREST ? 1 : s->mode == EC_MODE_LINEAR ? 2 : 4;
    for (int i = 0; i < count; i++) {
        int64_t place = (int64_t)first + i - (s->mode == EC_MODE_CUBIC);
        double apart = fabs((double)at - (double)place);
        weights[i] = s->mode == EC_MODE_NEAREST ? 1 : s->mode == EC_MODE_LINEAR ? 1 - apart : ec_cubic(apart, -0.75);
        if (s->padding == EC_PADDING_REFLECTION)
            place = (int64_t)ec_reflect((double)place, low, high);
        if (s->padding != EC_PADDING_ZEROS)
            place = place < 0 ? 0 : place >= (int64_t)extent ? (int64_t)extent - 1 : place;
        places[i] = place < (int64_t)extent ? place : -1;
    }
}

/* The pixels of a plane, and their weights, that make up the value at a point; how many there are. */
EC_INLINE size_t ec_grid_point(const float *point, size_t *pixels, double *weights, const ec_grid_sample_shape *s)
{
    int64_t places[3][4];
    double parts[3][4];
    size_t each = s->mode == EC_MODE_NEAREST ? 1 : s->mode == EC_MODE_LINEAR ? 2 : 4, taps = 1, count = 0;
    for (size_t d = 0; d < s->dims; d++, taps *= each)
        ec_grid_taps(point[s->dims - 1 - d], s->extents[d], places[d], parts[d], s);
    for (size_t tap = 0; tap < taps; tap++) {
        size_t pixel = 0, rest = tap, inside = 1;
        double weight = 1;
        for (size_t d = 0; d < s->dims; d++, rest /= each) {
            int64_t place = places[d][rest % each];
            weight *= parts[d][rest % each];
            inside &= place >= 0;
            pixel = pixel * s->extents[d] + (size_t)(place < 0 ? 0 : place);
        }
        pixels[count] = pixel;
        weights[count] = weight;
        count += inside;
    }
    return count;
}

/* A task is a point of one image, in all channels. */
EC_INLINE void ec_grid_sample(const void *x, const float *grid, void *y, const ec_grid_sample_shape *s, size_t begin,
                              size_t end)
{
    size_t plane = 1;
    for (size_t d = 0; d < s->dims; d++)
        plane *= s->extents[d];
    for (size_t n = begin; n < end; n++) {
        size_t pixels[64], first = n / s->points * s->channels;
        double weights[64];
        size_t count = ec_grid_point(grid + n * s->dims, pixels, weights, s);
        for (size_t c = 0; c < s->channels; c++) {
            double sum = 0;
            for (size_t i = 0; i < count; i++)
                sum += weights[i] * ec_real(x, (first + c) * plane + pixels[i], s->type);
            ec_put_real(y, (first + c) * s->points + n % s->points, sum, s->type);
        }
    }
}

enum { EC_KIND_AVG, EC_KIND_MAX };

typedef struct {
    int type, kind, half_pixel;
    double scale;
    size_t samples, most_samples, batch, channels, extents[2], size[2];
} ec_roi_align_shape;

/* The cells of a region along one axis. */
typedef struct {
    float start, cell;
    size_t samples;
} ec_roi_axis;

EC_INLINE ec_roi_axis ec_roi_cells(float start, float end, size_t cells, const ec_roi_align_shape *s)
{
    float offset = s->half_pixel ? 0.5f : 0.0f, scale = (float)s->scale;
    start = start * scale - offset;
    end = end * scale - offset;
    float length = s->half_pixel || end - start > 1.0f ? end - start : 1.0f, cell = length / (float)cells;
    float asked = ceilf(cell);
    size_t samples = asked > 0 ? (asked < (float)s->most_samples ? (size_t)asked : s->most_samples) : 0;
    ec_roi_axis axis = {start, cell, s->samples ? s->samples : samples};
    return axis;
}

/* The two pixels around a sample and their weights, 0 where it lies outside. */
EC_INLINE void ec_roi_sample(const ec_roi_axis *axis, size_t cell, size_t sample, size_t extent, size_t *pixels,
                             float *weights)
{
    float at = axis->start + (float)cell * axis->cell;
    at += ((float)sample + 0.5f) * axis->cell / (float)axis->samples;
    int inside = at >= -1.0f && at <= (float)extent;
    at = inside ? (float)ec_within(at, 0, (double)(extent - 1)) : 0.0f;
    pixels[0] = (size_t)at;
    pixels[1] = ec_min_size(pixels[0] + 1, extent - 1);
    weights[1] = inside ? at - floorf(at) : 0.0f;
    weights[0] = inside ? 1.0f - weights[1] : 0.0f;
}

/* One cell of a region. */
EC_INLINE double ec_roi_cell(const char *plane, const ec_roi_axis *axes, const size_t *cell,
                             const ec_roi_align_shape *s)
{
    double sum = 0, most = 0;
    size_t count = axes[0].samples * axes[1].samples;
    for (size_t n = 0; n < count; n++) {
        size_t pixels[2][2];
        float weights[2][2];
        ec_roi_sample(&axes[0], cell[0], n / axes[1].samples, s->extents[0], pixels[0], weights[0]);
        ec_roi_sample(&axes[1], cell[1], n % axes[1].samples, s->extents[1], pixels[1], weights[1]);
        for (size_t i = 0; i < 4; i++) {
            float weight = weights[0][i / 2] * weights[1][i % 2];
            double v = weight * ec_real(plane, pixels[0][i / 2] * s->extents[1] + pixels[1][i % 2], s->type);
            sum += v;
            most = (n == 0 && i == 0) || v > most ? v : most;
        }
    }
    return s->kind == EC_KIND_MAX ? most : count ? sum / (double)count : 0;
}

/* A task is one channel of one region. */
EC_INLINE void ec_roi_align(const void *x, const void *rois, const int64_t *batch, void *y, const ec_roi_align_shape *s,
                            size_t begin, size_t end)
{
    size_t plane = s->extents[0] * s->extents[1], cells = s->size[0] * s->size[1];
    for (size_t n = begin; n < end; n++) {
        size_t roi = n / s->channels;
        int64_t image = ec_place(batch[roi], s->batch);
        float corners[4];
        for (size_t i = 0; i < 4; i++)
            corners[i] = (float)ec_real(rois, 4 * roi + i, s->type);
        const ec_roi_axis axes[2] = {ec_roi_cells(corners[1], corners[3], s->size[0], s),
                                     ec_roi_cells(corners[0], corners[2], s->size[1], s)};
        size_t first = ((size_t)(image < 0 ? 0 : image) * s->channels + n % s->channels) * plane;
        for (size_t i = 0; i < cells; i++) {
            const size_t cell[2] = {i / s->size[1], i % s->size[1]};
            const char *from = (const char *)x + first * ec_bytes(s->type);
            ec_put_real(y, n * cells + i, image < 0 ? 0 : ec_roi_cell(from, axes, cell, s), s->type);
        }
    }
}

typedef struct {
    int type;
    double scale;
    size_t batch, channels, extents[2], size[2];
} ec_max_roi_pool_shape;

/* The pixels first .. last - 1 of a cell along one axis. */
EC_INLINE void ec_roi_pixels(double start, double end, size_t cell, size_t cells, size_t extent, size_t *first,
                             size_t *last)
{
    double length = end - start + 1 > 1 ? end - start + 1 : 1, count = (double)cells, n = (double)cell;
    *first = (size_t)ec_within(start + floor(n * length / count), 0, (double)extent);
    *last = (size_t)ec_within(start + ceil((n + 1) * length / count), 0, (double)extent);
}

/* A task is one channel of one region. */
EC_INLINE void ec_max_roi_pool(const void *x, const void *rois, void *y, const ec_max_roi_pool_shape *s, size_t begin,
                               size_t end)
{
    size_t plane = s->extents[0] * s->extents[1], cells = s->size[0] * s->size[1];
    for (size_t n = begin; n < end; n++) {
        double corners[4], image = ec_near(ec_real(rois, n / s->channels * 5, s->type));
        for (size_t i = 0; i < 4; i++) {
            float at = (float)ec_real(rois, n / s->channels * 5 + 1 + i, s->type) * (float)s->scale;
            corners[i] = floorf((at != at ? 0.0f : (float)ec_near(at)) + 0.5f);
        }
        int inside = image > -1 && image < (double)s->batch;
        size_t base = ((inside ? (size_t)image : 0) * s->channels + n % s->channels) * plane;
        for (size_t i = 0; i < cells; i++) {
            size_t top, bottom, left, right, found = 0;
            double most = 0;
            ec_roi_pixels(corners[1], corners[3], i / s->size[1], s->size[0], s->extents[0], &top, &bottom);
            ec_roi_pixels(corners[0], corners[2], i % s->size[1], s->size[1], s->extents[1], &left, &right);
            for (size_t h = top; inside && h < bottom; h++) {
                for (size_t w = left; w < right; w++) {
                    double v = ec_real(x, base + h * s->extents[1] + w, s->type);
                    most = !found++ || v > most ? v : most;
                }
            }
            ec_put_real(y, n * cells + i, most, s->type);
        }
    }
}

enum {
    EC_COORDINATES_HALF_PIXEL,
    EC_COORDINATES_ASYMMETRIC,
    EC_COORDINATES_ALIGN_CORNERS,
    EC_COORDINATES_PYTORCH_HALF_PIXEL,
    EC_COORDINATES_HALF_PIXEL_SYMMETRIC,
    EC_COORDINATES_TF_CROP_AND_RESIZE
};
enum { EC_ROUNDING_ROUND_PREFER_FLOOR, EC_ROUNDING_ROUND_PREFER_CEIL, EC_ROUNDING_FLOOR, EC_ROUNDING_CEIL };

typedef struct {
    int type, mode, coordinates, rounding, exclude_outside, antialias;
    double cubic_coefficient, outside;
    size_t outer, extent, size, inner;
} ec_resize_axis_shape;

/* Where element i of the result stands on the axis of x. */
EC_INLINE double ec_resize_place(size_t i, double scale, const double *region, const ec_resize_axis_shape *s)
{
    double at = (double)i, extent = (double)s->extent, size = (double)s->size;
    if (s->coordinates == EC_COORDINATES_TF_CROP_AND_RESIZE) {
        double span = (region[1] - region[0]) * (extent - 1);
        return region[0] * (extent - 1) + (s->size > 1 ? at * span / (size - 1) : span / 2);
    }
    if (s->coordinates == EC_COORDINATES_ALIGN_CORNERS)
        return s->size > 1 ? at * (extent - 1) / (size - 1) : 0;
    if (s->coordinates == EC_COORDINATES_ASYMMETRIC)
        return at / scale;
    if (s->coordinates == EC_COORDINATES_PYTORCH_HALF_PIXEL && s->size == 1)
        return 0;
    double shift =
        s->coordinates == EC_COORDINATES_HALF_PIXEL_SYMMETRIC ? extent / 2 * (1 - size / (scale * extent)) : 0;
    return (at + 0.5) / scale - 0.5 + shift;
}

EC_INLINE double ec_round_place(double at, int rounding)
{
    switch (rounding) {
    case EC_ROUNDING_ROUND_PREFER_FLOOR:
        return ceil(at - 0.5);
    case EC_ROUNDING_ROUND_PREFER_CEIL:
        return floor(at + 0.5);
    case EC_ROUNDING_FLOOR:
        return floor(at);
    default:
        return ceil(at);
    }
}

/* The weight of the element at `tap` for a place; `step` widens the kernel where it is below 1. */
EC_INLINE double ec_resize_weight(double tap, double at, double step, const ec_resize_axis_shape *s)
{
    if (s->exclude_outside && (tap < 0 || tap >= (double)s->extent))
        return 0;
    double apart = fabs(tap - at) * step;
    if (s->mode == EC_MODE_CUBIC)
        return ec_cubic(apart, s->cubic_coefficient);
    return apart < 1 ? 1 - apart : 0;
}

/* A task is one element along the axis of the result. */
EC_INLINE void ec_resize_axis(const void *x, const double *scale, const double *region, void *y,
                              const ec_resize_axis_shape *s, size_t begin, size_t end)
{
    double factor = *scale > 0 ? *scale : 1, step = s->antialias && factor < 1 ? factor : 1;
    double last = (double)s->extent - 1, limit = 2 * (double)s->extent + 2;
    double reach = (s->mode == EC_MODE_CUBIC ? 2 : 1) / step;
    reach = reach < limit ? reach : limit;
    for (size_t i = begin; i < end; i++) {
        double at = ec_resize_place(i, factor, region, s), total = 0;
        at = at == at ? ec_near(at) : 0;
        int outside = s->coordinates == EC_COORDINATES_TF_CROP_AND_RESIZE && (at < 0 || at > last);
        double low = ceil(at - reach), high = floor(at + reach);
        if (s->mode == EC_MODE_NEAREST)
            low = high = at = ec_round_place(at, s->rounding);
        for (double tap = low; tap <= high; tap++)
            total += ec_resize_weight(tap, at, step, s);
        for (size_t n = 0; n < s->outer * s->inner; n++) {
            size_t base = n / s->inner * s->extent * s->inner + n % s->inner;
            double sum = 0;
            for (double tap = low; tap <= high && !outside; tap++) {
                size_t from = base + (size_t)ec_within(tap, 0, last) * s->inner;
                sum += ec_resize_weight(tap, at, step, s) / (total != 0 ? total : 1) * ec_real(x, from, s->type);
            }
            size_t to = (n / s->inner * s->size + i) * s->inner + n % s->inner;
            ec_put_real(y, to, outside ? s->outside : sum, s->type);
        }
    }
}

typedef struct {
    int type;
    size_t channels, groups, extents[2], sizes[2], kernel[2], strides[2], pads[2], dilations[2];
} ec_deform_columns_shape;

/* A plane between its pixels, zero outside. */
EC_INLINE double ec_bilinear(const void *x, size_t plane, double row, double column, int type, const size_t *extents)
{
    double at[2] = {ec_near(row), ec_near(column)}, sum = 0;
    int64_t low[2] = {(int64_t)floor(at[0]), (int64_t)floor(at[1])};
    for (int corner = 0; corner < 4; corner++) {
        int64_t h = low[0] + corner / 2, w = low[1] + corner % 2;
        double weight = (1 - fabs(at[0] - (double)h)) * (1 - fabs(at[1] - (double)w));
        if (h >= 0 && h < (int64_t)extents[0] && w >= 0 && w < (int64_t)extents[1])
            sum += weight * ec_real(x, plane + (size_t)h * extents[1] + (size_t)w, type);
    }
    return sum;
}

/* Columns [N][C][taps][out_h * out_w]. A task is a plane of x. */
EC_INLINE void ec_deform_columns(const void *x, const void *offset, const void *mask, void *y,
                                 const ec_deform_columns_shape *s, size_t begin, size_t end)
{
    size_t taps = s->kernel[0] * s->kernel[1], size = s->sizes[0] * s->sizes[1];
    for (size_t n = begin; n < end; n++) {
        size_t group = n / s->channels * s->groups + n % s->channels / (s->channels / s->groups);
        for (size_t i = 0; i < taps * size; i++) {
            size_t tap = i / size, out = i % size, moved = ((group * taps + tap) * 2) * size + out;
            size_t h = out / s->sizes[1] * s->strides[0] + tap / s->kernel[1] * s->dilations[0];
            size_t w = out % s->sizes[1] * s->strides[1] + tap % s->kernel[1] * s->dilations[1];
            double row = (double)h - (double)s->pads[0] + ec_real(offset, moved, s->type);
            double column = (double)w - (double)s->pads[1] + ec_real(offset, moved + size, s->type);
            double v = ec_bilinear(x, n * s->extents[0] * s->extents[1], row, column, s->type, s->extents);
            ec_put_real(y, n * taps * size + i, mask ? v * ec_real(mask, group * taps * size + i, s->type) : v,
                        s->type);
        }
    }
}

#endif
