from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Generic, TypeVar

from attrs import define, field

K = TypeVar("K")
V = TypeVar("V")


@define(eq=False)
class Overlay(Mapping[K, V], Generic[K, V]):
    """The writes of one transaction over the committed data: a `ChainMap` of two, but much faster."""

    _committed: dict[K, V]
    written: dict[K, V] = field(factory=dict, init=False)

    def __getitem__(self, key: K) -> V:
        return self.written[key] if key in self.written else self._committed[key]

    def __setitem__(self, key: K, value: V) -> None:
        self.written[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.written or key in self._committed

    def __iter__(self) -> Iterator[K]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def items(self) -> ItemsView[K, V]:
        return self._all().items()

    def values(self) -> ValuesView[V]:
        return self._all().values()

    def _all(self) -> dict[K, V]:
        return self._committed | self.written if self.written else self._committed
