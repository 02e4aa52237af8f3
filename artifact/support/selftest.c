/* Runs the model. Prints one line of JSON; the exit status is 0 if all went well.

     selftest                              on the golden sample, and compares: status 1 if the outputs are not as they were
     selftest run IN OUT COUNT [THREADS]   on COUNT samples; files IN and OUT hold, sample after sample, all inputs
                                           or outputs in order, raw; open sizes stand before them, 8 bytes each
     selftest bench REPETITIONS THREADS [PROCESSORS]
                                           on the last golden sample, and takes the time; PROCESSORS binds the threads,
                                           as 0,2 for two of them (Linux) */

#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#else
#define _POSIX_C_SOURCE 200112L
#endif

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "model.h"
#include "model_pool.h"
#include "selftest.h"

#define FAILED 1
#define BAD_USE 2
#define PAGE 4096

/* --- the golden samples: of each all inputs, then all outputs --------------------------------------------------- */

#define QUOTE(text) #text
#define EXPANDED(text) QUOTE(text)
#define SYMBOL EXPANDED(__USER_LABEL_PREFIX__) "selftest_golden"

#if defined(__APPLE__)
__asm__(".section __TEXT,__const\n.globl " SYMBOL "\n" SYMBOL ":\n.incbin \"golden.bin\"\n.text\n");
#else
__asm__(".pushsection .rodata\n.balign 64\n.globl " SYMBOL "\n" SYMBOL ":\n.incbin \"golden.bin\"\n.popsection\n");
#endif

extern const unsigned char selftest_golden[];

/* --- one set of buffers ----------------------------------------------------------------------------------------- */

typedef struct {
    void *inputs[MODEL_INPUTS + 1];
    void *outputs[MODEL_OUTPUTS + 1];
    void *arena;
    model_pool *pool;
#if defined(MODEL_SIZES)
    model_sizes sizes;
#endif
} session;

/* A model with open sizes has several golden samples, and buffers for the largest sizes. */
#if defined(MODEL_SIZES)
#define SIZES(used) , &(used)->sizes
static size_t bytes_in(const session *used, size_t i) { return model_input_bytes(i, &used->sizes); }
static size_t bytes_out(const session *used, size_t i) { return model_output_bytes(i, &used->sizes); }
static void choose_golden(session *used, size_t sample) { used->sizes = golden_sizes[sample]; }
#else
#define SIZES(used)
#define SELFTEST_SAMPLES 1
static size_t bytes_in(const session *used, size_t i) { return (void)used, input_bytes[i]; }
static size_t bytes_out(const session *used, size_t i) { return (void)used, output_bytes[i]; }
static void choose_golden(session *used, size_t sample) { (void)used, (void)sample; }
#endif

/* The output whose buffer an input shares; MODEL_OUTPUTS where it has its own. */
#if defined(SELFTEST_SHARES)
static size_t shared_output(size_t i) { return output_of[i]; }
#else
static size_t shared_output(size_t i) { return (void)i, MODEL_OUTPUTS; }
#endif

static void *allocate(size_t bytes)
{
    void *memory = NULL;
    if (posix_memalign(&memory, MODEL_ALIGNMENT, bytes > 0 ? bytes : 1) != 0) {
        fprintf(stderr, "selftest: no memory for %zu bytes\n", bytes);
        exit(BAD_USE);
    }
    return memory;
}

/* The arena, its pages there at once: a fault for each in the first run would take longer. */
static void *allocate_arena(void)
{
    void *memory = NULL;
    if (MODEL_ARENA_BYTES < PAGE || posix_memalign(&memory, PAGE, MODEL_ARENA_BYTES) != 0)
        return allocate(MODEL_ARENA_BYTES);
#if defined(MADV_POPULATE_WRITE)
    (void)madvise(memory, MODEL_ARENA_BYTES, MADV_POPULATE_WRITE); /* where the kernel cannot, the faults come later */
#endif
    return memory;
}

/* Reads as many numbers as there are threads: `0,2`. */
static bool read_processors(const char *text, size_t threads, int *processors)
{
    for (size_t i = 0; i < threads; i++) {
        char *end = NULL;
        const long one = strtol(text, &end, 10);
        if (end == text || one < 0 || one > 100000 || *end != (i + 1 < threads ? ',' : '\0'))
            return false;
        processors[i] = (int)one;
        text = end + 1;
    }
    return true;
}

static model_pool *open_pool(size_t threads, const char *places)
{
    int processors[MODEL_POOL_MOST_THREADS];
    if (places == NULL || threads > MODEL_POOL_MOST_THREADS)
        return model_pool_create(threads);
    if (!read_processors(places, threads, processors)) {
        fprintf(stderr, "selftest: '%s' does not name %zu processors, as 0,2 does two\n", places, threads);
        exit(BAD_USE);
    }
    const model_pool_options options = {.threads = threads, .processors = processors};
    return model_pool_create_with(&options);
}

static session open_session(size_t threads, const char *places)
{
    session made;
    memset(&made, 0, sizeof made);
    for (size_t i = 0; i < MODEL_OUTPUTS; i++)
        made.outputs[i] = allocate(output_bytes[i]);
    for (size_t i = 0; i < MODEL_INPUTS; i++)
        made.inputs[i] = shared_output(i) < MODEL_OUTPUTS ? made.outputs[shared_output(i)] : allocate(input_bytes[i]);
    made.arena = allocate_arena();
    made.pool = threads > 1 || places != NULL ? open_pool(threads, places) : NULL;
    if (made.pool == NULL && (threads > 1 || places != NULL)) {
        fprintf(stderr, "selftest: cannot start %zu threads%s\n", threads, places != NULL ? " there" : "");
        exit(BAD_USE);
    }
    return made;
}

static void close_session(session *used)
{
    for (size_t i = 0; i < MODEL_INPUTS; i++)
        if (shared_output(i) == MODEL_OUTPUTS)
            free(used->inputs[i]);
    for (size_t i = 0; i < MODEL_OUTPUTS; i++)
        free(used->outputs[i]);
    free(used->arena);
    model_pool_destroy(used->pool);
}

static void run_model(session *used)
{
    const void *const *inputs = (const void *const *)used->inputs;
    void *const *outputs = (void *const *)used->outputs;
    int status = used->pool != NULL ? model_run_parallel(inputs, outputs, used->arena SIZES(used), used->pool)
                                    : model_run(inputs, outputs, used->arena SIZES(used));
    if (status != 0) {
        fprintf(stderr, "selftest: model_run returned %d\n", status);
        exit(BAD_USE);
    }
}

/* Puts the golden inputs in place and returns where the golden outputs begin. */
static const unsigned char *take_golden_inputs(session *used, const unsigned char *from)
{
    for (size_t i = 0; i < MODEL_INPUTS; from += bytes_in(used, i), i++)
        memcpy(used->inputs[i], from, bytes_in(used, i));
    return from;
}

/* --- comparing -------------------------------------------------------------------------------------------------- */

/* A float of `width` bits (IEEE 754), or one that has no infinity (`finite`). */
static double small_float(unsigned bits, int width, int fraction, int bias, bool finite)
{
    unsigned size = bits & ((1u << (width - 1)) - 1), part = size & ((1u << fraction) - 1);
    int exponent = (int)(size >> fraction), most = (1 << (width - 1 - fraction)) - 1;
    double value = exponent == 0 ? ldexp(part, 1 - bias - fraction)
                                 : ldexp(part + (1u << fraction), exponent - bias - fraction);
    if (exponent == most && !finite)
        value = part != 0 ? (double)NAN : (double)INFINITY;
    return bits >> (width - 1) != 0 ? -value : value;
}

static double narrow_value(unsigned bits, element kind)
{
    switch (kind) {
    case ELEMENT_F16:
        return small_float(bits, 16, 10, 15, false);
    case ELEMENT_BF16:
        return small_float(bits, 16, 7, 127, false);
    case ELEMENT_F8E4M3FN:
        return (bits & 127) == 127 ? (double)NAN : small_float(bits, 8, 3, 7, true);
    case ELEMENT_F8E4M3FNUZ:
        return bits == 128 ? (double)NAN : small_float(bits, 8, 3, 8, true);
    case ELEMENT_F8E5M2:
        return small_float(bits, 8, 2, 15, false);
    case ELEMENT_F8E5M2FNUZ:
        return bits == 128 ? (double)NAN : small_float(bits, 8, 2, 16, true);
    case ELEMENT_F8E8M0:
        return bits == 255 ? (double)NAN : ldexp(1, (int)bits - 127);
    case ELEMENT_F4E2M1:
        return small_float(bits & 15, 4, 1, 1, true);
    case ELEMENT_I4:
        return (int)((bits & 15) ^ 8) - 8;
    case ELEMENT_I2:
        return (int)((bits & 3) ^ 2) - 2;
    default: /* U4 and U2 */
        return bits & (kind == ELEMENT_U4 ? 15u : 3u);
    }
}

#define VALUE_AS(type)                                                                                                 \
    do {                                                                                                               \
        type value;                                                                                                    \
        memcpy(&value, at, sizeof value);                                                                              \
        return (double)value;                                                                                          \
    } while (0)

static double value_at(const void *data, element kind, size_t index)
{
    const unsigned char *at = (const unsigned char *)data + index * element_bytes[kind];
    switch (kind) {
    case ELEMENT_F32:
        VALUE_AS(float);
    case ELEMENT_F64:
        VALUE_AS(double);
    case ELEMENT_I8:
        VALUE_AS(int8_t);
    case ELEMENT_I16:
        VALUE_AS(int16_t);
    case ELEMENT_I32:
        VALUE_AS(int32_t);
    case ELEMENT_I64:
        VALUE_AS(int64_t);
    case ELEMENT_U16:
        VALUE_AS(uint16_t);
    case ELEMENT_U32:
        VALUE_AS(uint32_t);
    case ELEMENT_U64:
        VALUE_AS(uint64_t);
    case ELEMENT_U8:
    case ELEMENT_BOOL:
        return *at;
    default:
        break;
    }
    uint16_t wide = 0;
    memcpy(&wide, at, element_bytes[kind] < sizeof wide ? 1 : sizeof wide);
    return narrow_value(element_bytes[kind] == 1 ? *at : wide, kind);
}

static double distance(double got, double wanted)
{
    if ((isnan(got) && isnan(wanted)) || got == wanted)
        return 0;
    double apart = fabs(got - wanted);
    return isfinite(apart) ? apart : (double)INFINITY;
}

static double largest_finite(const void *data, element kind, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        double size = fabs(value_at(data, kind, i));
        largest = isfinite(size) && size > largest ? size : largest;
    }
    return largest;
}

/* Returns the largest distance, as a part of the largest wanted value. */
static double worst_of(const void *got, const void *wanted, element kind, size_t count)
{
    double worst = 0, largest = largest_finite(wanted, kind, count);
    for (size_t i = 0; i < count; i++)
        worst = fmax(worst, distance(value_at(got, kind, i), value_at(wanted, kind, i)));
    return largest > 0 ? worst / largest : worst;
}

static int compare_golden(void)
{
    session used = open_session(1, NULL);
    const unsigned char *wanted = selftest_golden;
    double worst = 0;
    size_t worst_output = 0;
    for (size_t sample = 0; sample < SELFTEST_SAMPLES; sample++) {
        choose_golden(&used, sample);
        wanted = take_golden_inputs(&used, wanted);
        run_model(&used);
        const session ran = used;
        choose_golden(&used, sample);
        for (size_t i = 0; i < MODEL_OUTPUTS; wanted += bytes_out(&used, i), i++) {
            element kind = output_elements[i];
            double apart = worst_of(used.outputs[i], wanted, kind, bytes_out(&used, i) / element_bytes[kind]);
            if (bytes_out(&ran, i) != bytes_out(&used, i))
                apart = (double)INFINITY;
            worst_output = apart > worst ? i : worst_output;
            worst = fmax(worst, apart);
        }
    }
    close_session(&used);
    bool ok = worst <= SELFTEST_TOLERANCE;
    printf("{\"ok\": %s, \"worst\": ", ok ? "true" : "false");
    if (isfinite(worst))
        printf("%.6g", worst);
    else
        printf("null");
    printf(", \"output\": %zu, \"tolerance\": %g}\n", worst_output, SELFTEST_TOLERANCE);
    return ok ? 0 : FAILED;
}

/* --- memory ----------------------------------------------------------------------------------------------------- */

/* The most memory that the process has had at a time, in KiB; 0 where the system does not say. */
static long peak_kilobytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL)
        return 0;
    char line[256];
    long found = 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmHWM: %ld", &found) == 1)
            break;
    fclose(file);
    return found;
}

/* --- samples from a file ---------------------------------------------------------------------------------------- */

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        perror(path);
        exit(BAD_USE);
    }
    return file;
}

/* The sizes of a run stand before its outputs: it may have found some of them. */
static bool write_sizes(const session *used, FILE *out)
{
#if defined(MODEL_SIZES)
    uint64_t written[MODEL_SIZES];
    for (size_t i = 0; i < MODEL_SIZES; i++)
        written[i] = ((const size_t *)&used->sizes)[i];
    return fwrite(written, sizeof written[0], MODEL_SIZES, out) == MODEL_SIZES;
#else
    (void)used, (void)out;
    return true;
#endif
}

/* Reads the sizes of a sample; the model itself refuses those that are out of bounds before it reads an input. */
static bool read_sizes(session *used, FILE *in)
{
#if defined(MODEL_SIZES)
    uint64_t read[MODEL_SIZES];
    if (fread(read, sizeof read[0], MODEL_SIZES, in) != MODEL_SIZES)
        return false;
    for (size_t i = 0; i < MODEL_SIZES; i++)
        ((size_t *)&used->sizes)[i] = (size_t)read[i];
    for (size_t i = 0; i < MODEL_INPUTS; i++)
        if (bytes_in(used, i) > input_bytes[i])
            return false;
#else
    (void)used, (void)in;
#endif
    return true;
}

static bool run_one(session *used, FILE *in, FILE *out)
{
    if (!read_sizes(used, in))
        return false;
    for (size_t i = 0; i < MODEL_INPUTS; i++)
        if (fread(used->inputs[i], 1, bytes_in(used, i), in) != bytes_in(used, i))
            return false;
    run_model(used);
    if (!write_sizes(used, out))
        return false;
    for (size_t i = 0; i < MODEL_OUTPUTS; i++)
        if (fwrite(used->outputs[i], 1, bytes_out(used, i), out) != bytes_out(used, i))
            return false;
    return true;
}

static int run_samples(const char *in_path, const char *out_path, size_t count, size_t threads)
{
    FILE *in = open_file(in_path, "rb"), *out = open_file(out_path, "wb");
    session used = open_session(threads, NULL);
    size_t done = 0;
    while (done < count && run_one(&used, in, out))
        done++;
    fclose(in);
    bool ok = fclose(out) == 0 && done == count; /* whoever reads them has the outputs now */
    close_session(&used);
    printf("{\"ok\": %s, \"samples\": %zu, \"peak_kb\": %ld}\n", ok ? "true" : "false", done, peak_kilobytes());
    return ok ? 0 : FAILED;
}

/* --- time ------------------------------------------------------------------------------------------------------- */

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int by_size(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

static int bench(size_t repetitions, size_t threads, const char *places)
{
    session used = open_session(threads, places);
    uint64_t *times = allocate(repetitions * sizeof *times);
    const unsigned char *from = selftest_golden;
    for (size_t sample = 0; sample < SELFTEST_SAMPLES; sample++) {
        choose_golden(&used, sample);
        from = take_golden_inputs(&used, from);
        for (size_t i = 0; i < MODEL_OUTPUTS; i++)
            from += bytes_out(&used, i);
    }
    run_model(&used);
    for (size_t i = 0; i < repetitions; i++) {
        uint64_t start = now();
        run_model(&used);
        times[i] = now() - start;
    }
    qsort(times, repetitions, sizeof *times, by_size);
    printf("{\"min_ns\": %llu, \"median_ns\": %llu, \"p95_ns\": %llu, \"repetitions\": %zu, \"threads\": %zu, "
           "\"peak_kb\": %ld}\n",
           (unsigned long long)times[0], (unsigned long long)times[repetitions / 2],
           (unsigned long long)times[repetitions * 95 / 100], repetitions, threads, peak_kilobytes());
    free(times);
    close_session(&used);
    return 0;
}

/* --- the command line ------------------------------------------------------------------------------------------- */

static size_t number(const char *text)
{
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || value == 0 || value > 1000000000) {
        fprintf(stderr, "selftest: '%s' is not a number from 1 to 1000000000\n", text);
        exit(BAD_USE);
    }
    return (size_t)value;
}

int main(int count, char **words)
{
    if (count == 1)
        return compare_golden();
    if ((count == 5 || count == 6) && strcmp(words[1], "run") == 0)
        return run_samples(words[2], words[3], number(words[4]), count == 6 ? number(words[5]) : 1);
    if ((count == 4 || count == 5) && strcmp(words[1], "bench") == 0)
        return bench(number(words[2]), number(words[3]), count == 5 ? words[4] : NULL);
    fprintf(stderr, "usage: selftest [run IN OUT COUNT [THREADS] | bench REPETITIONS THREADS [PROCESSORS]]\n");
    return BAD_USE;
}
