"""The ways in: each parses, calls the door and encodes."""
