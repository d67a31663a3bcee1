"""Requests and responses as `/openapi.json` shows them. Their types are the schemas there."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import asdict as members_of
from msgspec.structs import replace

from adapters.codecs.feed_items import FeedItemBody
from application.access.scopes import Role, Scope
from application.orders.explain_order import StepKind
from application.orders.legs import LegName
from application.orders.standing import WaitsFor
from domain.jobs.job import JobStatus
from domain.orders.events import OrderPlaced
from domain.orders.status import OrderStatus
from domain.webhooks.delivery import DeliveryStatus
from domain.webhooks.endpoint import Ordering, Payload, Signature
from entrypoints.http.bodies.admin import ResetBody, ResetDoneBody, SeedBody
from entrypoints.http.bodies.audit import AuditBody, AuditEntryBody
from entrypoints.http.bodies.bulk import BulkBody, BulksBody, CauseFilterBody, MeasuredBody, StartBulkBody
from entrypoints.http.bodies.carts import CartBody, CartItemBody, PutItemBody
from entrypoints.http.bodies.dead_letters import (
    ChangeBody,
    DeadLetterBody,
    DeadLettersBody,
    LetterGroupBody,
    LetterGroupsBody,
    ProviderCallBody,
    TrialBody,
)
from entrypoints.http.bodies.events import EventBody, FeedBody, HistoryBody
from entrypoints.http.bodies.expanded import ExpandedOrderBody
from entrypoints.http.bodies.exports import ExportBody, ExportFilterBody
from entrypoints.http.bodies.health import LiveBody, ReadyBody
from entrypoints.http.bodies.imports import ImportBody
from entrypoints.http.bodies.jobs import JobAcceptedBody, JobBody, JobsBody, ProgressBody
from entrypoints.http.bodies.keys import IssuedKeyBody, KeyBody, KeysBody, NewKeyBody
from entrypoints.http.bodies.messages import MessageBody, MessageContentBody, MessagesBody
from entrypoints.http.bodies.orders import (
    ChangeStatusBody,
    CheckedLineBody,
    CheckedOrderBody,
    CheckOrderBody,
    OrderBody,
    OrderLineBody,
    OrdersBody,
    PlaceOrderBody,
    RequestedItemBody,
    SearchOrdersBody,
)
from entrypoints.http.bodies.problems import ProblemKindBody, ProblemKindsBody
from entrypoints.http.bodies.products import (
    AdjustmentBody,
    AdjustmentsBody,
    AdjustStockBody,
    ChangeProductBody,
    NewProductBody,
    ProductBody,
    ProductsBody,
)
from entrypoints.http.bodies.reconciliations import ReconciliationBody, ReconciliationsBody
from entrypoints.http.bodies.timeline import LegBody, StepBody, TimelineBody
from entrypoints.http.bodies.webhooks import (
    AttemptBody,
    ChangeEndpointBody,
    DeliveriesBody,
    DeliveryBody,
    DeliveryWithAttemptsBody,
    EndpointBody,
    EndpointsBody,
    EndpointWithSecretBody,
    NewEndpointBody,
    RecoverBody,
    SigningKeysBody,
)
from entrypoints.http.order_details import ChangeDetailsBody

_AT: Final = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

PLACE_ORDER: Final = PlaceOrderBody(
    user_id=1,
    items=(RequestedItemBody(1, 2),),
    external_id="web-4711",
    email="customer@example.com",
    metadata={"channel": "web"},
)
CHECK_ORDER: Final = CheckOrderBody((RequestedItemBody(1, 2, 1250),))
CHECKED_ORDER: Final = CheckedOrderBody(2500, "EUR", True, [CheckedLineBody(1, 2, 1250, 2500, True)])  # noqa: FBT003 - as in JSON
SEARCH_ORDERS: Final = SearchOrdersBody(status=(OrderStatus.PAID, OrderStatus.COMPLETED), total_min=10000)
CHANGE_DETAILS: Final = ChangeDetailsBody(note="Ring twice", metadata={"channel": None})
NEW_KEY: Final = NewKeyBody("web shop", Role.SHOP)
KEY: Final = KeyBody(
    id="01890a5d-ac96-774b-bcce-b302099a8057",
    start="hf_live_shop_4fQ",
    role=Role.SHOP,
    name="web shop",
    scopes=[Scope.ORDERS_READ, Scope.ORDERS_WRITE],
    user_id=None,
    networks=[],
    created_at=_AT,
    created_by="local:root",
    expires_at=None,
    revoked_at=None,
    last_used_at=None,
)
ISSUED_KEY: Final = IssuedKeyBody("hf_live_shop_...", KEY)
KEYS: Final = KeysBody([KEY], None)
CHANGE_STATUS: Final = ChangeStatusBody("CANCELLED")
ORDER: Final = OrderBody(
    order_id=UUID("01890a5d-ac96-774b-bcce-b302099a8057"),
    user_id=1,
    status=OrderStatus.PENDING,
    total_price=2500,
    currency="EUR",
    items=[OrderLineBody(1, 2, 1250)],
    failure_reason=None,
    out_of_stock=(),
    refund_requested=False,
    created_at=_AT,
    updated_at=_AT,
    version=1,
    external_id="web-4711",
    email="customer@example.com",
    shipping_address=None,
    billing_address=None,
    note=None,
    metadata={"channel": "web"},
    payment_method=None,
)
QUEUED_ORDER: Final = replace(ORDER, job_id=UUID("01890a5d-ac96-774b-bcce-b302099a8058"))
ORDERS: Final = OrdersBody([ORDER], None)
EXPANDED_ORDER: Final = ExpandedOrderBody(**members_of(ORDER))
NEW_PRODUCT: Final = NewProductBody(name="Fountain pen", price=1250, currency="EUR", stock=100, sku="PEN-1")
CHANGE_PRODUCT: Final = ChangeProductBody(price=1300)
ADJUST_STOCK: Final = AdjustStockBody(delta=50, reason="delivery")
PRODUCT: Final = ProductBody(1, "Fountain pen", 1250, "EUR", 100, _AT, "PEN-1", active=True, metadata={}, version=1)
ADJUSTMENTS: Final = AdjustmentsBody([AdjustmentBody(50, "delivery", "somebody", _AT)], None)
SEED: Final = SeedBody(100)
MESSAGE_CONTENT: Final = MessageContentBody("Please ring twice")
JOB: Final = JobBody(
    job_id=UUID("01890a5d-ac96-774b-bcce-b302099a8058"),
    kind="message",
    status=JobStatus.AVAILABLE,
    order_id=None,
    attempts=0,
    failures=0,
    error=None,
    progress=ProgressBody(0, None),
    result=None,
    created_at=_AT,
    available_at=_AT,
    started_at=None,
    finished_at=None,
)
JOBS: Final = JobsBody([JOB], None)
JOB_ACCEPTED: Final = JobAcceptedBody(JOB.job_id)
EXPORT: Final = ExportBody(what="orders", format="csv", filter=ExportFilterBody(status=(OrderStatus.PAID,)))
IMPORT: Final = ImportBody(
    job_id=JOB.job_id,
    what="products",
    format="csv",
    dry_run=False,
    on_error="skip",
    status=JobStatus.COMPLETED,
    error=None,
    progress=ProgressBody(3, 3),
    applied=True,
    rows=3,
    outcomes={"added": 1, "changed": 1, "bad": 1},
    created_at=_AT,
    finished_at=_AT,
)
RESET: Final = ResetBody("holdfast")
RESET_DONE: Final = ResetDoneBody(4711)
MESSAGES: Final = MessagesBody([MessageBody(JOB.job_id, None, MESSAGE_CONTENT.content, _AT)], None)
AUDIT: Final = AuditBody(
    [
        AuditEntryBody(
            7,
            _AT,
            "Ab3dEf6hIj9k",
            "request-1",
            "order.cancelled",
            f"order {ORDER.order_id}",
            {"status": "PENDING", "version": 1},
            {"status": "CANCELLED", "version": 2},
            "",
        )
    ],
    None,
)
PUT_ITEM: Final = PutItemBody(2)
CART: Final = CartBody(1, [CartItemBody(1, 2, 1250, "EUR")])
PRODUCTS: Final = ProductsBody([PRODUCT], None)
HISTORY: Final = HistoryBody(
    [
        EventBody(
            1,
            OrderPlaced.type,
            _AT,
            {
                "user_id": 1,
                "items": [{"product_id": 1, "quantity": 2, "unit_price": 1250}],
                "total_price": 2500,
                "currency": "EUR",
            },
        )
    ]
)
_PLACED: Final = HISTORY.items[0]
TIMELINE: Final = TimelineBody(
    ORDER.order_id,
    OrderStatus.PENDING,
    1,
    WaitsFor.CUSTOMER,
    "nobody has asked for its payment",
    "it is paid for or cancelled, or it expires when its time to pay, 30 min, is over",
    [StepBody(_AT, OrderPlaced.type, 0.0, StepKind.EVENT, [LegBody(LegName.FEED, 0.009)])],
    [],
)
FEED: Final = FeedBody([FeedItemBody(1, ORDER.order_id, _PLACED.sequence, _PLACED.type, _AT, _PLACED.data)], 1)
NEW_ENDPOINT: Final = NewEndpointBody(
    url="https://receiver.example/webhooks", events=("order.paid", "order.refunded"), description="the warehouse"
)
CHANGE_ENDPOINT: Final = ChangeEndpointBody(events=("order.*",))
ENDPOINT: Final = EndpointBody(
    endpoint_id=UUID("01890a5d-ac96-774b-bcce-b302099a8059"),
    url=NEW_ENDPOINT.url,
    description=NEW_ENDPOINT.description,
    events=NEW_ENDPOINT.events,
    payload=Payload.FULL,
    ordering=Ordering.STRICT,
    signature=Signature.V1,
    headers=[],
    rate_per_s=None,
    max_concurrency=4,
    enabled=True,
    disabled_because=None,
    disabled_at=None,
    created_at=_AT,
    position=4711,
    behind=0,
    filtered=4000,
    lost=0,
    failures_in_a_row=0,
    failing_since=None,
    rests_until=None,
)
SIGNING_KEYS: Final = SigningKeysBody(["whpk_..."])
ENDPOINTS: Final = EndpointsBody([ENDPOINT], None)
ENDPOINT_WITH_SECRET: Final = EndpointWithSecretBody("whsec_...", ENDPOINT)
RECOVER: Final = RecoverBody(since=_AT, types=("order.paid",))
DELIVERY: Final = DeliveryBody(
    delivery_id=f"{ENDPOINT.endpoint_id}.4711",
    endpoint_id=ENDPOINT.endpoint_id,
    position=4711,
    order_id=ORDER.order_id,
    sequence=4,
    type="order.paid",
    time=_AT,
    status=DeliveryStatus.DELIVERED,
    reason=None,
    attempts=1,
    outcome="status 204",
    next_at=None,
    finished_at=_AT,
)
DELIVERIES: Final = DeliveriesBody([DELIVERY], None)
ATTEMPT: Final = AttemptBody(_AT, 12, "203.0.113.7", 204, None, {}, "")
DELIVERY_WITH_ATTEMPTS: Final = DeliveryWithAttemptsBody(DELIVERY, [ATTEMPT])
_GROUP: Final = LetterGroupBody(
    queue="payments",
    error="KeyError",
    place="application.payments.process_payment.ProcessPayment.record",
    count=300,
    failed_again=1,
    first_at=_AT,
    last_at=_AT,
)
LETTER_GROUPS: Final = LetterGroupsBody([_GROUP], more=False)
DEAD_LETTER: Final = DeadLetterBody(
    id=7,
    queue=_GROUP.queue,
    error=_GROUP.error,
    place=_GROUP.place,
    reason=f"{_GROUP.error} in {_GROUP.place}: 'surprise'",
    attempts=8,
    first_at=_AT,
    last_at=_AT,
    order_id=ORDER.order_id,
    type="order.payment_requested",
    decision=None,
    decided_by=None,
    decided_at=None,
    bytes=2,
    message="{}",
)
TRIAL: Final = TrialBody(
    "payments",
    None,
    [ChangeBody("order", str(ORDER.order_id), "status", "PROCESSING", "PAID")],
    ["order.paid"],
    [ProviderCallBody("charge", UUID("01890a5d-ac96-774b-bcce-b302099a8060"), 2500, "EUR", known=False)],
)
DEAD_LETTERS: Final = DeadLettersBody([replace(DEAD_LETTER, message=UNSET)], None)
_OF_A_GROUP: Final = CauseFilterBody(queue=_GROUP.queue, error=_GROUP.error, place=_GROUP.place)
_DIGEST: Final = "2c26b46b68ffc68ff99b453c1d304134"
START_BULK: Final = StartBulkBody(
    act="replay", filter=_OF_A_GROUP, reason="the ledger is mended", count=300, digest=_DIGEST
)
MEASURED: Final = MeasuredBody(300, _DIGEST, more=False, needs_count=True)
BULK: Final = BulkBody(
    job_id=JOB.job_id,
    act="replay",
    filter=_OF_A_GROUP,
    orders=None,
    reason="the ledger is mended",
    by="Ab3dEf6hIj9k",
    status=JobStatus.EXECUTING,
    error=None,
    count=300,
    done=10,
    failed=0,
    skipped=1,
    open=0,
    in_flight=100,
    stopped="",
    created_at=_AT,
    finished_at=None,
)
BULKS: Final = BulksBody([BULK], None)
RECONCILIATION: Final = ReconciliationBody(
    job_id=JOB.job_id,
    by="Ab3dEf6hIj9k",
    repairs=False,
    of=None,
    status=JobStatus.COMPLETED,
    error=None,
    found={"stock": 0, "charge": 1},
    left={"stock": 0, "charge": 1},
    repairable=1,
    repaired=0,
    whole=True,
    created_at=_AT,
    finished_at=_AT,
)
RECONCILIATIONS: Final = ReconciliationsBody([RECONCILIATION], None)
LIVE: Final = LiveBody()
READY: Final = ReadyBody("ok", orders=True, payments=True, missing=())
PROBLEM_KIND: Final = ProblemKindBody(
    "/problems/overloaded",
    "overloaded",
    "The service is overloaded",
    503,
    "The API can't answer more requests in time.",
    "Nothing was done: try again.",
    "yes",
)
PROBLEM_KINDS: Final = ProblemKindsBody([PROBLEM_KIND])
