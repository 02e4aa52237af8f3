/* Times the kernels listed in cases.inc (written by kernels.py): the least of several runs, in nanoseconds. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ec_conv_f32.h"
#include "ec_depthwise_f32.h"
#include "ec_pool_f32.h"
#include "ec_winograd_f32.h"

typedef struct {
    const float *x, *w, *bias;
    float *y, *scratch;
} buffers;

EC_INLINE ec_f32 relu(ec_f32 value, const void *context, size_t n, size_t h, size_t w, size_t c, size_t lanes)
{
    (void)context, (void)n, (void)h, (void)w, (void)c, (void)lanes;
    return ec_f32_max(ec_f32_set(0.0f), value);
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

/* Independent chains of fma in registers: what the core can do at most. */
static void peak(const buffers *b)
{
    ec_f32 sums[12], one = ec_f32_load(b->x), other = ec_f32_load(b->w);
    EC_UNROLL
    for (int i = 0; i < 12; i++)
        sums[i] = ec_f32_set((float)i);
    EC_ROLLED
    for (int k = 0; k < 100000; k++) {
        EC_UNROLL
        for (int i = 0; i < 12; i++)
            sums[i] = ec_f32_fma(one, sums[i], other);
    }
    for (int i = 0; i < 12; i++)
        ec_f32_store(b->y + i * EC_LANES, sums[i]);
}

#define CASE(index, kernel, ...)                                                                                       \
    static void case_##index(const buffers *b)                                                                         \
    {                                                                                                                  \
        static const ec_conv_shape s = __VA_ARGS__;                                                                    \
        kernel;                                                                                                        \
    }
#include "cases.inc"
#undef CASE

static float *filled(size_t size)
{
    float *p = aligned_alloc(64, (size * sizeof *p + 4095) / 4096 * 4096);
    for (size_t i = 0; p && i < size; i++)
        p[i] = (float)(i % 17) * 0.01f;
    return p;
}

int main(void)
{
    const size_t size = (size_t)16 << 20;
    buffers b = {filled(size), filled(size + size / 4), filled(size), filled(size), filled(size)};
    if (!b.x || !b.w || !b.bias || !b.y || !b.scratch)
        return 1;
    printf("peak %.0f %.0f\n", least(peak, &b), 12.0 * EC_LANES * 2 * 100000);
#define CASE(index, kernel, ...) printf("%d %.0f\n", index, least(case_##index, &b));
#include "cases.inc"
    return 0;
}
