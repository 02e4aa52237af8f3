/* What every ISA gets from its own few operations on 8-bit values: tails, conversions, choices by kind. */
#ifndef EC_SIMD_I8_DERIVED_H
#define EC_SIMD_I8_DERIVED_H

#if !defined(EC_I8_DOT_OF)
#define EC_I8_DOT_OF(sum, x, w, kind) ec_i8_dot(sum, x, w)
#endif

#if !defined(EC_I8_COPY)
#define EC_I8_COPY(v) (void)(v)
#define EC_I8_HERE(v) (void)(v)
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

/*
 * How results are stored: as EC_U8, EC_S8 or EC_F32; bytes are rounded values in range. EC_REQUANTIZED(kind, zero) takes
 * values that are neither: of at most 2^30 and no NaN, which are rounded half to even, shifted by zero and saturated.
 */
#define EC_REQUANTIZED(kind, zero) ((kind) | 4 | ((zero) + 128) << 3)
EC_INLINE int ec_kind_type(int kind) { return kind & 3; }
EC_INLINE int ec_kind_requantizes(int kind) { return kind & 4; }
EC_INLINE int ec_kind_zero(int kind) { return (kind >> 3) - 128; }
EC_INLINE size_t ec_kind_size(int kind)
{
    return ec_kind_type(kind) == EC_F32 ? sizeof(float) : ec_kind_type(kind) == EC_S16 ? sizeof(int16_t) : 1;
}

#if !defined(EC_I8_MASKED_TAILS)
/* `bytes` of the count <= 4 vectors of q + zero, saturated. */
EC_INLINE void ec_i32_store_bytes(uint8_t *p, const ec_i32 *q, int count, int zero, int kind, size_t bytes)
{
    if (bytes == (size_t)count * EC_LANES) {
        ec_i32_narrow(p, q, count, zero, kind);
    } else {
        uint8_t all[4 * EC_LANES];
        ec_i32_narrow(all, q, count, zero, kind);
        memcpy(p, all, ec_min_size(bytes, 4 * EC_LANES));
    }
}
#endif

/* Stores the first `lanes` values as the kind says. */
EC_INLINE void ec_f32_store_kind(uint8_t *p, ec_f32 v, int kind, size_t lanes)
{
    if (ec_kind_requantizes(kind)) {
        const ec_i32 q = ec_f32_nearest(v);
        ec_i32_store_bytes(p, &q, 1, ec_kind_zero(kind), ec_kind_type(kind), lanes);
    } else if (kind == EC_F32)
        lanes == EC_LANES ? ec_f32_store((float *)(void *)p, v) : ec_f32_store_tail((float *)(void *)p, v, lanes);
    else if (kind == EC_S16)
        lanes == EC_LANES ? ec_f32_store_s16(p, v) : ec_f32_store_s16_tail(p, v, lanes);
    else if (kind == EC_U8)
        lanes == EC_LANES ? ec_f32_store_u8(p, v) : ec_f32_store_u8_tail(p, v, lanes);
    else
        lanes == EC_LANES ? ec_f32_store_s8(p, v) : ec_f32_store_s8_tail(p, v, lanes);
}

/* Stores count vectors side by side; of the last one `tail` lanes. */
EC_INLINE void ec_f32_store_vectors(uint8_t *p, const ec_f32 *v, int count, int kind, size_t tail)
{
    if (!ec_kind_requantizes(kind)) {
        EC_UNROLL
        for (int i = 0; i < count; i++)
            ec_f32_store_kind(p + i * EC_LANES * ec_kind_size(kind), v[i], kind, i == count - 1 ? tail : EC_LANES);
        return;
    }
    EC_UNROLL
    for (int first = 0; first < count; first += 4) {
        const int some = count - first < 4 ? count - first : 4;
        const size_t last = first + some == count ? tail : EC_LANES;
        ec_i32 q[4];
        EC_UNROLL
        for (int i = 0; i < some; i++)
            q[i] = ec_f32_nearest(v[first + i]);
        ec_i32_store_bytes(p + first * EC_LANES, q, some, ec_kind_zero(kind), ec_kind_type(kind),
                           (size_t)(some - 1) * EC_LANES + last);
    }
}

/* The same for rows that lie `step` bytes apart. */
EC_INLINE void ec_f32_store_rows(uint8_t *p, ptrdiff_t step, const ec_f32 *v, int rows, int count, int kind,
                                 size_t tail)
{
#if defined(EC_I8_NARROWS_ROWS)
    if (ec_kind_type(kind) <= EC_S8 && tail == EC_LANES) {
        ec_f32_narrow_rows(p, step, v, rows, count, ec_kind_requantizes(kind) ? ec_kind_zero(kind) : 0,
                           ec_kind_type(kind));
        return;
    }
#endif
    EC_UNROLL
    for (int i = 0; i < rows; i++)
        ec_f32_store_vectors(p + i * step, v + i * count, count, kind, tail);
}

#endif
