"""How text is shown to people, on a terminal and in logs written as text.

It may come from outside: the name of a product, a message, an error in a server's own words. A control character
in it could steer the terminal, or end a line and forge the next one. A URL in it may have a password.
"""

import re
from typing import Final

# Up to the last `@`: a password that was not encoded may contain `/`, `#`, `?` and `@` itself. The examples in our own
# messages stay as they are.
_USER_AND_PASSWORD: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?!user:password@[^@]*$)\S*@")
# The options of a URL: Redis, for example, takes a password there.
_OPTIONS: Final = re.compile(r"(?P<url>[A-Za-z][A-Za-z0-9+.-]*://[^\s?#]*[?#])\S+")


def shown(text: str) -> str:
    """One line, without secrets, of characters that only show themselves."""
    return printable(without_secrets(text))


def printable(text: str) -> str:
    """Control characters, and those that reorder or hide text, are written as Python escapes them."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def without_secrets(text: str) -> str:
    """Every URL in the text without its user, password and options."""
    if "://" not in text:
        return text
    return _OPTIONS.sub(r"\g<url>***", _USER_AND_PASSWORD.sub(r"\g<scheme>***@", text))
