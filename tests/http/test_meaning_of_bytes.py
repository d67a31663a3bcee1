"""A header that changes what the bytes of a request mean is honoured or refused, never overlooked."""

import gzip
from base64 import b64encode
from hashlib import new
from typing import Any

import pytest

from tests.http.browser import Browser
from tests.unit.shop import Shop

ORDER = b'{"user_id":1,"items":[{"product_id":1,"quantity":1}]}'
CANCEL = b'{"status":"CANCELLED"}'


@pytest.fixture
async def order(shop: Shop, browser: Browser) -> Any:
    await shop.sells()
    return await browser.order()


def requests_with_bodies(order: Any) -> list[tuple[str, str, bytes]]:
    path = f"/orders/{order['order_id']}"
    return [("POST", "/orders", ORDER), ("PATCH", f"{path}/status", CANCEL), ("POST", f"{path}/pay", b"{}")]


async def changed_nothing(browser: Browser, order: Any) -> bool:
    return bool((await browser.get("/orders")).body["items"] == [order])


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "aes128gcm"])
async def test_an_encoded_body_is_refused(browser: Browser, order: Any, encoding: str) -> None:
    for method, path, body in requests_with_bodies(order):
        for content in (body, gzip.compress(body)):
            answer = await browser.send(method, path, content, more=[("Content-Encoding", encoding)])
            assert (answer.status, answer.code) == (415, "unsupported_encoding")
            assert answer.headers["Accept-Encoding"] == "identity"
    assert await changed_nothing(browser, order)


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_a_body_that_is_said_to_be_as_it_is_is_read(browser: Browser, order: Any, encoding: str) -> None:
    for method, path, body in requests_with_bodies(order)[::2]:
        answer = await browser.send(method, path, body, more=[("Content-Encoding", encoding)])
        assert answer.status in {201, 202}


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=latin-1",
        "application/json;charset=UTF-16",
        'application/json; charset="iso-8859-1"',
        "application/json; Charset=utf-7",
        "multipart/form-data; boundary=x",
        "multipart/mixed; boundary=x",
        "application/x-www-form-urlencoded",
        "text/json",
        "text/plain",
    ],
)
async def test_json_in_another_charset_or_another_format_is_refused(
    browser: Browser, order: Any, content_type: str
) -> None:
    for method, path, body in requests_with_bodies(order):
        answer = await browser.send(method, path, body, content_type=content_type)
        assert (answer.status, answer.code) == (415, "unsupported_media_type")
    assert await changed_nothing(browser, order)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Range", "bytes 0-10/100"),
        ("Content-Range", "bytes */*"),
        ("Content-Transfer-Encoding", "base64"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "PUT"),
        ("X-Method-Override", "GET"),
        ("Content-Type", "text/plain"),
        ("Content-Type", "application/json; charset=utf-16"),
    ],
)
async def test_what_would_make_it_another_request_is_refused(
    browser: Browser, order: Any, header: str, value: str
) -> None:
    for method, path, body in requests_with_bodies(order):
        # The declared type comes with each request, so a second one contradicts it.
        types = [("Content-Type", "application/json"), (header, value)]
        answer = await browser.send(method, path, body, content_type=None, more=types)
        assert (answer.status, answer.code, list(answer.errors)) == (400, "invalid_header", [header.title()])
    assert await changed_nothing(browser, order)


@pytest.mark.parametrize("expectation", ["200-ok", "100-continue, x", "x=y"])
async def test_an_expectation_that_is_not_known_is_refused(browser: Browser, order: Any, expectation: str) -> None:
    for method, path, body in requests_with_bodies(order):
        answer = await browser.send(method, path, body, more=[("Expect", expectation)])
        assert (answer.status, answer.code) == (417, "expectation_failed")
    assert await changed_nothing(browser, order)


def digests(body: bytes) -> list[tuple[str, str]]:
    def in_base64(algorithm: str) -> str:
        return b64encode(new(algorithm, body, usedforsecurity=False).digest()).decode()

    return [
        ("Content-Digest", f"sha-256=:{in_base64('sha256')}:"),
        ("Content-Digest", f"unknown=:AAAA:, sha-512=:{in_base64('sha512')}:"),
        ("Repr-Digest", f"sha-256=:{in_base64('sha256')}:"),
        ("Digest", f"SHA-256={in_base64('sha256')},MD5={in_base64('md5')}"),
        ("Digest", f"SHA={in_base64('sha1')}"),
        ("Content-MD5", in_base64("md5")),
    ]


@pytest.mark.parametrize("which", range(6))
async def test_a_body_that_is_not_the_one_that_was_sent_is_refused(browser: Browser, order: Any, which: int) -> None:
    for method, path, body in requests_with_bodies(order):
        header, value = digests(body + b" ")[which]
        answer = await browser.send(method, path, body, more=[(header, value)])
        assert (answer.status, answer.code, list(answer.errors)) == (400, "invalid_header", [header.title()])
    assert await changed_nothing(browser, order)
    for method, path, body in requests_with_bodies(order)[::2]:
        answer = await browser.send(method, path, body, more=[digests(body)[which]])
        assert answer.status in {201, 202}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Digest", "unknown=:AAAA:"),
        ("Content-Digest", ""),
        ("Content-Digest", "sha-256"),
        ("Content-Digest", "sha-256=:!:"),
        ("Content-Digest", "sha-256=:\xff:"),
        ("Digest", "crc32c=AAAA"),
        ("Content-MD5", "x"),
    ],
)
async def test_a_digest_that_can_not_be_compared_is_refused(
    browser: Browser, order: Any, header: str, value: str
) -> None:
    for method, path, body in requests_with_bodies(order):
        answer = await browser.send(method, path, body, more=[(header, value)])
        assert (answer.status, answer.code, list(answer.errors)) == (400, "invalid_header", [header.title()])
    assert await changed_nothing(browser, order)


@pytest.mark.parametrize(
    "names",
    [
        ["If-Match", "If-None-Match", "If-Unmodified-Since"],
        ["Content-Range", "Content-Transfer-Encoding", "Idempotency-Key", "X-Http-Method-Override"],
        ["Content-Digest", "Content-Md5", "Digest", "Repr-Digest"],
    ],
)
async def test_every_header_that_is_wrong_is_told(browser: Browser, order: Any, names: list[str]) -> None:
    path = f"/orders/{order['order_id']}"
    answer = await browser.send("DELETE", path, more=[(name, "a wrong value") for name in names])
    assert (answer.status, answer.code) == (400, "invalid_header")
    assert answer.wrong == names
    assert await changed_nothing(browser, order)
