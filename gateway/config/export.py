"""The schema as JSON Schema, for editors: completion, descriptions, and red lines before `forebay check` is run.

What editors see differs from what pydantic says in one point: a text may hold `${NAME}` where a pattern asks for
something else.
"""

import json
from decimal import Decimal

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.config.kinds import Section
from gateway.config.schema import Config

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_REFERENCE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}"
_OR_REFERENCE = f"|({_REFERENCE})"


def json_schema() -> JsonSchemaValue:
    """The JSON Schema of a configuration file, draft 2020-12."""
    described = Config.model_json_schema(by_alias=True, schema_generator=_ForEditors)
    return {"$schema": DIALECT, **described, "title": "Forebay configuration"}


def schema_text() -> str:
    """The schema as it stands in `configs/forebay.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


class _ForEditors(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        """No titles: they repeat the key in capitals, and editors show them in place of the description."""
        return False

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """Text, or text that `${NAME}` makes."""
        described = super().str_schema(schema)
        if "pattern" in described:
            described["pattern"] += _OR_REFERENCE
        return described

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Names of one's own, in which nothing is filled in, and no others."""
        described = super().dict_schema(schema)
        named = described.pop("patternProperties", {})
        if named:
            described["patternProperties"] = {_own(pattern): below for pattern, below in named.items()}
            described["additionalProperties"] = False
        return described

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A number, or a text that `${NAME}` makes one."""
        number = next(part for part in super().decimal_schema(schema)["anyOf"] if part["type"] == "number")
        return {"anyOf": [number, {"type": "string", "pattern": _REFERENCE}]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Defaults of single keys only: a section's are those of its keys."""
        described = super().default_schema(schema)
        if isinstance(schema.get("default"), Section):
            described.pop("default", None)
        return described

    def encode_default(self, dft: object) -> object:
        """Money as it is written in a file: a number."""
        return float(dft) if isinstance(dft, Decimal) else super().encode_default(dft)


def _own(pattern: str) -> str:
    return pattern.removesuffix(_OR_REFERENCE)
