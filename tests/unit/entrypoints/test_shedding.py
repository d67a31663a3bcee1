import pytest

from entrypoints.http.server.shedding import is_plain

_HEAD = b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        _HEAD + b"Content-Length: 2\r\n\r\n{}",
        _HEAD + b"content-length: 0\r\nConnection: keep-alive\r\n\r\n",
        b"GET /orders/1?a=b HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET /orders HTTP/1.1\r\nHost: shop\r\nX: a tab\tand content-length: 9 in a value\r\n\r\n",
    ],
)
def test_a_request_that_came_whole_and_alone_is_plain(request_: bytes) -> None:
    assert is_plain(request_)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(_HEAD, id="no end"),
        pytest.param(_HEAD + b"Content-Length: 3\r\n\r\n{}", id="a body still to come"),
        pytest.param(_HEAD + b"Content-Length: 1\r\n\r\n{}", id="more than its body"),
        pytest.param(_HEAD + b"\r\n{}", id="a body of no length"),
        pytest.param(_HEAD + b"Content-Length: 2\r\nContent-Length: 0\r\n\r\n{}", id="two lengths"),
        pytest.param(_HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n{}", id="two lengths, summed up"),
        pytest.param(_HEAD + b"Content-Length : 2\r\n\r\n{}", id="a name with a space"),
        pytest.param(_HEAD + b"Content-Length: +2\r\n\r\n{}", id="a signed length"),
        pytest.param(_HEAD + b"Content-Length: 2, 2\r\n\r\n{}", id="a list of lengths"),
        pytest.param(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunks"),
        pytest.param(_HEAD + b"Content-Length: 0\r\ntransfer-encoding:chunked\r\n\r\n", id="chunks and a length"),
        pytest.param(_HEAD + b" chunked\r\n\r\n", id="a folded line"),
        pytest.param(_HEAD + b"X: a\nContent-Length: 2\r\n\r\n{}", id="a bare line feed"),
        pytest.param(_HEAD + b"X: a\rContent-Length: 2\r\n\r\n{}", id="a bare carriage return"),
        pytest.param(_HEAD + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", id="expect"),
        pytest.param(_HEAD + b"Connection: close\r\n\r\n", id="close"),
        pytest.param(_HEAD + b"Connection: keep-alive, close\r\n\r\n", id="close in a list"),
        pytest.param(_HEAD + b"Proxy-Connection: close\r\n\r\n", id="a proxy's close"),
        pytest.param(_HEAD + b"X: a\r\n" * 10_000 + b"\r\n", id="a head that is too long"),
        pytest.param(_HEAD + b"Upgrade: websocket\r\n\r\n", id="upgrade"),
        pytest.param(b"HEAD /orders HTTP/1.1\r\nHost: shop\r\n\r\n", id="head"),
        pytest.param(b"GET /health/live HTTP/1.1\r\nHost: shop\r\n\r\n", id="health"),
        pytest.param(b"GET /orders HTTP/1.0\r\nHost: shop\r\n\r\n", id="HTTP/1.0"),
        pytest.param(b"GET /orders HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET /orders HTTP/1.1\r\nHost: shop\r\n\r\n" * 2, id="two"),
        pytest.param(b"\r\nGET /orders HTTP/1.1\r\nHost: shop\r\n\r\n", id="an empty line before"),
    ],
)
def test_whatever_is_in_any_doubt_is_for_the_parser(data: bytes) -> None:
    assert not is_plain(data)
