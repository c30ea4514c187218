"""`Contract`: what goes into a network and what comes out, by name, type and shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_DTYPES: Final = {"float": "float32", "double": "float64"}
"""Types that ONNX Runtime names otherwise than numpy."""


class Tensor(BaseModel):
    """An array that enters or leaves a network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: str
    shape: tuple[int | str, ...]
    """A number is a fixed length; a name is an axis of any length."""

    def __str__(self) -> str:
        return f"{self.dtype} ({', '.join(map(str, self.shape))})"

    def takes(self, other: Tensor) -> bool:
        """Return whether another tensor has this type and the fixed lengths of this shape."""
        return (
            self.dtype == other.dtype
            and len(self.shape) == len(other.shape)
            and all(
                isinstance(wanted, str) or wanted == found
                for wanted, found in zip(self.shape, other.shape, strict=True)
            )
        )


class Contract(BaseModel):
    """What stages may rely on, whichever network a rule chooses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]

    @classmethod
    def of(cls, session: InferenceSession) -> Contract:
        """Return what an open network takes and gives."""
        return cls(
            inputs=_tensors(session.get_inputs()),
            outputs=_tensors(session.get_outputs()),
        )

    def problems(self, found: Contract) -> list[str]:
        """Return where another contract does not keep this one."""
        problems = []
        for kind in ("inputs", "outputs"):
            wanted, given = getattr(self, kind), getattr(found, kind)
            if wanted.keys() != given.keys():
                problems.append(
                    f"{kind} are {', '.join(given) or 'none'}; expected {', '.join(wanted)}"
                )
            problems += [
                f"{kind.removesuffix('s')} {name} is {given[name]}; expected {tensor}"
                for name, tensor in wanted.items()
                if name in given and not tensor.takes(given[name])
            ]
        return problems


def _tensors(arguments: list[Any]) -> dict[str, Tensor]:
    return {
        each.name: Tensor(
            dtype=_dtype(each.type),
            shape=tuple(n if isinstance(n, int) else str(n or "any") for n in each.shape),
        )
        for each in arguments
    }


def _dtype(name: str) -> str:
    """Return ``tensor(float)`` as ``float32``."""
    name = name.removeprefix("tensor(").removesuffix(")")
    return _DTYPES.get(name, name)
