"""`holdfast listen`: the events of a shop, signed and sent to a program on this machine."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from entrypoints.cli.common import CommandError, Data, command_settings
from entrypoints.cli.output import say, tell

if TYPE_CHECKING:
    from entrypoints.cli.listener import Place, RemoteFeed
    from entrypoints.settings import Settings

# Seconds for one attempt to deliver, and for an answer of the shop, which may keep a request open for ten.
_ATTEMPT = 15.0
_ANSWER = 25.0


def listen(
    *,
    forward_to: Annotated[str, Parameter(help="Where the events go, as in http://localhost:3000/webhooks.")],
    shop: Annotated[
        str | None, Parameter(help="Address of the shop. Default: HOLDFAST_HOST and HOLDFAST_PORT.")
    ] = None,
    types: Annotated[str | None, Parameter(help="Only these types, as in order.paid,order.failed or order.*")] = None,
    since: Annotated[
        str | None,
        Parameter(
            help="Begin after a position of the feed, or some time ago, as in 10m. Default: go on, or what is new."
        ),
    ] = None,
    print_json: Annotated[
        bool, Parameter(negative="", help="Print each event that was taken as a line of JSON.")
    ] = False,
    data: Data = None,
) -> None:
    import httpx

    from entrypoints.cli.listener import Place, Receiver, RemoteFeed, forward

    settings = command_settings(data=data)
    url, target = _address("--shop", shop or _own_address(settings)), _address("--forward-to", forward_to)
    key = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    # Neither a proxy of the environment nor a redirect: what is said is where it goes.
    with (
        httpx.Client(base_url=url, headers=key, timeout=_ANSWER, trust_env=False) as asking,
        httpx.Client(timeout=_ATTEMPT, trust_env=False, headers={"User-Agent": "holdfast"}) as telling,
    ):
        feed, place = RemoteFeed(asking, types, say), Place.open(settings.data, url, target, types or "")
        after = _beginning(place, feed, since)
        # Before it is kept: the next run would begin there as well.
        feed.expect(after)
        place.move_to(after)
        say(f"events after position {after} go to {target}, signed with the secret {place.secret.told()}")
        for text in forward(feed, Receiver(telling, target, place.secret, say), place, after=after):
            if print_json:
                tell(text.decode())


def _beginning(place: "Place", feed: "RemoteFeed", since: str | None) -> int:
    if since is not None:
        return _position(since, feed)
    return feed.newest() if place.position is None else place.position


def _position(since: str, feed: "RemoteFeed") -> int:
    from entrypoints.setting_values import seconds_in

    if since.isascii() and since.isdecimal():
        return int(since)
    try:
        moment = datetime.now(UTC) - timedelta(seconds=seconds_in(since))
    except (ValueError, OverflowError):
        raise CommandError(
            f"--since: {since[:40]!r} is neither a position nor a time; write as in 1200, 10m or 24h"
        ) from None
    return feed.begin_after(moment)


def _own_address(settings: "Settings") -> str:
    # What listens on all addresses is reached at its own.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _address(option: str, text: str) -> str:
    import httpx

    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.fragment:
        raise CommandError(f"{option}: {text[:200]!r} is no address; write as in http://localhost:3000/webhooks")
    return str(url)
