/* Runs the models of a batch one after another. `batch.h` tells what they are called and what they take.

     batch IN OUT FIRST    IN holds all inputs, sample after sample, raw. OUT exists: for each sample a status of 8 bytes
                           (0 not run, 1 done, 2 refused by model_run, 3 begun), the sizes that the run found, 8 bytes
                           each, and the outputs. Samples before FIRST are left out, so that a run goes on behind one
                           that died. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int (*run)(const void *const *inputs, void *const *outputs, void *arena, uint64_t *found);
    size_t arena, inputs, outputs, found;
    const size_t *sizes; /* bytes of the inputs, then of the outputs, the most that they may have */
} batch_model;

#include "batch.h"

#define MOST_TENSORS 256
#define ALIGNMENT 64

enum { NOT_RUN, DONE, REFUSED, BEGUN };

static void *memory(size_t bytes)
{
    unsigned char *room = malloc(bytes + 2 * ALIGNMENT);
    if (room == NULL)
        exit(2);
    memset(room, 0xFF, bytes + 2 * ALIGNMENT);
    return room + ALIGNMENT - (uintptr_t)room % ALIGNMENT;
}

static void report(FILE *out, long at, uint64_t status)
{
    if (fseek(out, at, SEEK_SET) != 0 || fwrite(&status, sizeof status, 1, out) != 1 || fflush(out) != 0)
        exit(2);
}

/* Runs a sample whose inputs come next in `in` and whose results belong at `at`; returns where the next one's do. */
static long run_sample(const batch_model *model, FILE *in, FILE *out, long at, int wanted)
{
    void *tensors[MOST_TENSORS] = {NULL};
    const void *const *inputs = (const void *const *)tensors;
    void *const *outputs = tensors + model->inputs;
    for (size_t i = 0; i < model->inputs + model->outputs; i++)
        tensors[i] = memory(model->sizes[i]);
    for (size_t i = 0; i < model->inputs; i++)
        if (fread(tensors[i], 1, model->sizes[i], in) != model->sizes[i])
            exit(2);
    uint64_t *found = memory(model->found * sizeof *found);
    if (wanted) {
        report(out, at, BEGUN);
        report(out, at, model->run(inputs, outputs, memory(model->arena), found) == 0 ? DONE : REFUSED);
    }
    if (fseek(out, at + (long)sizeof(uint64_t), SEEK_SET) != 0)
        exit(2);
    if (wanted ? fwrite(found, sizeof *found, model->found, out) != model->found
               : fseek(out, (long)(model->found * sizeof *found), SEEK_CUR) != 0)
        exit(2);
    for (size_t i = 0; i < model->outputs; i++) {
        size_t bytes = model->sizes[model->inputs + i];
        if (wanted ? fwrite(outputs[i], 1, bytes, out) != bytes : fseek(out, (long)bytes, SEEK_CUR) != 0)
            exit(2);
    }
    return ftell(out);
}

int main(int count, char **words)
{
    FILE *in = count == 4 ? fopen(words[1], "rb") : NULL;
    FILE *out = in != NULL ? fopen(words[2], "r+b") : NULL;
    if (out == NULL)
        return 2;
    size_t first = (size_t)strtoul(words[3], NULL, 10), samples = sizeof batch_samples / sizeof batch_samples[0];
    long at = 0;
    for (size_t i = 0; i < samples; i++)
        at = run_sample(&batch_models[batch_samples[i]], in, out, at, i >= first);
    return fclose(out) == 0 ? 0 : 2;
}
