"""What comes of work for a message or for an order."""

import asyncio

# None: it is done, or there was nothing to do.
WorkOutcome = Exception | None
# A future of it, where the work waits for a slow server.
MaybeLate = WorkOutcome | asyncio.Future[WorkOutcome]
