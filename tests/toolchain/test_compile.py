"""Compile and run small programs for every target that this machine has the tools for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgec.errors import ToolchainError
from edgec.targets import get_target, target_names
from edgec.toolchain import WARNING_FLAGS, Compiler, cannot_run, find_compilers, run

HELLO = """#include <stdio.h>
#include "weights.h"
#ifndef {macro}
#error wrong target
#endif
int main(int count, char **words) {{
    printf("%s %s %s\\n", weights, count > 1 ? words[1] : "", __FILE__);
    return count == 3;
}}
"""
WEIGHTS = """    .section .rodata
    .balign 64
    .globl weights
weights:
    .incbin "weights.bin"
    .section .note.GNU-stack,"",%progbits
"""
RUN_TIMEOUT = 60


def project(folder: Path, isa: str = "scalar", weights: bytes = b"seven\0") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hello.c").write_text(HELLO.format(macro=f"EC_ISA_{isa.upper()}"))
    (folder / "weights.h").write_text("extern const char weights[];\n")
    (folder / "weights.S").write_text(WEIGHTS)
    (folder / "weights.bin").write_bytes(weights)
    return [folder / "hello.c", folder / "weights.S"]


def compilers_of(name: str) -> list[Compiler]:
    return list(find_compilers(get_target(name)))


def first_compiler(name: str) -> Compiler:
    found = compilers_of(name)
    return found[0] if found else pytest.skip(f"no compiler for {name}")


PAIRS = [
    pytest.param(compiler, id=f"{name}-{compiler.kind}") for name in target_names() for compiler in compilers_of(name)
]
# zig links a C library of its own, which takes long the first time: there only objects are made.
LINKING = [pair for pair in PAIRS if pair.values[0].kind != "zig"]


@pytest.mark.parametrize("compiler", LINKING)
def test_hello_runs(compiler: Compiler, tmp_path: Path) -> None:
    target = compiler.target
    sources = project(tmp_path / "source", target.isa)
    program = compiler.compile(sources, tmp_path / "hello", "executable", flags=WARNING_FLAGS)
    if cannot_run(target):
        pytest.skip(cannot_run(target))
    result = run(target, program, ["world"], RUN_TIMEOUT)
    assert (result.stdout, result.stderr, result.returncode) == ("seven world hello.c\n", "", 0)
    assert run(target, program, ["a", "b"], RUN_TIMEOUT).returncode == 1


@pytest.mark.parametrize("compiler", PAIRS)
def test_several_sources_become_one_object(compiler: Compiler, tmp_path: Path) -> None:
    sources = project(tmp_path, compiler.target.isa)
    if compiler.native:
        output = compiler.compile(sources, tmp_path / "all.o", "object", flags=WARNING_FLAGS)
    else:
        output = compiler.compile(sources[1:], tmp_path / "weights.o", "object", flags=WARNING_FLAGS)
    assert b"seven\0" in output.read_bytes()
    assert output.read_bytes().startswith(b"\x7fELF")


@pytest.mark.parametrize("compiler", LINKING)
def test_the_bytes_do_not_depend_on_the_place(
    compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    for place in ("one", "a/longer place"):
        sources = project(tmp_path / place, compiler.target.isa)
        monkeypatch.chdir(sources[0].parent)
        relative = [Path(source.name) for source in sources]
        built.append(compiler.compile(relative, tmp_path / place / "out.so", "shared").read_bytes())
    assert built[0] == built[1]
    assert str(tmp_path).encode() not in built[0]


@pytest.mark.parametrize("compiler", [pair for pair in PAIRS if pair.id in ("c-zig", "arm-neon-zig", "armv7-neon-zig")])
def test_zig_objects_hold_no_path_and_no_stale_weights(compiler: Compiler, tmp_path: Path) -> None:
    hello, weights = project(tmp_path, compiler.target.isa)
    code = compiler.compile([hello], tmp_path / "hello.o", "object").read_bytes()
    assert str(tmp_path).encode() not in code
    assert b"__ubsan" not in code
    for content in (b"seven\0", b"eight\0"):
        (tmp_path / "weights.bin").write_bytes(content)
        assert content in compiler.compile([weights], tmp_path / "weights.o", "object").read_bytes()


def test_an_error_shows_the_command_and_the_messages_and_leaves_the_output(tmp_path: Path) -> None:
    compiler = first_compiler("host")
    source = tmp_path / "bad.c"
    source.write_text("int f(void) { return undeclared_name; }\n")
    output = tmp_path / "bad.o"
    output.write_bytes(b"old")
    with pytest.raises(ToolchainError) as caught:
        compiler.compile([source], output, "object")
    text = str(caught.value)
    assert "could not compile 'bad.c' (exit status 1)" in text
    assert f"-c {source}" in text
    assert "undeclared_name" in text
    assert output.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.c", "bad.o"]


def test_sanitizers_stop_at_the_first_fault(tmp_path: Path) -> None:
    compiler = next((one for one in compilers_of("c") if one.kind == "gcc"), None)
    if compiler is None:
        pytest.skip("no gcc")
    source = tmp_path / "overflow.c"
    source.write_text("int main(int n, char **w) { (void)w; int big = 0x7fffffff; return (big + n) != 0; }\n")
    try:
        program = compiler.compile([source], tmp_path / "overflow", "executable", sanitize=True)
    except ToolchainError as error:
        pytest.skip(f"no sanitizer runtime: {error.what}")
    result = run(compiler.target, program)
    assert not result.ok
    assert "signed integer overflow" in result.stderr


@pytest.mark.parametrize("compiler", [pair for pair in PAIRS if not pair.values[0].native][:1])
def test_sanitizers_are_native_only(compiler: Compiler, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="cannot build with sanitizers"):
        compiler.compile(project(tmp_path), tmp_path / "x", "executable", sanitize=True)


@pytest.mark.parametrize("kind", ["library", ""])
def test_unknown_kinds_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kind is"):
        first_compiler("host").compile([tmp_path / "x.c"], tmp_path / "x", kind)


def test_a_dot_product_needs_a_cpu_that_has_it(tmp_path: Path) -> None:
    if shutil.which("aarch64-linux-gnu-gcc") is None or cannot_run(get_target("arm-neon")):
        pytest.skip("no cross compiler or emulator for aarch64")
    source = tmp_path / "dot.c"
    source.write_text(
        "#include <arm_neon.h>\nint main(int n, char **w) { (void)w;"
        " int8x16_t v = vdupq_n_s8((signed char)n); return vgetq_lane_s32(vdotq_s32(vdupq_n_s32(0), v, v), 0) - 4; }\n"
    )
    dot = get_target("arm-neon-dot")
    program = first_compiler(dot.name).compile([source], tmp_path / "dot", "executable")
    assert run(dot, program).ok
    if get_target("host").arch != "aarch64":
        assert run(get_target("arm-neon"), program).illegal_instruction
