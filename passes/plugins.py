"""Loading a Python file that registers passes, operators or strategies by the decorators of this package."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from ..errors import EdgecError, UsageError
from ..escaping import escape


def load_plugin(path: str | Path) -> ModuleType:
    """Run a plugin file once and return its module; `UsageError` with file and line when it fails.

    A plugin is code that the user names; nothing in a model ever leads here.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"there is no plugin file '{escape(str(path))}'")
    name = f"edgec_plugin_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    return sys.modules[name] if name in sys.modules else _run(name, file)


def _run(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"the plugin '{escape(str(file))}' is not a Python file", hint="its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _explained(file, error) from error
    return module


def _explained(file: Path, error: Exception) -> UsageError:
    what = error.what if isinstance(error, EdgecError) else f"{type(error).__name__}: {escape(str(error))}"
    hint = error.hint if isinstance(error, EdgecError) else ""
    return UsageError(f"the plugin does not load: {what}", where=f"{escape(str(file))}:{_line(file, error)}", hint=hint)


def _line(file: Path, error: Exception) -> int:
    """The last line of the plugin itself that was running."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename) == file and f.lineno]
    return lines[-1] if lines else 1
