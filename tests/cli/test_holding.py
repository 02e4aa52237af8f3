"""How other engines are held to an instruction set: on a library with a cpuid instruction and what looks like one."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgec import __path__ as package
from edgec.artifact import golden_inputs
from edgec.cli.arrays import write_arrays
from edgec.cli.bench import ISA_LIMITS
from edgec.cli.bench_process import Engine
from edgec.cli.engines import holding
from edgec.driver import import_model
from edgec.errors import ToolchainError
from edgec.targets import get_target
from edgec.targets.host import Host
from edgec.toolchain import find_compiler

on_linux = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64") or shutil.which("objdump") is None,
    reason="engines are held on Linux on x86-64, with objdump",
)

LIBRARY = r"""
#include <cpuid.h>

unsigned ask(unsigned leaf, unsigned subleaf, unsigned which)
{
    unsigned answer[4];
    __cpuid_count(leaf, subleaf, answer[0], answer[1], answer[2], answer[3]);
    return answer[which];
}

unsigned seeming(void)
{
    unsigned value;
    __asm__ volatile("movl $0x00a20f11, %0" : "=r"(value));
    return value;
}

void idle(void)
{
    __asm__ volatile("movl $100000, %%ecx\n1: .fill 60, 1, 0x90\n dec %%ecx\n jnz 1b" ::: "ecx", "cc");
}
"""

PROCESS = r"""
import ctypes, json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from edgec.artifact import golden_inputs
from edgec.cli.arrays import write_arrays
from edgec.cli.bench import ISA_LIMITS
from edgec.cli.bench_process import Engine
from edgec.cli.engines import holding
from edgec.driver import import_model
from edgec.cli.engines.cpuid import cpuid_addresses

library = Path(sys.argv[1])
toy = ctypes.CDLL(str(library))
asked = [(0, 0, 1), (0, 0, 2), (1, 0, 3), (7, 0, 1)]

def state():
    return {"answers": [toy.ask(*one) & 0xFFFFFFFF for one in asked], "seeming": toy.seeming()}

NOP, UNUSED = 0x90, 0x06  # the second is no instruction in 64-bit code
found = {"addresses": len(cpuid_addresses(library)), "before": state()}
hidden = [holding.Hidden.of(1, 0, edx=1 << 26), holding.Hidden.of(0, 1, ebx=0xFFFFFFFF)]
holding.replace_cpuid(library, hidden)
found |= {"after": state(), "left": len(cpuid_addresses(library))}
found["idle"] = holding.watch(toy.idle, NOP, 0.3)
found["never"] = holding.watch(toy.idle, UNUSED, 0.3)
print(json.dumps(found))
"""


def machine(system: str, *features: str) -> Host:
    return Host(system, "x86_64", 2, frozenset(features))


MACHINES = (
    (machine("Linux", "avx2", "avx512f"), "avx2"),
    (machine("Linux", "avx2"), ""),
    (machine("Darwin", "avx2", "avx512f"), ""),
)


@pytest.mark.parametrize(("here", "held"), MACHINES)
def test_only_a_cpu_that_has_more_is_held(monkeypatch: pytest.MonkeyPatch, here: Host, held: str) -> None:
    monkeypatch.setattr(holding, "host", lambda: here)
    assert (holding.held_to("avx2"), holding.held_to("avx512")) == (held, "")


def test_a_library_that_is_not_there_is_named() -> None:
    holding.hold("no/such*.so", "")
    with pytest.raises(ToolchainError, match=re.escape("there is no no/such*.so to hold")):
        holding.hold("no/such*.so", "avx2")


def test_an_engine_that_breaks_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "watch", lambda *_: (0, 80))
    holding.check_held(lambda: None, "avx2")
    monkeypatch.setattr(holding, "watch", lambda *_: (3, 80))
    with pytest.raises(ToolchainError, match="not held to avx2: 3 of 80 samples are AVX-512"):
        holding.check_held(lambda: None, "avx2")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a process sees that holds the library: it is one of its own, as the handlers stay."""
    folder = tmp_path_factory.mktemp("holding")
    source = folder / "toy.c"
    source.write_text(LIBRARY, encoding="utf-8")
    library = find_compiler(get_target("x86-64-v3")).compile([source], folder / "toy.so")
    assert library.read_bytes().count(b"\x0f\xa2") >= 2
    root = str(Path(package[0]).parent)
    done = subprocess.run([sys.executable, "-c", PROCESS, str(library), root], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@on_linux
def test_only_instructions_are_found_and_replaced(found: Any) -> None:
    assert (found["addresses"], found["left"]) == (1, 0)
    assert found["before"]["seeming"] == found["after"]["seeming"] == 0x00A20F11


@on_linux
def test_a_hidden_bit_is_gone_and_the_rest_of_the_answer_stays(found: Any) -> None:
    before, after = (found[when]["answers"] for when in ("before", "after"))
    assert before[2] & 1 << 26, "every x86-64 has SSE2"
    assert after[2] == before[2] & ~(1 << 26)
    assert [after[i] for i in (0, 1, 3)] == [before[i] for i in (0, 1, 3)]


@on_linux
def test_samples_tell_which_instructions_are_executed(found: Any) -> None:
    met, samples = found["idle"]
    assert 0 < samples < 2 * met
    met, samples = found["never"]
    assert met == 0 < samples


@on_linux
@pytest.mark.skipif(not holding.held_to("avx2"), reason="this CPU has nothing to hide")
def test_onnxruntime_is_held(digits: Path, here: Path) -> None:
    pytest.importorskip("onnxruntime")
    write_arrays(here / "inputs.npz", golden_inputs(import_model(digits)))
    held = Engine.start("onnxruntime", digits, here, 1, ISA_LIMITS["avx2"], "avx2")
    try:
        held.wait()
        held.take_times(0.01)
    finally:
        held.stop()
    assert held.row().get("error") is None
