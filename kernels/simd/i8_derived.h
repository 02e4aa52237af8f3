/* What every ISA gets from its own few operations on 8-bit values: tails, conversions, choices by kind. */
#ifndef EC_SIMD_I8_DERIVED_H
#define EC_SIMD_I8_DERIVED_H

#if !defined(EC_I8_DOT_OF)
#define EC_I8_DOT_OF(sum, x, w, kind) ec_i8_dot(sum, x, w)
#endif

/* Bytes 0 .. n - 1 at p, the first in the lowest bits, zeros above them. */
EC_INLINE uint32_t ec_i8_four(const uint8_t *p, size_t n)
{
    uint32_t four = 0;
#if defined(EC_ISA_SCALAR)
    for (size_t k = 0; k < n; k++)
        four |= (uint32_t)p[k] << 8 * k;
#else
    memcpy(&four, p, n);
#endif
    return four;
}

#if !defined(EC_I8_MASKED_TAILS)
EC_INLINE ec_i16 ec_i16_load_u8_tail(const uint8_t *p, size_t n)
{
    uint8_t bytes[EC_LANES] = {0};
    memcpy(bytes, p, ec_min_size(n, EC_LANES));
    return ec_i16_load_u8(bytes);
}

EC_INLINE ec_i16 ec_i16_load_s8_tail(const uint8_t *p, size_t n)
{
    uint8_t bytes[EC_LANES] = {0};
    memcpy(bytes, p, ec_min_size(n, EC_LANES));
    return ec_i16_load_s8(bytes);
}

EC_INLINE void ec_f32_store_u8_tail(uint8_t *p, ec_f32 v, size_t n)
{
    uint8_t bytes[EC_LANES];
    ec_f32_store_u8(bytes, v);
    memcpy(p, bytes, ec_min_size(n, EC_LANES));
}

EC_INLINE void ec_f32_store_s8_tail(uint8_t *p, ec_f32 v, size_t n)
{
    uint8_t bytes[EC_LANES];
    ec_f32_store_s8(bytes, v);
    memcpy(p, bytes, ec_min_size(n, EC_LANES));
}

EC_INLINE ec_b8 ec_b8_load_tail(const uint8_t *p, size_t n)
{
    uint8_t bytes[EC_BYTES] = {0};
    memcpy(bytes, p, ec_min_size(n, EC_BYTES));
    return ec_b8_load(bytes);
}

EC_INLINE void ec_b8_store_tail(uint8_t *p, ec_b8 v, size_t n)
{
    uint8_t bytes[EC_BYTES];
    ec_b8_store(bytes, v);
    memcpy(p, bytes, ec_min_size(n, EC_BYTES));
}
#endif

/* `lanes` bytes of the kind, zeros after them. */
EC_INLINE ec_i16 ec_i16_load_lanes(const uint8_t *p, int kind, size_t lanes)
{
    if (lanes == EC_LANES)
        return kind == EC_U8 ? ec_i16_load_u8(p) : ec_i16_load_s8(p);
    return kind == EC_U8 ? ec_i16_load_u8_tail(p, lanes) : ec_i16_load_s8_tail(p, lanes);
}

EC_INLINE ec_i32 ec_i32_load_lanes(const uint8_t *p, int kind, size_t lanes)
{
    return ec_i16_widen(ec_i16_load_lanes(p, kind, lanes));
}

#if EC_I8_ROWS == 2 && !defined(EC_ISA_SCALAR)
/* EC_LANES channels of one row, or of two rows that lie `row` apart. */
EC_INLINE ec_i8_column ec_i8_column_load(const uint8_t *x, ptrdiff_t row, int rows, int kind, size_t lanes)
{
    const ec_i16 first = ec_i16_load_lanes(x, kind, lanes);
    const ec_i16 second = ec_i16_load_lanes(x + (rows == 2 ? row : 0), kind, lanes);
#if defined(EC_ISA_NEON)
    return (ec_i8_column){{first, second}};
#else
    return rows == 2 ? ec_i16_pair(first, second) : first;
#endif
}
#endif
#if EC_I8_ROWS == 2 && !defined(EC_ISA_SCALAR) && !defined(EC_ISA_NEON)
EC_INLINE ec_i32 ec_i8_column_dot(ec_i32 sum, ec_i8_column x, ec_i8_filter w, int rows, int kind)
{
    (void)rows, (void)kind; /* the weights of a row that is not there are zero */
    return ec_i16_pair_dot(sum, x, w);
}
#endif

EC_INLINE ec_f32 ec_f32_load_i32(const int32_t *p) { return ec_i32_to_f32(ec_i32_load(p)); }

/* EC_LANES (or n) bytes as floats. */
EC_INLINE ec_f32 ec_f32_load_u8(const void *p) { return ec_i32_to_f32(ec_i32_load_lanes(p, EC_U8, EC_LANES)); }
EC_INLINE ec_f32 ec_f32_load_s8(const void *p) { return ec_i32_to_f32(ec_i32_load_lanes(p, EC_S8, EC_LANES)); }
EC_INLINE ec_f32 ec_f32_load_u8_tail(const void *p, size_t n) { return ec_i32_to_f32(ec_i32_load_lanes(p, EC_U8, n)); }
EC_INLINE ec_f32 ec_f32_load_s8_tail(const void *p, size_t n) { return ec_i32_to_f32(ec_i32_load_lanes(p, EC_S8, n)); }

EC_INLINE size_t ec_kind_size(int kind) { return kind == EC_F32 ? sizeof(float) : 1; }

/* Stores the first `lanes` values as the kind says. */
EC_INLINE void ec_f32_store_kind(uint8_t *p, ec_f32 v, int kind, size_t lanes)
{
    if (kind == EC_F32)
        lanes == EC_LANES ? ec_f32_store((float *)(void *)p, v) : ec_f32_store_tail((float *)(void *)p, v, lanes);
    else if (kind == EC_U8)
        lanes == EC_LANES ? ec_f32_store_u8(p, v) : ec_f32_store_u8_tail(p, v, lanes);
    else
        lanes == EC_LANES ? ec_f32_store_s8(p, v) : ec_f32_store_s8_tail(p, v, lanes);
}

#endif
