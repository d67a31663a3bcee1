"""What is stored of endpoints and of attempts, as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from adapters.codecs.plain import plain
from application.ports.webhooks import Attempt, AttemptFailure
from domain.webhooks.endpoint import Secret

_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)


class AttemptLine(msgspec.Struct, omit_defaults=True):
    at: datetime
    ms: int
    failure: str | None = None
    address: str | None = None
    status: int | None = None
    headers: dict[str, str] = {}
    # In base64: a text in a database can't have every byte.
    body: bytes = b""


class SecretShape(msgspec.Struct, omit_defaults=True):
    text: str
    until: datetime | None = None


_LINE: Final = msgspec.json.Decoder(AttemptLine)
_SECRETS: Final = msgspec.json.Decoder(list[SecretShape])


def lines_of(attempts: Sequence[Attempt]) -> str:
    return "".join(f"{_ENCODER.encode(_line(attempt)).decode()}\n" for attempt in attempts)


def attempts_in(lines: str) -> list[Attempt]:
    # A header may hold characters that end a line elsewhere, such as U+0085.
    return [_attempt(_LINE.decode(line)) for line in lines.split("\n") if line]


def encoded_secrets(secrets: Sequence[Secret]) -> str:
    return _ENCODER.encode([SecretShape(secret.text, secret.until) for secret in secrets]).decode()


def secrets_in(text: str) -> tuple[Secret, ...]:
    return tuple(Secret(shape.text, shape.until) for shape in _SECRETS.decode(text))


def _line(attempt: Attempt) -> AttemptLine:
    return AttemptLine(
        attempt.at,
        attempt.duration_ms,
        attempt.failure,
        attempt.address,
        attempt.status,
        {_sound(name): _sound(value) for name, value in attempt.headers.items()},
        attempt.body,
    )


def _attempt(line: AttemptLine) -> Attempt:
    return Attempt(
        at=line.at,
        duration_ms=line.ms,
        failure=None if line.failure is None else AttemptFailure(line.failure),
        address=line.address,
        status=line.status,
        headers=line.headers,
        body=line.body,
    )


def _sound(text: str) -> str:
    """What a stranger has sent may have halves of characters, which JSON can't have."""
    return text.encode(errors="replace").decode()
