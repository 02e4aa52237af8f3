"""The options about quantization that several commands share, and how their texts are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..escaping import escape

if TYPE_CHECKING:
    from ..quantizing import Request

QuantizeOption = Annotated[
    str,
    typer.Option("--quantize", metavar="SCHEME|FILE.toml", help="Quantize: int8, w4a8, w4, ... or a configuration."),
]
CalibrationOption = Annotated[
    str, typer.Option("--calibration", metavar="DATA", help="Samples: .npz, a folder of .npy, or FILE.py:function.")
]
EvaluationOption = Annotated[
    str, typer.Option("--evaluation", metavar="DATA", help="Samples with an array 'labels', to measure the metric on.")
]
MetricOption = Annotated[
    str, typer.Option("--metric", metavar="NAME", help="top1, top5, ctc, or FILE.py:function of outputs and labels.")
]
DropOption = Annotated[
    str,
    typer.Option("--max-accuracy-drop", metavar="0.5%", help="Keep layers in float until the metric falls by less."),
]
VetoOption = Annotated[
    bool | None,
    typer.Option("--veto/--no-veto", help="Keep layers in float that integers would make slower.", show_default=False),
]

LONGEST = 1000
"""Characters of a name that are looked at."""


@dataclass(frozen=True)
class QuantizationOptions:
    """What the shared options say about quantization; empty texts say nothing."""

    quantize: str = ""
    calibration: str = ""
    evaluation: str = ""
    metric: str = "top1"
    max_accuracy_drop: str = ""
    veto: bool | None = None

    def given(self) -> list[str]:
        """Return the options that say how a model becomes one of integers."""
        said = {"--quantize": self.quantize, "--calibration": self.calibration}
        return [name for name, text in said.items() if text]

    def arguments(self) -> dict[str, Any]:
        """Return them as `driver.compile` takes them."""
        return {
            "quantize": self.quantize or None,
            "calibration": read_source(self.calibration),
            "evaluation": read_source(self.evaluation),
            "metric": self.metric,
            "max_accuracy_drop": read_share(self.max_accuracy_drop) if self.max_accuracy_drop else None,
            "veto": self.veto,
        }

    def request(self) -> Request | None:
        """Return them as `driver.lower` takes them."""
        from ..quantizing import request

        return request(**self.arguments())


def read_source(text: str) -> Any:
    """Return what holds samples: a path, for `FILE.py:function` the function, for nothing None."""
    file, separator, name = text.rpartition(":")
    if not separator or not file.endswith(".py"):
        return Path(text) if text else None
    from ..passes import load_plugin

    found = getattr(load_plugin(file), name, None)
    if not callable(found):
        raise UsageError(f"'{escape(file)}' has no function '{escape(name)}'")
    return found


def read_share(text: str) -> float:
    """Read `0.5%` or `0.005`."""
    number = text.strip()
    try:
        return float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        hint = "write 0.5% or 0.005 for half a point"
        raise UsageError(f"--max-accuracy-drop: '{escape(text)}' is not a share", hint=hint) from None


def percent(value: float | None) -> str:
    """Return a share for people."""
    return "-" if value is None else f"{100 * value:.2f} %"


def short(name: str) -> str:
    """Return the name of a layer, with its middle left out where it is long."""
    return name if len(name) <= 44 else f"{name[:20]}...{name[-21:]}"


def layer_name(row: dict[str, Any]) -> str:
    """Return the name of the layer that a row is about, as a table shows it."""
    return short(escape(row["name"], LONGEST))


def outcome(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what to print of the report's part on quantization: what layers became, what that cost."""
    done = report.get("quantization")
    if not done:
        return []
    schemes = [layer["scheme"] for layer in done["layers"]]
    counted = ", ".join(f"{schemes.count(name)} {name}" for name in dict.fromkeys(schemes))
    facts = [("quantized", f"layers: {counted}; {_noise(done.get('sqnr'))}")]
    facts += vetoed(done, report.get("target", ""))
    if "accuracy" in done:
        facts.append((done["accuracy"]["metric"], change(done["accuracy"])))
    return facts


def vetoed(done: dict[str, Any], target: str) -> list[tuple[str, str]]:
    """Return what to print of layers that stay in float because integers would be slower."""
    count, layers = len(done.get("veto", ())), done["layers"]
    if not count:
        return []
    if all(layer["scheme"] == "float" for layer in layers):
        return [("warning", f"no layer is faster in integers on {escape(target)}; --no-veto quantizes for size")]
    return [("veto", f"{count} of {len(layers)} layers stay in float, which is faster on {escape(target)}")]


def change(accuracy: dict[str, Any]) -> str:
    """Return how a metric changed: before, after, and by how much it fell."""
    drop = 100 * accuracy["drop"]
    before, after = percent(accuracy["float"]), percent(accuracy["quantized"])
    return f"{before} in float, {after} now: {points(drop)} on {accuracy['samples']} samples"


def points(drop: float) -> str:
    """Return by how many points of a hundred a metric fell."""
    return f"{abs(drop):.2f} points {'lost' if drop > 0 else 'gained'}" if drop else "no change"


def _noise(ratio: float | None) -> str:
    return "the outputs are those of float" if ratio is None else f"signal to noise {ratio:.1f} dB"
