"""JSON Schemas of our own types, gathered in one place: a document's ``components``."""

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from talksy.transports.shapes import told

Json = dict[str, Any]

REF = "#/components/schemas/"


class _Taken(GenerateJsonSchema):
    """What is read. Without the titles that only say a field's name once more."""

    def field_title_should_be_set(self, _: Any) -> bool:
        return False


class _Given(_Taken):
    """What is sent: a field with a default is there all the same."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return field["type"] != "typed-dict-field" or super().field_is_required(field, total)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        return self.generate_inner(schema["schema"])


class Schemas:
    """The schemas that a document refers to."""

    def __init__(self) -> None:
        self.components: dict[str, Json] = {}

    def taken(self, kind: Any) -> Json:
        """The schema of what is read by a model."""
        return self._add(kind, "validation", _Taken)

    def given(self, kind: Any) -> Json:
        """The schema of what is sent: a model, a ``TypedDict`` or whatever is made of them."""
        return self._add(kind, "serialization", _Given)

    def _add(self, kind: Any, mode: JsonSchemaMode, generator: type[GenerateJsonSchema]) -> Json:
        schema = TypeAdapter(kind).json_schema(
            ref_template=f"{REF}{{model}}", schema_generator=generator, mode=mode
        )
        for name, part in schema.pop("$defs", {}).items():
            self._keep(name, part)
        return self._keep(kind.__name__, schema) if "title" in schema else schema

    def _keep(self, name: str, schema: Json) -> Json:
        schema.pop("title", None)
        if self.components.setdefault(name, schema) != schema:
            raise ValueError(f"two shapes are called {name}")
        return {"$ref": REF + name}


def codes() -> list[Json]:
    """Every error code, as tables show it."""
    return [
        {
            "code": error.code,
            "status": error.status,
            "message": error("").message,
            "retryable": error.retryable,
        }
        for error in told()
    ]
