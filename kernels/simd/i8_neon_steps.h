/*
 * int8 on AArch64 for cores that execute in order: what many columns or results go through is cut into steps, and all take
 * one before any takes the next.
 */
#ifndef EC_SIMD_I8_NEON_STEPS_H
#define EC_SIMD_I8_NEON_STEPS_H

/*
 * Twins are eight channels: two vectors of sums. A column of theirs comes about in three steps, so that those of several
 * columns can take turns: rows are loaded, prepared, joined.
 */
#define EC_I8_TWINS 1

typedef struct {
    uint8x16_t rows[EC_I8_ROWS];
} ec_i8_twin_rows;

EC_INLINE ec_i8_twin_rows ec_i8_twin_load(const uint8_t *x, ptrdiff_t row, int rows)
{
    ec_i8_twin_rows loaded;
    EC_UNROLL
    for (int i = 0; i < EC_I8_ROWS; i++) {
        uint8x16_t bytes = i < rows ? vcombine_u8(vld1_u8(x + i * row), vdup_n_u8(0)) : loaded.rows[i - 1];
        if (i < rows)
            EC_F32_KEEP(bytes);
        loaded.rows[i] = bytes;
    }
    return loaded;
}

#if EC_I8_ROWS == 4
#define EC_I8_TWIN_STEPS(rows) 1                          /* products of all rows at once */
#define EC_I8_TWIN_REGISTERS(rows) 9                      /* of columns that come about */
#define EC_I8_TWIN_WEIGHTS(rows) (2 * (((rows) + 3) / 4)) /* registers of the weights of one tap */

typedef struct {
    int8x16_t rows[2];
} ec_i8_twin_pairs;

typedef struct {
    int8x16_t channels[2];
} ec_i8_twins;

typedef ec_i8_twins ec_i8_twin_filter;

/* The first two rows, byte by byte, and the last two; weights of rows that are not there are zero. */
EC_INLINE ec_i8_twin_pairs ec_i8_twin_prepare(ec_i8_twin_rows x, int rows, int kind)
{
    int8x16_t first = vreinterpretq_s8_u8(vzip1q_u8(x.rows[0], x.rows[1]));
    int8x16_t last = rows > 2 ? vreinterpretq_s8_u8(vzip1q_u8(x.rows[2], x.rows[3])) : first;
    EC_F32_KEEP(first);
    EC_F32_KEEP(last);
    return (ec_i8_twin_pairs){{ec_i8_flipped(first, kind), ec_i8_flipped(last, kind)}};
}

EC_INLINE ec_i8_twins ec_i8_twin_join(ec_i8_twin_pairs x)
{
    const int16x8_t first = vreinterpretq_s16_s8(x.rows[0]), last = vreinterpretq_s16_s8(x.rows[1]);
    return (ec_i8_twins){
        {vreinterpretq_s8_s16(vzip1q_s16(first, last)), vreinterpretq_s8_s16(vzip2q_s16(first, last))}};
}

/* The weights of a tap in two blocks that lie `block` bytes apart. */
EC_INLINE ec_i8_twin_filter ec_i8_twin_weights(const uint8_t *w, size_t block)
{
    return (ec_i8_twin_filter){{vld1q_s8((const int8_t *)w), vld1q_s8((const int8_t *)w + block)}};
}

EC_INLINE void ec_i8_twin_dot(ec_i32 *sums, ec_i8_twins x, ec_i8_twin_filter w, int step, int kind)
{
    (void)step;
    sums[0] = ec_i8_dot_of(sums[0], x.channels[0], w.channels[0], kind);
    sums[1] = ec_i8_dot_of(sums[1], x.channels[1], w.channels[1], kind);
}
#else
#define EC_I8_TWIN_STEPS(rows) (rows)
#define EC_I8_TWIN_REGISTERS(rows) (3 * (rows))
#define EC_I8_TWIN_WEIGHTS(rows) (rows)

typedef struct {
    int16x8_t rows[2];
} ec_i8_twins;

typedef ec_i8_twins ec_i8_twin_pairs;
typedef ec_i8_twins ec_i8_twin_filter;

EC_INLINE int16x8_t ec_i8_twin_widen(uint8x16_t x, int kind)
{
    const uint8x8_t bytes = vget_low_u8(x);
    return kind == EC_U8 ? vreinterpretq_s16_u16(vmovl_u8(bytes)) : vmovl_s8(vreinterpret_s8_u8(bytes));
}

EC_INLINE ec_i8_twin_pairs ec_i8_twin_prepare(ec_i8_twin_rows x, int rows, int kind)
{
    const int16x8_t first = ec_i8_twin_widen(x.rows[0], kind);
    return (ec_i8_twin_pairs){{first, rows > 1 ? ec_i8_twin_widen(x.rows[1], kind) : first}};
}

EC_INLINE ec_i8_twins ec_i8_twin_join(ec_i8_twin_pairs x) { return x; }

EC_INLINE ec_i8_twin_filter ec_i8_twin_weights(const uint8_t *w, size_t block)
{
    const int16x4x2_t first = ec_i8_filter_load(w), last = ec_i8_filter_load(w + block);
    return (ec_i8_twin_filter){{vcombine_s16(first.val[0], last.val[0]), vcombine_s16(first.val[1], last.val[1])}};
}

EC_INLINE void ec_i8_twin_dot(ec_i32 *sums, ec_i8_twins x, ec_i8_twin_filter w, int step, int kind)
{
    (void)kind;
#if !defined(__clang__) && defined(__OPTIMIZE__)
    __asm__("smlal %0.4s, %1.4h, %2.4h" : "+w"(sums[0]) : "w"(x.rows[step]), "w"(w.rows[step]));
    __asm__("smlal2 %0.4s, %1.8h, %2.8h" : "+w"(sums[1]) : "w"(x.rows[step]), "w"(w.rows[step]));
#else
    sums[0] = vmlal_s16(sums[0], vget_low_s16(x.rows[step]), vget_low_s16(w.rows[step]));
    sums[1] = vmlal_high_s16(sums[1], x.rows[step], w.rows[step]);
#endif
}
#endif

#define EC_I8_NARROWS_ROWS 1
#define EC_I8_MOST_VECTORS 128 /* a bound on rows * count; unused ones cost nothing */
EC_INLINE void ec_i8_store_four(uint8_t *p, uint8x8_t bytes)
{
    const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    memcpy(p, &four, 4);
}

/*
 * Rows of count vectors, rounded, shifted by zero and saturated. All results take each step before one takes the next, for
 * cores in order.
 */
EC_INLINE void ec_f32_narrow_rows(uint8_t *p, ptrdiff_t step, const ec_f32 *v, int rows, int count, int zero, int kind)
{
    const int twos = (count + 1) / 2;
    ec_i32 q[EC_I8_MOST_VECTORS];
    int16x4_t halves[EC_I8_MOST_VECTORS];
    int16x8_t words[EC_I8_MOST_VECTORS];
    uint8x8_t bytes[EC_I8_MOST_VECTORS];
    EC_UNROLL
    for (int i = 0; i < rows * count; i++) {
        ec_i32 rounded = ec_f32_nearest(v[i]);
        EC_I8_HERE(rounded); /* or gcc puts each step to the next */
        q[i] = rounded;
    }
    EC_UNROLL
    for (int i = 0; i < rows * twos; i++) {
        int16x4_t half = vqmovn_s32(q[i / twos * count + i % twos * 2]);
        EC_I8_HERE(half);
        halves[i] = half;
    }
    EC_UNROLL
    for (int i = 0; i < rows * twos; i++) {
        const int last = i % twos * 2 + 1 < count ? i % twos * 2 + 1 : i % twos * 2;
        int16x8_t all = vqmovn_high_s32(halves[i], q[i / twos * count + last]);
        EC_I8_HERE(all);
        words[i] = all;
    }
    if (zero) {
        EC_UNROLL
        for (int i = 0; i < rows * twos; i++) {
            int16x8_t shifted = vqaddq_s16(words[i], vdupq_n_s16((int16_t)zero));
            EC_I8_HERE(shifted);
            words[i] = shifted;
        }
    }
    EC_UNROLL
    for (int i = 0; i < rows * twos; i++)
        bytes[i] = ec_i8_eight(words[i], kind);
    EC_UNROLL
    for (int i = 0; i < rows * twos; i++) {
        uint8_t *to = p + i / twos * step + i % twos * 8;
        if (i % twos * 2 + 1 < count)
            vst1_u8(to, bytes[i]);
        else
            ec_i8_store_four(to, bytes[i]);
    }
}

#endif
