"""Random graphs over all operators, and what comes of them: compiled, exported, imported again."""

from .check import AGREES, DIED, DIFFERS, EXEMPT, REFUSED, WAYS, Finding, check
from .grow import Case, random_case
from .shrink import shrink
