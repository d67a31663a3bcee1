import pytest

from adapters.memory.rate_limits import MemoryRateLimiter
from application.access.limits import GUESSES
from application.access.manage_keys import NewKey
from application.access.principal import SYSTEM
from application.access.scopes import Role
from application.assembly.use_cases import UseCases
from application.ports.rate_limits import Quota
from domain.ids import UserId
from entrypoints.http.authentication import Bearer, client_address
from entrypoints.http.rate_limits import RateLimits
from entrypoints.read_settings import read_settings
from entrypoints.settings import InvalidSettings
from tests.http.browser import Answer, Browser, app_over

QUOTAS = (Quota("burst", 2, 10_000.0), Quota("sustained", 3, 60_000.0))


def browser_of(use_cases: UseCases) -> Browser:
    limits = RateLimits(MemoryRateLimiter(QUOTAS), QUOTAS)
    authenticate = Bearer(use_cases.authenticate, required=True)
    return Browser(app_over(use_cases, authenticate=authenticate, rate_limits=limits))


async def get(browser: Browser, path: str, token: str) -> Answer:
    return await browser.send("GET", path, more=[("Authorization", f"Bearer {token}")])


async def test_a_customer_is_told_what_is_left_and_sent_away_when_nothing_is(use_cases: UseCases) -> None:
    browser = browser_of(use_cases)
    ana, bob = [
        await use_cases.create_key(SYSTEM, NewKey(name="x", role=Role.CUSTOMER, user_id=UserId(id_))) for id_ in (1, 2)
    ]
    first = await get(browser, "/orders", ana.token)
    assert first.headers["RateLimit-Policy"] == '"burst";q=2;w=10000, "sustained";q=3;w=60000'
    assert first.headers["RateLimit"] == '"burst";r=1;t=5000, "sustained";r=2;t=20000'
    # A refusal counts, too.
    second = await get(browser, "/keys", ana.token)
    assert (second.status, second.headers["RateLimit"].split(";")[1]) == (403, "r=0")

    third = await get(browser, "/orders", ana.token)
    assert (third.status, third.code, third.body["retryable"]) == (429, "too_many_requests", True)
    assert 1 <= int(third.headers["Retry-After"]) <= 5000
    assert third.headers["RateLimit"].split(";")[1] == "r=0"
    assert (await get(browser, "/orders", bob.token)).status == 200


async def test_the_keys_of_the_shop_have_no_limit(use_cases: UseCases) -> None:
    browser = browser_of(use_cases)
    issued = await use_cases.create_key(SYSTEM, NewKey(name="till", role=Role.SHOP))
    for _ in range(5):
        answer = await get(browser, "/orders", issued.token)
        assert (answer.status, "RateLimit" in answer.headers) == (200, False)


async def test_guessing_keys_is_answered_with_429(use_cases: UseCases) -> None:
    browser = browser_of(use_cases)
    answers = [await get(browser, "/orders", "a guess") for _ in range(GUESSES.quantity + 1)]
    assert [answer.status for answer in answers] == [401] * GUESSES.quantity + [429]
    assert answers[-1].code == "too_many_requests"
    assert int(answers[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        ("", ["10.0.0.7"], "192.0.2.1"),
        ("198.51.100.0/24", ["10.0.0.7"], "192.0.2.1"),
        ("192.0.2.0/24", ["10.0.0.7"], "10.0.0.7"),
        ("192.0.2.0/24", ["10.0.0.7, 203.0.113.5"], "203.0.113.5"),
        ("192.0.2.0/24", ["10.0.0.7", "203.0.113.5"], "203.0.113.5"),
        ("192.0.2.0/24,203.0.113.5", ["10.0.0.7, 203.0.113.5"], "10.0.0.7"),
        ("192.0.2.0/24", ["10.0.0.7, nowhere"], "nowhere"),
        ("192.0.2.0/24", [], "192.0.2.1"),
        ("192.0.2.0/24,203.0.113.5", ["::FFFF:10.0.0.7, ::ffff:203.0.113.5"], "10.0.0.7"),
        ("192.0.2.0/24", ["2001:db8::ffff:7"], "2001:db8::ffff:7"),
    ],
)
def test_a_forwarded_address_counts_from_our_own_proxies_alone(
    proxies: str, forwarded: list[str], address: str
) -> None:
    settings = read_settings({"HOLDFAST_TRUSTED_PROXIES": proxies})
    assert client_address("192.0.2.1", forwarded, settings.proxies) == address


def test_quotas_are_written_as_numbers_and_times() -> None:
    assert read_settings({}).quotas == (Quota("burst", 50, 1.0), Quota("sustained", 1000, 60.0))
    assert read_settings({"HOLDFAST_RATE_LIMIT": "5/10s"}).quotas == (Quota("burst", 5, 10.0),)
    assert read_settings({"HOLDFAST_RATE_LIMIT": "off"}).quotas == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("HOLDFAST_RATE_LIMIT", text) for text in ("none", "5", "0/1s", "-1/1s", "5/1", "5/0s", "1/1s 2/2s 3/3s")),
        *(("HOLDFAST_TRUSTED_PROXIES", text) for text in ("nginx", "10.0.0.1/8", "10.0.0.0/8;10.1.0.0/16")),
    ],
)
def test_a_limit_or_a_network_that_can_not_be_read_stops_the_start(name: str, text: str) -> None:
    with pytest.raises(InvalidSettings, match=name):
        read_settings({name: text})
