"""What an error of PostgreSQL's driver means."""

import asyncpg
import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, InterfaceError

from adapters.sql.dialects.postgresql.errors import PostgresErrors
from application.errors import Unavailable


def raised(error: Exception) -> DBAPIError:
    """The error as SQLAlchemy raises it."""
    wrapped = postgresql.asyncpg.AsyncAdapt_asyncpg_dbapi.InternalClientError(str(error))
    wrapped.__cause__ = error
    return InterfaceError("SELECT 1", None, wrapped)


def test_a_connection_that_ends_while_it_is_opened_is_a_server_that_does_not_answer() -> None:
    error = raised(asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"))
    found = PostgresErrors().translated(error, "the database")
    assert isinstance(found, Unavailable)
    assert str(found).startswith("the database broke off the connection")
    assert PostgresErrors().ends_session(error)


def test_what_became_of_a_commit_that_was_cut_off_is_not_known() -> None:
    assert PostgresErrors().leaves_commit_open(raised(asyncpg.InternalClientError("got result for unknown state")))


@pytest.mark.parametrize("state", ["57P01", "40001", "23505"])
def test_the_server_says_what_became_of_a_commit_that_it_refuses(state: str) -> None:
    assert not PostgresErrors().leaves_commit_open(raised(asyncpg.PostgresError.new({"C": state, "M": "no"})))
