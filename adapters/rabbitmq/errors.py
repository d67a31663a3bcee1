"""What RabbitMQ's refusals mean, and what a person can do about them."""

import re
from typing import Final

import aiormq

from application.errors import Misconfigured, Trouble, Unavailable


class Missing(Unavailable):
    """There is no such exchange or queue. The worker declares it."""


def translated(error: Exception, where: str, lost: type[Trouble]) -> Trouble:
    """Return `lost` with a message. Instead of `Unavailable`, return `Misconfigured` or `Missing` where it is that."""
    words = in_words(error, where)
    if lost is not Unavailable:
        return lost(words)
    if isinstance(error, aiormq.ChannelNotFoundEntity):
        return Missing(words)
    is_for_good = isinstance(error, _FOR_GOOD) or _is_of_another_kind(error) or _is_no_virtual_host(error)
    return Misconfigured(words) if is_for_good else Unavailable(words)


def in_words(error: BaseException, where: str) -> str:
    """Return a message that says what is wrong, and what to do about it."""
    if _is_no_virtual_host(error):
        return (
            f"RabbitMQ at {where} has no such virtual host, or this user may not use it: check the path of"
            " AMQP_URL (none at all, or %2F, stands for the virtual host '/')"
        )
    if _is_of_another_kind(error):
        return _other_kind(str(error), where)
    if isinstance(error, aiormq.ProbableAuthenticationError | aiormq.AuthenticationError):
        return f"RabbitMQ at {where} refuses the user or the password: check AMQP_URL"
    if isinstance(error, aiormq.AMQPChannelError | aiormq.ConnectionNotAllowed | aiormq.ConnectionNotImplemented):
        advice = next((f": {advice}" for kind, advice in _ADVICE.items() if isinstance(error, kind)), "")
        return f"RabbitMQ at {where} says {error}{advice}"
    return (
        f"RabbitMQ at {where} can't be reached ({str(error) or 'the connection was lost'}):"
        " is it running, and is AMQP_URL right?"
    )


_FOR_GOOD: Final = (
    aiormq.ProbableAuthenticationError,
    aiormq.AuthenticationError,
    aiormq.ChannelAccessRefused,
    aiormq.ChannelLockedResource,
    aiormq.ConnectionNotAllowed,
    aiormq.ConnectionNotImplemented,
)
_ADVICE: Final[dict[type[Exception], str]] = {
    aiormq.ChannelNotFoundEntity: "run `holdfast migrate`, which declares it",
    aiormq.ChannelAccessRefused: "give this user the rights to configure, write and read everything that begins with"
    " the namespace of the shop, and to write to amq.default"
    " (`rabbitmqctl set_permissions -p VHOST USER CONFIGURE WRITE READ`)",
    aiormq.ChannelLockedResource: "another program holds a queue of this name for itself. Stop that program, or set"
    " another HOLDFAST_NAMESPACE",
}
_INEQUIVALENT: Final = re.compile(
    r"inequivalent arg '(.+?)' for (queue|exchange) '(.+?)' in vhost '(.+?)': (.*)", re.DOTALL
)


def _is_of_another_kind(error: BaseException) -> bool:
    return isinstance(error, aiormq.ChannelPreconditionFailed) and "inequivalent" in str(error)


def _is_no_virtual_host(error: BaseException) -> bool:
    return isinstance(error, aiormq.InvalidFrameError) and "Connection.OpenOk" in str(error)


def _other_kind(text: str, where: str) -> str:
    """Say which queue or exchange is of another kind than ours, and how to remove it."""
    found = _INEQUIVALENT.search(text)
    if found is None:
        return f"RabbitMQ at {where} says {text}: another program has declared it with other arguments"
    argument, what, name, host, difference = found.groups()
    if what == "queue":
        a, needed = "a", "a durable quorum queue"
        remove = (
            f"When it is empty (`rabbitmqctl -q list_queues -p {host} name type messages`), remove it with"
            f" `rabbitmqctl delete_queue -p {host} {name}`"
        )
    else:
        a, needed = "an", "a durable exchange of type topic"
        remove = f"Remove it with `rabbitmqadmin --vhost={host} delete exchange name={name}`, or in the management UI"
    return (
        f"RabbitMQ at {where} has {a} {what} {name} of another kind, declared by another program: Holdfast needs"
        f" {needed}, and the argument {argument!r} differs ({difference}). {remove}, and run `holdfast migrate`"
    )
