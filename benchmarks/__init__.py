"""What Talksy costs, beside Socket.IO on Node. Run with ``make bench``."""
