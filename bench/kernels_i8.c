/* Times the 8-bit kernels listed in cases_i8.inc (written by kernels_i8.py): the least of several runs, in nanoseconds. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ec_conv_i8.h"
#include "ec_depthwise_i8.h"
#include "ec_pool_i8.h"
#include "ec_table_i8.h"

typedef struct {
    const uint8_t *x;
    const int8_t *w;
    const int16_t *w16;
    const int32_t *bias;
    const float *scale;
    uint8_t *y;
} buffers;

/* What generated code does to one result of a layer with one scale per channel and a fused relu. */
EC_INLINE ec_f32 requantize(ec_f32 value, const void *context, size_t n, size_t h, size_t w, size_t c, size_t lanes)
{
    const float *scale = context;
    (void)n, (void)h, (void)w;
    value = ec_f32_round(ec_f32_mul(value, ec_f32_load_lanes(scale + c, lanes)));
    return ec_f32_min(ec_f32_max(value, ec_f32_set(0.0f)), ec_f32_set(255.0f));
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Without this a compiler that sees that nobody reads y deletes the work that is to be timed. */
static void keep(const buffers *b) { __asm__ volatile("" : : "r"(b), "r"(b->y) : "memory"); }

static __attribute__((noinline)) double least(void (*run)(const buffers *), const buffers *b)
{
    double best = 1e30, end = now() + 2e8;
    for (int i = 0; i < 5 || now() < end; i++) {
        double start = now();
        keep(b);
        run(b);
        keep(b);
        double time = now() - start;
        best = time < best ? time : best;
    }
    return best;
}

/* Hides from the compiler that x is the same as before: else it multiplies once and only adds for each sum. */
#if defined(EC_ISA_AVX512)
#define OPAQUE(x) __asm__ volatile("" : "+v"(x))
#elif defined(EC_ISA_SCALAR)
#define OPAQUE(x) __asm__ volatile("" : "+r"((x).at[0]), "+r"((x).at[1]), "+r"((x).at[2]), "+r"((x).at[3]))
#else
#define OPAQUE(x) __asm__ volatile("" : "+x"(x))
#endif

#define CHAINS (EC_I8_PARTS == 1 ? 10 : 6) /* enough for the latency, few enough for sixteen registers */

/* Independent chains of products in registers: what the core can do at most. */
static void peak(const buffers *b)
{
    ec_i32 sums[CHAINS];
    EC_UNROLL
    for (int i = 0; i < CHAINS; i++)
        sums[i] = ec_i32_set(i);
    ec_i8_x x = ec_i8_inputs(ec_i8_four(b->x, 4), EC_U8, 0);
    const ec_i8_w w = ec_i8_weights(b->w, 0);
    EC_ROLLED
    for (int k = 0; k < 100000; k++) {
        EC_UNROLL
        for (int i = 0; i < CHAINS; i++) {
            OPAQUE(x);
            sums[i] = EC_I8_DOT_OF(sums[i], x, w, EC_U8);
        }
    }
    /* Not unrolled, this loop would keep the sums in memory. */
    EC_UNROLL
    for (int i = 0; i < CHAINS; i++)
        ec_f32_store((float *)(void *)b->y + i * EC_LANES, ec_i32_to_f32(sums[i]));
}

#define CASE(index, kernel, ...)                                                                                       \
    static void case_##index(const buffers *b)                                                                         \
    {                                                                                                                  \
        static const ec_conv_shape s = __VA_ARGS__;                                                                    \
        (void)s;                                                                                                       \
        kernel;                                                                                                        \
    }
#include "cases_i8.inc"
#undef CASE

static void *filled(size_t size)
{
    uint8_t *p = aligned_alloc(64, size);
    for (size_t i = 0; p && i < size; i++)
        p[i] = (uint8_t)(i % 17);
    return p;
}

int main(void)
{
    const size_t size = (size_t)16 << 20;
    buffers b = {filled(size), filled(size), filled(size), filled(size), NULL, filled(size)};
    float *scale = filled(size);
    if (!b.x || !b.w || !b.w16 || !b.bias || !b.y || !scale)
        return 1;
    for (size_t i = 0; i < size / sizeof *scale; i++)
        scale[i] = 1e-4f;
    b.scale = scale;
    printf("peak %.0f %.0f\n", least(peak, &b), (double)CHAINS * EC_LANES * 8 / EC_I8_PARTS * 100000);
#define CASE(index, kernel, ...) printf("%d %.0f\n", index, least(case_##index, &b));
#include "cases_i8.inc"
    return 0;
}
