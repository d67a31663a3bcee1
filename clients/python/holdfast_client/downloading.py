"""How far a download is. One that broke off goes on behind what has come."""

from dataclasses import dataclass
from typing import Final

import httpx

from holdfast_client.errors import UnexpectedAnswer

_PART: Final = httpx.codes.PARTIAL_CONTENT


@dataclass(slots=True)
class Downloading:
    """One download of a file, whose bytes never change."""

    path: str
    received: int = 0
    size: int | None = None
    _etag: str = ""

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
            raise UnexpectedAnswer(f"{self.path} is not the file of which {self.received} bytes have come")
        try:
            self.size = self.received + int(response.headers["Content-Length"])
        except (KeyError, ValueError) as error:
            raise UnexpectedAnswer(f"the answer to GET {self.path} does not tell its length") from error
        self._etag = response.headers.get("ETag", "")

    def take(self, part: bytes) -> bytes:
        self.received += len(part)
        return part
