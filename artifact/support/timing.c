/* Times every step of a model where it stands in the network: prints the CPU, then nanoseconds of each step, the least
   of all runs. Usage: timing SECONDS */

#define _POSIX_C_SOURCE 200112L

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model.h"
#include "timing.h"

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* What /proc/cpuinfo says of the first core, line by line behind "cpu ". */
static void print_cpu(void)
{
    char line[4096];
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file) && line[0] != '\n')
        printf("cpu %s", line);
    if (file)
        fclose(file);
}

/* A buffer of floats a little above zero, or of zeros. */
static void *filled(size_t bytes, int floats)
{
    size_t whole = (bytes / MODEL_ALIGNMENT + 1) * MODEL_ALIGNMENT;
    void *raw = malloc(whole + MODEL_ALIGNMENT);
    if (!raw)
        exit(1);
    char *start = (char *)raw + (MODEL_ALIGNMENT - (uintptr_t)raw % MODEL_ALIGNMENT);
    memset(start, 0, whole);
    for (size_t i = 0; floats && i < bytes / 4; i++) {
        float value = (float)((i * 37) % 101) * 0.01f;
        memcpy(start + 4 * i, &value, 4);
    }
    return start;
}

int main(int count, char **arguments)
{
    const double end = now() + 1e9 * (count > 1 ? atof(arguments[1]) : 1.0);
    const void *inputs[MODEL_INPUTS + 1];
    void *outputs[MODEL_OUTPUTS + 1], *arena = filled(MODEL_ARENA_BYTES, 0);
    for (size_t i = 0; i < MODEL_INPUTS; i++)
        inputs[i] = filled(timing_input_bytes[i], timing_input_floats[i]);
    for (size_t i = 0; i < MODEL_OUTPUTS; i++)
        outputs[i] = filled(timing_output_bytes[i], 0);
    const size_t steps = model_steps();
    double *least = filled(steps * sizeof *least, 0);
    for (int run = 0; run < 3 || now() < end; run++) {
        for (size_t step = 0; step < steps; step++) {
            const double start = now();
            if (model_run_step(inputs, outputs, arena, step))
                return 1;
            const double taken = now() - start;
            if (run == 0 || taken < least[step])
                least[step] = taken;
        }
    }
    print_cpu();
    for (size_t step = 0; step < steps; step++)
        printf("step %zu %.0f\n", step, least[step]);
    return 0;
}
