"""Every rule that a body breaks. msgspec stops at the first, since that is what is fast: this is for refused bodies."""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from attrs import frozen
from msgspec import Struct
from msgspec.structs import fields

from domain.errors import DomainError, pointer_of
from entrypoints.http.refusals import FieldError, InvalidRequest

# A body within its limit could break thousands of rules.
_MOST: Final = 50
# Characters of a request's text that a response repeats.
_MAX_ECHO: Final = 100

# Patterns end with \Z: in Python, `$` also matches before a line feed at the end, and in JSON Schema it does not.
# No database stores all of these characters, and no page shows them.
UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# For text that is shown on one line: without the characters that control a terminal.
PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"
# For text of several lines.
TEXT: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*\Z"
EMAIL: Final = r"^[!-?A-~]+@[!-?A-~]+\Z"
COUNTRY: Final = r"^[A-Z]{2}\Z"
PATTERNS: Final = {
    PRINTABLE: "it has printable characters only",
    TEXT: "it has no control characters, other than tabs and ends of lines",
    EMAIL: "it is an e-mail address, in ASCII",
    COUNTRY: "it is a country, as two letters of ISO 3166-1",
}
_PLAIN: Final = {f"Expected `str` matching regex {pattern!r}": rule for pattern, rule in PATTERNS.items()}

_WITH_PATH: Final = re.compile(r"(?P<rule>.*) - at (?:`key` in )?`(?P<path>\$.*)`", re.DOTALL)
_NAMED_MEMBER: Final = re.compile(r"Object (?P<rule>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_MISSING: Final = ("it is required, and missing", "required")
_UNKNOWN: Final = ("there is no such field here", "unknown")
_NAMED_RULES: Final = {"missing required": _MISSING, "contains unknown": _UNKNOWN}
# What msgspec says, in plain words, and the code of each rule.
_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "datetime": "a time as in 2026-01-31T12:00:00Z",
    "uuid": "a UUID",
}
_RULES: Final = (
    (re.compile(r"Expected `(?P<type>[^`]*)` of length >= (?P<n>\d+)"), "it has at least {n} {unit}", "wrong_length"),
    (re.compile(r"Expected `(?P<type>[^`]*)` of length <= (?P<n>\d+)"), "it has at most {n} {unit}", "wrong_length"),
    (re.compile(r"Expected `(?P<type>[^`]*)` >= (?P<n>\S+)"), "it is {type}, at least {n}", "out_of_range"),
    (re.compile(r"Expected `(?P<type>[^`]*)` <= (?P<n>\S+)"), "it is {type}, at most {n}", "out_of_range"),
    (re.compile(r"Expected `(?P<type>[^`]*)`, got `(?P<got>.*)`"), "it is {type}, not {got}", "wrong_type"),
    (re.compile(r"(?:Integer|Number|Value) .*out of range.*", re.IGNORECASE), "it is out of range", "out_of_range"),
    (re.compile(r"Invalid enum value .*", re.DOTALL), "it is none of the values that are allowed", "not_one_of"),
)


@frozen
class Rule:
    """A rule of a field that no shape can state, such as which currencies there are: `Annotated[str, Rule(...)]`.

    `expect` is given the value, and raises `ValueError`, `InvalidRequest` or a `DomainError`. It is what the handler or
    the use case calls, so that they find nothing that was not told here.
    """

    expect: Callable[[Any], object]


def broken_rules(body: bytes, shape: type[Any]) -> tuple[FieldError, ...]:
    """Return what is wrong with JSON that has this shape: which rules of its fields it breaks."""
    return tuple(islice(_errors(msgspec.json.decode(body), shape, ""), _MOST))


def field_errors(body: bytes, shape: type[Any], first: msgspec.ValidationError) -> tuple[FieldError, ...]:
    """Return what is wrong with the JSON of this shape. `first` is the error that was found when it was decoded."""
    known = _field_error(str(first), "")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        # It is no JSON behind the first error.
        return (known,)
    found = tuple(islice(_errors(value, shape, ""), _MOST))
    return found if any(error.pointer == known.pointer for error in found) else (known, *found)


def short(name: str) -> str:
    return name if len(name) <= _MAX_ECHO else f"{name[:_MAX_ECHO]}..."


def _errors(value: Any, annotation: Any, pointer: str) -> Iterator[FieldError]:
    has_shape = True
    for error in _errors_of_shape(value, annotation, pointer):
        has_shape = False
        yield error
    if has_shape:
        yield from _errors_of_rules(value, annotation, pointer)


def _errors_of_rules(value: Any, annotation: Any, pointer: str) -> Iterator[FieldError]:
    for kind in get_args(annotation) if _is_union(annotation) else (annotation,):
        rules = [each for each in get_args(kind) if isinstance(each, Rule)]
        if not rules:
            continue
        try:
            found = msgspec.convert(value, kind)
        except msgspec.ValidationError:
            # It is of another kind of the union.
            continue
        for rule in rules:
            try:
                rule.expect(found)
            except InvalidRequest as error:
                # A cursor is not in the query here.
                yield from (
                    each if each.pointer is not None else _error(pointer, each.detail, each.code)
                    for each in error.errors
                )
            except DomainError as error:
                for each in (error, *error.others):
                    where = pointer if each.field is None else pointer_of(each.field)
                    yield FieldError(pointer=where, code=each.code, detail=str(each))
            except ValueError as error:
                yield _error(pointer, str(error), "wrong_format")


def _errors_of_shape(value: Any, annotation: Any, pointer: str) -> Iterator[FieldError]:
    kind, *constraints = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    if isinstance(value, dict) and (shape := _shape_in(kind)) is not None:
        yield from _errors_of_members(value, shape, pointer)
    elif isinstance(value, list) and get_origin(kind) is tuple:
        yield from _error_of_whole(value, Annotated[tuple[Any, ...], *constraints], pointer)
        for index, item in enumerate(value):
            yield from _errors(item, get_args(kind)[0], f"{pointer}/{index}")
    else:
        yield from _error_of_whole(value, annotation, pointer)


def _shape_in(kind: Any) -> type[Struct] | None:
    """Return the shape of an object, also of one that may be null or left out."""
    kinds = get_args(kind) if _is_union(kind) else (kind,)
    return next((each for each in kinds if isinstance(each, type) and issubclass(each, Struct)), None)


def _is_union(kind: Any) -> bool:
    return isinstance(kind, UnionType) or get_origin(kind) is Union


def _errors_of_members(value: dict[str, Any], shape: type[Struct], pointer: str) -> Iterator[FieldError]:
    members = {member.encode_name: member for member in fields(shape)}
    for name, member in members.items():
        if name in value:
            yield from _errors(value[name], member.type, _below(pointer, name))
        elif member.required:
            yield _error(_below(pointer, name), *_MISSING)
    for name in value:
        if name not in members:
            yield _error(_below(pointer, short(name)), *_UNKNOWN)


def _error_of_whole(value: Any, annotation: Any, pointer: str) -> Iterator[FieldError]:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        yield _field_error(str(error), pointer)


def _field_error(message: str, pointer: str) -> FieldError:
    if at := _WITH_PATH.fullmatch(message):
        message, pointer = at["rule"], pointer + pointer_of(at["path"].removeprefix("$"))
    if message in _PLAIN:
        return _error(pointer, _PLAIN[message], "wrong_format")
    if named := _NAMED_MEMBER.fullmatch(message):
        return _error(_below(pointer, short(named["name"])), *_NAMED_RULES[named["rule"]])
    for pattern, words, code in _RULES:
        if rule := pattern.fullmatch(message):
            found = rule.groupdict()
            unit = {"array": "items", "object": "keys"}.get(found.get("type") or "", "characters")
            said = {name: text if name == "n" else _in_words(text) for name, text in found.items()}
            return _error(pointer, words.format(**said, unit=unit), code)
    return _error(pointer, message.replace("`", "").lower(), "wrong_format")


def _in_words(types: str) -> str:
    return " or ".join(_TYPES.get(each, each) for each in types.split(" | "))


def _error(pointer: str, detail: str, code: str) -> FieldError:
    return FieldError(pointer=pointer, code=code, detail=detail)


def _below(pointer: str, name: str) -> str:
    # RFC 6901, section 3.
    return f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
