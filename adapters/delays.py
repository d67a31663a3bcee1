from typing import Final

# Seconds before the second, third, ... attempt; the last one goes for all that follow.
DELAYS: Final = (0.1, 0.5, 2.0, 5.0, 15.0, 30.0, 60.0)
