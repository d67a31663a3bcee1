"""Keys on a service as it runs: from the start that is refused, to the key that another process has revoked."""

import asyncio
from pathlib import Path

import httpx

from tests.service import Service, until


async def test_a_service_asks_for_a_key_from_its_first_start_to_the_last_request(tmp_path: Path) -> None:
    service = Service(folder=tmp_path, settings={"HOLDFAST_AUTH": "required"})
    try:
        status, printed = await asyncio.to_thread(service.try_to_run, "up", seconds=60)
        assert status == 1
        assert "holdfast keys create --role admin --name NAME" in printed
        assert "Traceback" not in printed

        made = await asyncio.to_thread(service.run, "keys", "create", "--role", "admin", "--name", "ana", seconds=60)
        [key] = [line for line in made.splitlines() if line.startswith("hf_live_admin_")]
        key_id = key.removeprefix("hf_live_admin_")[:12]
        await asyncio.to_thread(service.start_all, ["up"])
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            assert (await client.get("/products")).status_code == httpx.codes.UNAUTHORIZED
            client.headers["Authorization"] = f"Bearer {key}"
            assert (await client.get("/products")).status_code == httpx.codes.OK

            # The command is a process of its own, and tells the other one nothing.
            await asyncio.to_thread(service.run, "keys", "revoke", key_id, seconds=60)

            async def is_dead() -> bool:
                return (await client.get("/products")).status_code == httpx.codes.UNAUTHORIZED

            await until(is_dead, seconds=60, what="the revoked key is dead")
        listed = await asyncio.to_thread(service.run, "keys", "list", seconds=60)
        assert key not in listed
        [line] = [line for line in listed.splitlines() if line.startswith(key_id)]
        assert "revoked" in line
        assert "never" not in line
    finally:
        service.kill()
