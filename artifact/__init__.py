"""Artifacts: the folders that a compilation leaves, and how to run what is in them."""

from .artifact import Artifact, Product, check_threads, load
from .compare import Difference, compare
from .folder import check_output, staged
from .golden import golden_bytes, golden_inputs, golden_sample, golden_samples, sample_for, stored_inputs
from .report import read_report, tensors

__all__ = [
    "Artifact",
    "Difference",
    "Product",
    "check_output",
    "check_threads",
    "compare",
    "golden_bytes",
    "golden_inputs",
    "golden_sample",
    "load",
    "read_report",
    "sample_for",
    "staged",
    "stored_inputs",
    "tensors",
]
