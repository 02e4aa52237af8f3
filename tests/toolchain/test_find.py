"""Which compiler and emulator are taken, and what is said when there is none."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from edgec.errors import ToolchainError
from edgec.targets import get_target, host, target_names
from edgec.toolchain import Run, cannot_run, describe, emulator, find, find_compiler, find_compilers, run, table

needs_zig = pytest.mark.skipif(not find.zig_command(), reason="no ziglang")
foreign_arm = pytest.mark.skipif(host().arch == "armv7", reason="armv7 is native here")


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any compiler or emulator."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("EDGEC_CC", raising=False)
    monkeypatch.setattr(find.importlib.util, "find_spec", lambda name: None)


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize("name", target_names())
def test_a_missing_compiler_says_what_to_install(name: str) -> None:
    with pytest.raises(ToolchainError) as caught:
        find_compiler(get_target(name))
    lines = str(caught.value).splitlines()
    assert lines[0] == f"error: no C compiler for target '{name}'"
    assert lines[1].startswith("  at searched PATH for ")
    assert lines[2].startswith("  hint: pip install ziglang, or apt-get install gcc")


@foreign_arm
@pytest.mark.usefixtures("bare_machine")
def test_a_missing_cross_compiler_is_named() -> None:
    with pytest.raises(ToolchainError, match="apt-get install gcc-arm-linux-gnueabihf"):
        find_compiler(get_target("armv7-neon"))
    with pytest.raises(ToolchainError, match="no compiler 'gcc' for target 'armv7-neon'"):
        find_compiler(get_target("armv7-neon"), "gcc")


@foreign_arm
@pytest.mark.usefixtures("bare_machine")
def test_a_missing_emulator_says_what_to_install() -> None:
    target = get_target("armv7-neon")
    result = run(target, Path("program"))
    assert not result.ok
    assert result.not_run.startswith(f"not run: this machine is {host().arch}, not armv7")
    assert result.not_run.endswith("there is no qemu-arm (apt-get install qemu-user)")


@pytest.mark.usefixtures("bare_machine")
def test_describe_lists_what_is_missing() -> None:
    text = table(describe(["c", "armv7-neon"]))
    assert "c: no C compiler for target 'c': pip install ziglang" in text
    assert "armv7-neon: no C compiler" in text


def test_describe_names_every_target() -> None:
    lines = table(describe()).splitlines()
    assert lines[0].split() == ["target", "isa", "compiler", "runs"]
    assert [line.split()[0] for line in lines[1 : 1 + len(target_names())]] == list(target_names())


def test_a_cpu_without_the_feature_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = dataclasses.replace(host(), arch="x86_64", features=frozenset({"sse2", "avx", "avx2", "fma"}))
    monkeypatch.setattr(emulator, "host", lambda: poor)
    monkeypatch.setattr(find, "host", lambda: poor)
    assert cannot_run(get_target("x86-64-v4")).startswith("not run: this CPU lacks f16c, bmi1, bmi2, movbe, avx512f")
    assert cannot_run(get_target("x86-64")) == ""


def test_a_wish_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_CC", "no-such-compiler -x")
    with pytest.raises(ToolchainError, match="no compiler 'no-such-compiler -x' for target 'host'"):
        find_compiler(get_target("host"))


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEC_CC", "no-such-compiler")
    native = find_compilers(get_target("host"))[0]
    assert find_compiler(get_target("host"), native.kind).kind == native.kind


@needs_zig
def test_zig_serves_every_target() -> None:
    for name in target_names():
        compiler = find_compiler(get_target(name), "zig")
        assert compiler.kind == "zig"
        assert compiler.version.startswith("zig 0.")


@needs_zig
@pytest.mark.skipif(host().arch != "x86_64", reason="counts on a foreign aarch64")
def test_zig_links_for_one_cpu_and_compiles_for_the_exact_one() -> None:
    compiler = find_compiler(get_target("arm-neon-dot"), "zig")
    assert "-mcpu=cortex_a76" in compiler.compile_command()
    assert "-mcpu=cortex_a72" in compiler.link_command()
    assert "-mcpu=cortex_a76" not in compiler.link_command()
    assert "aarch64-linux-musl" in compiler.link_command(static=True)


@pytest.mark.skipif(shutil.which("gcc") is None or host().arch != "x86_64", reason="needs a gcc for x86")
def test_a_compiler_for_another_machine_is_refused() -> None:
    with pytest.raises(ToolchainError, match=r"makes code for x86_64-\S+, target 'arm-neon' is aarch64"):
        find_compiler(get_target("arm-neon"), str(shutil.which("gcc")))


def test_a_program_that_is_no_compiler_is_refused() -> None:
    command = shutil.which("true")
    if command is None:
        pytest.skip("no 'true' here")
    with pytest.raises(ToolchainError, match="is it a C compiler"):
        find_compiler(get_target("host"), command)


@pytest.mark.skipif(os.name != "posix", reason="writes a shell script")
def test_a_program_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    script = tmp_path / "loop"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    with pytest.raises(ToolchainError, match=r"no end after 0\.2 seconds"):
        run(get_target("c"), script, timeout=0.2)


def test_a_run_that_was_not_started_is_not_ok() -> None:
    assert not Run(("x",), not_run="not run: no emulator").ok
    assert Run(("x",), 0).ok
