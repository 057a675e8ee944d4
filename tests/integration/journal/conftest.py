from tests.integration.database.opened import database, file, impatient, template, url

__all__ = ["database", "file", "impatient", "template", "url"]
