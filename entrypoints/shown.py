"""How text is shown to people, on a terminal and in logs written as text.

It may come from outside: the name of a product, a message, an error in a server's own words. A control character
in it could steer the terminal, or end a line and forge the next one. A URL in it may have a password.
"""

import re
from typing import Final

# Up to the last `@`: a password that was not encoded may contain `/`, `#`, `?` and `@` itself. The examples in our own
# messages stay as they are.
_USER_AND_PASSWORD: Final = re.compile(
    r"(?P<scheme>(?<![A-Za-z])(?!(?i:https?)://)[A-Za-z][A-Za-z0-9+.-]*://)(?!user:password@[^@]*$)\S*@"
)
# The options of a URL: Redis, for example, takes a password there.
_OPTIONS: Final = re.compile(r"(?P<url>(?<![A-Za-z])(?!(?i:https?)://)[A-Za-z][A-Za-z0-9+.-]*://[^\s?#]*[?#])\S+")
# The URL of a page is no secret, and may stand in the name of a product, unless somebody logs in with it.
_PAGE_USER_AND_PASSWORD: Final = re.compile(r"(?P<scheme>https?://)[^\s/?#]*@", re.IGNORECASE)
_PAGE_SECRET: Final = re.compile(
    r"(?P<name>[?&#](?:password|passwd|pwd|secret|client_secret|token|access_token|api_?key|signature)=)[^\s&#]+",
    re.IGNORECASE,
)


def shown(text: str) -> str:
    """One line, without secrets, of characters that only show themselves."""
    return printable(without_secrets(text))


def printable(text: str) -> str:
    """Control characters, and those that reorder or hide text, are written as Python escapes them."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def without_secrets(text: str) -> str:
    """Every URL in the text without its user and password, and that of a server without its options."""
    if "://" not in text:
        return text
    text = _OPTIONS.sub(r"\g<url>***", _USER_AND_PASSWORD.sub(r"\g<scheme>***@", text))
    return _PAGE_SECRET.sub(r"\g<name>***", _PAGE_USER_AND_PASSWORD.sub(r"\g<scheme>***@", text))
