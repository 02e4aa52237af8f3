"""Random graphs over all operators, and what comes of them: compiled, exported, imported again."""

from .check import AGREES, DIED, DIFFERS, EXEMPT, PART, REFUSED, WAYS, Finding, check
from .grow import Case, random_case
from .many import Batch, batches
from .shrink import shrink
