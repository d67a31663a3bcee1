"""Webhooks to receivers that mean harm, and to those that are merely broken, over real connections."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from attrs import define, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.webhooks.connecting import READ_MAX
from adapters.webhooks.resolver import SystemResolver
from adapters.webhooks.transport import HttpWebhookTransport
from application.ports.webhooks import Attempt, AttemptFailure, WebhookRequest, WebhookTransport
from application.webhooks.destinations import Address, Allowed

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HERE = Allowed.of("127.0.0.1:*")
# The system's authorities take long to load.
TRUSTING_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@define
class Receiver:
    """What listens on loopback, and what came there."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(factory=list)
    sent: int = 0

    async def request(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        self.requests.append(head + await reader.readexactly(length))


@asynccontextmanager
async def receiving(
    answer: bytes | Callable[[Receiver], Behaviour], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    tasks = set()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        tasks.add(asyncio.current_task())
        try:
            if isinstance(answer, bytes):
                await receiver.request(reader)
                writer.write(answer)
                await writer.drain()
            else:
                await answer(receiver)(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(behave, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await server.wait_closed()


@define
class Names:
    """A name server that changes its mind: the answers in turn, the last for good."""

    answers: list[Sequence[str]]
    asked: int = 0

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [ip_address(text) for text in answer]


def names(*answers: Sequence[str]) -> Names:
    return Names(list(answers))


LOOPBACK = ("127.0.0.1",)


def transport(
    resolve: Callable[[str, int], Awaitable[Sequence[Address]]] | None = None,
    *,
    allowed: Allowed = HERE,
    tls: ssl.SSLContext | None = None,
    connect_within: float = 60,
    done_within: float = 120,
) -> WebhookTransport:
    return HttpWebhookTransport(
        resolve or names(LOOPBACK),
        lambda: NOW,
        allowed,
        tls or TRUSTING_NOBODY,
        connect_within,
        done_within,
    )


def to(
    receiver: Receiver, *, scheme: str = "http", host: str = "receiver.test", path: str = "/hook?a=b"
) -> WebhookRequest:
    return WebhookRequest(
        url=f"{scheme}://{host}:{receiver.port}{path}",
        headers={"webhook-id": "e/1", "content-type": "text/plain"},
        body=b"hi",
    )


async def test_an_event_arrives_as_it_was_given() -> None:
    async with receiving(
        b"HTTP/1.1 201 Made\r\nX-Trace: 7\r\nSet-Cookie: id=1\r\nContent-Length: 4\r\n\r\ndone"
    ) as receiver:
        attempt = await transport().send(to(receiver))
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert first == "POST /hook?a=b HTTP/1.1"
    assert body == b"hi"
    assert headers == {
        "host": f"receiver.test:{receiver.port}",
        "webhook-id": "e/1",
        "content-type": "text/plain",
        "content-length": "2",
        "user-agent": "holdfast",
        "connection": "close",
    }
    assert attempt.failure is None
    assert (attempt.at, attempt.address, attempt.status, attempt.body) == (NOW, "127.0.0.1", 201, b"done")
    assert attempt.headers == {"x-trace": "7", "set-cookie": "***", "content-length": "4"}


@pytest.mark.parametrize("status", ["300 Choices", "400 Bad", "410 Gone", "500 Oh"])
async def test_another_status_is_a_failure_that_keeps_the_answer(status: str) -> None:
    async with receiving(f"HTTP/1.1 {status}\r\nRetry-After: 9\r\nContent-Length: 3\r\n\r\nwhy".encode()) as receiver:
        attempt = await transport().send(to(receiver))
    assert attempt.failure is AttemptFailure.STATUS
    assert (attempt.status, attempt.body, attempt.headers["retry-after"]) == (int(status[:3]), b"why", "9")


async def test_a_redirect_is_not_followed() -> None:
    async with receiving(OK) as inside:
        there = f"Location: http://127.0.0.1:{inside.port}/secrets".encode()
        async with receiving(b"HTTP/1.1 307 There\r\n" + there + b"\r\nContent-Length: 0\r\n\r\n") as receiver:
            attempt = await transport().send(to(receiver))
    assert (attempt.failure, attempt.status) == (AttemptFailure.STATUS, 307)
    assert inside.connections == 0


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(OK) as proxy, receiving(OK) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        attempt = await transport().send(to(receiver))
    assert attempt.failure is None
    assert (proxy.connections, receiver.connections) == (0, 1)


async def test_a_name_with_one_address_inside_is_connected_to_at_none() -> None:
    async with receiving(OK) as receiver:
        for addresses in (["127.0.0.1", "10.0.0.1"], ["::1", "127.0.0.1"], ["127.0.0.1", "::ffff:169.254.169.254"]):
            attempt = await transport(names(addresses)).send(to(receiver))
            assert (attempt.failure, attempt.address) == (AttemptFailure.REFUSED_ADDRESS, None)
    assert receiver.connections == 0


async def test_without_the_setting_nothing_on_this_machine_is_reached() -> None:
    async with receiving(OK) as receiver:
        for url in (
            f"http://127.0.0.1:{receiver.port}/",
            f"https://127.0.0.1:{receiver.port}/",
            f"https://receiver.test:{receiver.port}/",
            f"https://2130706433:{receiver.port}/",
            f"https://user@receiver.test:{receiver.port}/",
            "https://receiver.test/",
        ):
            request = WebhookRequest(url=url, headers={}, body=b"")
            attempt = await transport(allowed=Allowed()).send(request)
            assert (attempt.failure, attempt.address) == (AttemptFailure.REFUSED_ADDRESS, None)
    assert receiver.connections == 0


async def test_a_name_that_changes_its_address_is_connected_to_at_the_one_that_was_checked() -> None:
    rebinding = names(LOOPBACK, ["169.254.169.254"])
    async with receiving(OK) as receiver:
        first = await transport(rebinding).send(to(receiver))
        asked_for_one = rebinding.asked
        second = await transport(rebinding).send(to(receiver))
    assert (first.failure, asked_for_one) == (None, 1)
    assert second.failure is AttemptFailure.REFUSED_ADDRESS
    assert receiver.connections == 1


async def test_the_next_address_is_tried_when_one_is_closed() -> None:
    async with receiving(OK) as receiver:
        allowed = Allowed.of("127.0.0.0/8:*")
        attempt = await transport(names(["127.0.0.9", "127.0.0.1"]), allowed=allowed).send(to(receiver))
    assert (attempt.failure, attempt.address) == (None, "127.0.0.1")


async def test_a_closed_port_is_a_failure_to_connect() -> None:
    async with receiving(OK) as receiver:
        pass
    attempt = await transport().send(to(receiver))
    assert (attempt.failure, attempt.address) == (AttemptFailure.CONNECT, None)


async def test_an_unknown_name_is_a_failure_of_its_own() -> None:
    async def unknown(host: str, port: int) -> Sequence[Address]:
        raise OSError(-2, "Name or service not known")

    async def silent(host: str, port: int) -> Sequence[Address]:
        await asyncio.Event().wait()
        raise AssertionError

    for attempt in (
        await transport(unknown).send(to(Receiver(443))),
        await transport(names([])).send(to(Receiver(443))),
        await transport(silent, connect_within=0.05).send(to(Receiver(443))),
    ):
        assert attempt.failure is AttemptFailure.DNS


async def test_the_systems_names_are_looked_up() -> None:
    resolve = SystemResolver()
    async with receiving(OK) as receiver:
        allowed = Allowed.of("127.0.0.0/8:*, [::1]:*")
        attempt = await transport(resolve, allowed=allowed).send(to(receiver, host="localhost"))
    assert attempt.failure is None
    with pytest.raises(OSError, match=r"."):
        await resolve("no-such-host.invalid", 443)


async def test_lookups_that_hang_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        go.wait(60)
        raise OSError(-3, "Temporary failure in name resolution")

    monkeypatch.setattr("socket.getaddrinfo", hang)
    resolve = SystemResolver()
    sender = transport(resolve, connect_within=1)
    sent = [sender.send(to(Receiver(443))) for _ in range(100)]
    try:
        assert {attempt.failure for attempt in await asyncio.gather(*sent)} == {AttemptFailure.DNS}
        assert sum(thread.name == "webhook-dns" for thread in threading.enumerate()) == 64
    finally:
        go.set()
    # Their places are free again.
    for _ in range(100):
        with pytest.raises(OSError, match="Temporary failure"):
            await resolve("receiver.test", 443)


def never(receiver: Receiver) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return behave


def dribbling(part: bytes, head: bytes = b"") -> Callable[[Receiver], Behaviour]:
    """A byte now and then: every single wait is short."""

    def of(receiver: Receiver) -> Behaviour:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await receiver.request(reader)
            writer.write(head)
            while True:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)

        return behave

    return of


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "behaviour",
    [never, dribbling(b"H"), dribbling(b"1\r\nx\r\n", CHUNKED), dribbling(b"HTTP/1.1 103 Early\r\n\r\n")],
    ids=["never answers", "dribbles its head", "dribbles its body", "is always about to answer"],
)
async def test_the_whole_attempt_has_one_deadline(behaviour: Callable[[Receiver], Behaviour]) -> None:
    async with receiving(behaviour) as receiver, asyncio.timeout(60):
        attempt = await transport(done_within=0.4).send(to(receiver))
    assert attempt.failure is AttemptFailure.TIMEOUT


async def test_a_receiver_that_never_shakes_hands_is_given_up_with_the_time_to_connect() -> None:
    async with receiving(never) as receiver, asyncio.timeout(60):
        attempt = await transport(connect_within=0.2).send(to(receiver, scheme="https"))
    assert attempt.failure is AttemptFailure.TIMEOUT


def flooding(head: bytes, part: bytes) -> Callable[[Receiver], Behaviour]:
    """10 GB, or as much as is taken."""

    def of(receiver: Receiver) -> Behaviour:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await receiver.request(reader)
            writer.write(head)
            while receiver.sent < 10**10:
                writer.write(part)
                await writer.drain()
                receiver.sent += len(part)

        return behave

    return of


LONG = b"x" * 65536


@pytest.mark.parametrize(
    ("behaviour", "status", "failure"),
    [
        (flooding(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", LONG), 200, AttemptFailure.BODY_TOO_LARGE),
        (flooding(b"HTTP/1.1 500 Oh\r\n\r\n", LONG), 500, AttemptFailure.BODY_TOO_LARGE),
        (flooding(CHUNKED, b"10000\r\n" + LONG + b"\r\n"), 200, AttemptFailure.BODY_TOO_LARGE),
        (flooding(b"", b"HTTP/1.1 103 Early\r\n\r\n" * 3000), None, AttemptFailure.BODY_TOO_LARGE),
        (flooding(b"HTTP/1.1 200 OK\r\nX: ", LONG), None, AttemptFailure.RESET),
    ],
    ids=["10 GB", "without end", "in chunks", "before the answer", "in a header"],
)
async def test_no_more_of_an_answer_is_read_than_is_bounded(
    behaviour: Callable[[Receiver], Behaviour], status: int | None, failure: AttemptFailure
) -> None:
    async with receiving(behaviour) as receiver, asyncio.timeout(60):
        attempt = await transport().send(to(receiver))
    assert (attempt.failure, attempt.status) == (failure, status)
    assert len(attempt.body) == (4096 if status else 0)
    # Beside what was read, the buffers of the system may be full.
    assert receiver.sent < READ_MAX + 16 * 2**20


async def test_of_an_answer_within_the_bound_the_first_4_kib_are_kept() -> None:
    body, header = b"a" * 4096 + b"b" * 100_000, b"h" * 3000
    head = b"HTTP/1.1 200 OK\r\nX-One: %b\r\nX-Two: %b\r\nContent-Length: %d\r\n\r\n" % (header, header, len(body))
    async with receiving(head + body) as receiver:
        attempt = await transport().send(to(receiver))
    assert (attempt.failure, attempt.body) == (None, b"a" * 4096)
    assert list(attempt.headers) == ["x-one"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n\x00: x\r\n\r\n",
    ],
    ids=["nothing", "half", "not HTTP", "a broken head"],
)
async def test_what_is_no_whole_answer_is_none(answer: bytes) -> None:
    async with receiving(answer) as receiver:
        attempt = await transport().send(to(receiver))
    assert attempt.failure is AttemptFailure.RESET


async def test_a_header_that_cannot_be_sent_is_never_sent() -> None:
    async with receiving(OK) as receiver:
        request = WebhookRequest(url=to(receiver).url, headers={"x-a": "1\r\nx-b: 2"}, body=b"")
        attempt = await transport().send(request)
    assert attempt.failure is AttemptFailure.RESET
    assert receiver.requests == []


@frozen
class Certificates:
    server: ssl.SSLContext
    client: ssl.SSLContext


def certificates(folder: Path, host: x509.GeneralName) -> Certificates:
    """A certificate for one host, and a client that trusts it alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    file = folder / "certificate.pem"
    file.write_bytes(
        pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return Certificates(server, ssl.create_default_context(cadata=pem.decode()))


async def test_tls_asks_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    told: list[str | None] = []
    known = certificates(tmp_path, x509.DNSName("receiver.test"))
    known.server.sni_callback = lambda _socket, name, _context: told.append(name)
    async with receiving(OK, known.server) as receiver:
        attempt = await transport(tls=known.client).send(to(receiver, scheme="https"))
    assert (attempt.failure, attempt.address) == (None, "127.0.0.1")
    assert told == ["receiver.test"]
    assert f"host: receiver.test:{receiver.port}".encode() in receiver.requests[0].lower()


async def test_tls_to_an_address_needs_a_certificate_for_it(tmp_path: Path) -> None:
    known = certificates(tmp_path, x509.IPAddress(IPv4Address("127.0.0.1")))
    async with receiving(OK, known.server) as receiver:
        attempt = await transport(tls=known.client).send(to(receiver, scheme="https", host="127.0.0.1"))
    assert attempt.failure is None


async def test_a_certificate_that_is_not_the_receivers_is_a_failure_before_anything_is_sent(tmp_path: Path) -> None:
    known = certificates(tmp_path, x509.DNSName("other.test"))

    async def try_with(tls: ssl.SSLContext, receiver: Receiver) -> Attempt:
        return await transport(tls=tls).send(to(receiver, scheme="https"))

    def plain_http(receiver: Receiver) -> Behaviour:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            told.append(await reader.read(1))
            writer.write(OK)
            await writer.drain()

        return behave

    told: list[bytes] = []
    async with receiving(OK, known.server) as receiver, receiving(plain_http) as plain:
        attempts = [
            await try_with(known.client, receiver),
            await try_with(TRUSTING_NOBODY, receiver),
            await try_with(known.client, plain),
        ]
    assert [attempt.failure for attempt in attempts] == [AttemptFailure.TLS] * 3
    assert receiver.requests == []
    # A handshake begins with this byte.
    assert told == [b"\x16"]


async def test_a_sender_that_is_cancelled_leaves_no_connection_open() -> None:
    come, gone = asyncio.Event(), asyncio.Event()

    def of(receiver: Receiver) -> Behaviour:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            come.set()
            await reader.read()
            gone.set()

        return behave

    for scheme in ("http", "https"):
        come.clear()
        gone.clear()
        async with receiving(of) as receiver, asyncio.timeout(60):
            sending = asyncio.create_task(transport().send(to(receiver, scheme=scheme)))
            await come.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await gone.wait()
