/* A pool of POSIX threads for model_run_parallel. A program with threads of its own fills in a model_pool itself. */
#ifndef MODEL_POOL_H
#define MODEL_POOL_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Returns a pool of `threads` threads, the caller counted as one of them; NULL if they cannot be had. A pool serves
   one model_run_parallel at a time. */
model_pool *model_pool_create(size_t threads);

/* Ends the threads. NULL is allowed. */
void model_pool_destroy(model_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
