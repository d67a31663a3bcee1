"""The header Request-Id: each response has it, and each line of the log that the request caused."""

import random
import re
from collections.abc import Iterable
from typing import Final

REQUEST_ID: Final = "Request-Id"

_RAW_NAME: Final = b"request-id"
_VALID: Final = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_RAW: Final = re.compile(rb"\r\nrequest-id:[ \t]*([A-Za-z0-9_-]{1,64})[ \t]*(?:\r\n|\Z)", re.IGNORECASE)


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that the client sent, or a new one if it sent none, or one that can't be taken.

    The names of the headers are in lower case.
    """
    sent = b""
    for name, value in headers:
        if name == _RAW_NAME:
            sent = value.strip(b" \t")
    return sent.decode() if sent and _VALID.fullmatch(sent) else new_request_id()


def request_id_in(request: bytes) -> str:
    """Return the id of a request that is not parsed, and begins with its request line."""
    # Most requests have none. To look for the name alone is faster than to match.
    if _RAW_NAME in request.lower():
        head, _, _ = request.partition(b"\r\n\r\n")
        if found := _RAW.search(head):
            return found[1].decode()
    return new_request_id()


def new_request_id() -> str:
    return f"{random.getrandbits(96):024x}"
