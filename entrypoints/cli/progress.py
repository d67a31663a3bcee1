"""Shows on standard error how far a long piece of work is: in one line of a terminal, or in a line now and then."""

import sys
from time import monotonic
from typing import Final

from attrs import define, field

from entrypoints.cli.output import say

# Seconds between two of them.
_ON_TERMINAL: Final = 0.2
_IN_LOG: Final = 10.0


@define
class ShownProgress:
    _what: str = field(default="", init=False)
    _shown_at: float = field(default=0.0, init=False)

    def __call__(self, what: str, done: int, of: int) -> None:
        is_terminal = sys.stderr is not None and sys.stderr.isatty()
        now, ends = monotonic(), done >= of
        if what == self._what and not ends and now - self._shown_at < (_ON_TERMINAL if is_terminal else _IN_LOG):
            return
        self._what, self._shown_at = what, now
        line = f"{what}: {done:,} of {of:,}"
        if is_terminal:
            sys.stderr.write(f"\r\x1b[K{line}" + ("\n" if ends else ""))
            sys.stderr.flush()
        else:
            say(line)
