/* int16 on Arm NEON: one product at a time, by a lane of x. */
#ifndef EC_SIMD_I16_NEON_H
#define EC_SIMD_I16_NEON_H

typedef int16x4_t ec_i16_x;
typedef int16x4x2_t ec_i16_w;
typedef int16x4x2_t ec_i16_column;

EC_INLINE ec_i16_x ec_i16_inputs(uint32_t two) { return vreinterpret_s16_u32(vdup_n_u32(two)); }
EC_INLINE ec_i16_w ec_i16_weights(const int16_t *w) { return vld2_s16(w); }
EC_INLINE ec_i16_w ec_i16_weights_s8(const int8_t *w)
{
    const int16x8_t pairs = vmovl_s8(vld1_s8(w));
    return vuzp_s16(vget_low_s16(pairs), vget_high_s16(pairs));
}
EC_INLINE ec_i32 ec_i16_dot(ec_i32 sum, ec_i16_x x, ec_i16_w w)
{
    return vmlal_lane_s16(vmlal_lane_s16(sum, w.val[0], x, 0), w.val[1], x, 1);
}

EC_INLINE ec_i16_column ec_i16_columns_load(const int16_t *first, const int16_t *second)
{
    return (ec_i16_column){{vld1_s16(first), vld1_s16(second)}};
}
EC_INLINE ec_i32 ec_i16_column_dot(ec_i32 sum, ec_i16_column x, ec_i16_w w)
{
    return vmlal_s16(vmlal_s16(sum, x.val[0], w.val[0]), x.val[1], w.val[1]);
}

EC_INLINE ec_f32 ec_f32_load_s16(const void *p) { return vcvtq_f32_s32(vmovl_s16(vld1_s16(p))); }

#if defined(__aarch64__)
EC_INLINE void ec_f32_store_s16(void *p, ec_f32 v) { vst1_s16(p, vmovn_s32(vcvtnq_s32_f32(v))); }
#else
/* Adding 1.5 * 2^23 rounds to an integer that the low bits then hold. */
EC_INLINE void ec_f32_store_s16(void *p, ec_f32 v)
{
    vst1_s16(p, vmovn_s32(vreinterpretq_s32_f32(vaddq_f32(v, vdupq_n_f32(12582912.0f)))));
}
#endif

#endif
