#if defined(__linux__)
#define _GNU_SOURCE /* pthread_setaffinity_np */
#else
#define _POSIX_C_SOURCE 200112L
#endif

#include "model_pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The tasks of a small network are microseconds apart: waiting threads look this often before they go to sleep. */
#define SPINS 20000
#define SPINS_BETWEEN_YIELDS 500
/* A thread takes its own tasks in a few pieces, so that others can take over what is left where it is slow. */
#define PIECES 4
#define LINE 128 /* bytes that are never shared by accident */
#define PAGE 4096

typedef void task_function(void *argument, size_t begin, size_t end);
typedef struct workers workers;

/* One thread with the tasks that are its own: the same ones in every run, so that its caches hold what they read. */
typedef struct {
    alignas(LINE) atomic_size_t next;
    size_t end;
    size_t number;
    workers *all;
    pthread_t thread;
} worker;

/*
 * One job at a time. `state` says which (how many GENERATIONs there were), whether it is OPEN to threads that would join,
 * and how many have joined. The caller opens a job, works on it as the others do, closes it when nothing is left to take
 * and waits for those that joined: a thread that comes too late holds nobody up.
 */
#define OPEN ((size_t)1 << 12)
#define JOINED (OPEN - 1)
#define GENERATION (OPEN << 1)

struct workers {
    model_pool pool;
    task_function *task;
    void *argument;
    size_t spins;
    alignas(LINE) atomic_size_t state;
    alignas(LINE) atomic_size_t sleepers;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t started;
    worker each[];
};

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

/* --- work ------------------------------------------------------------------------------------------------------- */

static void do_pieces(const workers *all, worker *owner)
{
    const size_t end = owner->end;
    size_t begin = atomic_load_explicit(&owner->next, memory_order_relaxed);
    while (begin < end) {
        const size_t piece = (end - begin) / PIECES + 1;
        if (atomic_compare_exchange_weak_explicit(&owner->next, &begin, begin + piece, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            all->task(all->argument, begin, begin + piece);
            begin = atomic_load_explicit(&owner->next, memory_order_relaxed);
        }
    }
}

/* First what is the thread's own, then what others have left. */
static void do_tasks(workers *all, size_t number)
{
    for (size_t i = 0; i < all->pool.threads; i++)
        do_pieces(all, &all->each[(number + i) % all->pool.threads]);
}

/* Whether a job is open that the thread has not seen. */
static bool is_new(size_t state, size_t seen) { return (state & OPEN) != 0 && state / GENERATION != seen; }

static bool join(workers *all, size_t *seen)
{
    size_t state = atomic_load_explicit(&all->state, memory_order_relaxed);
    while (is_new(state, *seen)) {
        if (!atomic_compare_exchange_weak(&all->state, &state, state + 1))
            continue;
        *seen = state / GENERATION;
        return true;
    }
    return false;
}

/* --- waiting ---------------------------------------------------------------------------------------------------- */

static void sleep_while(workers *all, size_t seen)
{
    pthread_mutex_lock(&all->lock);
    atomic_fetch_add(&all->sleepers, 1);
    while (!is_new(atomic_load(&all->state), seen) && !atomic_load(&all->stop))
        pthread_cond_wait(&all->wake, &all->lock);
    atomic_fetch_sub(&all->sleepers, 1);
    pthread_mutex_unlock(&all->lock);
}

static void wait_for_job(workers *all, size_t seen)
{
    for (size_t turn = 0; turn < all->spins; turn++) {
        if (is_new(atomic_load_explicit(&all->state, memory_order_relaxed), seen) || atomic_load(&all->stop))
            return;
        pause_briefly(turn);
    }
    sleep_while(all, seen);
}

static void *work(void *argument)
{
    worker *self = argument;
    workers *all = self->all;
    for (size_t seen = 0; !atomic_load(&all->stop);) {
        wait_for_job(all, seen);
        if (!join(all, &seen))
            continue;
        do_tasks(all, self->number);
        atomic_fetch_sub_explicit(&all->state, 1, memory_order_release);
    }
    return NULL;
}

static void wake_sleepers(workers *all)
{
    if (atomic_load(&all->sleepers) == 0)
        return;
    pthread_mutex_lock(&all->lock);
    pthread_cond_broadcast(&all->wake);
    pthread_mutex_unlock(&all->lock);
}

static void parallel_for(void *self, task_function *task, void *argument, size_t count)
{
    workers *all = self;
    const size_t threads = all->pool.threads;
    all->task = task;
    all->argument = argument;
    for (size_t i = 0; i < threads; i++) {
        atomic_store_explicit(&all->each[i].next, i * count / threads, memory_order_relaxed);
        all->each[i].end = (i + 1) * count / threads;
    }
    atomic_fetch_add(&all->state, GENERATION + OPEN);
    wake_sleepers(all);
    do_tasks(all, 0);
    atomic_fetch_sub(&all->state, OPEN);
    for (size_t turn = 0; (atomic_load_explicit(&all->state, memory_order_acquire) & JOINED) != 0; turn++)
        pause_briefly(turn);
}

/* --- threads ---------------------------------------------------------------------------------------------------- */

static bool bind_thread(pthread_t thread, const int *processor)
{
    if (processor == NULL)
        return true;
#if defined(__linux__)
    if (*processor < 0 || *processor >= CPU_SETSIZE)
        return false;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)*processor, &set);
    return pthread_setaffinity_np(thread, sizeof set, &set) == 0;
#else
    (void)thread;
    return false;
#endif
}

static bool start(workers *all, const int *processors)
{
    for (size_t i = 1; i < all->pool.threads; i++) {
        worker *one = &all->each[i];
        one->number = i;
        one->all = all;
        if (pthread_create(&one->thread, NULL, work, one) != 0)
            return false;
        all->started++;
        if (processors != NULL && !bind_thread(one->thread, &processors[i]))
            return false;
    }
    return bind_thread(pthread_self(), processors);
}

static size_t usual_spins(size_t threads)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors > 0 && threads > (size_t)processors ? 0 : SPINS;
}

model_pool *model_pool_create_with(const model_pool_options *options)
{
    const size_t threads = options->threads;
    if (threads == 0 || threads > MODEL_POOL_MOST_THREADS)
        return NULL;
    void *memory = NULL;
    const size_t bytes = sizeof(workers) + threads * sizeof(worker);
    if (posix_memalign(&memory, LINE, bytes) != 0)
        return NULL;
    workers *all = memset(memory, 0, bytes);
    all->pool.parallel_for = parallel_for;
    all->pool.self = all;
    all->pool.threads = threads;
    all->spins = options->spins != 0 ? options->spins : usual_spins(threads);
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->wake, NULL);
    if (start(all, options->processors))
        return &all->pool;
    model_pool_destroy(&all->pool);
    return NULL;
}

model_pool *model_pool_create(size_t threads)
{
    const model_pool_options options = {.threads = threads};
    return model_pool_create_with(&options);
}

typedef struct {
    char *memory;
    size_t bytes;
} pages;

static void touch(void *argument, size_t begin, size_t end)
{
    const pages *all = argument;
    const size_t stop = end * PAGE < all->bytes ? end * PAGE : all->bytes;
    memset(all->memory + begin * PAGE, 0, stop - begin * PAGE);
}

void model_pool_touch(const model_pool *pool, void *memory, size_t bytes)
{
    pages all = {memory, bytes};
    pool->parallel_for(pool->self, touch, &all, (bytes + PAGE - 1) / PAGE);
}

void model_pool_destroy(model_pool *pool)
{
    if (pool == NULL)
        return;
    workers *all = pool->self;
    atomic_store(&all->stop, true);
    wake_sleepers(all);
    for (size_t i = 0; i < all->started; i++)
        pthread_join(all->each[i + 1].thread, NULL);
    pthread_cond_destroy(&all->wake);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
