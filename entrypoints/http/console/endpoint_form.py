"""The form of a receiver of webhooks, read as the API reads its JSON."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from adapters.codecs.plain import plain
from application.webhooks.endpoints import NewEndpoint
from domain.webhooks.endpoint import Endpoint
from entrypoints.http.bodies.webhooks import ChangeEndpointBody, NewEndpointBody
from entrypoints.http.ids import whole_number_of
from entrypoints.http.json_shapes import decode
from entrypoints.http.refusals import FieldError, InvalidRequest, in_body

_NEW: Final = msgspec.json.Decoder(NewEndpointBody)
_CHANGE: Final = msgspec.json.Decoder(ChangeEndpointBody)
_TEXTS: Final = ("url", "description", "payload", "ordering", "signature")

EMPTY: Final[Mapping[str, str]] = {
    **dict.fromkeys(("url", "description", "headers", "rate_per_s"), ""),
    "events": "*",
    "payload": "full",
    "ordering": "strict",
    "signature": "v1",
    "max_concurrency": "4",
}


def fields_of(endpoint: Endpoint) -> dict[str, str]:
    """Return what stands in the form of this receiver. The values of its headers may be secret, and are not shown."""
    return {
        "url": endpoint.url,
        "description": endpoint.description,
        "events": "\n".join(endpoint.events),
        "payload": endpoint.payload.value,
        "ordering": endpoint.ordering.value,
        "signature": endpoint.signature.value,
        "headers": "",
        "rate_per_s": "" if endpoint.rate_per_s is None else str(endpoint.rate_per_s),
        "max_concurrency": str(endpoint.max_concurrency),
    }


def new_endpoint(sent: Mapping[str, str]) -> NewEndpoint:
    """Raise `InvalidRequest`."""
    return decode(msgspec.json.encode({**_read(sent), "headers": _headers(sent)}, enc_hook=plain), _NEW).to_new()


def changes(sent: Mapping[str, str]) -> dict[str, Any]:
    """Return what the form of a receiver wants. Without headers, those that are there stay. Raise `InvalidRequest`."""
    wanted = _read(sent)
    if sent.get("headers", "").strip() or "without_headers" in sent:
        wanted["headers"] = {} if "without_headers" in sent else _headers(sent)
    return decode(msgspec.json.encode(wanted, enc_hook=plain), _CHANGE).changes()


def _read(sent: Mapping[str, str]) -> dict[str, Any]:
    texts = {name: sent.get(name, "").strip() for name in _TEXTS}
    rate = sent.get("rate_per_s", "").strip()
    return {
        **texts,
        "events": sent.get("events", "").replace(",", " ").split(),
        "rate_per_s": _number("rate_per_s", rate) if rate else None,
        "max_concurrency": _number("max_concurrency", sent.get("max_concurrency", "").strip()),
    }


def _number(name: str, text: str) -> int:
    number = whole_number_of(text)
    if number is None:
        raise InvalidRequest(in_body(name, "it is a whole number"))
    return number


def _headers(sent: Mapping[str, str]) -> dict[str, str]:
    """One in a line, as in `Authorization: Bearer abc`."""
    found: dict[str, str] = {}
    errors: list[FieldError] = []
    for line in filter(str.strip, sent.get("headers", "").splitlines()):
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or name.strip() in found:
            errors.append(in_body("headers", "each line is a name, a colon and a value, and no name comes twice"))
        found[name.strip()] = value.strip()
    if errors:
        raise InvalidRequest(*errors[:1])
    return found
