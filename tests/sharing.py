"""Makes small networks share their work, as large ones do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgec.backends.c import sharing
from edgec.kernels import table


@contextmanager
def everything_shared() -> Iterator[None]:
    """Compile as if no task were too small for a thread of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "LEAST_SHARE", 1)
        patch.setattr(table, "TASK_CYCLES", 1)
        yield
