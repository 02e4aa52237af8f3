"""Put the commands together, run one, and turn whatever is raised into a message and an exit status."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from .. import __version__
from ..errors import EXIT_OK, EdgecError, UsageError
from ..escaping import escape
from . import (
    bench,
    compile,
    coverage,
    evaluate,
    explain,
    export,
    inspect,
    knobs,
    opt,
    passes,
    prune,
    quantize,
    run,
    targets,
    verify,
)
from .output import print_error

STDOUT = 1
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE, EXIT_TERMINATED = 130, 141, 143

app = typer.Typer(
    name="edgec",
    epilog="Exit status: 0 done, 1 mismatch, 2 usage, 3 model or data, 4 unsupported, 5 over budget, 6 toolchain.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    compile,
    run,
    verify,
    evaluate,
    quantize,
    prune,
    export,
    bench,
    inspect,
    opt,
    explain,
    targets,
    passes,
    knobs,
    coverage,
):
    app.command(module.__name__.rpartition(".")[2])(module.command)


class Terminated(BaseException):
    """The process was asked to end: clean up as for Ctrl-C."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


VersionOption = Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")]


@app.callback()
def options(version: VersionOption = False) -> None:
    """Compile trained networks ahead of time: ONNX in, C that needs no runtime out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command with the arguments (those of the process if None); returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _handle_termination()
    try:
        return _run(words or ["--help"])
    except EdgecError as error:
        return _report(error, error, words)
    except BrokenPipeError:
        return _close_output()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Terminated:
        return EXIT_TERMINATED
    except Exception as error:
        return _unexpected(error, words)


def _run(words: list[str]) -> int:
    try:
        status = typer.main.get_command(app).main(words, prog_name="edgec", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit:
        # The command-line library ends the process itself when nobody reads the output.
        raise BrokenPipeError from None
    except typer.Abort:
        raise KeyboardInterrupt from None
    return status if isinstance(status, int) else EXIT_OK


def _unexpected(error: Exception, words: Sequence[str]) -> int:
    """Report wrong usage that the command-line library found, or else a fault of edgec's own."""
    describe = getattr(error, "format_message", None)
    if describe is not None:
        hint = "see `python -m edgec --help`, or --help after a command"
        return _report(UsageError(_sentence(describe()), hint=hint), error, words)
    what = f"internal error: {type(error).__name__}: {escape(str(error), 500)}"
    return _report(EdgecError(what, hint="EDGEC_DEBUG=1 shows where"), error, words)


def _report(shown: EdgecError, raised: Exception, words: Sequence[str]) -> int:
    if os.environ.get("EDGEC_DEBUG", "") not in ("", "0"):
        traceback.print_exception(raised)
    return print_error(shown, "--json" in words)


def _sentence(message: str) -> str:
    text = " ".join(message.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _close_output() -> int:
    """Let nothing more be written to a pipe that nobody reads, not even when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
    return EXIT_BROKEN_PIPE


def _handle_termination() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(*_: Any) -> NoReturn:
    raise Terminated
