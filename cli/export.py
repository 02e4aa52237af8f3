"""`export`: the cleaned-up model, quantized if that is wanted, as ONNX for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..escaping import escape
from .options import DimOption, ModelArgument, ModelOptions, PassesOption, PluginOption, ShapeOption
from .output import size, write_whole
from .quantization import (
    CalibrationOption,
    DropOption,
    EvaluationOption,
    MetricOption,
    QuantizationOptions,
    QuantizeOption,
)

OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="OUT.onnx", help="Write the model there.")]


def command(
    model: ModelArgument,
    output: OutputOption,
    shape: ShapeOption = None,
    dim: DimOption = None,
    passes: PassesOption = "",
    plugin: PluginOption = None,
    quantize: QuantizeOption = "",
    calibration: CalibrationOption = "",
    evaluation: EvaluationOption = "",
    metric: MetricOption = "top1",
    max_accuracy_drop: DropOption = "",
) -> None:
    """Write the cleaned-up model as ONNX; quantized ones hold QuantizeLinear and DequantizeLinear."""
    from ..driver import canonical
    from ..ir.onnx_export import export_bytes
    from ..quantizing import quantized

    wanted = QuantizationOptions(quantize, calibration, evaluation, metric, max_accuracy_drop).request()
    binding = ModelOptions(shape=shape, dim=dim).binding()
    graph = canonical(model, **binding, passes=passes or None, plugins=tuple(plugin or ()))
    if wanted is not None:
        graph = quantized(graph, wanted).graph
    content = export_bytes(graph)
    write_whole(output, content)
    print(f"{escape(str(output))}: {size(len(content))}, {sum(op.name != 'constant' for op in graph)} ops")
