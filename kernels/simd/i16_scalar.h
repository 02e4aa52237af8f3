/* int16 in portable C11, one lane. The reference for all other ISA headers of int16. */
#ifndef EC_SIMD_I16_SCALAR_H
#define EC_SIMD_I16_SCALAR_H

typedef struct {
    int32_t at[2];
} ec_i16_x;
typedef ec_i16_x ec_i16_w;
typedef ec_i16_x ec_i16_column;

EC_INLINE ec_i16_x ec_i16_inputs(uint32_t two)
{
    return (ec_i16_x){{(int32_t)((two & 0xffffu) ^ 0x8000u) - 0x8000, (int32_t)((two >> 16) ^ 0x8000u) - 0x8000}};
}
EC_INLINE ec_i16_w ec_i16_weights(const int16_t *w) { return (ec_i16_w){{w[0], w[1]}}; }
EC_INLINE ec_i16_w ec_i16_weights_s8(const int8_t *w) { return (ec_i16_w){{w[0], w[1]}}; }
EC_INLINE ec_i32 ec_i16_dot(ec_i32 sum, ec_i16_x x, ec_i16_w w) { return sum + x.at[0] * w.at[0] + x.at[1] * w.at[1]; }

EC_INLINE ec_i16_column ec_i16_columns_load(const int16_t *first, const int16_t *second)
{
    return (ec_i16_column){{*first, *second}};
}
EC_INLINE ec_i32 ec_i16_column_dot(ec_i32 sum, ec_i16_column x, ec_i16_w w) { return ec_i16_dot(sum, x, w); }

EC_INLINE ec_f32 ec_f32_load_s16(const void *p) { return (float)*(const int16_t *)p; }
EC_INLINE void ec_f32_store_s16(void *p, ec_f32 v) { *(int16_t *)p = (int16_t)(int32_t)ec_f32_round(v); }

#endif
