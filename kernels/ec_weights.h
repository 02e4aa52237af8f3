/*
 * Weights in fewer bits than they mean. The kernels of floats read them from a buffer on the stack, into which one panel
 * is widened for several tiles if it is small, or a few k of it for one tile; a tile of one pixel widens in registers.
 *
 * EC_W_F16, EC_W_BF16: [panel][k][panel channels], two bytes each. EC_W_S8: bytes in the same order, and EC_W_S4: two k a
 * byte, q + 8, the even one in its low half; both mean (q - zero) * scale, with scale and zero (NULL: 0)
 * [panel][groups][panel channels]. A run of k (see ec_conv_f32.h) is cut where a group ends; in EC_W_S4 each part of it
 * has an even length, the last k being padding where need be.
 */
#ifndef EC_WEIGHTS_H
#define EC_WEIGHTS_H

#include "ec_simd_i8.h"
#include "simd/half.h"

#define EC_W_F32 0
#define EC_W_F16 1
#define EC_W_BF16 2
#define EC_W_S8 3
#define EC_W_S4 4
#define EC_W_PAIRS 5 /* bf16 to multiply by: [panel][run][k / 2][panel channels][2], a run filled up with 0 */

#define EC_WEIGHTS_CHUNK 32    /* k that are widened at once; even */
#define EC_WEIGHTS_VECTORS 8   /* a bound on the vectors of a panel */
#define EC_WEIGHTS_PANEL 16384 /* floats of a panel that is widened once for several tiles */

/* kind, zeros, group, groups and panel must be compile-time constants. */
typedef struct {
    const unsigned char *data;
    const float *scale;
    const int8_t *zero;
    int kind;
    int zeros;            /* whether there are zeros */
    size_t group, groups; /* k that share a scale; how many such groups k has */
    size_t panel;         /* bytes of one panel */
} ec_weights;

EC_INLINE ec_weights ec_weights_f32(const float *w)
{
    return (ec_weights){(const unsigned char *)w, NULL, NULL, EC_W_F32, 0, 0, 0, 0};
}

EC_INLINE int ec_weights_scales(int kind) { return kind == EC_W_S8 || kind == EC_W_S4; }

/* The weights of one panel of `channels` channels. */
EC_INLINE ec_weights ec_weights_panel(ec_weights w, size_t index, size_t channels)
{
    w.data += index * w.panel;
    w.scale = ec_weights_scales(w.kind) ? w.scale + index * w.groups * channels : NULL;
    w.zero = w.zeros ? w.zero + index * w.groups * channels : NULL;
    return w;
}

/* Bytes of n k of a panel. */
EC_INLINE size_t ec_weights_bytes(int kind, size_t n, size_t channels)
{
    if (kind == EC_W_S4)
        return (n + 1) / 2 * channels;
    if (kind == EC_W_PAIRS)
        return (n + 1) / 2 * channels * 4;
    return n * channels * (kind == EC_W_S8 ? 1 : kind == EC_W_F32 ? sizeof(float) : 2);
}

/* q for the q + 8 in the masked bits: in the significand of `base` they count from one, or from 1/16 for the high half. */
EC_INLINE ec_f32 ec_w4_value(ec_i32 bytes, int32_t mask, float base)
{
    const ec_i32 bits = ec_i32_and(bytes, ec_i32_set(mask));
    const ec_f32 shifted = ec_i32_as_f32(ec_i32_or(bits, ec_f32_bits(ec_f32_set(base))));
    return ec_f32_sub(shifted, ec_f32_set(base + 8.0f));
}

#if defined(EC_ISA_AVX512)
/* A permutation looks at the four low bits alone. */
EC_INLINE ec_f32 ec_w4_nibble(ec_i32 bytes, int high)
{
    const __m512 values = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    return _mm512_permutexvar_ps(high ? _mm512_srli_epi32(bytes, 4) : bytes, values);
}
#else
EC_INLINE ec_f32 ec_w4_nibble(ec_i32 bytes, int high)
{
    return high ? ec_w4_value(bytes, 0xf0, 524288.0f) : ec_w4_value(bytes, 0x0f, 8388608.0f);
}
#endif

/* (q - zero) * scale; zero may be NULL if not `zeros` */
EC_INLINE ec_f32 ec_weights_scaled(ec_f32 q, const float *scale, const int8_t *zero, int zeros)
{
    return ec_f32_mul(zeros ? ec_f32_sub(q, ec_f32_load_s8(zero)) : q, ec_f32_load(scale));
}

/* One vector of weights of one k; not for EC_W_S4. */
EC_INLINE ec_f32 ec_weights_value(const unsigned char *data, const float *scale, const int8_t *zero, int kind,
                                  int zeros)
{
    if (kind == EC_W_F32)
        return ec_f32_load((const float *)(const void *)data);
    if (kind == EC_W_S8)
        return ec_weights_scaled(ec_f32_load_s8(data), scale, zero, zeros);
    return kind == EC_W_F16 ? ec_f16_load(data) : ec_bf16_load(data);
}

/* The weights of tap k of a block of EC_LANES channels; not for EC_W_S4. */
EC_INLINE ec_f32 ec_weights_tap(ec_weights w, size_t k)
{
    const size_t at = ec_weights_scales(w.kind) ? k / w.group * EC_LANES : 0;
    return ec_weights_value(w.data + ec_weights_bytes(w.kind, k, EC_LANES), w.scale + at, w.zeros ? w.zero + at : NULL,
                            w.kind, w.zeros);
}

/* n k of one run and one group. */
typedef struct {
    const unsigned char *data;
    const float *scale;
    const int8_t *zero;
    int kind, zeros;
    size_t n;
} ec_weights_part;

/* The part that begins at k of a run, `first` k behind the start of the panel, of at most `most` k; moves w behind it. */
EC_INLINE ec_weights_part ec_weights_next(ec_weights *w, size_t first, size_t k, size_t run, size_t most,
                                          size_t channels)
{
    const size_t group = (first + k) / w->group, end = (group + 1) * w->group - first, at = group * channels;
    const size_t n = ec_min_size(ec_min_size(run, end) - k, most);
    const ec_weights_part part = {
        w->data, ec_weights_scales(w->kind) ? w->scale + at : NULL, w->zeros ? w->zero + at : NULL, w->kind, w->zeros,
        n};
    w->data += ec_weights_bytes(w->kind, n, channels);
    return part;
}

/* Vector v of the weights of k and, if `both`, of k + 1; k is even. */
EC_INLINE void ec_weights_load(ec_f32 *two, ec_weights_part p, size_t k, int v, int both, size_t channels)
{
    const float *scale = ec_weights_scales(p.kind) ? p.scale + v * EC_LANES : NULL;
    const int8_t *zero = p.zeros ? p.zero + v * EC_LANES : NULL;
    const size_t at = (size_t)v * EC_LANES;
    if (p.kind == EC_W_S4) {
        const ec_i32 bytes = ec_i32_load_lanes(p.data + k / 2 * channels + at, EC_U8, EC_LANES);
        two[0] = ec_weights_scaled(ec_w4_nibble(bytes, 0), scale, zero, p.zeros);
        two[1] = ec_weights_scaled(ec_w4_nibble(bytes, 1), scale, zero, p.zeros);
        return;
    }
    const size_t place = ec_weights_bytes(p.kind, 1, k * channels + at);
    two[0] = ec_weights_value(p.data + place, scale, zero, p.kind, p.zeros);
    two[1] =
        both ? ec_weights_value(p.data + place + ec_weights_bytes(p.kind, 1, channels), scale, zero, p.kind, p.zeros)
             : two[0];
}

/* The first nv vectors of the weights of a part, as floats [k][channels]; room for an even number of k. */
EC_INLINE void ec_weights_widen(float *out, ec_weights_part p, int nv, size_t channels)
{
    EC_ROLLED
    for (size_t k = 0; k < p.n; k += 2) {
        EC_UNROLL
        for (int v = 0; v < nv; v++) {
            float *place = out + k * channels + v * EC_LANES;
            ec_f32 two[2];
            ec_weights_load(two, p, k, v, k + 1 < p.n, channels);
            ec_f32_store(place, two[0]);
            ec_f32_store(place + channels, two[1]);
        }
    }
}

/* The same for all runs of a panel. */
EC_INLINE void ec_weights_widen_panel(float *out, ec_weights w, size_t runs, size_t run, int nv, size_t channels)
{
    EC_ROLLED
    for (size_t first = 0; first < runs * run; first += run) {
        EC_ROLLED
        for (size_t k = 0; k < run;) {
            const ec_weights_part part = ec_weights_next(&w, first, k, run, run, channels);
            ec_weights_widen(out + (first + k) * channels, part, nv, channels);
            k += part.n;
        }
    }
}

#endif
