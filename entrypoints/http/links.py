from urllib.parse import parse_qsl, urlencode

from quart import request

from entrypoints.http.prefix import here


def next_page(cursor: str | None) -> list[tuple[str, str]]:
    """Return the header Link (RFC 8288) to the next page of the list that was asked for, if there is one."""
    if cursor is None:
        return []
    sent = parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    query = [(name, value) for name, value in sent if name != "cursor"]
    address = here(request.path) + "?" + urlencode([*query, ("cursor", cursor)], encoding="latin-1")
    return [("Link", f'<{address}>; rel="next"')]
