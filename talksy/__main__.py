"""The ``talksy`` command, which ``python -m talksy`` is, too."""

import gc


def main() -> None:
    """Runs it."""
    # Of what is imported nothing is garbage: to look for it was a sixth of the start.
    gc.disable()
    from talksy.cli import main as run

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
