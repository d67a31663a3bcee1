"""The servers that tests need: shared ones for the run, and private ones that a test may kill, freeze and restart."""

from tests.servers.packages import ServerMissing
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import PostgresServer
from tests.servers.process import Process, ServerFailed, free_port, plain_environment, wait_until
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer, TlsRedisServer
from tests.servers.server import Server

__all__ = [
    "PgBouncer",
    "PostgresServer",
    "Process",
    "RabbitServer",
    "RedisServer",
    "Server",
    "ServerFailed",
    "ServerMissing",
    "TlsRedisServer",
    "free_port",
    "plain_environment",
    "wait_until",
]
