from adapters.rabbitmq.connection import BrokerConnection, Timeouts


async def server_version(url: str) -> str:
    """Such as "RabbitMQ 3.13.7". Raise `Unavailable`, which says what is wrong."""
    connection = await BrokerConnection.open(url, name="holdfast health", timeouts=Timeouts())
    try:
        return connection.version
    finally:
        await connection.close()
