from adapters.rabbitmq.connection import BrokerConnection, Timeouts


async def server_version(url: str) -> str:
    """Return the name and version of the server, as "RabbitMQ 3.13.7". Raise `Unavailable` with the cause."""
    connection = await BrokerConnection.open(url, name="holdfast health", timeouts=Timeouts())
    try:
        return connection.version
    finally:
        await connection.close()
