"""Artifacts of this backend from Python: the engine on a GPU, or the ONNX model in ONNX Runtime."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...artifact import Artifact, Difference, Product
from ...errors import ToolchainError
from ...escaping import escape
from ...ir import Graph, TensorType
from ...ir.evaluate import bind_inputs
from ...targets import Target
from .goals import ARCHITECTURES, CLASSIC, PACKAGES, present_capability

Array = np.ndarray
MODEL, ENGINE, LOG = "model.onnx", "model.engine", "build.log"


class TensorRtArtifact(Artifact):
    """An engine; it runs where there is a GPU of its architecture and the library that built it."""

    product = Product("engine", ENGINE)

    @property
    def target(self) -> Target:
        """A GPU has no row in the table of CPUs."""
        raise ToolchainError(f"target '{escape(self.report['target'])}' is no CPU", hint="it is a GPU")

    @property
    def description(self) -> str:
        """What the GPU is, in words."""
        known = ARCHITECTURES.get(self.report["target"])
        return known.about if known else "an NVIDIA GPU"

    @property
    def facts(self) -> dict[str, Any]:
        """The report's section of this backend."""
        section = self.report.get("tensorrt")
        return section if isinstance(section, dict) else {}

    @property
    def package(self) -> str:
        """The Python package of the library that built the engine."""
        return PACKAGES.get(str(self.report.get("toolchain", {}).get("library")), PACKAGES[CLASSIC])

    @property
    def cannot_run(self) -> str:
        """Why the engine does not run here; empty if it does."""
        if not (self.folder / ENGINE).is_file():
            return str(self.report.get("toolchain", {}).get("reason") or "the artifact holds no engine")
        present, wanted = present_capability(), self.facts.get("capability")
        if present is None:
            return "there is no NVIDIA GPU"
        if present != wanted:
            return f"the engine is for SM{wanted}, the GPU here is SM{present}"
        return "" if importlib.util.find_spec(self.package) else f"{self.package} is not installed"

    @property
    def runs_natively(self) -> bool:
        """Whether this process can run the engine."""
        return not self.cannot_run

    @cached_property
    def engine(self) -> Any:
        """The engine, loaded onto the GPU."""
        from .gpu import Engine

        return Engine(importlib.import_module(self.package), (self.folder / ENGINE).read_bytes())

    def _run_all(self, samples: list[list[Array]]) -> list[list[Array]]:
        self._require_runnable()
        return [self.engine.run(dict(zip(self.inputs, arrays, strict=True)), self.outputs) for arrays in samples]

    def _bind(self, inputs: Mapping[str, Any] | Sequence[Any]) -> list[Array]:
        """The arrays in order; those with open sizes may have any shape between their bounds."""
        profile: dict[str, list[list[int]]] = self.facts.get("profile", {})
        if not profile:
            return super()._bind(inputs)
        pairs = inputs if isinstance(inputs, Mapping) else dict(zip(self.inputs, inputs, strict=False))
        arrays = {name: np.asarray(array) for name, array in pairs.items()}
        graph = Graph()
        for name, kind in self.inputs.items():
            fits = name in profile and name in arrays and _within(arrays[name].shape, profile[name])
            graph.input(TensorType(kind.dtype, arrays[name].shape) if fits else kind, name)
        return bind_inputs(graph, arrays)

    def _require_runnable(self) -> None:
        if self.cannot_run:
            what = f"the engine for '{escape(self.report['target'])}' cannot run here: {self.cannot_run}"
            raise ToolchainError(what, escape(str(self.folder)), f"`python -m edgec verify` checks {MODEL} instead")

    def __repr__(self) -> str:
        described = [_listed(part) for part in (self.inputs, self.outputs)]
        return f"<Artifact '{self.folder}' for {self.report['target']}: ({described[0]}) -> ({described[1]})>"


def _within(shape: tuple[int, ...], rows: Sequence[Sequence[int]]) -> bool:
    low, _, high = rows
    return len(shape) == len(low) and all(a <= d <= b for a, d, b in zip(low, shape, high, strict=True))


def _listed(types: dict[str, TensorType]) -> str:
    return ", ".join(f"{escape(name)}: {kind}" for name, kind in types.items())


class OnnxArtifact(TensorRtArtifact):
    """The ONNX model that the engine was built from, in ONNX Runtime."""

    @property
    def cannot_run(self) -> str:
        """Why ONNX Runtime does not run here; empty if it does."""
        if importlib.util.find_spec("onnxruntime") is None:
            return "onnxruntime is not installed"
        return "" if (self.folder / MODEL).is_file() else f"the artifact holds no {MODEL}"

    @cached_property
    def session(self) -> Any:
        """ONNX Runtime with the model in it."""
        return session((self.folder / MODEL).read_bytes())

    def compare_inside(self, graph: Graph, inputs: Mapping[str, Array]) -> list[Difference]:
        """The quantized tensors, layer by layer."""
        from .onnx_steps import steps_apart

        return steps_apart(graph, str(self.facts.get("precision", "fp32")), inputs)

    def _run_all(self, samples: list[list[Array]]) -> list[list[Array]]:
        self._require_runnable()
        names = list(self.inputs)
        return [list(self.session.run(list(self.outputs), dict(zip(names, s, strict=True)))) for s in samples]


def session(model: bytes) -> Any:
    """ONNX Runtime with a model in it as it was written: nothing fused, nothing rounded in another way."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        why = escape(str(error).strip(), 300)
        raise ToolchainError(f"ONNX Runtime does not take {MODEL}: {why}", hint="it lacks bf16 on CPUs") from error
