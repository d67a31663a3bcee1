from typing import Final

# Seconds before the second, third, ... attempt; the last one goes for all that follow. So long may an order wait when
# all is well again, after an outage of any length.
DELAYS: Final = (0.1, 0.5, 2.0, 5.0, 15.0)
