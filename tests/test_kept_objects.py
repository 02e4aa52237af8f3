"""Objects are taken again only where all that they are made from is the same."""

from __future__ import annotations

from pathlib import Path

from .kept_objects import key


def project(folder: Path) -> Path:
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "one.h").write_text('#include "two.h"\n')
    (folder / "parts" / "two.h").write_text("int two;\n")
    (folder / "data.bin").write_bytes(b"data")
    (folder / "model.c").write_text('#include "parts/one.h"\n__asm__(".incbin \\"data.bin\\"\\n");\n')
    return folder / "model.c"


def name(source: Path, *flags: str, version: str = "gcc 12") -> str:
    return key(version, ["gcc", f"-I{source.parent}", f"-ffile-prefix-map={source.parent}/=/", *flags], source)


def test_the_place_does_not_matter(tmp_path: Path) -> None:
    assert name(project(tmp_path / "a")) == name(project(tmp_path / "b"))


def test_all_else_does(tmp_path: Path) -> None:
    source = project(tmp_path)
    names = [name(source), name(source, "-O3"), name(source, version="gcc 13")]
    for part in ("parts/two.h", "parts/one.h", "data.bin", "model.c"):
        with (tmp_path / part).open("a") as file:
            file.write("\n")
        names.append(name(source))
    assert len(set(names)) == 7
