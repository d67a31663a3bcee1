class CannotGoOn(Exception):
    """A command or a program can't go on. The message says why and what to do: a stack trace would add nothing."""
