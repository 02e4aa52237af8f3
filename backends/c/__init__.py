"""The C backend: standalone C with SIMD kernels and a static arena."""

from .emit import Emitted, emit

__all__ = ["Emitted", "emit"]
