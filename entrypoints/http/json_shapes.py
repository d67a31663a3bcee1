"""JSON that is decoded into its shape. It needs no request, so that a worker reads the rows of files with it."""

import json
from typing import Any, Protocol, TypeVar

import msgspec

from entrypoints.http.field_errors import field_errors, short
from entrypoints.http.refusals import InvalidRequest, MalformedBody


class Body(Protocol):
    """The body of a request: a Struct."""

    def members(self) -> int: ...


B = TypeVar("B", bound=Body)


def decode(body: bytes, decoder: msgspec.json.Decoder[B]) -> B:
    """Decode JSON. Raise `MalformedBody` if it is not valid JSON, and `InvalidRequest` if it has another shape."""
    try:
        decoded = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(*field_errors(body, decoder.type, error)) from None
    except RecursionError:
        raise MalformedBody("The JSON is nested too deeply.") from None
    except UnicodeDecodeError:
        raise MalformedBody("The JSON is not UTF-8.") from None
    except msgspec.DecodeError as error:
        raise MalformedBody(f"The JSON can't be parsed: {error}.") from None
    # Each member has a colon. If there are more colons than members, a member may have been written twice.
    if body.count(b":") != decoded.members():
        _refuse_duplicates(body)
    return decoded


def _refuse_duplicates(body: bytes) -> None:
    def members(pairs: list[tuple[str, Any]]) -> None:
        # A body has room for thousands of names: to count each of them among all took more than a second.
        known = set()
        for name, _ in pairs:
            if name in known:
                raise MalformedBody(f"The member {short(name)} appears twice in one object.")
            known.add(name)

    json.loads(body, object_pairs_hook=members)
