/*
 * A recurrent layer in one direction: x [steps][batch][gates][hidden] holds the projected inputs of all gates, as floats.
 *
 * The gates of a panel of nv * EC_LANES units stay in registers from their sums to the new state. Weights:
 * [panel][hidden][gates][nv * EC_LANES], padded with zeros in the last panel; gates in ONNX's order (i; z r h; i o f c).
 * y: [steps + states][batch][hidden], the states h of all steps, then the last h, then for an LSTM the last c, which
 * serves as the running c. Until the end the row of the last h holds a GRU's reset state.
 * A task is mr rows of the batch; mr is 1 where rows have lengths. The shape, mr and nv must be compile-time constants.
 *
 * With `integer`, states are int16 in units of EC_STATE_UNIT and, for c, of memory_unit; weights are int8 in pairs:
 * [panel][ceil(hidden / 2)][gates][nv * EC_LANES][2], with a float scale for each column: [panel][gates][nv * EC_LANES].
 * Sums of EC_EXACT_SUM products are exact in 32 bits, and become floats that are added in order. All else is one rounded
 * float operation after the other: add, mul, div, round, so that every ISA gives the same bits.
 */
#ifndef EC_RECURRENT_H
#define EC_RECURRENT_H

#include "ec_conv_f32.h"
#include "ec_gates.h"
#include "ec_simd_i16.h"

#include <string.h>

#define EC_RNN 1 /* cells are named by the number of their gates */
#define EC_GRU 3
#define EC_LSTM 4

#define EC_STATE_UNIT (1.0f / 32768.0f)
#define EC_EXACT_SUM 512 /* products of int16 and int8 */

typedef struct {
    size_t steps, batch, hidden;
    int cell;
    int reverse;             /* runs from the last step to the first */
    int linear_before_reset; /* a GRU resets the candidate's product, not the state that enters it */
    int input_forget;        /* an LSTM forgets as much as it takes in */
    int integer;
    float clip;            /* bound of what enters the gates' functions; 0: none */
    float memory_unit;     /* of c, where it is an integer; a power of two */
    ec_activation f, g, h; /* of the gates (and an RNN's state), of what enters the state, of an LSTM's output */
} ec_recurrent_shape;

/* What a layer reads beside x; NULL where it is missing. */
typedef struct {
    const void *weights;
    const float *scales, *bias, *peephole;
    const void *hidden, *memory;
    const int32_t *lengths;
} ec_recurrent_operands;

/* The rows of one task at one step: x, h (NULL: zeros), y, c and what a GRU resets. */
typedef struct {
    const float *x;
    const void *h;
    void *y, *c, *reset;
} ec_recurrent_place;

/* The function of a gate on its clipped input. */
EC_INLINE ec_f32 ec_gate(ec_f32 x, ec_activation function, const ec_recurrent_shape *s)
{
    if (s->clip != 0.0f)
        x = ec_f32_min(ec_f32_set(s->clip), ec_f32_max(ec_f32_set(-s->clip), x));
    return ec_activate(x, function);
}

/* Sums of integers must not depend on whether the ISA has a fused multiply-add. */
EC_INLINE ec_f32 ec_recurrent_fma(ec_f32 a, ec_f32 b, ec_f32 c, const ec_recurrent_shape *s)
{
    return s->integer ? ec_f32_add(ec_f32_mul(a, b), c) : ec_f32_fma(a, b, c);
}

EC_INLINE size_t ec_state_bytes(const ec_recurrent_shape *s) { return s->integer ? sizeof(int16_t) : sizeof(float); }

EC_INLINE ec_f32 ec_state_load(const void *p, size_t at, float unit, const ec_recurrent_shape *s, size_t lanes)
{
    if (!s->integer)
        return ec_f32_load_lanes((const float *)p + at, lanes);
    const int16_t *q = (const int16_t *)p + at;
    return ec_f32_mul(lanes == EC_LANES ? ec_f32_load_s16(q) : ec_f32_load_s16_tail(q, lanes), ec_f32_set(unit));
}

/* Stores a state and returns it as it is stored: rounded to whole units and limited to 16 bits where it is an integer. */
EC_INLINE ec_f32 ec_state_store(void *p, size_t at, ec_f32 v, float unit, const ec_recurrent_shape *s, size_t lanes)
{
    if (!s->integer) {
        ec_f32_store_lanes((float *)p + at, v, lanes);
        return v;
    }
    v = ec_f32_max(ec_f32_mul(v, ec_f32_set(1.0f / unit)), ec_f32_set(-32768.0f));
    v = ec_f32_round(ec_f32_min(ec_f32_set(32767.0f), v));
    int16_t *q = (int16_t *)p + at;
    lanes == EC_LANES ? ec_f32_store_s16(q, v) : ec_f32_store_s16_tail(q, v, lanes);
    return ec_f32_mul(v, ec_f32_set(unit));
}

/* acc[row][vector] = h @ weights for `vectors` columns of a panel that is `panel` wide. */
EC_INLINE void ec_recurrent_product(ec_f32 *acc, const float *h, const float *weights, size_t hidden, size_t panel,
                                    int mr, int vectors)
{
    int split = mr * vectors >= 8 ? 1 : mr * vectors >= 4 ? 2 : mr * vectors >= 2 ? 4 : 8;
    if (hidden < (size_t)(4 * split) || split * mr * vectors + vectors + 2 > EC_REGISTERS)
        split = 1;
    const ec_conv_tile tile = {mr, vectors, split, panel, EC_LANES};
    EC_UNROLL
    for (int i = 0; i < split * mr * vectors; i++)
        acc[i] = ec_f32_set(0.0f);
    if (h)
        ec_conv_f32_run(acc, h, (ptrdiff_t)hidden, weights, hidden, tile);
    EC_UNROLL
    for (int j = 1; j < split; j++) {
        EC_UNROLL
        for (int i = 0; i < mr * vectors; i++)
            acc[i] = ec_f32_add(acc[i], acc[j * mr * vectors + i]);
    }
}

/* sums += a pair of h times its weights. */
EC_INLINE void ec_recurrent_pair(ec_i32 *sums, const int16_t *h, size_t hidden, const int8_t *weights, size_t count,
                                 int mr, int vectors)
{
    ec_i16_w columns[8];
    EC_UNROLL
    for (int v = 0; v < vectors; v++)
        columns[v] = ec_i16_weights_s8(weights + v * 2 * EC_LANES);
    EC_UNROLL
    for (int i = 0; i < mr; i++) {
        const ec_i16_x pair = ec_i16_inputs(ec_i16_two(h + (size_t)i * hidden, count));
        EC_UNROLL
        for (int v = 0; v < vectors; v++)
            sums[i * vectors + v] = ec_i16_dot(sums[i * vectors + v], pair, columns[v]);
    }
}

/* The same for integers, times the scales of the columns. */
EC_INLINE void ec_recurrent_product_i16(ec_f32 *acc, const int16_t *h, const int8_t *weights, const float *scales,
                                        size_t hidden, size_t panel, int mr, int vectors)
{
    EC_UNROLL
    for (int i = 0; i < mr * vectors; i++)
        acc[i] = ec_f32_set(0.0f);
    EC_ROLLED
    for (size_t first = 0; h && first < hidden; first += EC_EXACT_SUM) {
        const size_t stop = ec_min_size(first + EC_EXACT_SUM, hidden);
        ec_i32 sums[EC_CONV_ACCUMULATORS];
        EC_UNROLL
        for (int i = 0; i < mr * vectors; i++)
            sums[i] = ec_i32_set(0);
        EC_ROLLED
        for (size_t k = first; k + 2 <= stop; k += 2)
            ec_recurrent_pair(sums, h + k, hidden, weights + k * panel, 2, mr, vectors);
        if (stop % 2)
            ec_recurrent_pair(sums, h + stop - 1, hidden, weights + (stop - 1) * panel, 1, mr, vectors);
        EC_UNROLL
        for (int i = 0; i < mr * vectors; i++)
            acc[i] = ec_f32_add(acc[i], ec_i32_to_f32(sums[i]));
    }
    EC_UNROLL
    for (int i = 0; i < mr * vectors; i++)
        acc[i] = ec_f32_mul(acc[i], ec_f32_load(scales + (size_t)(i % vectors) * EC_LANES));
}

EC_INLINE ec_f32 ec_recurrent_rnn(ec_f32 sum, const float *x, const ec_recurrent_shape *s, size_t lanes)
{
    return ec_gate(ec_f32_add(ec_f32_load_lanes(x, lanes), sum), s->f, s);
}

/* x and peephole point to the first unit of the vector, `at` counts it in c; sums lie `next` vectors apart. */
EC_INLINE ec_f32 ec_recurrent_lstm(const ec_f32 *sum, int next, const float *x, void *c, size_t at,
                                   const float *peephole, const ec_recurrent_shape *s, size_t lanes)
{
    const size_t n = s->hidden;
    ec_f32 before = ec_state_load(c, at, s->memory_unit, s, lanes);
    ec_f32 in = ec_f32_add(ec_f32_load_lanes(x, lanes), sum[0]);
    ec_f32 out = ec_f32_add(ec_f32_load_lanes(x + n, lanes), sum[next]);
    ec_f32 forget = ec_f32_add(ec_f32_load_lanes(x + 2 * n, lanes), sum[2 * next]);
    ec_f32 entering = ec_f32_add(ec_f32_load_lanes(x + 3 * n, lanes), sum[3 * next]);
    if (peephole) {
        in = ec_recurrent_fma(ec_f32_load_lanes(peephole, lanes), before, in, s);
        forget = ec_recurrent_fma(ec_f32_load_lanes(peephole + 2 * n, lanes), before, forget, s);
    }
    in = ec_gate(in, s->f, s);
    forget = s->input_forget ? ec_f32_sub(ec_f32_set(1.0f), in) : ec_gate(forget, s->f, s);
    ec_f32 after = ec_recurrent_fma(forget, before, ec_f32_mul(in, ec_gate(entering, s->g, s)), s);
    after = ec_state_store(c, at, after, s->memory_unit, s, lanes);
    if (peephole)
        out = ec_recurrent_fma(ec_f32_load_lanes(peephole + n, lanes), after, out, s);
    return ec_f32_mul(ec_gate(out, s->f, s), ec_activate(after, s->h));
}

/* The gates z and r of one panel: z goes to y, r * h to where the candidate reads it. */
EC_INLINE void ec_recurrent_reset(const ec_f32 *sums, ec_recurrent_place at, const ec_recurrent_shape *s, int mr,
                                  int nv, size_t unit, size_t tail)
{
    const size_t n = s->hidden;
    EC_UNROLL
    for (int i = 0; i < mr; i++) {
        EC_UNROLL
        for (int v = 0; v < nv; v++) {
            const size_t lanes = v == nv - 1 ? tail : EC_LANES, j = unit + (size_t)v * EC_LANES,
                         row = (size_t)i * n + j;
            const float *x = at.x + (size_t)i * 3 * n + j;
            const ec_f32 *sum = sums + i * 2 * nv + v;
            ec_f32 update = ec_gate(ec_f32_add(ec_f32_load_lanes(x, lanes), sum[0]), s->f, s);
            ec_f32 reset = ec_gate(ec_f32_add(ec_f32_load_lanes(x + n, lanes), sum[nv]), s->f, s);
            ec_state_store(at.y, row, update, EC_STATE_UNIT, s, lanes);
            if (at.h) {
                ec_f32 before = ec_state_load(at.h, row, EC_STATE_UNIT, s, lanes);
                ec_state_store(at.reset, row, ec_f32_mul(reset, before), EC_STATE_UNIT, s, lanes);
            }
        }
    }
}

/* The new state of a GRU from its gate z and the sum of its candidate; `at` counts the vector's first unit in h. */
EC_INLINE ec_f32 ec_recurrent_gru(ec_f32 update, ec_f32 candidate, const float *x, const void *h, size_t at,
                                  const ec_recurrent_shape *s, size_t lanes)
{
    ec_f32 sum = ec_f32_add(ec_f32_load_lanes(x + 2 * s->hidden, lanes), candidate);
    ec_f32 kept = ec_f32_mul(ec_f32_sub(ec_f32_set(1.0f), update), ec_gate(sum, s->g, s));
    return h ? ec_recurrent_fma(update, ec_state_load(h, at, EC_STATE_UNIT, s, lanes), kept, s) : kept;
}

/* A GRU that resets the candidate's product: all gates at once. */
EC_INLINE ec_f32 ec_recurrent_gru_linear(const ec_f32 *sum, int next, const float *x, const void *h, size_t at,
                                         const float *bias, const ec_recurrent_shape *s, size_t lanes)
{
    ec_f32 update = ec_gate(ec_f32_add(ec_f32_load_lanes(x, lanes), sum[0]), s->f, s);
    ec_f32 reset = ec_gate(ec_f32_add(ec_f32_load_lanes(x + s->hidden, lanes), sum[next]), s->f, s);
    ec_f32 product = bias ? ec_f32_add(sum[2 * next], ec_f32_load_lanes(bias, lanes)) : sum[2 * next];
    return ec_recurrent_gru(update, ec_f32_mul(reset, product), x, h, at, s, lanes);
}

/* The new state of the vector of units from j on of one row. */
EC_INLINE ec_f32 ec_recurrent_cell(const ec_f32 *sum, int next, ec_recurrent_place at, size_t row, size_t j,
                                   const ec_recurrent_operands *o, const ec_recurrent_shape *s, size_t lanes)
{
    const size_t unit = row * s->hidden + j;
    const float *x = at.x + (size_t)s->cell * row * s->hidden + j;
    if (s->cell == EC_RNN)
        return ec_recurrent_rnn(sum[0], x, s, lanes);
    if (s->cell == EC_LSTM)
        return ec_recurrent_lstm(sum, next, x, at.c, unit, o->peephole ? o->peephole + j : NULL, s, lanes);
    if (s->linear_before_reset)
        return ec_recurrent_gru_linear(sum, next, x, at.h, unit, o->bias ? o->bias + j : NULL, s, lanes);
    return ec_recurrent_gru(ec_state_load(at.y, unit, EC_STATE_UNIT, s, lanes), sum[0], x, at.h, unit, s, lanes);
}

/* Panel p of one step; `reset`: the first half of a GRU's step. */
EC_INLINE void ec_recurrent_panel(ec_recurrent_place at, const ec_recurrent_operands *o, const ec_recurrent_shape *s,
                                  int mr, int nv, int reset, size_t p, size_t tail)
{
    const int late = s->cell == EC_GRU && !s->linear_before_reset && !reset;
    const int gates = reset ? 2 : late ? 1 : s->cell;
    const size_t width = (size_t)nv * EC_LANES, panel = (size_t)s->cell * width, skipped = late ? 2 * width : 0;
    const void *entering = late && at.h ? at.reset : at.h;
    ec_f32 sums[EC_CONV_ACCUMULATORS];
    if (s->integer)
        ec_recurrent_product_i16(sums, entering,
                                 (const int8_t *)o->weights + p * (s->hidden + s->hidden % 2) * panel + 2 * skipped,
                                 o->scales + p * panel + skipped, s->hidden, panel, mr, gates * nv);
    else
        ec_recurrent_product(sums, entering, (const float *)o->weights + p * s->hidden * panel + skipped, s->hidden,
                             panel, mr, gates * nv);
    if (reset) {
        ec_recurrent_reset(sums, at, s, mr, nv, p * width, tail);
        return;
    }
    EC_UNROLL
    for (int i = 0; i < mr; i++) {
        EC_UNROLL
        for (int v = 0; v < nv; v++) {
            const size_t lanes = v == nv - 1 ? tail : EC_LANES, j = p * width + (size_t)v * EC_LANES;
            ec_f32 state = ec_recurrent_cell(sums + i * gates * nv + v, nv, at, (size_t)i, j, o, s, lanes);
            ec_state_store(at.y, (size_t)i * s->hidden + j, state, EC_STATE_UNIT, s, lanes);
        }
    }
}

EC_INLINE void ec_recurrent_panels(ec_recurrent_place at, const ec_recurrent_operands *o, const ec_recurrent_shape *s,
                                   int mr, int nv, int reset)
{
    const size_t width = (size_t)nv * EC_LANES, whole = s->hidden / width, left = s->hidden % width;
    EC_ROLLED
    for (size_t p = 0; p < whole; p++)
        ec_recurrent_panel(at, o, s, mr, nv, reset, p, EC_LANES);
    if (left) /* nv divides the vectors of the state, so that only the last of them is not full */
        ec_recurrent_panel(at, o, s, mr, nv, reset, whole, left - (size_t)(nv - 1) * EC_LANES);
}

EC_INLINE void ec_recurrent_fill(void *to, const void *from, size_t bytes)
{
    if (from)
        memcpy(to, from, bytes);
    else
        memset(to, 0, bytes);
}

EC_INLINE const void *ec_recurrent_from(const void *p, size_t offset) { return p ? (const char *)p + offset : NULL; }

/* mr rows of the batch from `row` on through all their steps. */
EC_INLINE void ec_recurrent_rows(const float *x, const ec_recurrent_operands *o, void *y, const ec_recurrent_shape *s,
                                 int mr, int nv, size_t row)
{
    const size_t plane = s->batch * s->hidden, begin = row * s->hidden, bytes = ec_state_bytes(s);
    const size_t all = (size_t)mr * s->hidden * bytes;
    char *own = (char *)y + begin * bytes, *last = own + s->steps * plane * bytes, *c = last + plane * bytes;
    size_t steps = s->steps;
    if (o->lengths)
        steps = o->lengths[row] < 0 ? 0 : ec_min_size((size_t)o->lengths[row], s->steps);
    if (s->cell == EC_LSTM)
        ec_recurrent_fill(c, ec_recurrent_from(o->memory, begin * bytes), all);
    const void *h = ec_recurrent_from(o->hidden, begin * bytes);
    EC_ROLLED
    for (size_t step = 0; step < steps; step++) {
        const size_t t = s->reverse ? steps - 1 - step : step;
        const float *x_row = x + (t * plane + begin) * (size_t)s->cell;
        const ec_recurrent_place at = {x_row, h, own + t * plane * bytes, c, last};
        if (s->cell == EC_GRU && !s->linear_before_reset)
            ec_recurrent_panels(at, o, s, mr, nv, 1);
        ec_recurrent_panels(at, o, s, mr, nv, 0);
        h = at.y;
    }
    ec_recurrent_fill(last, h, all);
    EC_ROLLED
    for (size_t t = steps; t < s->steps; t++)
        memset(own + t * plane * bytes, 0, all);
}

EC_INLINE size_t ec_recurrent_tasks(const ec_recurrent_shape *s, int mr) { return ec_ceil_div(s->batch, (size_t)mr); }

/* Computes the tasks begin .. end - 1. */
EC_INLINE void ec_recurrent(const float *x, const ec_recurrent_operands *o, void *y, const ec_recurrent_shape *s,
                            int mr, int nv, size_t begin, size_t end)
{
    const size_t whole = s->batch / (size_t)mr;
    const int rest = (int)(s->batch % (size_t)mr);
    EC_ROLLED
    for (size_t task = begin; task < end; task++) {
        if (task < whole)
            ec_recurrent_rows(x, o, y, s, mr, nv, task * (size_t)mr);
        else if (rest)
            ec_recurrent_rows(x, o, y, s, rest, nv, task * (size_t)mr);
    }
}

#endif
