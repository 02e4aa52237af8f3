/*
 * The vector layer for 8-bit values, beside that of floats: the same meaning, and the same bits, on every ISA.
 *
 * Sums of products: x comes in groups of four bytes, w as [EC_LANES][4] bytes. A group is multiplied in EC_I8_PARTS
 * steps; part p of the EC_LANES results adds to sums[p % EC_I8_SUMS], and ec_i8_total joins the sums.
 * Where the ISA multiplies one signedness of x only, ec_i8_inputs shifts x by EC_I8_OFFSET_U8 or EC_I8_OFFSET_S8:
 * the caller must have subtracted offset * sum(w) from its bias. Everything is exact; nothing saturates.
 *
 * ec_f32_store_u8 and _s8 round half to even; the rounded values must be in range.
 * ec_b8 holds EC_BYTES bytes.
 */
#ifndef EC_SIMD_I8_H
#define EC_SIMD_I8_H

#include "ec_simd.h"
#include "ec_simd_i16.h"

#include <float.h>
#include <string.h>

#if FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2 || defined(__FAST_MATH__)
#error "8-bit networks need every operation rounded to float: no -ffast-math, and on 32-bit x86 -msse2 -mfpmath=sse"
#endif

#define EC_U8 0
#define EC_S8 1
#define EC_F32 2
#define EC_S16 3

#if defined(EC_ISA_AVX512)
#include "simd/i8_avx512.h"
#elif defined(EC_ISA_AVX2)
#include "simd/i8_avx2.h"
#elif defined(EC_ISA_SSE2)
#include "simd/i8_sse2.h"
#elif defined(EC_ISA_NEON)
#include "simd/i8_neon.h"
#elif defined(EC_ISA_SCALAR)
#include "simd/i8_scalar.h"
#endif

#include "simd/i8_derived.h"

#endif
