"""The signatures of Standard Webhooks, with the example of its specification."""

from secrets import token_bytes
from time import time

import pytest
from holdfast_client import InvalidSignature, verify_webhook
from standardwebhooks import Webhook

from adapters.codecs.standard_webhooks import KEY_BYTES, WebhookSecret

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
