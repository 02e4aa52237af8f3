"""The tokens of the text form: words, numbers, strings, and where they stand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ..errors import ModelError


class Tokens:
    """A text, read from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self.text, self.position = text, 0

    def fail(self, message: str) -> ModelError:
        return ModelError(f"text form: {message}", where=self.here())

    def here(self) -> str:
        line = self.text.count("\n", 0, self.position) + 1
        column = self.position - (self.text.rfind("\n", 0, self.position) + 1) + 1
        return f"line {line}, column {column}"

    def space(self) -> None:
        while self.position < len(self.text):
            if self.text[self.position] == "#":
                end = self.text.find("\n", self.position)
                self.position = len(self.text) if end < 0 else end
            elif not self.text[self.position].isspace():
                return
            else:
                self.position += 1

    def peek(self, token: str) -> bool:
        self.space()
        return self.text.startswith(token, self.position)

    def take(self, token: str) -> bool:
        if not self.peek(token):
            return False
        self.position += len(token)
        return True

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.fail(f"expected '{token}'")

    def word(self, extra: str = "") -> str:
        self.space()
        found = re.compile(rf"[\w{re.escape(extra)}]+").match(self.text, self.position)
        if not found:
            raise self.fail("expected a word")
        self.position = found.end()
        return found[0]

    def json(self) -> Any:
        self.space()
        try:
            value, self.position = json.JSONDecoder().raw_decode(self.text, self.position)
        except ValueError:
            raise self.fail("expected a number, a string, true or false") from None
        return value

    def string(self, default: str = "") -> str:
        return str(self.json()) if self.peek('"') else default

    def items(self, close: str, one: Callable[[], Any]) -> list[Any]:
        found: list[Any] = []
        while not self.take(close):
            if found:
                self.expect(",")
            found.append(one())
        return found
