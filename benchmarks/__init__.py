"""What the hot paths cost. Run with ``make bench``."""
