"""Running an engine: the driver's own library through ctypes, so that nothing else needs to be installed."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import ToolchainError
from ...ir import TensorType

Array = np.ndarray


class Driver:
    """The CUDA driver with the context of the first GPU current in this thread."""

    def __init__(self) -> None:
        try:
            self.library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise ToolchainError("there is no CUDA driver", hint="install the driver of the GPU") from error
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, name: str, *arguments: Any) -> None:
        """A function of the driver; ToolchainError with its status where it fails."""
        status = getattr(self.library, name)(*arguments)
        if status:
            raise ToolchainError(f"{name} failed with CUDA status {status}")

    def allocate(self, size: int) -> ctypes.c_uint64:
        """Memory on the GPU."""
        place = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(place), ctypes.c_size_t(max(size, 1)))
        return place

    def upload(self, place: ctypes.c_uint64, array: Array) -> None:
        """An array onto the GPU."""
        if array.nbytes:
            self.call("cuMemcpyHtoD_v2", place, array.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(array.nbytes))

    def download(self, place: ctypes.c_uint64, array: Array) -> None:
        """An array back from the GPU."""
        if array.nbytes:
            self.call("cuMemcpyDtoH_v2", array.ctypes.data_as(ctypes.c_void_p), place, ctypes.c_size_t(array.nbytes))

    def free(self, place: ctypes.c_uint64) -> None:
        """Give memory back."""
        self.call("cuMemFree_v2", place)


class Engine:
    """A TensorRT engine on the GPU, with a buffer for each input and output."""

    def __init__(self, trt: Any, content: bytes) -> None:
        self.driver = Driver()
        self.runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self.engine = self.runtime.deserialize_cuda_engine(content)
        if self.engine is None:
            raise ToolchainError(
                "TensorRT does not load the engine", hint="build it again with the library that is here"
            )
        self.context = self.engine.create_execution_context()
        self.stream = ctypes.c_void_p()
        self.driver.call("cuStreamCreate", ctypes.byref(self.stream), 0)

    def run(self, inputs: Mapping[str, Array], types: Mapping[str, TensorType]) -> list[Array]:
        """The outputs for the inputs, in the shapes that follow from them."""
        for name, array in inputs.items():
            self.context.set_input_shape(name, array.shape)
        outputs = {
            name: np.empty(tuple(self.context.get_tensor_shape(name)), kind.dtype.numpy) for name, kind in types.items()
        }
        places = {name: self.driver.allocate(array.nbytes) for name, array in {**inputs, **outputs}.items()}
        try:
            for name, place in places.items():
                self.context.set_tensor_address(name, place.value)
            for name, array in inputs.items():
                self.driver.upload(places[name], array)
            if not self.context.execute_async_v3(self.stream.value):
                raise ToolchainError("TensorRT does not run the engine")
            self.driver.call("cuStreamSynchronize", self.stream)
            for name, array in outputs.items():
                self.driver.download(places[name], array)
        finally:
            for place in places.values():
                self.driver.free(place)
        return list(outputs.values())
