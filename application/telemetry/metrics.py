"""Every metric, by what it is about. `docs/metrics.md` is made of this file."""

from typing import Final

from application.ports.telemetry import Metric
from application.ports.webhooks import AttemptFailure

# Seconds: from a lookup in memory to the longest that a client waits; and from the fastest payment to the slowest.
_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW: Final = (0.05, 0.25, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0)
# Of the payment provider, up to the time after which it is asked again.
_CALLS: Final = (0.01, 0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0)
# Of the work for a message, which waits for the provider.
_WORK: Final = (0.05, 0.25, 1.0, 5.0, 30.0)
# With the minute that an objective is about.
_AGES: Final = (1.0, 5.0, 60.0, 300.0, 1800.0)
# Fewer, where there is one for each use case: a scrape should have less than a thousand series.
_SIZES: Final = (1, 16, 256)
_WAITS: Final = (0.01, 0.05, 0.25, 1.0)

_QUEUE: Final = {"queue": "the work queue"}
_USE_CASE: Final = {"use_case": "the class of the use case"}

HTTP_DURATION: Final = Metric(
    kind="histogram",
    name="http_request_duration_seconds",
    meaning="from the head of a request until its response begins; requests that were shed are not among them",
    labels={
        "method": "the method, or `other`",
        "route": "the path of the route, or `none`; `others` for refusals and redirections, and for all but the 25"
        " combinations of method, route and status that came first; never for `POST /orders`",
        "status": "the status code; its class, as in `4xx`, of refusals, of redirections, and of `others`",
    },
    buckets=(0.005, 0.025, 0.1, 0.3, 1.0, 5.0),
)
IN_FLIGHT: Final = Metric(kind="gauge", name="requests_in_flight", meaning="requests that have no response yet")
LOAD_SHED: Final = Metric(
    kind="counter",
    name="load_shed_total",
    meaning="requests that were refused at once, since too many were in flight",
    labels={"reason": "`concurrency`", "request": "`order`, which is `POST /orders`, or `other`"},
)
REPLAYS: Final = Metric(
    kind="counter", name="idempotent_replays_total", meaning="orders that were answered from what is stored under a key"
)
CACHE_LOOKUPS: Final = Metric(
    kind="counter",
    name="cache_lookups_total",
    meaning="orders, pages and stock levels that were looked up in a cache",
    labels={"cache": "`orders`, `catalogue` or `stock`", "result": "`hit` or `miss`"},
)
ORDERS: Final = Metric(
    kind="counter",
    name="orders_total",
    meaning="requests for an order, by what became of them",
    labels={
        "outcome": "`placed`, `queued`, `replayed`, `refused` by a rule, `unavailable`, `error` of ours, or"
        " `abandoned`: its client left, and it may be placed all the same",
        "intake": "`direct`, `queued` or `auto`, as set",
    },
)
TIME_TO_PAID: Final = Metric(
    kind="histogram",
    name="order_time_to_paid_seconds",
    meaning="from when an order was placed until it was PAID",
    buckets=_SLOW,
)
STOCK_CONFLICTS: Final = Metric(
    kind="counter", name="stock_conflicts_total", meaning="orders that FAILED because too little was left"
)
STUCK: Final = Metric(
    kind="gauge",
    name="stuck_orders",
    meaning="orders that have waited for the worker for longer than HOLDFAST_STUCK_AFTER, up to 1,000",
    labels={"reason": "the status in which they wait: `PROCESSING`, or `REFUND` for a refund that was requested"},
)
BATCH_SIZE: Final = Metric(
    kind="histogram", name="batch_size", meaning="calls in one batch", labels=_USE_CASE, buckets=_SIZES
)
BATCH_WAIT: Final = Metric(
    kind="histogram",
    name="batch_wait_seconds",
    meaning="for how long the first call of a batch has waited for it to begin",
    labels=_USE_CASE,
    buckets=_WAITS,
)
OUTBOX_PENDING: Final = Metric(
    kind="gauge", name="outbox_pending", meaning="events that are not yet announced or in their queue, up to 10,000"
)
OUTBOX_AGE: Final = Metric(
    kind="gauge", name="outbox_oldest_age_seconds", meaning="the age of the oldest of them; 0 if there is none"
)
RELAY_LEADER: Final = Metric(
    kind="gauge", name="relay_leader", meaning="1 in the relay that is active, 0 in one that waits to take over"
)
RELAY_PUBLISHED: Final = Metric(
    kind="counter",
    name="relay_published_total",
    meaning="events that the broker has confirmed",
    labels={"kind": "`work` for our queues, or `announcement`"},
)
RELAY_CONFIRM: Final = Metric(
    kind="histogram",
    name="relay_confirm_seconds",
    meaning="how long the broker took to confirm a batch of events, or not to",
    labels={"kind": "as above"},
    buckets=_FAST,
)
FEED_POSITION: Final = Metric(
    kind="gauge", name="feed_position", meaning="the last position that was given in the feed"
)
QUEUE_TIME: Final = Metric(
    kind="histogram",
    name="queue_time_seconds",
    meaning="from the time of an event to the beginning of its work, by two clocks; not of what is refused",
    labels=_QUEUE,
    buckets=_SLOW,
)
SETTLED: Final = Metric(
    kind="histogram",
    name="settled_seconds",
    meaning="from the time of an event until its work was done, or until an attempt at it has failed; by two clocks,"
    " and not of what is refused",
    labels={**_QUEUE, "outcome": "`done`; or `failed`: it is tried again, or dead-lettered"},
    buckets=_AGES,
)
PROCESS_DURATION: Final = Metric(
    kind="histogram",
    name="process_duration_seconds",
    meaning="how long the work for a message took",
    labels={**_QUEUE, "outcome": "`done`, `trouble` of a server, `refused` by a rule, or `error`"},
    buckets=_WORK,
)
RETRIES: Final = Metric(
    kind="counter", name="retries_total", meaning="messages that are delivered again after a failure", labels=_QUEUE
)
DEAD_LETTERS: Final = Metric(
    kind="counter",
    name="dead_letters_total",
    meaning="dead letters that this process has moved into the table",
    labels=_QUEUE,
)
DEAD_WAITING: Final = Metric(
    kind="gauge", name="dead_letters_waiting", meaning="dead letters that wait for a decision, up to 1,000"
)
DUPLICATES: Final = Metric(
    kind="counter",
    name="inbox_duplicates_total",
    meaning="messages about which nothing was left to do, such as one that was delivered twice",
    labels={"queue": "`payments` or `refunds`"},
)
GATEWAY_CALLS: Final = Metric(
    kind="histogram",
    name="gateway_call_seconds",
    meaning="how long calls to the payment provider took",
    labels={
        "operation": "`charge` or `refund`",
        "outcome": "`done`, `declined` (a charge), `not_done`, `unknown` or `error`",
    },
    buckets=_CALLS,
)
GATEWAY_UNKNOWN: Final = Metric(
    kind="counter",
    name="gateway_unknown_outcomes_total",
    meaning="calls to the payment provider that may have taken effect; each is made again with the same key",
)
DISCREPANCIES: Final = Metric(
    kind="gauge",
    name="reconcile_discrepancies",
    meaning="what the last `holdfast reconcile` has found and not repaired",
    labels={"kind": "as `reconcile` prints it, such as `stock`, `charge` or `stuck`"},
)
RECONCILED: Final = Metric(
    kind="gauge",
    name="reconcile_last_success_timestamp_seconds",
    meaning="when `holdfast reconcile` has last compared everything, whatever it found; 0 if it never has",
)
WEBHOOK_ATTEMPTS: Final = Metric(
    kind="counter",
    name="webhook_attempts_total",
    meaning="attempts to deliver a webhook",
    labels={"outcome": f"`delivered`, or why not: {', '.join(f'`{each}`' for each in AttemptFailure)}"},
)
WEBHOOK_LAG: Final = Metric(
    kind="gauge",
    name="webhook_lag_seconds",
    meaning="the age of the oldest event that an enabled webhook endpoint has not got to; 0 if there is none",
)
WEBHOOKS_UNSIGNED: Final = Metric(
    kind="gauge",
    name="webhook_endpoints_without_key",
    meaning="enabled webhook endpoints that ask for `v1a`, while this process has no key of the shop to sign with",
)
WEBHOOKS_DISABLED: Final = Metric(
    kind="gauge",
    name="webhook_endpoints_disabled",
    meaning="webhook endpoints that the shop has disabled by itself: the receiver has answered 410, or for 120 hours"
    " and 50 attempts there was nothing but failures",
)
EVENT_STREAMS: Final = Metric(
    kind="gauge", name="event_streams", meaning="readers that follow the feed, and requests that wait for an order"
)
LOOP_LAG: Final = Metric(
    kind="histogram",
    name="event_loop_lag_seconds",
    meaning="how much later than it should have a task of the process ran, looked at twice a second",
    buckets=_FAST,
)
POOL_CONNECTIONS: Final = Metric(
    kind="gauge",
    name="db_pool_connections",
    meaning="connections to the database",
    labels={"state": "`in_use` or `idle`"},
)
POOL_WAIT: Final = Metric(
    kind="histogram",
    name="db_pool_wait_seconds",
    meaning="how long a transaction has waited for a connection",
    buckets=_FAST,
)
BUILD_INFO: Final = Metric(
    kind="gauge",
    name="build_info",
    meaning="always 1",
    labels={"version": "of Holdfast", "python": "its version", "program": "`api`, `relay`, `worker` or `up`"},
)

METRICS: Final = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
