"""The values of settings that have a notation of their own. All raise `ValueError` for what they can't read."""

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final
from urllib.parse import urlsplit

from adapters.codecs.standard_webhooks import SigningKey
from application.ports.rate_limits import Quota

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST: Final = 3650 * 86400
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)

# The scheme and host of a page in lower case, with its port if it is not the usual one, and no path.
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?", re.ASCII)
_QUOTAS: Final = ("burst", "sustained")


def expect_currency(text: str) -> None:
    # The list of currencies is read only where it is needed: that takes a tenth of a command's start.
    from entrypoints.currencies import PRICED_IN, UNKNOWN  # noqa: PLC0415

    if text not in PRICED_IN:
        raise ValueError(f"{text[:40]!r} is not {UNKNOWN}")


def range_in(text: str) -> tuple[float, float]:
    low, _, high = text.partition("-")
    bounds = seconds_in(low), seconds_in(high or low)
    if bounds[0] > bounds[1]:
        raise ValueError(f"{text!r} begins above its end; write as in 50ms-200ms")
    return bounds


def origins_in(text: str) -> tuple[str, ...]:
    origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
    for origin in origins:
        if origin != "*" and _ORIGIN.fullmatch(origin) is None:
            raise ValueError(
                f"{origin[:100]!r} is no origin; write as in https://shop.example or http://localhost:3000"
            )
    return origins


def signing_keys_in(text: str) -> tuple[SigningKey, ...]:
    """No message has a key."""
    keys = []
    for number, each in enumerate(text.split(","), start=1):
        try:
            keys.append(SigningKey.parse(each.strip()))
        except ValueError as error:
            raise ValueError(f"of the keys, number {number} can't be read: {error}") from None
    if len({key.public() for key in keys}) < len(keys):
        raise ValueError("a key is there twice")
    return tuple(keys)


def quotas_in(text: str) -> tuple[Quota, ...]:
    if text == "off":
        return ()
    parts = text.split()
    if not 1 <= len(parts) <= len(_QUOTAS):
        raise ValueError(f"{text[:40]!r} is neither off nor one or two limits; write as in 50/1s 1000/60s")
    quotas = []
    for name, part in zip(_QUOTAS, parts, strict=False):
        quantity, _, window = part.partition("/")
        if re.fullmatch(r"[1-9][0-9]{0,8}", quantity) is None:
            raise ValueError(f"{part[:40]!r} is no limit; write a number and a time, as in 50/1s")
        quotas.append(Quota(name, int(quantity), duration_in(window).total_seconds()))
    return tuple(quotas)


def networks_in(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def duration_in(text: str) -> timedelta:
    # Less than a microsecond becomes zero.
    duration = timedelta(seconds=seconds_in(text))
    if not duration:
        raise ValueError(f"{text!r} is no time at all; write as in 500ms, 10s, 30m or 2h")
    return duration


def seconds_in(text: str) -> float:
    """Return the seconds of a duration such as 500ms or 24h. Raise `ValueError`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no duration; write a number and its unit, as in 500ms, 10s, 30m or 2h")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > _LONGEST:
        raise ValueError(f"{text[:40]!r} is too long; 3650d is the longest")
    return seconds


def expect_collector(text: str) -> None:
    """Raise `ValueError`."""
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or url.username is not None or url.query or url.fragment:
        raise ValueError("this is no address of a collector; write it as in http://collector:4318")
