"""What newer Pythons have and 3.10 has not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
elif sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        """A marker for type checkers only."""
        return lambda decorated: decorated


__all__ = ["dataclass_transform"]
