from collections.abc import Callable

from attrs import define, field

from application.ports.webhooks import Attempt, WebhookRequest, WebhookTransport


@define
class DeferredTransport:
    """Makes the transport when something is first sent.

    Every command has one, and nearly none sends anything. The HTTP client and the certificates of the system took a
    tenth of a command's start.
    """

    _make: Callable[[], WebhookTransport]
    _made: WebhookTransport | None = field(default=None, init=False)

    async def send(self, request: WebhookRequest) -> Attempt:
        if self._made is None:
            self._made = self._make()
        return await self._made.send(request)
