"""The attributes of CloudEvents 1.0 that an announced event has, with what each means."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from adapters.codecs.announced import VERSION

# What stands before the name of an attribute in the headers of a message. Of the two prefixes that the binding for AMQP
# allows, it is the one that JMS clients can read as well.
AMQP_PREFIX: Final = "cloudEvents_"
# An extension attribute, whose name has lower-case letters and digits alone. An event that no request caused lacks it.
REQUEST_ID: Final = "requestid"
# Of the extension for distributed tracing. Events of requests whose trace is not kept lack it.
TRACEPARENT: Final = "traceparent"
# What not every event has.
OPTIONAL: Final = frozenset({REQUEST_ID, TRACEPARENT})

ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "specversion": "the version of CloudEvents: `1.0`",
        "type": "what happened, as in the body; also the routing key and the property `type`",
        "source": "the shop that the event comes from: `/` and `HOLDFAST_NAMESPACE`",
        "dataschema": "which event this is the body of, and the version of the body:"
        f" `urn:holdfast:event:order.paid:{VERSION}`",
        "id": "the order id and the sequence: `019b0c2e-7a00-7123-8456-0123456789ab/4`; the same when the event comes"
        " again",
        "subject": "the order id",
        "time": "when it happened, as in the body",
        "sequence": "the sequence as ten digits, so that it can be compared as text: `0000000004`",
        REQUEST_ID: "the request that caused it, as `request_id` in the body; absent where no request did",
        TRACEPARENT: "the step of a trace that caused it (W3C Trace Context); absent where no trace is kept",
    }
)


def attributes_of_type(type_: str, namespace: str) -> dict[str, str]:
    """Return the attributes that all events of this type have in common."""
    return {
        "specversion": "1.0",
        "type": type_,
        "source": f"/{namespace}",
        "dataschema": f"urn:holdfast:event:{type_}:{VERSION}",
    }
