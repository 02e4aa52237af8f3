/* An 8x8 transpose in AVX registers. */
#ifndef EC_SIMD_TRANSPOSE8_H
#define EC_SIMD_TRANSPOSE8_H

#define EC_TRANSPOSE_EDGE 8

/* y[c * y_stride + r] = x[r * x_stride + c] for r, c < EC_TRANSPOSE_EDGE. */
EC_INLINE void ec_f32_transpose(const float *x, ptrdiff_t x_stride, float *y, ptrdiff_t y_stride)
{
    __m256 rows[8], pairs[8], quads[8];
    EC_UNROLL
    for (int i = 0; i < 8; i++)
        rows[i] = _mm256_loadu_ps(x + i * x_stride);
    EC_UNROLL
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    EC_UNROLL
    for (int i = 0; i < 8; i += 4) {
        quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
        quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
        quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
        quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
    }
    EC_UNROLL
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(y + i * y_stride, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20));
        _mm256_storeu_ps(y + (i + 4) * y_stride, _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31));
    }
}

#endif
