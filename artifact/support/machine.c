/* What a machine can do at most: sums of products in registers, and bytes through vectors. */
#include "kernels/ec_simd_i8.h"

#if EC_REGISTERS >= 32
#define SUMS 16
#else
#define SUMS 10
#endif

float machine_fma(const float *x, size_t rounds);
int32_t machine_dot(const uint8_t *x, const int8_t *w, size_t rounds);
size_t machine_fma_products(void);
size_t machine_dot_products(void);
void machine_copy(float *y, const float *a, const float *b, size_t n, size_t times);
void machine_scale(float *y, const float *a, const float *b, size_t n, size_t times);
void machine_add(float *y, const float *a, const float *b, size_t n, size_t times);
void machine_triad(float *y, const float *a, const float *b, size_t n, size_t times);
void machine_update(float *y, const float *a, const float *b, size_t n, size_t times);

/* Products of one round. */
size_t machine_fma_products(void) { return (size_t)SUMS * EC_LANES; }
size_t machine_dot_products(void) { return (size_t)SUMS * EC_LANES * 4; }

/* Floats: sums[i] += x[0] * x[i]. */
float machine_fma(const float *x, size_t rounds)
{
    const ec_f32 a = ec_f32_load_same(x), b = ec_f32_load_same(x + 1);
    ec_f32 sums[SUMS];
    EC_UNROLL
    for (int i = 0; i < SUMS; i++)
        sums[i] = ec_f32_load_same(x + i);
    EC_ROLLED
    for (size_t round = 0; round < rounds; round++) {
        EC_UNROLL
        for (int i = 0; i < SUMS; i++)
            sums[i] = ec_f32_fma(a, b, sums[i]);
    }
    EC_UNROLL
    for (int i = 1; i < SUMS; i++)
        sums[0] = ec_f32_add(sums[0], sums[i]);
    return ec_f32_reduce_add(sums[0]);
}

/* Bytes, four products to a sum, the same in all groups. */
int32_t machine_dot(const uint8_t *x, const int8_t *w, size_t rounds)
{
    ec_i8_x inputs[EC_I8_PARTS];
    ec_i8_w weights[EC_I8_PARTS];
    ec_i32 sums[SUMS];
    uint32_t four;
    int32_t lanes[EC_LANES];
    memcpy(&four, x, 4);
    EC_UNROLL
    for (int part = 0; part < EC_I8_PARTS; part++) {
        inputs[part] = ec_i8_inputs(four, EC_U8, part);
        weights[part] = ec_i8_weights(w, part);
    }
    EC_UNROLL
    for (int i = 0; i < SUMS; i++)
        sums[i] = ec_i32_set(i);
    EC_ROLLED
    for (size_t round = 0; round < rounds; round++) {
        EC_UNROLL
        for (int i = 0; i < SUMS; i++) {
            EC_UNROLL
            for (int part = 0; part < EC_I8_PARTS; part++)
                sums[i] = ec_i8_dot(sums[i], inputs[part], weights[part]);
        }
    }
    EC_UNROLL
    for (int i = 1; i < SUMS; i++)
        sums[0] = ec_i32_add(sums[0], sums[i]);
    memcpy(lanes, &sums[0], sizeof lanes);
    return lanes[0];
}

/* Streams of n floats, some times over; n is a multiple of four vectors. */
#define STREAM(name, expression)                                                                                       \
    void machine_##name(float *y, const float *a, const float *b, size_t n, size_t times)                              \
    {                                                                                                                  \
        const ec_f32 factor = ec_f32_set(0.5f);                                                                        \
        (void)factor, (void)a, (void)b;                                                                                \
        for (; times > 0; times--) {                                                                                   \
            EC_ROLLED                                                                                                  \
            for (size_t first = 0; first < n; first += 4 * EC_LANES) {                                                 \
                EC_UNROLL                                                                                              \
                for (size_t i = first; i < first + 4 * EC_LANES; i += EC_LANES)                                        \
                    ec_f32_store(y + i, expression);                                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }
STREAM(copy, ec_f32_load(a + i))
STREAM(scale, ec_f32_mul(factor, ec_f32_load(a + i)))
STREAM(add, ec_f32_add(ec_f32_load(a + i), ec_f32_load(b + i)))
STREAM(triad, ec_f32_fma(factor, ec_f32_load(b + i), ec_f32_load(a + i)))
STREAM(update, ec_f32_mul(factor, ec_f32_load(y + i)))
