/*
 * int8 on Arm NEON. With dotprod: four products at once (i8mm adds unsigned x). Without: products of 16 bits, added in
 * pairs to two vectors of partial sums, which is exact even for -128 * -128.
 */
#ifndef EC_SIMD_I8_NEON_H
#define EC_SIMD_I8_NEON_H

#include <string.h>

#define EC_I8_OFFSET_S8 0
#define EC_I8_ROWS_OFFSET_S8 0
#define EC_BYTES 16

typedef uint8x16_t ec_b8;
typedef int16x4_t ec_i16;

#if defined(__aarch64__)
/* Gives v a register of its own from here on; computes v before what follows. */
#if !defined(__clang__) && defined(__OPTIMIZE__)
#define EC_I8_COPY(v) __asm__ volatile("" : "+w"(v))
#define EC_I8_HERE(v) __asm__ volatile("" : : "w"(v))
#else
#define EC_I8_COPY(v) (void)(v)
#define EC_I8_HERE(v) (void)(v)
#endif
#define EC_I8_BY_LANE 1
typedef int8x16_t ec_i8_x16; /* sixteen x of one pixel: four groups, one a lane */
typedef int8x16_t ec_i8_w16; /* weights of four channels for one group */
typedef int16x8_t ec_i8_products;

/* The first n x of sixteen, as they are; zeros after them. */
EC_INLINE ec_i8_x16 ec_i8_load16(const uint8_t *x, size_t n)
{
    if (n >= 16)
        return vreinterpretq_s8_u8(vld1q_u8(x));
    uint32_t words[4] = {0};
    EC_UNROLL
    for (size_t i = 0; 4 * i < n; i++)
        memcpy(&words[i], x + 4 * i, ec_min_size(n - 4 * i, 4));
    uint32x4_t all = n >= 8 ? vreinterpretq_u32_u8(vcombine_u8(vld1_u8(x), vdup_n_u8(0)))
                            : vsetq_lane_u32(words[0], vdupq_n_u32(0), 0);
    all = n > 4 && n < 8 ? vsetq_lane_u32(words[1], all, 1) : all;
    all = n > 8 ? vsetq_lane_u32(words[2], all, 2) : all;
    all = n > 12 ? vsetq_lane_u32(words[3], all, 3) : all;
    return vreinterpretq_s8_u32(all);
}
#endif

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#define EC_I8_PARTS 1
#define EC_I8_SUMS 1
#define EC_I8_ROWS 4
#define EC_I8_ROWS_OFFSET_U8 EC_I8_OFFSET_U8

typedef int8x16_t ec_i8_x;
typedef int8x16_t ec_i8_w;
typedef int8x16_t ec_i8_column;
typedef int8x16_t ec_i8_filter;

#if defined(__ARM_FEATURE_MATMUL_INT8)
#define EC_I8_OFFSET_U8 0
#else
#define EC_I8_OFFSET_U8 (-128)
#endif

/* Unsigned x become signed where the products are of signed values only. */
EC_INLINE int8x16_t ec_i8_flipped(int8x16_t x, int kind)
{
    return kind == EC_U8 && EC_I8_OFFSET_U8 != 0 ? veorq_s8(x, vdupq_n_s8(-128)) : x;
}

EC_INLINE ec_i8_x ec_i8_inputs(uint32_t four, int kind, int part)
{
    (void)part;
    return ec_i8_flipped(vreinterpretq_s8_u32(vdupq_n_u32(four)), kind);
}

EC_INLINE ec_i8_w ec_i8_weights(const int8_t *w, int part)
{
    (void)part;
    return vld1q_s8(w);
}

#if !defined(__clang__) && defined(__OPTIMIZE__) /* as for fmla in neon.h */
#define EC_I8_SDOT(lane) __asm__("sdot %0.4s, %1.16b, %2.4b[" #lane "]" : "+w"(sum) : "w"(w), "w"(x))
#define EC_I8_SUDOT(lane) __asm__("sudot %0.4s, %1.16b, %2.4b[" #lane "]" : "+w"(sum) : "w"(w), "w"(x))
#else
#define EC_I8_SDOT(lane) sum = vdotq_laneq_s32(sum, w, x, lane)
#define EC_I8_SUDOT(lane) sum = vsudotq_laneq_s32(sum, w, vreinterpretq_u8_s8(x), lane)
#endif
#define EC_I8_OF_LANE(dot)                                                                                             \
    if (lane == 0)                                                                                                     \
        dot(0);                                                                                                        \
    else if (lane == 1)                                                                                                \
        dot(1);                                                                                                        \
    else if (lane == 2)                                                                                                \
        dot(2);                                                                                                        \
    else                                                                                                               \
        dot(3);

/* sum + w * four x: those of a lane of sixteen. */
EC_INLINE ec_i32 ec_i8_dot_lane(ec_i32 sum, ec_i8_x16 x, ec_i8_w w, int lane, int kind)
{
#if defined(__ARM_FEATURE_MATMUL_INT8)
    if (kind == EC_U8) {
        EC_I8_OF_LANE(EC_I8_SUDOT)
        return sum;
    }
#endif
    (void)kind;
    EC_I8_OF_LANE(EC_I8_SDOT)
    return sum;
}
#undef EC_I8_OF_LANE
#undef EC_I8_SUDOT
#undef EC_I8_SDOT

EC_INLINE ec_i32 ec_i8_dot_of(ec_i32 sum, ec_i8_x x, ec_i8_w w, int kind)
{
    (void)kind;
#if defined(__ARM_FEATURE_MATMUL_INT8)
    if (kind == EC_U8)
        return vusdotq_s32(sum, vreinterpretq_u8_s8(x), w);
#endif
#if !defined(__clang__) && defined(__OPTIMIZE__)
    __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(w), "w"(x));
    return sum;
#else
    return vdotq_s32(sum, w, x);
#endif
}
#define EC_I8_DOT_OF ec_i8_dot_of

EC_INLINE ec_i32 ec_i8_total(const ec_i32 *sums) { return *sums; }
#else
#define EC_I8_PARTS 2 /* two channels each, with a vector of partial sums each */
#define EC_I8_SUMS 2
#define EC_I8_ROWS 2
#define EC_I8_ROWS_OFFSET_U8 0
#define EC_I8_OFFSET_U8 (-128)

typedef int8x8_t ec_i8_x;
typedef int8x8_t ec_i8_w;
typedef int16x4x2_t ec_i8_column;
typedef int16x4x2_t ec_i8_filter;

EC_INLINE ec_i8_x ec_i8_inputs(uint32_t four, int kind, int part)
{
    int8x8_t bytes = vreinterpret_s8_u32(vdup_n_u32(four));
    (void)part;
    return kind == EC_S8 ? bytes : veor_s8(bytes, vdup_n_s8(-128));
}

#if defined(__aarch64__)
EC_INLINE ec_i8_x16 ec_i8_flipped(ec_i8_x16 x, int kind) { return kind == EC_S8 ? x : veorq_s8(x, vdupq_n_s8(-128)); }

/* One group of sixteen x, in all lanes. */
EC_INLINE ec_i8_x16 ec_i8_broadcast(ec_i8_x16 x, int lane)
{
    const int32x4_t fours = vreinterpretq_s32_s8(x);
    ec_i8_x16 same = vreinterpretq_s8_s32(lane == 0   ? vdupq_laneq_s32(fours, 0)
                                          : lane == 1 ? vdupq_laneq_s32(fours, 1)
                                          : lane == 2 ? vdupq_laneq_s32(fours, 2)
                                                      : vdupq_laneq_s32(fours, 3));
    EC_F32_KEEP(same);
    return same;
}

/* Products of the first or of the last two channels. */
EC_INLINE ec_i8_products ec_i8_multiply(ec_i8_x16 x, ec_i8_w16 w, int last)
{
#if !defined(__clang__) && defined(__OPTIMIZE__) /* as for fmla in neon.h */
    ec_i8_products found;
    if (last)
        __asm__("smull2 %0.8h, %1.16b, %2.16b" : "=w"(found) : "w"(x), "w"(w));
    else
        __asm__("smull %0.8h, %1.8b, %2.8b" : "=w"(found) : "w"(x), "w"(w));
    return found;
#else
    return last ? vmull_high_s8(x, w) : vmull_s8(vget_low_s8(x), vget_low_s8(w));
#endif
}

EC_INLINE ec_i32 ec_i8_add_pairs(ec_i32 sum, ec_i8_products pairs)
{
#if !defined(__clang__) && defined(__OPTIMIZE__)
    __asm__("sadalp %0.4s, %1.8h" : "+w"(sum) : "w"(pairs));
    return sum;
#else
    return vpadalq_s16(sum, pairs);
#endif
}
#endif

EC_INLINE ec_i8_w ec_i8_weights(const int8_t *w, int part) { return vld1_s8(w + 8 * part); }
EC_INLINE ec_i32 ec_i8_dot(ec_i32 sum, ec_i8_x x, ec_i8_w w) { return vpadalq_s16(sum, vmull_s8(x, w)); }

#if defined(__aarch64__)
EC_INLINE ec_i32 ec_i8_total(const ec_i32 *sums) { return vpaddq_s32(sums[0], sums[1]); }
#else
EC_INLINE ec_i32 ec_i8_total(const ec_i32 *sums)
{
    return vcombine_s32(vpadd_s32(vget_low_s32(sums[0]), vget_high_s32(sums[0])),
                        vpadd_s32(vget_low_s32(sums[1]), vget_high_s32(sums[1])));
}
#endif
#endif

EC_INLINE ec_i32 ec_i32_load(const int32_t *p) { return vld1q_s32(p); }

EC_INLINE uint8x8_t ec_i8_load_bytes(const uint8_t *p)
{
    uint32_t bytes;
    memcpy(&bytes, p, 4);
#if defined(__aarch64__)
    return vreinterpret_u8_u32(vset_lane_u32(bytes, vdup_n_u32(0), 0)); /* the load alone */
#else
    return vreinterpret_u8_u32(vdup_n_u32(bytes));
#endif
}

EC_INLINE ec_i16 ec_i16_load_u8(const uint8_t *p)
{
    return vreinterpret_s16_u16(vget_low_u16(vmovl_u8(ec_i8_load_bytes(p))));
}
EC_INLINE ec_i16 ec_i16_load_s8(const uint8_t *p)
{
    return vget_low_s16(vmovl_s8(vreinterpret_s8_u8(ec_i8_load_bytes(p))));
}
EC_INLINE ec_i32 ec_i16_widen(ec_i16 a) { return vmovl_s16(a); }

#if EC_I8_ROWS == 4
EC_INLINE ec_i8_column ec_i8_column_load(const uint8_t *x, ptrdiff_t row, int rows, int kind, size_t lanes)
{
    static const uint8_t to_lanes[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    uint32_t bytes[4] = {0};
    EC_UNROLL
    for (int i = 0; i < rows; i++)
        memcpy(&bytes[i], x + i * row, lanes);
    uint32x4_t by_row = vdupq_n_u32(bytes[0]);
    by_row = rows > 1 ? vsetq_lane_u32(bytes[1], by_row, 1) : by_row;
    by_row = rows > 2 ? vsetq_lane_u32(bytes[2], by_row, 2) : by_row;
    by_row = rows > 3 ? vsetq_lane_u32(bytes[3], by_row, 3) : by_row;
    return ec_i8_flipped(vreinterpretq_s8_u8(vqtbl1q_u8(vreinterpretq_u8_u32(by_row), vld1q_u8(to_lanes))), kind);
}

EC_INLINE ec_i8_filter ec_i8_filter_load(const void *w) { return vld1q_s8(w); }
EC_INLINE ec_i32 ec_i8_column_dot(ec_i32 sum, ec_i8_column x, ec_i8_filter w, int rows, int kind)
{
    (void)rows;
    return ec_i8_dot_of(sum, x, w, kind);
}
#else
EC_INLINE ec_i8_filter ec_i8_filter_load(const void *w) { return vld2_s16(w); }
EC_INLINE ec_i32 ec_i8_column_dot(ec_i32 sum, ec_i8_column x, ec_i8_filter w, int rows, int kind)
{
    (void)kind;
    sum = vmlal_s16(sum, x.val[0], w.val[0]);
    return rows == 2 ? vmlal_s16(sum, x.val[1], w.val[1]) : sum;
}
#endif

#if defined(__aarch64__)
EC_INLINE int32x4_t ec_i8_rounded(ec_f32 v) { return vcvtnq_s32_f32(v); }
#else
/* Adding 1.5 * 2^23 rounds to an integer that the low bits then hold. */
EC_INLINE int32x4_t ec_i8_rounded(ec_f32 v)
{
    return vsubq_s32(vreinterpretq_s32_f32(vaddq_f32(v, vdupq_n_f32(12582912.0f))), vdupq_n_s32(0x4b400000));
}
#endif

#if defined(__aarch64__)
EC_INLINE ec_i32 ec_f32_nearest(ec_f32 v) { return vcvtnq_s32_f32(v); }
#else
EC_INLINE ec_i32 ec_f32_nearest(ec_f32 v)
{
    const float32x4_t most = vdupq_n_f32(4194304.0f); /* beyond it adding would not round; saturation cuts both alike */
    return ec_i8_rounded(vminq_f32(most, vmaxq_f32(vnegq_f32(most), v)));
}
#endif

EC_INLINE int16x8_t ec_i8_two(ec_i32 a, ec_i32 b, int zero)
{
    const int16x8_t words = vcombine_s16(vqmovn_s32(a), vqmovn_s32(b));
    return zero ? vqaddq_s16(words, vdupq_n_s16((int16_t)zero)) : words;
}

EC_INLINE uint8x8_t ec_i8_eight(int16x8_t words, int kind)
{
    return kind == EC_U8 ? vqmovun_s16(words) : vreinterpret_u8_s8(vqmovn_s16(words));
}

/* The count <= 4 vectors of q + zero, saturated. */
EC_INLINE void ec_i32_narrow(uint8_t *p, const ec_i32 *q, int count, int zero, int kind)
{
    const uint8x8_t low = ec_i8_eight(ec_i8_two(q[0], q[count > 1 ? 1 : 0], zero), kind);
    if (count == 1) {
        const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(low), 0);
        memcpy(p, &four, 4);
        return;
    }
    vst1_u8(p, low);
    if (count == 2)
        return;
    const uint8x8_t high = ec_i8_eight(ec_i8_two(q[2], q[count > 3 ? 3 : 2], zero), kind);
    const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(high), 0);
    if (count == 4)
        vst1_u8(p + 8, high);
    else
        memcpy(p + 8, &four, 4);
}

/* Values in range lose no bits when they are cut, so one function serves both signs. */
EC_INLINE void ec_f32_store_u8(uint8_t *p, ec_f32 v)
{
    int16x4_t words = vmovn_s32(ec_i8_rounded(v));
    uint32_t bytes = vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
    memcpy(p, &bytes, 4);
}
EC_INLINE void ec_f32_store_s8(uint8_t *p, ec_f32 v) { ec_f32_store_u8(p, v); }

EC_INLINE ec_b8 ec_b8_load(const uint8_t *p) { return vld1q_u8(p); }
EC_INLINE void ec_b8_store(uint8_t *p, ec_b8 v) { vst1q_u8(p, v); }
EC_INLINE ec_b8 ec_b8_set(uint8_t value) { return vdupq_n_u8(value); }
EC_INLINE ec_b8 ec_b8_max_u8(ec_b8 a, ec_b8 b) { return vmaxq_u8(a, b); }
EC_INLINE ec_b8 ec_b8_max_s8(ec_b8 a, ec_b8 b)
{
    return vreinterpretq_u8_s8(vmaxq_s8(vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b)));
}

#if defined(__aarch64__)
#define EC_I8_TABLE 1
typedef struct {
    uint8x16x4_t at[4];
} ec_i8_table;

EC_INLINE ec_i8_table ec_i8_table_load(const uint8_t *p)
{
    return (ec_i8_table){{vld1q_u8_x4(p), vld1q_u8_x4(p + 64), vld1q_u8_x4(p + 128), vld1q_u8_x4(p + 192)}};
}

EC_INLINE ec_b8 ec_i8_look_up(const ec_i8_table *t, ec_b8 x)
{
    uint8x16_t y = vqtbl4q_u8(t->at[0], x);
    y = vqtbx4q_u8(y, t->at[1], vsubq_u8(x, vdupq_n_u8(64)));
    y = vqtbx4q_u8(y, t->at[2], vsubq_u8(x, vdupq_n_u8(128)));
    return vqtbx4q_u8(y, t->at[3], vsubq_u8(x, vdupq_n_u8(192)));
}
#endif

#if defined(__aarch64__)
#include "i8_neon_steps.h"
#endif

#endif
