"""How far a download is. One that broke off goes on behind what has come."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import httpx

from holdfast_client.calls import export_path
from holdfast_client.errors import UnexpectedAnswer

_PART: Final = httpx.codes.PARTIAL_CONTENT


@dataclass(slots=True)
class Downloading:
    """One download of an export, whose bytes never change."""

    job_id: UUID | str
    received: int = 0
    size: int | None = None
    _etag: str = ""

    @property
    def path(self) -> str:
        return export_path(self.job_id)

    @property
    def is_done(self) -> bool:
        return self.received == self.size

    def headers(self) -> dict[str, str]:
        if not self.received:
            return {"Accept": "*/*"}
        return {"Accept": "*/*", "Range": f"bytes={self.received}-", "If-Range": self._etag}

    def begin(self, response: httpx.Response) -> None:
        """Raise `UnexpectedAnswer` if it is not what is to come next."""
        if self.received and response.status_code != _PART:
            raise UnexpectedAnswer(f"export {self.job_id} is not the one of which {self.received} bytes have come")
        try:
            self.size = self.received + int(response.headers["Content-Length"])
        except (KeyError, ValueError) as error:
            raise UnexpectedAnswer(f"the answer to GET {self.path} does not tell its length") from error
        self._etag = response.headers.get("ETag", "")

    def take(self, part: bytes) -> bytes:
        self.received += len(part)
        return part
