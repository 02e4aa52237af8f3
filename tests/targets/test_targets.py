"""The table of targets: flags, refinement by cpu, and what unknown names say."""

from __future__ import annotations

import pytest

from edgec.errors import UsageError
from edgec.targets import cpu_names, device_names, get_device, get_target, target_names

ALL = target_names()
KINDS = ("gcc", "clang", "zig")
REFINED = [(name, cpu) for name in ALL if name != "host" for cpu in cpu_names(name)]


def test_names() -> None:
    expected = {"host", "c", "x86-64", "x86-64-v3", "x86-64-v4", "arm-neon", "arm-neon-dot", "armv7-neon"}
    assert expected <= set(ALL)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", KINDS)
def test_flags_keep_floating_point_exact_and_name_the_isa(name: str, kind: str) -> None:
    target = get_target(name)
    flags = target.flags(kind)
    assert {"-std=c11", "-O3", "-ffp-contract=off", f"-DEC_ISA_{target.isa.upper()}"} <= set(flags)
    assert not [flag for flag in flags if "fast" in flag or "native" in flag or "{" in flag]


@pytest.mark.parametrize("name", ALL)
def test_rows_are_sound(name: str) -> None:
    target = get_target(name)
    assert target.isa in ("scalar", "sse2", "avx2", "avx512", "neon")
    assert target.arch in ("x86_64", "aarch64", "armv7", "any")
    assert target.vector_bytes == 4 * target.lanes
    assert 0 < target.l1_bytes <= target.l2_bytes
    assert target.line_bytes in (32, 64, 128)
    assert isinstance(hash(target), int)


def test_c_has_no_machine_flag() -> None:
    assert not [flag for flag in get_target("c").flags("gcc") if flag.startswith("-m")]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("x86-64", "gcc", ["-march=x86-64"]),
        ("x86-64-v3", "clang", ["-march=x86-64-v3"]),
        ("x86-64-v4", "gcc", ["-march=x86-64-v4", "-mavx512vnni"]),
        ("arm-neon", "gcc", ["-march=armv8-a", "-mtune=cortex-a72"]),
        ("arm-neon", "zig", ["-target", "aarch64-linux-gnu.2.31", "-mcpu=cortex_a72"]),
        ("arm-neon-dot", "gcc", ["-march=armv8.2-a+dotprod+fp16"]),
        ("armv7-neon", "gcc", ["-march=armv7-a", "-mfpu=neon-vfpv4", "-mfloat-abi=hard"]),
    ],
)
def test_machine_flags(name: str, kind: str, expected: list[str]) -> None:
    assert set(expected) <= set(get_target(name).arch_flags(kind))


def test_cpu_refines() -> None:
    target = get_target("arm-neon", cpu="cortex-a53")
    assert (target.name, target.cpu, target.emulator_cpu) == ("arm-neon", "cortex-a53", "cortex-a53")
    assert target.arch_flags("gcc")[:3] == ("-mcpu=cortex-a53", "-fno-schedule-insns", "-fno-schedule-insns2")
    assert "-mcpu=cortex_a53" in target.arch_flags("zig")


def test_cores_in_order_take_further_flags_of_gcc() -> None:
    def further(cpu: str, kind: str = "gcc") -> tuple[str, ...]:
        return get_target("arm-neon", cpu).arch_flags(kind)[3 if kind == "gcc" else 1 :]

    assert further("cortex-a53") == ("-fno-schedule-fusion",)
    assert further("cortex-a55") == ("-fno-schedule-fusion", "-fno-peephole2")
    assert further("cortex-a72") == further("cortex-a55", "clang") == ()


def test_cpu_adds_or_removes_features() -> None:
    assert not get_target("arm-neon").has("dotprod")
    assert get_target("arm-neon", "cortex-a76").has("dotprod")
    assert get_target("x86-64-v4").has("avx512vnni")
    old = get_target("x86-64-v4", "skylake-avx512")
    assert not old.has("avx512vnni")
    assert "-mavx512vnni" not in old.flags("gcc")


@pytest.mark.parametrize(("name", "cpu"), REFINED)
def test_every_cpu_fills_all_flags(name: str, cpu: str) -> None:
    target = get_target(name, cpu)
    assert target.cpu == cpu
    assert not [flag for kind in KINDS for flag in target.flags(kind) if "{" in flag or flag.endswith("=")]


def test_unknown_target_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        get_target("arm-noen")
    assert str(caught.value).splitlines() == [
        f"error: unknown target 'arm-noen'; known: {', '.join(ALL)}",
        "  hint: did you mean 'arm-neon'?",
    ]


def test_unknown_cpu_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        get_target("armv7-neon", "a15")
    assert str(caught.value).splitlines() == [
        "error: unknown cpu 'a15' for target 'armv7-neon'; known: cortex-a15, cortex-a17, cortex-a7",
        "  hint: did you mean 'cortex-a15'?",
    ]
    with pytest.raises(UsageError, match="nothing to refine in 'c'"):
        get_target("c", "cortex-a15")


def test_a_device_is_not_a_target() -> None:
    with pytest.raises(UsageError, match="use --device raspberry-pi-4"):
        get_target("raspberry-pi-4")


def test_names_are_escaped_in_errors() -> None:
    with pytest.raises(UsageError, match=r"unknown target '\.\./rows\\n/c'"):
        get_target("../rows\n/c")


@pytest.mark.parametrize("name", device_names())
def test_devices(name: str) -> None:
    device = get_device(name)
    target = device.target
    assert (target.row, target.cpu) == (device.target_name, device.cpu)
    assert (target.l1_bytes, target.l2_bytes, target.l3_bytes) == (device.l1_bytes, device.l2_bytes, device.l3_bytes)
    assert device.cores > 0
    assert device.ram_bytes >= 1 << 28


def test_unknown_device() -> None:
    with pytest.raises(UsageError, match="did you mean 'raspberry-pi-5'"):
        get_device("raspbery-pi-5")
