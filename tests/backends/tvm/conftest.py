"""All of these need TVM."""

from __future__ import annotations

import pytest

pytest.importorskip("tvm", reason="apache-tvm is not installed")
