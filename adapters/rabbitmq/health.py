from adapters.rabbitmq.link import Link, Timeouts


async def server_version(url: str) -> str:
    """Such as "RabbitMQ 3.13.7". Raise `Unavailable`, which says what is wrong."""
    link = await Link.open(url, name="holdfast health", timeouts=Timeouts())
    try:
        return link.version
    finally:
        await link.close()
