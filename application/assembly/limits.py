"""What an operator may choose for the use cases."""

from datetime import timedelta
from typing import Literal

from attrs import frozen

from application.webhooks.destinations import NOTHING_ELSE, Allowed


@frozen(kw_only=True)
class Limits:
    """The kind of intake, the sizes of batches, and the timeouts in seconds."""

    intake: Literal["direct", "queued", "auto"] = "direct"
    batch_max: int = 256
    batches_in_flight: int = 2
    longest_wait: float = 1.0
    consumer_batch_max: int = 256
    # Calls to the payment provider at once, of charges and of refunds each.
    max_charges: int = 128
    # Seconds that one of these calls may take.
    charge_timeout: float = 30.0
    relay_batch_max: int = 512
    # Together these are less than the deadline of a request. The broker's timeout leaves time to connect. A stale
    # connection to the database is detected after 3 s. The last timeout is for the last attempt to store an order.
    database_timeout: float = 1.0
    broker_timeout: float = 2.0
    last_resort_timeout: float = 4.0
    # How long the circuit breaker waits before it tries a server again.
    breaker_pause: float = 1.0
    order_expiry: timedelta = timedelta(minutes=30)
    # The pause between two looks for unpaid orders. A time without two looks was an outage.
    expiry_look: timedelta = timedelta(seconds=30)
    stuck_after: timedelta = timedelta(minutes=10)
    # How long the stored responses of idempotency keys are kept. None: for good.
    key_retention: timedelta | None = None
    # The least and the most seconds that a worker takes over each message.
    simulated_work: tuple[float, float] = (0.0, 0.0)
    # None keeps positions for good.
    feed_retention: timedelta | None = None
    # Readers that follow the feed at once, and requests that wait for an order at once, in this process.
    followers_max: int = 500
    # How many jobs a worker runs at once, and for how long those that have ended are kept.
    max_jobs: int = 8
    job_retention: timedelta = timedelta(days=7)
    # Rows of an import that share one transaction.
    import_batch: int = 250
    # How long the files of jobs are kept: what exports have written, and what imports were given and have done.
    export_retention: timedelta = timedelta(days=1)
    # Where webhooks may go beside https to public addresses.
    webhooks_allowed: Allowed = NOTHING_ELSE
    # Whether the shop may be emptied, and what it is called.
    allow_reset: bool = False
    namespace: str = "holdfast"
