from attrs import frozen


@frozen
class ServerHealth:
    """Whether one server that Holdfast uses works. `problem` says what is wrong, and what to do.

    Without a server that is not `required`, orders are still taken, but more slowly, or processed later.
    """

    name: str
    version: str | None
    problem: str | None
    required: bool = True

    @property
    def works(self) -> bool:
        return self.problem is None
