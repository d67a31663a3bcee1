import re
from typing import get_args

import pytest

from application.access.scopes import Role
from application.access.tokens import SECRET_LENGTH, id_in, token_of
from entrypoints.cli import keys
from entrypoints.container import Container

SECRET = "0123456789abcdefghijABCDEFGHIJ01"
TOKEN = token_of("live", Role.SHOP, SECRET)


@pytest.mark.parametrize("kind", ["live", "test"])
@pytest.mark.parametrize("role", Role)
def test_a_key_is_known_by_its_look(kind: str, role: Role) -> None:
    token = token_of(kind, role, SECRET)  # type: ignore[arg-type]
    assert re.fullmatch(rf"hf_{kind}_{role}_[0-9A-Za-z]{{38}}", token)
    assert id_in(token) == SECRET[:12]


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_a_mistyped_key_is_no_key(place: int) -> None:
    other = "X" if TOKEN[place] != "X" else "Y"
    assert id_in(TOKEN[:place] + other + TOKEN[place + 1 :]) is None
    assert id_in(TOKEN[:place] + TOKEN[place + 1 :]) is None


@pytest.mark.parametrize("token", ["", "x", TOKEN + " ", TOKEN + "\n", TOKEN * 2, TOKEN.upper(), "\0", "ü" * 52])
def test_other_text_is_no_key(token: str) -> None:
    assert id_in(token) is None


def test_the_checksum_stays_as_it_is_for_all_keys_that_were_made() -> None:
    assert TOKEN == "hf_live_shop_0123456789abcdefghijABCDEFGHIJ011JnL0x"


def test_secrets_are_not_repeated() -> None:
    secrets = {Container.new_secret()() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(secret) for secret in secrets} == {SECRET_LENGTH}


def test_the_command_line_knows_every_role() -> None:
    assert set(get_args(keys.Role)) == set(Role)
