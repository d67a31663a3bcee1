"""What a process does that another one has started and looks after.

Both hold one end of a socket, which is the standard input of the child. It says there that it is ready. The kernel
closes the parent's end with the parent, however that ends.
"""

import os
import signal
import threading
from datetime import timedelta
from typing import Final

# What a process may take beyond its graceful-close timeout. It ends itself by force before.
ENDS_LATE: Final = timedelta(seconds=4)
# What stops together: first the API, then all others.
STAGES: Final = 2


def end_with_parent(graceful_timeout: timedelta) -> None:
    """Stop this process as SIGTERM does once its parent has gone, even if its event loop hangs."""

    def wait() -> None:
        try:
            while os.read(0, 1):
                pass
        except OSError:
            # A socket that was reset has nobody at its other end either.
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait((graceful_timeout + ENDS_LATE).total_seconds())
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def tell_parent(url: str) -> None:
    """Say that this process listens there."""
    try:
        os.write(0, f"{url}\n".encode())
    except OSError:
        # It has gone, which `end_with_parent` notices, or it does not wait any more.
        return
