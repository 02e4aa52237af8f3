"""The intermediate representation: types, values, operators, graphs, their text form, numpy evaluation, rewriting."""

from . import ops
from .dims import Dim, Symbol, Undecided
from .graph import Graph, Note
from .op import REGISTRY, Op, Origin, Tolerance, arg, operator
from .rewrite import Rewritten, Rule, Skip, rewrite
from .types import CHANNELS_LAST, DTYPES, DType, Order, TensorType, boolean, f32, i32, i64, row_major
from .value import Value
from .verify import verify
