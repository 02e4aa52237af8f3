"""Artifacts: the folders that a compilation leaves, and how to run what is in them."""

from .artifact import Artifact, Product, load
from .compare import Difference, compare
from .folder import check_output, staged
from .golden import golden_bytes, golden_inputs, golden_sample, golden_samples
from .report import read_report, tensors

__all__ = [
    "Artifact",
    "Difference",
    "Product",
    "check_output",
    "compare",
    "golden_bytes",
    "golden_inputs",
    "golden_sample",
    "load",
    "read_report",
    "staged",
    "tensors",
]
