"""What fields of a scenario file are made of: shares, days, names and money, and the frozen model that holds them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A share, between 0 and 1."""
Days = Annotated[float, Field(ge=0, le=3660, allow_inf_nan=False)]
"""A span of time as a scenario file writes it; the simulation's clock counts integer minutes."""
Positive = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
Tokens = Annotated[float, Field(ge=1, le=1e7, allow_inf_nan=False)]
"""A mean length of requests or answers."""
Count = Annotated[int, Field(ge=0, le=10_000_000)]


def _on_one_line(name: str) -> str:
    """A name is shown in tables, sentences and file names: no control characters, no turning of the text."""
    joiners = "\u200c\u200d"  # parts of emoji and of words in several scripts
    odd = next((c for c in name if not c.isprintable() and c not in joiners), None)
    if odd is not None:
        raise ValueError(f"must be printable on one line; it holds U+{ord(odd):04X}")
    if name != name.strip():
        raise ValueError("must not begin or end with a blank")
    return name


MAX_NAME = 120
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_on_one_line)]
Place = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_on_one_line)]
"""A name, or a path."""
Precision = Literal["bf16", "fp8", "int8", "int4", "fp4"]


class Model(BaseModel):
    """A frozen, closed part of the scenario file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes, no, on and off as booleans, which would pass as 1 and 0."""
        field = cls.model_fields[str(info.field_name)]
        if isinstance(value, bool) and field.annotation is not bool:
            raise ValueError("yes and no are no value here; quote the word if a text is meant")
        return value


def _money_from_number(value: Any) -> Any:
    """A bare number is an amount in the scenario's currency."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"amount": value}
    return value


_Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]


class _Money(Model):
    amount: _Amount
    """How much."""
    currency: Annotated[str, Field(min_length=3, max_length=3, pattern="^[A-Z]{3}$")] | None = None
    """ISO 4217 code. None: the scenario's own currency; another one needs a rate under ``exchange``."""


Money = Annotated[_Money, BeforeValidator(_money_from_number, json_schema_input_type=_Amount | _Money)]
