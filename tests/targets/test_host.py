"""Detection of the machine, from files as Linux shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgec.targets import Host, get_target, host, table
from edgec.targets.host import detect

V3 = "sse2 avx avx2 fma f16c bmi1 bmi2 movbe"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"


def fake_machine(root: Path, cpuinfo: str, caches: list[tuple[str, str, str]]) -> Path:
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(cpuinfo)
    for number, (level, kind, size) in enumerate(caches):
        folder = root / f"sys/devices/system/cpu/cpu0/cache/index{number}"
        folder.mkdir(parents=True)
        for name, text in zip(("level", "type", "size", "coherency_line_size"), (level, kind, size, "64"), strict=True):
            (folder / name).write_text(text + "\n")
    return root


def use(monkeypatch: pytest.MonkeyPatch, machine: Host) -> None:
    monkeypatch.setattr(table, "host", lambda: machine)


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "row", "cpu"),
    [
        ("x86_64", f"flags\t: {V4} avx512_vnni avx512vbmi\n", "x86-64-v4", ""),
        ("x86_64", f"flags\t: {V4} avx512_vnni\n", "x86-64-v4", "cascadelake"),
        ("x86_64", f"flags\t: {V4}\n", "x86-64-v4", "skylake-avx512"),
        ("x86_64", f"flags\t: {V3}\n", "x86-64-v3", ""),
        ("x86_64", "flags : sse2\n", "x86-64", ""),
        ("AMD64", "", "x86-64", ""),
        ("aarch64", "Features\t: fp asimd asimdhp asimddp\n", "arm-neon-dot", ""),
        ("aarch64", "Features\t: fp asimd asimddp asimdhp\nFeatures : fp asimd\n", "arm-neon", ""),
        ("arm64", "", "arm-neon", ""),
        ("armv7l", "Features\t: neon vfpv4\n", "armv7-neon", ""),
        ("armv7l", "Features\t: vfpv3\n", "c", ""),
        ("riscv64", "isa : rv64gc\n", "c", ""),
    ],
)
def test_host_is_the_best_row_the_cpu_can_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: str, cpuinfo: str, row: str, cpu: str
) -> None:
    use(monkeypatch, detect("Linux", machine, fake_machine(tmp_path, cpuinfo, [])))
    target = get_target("host")
    assert (target.name, target.row, target.cpu) == ("host", row, cpu)
    assert target.l1_bytes == get_target(row).l1_bytes


def test_caches_come_from_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    caches = [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "1280K"), ("3", "Unified", "24M")]
    machine = detect("Linux", "x86_64", fake_machine(tmp_path, f"flags : {V3}\n", caches))
    use(monkeypatch, machine)
    target = get_target("host")
    assert (target.l1_bytes, target.l2_bytes, target.l3_bytes) == (48 << 10, 1280 << 10, 24 << 20)
    assert get_target("host", "haswell").l1_bytes == 32 << 10


def test_apple_silicon_has_dot_products(tmp_path: Path) -> None:
    assert detect("Darwin", "arm64", tmp_path).has_all(("neon", "dotprod", "fp16"))


def test_this_machine() -> None:
    target = get_target("host")
    assert target.arch in ("any", host().arch)
    assert host().missing(target.features) == ()
    assert host().cores > 0
