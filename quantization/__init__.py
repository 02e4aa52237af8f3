"""Quantization: a canonical float graph and calibration data to a graph of integers, with accuracy under control."""

from .config import Config, read_config
from .data import Data, Source, open_data
from .evaluation import Evaluation, Score
from .executor import Executor, Runner, compiled, run_numpy
from .layers import Layer, find_layers
from .metrics import METRICS, find_metric
from .quantize import Quantized, prepare, quantize
from .schemes import SCHEMES, Scheme, find_scheme
from .search import search
from .sensitivity import Sensitivity, sensitivities, worst_first
from .simulate import simulated
from .workbench import Workbench
