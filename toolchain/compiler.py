"""One compiler, set up for one target: sources in, an object, library or program out."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToolchainError
from ..targets import Target
from .process import check, execute

WARNING_FLAGS = ("-Wall", "-Wextra", "-Werror")
SANITIZE_FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1", "-O1")
KINDS = ("object", "shared", "executable")
_PIC_FLAGS = ("-fPIC", "-fno-semantic-interposition")


@dataclass(frozen=True)
class Compiler:
    """A C compiler for a target.

    `kind` is gcc, clang or zig; `argv` the start of every command; `native` whether the target's
    architecture is this machine's.
    """

    kind: str
    argv: tuple[str, ...]
    version: str
    target: Target
    native: bool

    def compile(
        self,
        sources: Sequence[Path],
        output: Path,
        kind: str = "shared",
        include: Sequence[Path] = (),
        flags: Sequence[str] = (),
        link: Sequence[str] = ("-lm",),
        sanitize: bool = False,
        timeout: float = 600.0,
    ) -> Path:
        """Compile C and assembly `sources` into `output` and return it; objects among them are linked as they are.

        `kind` is object (several sources become one), shared or executable. `include` also holds the folders
        where `.incbin` finds its files. The bytes of the result depend on the sources alone, not on their place
        or the working directory. An executable for a foreign target is static, so an emulator runs it.
        Raises ToolchainError with the command and the compiler's messages; `output` is then left as it was.
        """
        self._check_request(sources, kind, sanitize)
        with tempfile.TemporaryDirectory(prefix="edgec-") as name:
            build = _Build(self, Path(name), kind, sanitize, timeout)
            objects = build.compile_all([Path(source).resolve() for source in sources], include, flags)
            return _publish(build.link(objects, Path(output).name, link), Path(output))

    def compile_command(self, static: bool = False) -> tuple[str, ...]:
        """Return the command that compiles one source, without `-c`, the source and its folders."""
        return (*self.argv, *self._for_this_host(self.target.flags(self.kind), static))

    def link_command(self, static: bool = False) -> tuple[str, ...]:
        """Return the command that links objects, without the objects.

        zig builds its C library anew for every cpu (up to a minute), so it always links for the same one.
        """
        arch = self.target.arch_flags(self.kind)
        if self.kind == "zig":
            arch = tuple(flag for flag in arch if not flag.startswith("-mcpu="))
            arch += (f"-mcpu={self.target.zig_link_cpu}", "-g0")
        return (*self.argv, *self._for_this_host(arch, static))

    def links_static(self, kind: str) -> bool:
        """Return whether an output of `kind` is linked statically."""
        if kind != "executable" or self.native:
            return False
        return self.kind != "zig" or not self.sysroot.is_dir()

    @property
    def sysroot(self) -> Path:
        """The folder where this machine keeps the C library of a foreign target, if it has one."""
        return Path("/usr") / (self.target.triple or "none")

    def _for_this_host(self, flags: tuple[str, ...], static: bool) -> tuple[str, ...]:
        if self.kind == "zig":
            return self._zig_flags(flags, static)
        if self.kind == "clang" and not self.native:
            return (f"--target={self.target.triple}", *flags)
        return flags

    def _zig_flags(self, flags: tuple[str, ...], static: bool) -> tuple[str, ...]:
        if self.native and sys.platform != "linux":
            return tuple(flag for flag in flags if flag not in ("-target", self.target.zig_triple))
        triple = self.target.zig_static_triple if static else self.target.zig_triple
        return tuple(triple if flag == self.target.zig_triple else flag for flag in flags)

    def _check_request(self, sources: Sequence[Path], kind: str, sanitize: bool) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}, not one of {KINDS}")
        if not sources:
            raise ValueError("no sources")
        if sanitize and (self.kind == "zig" or not self.native):
            what = f"{self.version} cannot build with sanitizers for target '{self.target.name}'"
            raise ToolchainError(what, hint="sanitizers need gcc or clang and a target this machine runs itself")


@dataclass(frozen=True)
class _Build:
    """One call of `Compiler.compile`, with its temporary folder."""

    compiler: Compiler
    folder: Path
    kind: str
    sanitize: bool
    timeout: float

    def compile_all(self, sources: Sequence[Path], include: Sequence[Path], flags: Sequence[str]) -> list[str]:
        """Compile each source by itself, side by side; return the names of the objects in the folder."""
        folders = _unique([*(Path(path).resolve() for path in include), *(source.parent for source in sources)])
        own = [f"-I{folder}" for folder in folders] + [f"-ffile-prefix-map={folder}/=" for folder in folders]
        command = [*self.compiler.compile_command(self._static()), *_PIC_FLAGS, *own, *flags, *self._sanitizers()]
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            return list(pool.map(lambda job: self._compile_one(command, *job), enumerate(sources)))

    def link(self, objects: list[str], name: str, link: Sequence[str]) -> Path:
        """Link the objects and return the file."""
        if self.kind == "object" and len(objects) == 1:
            return self.folder / objects[0]
        output = self.folder / "linked"
        flags = self._link_flags(name)
        libraries = () if self.kind == "object" else link
        command = [*self.compiler.link_command(self._static()), *flags, *objects, "-o", output.name, *libraries]
        self._execute(command, f"{self.compiler.version} could not link '{name}'")
        return output

    def _compile_one(self, command: Sequence[str], number: int, source: Path) -> str:
        if source.suffix == ".o":
            return str(source)
        name = f"{number}.o"
        what = f"{self.compiler.version} could not compile '{source.name}'"
        self._execute([*command, "-c", str(source), "-o", name], what)
        return name

    def _link_flags(self, name: str) -> list[str]:
        if self.kind == "object":
            return ["-r", "-nostdlib"]
        flags = list(self._sanitizers())
        if sys.platform != "darwin" or not self.compiler.native:
            flags += ["-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,--as-needed"]
            flags += [f"-Wl,-soname,{name}"] if self.kind == "shared" else []
        flags += ["-shared"] if self.kind == "shared" else []
        return flags + (["-static"] if self._static() else [])

    def _static(self) -> bool:
        return self.compiler.links_static(self.kind)

    def _sanitizers(self) -> tuple[str, ...]:
        return SANITIZE_FLAGS if self.sanitize else ()

    def _execute(self, command: Sequence[str], what: str) -> None:
        # zig would keep an object although a file that it takes in by .incbin has changed: give it a fresh cache.
        environment = {"ZIG_LOCAL_CACHE_DIR": str(self.folder / "zig-cache")}
        check(execute(command, self.folder, self.timeout, environment), what)


def _unique(folders: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys(folders))


def _publish(built: Path, output: Path) -> Path:
    """Put the built file in its place in one step, so that nobody ever sees half of it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        shutil.copy2(built, partial)
        os.replace(partial, output)
    finally:
        partial.unlink(missing_ok=True)
    return output
