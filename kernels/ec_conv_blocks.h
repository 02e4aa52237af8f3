/*
 * What convolutions of all element types share: the runs of k that lie together, the panels of channels, and the blocks of
 * output rows by panels that their tasks are.
 */
#ifndef EC_CONV_BLOCKS_H
#define EC_CONV_BLOCKS_H

#include "ec_shape.h"

/* The place of one tile in the output. */
typedef struct {
    size_t n, h, w, c;
} ec_conv_place;

/* One task. */
typedef struct {
    size_t n, row, rows;       /* the image, its first row, how many rows */
    size_t group, first, end;  /* the group, its panels first .. end - 1 */
    size_t panels, full, left; /* panels of a group, how many of them are full, channels in the one that is not */
} ec_conv_block;

/* Neighbouring taps of one kernel row form one run of k if their pixels touch. */
EC_INLINE int ec_conv_merges_taps(const ec_conv_shape *s)
{
    return s->kernel_w == 1 || (s->dilation_w == 1 && s->x_w == (ptrdiff_t)s->in_c);
}

/* Runs of one kernel row. */
EC_INLINE size_t ec_conv_taps(const ec_conv_shape *s) { return ec_conv_merges_taps(s) ? 1 : s->kernel_w; }

/* k of one run. */
EC_INLINE size_t ec_conv_run_size(const ec_conv_shape *s)
{
    return s->in_c * (ec_conv_merges_taps(s) ? s->kernel_w : 1);
}

EC_INLINE size_t ec_conv_panels(const ec_conv_shape *s, size_t panel) { return ec_ceil_div(s->out_c, panel); }

/* How many tasks there are where a panel is so many channels wide. */
EC_INLINE size_t ec_conv_tasks(const ec_conv_shape *s, size_t panel)
{
    return s->groups * ec_ceil_div(ec_conv_panels(s, panel), s->block_c) * s->batch * ec_ceil_div(s->out_h, s->block_h);
}

/* Blocks of rows come first in the numbering, so neighbouring tasks share weights. */
EC_INLINE ec_conv_block ec_conv_block_of(const ec_conv_shape *s, size_t panel, size_t task)
{
    const size_t panels = ec_conv_panels(s, panel);
    const size_t row_blocks = ec_ceil_div(s->out_h, s->block_h), panel_blocks = ec_ceil_div(panels, s->block_c);
    const size_t row = task % row_blocks * s->block_h, n = task / row_blocks % s->batch;
    const size_t block = task / row_blocks / s->batch;
    const size_t group = block / panel_blocks, first = block % panel_blocks * s->block_c;
    const size_t rows = ec_min_size(s->block_h, s->out_h - row);
    size_t end = ec_min_size(first + s->block_c, panels);
    EC_HIDE(end);
    const ec_conv_block found = {n, row, rows, group, first, end, panels, s->out_c / panel, s->out_c % panel};
    return found;
}

/* Elements of x before the first one that a block reads. */
EC_INLINE ptrdiff_t ec_conv_block_x(const ec_conv_shape *s, ec_conv_block b)
{
    return (ptrdiff_t)b.n * s->x_n + (ptrdiff_t)(b.row * s->stride_h) * s->x_h + (ptrdiff_t)(b.group * s->in_c);
}

/* Elements of y before the first one of the rows and the group of a block. */
EC_INLINE ptrdiff_t ec_conv_block_y(const ec_conv_shape *s, ec_conv_block b)
{
    return (ptrdiff_t)b.n * s->y_n + (ptrdiff_t)b.row * s->y_h + (ptrdiff_t)(b.group * s->out_c);
}

#endif
