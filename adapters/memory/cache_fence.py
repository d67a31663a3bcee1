from attrs import frozen


@frozen
class NoCacheFence:
    """For caches in this process, where nobody else reads, and which are never out of reach."""

    async def raise_and_wait(self) -> None: ...

    def is_up(self) -> bool:
        return False

    async def look(self) -> None: ...
