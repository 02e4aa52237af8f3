/* A pool of POSIX threads for model_run_parallel. A program with threads of its own fills in a model_pool itself. */
#ifndef MODEL_POOL_H
#define MODEL_POOL_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MODEL_POOL_MOST_THREADS 1024

typedef struct {
    size_t threads;        /* the caller counts as one of them; 1 to MODEL_POOL_MOST_THREADS */
    size_t spins;          /* how often a thread without work looks for some before it sleeps; 0: the pool decides */
    const int *processors; /* one for each thread, to which it is bound, the first for the caller; NULL binds none */
} model_pool_options;

/* Returns a pool; NULL if the threads cannot be had or not be bound (only Linux can). A pool serves one
   model_run_parallel at a time. More threads than processors work, but do not spin: they sleep at once. */
model_pool *model_pool_create_with(const model_pool_options *options);

/* The same, with nothing chosen but the number of threads. */
model_pool *model_pool_create(size_t threads);

/* Fills memory with zeros, each thread the part on which it usually works: on machines with several memories the pages
   of a fresh arena then lie near the threads that use them. */
void model_pool_touch(const model_pool *pool, void *memory, size_t bytes);

/* Ends the threads. NULL is allowed. */
void model_pool_destroy(model_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
