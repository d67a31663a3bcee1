"""What a queue is, every release of RabbitMQ is told: its defaults change from one to the next."""

from adapters.rabbitmq.topology import Topology
from application.messaging.subscriptions import WORK_QUEUES

# What RabbitMQ 4.3 refuses in whatever queue.
GONE = {"x-queue-mode", "x-queue-version"}


def test_every_queue_says_its_type_and_has_nothing_that_is_gone() -> None:
    for name, arguments in Topology().all_queues.items():
        assert arguments["x-queue-type"] == "quorum", name
        assert arguments.keys().isdisjoint(GONE), name


def test_every_queue_that_is_consumed_says_how_often_a_message_may_come_back() -> None:
    """The default was no limit, and is twenty since RabbitMQ 4: after that, a message without another queue is gone."""
    topology = Topology()
    for work in WORK_QUEUES:
        for name in (topology.queue(work.name), topology.dead(work.name)):
            assert topology.all_queues[name]["x-delivery-limit"] >= 1000, name


def test_a_queue_that_says_nothing_of_it_is_consumed_by_nobody_and_passes_its_messages_on() -> None:
    silent = {name: each for name, each in Topology().all_queues.items() if "x-delivery-limit" not in each}
    assert silent.keys() == {Topology().later(work.name) for work in WORK_QUEUES}
    assert all({"x-message-ttl", "x-dead-letter-routing-key"} <= each.keys() for each in silent.values())
