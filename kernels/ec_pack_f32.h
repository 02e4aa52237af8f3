/* Packs a matrix that is known only at run time into the panels that ec_conv_f32 reads as weights. */
#ifndef EC_PACK_F32_H
#define EC_PACK_F32_H

#include "ec_transpose_f32.h"

/* One panel of which the first `valid` columns exist; the rest becomes zero. */
EC_INLINE void ec_pack_panel_f32(const float *b, float *packed, size_t k, size_t valid, ptrdiff_t b_k, ptrdiff_t b_n,
                                 size_t panel)
{
    if (b_k == 1 && b_n != 1) {
        ec_transpose_f32(b, packed, valid, k, b_n, (ptrdiff_t)panel, 0, ec_transpose_f32_tasks(valid));
        for (size_t row = 0; valid < panel && row < k; row++)
            for (size_t column = valid; column < panel; column++)
                packed[row * panel + column] = 0.0f;
        return;
    }
    for (size_t row = 0; row < k; row++) {
        const float *from = b + (ptrdiff_t)row * b_k;
        for (size_t column = 0; column < panel; column += EC_LANES) {
            const float *at = from + (ptrdiff_t)column * b_n;
            ec_f32 value = ec_f32_set(0.0f);
            if (column + EC_LANES <= valid)
                value = b_n == 1 ? ec_f32_load(at) : ec_f32_load_strided(at, b_n);
            else if (column < valid)
                value = ec_f32_load_strided_tail(at, b_n, valid - column);
            ec_f32_store(packed + row * panel + column, value);
        }
    }
}

/* packed[panel][k][nv * EC_LANES] of b[k * b_k + n * b_n], with zeros beyond the last column. */
EC_INLINE void ec_pack_panels_f32(const float *b, float *packed, size_t k, size_t n, ptrdiff_t b_k, ptrdiff_t b_n,
                                  int nv)
{
    const size_t panel = (size_t)nv * EC_LANES;
    for (size_t first = 0; first < n; first += panel)
        ec_pack_panel_f32(b + (ptrdiff_t)first * b_n, packed + first * k, k, ec_min_size(panel, n - first), b_k, b_n,
                          panel);
}

#endif
