"""Templates into pages, and the static files that they need."""

from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable
from secrets import token_urlsafe
from typing import Any, Final

from attrs import frozen
from jinja2 import Environment, PackageLoader, StrictUndefined
from quart import request

from application.access.principal import Principal
from entrypoints.http.console.formats import FILTERS
from entrypoints.http.console.navigation import navigation_for
from entrypoints.http.console.requests import page_of_request
from entrypoints.http.headers import PlainHeaders
from entrypoints.http.replies import Reply

PACKAGE: Final = "entrypoints.http.console"
THEMES: Final = ("system", "light", "dark")
THEME_COOKIE: Final = "holdfast-theme"

_CSP: Final = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", _CSP),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    # Without this header, a browser would not say where a form comes from.
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
_TYPES: Final[Mapping[str, str]] = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# What an act has done, as the next page says it. An address can't make the console say anything else.
DONE: Final[Mapping[str, str]] = {
    "signed-out": "You are signed out.",
    "signed-out-here": "You are signed out in this browser. The database did not answer, so a copy of the session may"
    " work on: if there can be one, revoke the key.",
    "order-pay": "Its payment is requested. The worker charges the customer.",
    "order-complete": "The order is completed.",
    "order-cancel": "The order is cancelled.",
    "order-refund": "The refund is requested. The worker gives the money back.",
    "order-again": "Its request is in the outbox again.",
    "stock-adjusted": "The stock is adjusted.",
    "key-revoked": "The key is revoked. It lets in nowhere within 5 seconds.",
    "job-retried": "The job is run again.",
    "job-cancelled": "The job is cancelled.",
    "webhook-registered": "The receiver is registered. It is sent what happens from now on.",
    "webhook-changed": "The receiver is changed.",
    "webhook-resent": "It is sent once more. A receiver that rested is tried at once.",
    "webhook-recovering": "This job sends again what was sent in vain. A receiver that rested is tried at once.",
    "webhook-enabled": "The receiver is sent events again.",
    "webhook-deleted": "The receiver is deleted. What it was sent can be read over HTTP for 30 days.",
    "webhook-disabled": "The receiver is sent nothing more until it is enabled.",
    "export-started": "The export is being written.",
    "letter-replayed": "It is in the outbox again.",
    "letter-discarded": "It is discarded.",
    "started-before": "This form had started it before, as this page shows it. Nothing more was started.",
    "bulk-started": "It has begun. This page shows its progress.",
    "check-started": "A worker runs the check.",
    "repair-started": "A worker checks again, and repairs what is still there.",
    "bulk-stopped": "It takes nothing more.",
}


@frozen
class StaticFile:
    content: bytes
    type: str
    version: str


@frozen
class Pages:
    """Renders the templates of the console."""

    _templates: Environment
    static: Mapping[str, StaticFile]
    _namespace: str
    _is_open: bool

    @classmethod
    def load(cls, *, namespace: str, is_open: bool) -> "Pages":
        return cls(_templates(), _static(), namespace, is_open)

    def page(
        self,
        template: str,
        by: Principal | None = None,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        headers: tuple[tuple[str, str], ...] = (),
        **values: Any,
    ) -> Reply:
        """Return a page. `by` is who looks at it, if that is known."""
        theme = request.cookies.get(THEME_COOKIE, "")
        navigation = [] if by is None else navigation_for(by)
        html = self._templates.get_template(template).render(
            by=by,
            namespace=self._namespace,
            is_open=self._is_open,
            navigation=navigation,
            # What may be linked to: the caller may see it.
            screens={entry.path for group in navigation for entry in group.entries},
            path=request.path,
            this_page=page_of_request(request),
            theme=theme if theme in THEMES else THEMES[0],
            themes=THEMES,
            done=DONE.get(request.args.get("done", "")),
            **values,
        )
        return html_reply(html, status, *headers)


def html_reply(html: str, status: HTTPStatus, *headers: tuple[str, str]) -> Reply:
    every = [("Content-Type", "text/html; charset=utf-8"), *_HEADERS, *headers]
    return Reply(html.encode(), status, PlainHeaders(every))


def see_other(path: str, *headers: tuple[str, str]) -> Reply:
    """Send the browser to another page of the console, which it gets."""
    return Reply(b"", HTTPStatus.SEE_OTHER, PlainHeaders([("Location", path), *_HEADERS, *headers]))


def static_reply(file: StaticFile) -> Reply:
    """The address of a static file has its version, so that a browser may keep it for good."""
    headers = [
        ("Content-Type", file.type),
        ("Cache-Control", "public, max-age=31536000, immutable"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return Reply(file.content, HTTPStatus.OK, PlainHeaders(headers))


# The files of a release never change, and are read once.
@cache
def _static() -> Mapping[str, StaticFile]:
    return {name: _static_file(each) for name, each in _static_files(files(PACKAGE) / "static", "")}


@cache
def _templates() -> Environment:
    static = _static()
    templates = Environment(
        loader=PackageLoader(PACKAGE, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(FILTERS)
    # A form that starts a job has a key, so that it starts one however often it is sent.
    templates.globals["new_key"] = lambda: token_urlsafe(16)
    templates.globals["static"] = lambda name: f"/console/static/{name}?v={static[name].version}"
    return templates


def _static_files(folder: Traversable, path: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for each in folder.iterdir():
        name = f"{path}{each.name}"
        if each.is_dir():
            found += _static_files(each, f"{name}/")
        elif name.rpartition(".")[2] in _TYPES:
            found.append((name, each))
    return found


def _static_file(file: Traversable) -> StaticFile:
    content = file.read_bytes()
    version = blake2b(content, digest_size=6).hexdigest()
    return StaticFile(content, _TYPES[file.name.rpartition(".")[2]], version)
