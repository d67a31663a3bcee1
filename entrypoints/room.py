"""Whether the database has room for more: on our disk if it is a file, or else on the disk of its server."""

import shutil
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.health import expect_room_on_server
from application.errors import Unavailable
from entrypoints.settings import Settings

# Bytes that a disk of ours needs: SQLite's log grows by as much between two checkpoints.
_ROOM: Final = 16 * 2**20


async def expect_room(settings: Settings, engine: AsyncEngine) -> None:
    """Raise `Unavailable`."""
    if settings.database_url:
        await expect_room_on_server(engine)
        return
    folder = settings.database_file.parent
    if shutil.disk_usage(folder).free < _ROOM:
        raise Unavailable(f"the disk of {folder} is full: less than {_ROOM // 2**20} MiB are free")
