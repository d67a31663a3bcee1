"""What the shop can do, one file a use case, and the ports that this needs."""
