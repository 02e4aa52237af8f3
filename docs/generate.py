"""Writes the parts of the documentation that follow from the code.

    python docs/generate.py            rewrites what stands between `<!-- generated: NAME -->` and `<!-- end -->`

tests/docs/test_generated.py fails where a part is stale; `pytest --bless` rewrites it too.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

from edgec import errors
from edgec.backends.c import program
from edgec.cli.main import app
from edgec.coverage.graphs import exceptions
from edgec.errors import EdgecError, Mismatch, UnsupportedNode
from edgec.ir import REGISTRY, Graph, Op, Value, onnx_external, onnx_read, scalar, text_parser
from edgec.ir.ops import Elementwise
from edgec.ir.text import print_graph
from edgec.ir.verify import STAGES
from edgec.kernels import ISAS, KERNELS, choose_tile, read
from edgec.kernels.table import ARMV7
from edgec.passes import PassManager, default_pipeline, known_passes, parse_passes
from edgec.passes.places import ARENA, WEIGHT, Place
from edgec.quantization import SCHEMES
from edgec.targets import cpu_names, device_names, get_device, get_target, target_names
from edgec.toolchain import find_compiler

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PART = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PARTS: dict[str, Callable[[], str]] = {}


def part(write: Callable[[], str]) -> Callable[[], str]:
    """Make a function the writer of the part that has its name."""
    PARTS[write.__name__.replace("_", "-")] = write
    return write


def filled(page: str) -> str:
    """A page with all its parts written anew."""
    return PART.sub(lambda found: f"{found[1]}\n{PARTS[found['name']]().rstrip()}\n\n{found[3]}", page)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; bars inside cells are escaped."""
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(body: str, language: str = "") -> str:
    return f"```{language}\n{body.rstrip()}\n```"


def sentence(documented: Any) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())


# --- operators ------------------------------------------------------------------------------------------------------


def core_operators() -> list[type[Op]]:
    return [cls for _, cls in sorted(REGISTRY.items()) if cls.__module__.startswith("edgec.")]


@part
def operators() -> str:
    rows = [(f"`{cls.name}`", _fields(cls), _onnx(cls), _meaning(cls)) for cls in core_operators()]
    return table(("operator", "operands; attributes", "ONNX", "what it computes"), rows)


def _fields(cls: type[Op]) -> str:
    operands = ", ".join(_operand(f) for f in cls.operand_fields())
    attributes = ", ".join(_attribute(f) for f in cls.attribute_fields())
    return f"{operands}; {attributes}" if attributes else operands


def _operand(field: dataclasses.Field[Any]) -> str:
    kind = str(field.type)
    return field.name + ("..." if "tuple" in kind else "?" if "None" in kind else "")


def _attribute(field: dataclasses.Field[Any]) -> str:
    return field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default!r}"


def _onnx(cls: type[Op]) -> str:
    return f"{cls.domain}::{cls.onnx}" if cls.domain else cls.onnx


def _meaning(cls: type[Op]) -> str:
    """The docstring, or for an elementwise operator without one its expression."""
    if cls.__doc__ and cls.__doc__ != cls.__mro__[1].__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("):
        return sentence(cls)
    if issubclass(cls, Elementwise):
        op = next(iter(cls.samples()))
        names = [f.name for f in cls.operand_fields()]
        return f"`{_formula(op.expression, names)}`"
    return ""


INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "eq": "=="}


def _formula(expression: scalar.Scalar, names: Sequence[str]) -> str:
    if expression.primitive == "arg":
        return names[int(expression.literal)]
    if expression.primitive == "const":
        return f"{expression.literal:g}"
    args = [_formula(a, names) for a in expression.args]
    if expression.primitive in INFIX:
        return f"({args[0]} {INFIX[expression.primitive]} {args[1]})"
    return f"{expression.primitive}({', '.join(args)})"


@part
def primitives() -> str:
    by_arity: dict[int, list[str]] = {}
    for name, primitive in scalar.PRIMITIVES.items():
        by_arity.setdefault(primitive.arity, []).append(f"`{name}`")
    words = {1: "one operand", 2: "two operands", 3: "three operands"}
    return "\n".join(f"- {words[arity]}: {', '.join(names)}" for arity, names in sorted(by_arity.items()))


@part
def stages() -> str:
    rows = [(f"`{stage}`", ", ".join(f"`{n}`" for n in sorted(illegal)) or "-") for stage, illegal in STAGES.items()]
    return table(("stage", "operators that must not occur"), rows)


# --- passes ---------------------------------------------------------------------------------------------------------

STEP = re.compile(r'^    \("(?P<name>[a-z-]+)", \{.*\}\),  # (?P<why>.+)$|^(?P<list>[A-Z]+): tuple', re.MULTILINE)


@part
def pipeline() -> str:
    """The steps with the reasons that stand beside them in pipeline.py."""
    source = (ROOT / "passes" / "pipeline.py").read_text(encoding="utf-8")
    rows, current = [], ""
    for found in STEP.finditer(source):
        current = found["list"] or current
        if found["name"]:
            rows.append((str(len(rows) + 1), f"[`{found['name']}`](#{found['name']})", found["why"]))
    return table(("", "pass", "why it stands there"), rows)


@part
def passes() -> str:
    own = [cls for cls in known_passes().values() if cls.__module__.startswith("edgec.")]
    return "\n\n".join(_pass_section(cls) for cls in own)


def _pass_section(cls: type[Any]) -> str:
    module = sys.modules[cls.__module__]
    file = f"{cls.__module__.removeprefix('edgec.').replace('.', '/')}.py"
    lines = [f"### {cls.name}", "", " ".join((inspect.getdoc(cls) or "").split()), ""]
    options = [f"`{f.name}={_default(f)}`" for f in dataclasses.fields(cls)]
    lines += [f"Options: {', '.join(options)}.", ""] if options else []
    lines += [f"Source: [{file}](../{file})"]
    rules = [(f"`{rule.__name__}`", sentence(rule)) for rule in _rules(module)]
    return "\n".join([*lines, *(["", table(("rule", "what it does"), rules)] if rules else [])])


def _default(field: dataclasses.Field[Any]) -> str:
    default = None if field.default is dataclasses.MISSING else field.default
    return str(default).lower() if isinstance(default, bool) else str(default)


def _rules(module: ModuleType) -> Sequence[Callable[..., Any]]:
    """The rules that a pass's module lists, or those of the one module of rules that it imports."""
    if hasattr(module, "RULES"):
        return list(module.RULES)
    used = [value for value in vars(module).values() if isinstance(value, ModuleType)]
    return [rule for each in used for rule in getattr(each, "RULES", ())]


# --- the worked example ---------------------------------------------------------------------------------------------


def tiny() -> Graph:
    return Graph.parse((ROOT / "docs" / "examples" / "tiny.ir").read_text(encoding="utf-8"))


def steps() -> Iterator[tuple[str, Graph]]:
    """Each pass of the pipeline, run and checked on the example, and the graph after it."""
    graph = tiny()
    for each in default_pipeline(get_target("arm-neon")):
        graph = PassManager([each], verify=True, numeric=True).run(graph)
        yield each.name, graph


@part
def example_source() -> str:
    return code((ROOT / "docs" / "examples" / "tiny.ir").read_text(encoding="utf-8"))


@part
def example_passes() -> str:
    """The text after every pass that changed an op."""
    shown, before = [], _body(tiny())
    for name, graph in steps():
        if _body(graph) != before:
            shown.append(f"After [`{name}`](passes.md#{name}):\n\n{code(print_graph(graph, elide=True))}")
        before = _body(graph)
    return "\n\n".join(shown)


def _body(graph: Graph) -> str:
    return print_graph(graph, elide=True).partition("\n")[2]


def planned() -> Graph:
    return list(steps())[-1][1]


@part
def example_plan() -> str:
    """Where each value of the planned example lives."""
    graph = planned()
    plan = graph.metadata["plan"]
    rows = [_placed(number, value, plan.place(value)) for number, value in enumerate(graph.values)]
    total = f"The arena has {plan.arena_bytes} bytes; the lower bound is {plan.lower_bound}."
    return table(("value", "computed by", "bytes", "where", "strides"), rows) + "\n\n" + total


def _placed(number: int, value: Value, place: Place) -> tuple[str, ...]:
    start = place.offset * value.dtype.bytes + (place.buffer.offset if place.buffer.kind == ARENA else 0)
    where = f"{place.buffer.kind}, byte {start}" if place.buffer.kind != WEIGHT else "weights"
    made = getattr(value.producer, "label", value.producer.name) if value.producer else "input"
    return f"`%{number}`", made, str(value.type.bytes), where, str(list(place.strides))


@part
def example_code() -> str:
    made = program.build(planned(), get_target("arm-neon"))
    return code("\n".join(made.functions.values()), "c")


# --- targets and kernels --------------------------------------------------------------------------------------------


@part
def targets() -> str:
    rows = [("`host`", "", "the machine that compiles: the best of the rows below that it can run")]
    named = [get_target(name) for name in target_names() if name != "host"]
    rows += [(f"`{t.name}`", t.isa, t.description) for t in named]
    return table(("target", "vectors", "what it is"), rows)


@part
def cpus() -> str:
    names = [name for name in target_names() if name != "host"]
    return table(("target", "`--cpu`"), [(f"`{n}`", ", ".join(cpu_names(n)) or "-") for n in names])


@part
def devices() -> str:
    found = [get_device(name) for name in device_names()]
    return table(
        ("`--device`", "target", "cpu", "what it is"),
        [(f"`{d.name}`", f"`{d.target_name}`", d.cpu, d.description) for d in found],
    )


@part
def kernels() -> str:
    rows = [(f"`{k.name}`", f"[{k.header}](../kernels/{k.header})", ", ".join(k.serves)) for k in KERNELS]
    return table(("kernel", "header", "serves"), rows)


SHAPES = ((56, 64, 576), (7, 512, 4608), (1, 1000, 1280), (49, 320, 960), (112, 96, 16))


@part
def tiles() -> str:
    shapes = [f"{w} x {c}, k {k}" for w, c, k in SHAPES]
    isas = [*ISAS.values(), ARMV7]
    names = [*ISAS, "neon (ARMv7)"]
    rows = [
        (name, str(isa.lanes), str(isa.registers), *(_tile(isa.name, isa.registers, shape) for shape in SHAPES))
        for name, isa in zip(names, isas, strict=True)
    ]
    return table(("vectors", "lanes", "registers", *shapes), rows)


def _tile(isa: str, registers: int, shape: tuple[int, int, int]) -> str:
    tile = choose_tile(isa, *shape, registers)
    return f"{tile.mr}x{tile.nv}"


@part
def accuracy() -> str:
    """The comment at the head of ec_math.h."""
    comment = read("ec_math.h").partition("*/")[0].removeprefix("/*")
    return code("\n".join(line.removeprefix(" *").removeprefix(" ") for line in comment.strip("\n").splitlines()))


@part
def vector_layer() -> str:
    names = [f"`{name}`" for header in ("simd/scalar.h", "simd/derived.h") for name in _functions(read(header))]
    return ", ".join(sorted(set(names)))


def _functions(source: str) -> list[str]:
    return re.findall(r"^EC_INLINE \w+ (ec_[fim]32\w*)\(", source, re.MULTILINE)


# --- quantization ---------------------------------------------------------------------------------------------------


@part
def schemes() -> str:
    rows = [(f"`{one.name}`", one.weights, one.activations, one.about) for one in SCHEMES.values()]
    return table(("scheme", "weights", "activations", "meaning"), rows)


# --- command line ---------------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, Callable[..., Any]]]:
    """Name and function of every command."""
    return [(info.name or "", info.callback) for info in app.registered_commands if info.callback]


@part
def command_table() -> str:
    return table(("command", "what it does"), [(f"`{name}`", sentence(function)) for name, function in commands()])


@part
def command_line() -> str:
    return "\n\n".join(_command_section(name, function) for name, function in commands())


def _command_section(name: str, function: Callable[..., Any]) -> str:
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    given = [(p, *typing.get_args(p.annotation)) for p in parameters]
    arguments = [p.name.upper() for p, _, info in given if isinstance(info, typer.models.ArgumentInfo)]
    rows = [(_spelled(p.name, kind, info), info.help or "", _default_of(p)) for p, kind, info in given]
    usage = code(" ".join(["python -m edgec", name, *arguments, "[OPTIONS]"]))
    return f"## {name}\n\n{sentence(function)}\n\n{usage}\n\n{table(('', 'meaning', 'default'), rows)}"


def _spelled(name: str, kind: Any, info: Any) -> str:
    """An argument, or an option with its short form first and what it takes."""
    if isinstance(info, typer.models.ArgumentInfo):
        return f"`{name.upper()}`"
    # Inside `Annotated`, typer keeps the first of the names that an option is given in `default`.
    names = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
    spelled = ", ".join(sorted(names or [f"--{name.replace('_', '-')}"], key=len))
    return f"`{spelled}`" if kind is bool else f"`{spelled} {info.metavar or _takes(kind)}`"


def _takes(kind: Any) -> str:
    kinds = [getattr(one, "__members__", {}).values() for one in (kind, *typing.get_args(kind))]
    choices = [member.value for members in kinds for member in members]
    return "|".join(choices) or {int: "N", float: "X"}.get(kind, "TEXT")


def _default_of(parameter: inspect.Parameter) -> str:
    empty = (inspect.Parameter.empty, None, "", False)
    return "" if any(parameter.default is one for one in empty) else f"`{parameter.default}`"


# --- errors and limits ----------------------------------------------------------------------------------------------


@part
def exit_codes() -> str:
    kinds = [cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, EdgecError)]
    rows = [(str(cls.exit_code), f"`{cls.__name__}`", sentence(cls)) for cls in kinds if cls is not EdgecError]
    first = [("0", "", "Done.")]
    last = [
        ("70", "`EdgecError`", "A fault of edgec itself; EDGEC_DEBUG=1 shows where."),
        ("130, 143, 141", "", "Interrupted, terminated, or nobody read the output."),
    ]
    return table(("status", "exception", "meaning"), [*first, *sorted(rows), *last])


WRONG_CHANNELS = """\
graph(%0: f32[1,3,8,8] "image") {
  %1 = constant(value=fill(0.5)) : f32[8,32,3,3]
  %2 = conv(%0, %1) : f32[1,8,6,6] @ 4 "stem/conv1" "Conv"
  return %2
}"""


NOT_SUPPORTED = UnsupportedNode(
    "input/decode", "ImageDecoder", "this operator is not supported", opset=20, shapes=("4096",)
)


def mistakes() -> Iterator[Callable[[], object]]:
    """Calls that fail, one for each kind of error that a user can bring about."""
    yield lambda: get_target("arm-neom")
    yield lambda: parse_passes("fuse{stratgy=greedy}")
    yield lambda: Graph.parse(WRONG_CHANNELS)
    yield lambda: _raise(errors.Unsupported([NOT_SUPPORTED]))
    yield lambda: find_compiler(get_target("arm-neon"), "no-such-compiler")
    yield lambda: _raise(Mismatch("the self-test failed: output 0 is off by 0.02 of the largest value"))


def _raise(error: EdgecError) -> None:
    raise error


@part
def error_samples() -> str:
    shown = []
    for mistake in mistakes():
        try:
            mistake()
        except EdgecError as error:
            shown.append(f"Exit status {error.exit_code}:\n\n{code(str(error))}")
    return "\n\n".join(shown)


@part
def limits() -> str:
    rows = [
        ("bytes of the model file (weights may lie outside it)", f"{onnx_read.MAX_FILE_BYTES:,}"),
        ("nodes, functions written out", f"{onnx_read.MAX_NODES:,}"),
        ("nesting of graphs in an ONNX model", str(onnx_read.MAX_NESTING)),
        ("nesting of graphs in an .ir file", str(text_parser.MAX_NESTING)),
        ("characters of a name", f"{onnx_read.MAX_NAME:,}"),
        ("keys of an external data entry", ", ".join(f"`{key}`" for key in sorted(onnx_external.KEYS))),
    ]
    return table(("what", "at most"), rows)


@part
def exemptions() -> str:
    names = {exceptions.ONNX: "ONNX", exceptions.RUNTIME: "ONNX Runtime"}
    rows = [(", ".join(f"`{n}`" for n in e.ops.split()), e.shown, names[e.who], e.reason) for e in exceptions.EXEMPT]
    foreign = ", ".join(exceptions.FOREIGN)
    return table(
        ("operators", "element types", "not in", "why"), [*rows, ("all", foreign, "ONNX Runtime", exceptions.NO_KERNEL)]
    )


def main() -> None:
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"rewrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
