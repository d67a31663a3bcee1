"""Every row."""

from typing import Final

from tests.integration.faults import on_postgres, on_processes, on_rabbitmq, on_redis
from tests.integration.faults.fault import Fault

FAULTS: Final[tuple[Fault, ...]] = (*on_processes.FAULTS, *on_postgres.FAULTS, *on_rabbitmq.FAULTS, *on_redis.FAULTS)
