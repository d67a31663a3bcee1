"""`holdfast webhook-key`: a new key that signs webhooks as v1a."""

from entrypoints.cli.output import say, tell


def webhook_key() -> None:
    from secrets import token_bytes

    from adapters.codecs.standard_webhooks import SEED_BYTES, SigningKey

    key = SigningKey.of(token_bytes(SEED_BYTES))
    say(f"receivers will find {key.public()} at /.well-known/webhook-keys; this is the key for the setting:")
    tell(key.told())
