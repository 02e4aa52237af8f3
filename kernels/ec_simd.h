/*
 * The vector layer: one small list of operations that every ISA header defines with the same meaning.
 * All of them give the same bits on every ISA, except that ec_f32_fma rounds twice where the ISA has no fused
 * multiply-add, and that vector arithmetic of ARMv7 flushes subnormals to zero.
 */
#ifndef EC_SIMD_H
#define EC_SIMD_H

#include "ec_common.h"

#if defined(EC_ISA_AVX512)
#include "simd/avx512.h"
#elif defined(EC_ISA_AVX2)
#include "simd/avx2.h"
#elif defined(EC_ISA_SSE2)
#include "simd/sse2.h"
#elif defined(EC_ISA_NEON)
#include "simd/neon.h"
#elif defined(EC_ISA_SCALAR)
#include "simd/scalar.h"
#else
#error "define one of EC_ISA_SCALAR EC_ISA_SSE2 EC_ISA_AVX2 EC_ISA_AVX512 EC_ISA_NEON"
#endif

#include "simd/derived.h"

#endif
