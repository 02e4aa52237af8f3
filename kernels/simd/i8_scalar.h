/* int8 in portable C11, one lane. The reference for all other ISA headers of int8. */
#ifndef EC_SIMD_I8_SCALAR_H
#define EC_SIMD_I8_SCALAR_H

#define EC_I8_PARTS 1
#define EC_I8_SUMS 1
#define EC_I8_OFFSET_U8 0
#define EC_I8_OFFSET_S8 0
#define EC_I8_ROWS 2
#define EC_I8_ROWS_OFFSET_U8 0
#define EC_I8_ROWS_OFFSET_S8 0
#define EC_BYTES 1

typedef uint8_t ec_b8;
typedef int32_t ec_i16;
typedef struct {
    int32_t at[4];
} ec_i8_x;
typedef const int8_t *ec_i8_w;
typedef struct {
    int32_t at[2];
} ec_i8_column;
typedef ec_i8_column ec_i8_filter;

EC_INLINE int32_t ec_i8_signed(uint32_t byte) { return (int32_t)(byte ^ 0x80u) - 0x80; }

EC_INLINE ec_i8_x ec_i8_inputs(uint32_t four, int kind, int part)
{
    ec_i8_x x;
    (void)part;
    EC_UNROLL
    for (int k = 0; k < 4; k++) {
        uint32_t byte = four >> 8 * k & 0xffu;
        x.at[k] = kind == EC_U8 ? (int32_t)byte : ec_i8_signed(byte);
    }
    return x;
}

EC_INLINE ec_i8_w ec_i8_weights(const int8_t *w, int part)
{
    (void)part;
    return w;
}

EC_INLINE ec_i32 ec_i8_dot(ec_i32 sum, ec_i8_x x, ec_i8_w w)
{
    return sum + x.at[0] * w[0] + x.at[1] * w[1] + x.at[2] * w[2] + x.at[3] * w[3];
}

EC_INLINE ec_i32 ec_i8_total(const ec_i32 *sums) { return *sums; }

EC_INLINE ec_i32 ec_i32_load(const int32_t *p) { return *p; }
EC_INLINE ec_i16 ec_i16_load_u8(const uint8_t *p) { return *p; }
EC_INLINE ec_i16 ec_i16_load_s8(const uint8_t *p) { return ec_i8_signed(*p); }
EC_INLINE ec_i32 ec_i16_widen(ec_i16 a) { return a; }

EC_INLINE ec_i8_column ec_i8_column_load(const uint8_t *x, ptrdiff_t row, int rows, int kind, size_t lanes)
{
    (void)lanes;
    ec_i8_column column = {{kind == EC_U8 ? *x : ec_i8_signed(*x), 0}};
    if (rows == 2)
        column.at[1] = kind == EC_U8 ? x[row] : ec_i8_signed(x[row]);
    return column;
}

EC_INLINE ec_i8_filter ec_i8_filter_load(const void *w)
{
    const int16_t *at = w;
    return (ec_i8_filter){{at[0], at[1]}};
}

EC_INLINE ec_i32 ec_i8_column_dot(ec_i32 sum, ec_i8_column x, ec_i8_filter w, int rows, int kind)
{
    (void)kind;
    return sum + x.at[0] * w.at[0] + (rows == 2 ? x.at[1] * w.at[1] : 0);
}

EC_INLINE void ec_f32_store_u8(uint8_t *p, ec_f32 v) { *p = (uint8_t)(int32_t)ec_f32_round(v); }
EC_INLINE void ec_f32_store_s8(uint8_t *p, ec_f32 v) { *p = (uint8_t)(int32_t)ec_f32_round(v); }

EC_INLINE ec_i32 ec_f32_nearest(ec_f32 v) { return (int32_t)ec_f32_round(v); }

EC_INLINE void ec_i32_narrow(uint8_t *p, const ec_i32 *q, int count, int zero, int kind)
{
    const int32_t least = kind == EC_U8 ? 0 : -128;
    for (int i = 0; i < count; i++) {
        const int32_t value = q[i] + zero;
        p[i] = (uint8_t)(value < least ? least : value > least + 255 ? least + 255 : value);
    }
}

EC_INLINE ec_b8 ec_b8_load(const uint8_t *p) { return *p; }
EC_INLINE void ec_b8_store(uint8_t *p, ec_b8 v) { *p = v; }
EC_INLINE ec_b8 ec_b8_set(uint8_t value) { return value; }
EC_INLINE ec_b8 ec_b8_max_u8(ec_b8 a, ec_b8 b) { return a > b ? a : b; }
EC_INLINE ec_b8 ec_b8_max_s8(ec_b8 a, ec_b8 b) { return ec_i8_signed(a) > ec_i8_signed(b) ? a : b; }

#endif
