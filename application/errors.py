"""What any call of a port may raise: errors that may pass by themselves, with a known or an unknown outcome."""


class Trouble(Exception):
    """An error that may pass by itself. It is not the request's fault, and a retry may succeed."""


class NotDone(Trouble):
    """Nothing happened, and nothing will. A retry is safe."""


class Unavailable(NotDone):
    """A server can't be reached, or can't do what was asked now. A retry at once is no use."""


class Misconfigured(Unavailable):
    """A server refuses what was asked, and no waiting mends that. The message says what a person has to do."""


class LaterRelease(Unavailable):
    """A later release has stored this, and only that one can read it: a process of it may be asked a moment later."""


class Aborted(NotDone):
    """The transaction was rolled back: a deadlock, a lock timeout, another writer. Retry at once."""


class Overloaded(NotDone):
    """More calls are waiting than can be answered in time."""


class OutcomeUnknown(Trouble):
    """A commit, a message or a charge got no answer: it may have happened, may still happen, or not.

    A retry is safe only under the same id or key.
    """


class BrokenRow(Exception):
    """A stored row breaks a rule of the domain. The message names it; a person has to correct it."""
