"""The operators, one class each, by family. Importing this package declares them all."""

from .arithmetic import Add, And, Div, Equal, Fmod, Less, LessEqual, Max, Min, Mul, Not, Or, Pow, Sub, Where, Xor
from .assembly import Assembly, Box, Concat, Interleave, Pad
from .attention import Attention
from .bits import BitAnd, BitNot, BitOr, BitXor, ShiftLeft, ShiftRight
from .cast import BitCast, Cast
from .constant import Constant, array_of, constant, like, uniform
from .contract import Contract
from .contraction import Conv, ConvTranspose, MatMul
from .control import CannotRun, ControlFlow, If, Impossible, Loop
from .elementwise import Elementwise
from .fourier import Fourier
from .functions import (
    Abs,
    Acos,
    Asin,
    Atan,
    Ceil,
    Celu,
    Clip,
    Cos,
    Elu,
    Erf,
    Exp,
    Floor,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Log,
    Mish,
    Neg,
    PRelu,
    Reciprocal,
    Relu,
    Round,
    Selu,
    Shrink,
    Sigmoid,
    Sign,
    Silu,
    Sin,
    Softplus,
    Softsign,
    Sqrt,
    Tanh,
    ThresholdedRelu,
)
from .gather import Gather
from .half import HalfConv, HalfMatMul
from .integer_groups import GroupedConvInteger, GroupedMatMulInteger
from .normalization import BatchNorm, InstanceNorm, LayerNorm, Lrn, Softmax
from .panels import PackPanels, PanelMatMul
from .pool import Pool
from .portable import PortableExp, PortableSigmoid, PortableTanh
from .quantize import ConvInteger, Dequantize, Lookup, MatMulInteger, Quantize, Requantize
from .recurrent import Recurrent
from .recurrent_integer import RecurrentInteger
from .reduction import ArgReduce, Reduce
from .region import Cascade, Fused, inner_ops, label_of
from .resize import Resize
from .routine import Routine
from .sample import GridSample
from .sample_axis import ResizeAxis
from .sample_columns import DeformColumns
from .sample_regions import MaxRoiPool, RoiAlign
from .scatter import Cumulative, ScatterElements, ScatterRows
from .select import Compress, Counted, MaxPlaces, NonMaxSuppression, NonZero, TopK, Unique
from .sizes import FindSize, Sizes, known_sizes, sizes
from .stored import Stored
from .text import TextConcat, TextEqual, TextFind, TextMatch, TextNormalize, TextSplit
from .tree import LookUp, NGrams, TreeEnsemble
from .view import Expand, Relayout, Reshape, Slice, Transpose, View, channelwise
from .winograd import WinogradConv
