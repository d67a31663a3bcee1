"""What any call of a port may raise, and may pass by itself: nothing happened, or nobody knows whether it did."""


class Trouble(Exception):
    """Something that may pass by itself. No request is to blame for it; trying again may succeed."""


class NotDone(Trouble):
    """Nothing happened, and nothing will. To try again is safe."""


class Unavailable(NotDone):
    """A server can't be reached, or can't do what was asked now. To try again at once is no use."""


class Aborted(NotDone):
    """What was begun was rolled back: a deadlock, a lock that took too long, another writer. Try again at once."""


class Overloaded(NotDone):
    """More calls are waiting than can be answered in time."""


class OutcomeUnknown(Trouble):
    """It may have happened, now or later, or not: no answer came to a commit, a message, or a charge.

    To try again is safe only under the same id or key.
    """
