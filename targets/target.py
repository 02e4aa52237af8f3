"""One target: what code for it may use and which flags make a compiler produce that code."""

from __future__ import annotations

from dataclasses import dataclass

# None of these changes the value of a floating point operation: no fast-math, no contraction of a*b+c that
# the source does not write as fma. The two `-fno` about maths only drop errno and trap bookkeeping.
COMMON_FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
# What zig adds unasked: debug information that names the working directory, calls to a sanitizer runtime, and
# -DNDEBUG, which would make an assert work with one compiler and not with the other.
ZIG_FLAGS = ("-g0", "-fno-sanitize=undefined", "-UNDEBUG")


@dataclass(frozen=True)
class Target:
    """An instruction set with its compilers, caches and emulator.

    `name` is what the user asked for and `row` the table row behind it; they differ for `host` only.
    `isa` is one of scalar, sse2, avx2, avx512, neon; `arch` one of x86_64, aarch64, armv7, any.
    `lanes` counts fp32 values in a vector register, `registers` the vector registers.
    `cpu` is the CPU the user named ("" for none), `tune` the one the flags tune for.
    `core` is the model of LLVM by which tiles are chosen ("" for none).
    `features` are the instruction sets that a CPU must have to run the code.
    """

    name: str
    row: str
    description: str
    isa: str
    arch: str
    lanes: int
    registers: int
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int
    line_bytes: int
    features: tuple[str, ...]
    gcc: tuple[str, ...]
    clang: tuple[str, ...]
    zig: tuple[str, ...]
    triple: str = ""
    zig_triple: str = ""
    zig_static_triple: str = ""
    zig_link_cpu: str = "baseline"
    cpu: str = ""
    default_cpu: str = ""
    tune: str = ""
    core: str = ""
    emulator: str = ""
    emulator_cpu: str = ""

    @property
    def vector_bytes(self) -> int:
        """Bytes in one vector register."""
        return 4 * self.lanes

    @property
    def defines(self) -> tuple[str, ...]:
        """The macro that tells the kernels which SIMD header to take, as a compiler flag."""
        return (f"-DEC_ISA_{self.isa.upper()}",)

    def has(self, feature: str) -> bool:
        """Return whether code for this target may use `feature` (`fma`, `avx512vnni`, `dotprod` ...)."""
        return feature in self.features

    def arch_flags(self, kind: str) -> tuple[str, ...]:
        """Return the flags that select the instruction set, for a compiler of `kind` gcc, clang or zig."""
        by_kind = {"gcc": self.gcc, "clang": self.clang, "zig": self._zig_flags()}
        return by_kind[kind]

    def flags(self, kind: str) -> tuple[str, ...]:
        """Return all flags that a source needs to be compiled for this target with a compiler of `kind`."""
        extra = ZIG_FLAGS if kind == "zig" else ()
        return COMMON_FLAGS + self.arch_flags(kind) + extra + self.defines

    def _zig_flags(self) -> tuple[str, ...]:
        return ("-target", self.zig_triple, *self.zig) if self.zig_triple else self.zig
