"""The table of errors and problems: which kind of problem each error is, and all kinds by their codes."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from attrs import evolve
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    RequestEntityTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)

from application.access.limits import TooManyRequests
from application.access.manage_keys import InvalidKey, UnknownKey
from application.access.principal import Forbidden, Unauthenticated
from application.admin.reset_shop import ResetNotAllowed, ResetNotConfirmed
from application.errors import Aborted, BrokenRow, OutcomeUnknown, Overloaded, Unavailable
from application.execution.conditional import PreconditionFailed
from application.execution.idempotency import KeyInFlight, KeyReused
from application.exports.get_export import ExportNotReady, UnknownExport
from application.exports.request import InvalidExport
from application.feed.read_feed import PositionNotKept
from application.imports.get_import import ImportNotReady, UnknownImport
from application.imports.stock import ReferenceReused
from application.intake.place_order import KeyUndecided
from application.intake.queue_orders import DatabaseNeeded
from application.intake.unrecorded import NotYetRecorded
from application.operations.bulk import CountNotConfirmed, FilterTooWide, UnknownBulkOperation
from application.orders.change_jobs import TooManyChangesWait
from application.ports.carts import CartsUnsupported
from application.ports.rows import UnreadableFile
from application.reconciliation.runs import NothingToRepair, UnknownReconciliation
from domain.dead_letter import ForeignMessage, InvalidDecision, UnknownDeadLetter, UnreadableMessage
from domain.errors import (
    CartEmpty,
    CurrencyMismatch,
    DomainError,
    ExternalIdTaken,
    IllegalTransition,
    InvalidAmount,
    InvalidCart,
    InvalidMetadata,
    InvalidOrder,
    InvalidProduct,
    NotForSale,
    OutOfStock,
    PriceChanged,
    ProductExists,
    SkuTaken,
    StockDiffers,
    UnknownOrder,
    UnknownProduct,
)
from domain.jobs.job import UnknownJob
from domain.message import InvalidMessage
from domain.webhooks.delivery import UnknownDelivery
from domain.webhooks.endpoint import InvalidEndpoint, TooManyEndpoints, UnknownEndpoint
from entrypoints.http.problem_kinds import (
    BAD_PROTOCOL,
    BROKEN,
    DEADLINE,
    HEAD_TOO_LARGE,
    INTERNAL,
    OUTCOME_UNKNOWN,
    OVERLOADED,
    PRECONDITION_FAILED,
    STOPPING,
    TOO_SLOW,
    UNAVAILABLE,
    UNKNOWN_CODING,
    Kind,
)
from entrypoints.http.ranges import UnsatisfiableRange
from entrypoints.http.refusals import (
    InvalidCursor,
    InvalidHeader,
    InvalidRequest,
    MalformedBody,
    NotAnId,
    NothingToGuard,
    UnknownEncoding,
    UnknownExpectation,
)

KINDS: Final[Mapping[type[Exception], Kind]] = MappingProxyType(
    {
        # Refused because of who asks.
        Unauthenticated: Kind(
            HTTPStatus.UNAUTHORIZED,
            "unauthenticated",
            "It is not known who calls",
            "The request has no key, or one that is not valid.",
            "Send a valid key, as in Authorization: Bearer hf_...",
            is_told=True,
        ),
        TooManyRequests: Kind(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too_many_requests",
            "The caller has made too many requests",
            "A customer's key has used up a quota, or too many keys that don't work came from one address.",
            "Wait for the seconds in Retry-After: nothing was done.",
            "yes",
            is_told=True,
        ),
        Forbidden: Kind(
            HTTPStatus.FORBIDDEN,
            "forbidden",
            "The caller may not do this",
            "The key of the caller lacks the scope that this needs, or belongs to another customer.",
            "Use a key with the scope that the detail names.",
            is_told=True,
        ),
        # Refused by the rules of the shop.
        UnknownOrder: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownOrder.code,
            "There is no such order",
            "No order has this id, or it was deleted, or it belongs to another customer.",
            "Check the id.",
            is_told=True,
        ),
        UnknownJob: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownJob.code,
            "There is no such job",
            "No job has this id, or it ended long ago and was removed, or it is about the order of another customer.",
            "Check the id. An order that was answered with 202 is a job under its own id.",
            is_told=True,
        ),
        UnknownBulkOperation: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownBulkOperation.code,
            "There is no such bulk operation",
            "No bulk operation has this id, or it ended long ago and was removed.",
            "Check the id. The audit has what it did.",
            is_told=True,
        ),
        UnknownReconciliation: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownReconciliation.code,
            "There is no such run of the consistency check",
            "No run has this id, or what it has found was removed some time after its end.",
            "Check the id, or start another run.",
            is_told=True,
        ),
        NothingToRepair: Kind(
            HTTPStatus.CONFLICT,
            NothingToRepair.code,
            "There is nothing to repair",
            "The run has not ended, or it has found nothing whose repair is safe.",
            "Look at what it has found. A person decides about the rest.",
            is_told=True,
        ),
        CountNotConfirmed: Kind(
            HTTPStatus.CONFLICT,
            CountNotConfirmed.code,
            "The items are not confirmed",
            "The operation is about more than 100 items, or about others than the count and the digest say.",
            "Look at what it would be about, with `dry_run`, and send the count and the digest of that.",
            is_told=True,
        ),
        FilterTooWide: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            FilterTooWide.code,
            "Too many orders would have to be looked through",
            "Nothing in the filter leads to few orders: 50,000 or more would have to be looked through.",
            "Narrow the filter, as by `user_id`, `email`, `external_id`, one `status`, or a time.",
            is_told=True,
        ),
        UnknownDeadLetter: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownDeadLetter.code,
            "There is no such dead letter",
            "No dead letter has this id.",
            "Check the id, or list the dead letters.",
            is_told=True,
        ),
        UnreadableMessage: Kind(
            HTTPStatus.CONFLICT,
            UnreadableMessage.code,
            "The message can't be replayed, because it can't be read",
            "The message of the dead letter is no event that this release knows.",
            "Discard it, or replay it with a release that can read it.",
            is_told=True,
        ),
        ForeignMessage: Kind(
            HTTPStatus.CONFLICT,
            ForeignMessage.code,
            "The message is no event of this shop",
            "The message was forged, or is from before a restore of the database.",
            "Discard it.",
            is_told=True,
        ),
        InvalidDecision: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            InvalidDecision.code,
            "The decision can't be recorded",
            "The name of who decides, or the reason, is too long.",
            "Read the detail.",
            is_told=True,
        ),
        UnknownExport: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownExport.code,
            "There is no such export",
            "No export has this id, or it was removed `HOLDFAST_EXPORT_RETENTION` after it was written.",
            "Check the id, or start another export.",
            is_told=True,
        ),
        ExportNotReady: Kind(
            HTTPStatus.CONFLICT,
            ExportNotReady.code,
            "The export is not written",
            "The job that writes the export has not been completed: it waits, is at work, or has failed.",
            "Follow the job at /jobs/{id}, and download the export when the job is COMPLETED.",
            is_told=True,
        ),
        UnknownImport: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownImport.code,
            "There is no such import",
            "No import has this id, or it was removed: its job after `HOLDFAST_JOB_RETENTION`, its results after"
            " `HOLDFAST_EXPORT_RETENTION`.",
            "Check the id. A file may be imported once more: rows that are done already are left as they are.",
            is_told=True,
        ),
        ImportNotReady: Kind(
            HTTPStatus.CONFLICT,
            ImportNotReady.code,
            "The import has no results yet",
            "The job of the import has not ended, or has ended before it had tried a row.",
            "Follow the import at /imports/{id}, and read its results when its job has ended.",
            is_told=True,
        ),
        UnreadableFile: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            UnreadableFile.code,
            "The file can't be read",
            "The file is in another format, has other columns, or is an export of something else.",
            "Mend what the detail names, and send the file again: nothing was done.",
            is_told=True,
        ),
        ReferenceReused: Kind(
            HTTPStatus.CONFLICT,
            ReferenceReused.code,
            "The reference was used for another change",
            "A row moves another number of units under a reference than an earlier row or import did.",
            "Give each change of a stock a reference of its own. This is told of a row, in the results of an import.",
            is_told=True,
        ),
        InvalidExport: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            InvalidExport.code,
            "The export can't be made so",
            "The filter has a member that does not go with what is exported.",
            "Leave out what `errors` names.",
            is_told=True,
        ),
        ResetNotAllowed: Kind(
            HTTPStatus.FORBIDDEN,
            ResetNotAllowed.code,
            "This shop can't be emptied",
            "`HOLDFAST_ALLOW_RESET` is not set for the API.",
            "Set HOLDFAST_ALLOW_RESET=true, if all orders may be removed.",
            is_told=True,
        ),
        ResetNotConfirmed: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            ResetNotConfirmed.code,
            "The request names another shop",
            "`confirm` is not the namespace of this shop.",
            "Send the `HOLDFAST_NAMESPACE` of the shop whose orders are to be removed.",
            is_told=True,
        ),
        InvalidMessage: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            InvalidMessage.code,
            "The message breaks a rule",
            "Its content is empty, too long, or has a NUL character.",
            "Change the content.",
            is_told=True,
        ),
        UnknownProduct: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownProduct.code,
            "There is no such product",
            "No product has this id. In the body of a request, the status is 422.",
            "Take an id from GET /products.",
            is_told=True,
        ),
        UnknownKey: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownKey.code,
            "There is no such API key",
            "No API key has this id.",
            "Take an id from GET /keys.",
            is_told=True,
        ),
        InvalidKey: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            InvalidKey.code,
            "The API key breaks a rule",
            "The key can't be made or changed as it is asked for, such as one that ends in the past.",
            "Change what `errors` names.",
            is_told=True,
        ),
        UnknownEndpoint: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownEndpoint.code,
            "There is no such webhook endpoint",
            "No webhook endpoint has this id, or it was deleted.",
            "Take an id from GET /webhook-endpoints.",
            is_told=True,
        ),
        InvalidEndpoint: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            InvalidEndpoint.code,
            "The webhook endpoint breaks a rule",
            "The endpoint can't be made or changed as it is asked for, as one for an unknown type of event.",
            "Change what `errors` names.",
            is_told=True,
        ),
        TooManyEndpoints: Kind(
            HTTPStatus.CONFLICT,
            TooManyEndpoints.code,
            "There are as many webhook endpoints as there may be",
            "Each event is looked at for each endpoint, so their number has a bound.",
            "Delete an endpoint, or let one receiver take the events for several.",
            is_told=True,
        ),
        UnknownDelivery: Kind(
            HTTPStatus.NOT_FOUND,
            UnknownDelivery.code,
            "There is no such webhook delivery",
            "No delivery has this id, or it ended 30 days ago and was removed.",
            "Take an id from GET /webhook-endpoints/{id}/deliveries.",
            is_told=True,
        ),
        IllegalTransition: Kind(
            HTTPStatus.CONFLICT,
            IllegalTransition.code,
            "The present status does not allow this",
            "The order or the job has another status than this change needs.",
            "Read it: its status says what can follow.",
            is_told=True,
        ),
        ExternalIdTaken: Kind(
            HTTPStatus.CONFLICT,
            ExternalIdTaken.code,
            "Another order has this external id",
            "An external id names one order of a customer, and another order of this customer has it.",
            "Read the order that the detail names: it may be this one. Else choose another external id.",
            is_told=True,
        ),
        InvalidOrder: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            InvalidOrder.code,
            "The order breaks a rule",
            "The items of the order break a rule of the shop, such as the largest quantity of a product.",
            "Change what `errors` names.",
            is_told=True,
        ),
        CurrencyMismatch: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            CurrencyMismatch.code,
            "An order has one currency only",
            "The products of the order have prices in different currencies.",
            "Place an order for each currency.",
            is_told=True,
        ),
        InvalidAmount: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            InvalidAmount.code,
            "The amount is out of bounds",
            "The order costs more than the largest amount that is exact in JSON.",
            "Place several smaller orders.",
            is_told=True,
        ),
        PriceChanged: Kind(
            HTTPStatus.CONFLICT,
            PriceChanged.code,
            "A product has another price now",
            "The shop has changed the price since the customer was shown it. The errors have both prices.",
            "Show the new price. A cart takes it when the item is put into it again; order it under a new key.",
            is_told=True,
        ),
        CartEmpty: Kind(
            HTTPStatus.CONFLICT,
            CartEmpty.code,
            "The cart is empty",
            "Nothing was put into the cart, or all of it was ordered.",
            "Read the orders of the customer, or put something into the cart.",
            is_told=True,
        ),
        InvalidCart: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            InvalidCart.code,
            "The cart breaks a rule",
            "There are too many products in the cart, or too many units of one.",
            "Order what is in it, or take something out.",
            is_told=True,
        ),
        InvalidProduct: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            InvalidProduct.code,
            "The product breaks a rule",
            "A name, an SKU, a reason or a count is above a limit of the shop.",
            "Change what `errors` names.",
            is_told=True,
        ),
        InvalidMetadata: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            InvalidMetadata.code,
            "The metadata are too large",
            "There are too many keys, or a key or a value is too long.",
            "Send at most 50 keys of 40 characters, with values of 500.",
            is_told=True,
        ),
        NotForSale: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            NotForSale.code,
            "A product is not for sale",
            "The shop has taken the product out of sale. It can be read still.",
            "Leave out what `errors` names.",
            is_told=True,
        ),
        ProductExists: Kind(
            HTTPStatus.CONFLICT,
            ProductExists.code,
            "There is a product with this id",
            "Another product has the id that was asked for.",
            "Take another id, or send none.",
            is_told=True,
        ),
        SkuTaken: Kind(
            HTTPStatus.CONFLICT,
            SkuTaken.code,
            "Another product has this SKU",
            "An SKU belongs to one product.",
            "Take another SKU, or change the product that the detail names.",
            is_told=True,
        ),
        StockDiffers: Kind(
            HTTPStatus.CONFLICT,
            StockDiffers.code,
            "The stock is not the expected one",
            "An order, or somebody else, has changed the stock meanwhile.",
            "Read the product, and decide again.",
            is_told=True,
        ),
        OutOfStock: Kind(
            HTTPStatus.CONFLICT,
            OutOfStock.code,
            "There are too few units",
            "The stock would be negative.",
            "Take out fewer units.",
            is_told=True,
        ),
        DomainError: Kind(
            HTTPStatus.CONFLICT,
            DomainError.code,
            "The rules of the shop refuse this",
            "A rule of the shop that has no code of its own.",
            "Read the detail.",
            is_told=True,
        ),
        PositionNotKept: Kind(
            HTTPStatus.GONE,
            PositionNotKept.code,
            "The feed has nothing after this position",
            "The position is older than HOLDFAST_FEED_RETENTION keeps, or the shop never gave it.",
            "Read the orders anew, and go on after the newest position, which the detail names. Best by an export (POST"
            " /exports), which begins with the position to go on after.",
            is_told=True,
        ),
        # Refused because of a header.
        PreconditionFailed: PRECONDITION_FAILED,
        NothingToGuard: PRECONDITION_FAILED,
        InvalidHeader: Kind(
            HTTPStatus.BAD_REQUEST,
            "invalid_header",
            "A header of the request can't be honoured",
            "A header can't be read, or asks for what the API does not do here.",
            "Change what `errors` names.",
            is_told=True,
        ),
        UnsatisfiableRange: Kind(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "unsatisfiable_range",
            "There is nothing in this range",
            "The header Range names bytes behind the end.",
            "Ask for bytes before the end: Content-Range has the whole size.",
            is_told=True,
        ),
        UnknownEncoding: Kind(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "The body is encoded",
            "The request has a Content-Encoding.",
            "Send the body as it is, without Content-Encoding.",
        ),
        UnknownExpectation: Kind(
            HTTPStatus.EXPECTATION_FAILED,
            "expectation_failed",
            "The expectation of the request is not known",
            "The header Expect has another value than 100-continue.",
            "Send no header Expect, or Expect: 100-continue.",
        ),
        NotAcceptable: Kind(
            HTTPStatus.NOT_ACCEPTABLE,
            "not_acceptable",
            "No form of the response is acceptable to the client",
            "The header Accept excludes every media type that this address has.",
            "Send no header Accept, or one that allows application/json.",
            is_told=True,
        ),
        KeyReused: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            KeyReused.code,
            "This Idempotency-Key was used for a different request",
            "The key was first used for a request with another body.",
            "Send the request that the key was first used for, or choose another key.",
        ),
        KeyInFlight: Kind(
            HTTPStatus.CONFLICT,
            "idempotency_key_in_flight",
            "Another request under this Idempotency-Key is in progress",
            "The same request was sent twice at the same time.",
            "Nothing was done by this request: try again to get the response of the other.",
            again="yes",
        ),
        # Requests that can't be read.
        MalformedBody: Kind(
            HTTPStatus.BAD_REQUEST,
            "malformed_body",
            "The body can't be read",
            "The body is no JSON in UTF-8, or JSON that can be read in two ways.",
            "Send valid JSON, in which no member appears twice.",
            is_told=True,
        ),
        InvalidRequest: Kind(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_request",
            "The request breaks a rule",
            "A field of the body, a parameter or a header is missing, unknown or wrong.",
            "Change what `errors` names. All that is wrong is there.",
            is_told=True,
        ),
        InvalidCursor: Kind(
            HTTPStatus.BAD_REQUEST,
            "invalid_cursor",
            "The cursor does not belong to this list",
            "The cursor was changed, or comes from a list with other parameters.",
            "Begin again without a cursor, or send the `next` of a page with the parameters of that page.",
            is_told=True,
        ),
        NotAnId: Kind(
            HTTPStatus.NOT_FOUND,
            "not_an_id",
            "The id has the wrong format",
            "A part of the path is not written as an id.",
            "Send the id as a response of the API has it.",
            is_told=True,
        ),
        UnsupportedMediaType: Kind(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body is declared as something that is not taken here",
            "The header Content-Type is missing, or names another type or another encoding than UTF-8.",
            "Send JSON in UTF-8, with the header Content-Type: application/json; or a file that is imported, as"
            " text/csv or application/x-ndjson.",
            is_told=True,
        ),
        RequestEntityTooLarge: Kind(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body_too_large",
            "The body is too large",
            "The body has more bytes than `HOLDFAST_MAX_BODY`, or a file more than `HOLDFAST_MAX_IMPORT`.",
            "Send a smaller body.",
            is_told=True,
        ),
        RequestTimeout: TOO_SLOW,
        # Unknown addresses.
        NotFound: Kind(
            HTTPStatus.NOT_FOUND,
            "not_found",
            "There is nothing at this path",
            "No resource has this path. Each resource has one spelling of its path.",
            "Check the path of the request.",
        ),
        MethodNotAllowed: Kind(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This method is not allowed at this path",
            "The path exists, and does not allow the method.",
            "The header Allow lists the allowed methods.",
        ),
        BrokenRow: BROKEN,
        # Temporary problems.
        Overloaded: OVERLOADED,
        NotYetRecorded: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "not_yet_recorded",
            "The order has been accepted, and is not recorded yet",
            "The order waits in the queue, because the database could not take it. It is as safe as any other.",
            "Nothing was done: try again.",
            again="yes",
        ),
        TooManyChangesWait: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "too_many_changes_wait",
            "Too many changes of the order wait",
            "The order is not recorded yet, and 20 changes of it wait for that.",
            "Nothing was done: try again once the order is recorded.",
            again="yes",
        ),
        KeyUndecided: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "key_undecided",
            "An order may be waiting under this Idempotency-Key",
            "A new order would be refused now, and one that was accepted under this key may not be recorded yet.",
            "Nothing was done: send the same request again. It gets that order, or the refusal.",
            again="yes",
        ),
        Aborted: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "aborted",
            "Another request was changing the same data",
            "Two transactions changed the same data at the same time, and this one was rolled back.",
            "Nothing was done: try again.",
            again="yes",
        ),
        DatabaseNeeded: UNAVAILABLE,
        CartsUnsupported: Kind(
            HTTPStatus.NOT_IMPLEMENTED,
            "carts_unsupported",
            "This shop keeps no carts",
            "Several processes share the database, and carts are kept in Redis, which this shop does without.",
            "Set REDIS_URL, or keep the cart at the client and place the order with POST /orders.",
        ),
        Unavailable: UNAVAILABLE,
        OutcomeUnknown: OUTCOME_UNKNOWN,
        TimeoutError: DEADLINE,
    }
)

# A request that Werkzeug refuses for another reason than those above.
_REFUSED: Final = KINDS[DomainError]

# Every kind, by its code.
CATALOGUE: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.code: kind
        for kind in sorted(
            (*KINDS.values(), INTERNAL, STOPPING, BAD_PROTOCOL, HEAD_TOO_LARGE, UNKNOWN_CODING),
            key=lambda kind: (kind.status, kind.code),
        )
    }
)


def path_of(kind: Kind) -> str:
    """Return where the kind is explained, which is also what its problems have as their type."""
    return f"/problems/{kind.code}"


def kind_of(error: Exception) -> Kind:
    for cls in type(error).__mro__:
        if cls in KINDS:
            return KINDS[cls]
    if isinstance(error, HTTPException) and error.code is not None and error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return evolve(_REFUSED, status=HTTPStatus(error.code), title=error.name)
    return INTERNAL
