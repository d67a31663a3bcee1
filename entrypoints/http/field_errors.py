"""Every rule that a body breaks. msgspec stops at the first, since that is what is fast: this is for refused bodies."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from entrypoints.http.refusals import FieldError

# A body within its limit could break thousands of rules.
_MOST: Final = 50
# Characters of a request's text that a response repeats.
_MAX_ECHO: Final = 100

# For text that is shown on one line: without the characters that control a terminal.
PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
_PLAIN: Final = {f"Expected `str` matching regex {PRINTABLE!r}": "it has printable characters only"}

_WITH_PATH: Final = re.compile(r"(?P<rule>.*) - at `(?P<path>\$.*)`", re.DOTALL)
_NAMED_MEMBER: Final = re.compile(r"Object (?P<rule>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_REQUIRED: Final = "it is required, and missing"
_UNKNOWN: Final = "there is no such field here"
_NAMED_RULES: Final = {"missing required": _REQUIRED, "contains unknown": _UNKNOWN}


def field_errors(body: bytes, shape: type[Any], first: msgspec.ValidationError) -> tuple[FieldError, ...]:
    """Return what is wrong with the JSON of this shape. `first` is the error that was found when it was decoded."""
    known = _field_error(str(first), "")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        # It is no JSON behind the first error.
        return (known,)
    found = tuple(islice(_errors(value, shape, ""), _MOST))
    return found if any(error.field == known.field for error in found) else (known, *found)


def short(name: str) -> str:
    return name if len(name) <= _MAX_ECHO else f"{name[:_MAX_ECHO]}..."


def _errors(value: Any, annotation: Any, path: str) -> Iterator[FieldError]:
    kind, *constraints = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, Struct):
        yield from _errors_of_members(value, kind, path)
    elif isinstance(value, list) and get_origin(kind) is tuple:
        yield from _error_of_whole(value, Annotated[tuple[Any, ...], *constraints], path)
        for index, item in enumerate(value):
            yield from _errors(item, get_args(kind)[0], f"{path}[{index}]")
    else:
        yield from _error_of_whole(value, annotation, path)


def _errors_of_members(value: dict[str, Any], shape: type[Struct], path: str) -> Iterator[FieldError]:
    members = {member.encode_name: member for member in fields(shape)}
    for name, member in members.items():
        if name in value:
            yield from _errors(value[name], member.type, _below(path, name))
        elif member.required:
            yield FieldError(_below(path, name), _REQUIRED)
    for name in value:
        if name not in members:
            yield FieldError(_below(path, short(name)), _UNKNOWN)


def _error_of_whole(value: Any, annotation: Any, path: str) -> Iterator[FieldError]:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        yield _field_error(str(error), path)


def _field_error(message: str, path: str) -> FieldError:
    if at := _WITH_PATH.fullmatch(message):
        message, path = at["rule"], path + at["path"].removeprefix("$").removeprefix("." if not path else "")
    if message in _PLAIN:
        return FieldError(path or "body", _PLAIN[message])
    if named := _NAMED_MEMBER.fullmatch(message):
        return FieldError(_below(path, short(named["name"])), _NAMED_RULES[named["rule"]])
    return FieldError(path or "body", message.replace("`", "").lower())


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
