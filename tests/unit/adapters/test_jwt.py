"""Tokens of an identity provider, above all those that must open nothing."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from time import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapters.jwt import key_set
from adapters.jwt.key_set import KeySet
from adapters.jwt.tokens import Issuer, TokenCallers
from application.access.limits import GUESSES, TooManyGuesses
from application.access.principal import Principal, Unauthenticated
from application.access.scopes import Scope
from application.errors import Unavailable
from domain.ids import UserId, UserName
from entrypoints.identity_provider import provider_problem
from entrypoints.read_settings import read_settings
from entrypoints.settings import InvalidSettings, Settings

HERE = "127.0.0.1"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
ISSUER = Issuer("https://login.example/", "shop")


def jwk(key: Any, key_id: str) -> dict[str, Any]:
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    algorithm = jwt.algorithms.RSAAlgorithm if is_rsa else jwt.algorithms.ECAlgorithm
    described: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
    return {**described, "kid": key_id, "use": "sig", "alg": "RS256" if is_rsa else "ES256"}


KEYS = [
    jwk(RSA, "one"),
    jwk(CURVE, "two"),
    {"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"},
    {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
    {"kty": "unknown", "kid": "strange"},
    "no key",
]


def token(key: Any = RSA, key_id: str | None = "one", algorithm: str = "RS256", **claims: Any) -> str:
    given = {
        "iss": ISSUER.issuer,
        "aud": "shop",
        "sub": "7",
        "exp": time() + 600,
        "scope": "orders:read payments:write",
    }
    payload = {name: value for name, value in {**given, **claims}.items() if value is not ...}
    return jwt.encode(payload, key, algorithm=algorithm, headers={} if key_id is None else {"kid": key_id})


def by_hand(header: dict[str, Any], signature: Callable[[bytes], bytes] = lambda _: b"") -> str:
    payload = {"iss": ISSUER.issuer, "aud": "shop", "sub": "7", "exp": time() + 600, "scope": "admin"}

    def part(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    signed = part(json.dumps(header).encode()) + b"." + part(json.dumps(payload).encode())
    return (signed + b"." + part(signature(signed))).decode()


def write(file: Path, content: str) -> None:
    file.write_text(content)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": KEYS}))
    return file


@pytest.fixture
def let_in(file: Path) -> TokenCallers:
    return TokenCallers(ISSUER, KeySet(str(file)))


@pytest.mark.parametrize(("key", "key_id", "algorithm"), [(RSA, "one", "RS256"), (CURVE, "two", "ES256")])
async def test_a_token_speaks_for_its_customer(let_in: TokenCallers, key: Any, key_id: str, algorithm: str) -> None:
    principal = await let_in(token(key, key_id, algorithm), HERE)
    assert principal == Principal(
        "jwt:7", user_id=UserId(7), scopes=frozenset({Scope.ORDERS_READ, Scope.PAYMENTS_WRITE})
    )


async def test_claims_mean_what_the_settings_say(file: Path) -> None:
    let_in = TokenCallers(Issuer(ISSUER.issuer, "shop", "customer", "roles"), KeySet(str(file)))
    named = await let_in(token(customer="auth0|ana", roles=["orders:write", "refunds:write", "planets:move", 7]), HERE)
    assert (named.user_id, named.scopes) == (UserName("auth0|ana"), {Scope.ORDERS_WRITE})
    staff = await let_in(token(roles=["refunds:write"]), HERE)
    assert (staff.user_id, staff.scopes) == (None, {Scope.REFUNDS_WRITE})
    assert (await let_in(token(customer=8), HERE)).scopes == frozenset()
    # Each has a limit of its own.
    callers = {(await let_in(token(customer=number, sub=...), HERE)).key_id for number in (8, 9)}
    assert callers == {"jwt:8", "jwt:9"}
    # A customer that the provider does not know yet is not the shop.
    with pytest.raises(Unauthenticated):
        await let_in(token(customer=None, roles=["refunds:write"]), HERE)
    # The names of callers are stored, and no database takes these.
    for name in ("a\0b", "\ud800"):
        with pytest.raises(Unauthenticated):
            await let_in(token(customer=8, sub=name), "192.0.2.1")


async def test_the_clocks_may_differ_by_a_minute(let_in: TokenCallers) -> None:
    assert await let_in(token(exp=time() - 30, nbf=time() + 30), HERE)


PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
HOSTILE = {
    "nothing": lambda: "..",
    "no JSON": lambda: "a.b.c",
    "no signature": lambda: by_hand({"alg": "none", "kid": "one"}),
    "no signature, in other letters": lambda: by_hand({"alg": "NonE", "kid": "one"}),
    "the public key as a shared secret": lambda: by_hand(
        {"alg": "HS256", "kid": "one"}, lambda signed: hmac.new(PUBLIC, signed, hashlib.sha256).digest()
    ),
    "a shared key of the provider": lambda: jwt.encode({}, "secret" * 8, algorithm="HS256", headers={"kid": "shared"}),
    "the key in the token": lambda: by_hand({"alg": "RS256", "jwk": jwk(OTHER, "one")}),
    "a key id that is no text": lambda: by_hand({"alg": "RS256", "kid": {"a": 1}}),
    "a list of algorithms": lambda: by_hand({"alg": ["RS256"], "kid": "one"}),
    "another algorithm than the key's": lambda: token(algorithm="PS256"),
    "a key of another kind": lambda: token(key_id="two"),
    "another key": lambda: token(OTHER),
    "an unknown key": lambda: token(OTHER, "three"),
    "no key": lambda: token(key_id=None),
    "another issuer": lambda: token(iss="https://evil.example/"),
    "no issuer": lambda: token(iss=...),
    "another audience": lambda: token(aud="another shop"),
    "no audience": lambda: token(aud=...),
    "expired": lambda: token(exp=time() - 61),
    "without an end": lambda: token(exp=...),
    "an end that is no number": lambda: token(exp="soon"),
    "an end that no clock shows": lambda: token(exp=10**400),
    "an end in infinity": lambda: token(exp=1e400),
    "not yet valid": lambda: token(nbf=time() + 120),
    "a customer that is no id": lambda: token(sub="x" * 65),
    "changed": lambda: token()[:-4] + "AAAA",
    "huge": lambda: token(more="x" * 10_000),
    "not ASCII": lambda: "ü.ü.ü",
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_token_that_is_not_right_opens_nothing(let_in: TokenCallers, kind: str) -> None:
    with pytest.raises(Unauthenticated):
        await let_in(HOSTILE[kind](), HERE)
    assert await let_in(token(), HERE)


async def test_unknown_keys_cause_no_flood_of_readings(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings: list[str] = []
    load = key_set._load  # noqa: SLF001 - the only way in

    def counted(source: str) -> Any:
        readings.append(source)
        return load(source)

    monkeypatch.setattr(key_set, "_load", counted)
    let_in = TokenCallers(ISSUER, KeySet(str(file)))
    for number in range(10):
        with pytest.raises(Unauthenticated):
            await let_in(token(OTHER, f"unknown {number}"), f"192.0.2.{number}")
    assert len(readings) == 1


async def test_new_keys_are_read_and_known_ones_stay_while_the_provider_is_away(file: Path) -> None:
    let_in = TokenCallers(ISSUER, KeySet(str(file), pause=-1.0, refresh=-1.0))
    assert await let_in(token(), HERE)
    write(file, json.dumps({"keys": [jwk(RSA, "one"), jwk(OTHER, "three")]}))
    assert await let_in(token(OTHER, "three"), HERE)
    for broken in ("", "[]", '{"keys": []}', '{"keys": 7}', "[" * 100_000):
        write(file, broken)
        assert await let_in(token(jti=broken[:100]), HERE)
        with pytest.raises(Unauthenticated):
            await let_in(token(OTHER, "four"), "192.0.2.1")


async def test_a_provider_that_speaks_no_http_is_away(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> Any:
        raise IncompleteRead(b"")

    monkeypatch.setattr(key_set, "_load", broken)
    with pytest.raises(Unavailable):
        await TokenCallers(ISSUER, KeySet(str(file)))(token(), HERE)


async def test_an_end_that_is_written_as_text_is_an_end(let_in: TokenCallers) -> None:
    assert await let_in(token(exp=str(int(time()) + 600)), HERE)


async def test_without_any_key_the_answer_is_to_try_again(tmp_path: Path) -> None:
    let_in = TokenCallers(ISSUER, KeySet(str(tmp_path / "missing.json")))
    with pytest.raises(Unavailable):
        await let_in(token(), HERE)


@pytest.mark.parametrize("content", [None, b"", b"no JSON", b"{}", b'{"keys": []}', b"[" * 10_000, b" " * 1_000_001])
async def test_the_doctor_tells_of_keys_that_can_not_be_read(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "keys.json"
    if content is not None:
        file.write_bytes(content)
    settings = Settings(jwt_issuer="https://login.example/", jwt_audience="shop", jwt_keys=str(file))
    assert "check HOLDFAST_JWT_KEYS" in str(await provider_problem(settings))
    file.write_text(json.dumps({"keys": KEYS}))
    assert await provider_problem(settings) is None


async def test_guessing_tokens_ends_soon(let_in: TokenCallers) -> None:
    known = token()
    await let_in(known, HERE)
    for _ in range(GUESSES.quantity):
        with pytest.raises(Unauthenticated):
            await let_in("a.b.c", HERE)
    with pytest.raises(TooManyGuesses):
        await let_in(token(jti="new"), HERE)
    assert await let_in(known, HERE)


@pytest.mark.parametrize("missing", ["ISSUER", "AUDIENCE", "KEYS"])
def test_half_an_identity_provider_stops_the_start(missing: str) -> None:
    whole = {f"HOLDFAST_JWT_{name}": "https://login.example/" for name in ("ISSUER", "AUDIENCE", "KEYS")}
    assert read_settings(whole).jwt_issuer == "https://login.example/"
    with pytest.raises(InvalidSettings, match=f"HOLDFAST_JWT_{missing}"):
        read_settings({name: value for name, value in whole.items() if not name.endswith(missing)})
