#define _POSIX_C_SOURCE 200112L

#include "model_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* The tasks of a small network are microseconds apart: waiting threads look this often before they go to sleep. */
#define SPINS 20000
#define SPINS_BETWEEN_YIELDS 500
/* Threads take work in small chunks, for they are not always equally fast. */
#define CHUNKS_A_THREAD 4

typedef void task_function(void *argument, size_t begin, size_t end);

/* One task at a time: the caller writes it, raises `generation`, takes chunks as the others do and waits for `pending`
   to become 0. */
typedef struct {
    model_pool pool;
    task_function *task;
    void *argument;
    size_t count;
    atomic_size_t next;
    atomic_size_t generation;
    atomic_size_t pending;
    atomic_size_t sleepers;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t started;
    pthread_t each[];
} workers;

static void pause_briefly(size_t turn)
{
    if (turn % SPINS_BETWEEN_YIELDS == SPINS_BETWEEN_YIELDS - 1)
        sched_yield();
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void do_chunks(workers *all)
{
    size_t count = all->count, chunk = count / (all->pool.threads * CHUNKS_A_THREAD) + 1;
    for (;;) {
        size_t begin = atomic_fetch_add_explicit(&all->next, chunk, memory_order_relaxed);
        if (begin >= count)
            return;
        all->task(all->argument, begin, count - begin < chunk ? count : begin + chunk);
    }
}

static void sleep_while(workers *all, size_t seen)
{
    pthread_mutex_lock(&all->lock);
    atomic_fetch_add(&all->sleepers, 1);
    while (atomic_load(&all->generation) == seen)
        pthread_cond_wait(&all->wake, &all->lock);
    atomic_fetch_sub(&all->sleepers, 1);
    pthread_mutex_unlock(&all->lock);
}

static void wait_for_task(workers *all, size_t seen)
{
    for (size_t turn = 0; turn < SPINS; turn++) {
        if (atomic_load_explicit(&all->generation, memory_order_acquire) != seen)
            return;
        pause_briefly(turn);
    }
    sleep_while(all, seen);
}

static void *work(void *argument)
{
    workers *all = argument;
    for (size_t seen = 0;; seen++) {
        wait_for_task(all, seen);
        if (atomic_load(&all->stop))
            return NULL;
        do_chunks(all);
        atomic_fetch_sub_explicit(&all->pending, 1, memory_order_release);
    }
}

static void wake_all(workers *all)
{
    atomic_fetch_add(&all->generation, 1);
    if (atomic_load(&all->sleepers) == 0)
        return;
    pthread_mutex_lock(&all->lock);
    pthread_cond_broadcast(&all->wake);
    pthread_mutex_unlock(&all->lock);
}

static void parallel_for(void *self, task_function *task, void *argument, size_t count)
{
    workers *all = self;
    all->task = task;
    all->argument = argument;
    all->count = count;
    atomic_store(&all->next, 0);
    atomic_store(&all->pending, all->pool.threads - 1);
    wake_all(all);
    do_chunks(all);
    for (size_t turn = 0; atomic_load_explicit(&all->pending, memory_order_acquire) != 0; turn++)
        pause_briefly(turn);
}

static bool start(workers *all)
{
    while (all->started + 1 < all->pool.threads) {
        if (pthread_create(&all->each[all->started], NULL, work, all) != 0)
            return false;
        all->started++;
    }
    return true;
}

model_pool *model_pool_create(size_t threads)
{
    if (threads == 0 || threads > 1024)
        return NULL;
    workers *all = calloc(1, sizeof *all + (threads - 1) * sizeof all->each[0]);
    if (all == NULL)
        return NULL;
    all->pool.parallel_for = parallel_for;
    all->pool.self = all;
    all->pool.threads = threads;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->wake, NULL);
    if (start(all))
        return &all->pool;
    model_pool_destroy(&all->pool);
    return NULL;
}

void model_pool_destroy(model_pool *pool)
{
    if (pool == NULL)
        return;
    workers *all = pool->self;
    atomic_store(&all->stop, true);
    wake_all(all);
    for (size_t i = 0; i < all->started; i++)
        pthread_join(all->each[i], NULL);
    pthread_cond_destroy(&all->wake);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
