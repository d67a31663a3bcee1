from collections.abc import AsyncGenerator, Callable

import pytest

from tests.features.conftest import pytest_bdd_before_step_call


async def a_coroutine_step() -> None:
    raise AssertionError


async def a_generator_step() -> AsyncGenerator[None, None]:
    yield


def a_plain_step() -> None:
    """Nothing to do."""


@pytest.mark.parametrize("step", [a_coroutine_step, a_generator_step])
def test_a_step_that_is_a_coroutine_fails(step: Callable[..., object]) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"{step.__name__} is a coroutine"):
        pytest_bdd_before_step_call(step)


def test_a_plain_step_is_let_through() -> None:
    pytest_bdd_before_step_call(a_plain_step)
