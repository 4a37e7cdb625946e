"""What values of the configuration are made of: names, addresses, amounts, and the base of every section."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema

from gateway.types import Tier

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
LISTEN_PATTERN = r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$"
URL_PATTERN = r"^https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(/[^\s?#@]*)?$"
PROXY_PATTERN = r"^http://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}/?$"
HASH_PATTERN = r"^sha256:[0-9a-f]{64}$"
SECRET_PATTERN = r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"  # noqa: S105 - how one is referred to

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Listen = Annotated[str, Field(pattern=LISTEN_PATTERN)]
HttpUrl = Annotated[str, Field(pattern=URL_PATTERN)]
ProxyUrl = Annotated[str, Field(pattern=PROXY_PATTERN)]
Word = Annotated[str, Field(min_length=1, max_length=4096)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
# The pattern is for editors: here it is checked before `${NAME}` is filled in, by `environment.py`.
Secret = Annotated[SecretStr, WithJsonSchema({"type": "string", "pattern": SECRET_PATTERN})]
TextTier = Literal[Tier.LIGHT, Tier.MID, Tier.PREMIUM]
ModelName = Annotated[str, Field(min_length=1, max_length=1000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Milliseconds = Annotated[int, Field(ge=0, le=3_600_000)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Tokens = Annotated[int, Field(ge=1, le=10_000_000)]
Context = Annotated[int, Field(ge=256, le=10_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Dollars = Annotated[Decimal, Field(ge=0, le=100_000, max_digits=15, decimal_places=9)]


class Section(BaseModel):
    """Base of every section: frozen, strict about names, described by the docstring under each key."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
