/* Products of bfloat16: numbers rounded to it (halves to even) in pairs, which are multiplied and summed in single precision. */
#ifndef EC_SIMD_BF16_H
#define EC_SIMD_BF16_H

/* The upper half of a float, rounded; NaN stays NaN. */
EC_INLINE ec_i32 ec_bf16_rounded(ec_f32 v)
{
    const ec_i32 bits = ec_f32_bits(v), odd = ec_i32_and(ec_i32_shr(bits, 16), ec_i32_set(1));
    const ec_i32 up = ec_i32_add(bits, ec_i32_add(odd, ec_i32_set(0x7fff)));
    const ec_i32 quiet = ec_i32_or(bits, ec_i32_set(0x400000));
    return ec_f32_bits(ec_f32_select(ec_f32_eq(v, v), ec_i32_as_f32(up), ec_i32_as_f32(quiet)));
}

#if defined(EC_ISA_AVX512) && defined(__AVX512BF16__)
/* acc + a.low * b.low + a.high * b.high; subnormal numbers count as zero here. */
EC_INLINE ec_f32 ec_bf16_dot(ec_f32 acc, ec_i32 a, ec_i32 b) { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }

/* (n + 1) / 2 pairs of n numbers; the last is filled up with zero. */
EC_INLINE void ec_bf16_pairs(uint32_t *pairs, const float *x, size_t n)
{
    size_t i = 0;
    EC_ROLLED
    for (; i + 32 <= n; i += 32)
        _mm512_storeu_si512(pairs + i / 2, (__m512i)_mm512_cvtne2ps_pbh(ec_f32_load(x + i + 16), ec_f32_load(x + i)));
    if (i < n) {
        const size_t low = n - i < 16 ? n - i : 16;
        const ec_f32 a = ec_f32_load_tail(x + i, low), b = ec_f32_load_tail(x + i + low, n - i - low);
        _mm512_mask_storeu_epi32(pairs + i / 2, ec_avx512_first((n - i + 1) / 2), (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
}
#else
EC_INLINE ec_f32 ec_bf16_dot(ec_f32 acc, ec_i32 a, ec_i32 b)
{
    const ec_i32 upper = ec_i32_set((int32_t)0xffff0000u);
    acc = ec_f32_fma(ec_i32_as_f32(ec_i32_shl(a, 16)), ec_i32_as_f32(ec_i32_shl(b, 16)), acc);
    return ec_f32_fma(ec_i32_as_f32(ec_i32_and(a, upper)), ec_i32_as_f32(ec_i32_and(b, upper)), acc);
}

EC_INLINE void ec_bf16_pairs(uint32_t *pairs, const float *x, size_t n)
{
    EC_ROLLED
    for (size_t i = 0; i < n; i += 2) {
        float both[2 * EC_LANES] = {x[i], i + 1 < n ? x[i + 1] : 0.0f}, out[2 * EC_LANES];
        uint32_t bits[2];
        ec_f32_store(out, ec_i32_as_f32(ec_bf16_rounded(ec_f32_load(both))));
        ec_f32_store(out + EC_LANES, ec_i32_as_f32(ec_bf16_rounded(ec_f32_load(both + EC_LANES))));
        __builtin_memcpy(&bits[0], &out[0], sizeof bits[0]);
        __builtin_memcpy(&bits[1], &out[1], sizeof bits[1]);
        pairs[i / 2] = bits[0] >> 16 | (bits[1] & 0xffff0000u);
    }
}
#endif

#endif
