"""What a layer becomes: how its weights are stored and what its input is."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ..escaping import escape

GROUP = 32


@dataclass(frozen=True)
class Scheme:
    """How weights and activations are represented.

    `weights`: `float`, `int8`, `int4`, `ternary`, `binary`, `fp16` or `bf16`; `group` weights share a scale (0: all of
    one output channel, -1: the whole tensor). `activations`: `float`, `u8` (affine), `i8` or `i16` (symmetric) or
    `dynamic` (8 bits with a scale found at run time).
    """

    name: str
    weights: str = "float"
    group: int = 0
    activations: str = "float"
    about: str = ""
    finer: str = ""
    """What small and delicate layers get instead, unless they are named."""

    @property
    def is_float(self) -> bool:
        """Whether it leaves a layer as it is."""
        return self.weights == "float" and self.activations == "float"

    @property
    def integer_weights(self) -> bool:
        """Whether weights become integers with scales."""
        return self.weights in LIMITS

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the largest integer of a weight."""
        return LIMITS[self.weights]

    @property
    def in_bytes(self) -> bool:
        """Whether its activations are bytes, its weights of 8 or 4 bits."""
        return self.activations in ("u8", "i8") and self.weights in ("int8", "int4")

    @property
    def coarse(self) -> bool:
        """Whether weights are so coarse that rounding to nearest costs accuracy."""
        return self.weights in ("int4", "ternary", "binary")


LIMITS = {"int8": (-127, 127), "int4": (-8, 7), "ternary": (-1, 1), "binary": (-1, 1)}
FLOAT = Scheme("float", about="left as it is")
SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        FLOAT,
        Scheme("int8", "int8", 0, "u8", "weights and activations in 8 bits, one scale for each output channel"),
        Scheme("w8a8-tensor", "int8", -1, "u8", "weights and activations in 8 bits, one scale for each tensor"),
        Scheme("int8-symmetric", "int8", 0, "i8", "as int8, all around zero; int8 on TensorRT"),
        Scheme("w8a16", "int8", 0, "i16", "8-bit weights, 16-bit activations"),
        Scheme("w4a8", "int4", GROUP, "u8", f"4-bit weights in groups of {GROUP}, 8-bit activations", "int8"),
        Scheme("w4a8-channel", "int4", 0, "u8", "4-bit weights, a scale for each channel, 8-bit activations", "int8"),
        Scheme("w8", "int8", GROUP, "float", f"8-bit weights in groups of {GROUP}, computed in float"),
        Scheme("w4", "int4", GROUP, "float", f"4-bit weights in groups of {GROUP}, computed in float", "w8"),
        Scheme("fp16", "fp16", 0, "float", "weights stored in half precision, computed in float"),
        Scheme("bf16", "bf16", 0, "float", "weights rounded to bfloat16, computed in float"),
        Scheme("dynamic", "int8", 0, "dynamic", "weights and activations in 8 bits, their scale found at run time"),
        Scheme("ternary", "ternary", 0, "u8", "weights -1, 0 or 1 times a scale (experiment)", "int8"),
        Scheme("binary", "binary", 0, "u8", "weights -1 or 1 times a scale (experiment)", "int8"),
    )
}
"""Every scheme by its name."""

ALIASES = {"w8a8": "int8", "int4": "w4"}


def find_scheme(name: str) -> Scheme:
    """The scheme of a name; UsageError with the names there are."""
    found = SCHEMES.get(ALIASES.get(name, name))
    if found is None:
        raise UsageError(f"there is no scheme '{escape(name)}'", hint=f"schemes: {', '.join(SCHEMES)}")
    return found
