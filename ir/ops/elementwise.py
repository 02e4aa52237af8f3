"""What elementwise operators share: one scalar expression, broadcast over the operands."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import numpy as np

from ...errors import ModelError
from .. import scalar
from ..op import Array, Op, Tolerance, arg
from ..scalar import Scalar
from ..types import TensorType, boolean, broadcast, f32

TRANSCENDENTAL = Tolerance(2e-6, 2e-6)


class Elementwise(Op):
    """An operator that computes each element of its result from the elements at the same place of its operands.

    Subclasses declare operands and `scalar`; operands broadcast as in numpy. The result has the element type of the
    first operand unless `result` says otherwise.
    """

    tolerance = TRANSCENDENTAL
    is_predicate = False

    def scalar(self, *operands: Scalar) -> Scalar:
        """The meaning of the operator."""
        raise NotImplementedError

    @cached_property
    def expression(self) -> Scalar:
        """The scalar expression over `argument(i)`."""
        return self.scalar(*(scalar.argument(i) for i in range(len(self.operand_fields()))))

    def infer(self, *types: TensorType) -> TensorType:
        self.check(*types)
        shape = broadcast(*(t.shape for t in types))
        return TensorType(boolean if self.is_predicate else types[0].dtype, shape)

    def check(self, *types: TensorType) -> None:
        """Refuse operands of different element types."""
        if len({t.dtype for t in types}) > 1:
            raise ModelError(f"operands have different element types: {', '.join(t.dtype.name for t in types)}")

    def evaluate(self, *arrays: Array) -> Array:
        kind = arrays[0].dtype
        found = scalar.evaluate(self.expression, arrays, kind)
        shape = broadcast(*(a.shape for a in arrays))
        return np.broadcast_to(found, shape).astype(bool if self.is_predicate else kind)

    @classmethod
    def samples(cls) -> Any:
        count, make = len(cls.operand_fields()), cast(Callable[..., Op], cls)
        yield make(*(arg(f32, 2, 3, 5) for _ in range(count)))
        yield make(*(arg(f32, 1) for _ in range(count)))
        if count > 1:
            yield make(arg(f32, 2, 3, 5), *(arg(f32, 3, 1) for _ in range(count - 1)))
