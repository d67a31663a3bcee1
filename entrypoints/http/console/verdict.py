"""Whether all is well, in a line: what is wrong, how bad that is, and where it is looked at.

The marks of the page are those of the verdict, so that both say the same. While an alert pages somebody, all is not
well here either, as far as the database and the servers can tell: docs/console.md names the alerts about which they
can't. What stops the shop or an order is bad, and what it goes on with waits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from attrs import field, frozen
from markupsafe import Markup

from application.ports.overview import Upkeep, Waiting
from application.ports.payments import ProviderSilence
from entrypoints.alive import RELAY, WORKER
from entrypoints.http.console.formats import count_of, duration, moment, number
from entrypoints.http.console.parts import Part
from entrypoints.readiness import CACHE, Readiness

Tone = Literal["good", "wait", "bad"]

# Dead letters and orders are counted so far.
MOST_WAITING: Final = 1000
_OLD_EVENT: Final = timedelta(seconds=60)
_LATE: Final = timedelta(seconds=60)
# A process that is silent for so long has died, unless another has taken its place, as one surely has after the second.
_SILENT: Final = timedelta(minutes=1)
_REPLACED: Final = timedelta(hours=1)
_FAR_BEHIND: Final = timedelta(seconds=60)
_OLD_CHECK: Final = timedelta(days=2)
_FLOW: Final = "/console/flow"
_WAITING: Final = "/console/orders?q=waiting:yes"
_STUCK: Final = "/console/orders?q=stuck:yes"
_SERVERS: Final = "#servers-title"
# What the names of those that consume the worker's queues begin with.
_CONSUMERS: Final = "consumer of "


@frozen
class Finding:
    """Something that is not well. `about` is the mark on the page, `href` where to look at it, if that is elsewhere."""

    about: str
    tone: Tone
    says: Markup | str
    href: str = ""

    @property
    def screen(self) -> str:
        return self.href.partition("?")[0]


def _worst_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda each: each.tone != "bad")


@frozen
class Verdict:
    """All is well if there are no findings. The worst come first."""

    findings: Sequence[Finding] = field(converter=_worst_first)

    @property
    def tone(self) -> Tone:
        return self.findings[0].tone if self.findings else "good"

    def of(self, *about: str) -> Tone:
        """The tone of a mark of the page."""
        return next((each.tone for each in self.findings if each.about in about), "good")


@frozen(kw_only=True)
class Facts:
    """What the page shows, each as far as it is known."""

    waiting: Part[Waiting]
    upkeep: Part[Upkeep]
    servers: Part[Readiness]
    silence: Part[ProviderSilence | None]
    # The other parts of the page, by their names.
    others: Mapping[str, Part[Any]]
    now: datetime

    def verdict(self) -> Verdict:
        return Verdict([*self._servers(), *self._waiting(), *self._upkeep(), *self._unknown()])

    @property
    def missing(self) -> Sequence[str]:
        """The names of what is missing. Without a worker nobody consumes: that is one thing that is wrong."""
        names = () if self.servers.value is None else self.servers.value.missing
        return [name for name in names if WORKER not in names or not name.startswith(_CONSUMERS)]

    def _servers(self) -> Iterator[Finding]:
        servers, silence = self.servers.value, self.silence.value
        if servers is not None and not servers.orders:
            yield Finding("orders", "bad", "orders can't be taken", _SERVERS)
        if silence is not None or (servers is not None and not servers.payments):
            yield Finding("payments", "bad", "payments wait", _SERVERS)
        if silence is not None:
            yield Finding("payment provider", "bad", self._silence(silence), _WAITING)
        for name in self.missing:
            says = f"no {name} is at work" if name in {WORKER, RELAY} else f"{name} does not answer"
            yield Finding(name, "wait" if name == CACHE else "bad", says, _SERVERS)

    def _silence(self, silence: ProviderSilence) -> Markup:
        said = Markup("the payment provider has not answered since {} ({} failed)").format(
            moment(silence.since), count_of(silence.failed_calls, "call")
        )
        if self.waiting.value is None or not self.waiting.value.orders:
            return said
        orders = self.waiting.value.orders
        waits = "waits, and goes on by itself" if orders == 1 else "wait, and go on by themselves"
        # The request of an order may be a dead letter, which nobody but a person drives on.
        but = ", unless the request is a dead letter" if self.waiting.value.dead_letters else ""
        return said + f": {count_of(orders, 'order', most=MOST_WAITING)} {waits} when it answers{but}"

    def _waiting(self) -> Iterator[Finding]:
        waiting = self.waiting.value
        if waiting is None:
            return
        if stuck := sum(waiting.stuck.values()):
            is_are = "is" if stuck == 1 else "are"
            says = f"{count_of(stuck, 'order', most=MOST_WAITING)} {is_are} stuck"
            yield Finding("stuck orders", "bad", says, _STUCK)
        elif waiting.oldest_order is not None and self.now - waiting.oldest_order.since > _LATE:
            says = f"an order has waited for the worker for {duration(self.now - waiting.oldest_order.since)}"
            yield Finding("waiting orders", "bad", says, _WAITING)
        if waiting.outbox and waiting.oldest_event > _OLD_EVENT:
            says = f"an event has waited in the outbox for {duration(waiting.oldest_event)}"
            yield Finding("outbox", "bad", says, _FLOW)
        if letters := waiting.dead_letters:
            waits = "waits" if letters == 1 else "wait"
            says = f"{count_of(letters, 'dead letter', most=MOST_WAITING)} {waits} for a decision"
            yield Finding("dead letters", "wait", says, "/console/dead-letters")
        if failing := waiting.failing_receivers:
            fails = "fails" if failing.number == 1 else "fail"
            says = f"{count_of(failing.number, 'receiver')} of webhooks {fails}"
            yield Finding("webhooks", "wait", says, "/console/webhooks")
        if disabled := waiting.disabled_receivers:
            was, is_ = ("was", "is") if disabled == 1 else ("were", "are")
            says = f"{count_of(disabled, 'receiver')} of webhooks {was} disabled by the shop, and {is_} sent nothing"
            yield Finding("webhooks", "wait", says, "/console/webhooks")
        if not failing and waiting.webhook_lag > _FAR_BEHIND:
            says = f"a receiver of webhooks is {duration(waiting.webhook_lag)} behind"
            yield Finding("webhooks", "wait", says, "/console/webhooks")

    def _upkeep(self) -> Iterator[Finding]:
        upkeep = self.upkeep.value
        if upkeep is None:
            return
        if upkeep.relay is None:
            yield Finding("active relay", "bad", "no relay publishes", _FLOW)
        for each in upkeep.processes:
            if each.heard is not None and _SILENT < each.heard < _REPLACED:
                says = f"nothing was heard of {each.kind} {each.instance} for {duration(each.heard)}: was it replaced?"
                yield Finding("processes", "wait", says, "#processes-title")
        if found := sum(upkeep.discrepancies.values()):
            says = f"the last consistency check has found {number(found)}"
            yield Finding("check", "bad", says, "/console/reconciliations")
        if upkeep.checked_at is not None and self.now - upkeep.checked_at > _OLD_CHECK:
            says = f"the last consistency check was {duration(self.now - upkeep.checked_at)} ago"
            yield Finding("check", "wait", says, "/console/reconciliations")

    def _unknown(self) -> Iterator[Finding]:
        parts: dict[str, Part[Any]] = {
            "what waits": self.waiting,
            "who is at work": self.upkeep,
            "servers": self.servers,
            "payment provider": self.silence,
            **self.others,
        }
        for name, part in parts.items():
            if part.unknown_since is not None:
                yield Finding(name, "wait", f"unknown: {name}")
