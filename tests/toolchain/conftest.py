"""Compilers are tried anew here, with nothing that an earlier test has compiled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgec.toolchain import compiler


@pytest.fixture(scope="module", autouse=True)
def compiled_anew(kept_objects: pytest.MonkeyPatch) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler._Build, "_compile_one", compiler._Build._compile_one.__wrapped__)
        yield
