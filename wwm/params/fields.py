"""What the sections of params.yaml are made of."""

import re
from collections.abc import Collection
from enum import Enum
from typing import Annotated, ClassVar, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from wwm.common.errors import UserError

T = TypeVar("T", str, int)
OVERLOOKED = {"size", "nfiles"}
NAME = "[A-Za-z0-9][A-Za-z0-9_-]*"


def distinct(values: list) -> list:
    """Raises UserError that names what stands twice."""
    for i, value in enumerate(values):
        if value in values[:i]:
            raise UserError(f"{value!r} stands twice; remove one")
    return values


def quoted(values: object) -> object:
    """Raises UserError for numbers and truth values in a list of texts."""
    if isinstance(values, list) and any(isinstance(value, int | float) for value in values):
        strings = ", ".join(f'"{value}"' for value in values)
        raise UserError(f"{values} are no texts; write them in quotes, [{strings}]")
    return values


def sum_to_one(shares: list[float]) -> list[float]:
    """Raises UserError that names the sum."""
    if abs(sum(shares) - 1) > 1e-6:
        raise UserError(f"{shares} sum to {sum(shares):g}; they must sum to 1")
    return shares


def seen_by_dvc(name: str) -> str:
    """Raises UserError for what DVC's run cache leaves out wherever it stands: with another value there, what a stage
    made of the old one would be restored (`_get_cache_hash` in dvc/stage/cache.py).
    """
    if name in OVERLOOKED:
        raise UserError(f"DVC overlooks what is called {name!r}; call it otherwise")
    return name


def named(name: object) -> object:
    """Raises UserError for text that cannot be a name everywhere."""
    if isinstance(name, str) and not re.fullmatch(NAME, name):
        raise UserError(
            f"{name!r} is no name: files, DVC's stages and MLflow's metrics are called by it, so use letters of A to Z,"
            " digits, - and _"
        )
    return name


# What is beyond these is a slip of the hand, which would show when memory or patience has run out.
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1, le=10**12)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Rate = Annotated[float, Field(gt=0, le=1000)]
Repeats = Annotated[int, Field(ge=1, le=1000)]  # of a whole corpus or training
Processors = Annotated[int, Field(ge=1, le=1024)]
Pieces = Annotated[int, Field(ge=8, le=512)]  # of a sequence
Counted = Annotated[int, Field(ge=1, le=10**9)]
Rows = Annotated[int, Field(ge=1, le=2**20)]  # of a batch
Text = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f]+$")]
# Files are called by two of them and more.
Name = Annotated[str, Field(pattern=f"^{NAME}$", max_length=64), BeforeValidator(named), AfterValidator(seen_by_dvc)]
Names = Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Changes(Enum):
    """The most that a key of params.yaml can change, told by `Annotated[..., Changes.X]` on its field; without it, what
    is made.
    """

    MEASURES = "what is measured or let pass, and not what is made"
    NOTHING = "how the work is done, but for rounding, or which items there are"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    # Of other sections: maps whose item of the same name its stage reads, as `finetune.tasks`, and sections whose keys
    # of all items it reads, as `pretrain`.
    reads: ClassVar[tuple[str, ...]] = ()

    def own_values(self, *without: Changes) -> dict:
        """Plain values of the keys, without maps of items, which have values of their own, and without keys that change
        no more than these.
        """
        return self.model_dump(include=set(self.own_keys(*without)))

    @classmethod
    def own_keys(cls, *without: Changes) -> list[str]:
        return [
            name
            for name, field in cls.model_fields.items()
            if not is_map(field.annotation) and not set(without) & set(field.metadata)
        ]


def is_map(annotation: object) -> bool:
    """Whether a field has items by name, each a section or what stands for one."""
    return get_origin(annotation) is dict and get_args(annotation)[0] == Name


def one_of(key: str, value: T, allowed: Collection[T]) -> T:
    """`value`, if it is one of `allowed`; else a UserError that names them."""
    if value not in allowed:
        names = ", ".join(str(name) for name in sorted(allowed))
        raise UserError(f"{key}: {value!r} is {f'none of {names}' if names else 'not there, nor is anything else'}")
    return value
