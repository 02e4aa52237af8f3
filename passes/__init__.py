"""Passes over graphs: registry, pipeline, manager."""

from .manager import PassManager
from .pipeline import default_pipeline
from .plugins import load_plugin
from .record import PassRecord
from .registry import Pass, known_passes, load_installed, make_pass, parse_passes, register
