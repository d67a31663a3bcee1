from typing import Any, cast

from quart import Request, request


def this_request() -> Request:
    """Return the request itself, not the proxy that is it while the handler runs: a stream outlives the handler."""
    here: Request = cast(Any, request)._get_current_object()  # noqa: SLF001 - Werkzeug has no other name for it
    return here
