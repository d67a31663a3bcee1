"""What any call of a port may raise, and may pass by itself."""


class Unavailable(Exception):
    """A server can't be reached, or did not answer in time. What was asked of it may have happened or not."""


class Aborted(Exception):
    """Nothing happened: a deadlock, a lock that took too long. Trying again may succeed."""
