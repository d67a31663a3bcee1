"""The signatures of Standard Webhooks, with the example of its specification."""

import sys
from base64 import b64decode, b64encode
from secrets import token_bytes
from time import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from holdfast_client import InvalidSignature, verify_webhook
from standardwebhooks import Webhook

from adapters.codecs.standard_webhooks import KEY_BYTES, SEED_BYTES, SigningKey, WebhookSecret, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
SENT_AT = 1614265330
HEADERS = {
    "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "Webhook-Timestamp": str(SENT_AT),
    "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_a_message_that_was_signed_with_the_secret_is_taken() -> None:
    assert verify_webhook(BODY, HEADERS, SECRET, now=SENT_AT + 10) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_what_is_signed_is_what_the_specification_shows_and_another_library_takes() -> None:
    signed = WebhookSecret.parse(SECRET).headers(HEADERS["Webhook-Id"], BODY, at=SENT_AT)
    assert signed == {name.lower(): value for name, value in HEADERS.items()}
    secret, now = WebhookSecret(token_bytes(KEY_BYTES)), int(time())
    assert Webhook(secret.told()).verify(BODY, secret.headers("one", BODY, at=now)) == {"test": 2432232314}
    assert verify_webhook(BODY, secret.headers("one", BODY, at=now), secret.told(), now=now) == "one"
    assert secret.told() not in repr(secret)


def test_one_of_several_signatures_is_enough() -> None:
    several = HEADERS | {"Webhook-Signature": f"v1a,other v1,bm9uZQ== {HEADERS['Webhook-Signature']}"}
    assert verify_webhook(BODY, several, SECRET, now=SENT_AT)


def test_one_of_several_secrets_is_enough() -> None:
    assert verify_webhook(BODY, HEADERS, ["whsec_" + "A" * 32, SECRET], now=SENT_AT)
    for secrets in ([], ["whsec_" + "A" * 32, "whsec_" + "B" * 32]):
        with pytest.raises(InvalidSignature):
            verify_webhook(BODY, HEADERS, secrets, now=SENT_AT)


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_a_secret_that_everybody_knows_is_refused(secret: str) -> None:
    key = WebhookSecret(b"")
    with pytest.raises(InvalidSignature, match="empty"):
        verify_webhook(BODY, key.headers("one", BODY, at=SENT_AT), secret, now=SENT_AT)


@pytest.mark.parametrize(
    ("body", "headers", "secret", "now"),
    [
        pytest.param(BODY + b" ", HEADERS, SECRET, SENT_AT, id="another body"),
        pytest.param(BODY, HEADERS, "whsec_" + "A" * 32, SENT_AT, id="another secret"),
        pytest.param(BODY, HEADERS, "no base64!", SENT_AT, id="no secret"),
        pytest.param(BODY, HEADERS, SECRET, SENT_AT + 301, id="too old"),
        pytest.param(BODY, HEADERS, SECRET, SENT_AT - 301, id="from the future"),
        pytest.param(BODY, HEADERS | {"Webhook-Id": "msg_other"}, SECRET, SENT_AT, id="another id"),
        pytest.param(BODY, HEADERS | {"Webhook-Timestamp": str(SENT_AT + 1)}, SECRET, SENT_AT, id="another time"),
        pytest.param(BODY, HEADERS | {"Webhook-Timestamp": "now"}, SECRET, SENT_AT, id="no time"),
        pytest.param(BODY, HEADERS | {"Webhook-Signature": "v1,ä"}, SECRET, SENT_AT, id="no signature"),
        pytest.param(BODY, {}, SECRET, SENT_AT, id="no headers"),
    ],
)
def test_any_other_message_is_refused(body: bytes, headers: dict[str, str], secret: str, now: int) -> None:
    with pytest.raises(InvalidSignature):
        verify_webhook(body, headers, secret, now=now)


# The first test vector of Ed25519 in RFC 8032, section 7.1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = "whpk_" + b64encode(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")).decode()


def test_a_message_that_was_signed_with_the_key_of_the_shop_is_taken_with_the_public_half() -> None:
    key = SigningKey.of(SEED)
    assert key.public() == PUBLIC
    assert SigningKey.parse(key.told()).public() == PUBLIC
    assert key.told() not in repr(key)
    headers = signed_headers([key], "one", BODY, at=SENT_AT)
    assert verify_webhook(BODY, headers, PUBLIC, now=SENT_AT) == "one"
    assert verify_webhook(BODY, headers, [SECRET, PUBLIC], now=SENT_AT) == "one"


def test_what_is_signed_with_a_key_is_what_the_specification_says() -> None:
    headers = signed_headers([SigningKey.of(SEED)], "one", BODY, at=SENT_AT)
    # Written from the specification, by none of our own code: the id, the time and the body, with dots between them.
    kind, signature = headers["webhook-signature"].split(",")
    assert kind == "v1a"
    raw = b64decode(PUBLIC.removeprefix("whpk_"))
    signed = b"one." + str(SENT_AT).encode() + b"." + BODY
    Ed25519PublicKey.from_public_bytes(raw).verify(b64decode(signature), signed)


def test_while_a_key_is_replaced_either_half_fits() -> None:
    old, new = SigningKey.of(SEED), SigningKey.of(token_bytes(SEED_BYTES))
    headers = signed_headers([new, old], "one", BODY, at=SENT_AT)
    assert [each.split(",")[0] for each in headers["webhook-signature"].split()] == ["v1a", "v1a"]
    for key in (old, new):
        assert verify_webhook(BODY, headers, key.public(), now=SENT_AT) == "one"


@pytest.mark.parametrize(
    ("body", "id_", "signature", "public"),
    [
        pytest.param(BODY + b" ", "one", None, PUBLIC, id="another body"),
        pytest.param(BODY, "two", None, PUBLIC, id="another id"),
        pytest.param(BODY, "one", None, SigningKey.of(b"7" * 32).public(), id="another key"),
        pytest.param(BODY, "one", None, "whpk_", id="no key"),
        pytest.param(BODY, "one", None, "whpk_AAAA", id="half a key"),
        pytest.param(BODY, "one", "v1a,AAAA", PUBLIC, id="half a signature"),
        pytest.param(BODY, "one", "v1a,ä", PUBLIC, id="no signature"),
        # Whoever knows a public key can make this one.
        pytest.param(
            BODY,
            "one",
            WebhookSecret(b64decode(PUBLIC[5:])).headers("one", BODY, at=SENT_AT)["webhook-signature"],
            PUBLIC,
            id="by a public key as a secret",
        ),
    ],
)
def test_any_other_message_is_refused_with_a_public_key(
    body: bytes, id_: str, signature: str | None, public: str
) -> None:
    headers = signed_headers([SigningKey.of(SEED)], "one", BODY, at=SENT_AT) | {"webhook-id": id_}
    if signature is not None:
        headers["webhook-signature"] = signature
    with pytest.raises(InvalidSignature):
        verify_webhook(body, headers, public, now=SENT_AT)


def test_without_the_library_a_public_key_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = signed_headers([SigningKey.of(SEED)], "one", BODY, at=SENT_AT)
    # How Python marks what can't be imported.
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ImportError, match=r"holdfast-client\[ed25519\]"):
        verify_webhook(BODY, headers, PUBLIC, now=SENT_AT)
    assert verify_webhook(BODY, HEADERS, SECRET, now=SENT_AT)


@pytest.mark.parametrize("text", ["", "whsk_", "whsk_AAAA", "whsk_no base64!", SECRET, PUBLIC])
def test_what_is_no_key_is_refused_without_telling_it(text: str) -> None:
    with pytest.raises(ValueError, match="whsk_ and 32 bytes") as refused:
        SigningKey.parse(text)
    assert len(text) <= len("whsk_") or text not in str(refused.value)
