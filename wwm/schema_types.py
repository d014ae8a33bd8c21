"""What the sections of params.yaml are made of."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from wwm.errors import UserError


def distinct(values: list) -> list:
    """Raises UserError that names what stands twice."""
    for i, value in enumerate(values):
        if value in values[:i]:
            raise UserError(f"{value!r} stands twice; remove one")
    return values


def sum_to_one(shares: list[float]) -> list[float]:
    """Raises UserError that names the sum."""
    if abs(sum(shares) - 1) > 1e-6:
        raise UserError(f"{shares} sum to {sum(shares):g}; they must sum to 1")
    return shares


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Names = Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
