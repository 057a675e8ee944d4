"""``python -m talksy`` is the ``talksy`` command."""

from talksy.cli import main

if __name__ == "__main__":
    main()
