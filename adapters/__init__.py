"""What stands behind the ports, one folder or file for each technology."""
