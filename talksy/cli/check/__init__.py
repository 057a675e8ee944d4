"""``talksy check``: whether a server would start here, and serve well."""

from talksy.cli.check.run import check

__all__ = ["check"]
