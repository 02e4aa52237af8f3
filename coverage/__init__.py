"""How much of ONNX's own backend suite compiles, runs and agrees."""

from .suite import Coverage, measure
from .verdict import Verdict

__all__ = ["Coverage", "Verdict", "measure"]
