from attrs import frozen


@frozen
class ServerHealth:
    """Whether one server that Holdfast uses works. `problem` says what is wrong, and what to do."""

    name: str
    version: str | None
    problem: str | None

    @property
    def works(self) -> bool:
        return self.problem is None
