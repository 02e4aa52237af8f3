"""Which passes run for a goal: its backend's pipeline, as options and the text of `--passes` change it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from .errors import UsageError
from .passes import Pass, default_pipeline, parse_passes
from .passes.half_products import check_precision
from .passes.pipeline import PIPELINES

if TYPE_CHECKING:
    from .backends import Goal
    from .kernels.schedules import Book

OPTIONS = {"fuse": "--fusion", "winograd": "--winograd", "cascade": "--cascade"}
"""The options whose passes not every backend runs."""
DOES_NOTHING = ("greedy", "auto", "speed", "off")
"""What they may say for a backend that does not."""


def choose_passes(
    goal: Goal, passes: str | None = None, fusion: str = "greedy", winograd: str = "auto", precision: str = "f32",
    book: Book | None = None, cascade: str = "speed",
) -> list[Pass]:  # fmt: skip
    """Return the passes to run for a goal: its backend's pipeline, or what the text `passes` makes of it.

    Cascades for memory leave Winograd's convolution out, unless its form is asked for: its tiles take memory too.
    """
    pipeline = goal.backend.pipeline
    there = {name for name, _ in PIPELINES.get(pipeline, ())}
    check_options(goal.name, {"fuse": fusion, "winograd": winograd, "cascade": cascade}, there)
    rows = read_form(cascade, "mode")
    winograd = "off" if (rows.get("mode"), winograd) == ("memory", "auto") else winograd
    forms: dict[str, Any] = {**read_form(winograd, "form"), **({"book": book} if book is not None else {})}
    given = {
        "fuse": {"strategy": fusion}, "winograd": forms, "half-products": {"precision": precision}, "cascade": rows,
    }  # fmt: skip
    chosen = default_pipeline(goal.target, pipeline, {name: given[name] for name in given if name in there})
    chosen = parse_passes(passes, chosen) if passes else chosen
    check_precision(precision, chosen, goal.name, "half-products" in there)
    return chosen


def check_options(target: str, given: Mapping[str, str], there: Collection[str]) -> None:
    """UsageError where options were given for passes that a target does without."""
    lost = [OPTIONS[name] for name, value in given.items() if name not in there and value not in DOES_NOTHING]
    if lost:
        raise UsageError(f"target '{target}' takes no {' and '.join(lost)}", hint="leave it out")


def read_form(text: str, form: str) -> dict[str, str]:
    """The options of a pass in a text with commas: what stands alone is `form` (`auto`), the others have a name."""
    pairs = [part.partition("=") for part in text.split(",")]
    return {(name if equals else form).strip(): (value if equals else name).strip() for name, equals, value in pairs}
