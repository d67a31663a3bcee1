"""What each problem means, for people and for programs: the address that is the `type` of a problem."""

from html import escape
from http import HTTPStatus
from string import Template
from typing import Final

from quart import request
from werkzeug.exceptions import NotFound

from entrypoints.http import examples
from entrypoints.http.accept import HTML, JSON, preferred
from entrypoints.http.bodies.problems import ProblemKindBody, ProblemKindsBody
from entrypoints.http.problem_kinds import Kind
from entrypoints.http.problem_table import CATALOGUE, path_of
from entrypoints.http.replies import Reply, page, reply
from entrypoints.http.routes.route import Open, Route

_PRODUCES: Final = (JSON, HTML)
_VARY: Final = ("Vary", "Accept")
_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>$title</title>
<h1>$title</h1>
$content
</html>
""")
_AGAIN: Final = {
    "no": "No.",
    "yes": "Yes: nothing was done.",
    "guarded": "Yes, if the request changes nothing or has an Idempotency-Key.",
}


def problems_routes() -> list[Route]:
    return [
        Route(
            "GET",
            "/problems",
            Open.TO_ALL,
            _all,
            produces=_PRODUCES,
            summary="List all kinds of problems",
            answers={HTTPStatus.OK: examples.PROBLEM_KINDS},
        ),
        Route(
            "GET",
            "/problems/<code>",
            Open.TO_ALL,
            _one,
            produces=_PRODUCES,
            summary="Explain a kind of problem",
            answers={HTTPStatus.OK: examples.PROBLEM_KIND},
        ),
    ]


async def _all() -> Reply:
    if preferred(request.headers.get("Accept"), _PRODUCES) == JSON:
        return reply(ProblemKindsBody([_body(kind) for kind in CATALOGUE.values()]), HTTPStatus.OK, _VARY)
    items = "".join(
        f'<li><a href="{path_of(kind)}"><code>{kind.code}</code></a> ({kind.status.value}): {escape(kind.title)}</li>'
        for kind in CATALOGUE.values()
    )
    return page(_PAGE.substitute(title="Problems", content=f"<ul>{items}</ul>"))


async def _one(code: str) -> Reply:
    if code not in CATALOGUE:
        raise NotFound
    kind = CATALOGUE[code]
    if preferred(request.headers.get("Accept"), _PRODUCES) == JSON:
        return reply(_body(kind), HTTPStatus.OK, _VARY)
    facts = {
        "Code": f"{kind.code}, with the status {kind.status.value} {kind.status.phrase}",
        "Cause": kind.cause,
        "What to do": kind.remedy,
        "Worth sending again": _AGAIN[kind.again],
    }
    content = "".join(f"<dt>{name}</dt><dd>{escape(fact)}</dd>" for name, fact in facts.items())
    return page(_PAGE.substitute(title=escape(kind.title), content=f"<dl>{content}</dl>"))


def _body(kind: Kind) -> ProblemKindBody:
    return ProblemKindBody(path_of(kind), kind.code, kind.title, kind.status, kind.cause, kind.remedy, kind.again)
