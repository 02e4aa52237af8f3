"""TensorProto to numpy. Every byte count is checked against the dimensions before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from ..errors import ModelError
from ..escaping import escape
from .dims import lower, upper
from .onnx_external import ExternalFiles
from .onnx_packed import PACKED, Packed
from .onnx_read import check_names
from .onnx_rules import NotCovered
from .strings import stored
from .types import DTYPES, TEXT_BYTES, DType, TensorType, text

Array = np.ndarray
MAX_DENSE_BYTES = 1 << 31
MAX_RANK = 64

ELEMENT_TYPES: dict[int, DType] = {
    TensorProto.FLOAT: DTYPES["f32"], TensorProto.DOUBLE: DTYPES["f64"], TensorProto.FLOAT16: DTYPES["f16"],
    TensorProto.INT8: DTYPES["i8"], TensorProto.INT16: DTYPES["i16"], TensorProto.INT32: DTYPES["i32"],
    TensorProto.INT64: DTYPES["i64"], TensorProto.UINT8: DTYPES["u8"], TensorProto.UINT16: DTYPES["u16"],
    TensorProto.UINT32: DTYPES["u32"], TensorProto.UINT64: DTYPES["u64"], TensorProto.BOOL: DTYPES["bool"],
}  # fmt: skip
_LATER = {"BFLOAT16": "bf16", "FLOAT8E4M3FN": "f8e4m3fn", "FLOAT8E4M3FNUZ": "f8e4m3fnuz", "FLOAT8E5M2": "f8e5m2"}
_LATER |= {"FLOAT8E5M2FNUZ": "f8e5m2fnuz", "FLOAT8E8M0": "f8e8m0"}
ELEMENT_TYPES |= {code: DTYPES[_LATER[name]] for name, code in TensorProto.DataType.items() if name in _LATER}
ELEMENT_TYPES |= {code: packed.dtype for code, packed in PACKED.items()}

_FIELDS = {"f32": "float_data", "f64": "double_data", "i64": "int64_data", "u32": "uint64_data", "u64": "uint64_data"}
_VALUE_FIELDS = ("raw_data", "float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def element_type(code: int, strings: DType | None = None) -> DType:
    """The element type for ONNX's number of it, `strings` for text; `NotCovered` for one that the IR does not have."""
    if code == TensorProto.STRING and strings is not None:
        return strings
    if code in ELEMENT_TYPES:
        return ELEMENT_TYPES[code]
    if code not in TensorProto.DataType.values() or code == TensorProto.UNDEFINED:
        raise ModelError(f"there is no element type number {code}")
    raise NotCovered(f"element type {TensorProto.DataType.Name(code).lower()}", ", ".join(DTYPES))


def check_dims(dims: Any, what: str) -> tuple[int, ...]:
    """Dimensions as a tuple; `ModelError` for negative ones and for products beyond any memory."""
    shape = tuple(dims)
    if len(shape) > MAX_RANK:
        raise ModelError(f"{what} has {len(shape)} dimensions", hint=f"at most {MAX_RANK} are read")
    if any(lower(d) < 0 for d in shape):
        raise ModelError(f"{what} has a negative dimension: {list(shape)}")
    if math.prod(max(upper(d), 1) for d in shape) >= 1 << 40:
        raise ModelError(f"{what} of shape {list(shape)} is too large")
    return shape


def declared_types(values: Iterable[onnx.ValueInfoProto], strings: DType) -> dict[str, TensorType]:
    """The types by name of those tensors whose element type the IR has and whose dimensions are all numbers."""
    found, kinds = dict[str, TensorType](), {**ELEMENT_TYPES, TensorProto.STRING: strings}
    for value in values:
        tensor = value.type.tensor_type
        known = value.type.HasField("tensor_type") and tensor.HasField("shape") and tensor.elem_type in kinds
        if known and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shape = check_dims((d.dim_value for d in tensor.shape.dim), f"'{escape(value.name)}'")
            found[value.name] = TensorType(kinds[tensor.elem_type], shape)
    return found


class Tensors:
    """Reads the tensors of one model; `files` serves those whose bytes lie in other files.

    Strings become elements of the type `strings`.
    """

    def __init__(self, files: ExternalFiles, strings: DType | None = None) -> None:
        self.files, self.strings = files, strings or text(TEXT_BYTES)

    def check(self, tensor: onnx.TensorProto) -> None:
        """Refuse a tensor that is malformed, without reading its elements."""
        check_names((tensor.name, *(text for e in tensor.external_data for text in (e.key, e.value))))
        what = f"tensor '{escape(tensor.name)}'"
        check_dims(tensor.dims, what)
        used = [name for name in _VALUE_FIELDS if len(getattr(tensor, name))]
        if tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data):
            used.append("external_data")
        if len(used) > 1:
            raise ModelError(f"{what} holds its values twice: in {' and '.join(used)}", hint="keep one of them")
        if tensor.HasField("segment"):
            raise ModelError(f"{what} is stored in segments", hint="store it as one tensor")
        if len(tensor.external_data) and tensor.data_location != TensorProto.EXTERNAL:
            raise ModelError(f"{what} names an external file but is not marked external")

    def array(self, tensor: onnx.TensorProto) -> Array:
        """The read-only array of a tensor, memory-mapped where its bytes lie in another file."""
        self.check(tensor)
        what = f"tensor '{escape(tensor.name)}'"
        packed = PACKED.get(tensor.data_type)
        if packed is not None:
            return self._packed(tensor, packed, what)
        if tensor.data_type == TensorProto.STRING:
            return self._strings(tensor, what)
        dtype, shape = element_type(tensor.data_type), tuple(tensor.dims)
        if tensor.data_location == TensorProto.EXTERNAL:
            flat = self.files.array(tensor, dtype.numpy, math.prod(shape), what)
        elif tensor.HasField("raw_data") and (len(tensor.raw_data) or not math.prod(shape)):
            flat = _from_bytes(tensor.raw_data, dtype, shape, what)
        else:
            flat = _from_field(tensor, dtype, shape, what)
        array = (flat.view(np.uint8) != 0 if dtype.name == "bool" else flat).reshape(shape)
        array.setflags(write=False)
        return array

    def _strings(self, tensor: onnx.TensorProto, what: str) -> Array:
        """The strings of a tensor, which stand in a field of their own."""
        shape, held = tuple(tensor.dims), list(tensor.string_data)
        if any(len(getattr(tensor, name)) for name in _VALUE_FIELDS if name != "string_data"):
            raise ModelError(f"{what} of strings has its values elsewhere", hint="they belong in string_data")
        if len(held) != math.prod(shape) or tensor.data_location == TensorProto.EXTERNAL:
            raise ModelError(f"{what} has {len(held)} values, {list(shape)} needs {math.prod(shape)}")
        try:
            array = stored(held, self.strings).reshape(shape)
        except ModelError as error:
            raise ModelError(f"{what}: {error.what}", hint=error.hint) from None
        array.setflags(write=False)
        return array

    def _packed(self, tensor: onnx.TensorProto, packed: Packed, what: str) -> Array:
        """The numbers of a tensor of less than 8 bits each, one a byte."""
        shape = tuple(tensor.dims)
        count = packed.bytes(math.prod(shape))
        if tensor.data_location == TensorProto.EXTERNAL:
            stored = self.files.array(tensor, np.dtype(np.uint8), count, what)
        elif len(tensor.raw_data):
            stored = _from_bytes(tensor.raw_data, DTYPES["u8"], (count,), what)
        else:
            stored = _from_field(tensor, DTYPES["u8"], (count,), what)
        array = packed.read(stored, math.prod(shape)).reshape(shape)
        array.setflags(write=False)
        return array

    def sparse(self, tensor: onnx.SparseTensorProto) -> Array:
        """A sparse tensor as a dense array."""
        values, indices = self.array(tensor.values), self.array(tensor.indices)
        what = f"sparse tensor '{escape(tensor.values.name)}'"
        shape = check_dims(tensor.dims, what)
        size = math.prod(shape)
        if size * values.itemsize > MAX_DENSE_BYTES:
            raise ModelError(f"{what} of shape {list(shape)} is too large to store densely")
        places = _places(indices, shape, values.size, what)
        if values.ndim != 1 or (places.size and not (places.min() >= 0 and places.max() < size)):
            raise ModelError(f"{what}: its indices lie outside shape {list(shape)}")
        dense = np.zeros(size, values.dtype)
        dense[places] = values
        dense.setflags(write=False)
        return dense.reshape(shape)


def _places(indices: Array, shape: tuple[int, ...], count: int, what: str) -> Array:
    if indices.dtype != np.int64 or indices.shape not in ((count,), (count, len(shape))):
        raise ModelError(f"{what}: indices are {indices.dtype}{list(indices.shape)} for {count} values")
    if indices.ndim == 1:
        return indices
    if ((indices < 0) | (indices >= np.array(shape, np.int64))).any():
        raise ModelError(f"{what}: its indices lie outside shape {list(shape)}")
    return np.ravel_multi_index(tuple(indices.T), shape) if count and shape else np.zeros(count, np.int64)


def _from_bytes(raw: bytes, dtype: DType, shape: tuple[int, ...], what: str) -> Array:
    wanted = math.prod(shape) * dtype.bytes
    if len(raw) != wanted:
        raise ModelError(f"{what} has {len(raw)} bytes, {dtype.name}{list(shape)} needs {wanted}")
    return np.frombuffer(raw, dtype.numpy.newbyteorder("<")).astype(dtype.numpy, copy=False)


def _from_field(tensor: onnx.TensorProto, dtype: DType, shape: tuple[int, ...], what: str) -> Array:
    field = _FIELDS.get(dtype.name, "int32_data")
    wrong = [name for name in _VALUE_FIELDS if name != field and len(getattr(tensor, name))]
    if wrong:
        hint = f"they belong in {field} or raw_data"
        raise ModelError(f"{what} of {dtype.name} has its values in {wrong[0]}", hint=hint)
    held = getattr(tensor, field)
    if len(held) != math.prod(shape):
        raise ModelError(f"{what} has {len(held)} values, {dtype.name}{list(shape)} needs {math.prod(shape)}")
    if dtype.is_float and dtype.is_narrow:
        return np.array(held, np.int64).astype(f"u{dtype.bytes}").view(dtype.numpy)
    if dtype.name in ("f32", "f64"):
        return np.array(held, dtype.numpy)
    if dtype.name == "bool":
        return np.asarray(np.array(held, np.int64) != 0)
    wide = np.array(held, np.uint64 if field == "uint64_data" else np.int64)
    narrow = wide.astype(dtype.numpy)
    if (narrow != wide).any():
        raise ModelError(f"{what} has values that {dtype.name} cannot hold")
    return narrow
