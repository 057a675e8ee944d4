from tests.integration.database.opened import template

__all__ = ["template"]
