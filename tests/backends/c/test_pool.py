"""The pool of threads that comes with an artifact: every task once, on any number of threads, awake or asleep."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgec.ir import Graph, TensorType, f32
from edgec.ir.ops import Relu
from edgec.toolchain import Compiler

from .harness import compiler_for
from .test_artifact import files

PROGRAM = r"""
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model_pool.h"

#define MOST 67
#define EXPECT(condition) do { if (!(condition)) { printf("not so: %s\n", #condition); exit(1); } } while (0)

static atomic_int done[MOST];

static void task(void *argument, size_t begin, size_t end)
{
    EXPECT(argument == (void *)done && begin < end && end <= MOST);
    for (size_t i = begin; i < end; i++)
        atomic_fetch_add(&done[i], 1);
}

static void check(const model_pool *pool, size_t count)
{
    memset((void *)done, 0, sizeof done);
    pool->parallel_for(pool->self, task, (void *)done, count);
    for (size_t i = 0; i < MOST; i++)
        EXPECT(atomic_load(&done[i]) == (i < count ? 1 : 0));
}

static void sleep_briefly(void)
{
    const struct timespec time = {.tv_nsec = 2000000};
    nanosleep(&time, NULL);
}

static void check_threads(size_t threads, size_t spins)
{
    const model_pool_options options = {.threads = threads, .spins = spins};
    model_pool *pool = model_pool_create_with(&options);
    EXPECT(pool != NULL && pool->threads == threads);
    for (size_t turn = 0; turn < 20; turn++)
        for (size_t count = 0; count <= MOST; count += 1 + turn % 3)
            check(pool, count);
    for (size_t turn = 0; turn < 3; turn++) { /* the threads are asleep by now */
        sleep_briefly();
        check(pool, MOST);
    }
    unsigned char memory[10000];
    memset(memory, 1, sizeof memory);
    model_pool_touch(pool, memory, sizeof memory - 1);
    for (size_t i = 0; i < sizeof memory - 1; i++)
        EXPECT(memory[i] == 0);
    EXPECT(memory[sizeof memory - 1] == 1);
    model_pool_destroy(pool);
}

int main(void)
{
    for (size_t threads = 1; threads <= 5; threads++) {
        check_threads(threads, 0);
        check_threads(threads, 1);
    }
    EXPECT(model_pool_create(0) == NULL);
    EXPECT(model_pool_create((size_t)-1) == NULL);
    EXPECT(model_pool_create(MODEL_POOL_MOST_THREADS + 1) == NULL);
    const int nowhere[] = {-1, -1}, far[] = {0, 1000000};
    EXPECT(model_pool_create_with(&(model_pool_options){.threads = 2, .processors = nowhere}) == NULL);
    EXPECT(model_pool_create_with(&(model_pool_options){.threads = 2, .processors = far}) == NULL);
    model_pool_destroy(NULL);
    printf("ok\n");
    return 0;
}
"""


def program(folder: Path, compiler: Compiler, *flags: str) -> Path:
    """The program above beside a pool."""
    graph = Graph("tiny")
    graph.set_outputs([graph.add(Relu(graph.input(TensorType(f32, (4,)), "x")))], ["y"])
    artifact = files(graph, folder)
    (artifact / "check.c").write_text(PROGRAM, encoding="utf-8")
    command = [*compiler.compile_command(), "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-Werror", *flags, "-I."]
    done = subprocess.run(
        [*command, "check.c", "model_pool.c", "-o", "check", "-lpthread"], cwd=artifact, capture_output=True, text=True
    )
    if "-fsanitize=thread" in flags and "tsan" in done.stderr:
        pytest.skip("the thread sanitizer is not installed")
    assert done.returncode == 0, done.stderr
    return artifact / "check"


@pytest.mark.parametrize("flags", [(), ("-fsanitize=thread",)], ids=["plain", "sanitized"])
def test_every_task_is_done_once(tmp_path: Path, flags: tuple[str, ...]) -> None:
    done = subprocess.run([program(tmp_path, compiler_for("host"), *flags)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("ok\n", "", 0)


def test_one_slow_thread_holds_nobody_up(tmp_path: Path) -> None:
    """Threads that cannot run, here because all are bound to one processor, leave their tasks to the caller."""
    compiler = compiler_for("host")
    bound = PROGRAM.replace("int main(void)\n{", "int main(void)\n{\n    BOUND;\n    return 0;", 1)
    body = (
        "const int same[] = {0, 0}; "
        "model_pool *pool = model_pool_create_with(&(model_pool_options){.threads = 2, .processors = same}); "
        "EXPECT(pool != NULL); for (int i = 0; i < 1000; i++) check(pool, 2); model_pool_destroy(pool); "
        'printf("ok\\n")'
    )
    folder = program(tmp_path, compiler).parent
    (folder / "check.c").write_text(bound.replace("BOUND;", f"{body};"), encoding="utf-8")
    command = [*compiler.compile_command(), "-D_DEFAULT_SOURCE", "-I.", "check.c", "model_pool.c", "-o", "check"]
    subprocess.run([*command, "-lpthread"], cwd=folder, check=True)
    done = subprocess.run([folder / "check"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "ok\n"
