"""Lists and rows as JSON documents, for databases without arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from adapters.codecs.plain import plain

_Processor = Callable[[Any], Any]


class JsonList(TypeDecorator[list[Any]]):
    """A list as `[1, 2, ...]`, with each value converted as for the driver."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def bind_processor(self, dialect: Dialect) -> _Processor:
        process = _processor(self.item, dialect)

        def encode(values: Sequence[Any]) -> str:
            return _encoded(values if process is None else [process(value) for value in values])

        return encode


class JsonRows(TypeDecorator[list[list[Any]]]):
    """Rows, given column by column, as `[[1, "a"], [2, "b"], ...]`."""

    impl = Text
    cache_ok = True

    def __init__(self, items: tuple[TypeEngine[Any], ...]) -> None:
        super().__init__()
        self.items = items

    def bind_processor(self, dialect: Dialect) -> _Processor:
        processors = [_processor(item, dialect) for item in self.items]

        def encode(columns: Sequence[Sequence[Any]]) -> str:
            # Column by column, because most columns need no conversion.
            prepared = [
                values if process is None else map(process, values)
                for process, values in zip(processors, columns, strict=True)
            ]
            return _encoded(list(zip(*prepared, strict=True)))

        return encode


def _processor(item: TypeEngine[Any], dialect: Dialect) -> _Processor | None:
    return item.dialect_impl(dialect).bind_processor(dialect)


def _encoded(document: Any) -> str:
    return msgspec.json.encode(document, enc_hook=plain).decode()
