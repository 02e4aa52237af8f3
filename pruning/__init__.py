"""Pruning: fewer weights or fewer channels, what stays fitted to calibration data, with accuracy under control."""

from .config import Config, read_config
from .prune import Pruned, prune
from .schemes import KINDS, Scheme, find_scheme
from .search import search
from .workbench import Workbench
