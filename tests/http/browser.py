import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
from attrs import frozen
from quart import Quart
from quart.testing import QuartClient
from werkzeug.datastructures import Headers
from werkzeug.routing import Rule

from application.access.principal import ANYBODY, Principal
from application.assembly.use_cases import UseCases
from entrypoints.http.app import create_app
from entrypoints.http.routes.ancestors.entrance import Ancestors
from entrypoints.readiness import Readiness
from tests.http.described import expect_described
from tests.unit.shop import PATIENCE

REQUEST_ID: Final = re.compile("[A-Za-z0-9_-]{1,64}")
READY: Final = Readiness(orders=True, payments=True, missing=())


def app_over(use_cases: UseCases, readiness: Sequence[Readiness] = (READY,), **options: Any) -> Quart:
    """The HTTP interface. The last of `readiness` is the result of the next check."""

    async def check_readiness() -> Readiness:
        return readiness[-1]

    async def let_in(_: object) -> Principal:
        return ANYBODY

    usual = {
        "authenticate": let_in,
        "cursor_secret": b"a secret",
        "ancestors": Ancestors(),
        "request_timeout": PATIENCE,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", _builds_no_address)
        return create_app(use_cases, check_readiness, **{**usual, **options})


def _builds_no_address(_rule: Rule, _append_unknown: bool = True) -> Callable[..., Any]:  # noqa: FBT001, FBT002 - as there
    """Nothing of ours has an address built from its route. To compile how takes 40 ms for each app."""

    def build(*_: object, **values: object) -> Any:
        raise NotImplementedError(f"an address was to be built of {values}")

    return build


@frozen
class Answer:
    """A response, with its JSON decoded."""

    status: int
    headers: Headers
    body: Any

    @property
    def code(self) -> str:
        """The code of a problem. First check its whole form, which is the same for every refusal."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.body["status"] == self.status
        assert self.body["title"]
        assert self.body["detail"]
        assert self.body["request_id"] == self.headers["Request-Id"]
        code = str(self.body["code"])
        assert self.body["type"] == f"/problems/{code}"
        assert self.body["retryable"] in {True, False}
        return code

    @property
    def errors(self) -> dict[str, str]:
        """What is said about each part that is wrong, by its JSON pointer, its parameter or its header."""
        return {_where(error): error["detail"] for error in self.body["errors"]}

    @property
    def wrong(self) -> list[str]:
        return [_where(error) for error in self.body["errors"]]


def _where(error: dict[str, str]) -> str:
    assert error["code"]
    assert error["detail"]
    [where] = [error[kind] for kind in ("pointer", "parameter", "header") if kind in error]
    return where


@frozen
class Browser:
    """A client of the HTTP interface, without a network."""

    _app: Quart

    async def get(self, path: str) -> Answer:
        return await self.send("GET", path)

    async def delete(self, path: str) -> Answer:
        return await self.send("DELETE", path)

    async def post(self, path: str, body: object, *, key: str | None = None) -> Answer:
        return await self.send("POST", path, json.dumps(body).encode(), keys=() if key is None else (key,))

    async def patch(self, path: str, body: object) -> Answer:
        return await self.send("PATCH", path, json.dumps(body).encode())

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        content_type: str | None = "application/json",
        keys: Sequence[str] = (),
        more: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """`keys` are the values of Idempotency-Key, of which there should be one at most; `more` are more headers."""
        headers = Headers([*(("Idempotency-Key", key) for key in keys), *more])
        if content_type is not None:
            headers["Content-Type"] = content_type
        # Quart's client sends another raw path than it is given.
        raw = {"raw_path": path.partition("?")[0].encode()}
        response = await QuartClient(self._app).open(path, method=method, data=body, headers=headers, scope_base=raw)
        content = await response.get_data(as_text=False)
        assert REQUEST_ID.fullmatch(response.headers["Request-Id"])
        expect_described(self._app, method, path.partition("?")[0], response, content)
        if content:
            # A document may be kept, if it is compared with the current one.
            assert response.headers["Cache-Control"] in {"no-store", "no-cache"}
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        is_json = response.headers.get("Content-Type", "").endswith(("/json", "+json"))
        return Answer(response.status_code, response.headers, json.loads(content) if is_json else content or None)

    async def order(self, product_id: int = 1, quantity: int = 2, *, user_id: int = 1) -> Any:
        """Place an order, and return it."""
        answer = await self.post(
            "/orders", {"user_id": user_id, "items": [{"product_id": product_id, "quantity": quantity}]}
        )
        assert answer.status == 201, answer
        return answer.body
