"""`holdfast dead`: messages that could not be processed, and what a person decides about them."""

import getpass
import os
import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from application.access.principal import Principal, the_system
from domain.dead_letter import DeadLetter
from entrypoints.cli.common import CommandError, Data, Whole, command_settings, with_use_cases
from entrypoints.cli.output import tell
from entrypoints.shown import printable

if TYPE_CHECKING:
    from application.assembly.use_cases import UseCases

Ids = Annotated[Whole, Parameter(help="Ids of dead letters, as `holdfast dead list` prints them.")]
Everything = Annotated[bool, Parameter(name="--all", negative="", help="All dead letters that wait for a decision.")]
By = Annotated[str | None, Parameter(help="Name of the person who decides. Default: the user of the operating system.")]
Reason = Annotated[str, Parameter(help="Why, for the audit.")]

_PAGE = 200
_WIDEST = 100


def list_dead_letters(
    *,
    decided: Annotated[bool, Parameter(name="--all", negative="", help="Also those that were decided.")] = False,
    data: Data = None,
) -> None:
    async def work(use_cases: "UseCases") -> None:
        list_page, by, last = use_cases.list_dead_letters, the_system(_user()), None
        tell(_LINE.format("ID", "CONSUMER", "ATTEMPTS", "LAST", "DECISION", "ORDER", "REASON"))
        while page := await list_page(by, decided=decided, after=last, limit=_PAGE):
            for letter in page:
                tell(_line(letter))
            last = page[-1].id

    with_use_cases(command_settings(data=data), work)


def show(
    id: Annotated[Whole, Parameter(help="Id of the dead letter.")],  # noqa: A002 - the help shows this name
    /,
    *,
    data: Data = None,
) -> None:
    async def work(use_cases: "UseCases") -> None:
        letter = await use_cases.get_dead_letter(the_system(_user()), id)
        message = letter.message
        decision = f"{letter.decision.value} by {letter.decided_by} at {letter.decided_at}" if letter.decision else "-"
        for name, value in (
            ("id", letter.id),
            ("consumer", letter.consumer),
            ("event", f"{letter.event.order_id}/{letter.event.sequence}" if letter.event else "can't be read"),
            ("reason", message.reason),
            ("attempts", message.attempts),
            ("first", message.first_at),
            ("last", message.last_at),
            ("decision", decision),
            ("bytes", len(message.body)),
        ):
            tell(f"{name:9} {value}")
        tell(message.body.decode(errors="backslashreplace"))

    with_use_cases(command_settings(data=data), work)


def replay(*ids: Ids, everything: Everything = False, by: By = None, reason: Reason = "", data: Data = None) -> None:
    _expect_choice(ids, everything=everything)

    async def work(use_cases: "UseCases") -> None:
        who = the_system(by or _user())
        chosen = _waiting(use_cases, who) if everything else _these(ids)
        _tell(
            "replayed",
            [
                outcome
                async for some in chosen
                for outcome in await use_cases.replay_dead_letters(who, some, reason=reason)
            ],
        )

    with_use_cases(command_settings(data=data), work)


def discard(
    *ids: Ids,
    reason: Reason,
    everything: Everything = False,
    yes: Annotated[bool, Parameter(negative="", help="Discard without asking.")] = False,
    by: By = None,
    data: Data = None,
) -> None:
    _expect_choice(ids, everything=everything)
    if not yes:
        _confirm("all dead letters" if everything else f"dead letter {', '.join(map(str, ids))}")

    async def work(use_cases: "UseCases") -> None:
        who = the_system(by or _user())
        chosen = _waiting(use_cases, who) if everything else _these(ids)
        _tell(
            "discarded",
            [
                outcome
                async for some in chosen
                for outcome in await use_cases.discard_dead_letters(who, some, reason=reason)
            ],
        )

    with_use_cases(command_settings(data=data), work)


async def _these(ids: Sequence[int]) -> AsyncIterator[Sequence[int]]:
    yield ids


async def _waiting(use_cases: "UseCases", who: Principal) -> AsyncIterator[Sequence[int]]:
    last: int | None = None
    while page := await use_cases.list_dead_letters(who, after=last, limit=_PAGE):
        yield [letter.id for letter in page]
        last = page[-1].id


_LINE = "{:>6}  {:10} {:>8}  {:20} {:10} {:36}  {}"


def _line(letter: DeadLetter) -> str:
    return _LINE.format(
        letter.id,
        letter.consumer,
        letter.message.attempts,
        f"{letter.message.last_at:%Y-%m-%d %H:%M:%S}",
        letter.decision.value if letter.decision else "-",
        str(letter.event.order_id) if letter.event else "-",
        letter.message.reason[:_WIDEST],
    )


def _expect_choice(ids: Sequence[int], *, everything: bool) -> None:
    if bool(ids) == everything:
        raise CommandError(
            "name dead letters by their ids, as `holdfast dead list` prints them; or write --all for all of them"
        )


def _confirm(what: str) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise CommandError(
            f"can't ask for confirmation, because standard input is not a terminal; to discard {what}, add --yes"
        )
    try:
        answer = input(f"Discard {what}? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing was discarded")


def _tell(done: str, outcomes: Sequence[DeadLetter | Exception]) -> None:
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    tell(f"{done} {len(outcomes) - len(refused)}")
    if refused:
        raise CommandError("\n".join(str(error) for error in refused))


def _user() -> str:
    try:
        # Environment variables decide, and may hold what is no text.
        return printable(getpass.getuser())
    except (KeyError, OSError):
        # In a container a user may have a number and no name.
        return f"user {os.getuid()}"
