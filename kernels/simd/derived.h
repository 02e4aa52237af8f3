/* What every ISA gets from its own few operations: signs, the other comparisons, strided tails, NaN-keeping min and max. */
#ifndef EC_SIMD_DERIVED_H
#define EC_SIMD_DERIVED_H

/* Keeps a vector in its register, where a compiler would load it again at each of a few uses. */
/* c += a * b, where a sum shall stay in its register. */
#if !defined(EC_F32_ADD_PRODUCT)
#define EC_F32_ADD_PRODUCT(c, a, b) ((c) = ec_f32_fma(a, b, c))
#endif
#if !defined(EC_F32_KEEP)
#define EC_F32_KEEP(v) (void)(v)
#endif

EC_INLINE ec_m32 ec_f32_gt(ec_f32 a, ec_f32 b) { return ec_f32_lt(b, a); }
EC_INLINE ec_m32 ec_f32_ge(ec_f32 a, ec_f32 b) { return ec_f32_le(b, a); }
EC_INLINE ec_m32 ec_f32_ne(ec_f32 a, ec_f32 b) { return ec_m32_not(ec_f32_eq(a, b)); }

EC_INLINE ec_i32 ec_f32_sign_bits(ec_f32 a) { return ec_i32_and(ec_f32_bits(a), ec_i32_set(INT32_MIN)); }

EC_INLINE ec_f32 ec_f32_neg(ec_f32 a) { return ec_i32_as_f32(ec_i32_xor(ec_f32_bits(a), ec_i32_set(INT32_MIN))); }

EC_INLINE ec_f32 ec_f32_abs(ec_f32 a) { return ec_i32_as_f32(ec_i32_and(ec_f32_bits(a), ec_i32_set(INT32_MAX))); }

/* The magnitude of a with the sign of b; a must not be negative. */
EC_INLINE ec_f32 ec_f32_with_sign(ec_f32 a, ec_f32 b)
{
    return ec_i32_as_f32(ec_i32_or(ec_f32_bits(a), ec_f32_sign_bits(b)));
}

/* NaN if either operand is NaN, whatever their order. */
EC_INLINE ec_f32 ec_f32_max_nan(ec_f32 a, ec_f32 b) { return ec_f32_select(ec_f32_eq(a, a), ec_f32_max(a, b), a); }
EC_INLINE ec_f32 ec_f32_min_nan(ec_f32 a, ec_f32 b) { return ec_f32_select(ec_f32_eq(a, a), ec_f32_min(a, b), a); }

EC_INLINE ec_f32 ec_f32_load_strided_tail(const float *p, ptrdiff_t stride, size_t n)
{
    float lanes[EC_LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lanes[i] = p[(ptrdiff_t)i * stride];
    return ec_f32_load(lanes);
}

EC_INLINE void ec_f32_store_strided_tail(float *p, ptrdiff_t stride, ec_f32 v, size_t n)
{
    float lanes[EC_LANES];
    ec_f32_store(lanes, v);
    for (size_t i = 0; i < n; i++)
        p[(ptrdiff_t)i * stride] = lanes[i];
}

EC_INLINE void ec_f32_store_strided(float *p, ptrdiff_t stride, ec_f32 v)
{
    ec_f32_store_strided_tail(p, stride, v, EC_LANES);
}

#if !defined(EC_STORES_THREE)
/* p[3 * i], p[3 * i + 1], p[3 * i + 2] = a[i], b[i], c[i]. */
EC_INLINE void ec_f32_store_three(float *p, ec_f32 a, ec_f32 b, ec_f32 c)
{
    ec_f32_store_strided(p, 3, a);
    ec_f32_store_strided(p + 1, 3, b);
    ec_f32_store_strided(p + 2, 3, c);
}
#endif

#if defined(EC_ROUND_BY_SHIFT)
/* Adding 2^23 pushes the fraction out of the significand; from 2^23 on, and for NaN, a value is its own integer. */
EC_INLINE ec_f32 ec_f32_round(ec_f32 a)
{
    const ec_f32 big = ec_f32_set(8388608.0f);
    ec_f32 size = ec_f32_abs(a);
    ec_f32 rounded = ec_f32_sub(ec_f32_add(size, big), big);
    return ec_f32_select(ec_f32_lt(size, big), ec_f32_with_sign(rounded, a), a);
}

EC_INLINE ec_f32 ec_f32_one_where(ec_m32 m) { return ec_f32_select(m, ec_f32_set(1.0f), ec_f32_set(0.0f)); }

EC_INLINE ec_f32 ec_f32_floor(ec_f32 a)
{
    ec_f32 rounded = ec_f32_round(a);
    return ec_f32_sub(rounded, ec_f32_one_where(ec_f32_gt(rounded, a)));
}

EC_INLINE ec_f32 ec_f32_ceil(ec_f32 a) { return ec_f32_neg(ec_f32_floor(ec_f32_neg(a))); }

EC_INLINE ec_f32 ec_f32_trunc(ec_f32 a) { return ec_f32_with_sign(ec_f32_floor(ec_f32_abs(a)), a); }
#endif

#endif
