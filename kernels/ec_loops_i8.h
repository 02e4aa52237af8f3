/* What generated vector loops need for 8- and 16-bit tensors: loads as floats, stores of floats that are integers in range. */
#ifndef EC_LOOPS_I8_H
#define EC_LOOPS_I8_H

#include "ec_loops.h"
#include "ec_simd_i8.h"

EC_INLINE ec_f32 ec_f32_load_u8_lanes(const void *p, size_t lanes)
{
    return lanes == EC_LANES ? ec_f32_load_u8(p) : ec_f32_load_u8_tail(p, lanes);
}

EC_INLINE ec_f32 ec_f32_load_s8_lanes(const void *p, size_t lanes)
{
    return lanes == EC_LANES ? ec_f32_load_s8(p) : ec_f32_load_s8_tail(p, lanes);
}

EC_INLINE ec_f32 ec_f32_load_s16_lanes(const void *p, size_t lanes)
{
    return lanes == EC_LANES ? ec_f32_load_s16(p) : ec_f32_load_s16_tail(p, lanes);
}

EC_INLINE void ec_f32_put_u8(void *p, ec_f32 v) { ec_f32_store_kind(p, v, EC_U8, EC_LANES); }
EC_INLINE void ec_f32_put_s8(void *p, ec_f32 v) { ec_f32_store_kind(p, v, EC_S8, EC_LANES); }
EC_INLINE void ec_f32_put_u8_lanes(void *p, ec_f32 v, size_t lanes) { ec_f32_store_kind(p, v, EC_U8, lanes); }
EC_INLINE void ec_f32_put_s8_lanes(void *p, ec_f32 v, size_t lanes) { ec_f32_store_kind(p, v, EC_S8, lanes); }
EC_INLINE void ec_f32_put_s16(void *p, ec_f32 v) { ec_f32_store_s16(p, v); }
EC_INLINE void ec_f32_put_s16_lanes(void *p, ec_f32 v, size_t lanes) { ec_f32_store_kind(p, v, EC_S16, lanes); }

/* The same with a stride in elements between lanes. */
EC_INLINE ec_f32 ec_f32_load_u8_strided(const void *p, ptrdiff_t stride, size_t lanes)
{
    uint8_t bytes[EC_LANES] = {0};
    for (size_t i = 0; i < lanes; i++)
        bytes[i] = ((const uint8_t *)p)[(ptrdiff_t)i * stride];
    return ec_f32_load_u8(bytes);
}

EC_INLINE ec_f32 ec_f32_load_s8_strided(const void *p, ptrdiff_t stride, size_t lanes)
{
    uint8_t bytes[EC_LANES] = {0};
    for (size_t i = 0; i < lanes; i++)
        bytes[i] = ((const uint8_t *)p)[(ptrdiff_t)i * stride];
    return ec_f32_load_s8(bytes);
}

EC_INLINE void ec_f32_put_u8_strided(void *p, ptrdiff_t stride, ec_f32 v, size_t lanes)
{
    uint8_t bytes[EC_LANES];
    ec_f32_put_u8(bytes, v);
    for (size_t i = 0; i < lanes; i++)
        ((uint8_t *)p)[(ptrdiff_t)i * stride] = bytes[i];
}

EC_INLINE void ec_f32_put_s8_strided(void *p, ptrdiff_t stride, ec_f32 v, size_t lanes)
{
    uint8_t bytes[EC_LANES];
    ec_f32_put_s8(bytes, v);
    for (size_t i = 0; i < lanes; i++)
        ((uint8_t *)p)[(ptrdiff_t)i * stride] = bytes[i];
}

EC_INLINE ec_f32 ec_f32_load_s16_strided(const void *p, ptrdiff_t stride, size_t lanes)
{
    int16_t words[EC_LANES] = {0};
    for (size_t i = 0; i < lanes; i++)
        words[i] = ((const int16_t *)p)[(ptrdiff_t)i * stride];
    return ec_f32_load_s16(words);
}

EC_INLINE void ec_f32_put_s16_strided(void *p, ptrdiff_t stride, ec_f32 v, size_t lanes)
{
    int16_t words[EC_LANES];
    ec_f32_put_s16(words, v);
    for (size_t i = 0; i < lanes; i++)
        ((int16_t *)p)[(ptrdiff_t)i * stride] = words[i];
}

#endif
