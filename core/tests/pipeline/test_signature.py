"""A stage's signature is its declaration; every mistake is told how to mend."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import Field

from csstcore.api import Image, InPlace, Mask, Reference, Table, Wcs
from csstcore.errors import ConfigurationError
from csstcore.pipeline.signature import inspect_stage


def subtract_bias(
    image: InPlace[Image],
    bias: Reference[Image],
    *,
    scale: Annotated[float, Field(gt=0)] = 1.0,
) -> Image:
    return image


def test_the_design_example_is_read() -> None:
    signature = inspect_stage(subtract_bias, "calib.subtract_bias")
    (image,) = signature.inputs
    assert (image.name, image.type, image.in_place) == ("image", Image, True)
    (bias,) = signature.references
    assert (bias.name, bias.type, bias.optional) == ("bias", Image, False)
    (output,) = signature.outputs
    assert (output.name, output.replaces) == ("image", True)
    assert signature.parameters().model_dump() == {"scale": 1.0}
    assert signature.order == ("image", "bias")


def test_outputs_of_a_tuple_keep_their_names_and_the_unnamed_one_replaces() -> None:
    def add_cosmic_rays(
        image: InPlace[Image], *, rng: np.random.Generator
    ) -> tuple[Image, Annotated[Image, "cosmic_rays"]]:
        return image, image

    signature = inspect_stage(add_cosmic_rays, "sim.add_cosmic_rays")
    assert [(o.name, o.replaces) for o in signature.outputs] == [
        ("image", True),
        ("cosmic_rays", False),
    ]
    assert signature.generator == "rng"
    assert signature.parameters.model_fields == {}


def test_series_and_optional_elements_are_seen() -> None:
    def register(
        spectra: Sequence[Table], mask: Mask | None = None
    ) -> Annotated[Sequence[Wcs | None], "wcs"]:
        return []

    signature = inspect_stage(register, "ifs.register")
    spectra, mask = signature.inputs
    assert spectra.series
    assert not spectra.optional
    assert mask.optional
    (output,) = signature.outputs
    assert output.series
    assert output.optional_elements


def test_an_optional_reference_may_be_written_both_ways() -> None:
    def solve(
        image: Image,
        stars: Reference[Table],
        distortion: Reference[Table] | None = None,
        other: Reference[Table | None] = None,
    ) -> Annotated[Wcs, "wcs"]:
        raise AssertionError

    references = inspect_stage(solve, "x.solve").references
    assert [(item.name, item.optional) for item in references] == [
        ("stars", False),
        ("distortion", True),
        ("other", True),
    ]


def test_an_input_changed_in_place_may_be_returned_under_its_own_name() -> None:
    def measure(
        image: InPlace[Image],
    ) -> tuple[Annotated[Table, "sources"], Annotated[Image, "image"]]:
        raise AssertionError

    assert [item.name for item in inspect_stage(measure, "x.measure").outputs] == [
        "sources",
        "image",
    ]


def test_a_parameter_may_begin_with_model() -> None:
    def fit(
        image: Image, *, model_validate_pixel: int = 3, model_dump_pixel: int = 4
    ) -> Annotated[Table, "sources"]:
        raise AssertionError

    assert set(inspect_stage(fit, "x.fit").parameters.model_fields) == {
        "model_validate_pixel",
        "model_dump_pixel",
    }


def test_parameters_are_validated_by_their_annotations() -> None:
    def detect(
        image: Image, *, method: Literal["a", "b"], radius_pixel: int = 3
    ) -> Annotated[Table, "sources"]:
        raise AssertionError

    model = inspect_stage(detect, "x.detect").parameters
    assert model.model_validate({"method": "a"}).model_dump() == {"method": "a", "radius_pixel": 3}
    with pytest.raises(ValueError, match="method"):
        model.model_validate({"method": "c"})
    with pytest.raises(ValueError, match="radius_pixl"):
        model.model_validate({"method": "a", "radius_pixl": 1})


@dataclass
class Own:
    """A plugin's own product type."""

    value: int


def test_a_plugin_may_define_its_own_product_type() -> None:
    def make(image: Image) -> Annotated[Own, "own"]:
        raise AssertionError

    assert inspect_stage(make, "x.make").outputs[0].type is Own


def no_annotation(image, *, scale: float = 1.0) -> Annotated[Image, "image"]:  # type: ignore[no-untyped-def]
    raise AssertionError


def star(*images: Image) -> Annotated[Image, "image"]:
    raise AssertionError


def double_star(image: Image, **rest: float) -> Annotated[Image, "image"]:
    raise AssertionError


def positional_setting(image: Image, scale: float = 1.0) -> Annotated[Image, "image"]:
    raise AssertionError


def product_after_star(image: Image, *, mask: Mask) -> Annotated[Image, "image"]:
    raise AssertionError


def reference_after_star(image: Image, *, bias: Reference[Image]) -> Annotated[Image, "image"]:
    raise AssertionError


def in_place_series(images: InPlace[Sequence[Image]]) -> Annotated[Image, "image"]:
    raise AssertionError


def in_place_optional(image: InPlace[Image] | None = None) -> Annotated[Image, "image"]:
    raise AssertionError


def list_of_images(images: list[Image]) -> Annotated[Image, "image"]:
    raise AssertionError


def series_reference(image: Image, bias: Reference[Sequence[Image]]) -> Annotated[Image, "image"]:
    raise AssertionError


NO_MASK = Mask(np.zeros((1, 1), bool))
NO_NUMBERS = np.zeros(1)


def odd_default(image: Image, mask: Mask | None = NO_MASK) -> Annotated[Image, "image"]:
    raise AssertionError


def no_return(image: Image):  # type: ignore[no-untyped-def]
    raise AssertionError


def returns_none(image: Image) -> None:
    raise AssertionError


def returns_number(image: Image) -> Annotated[float, "x"]:
    raise AssertionError


def returns_unnamed(image: Image) -> Image:
    raise AssertionError


def returns_other_type(image: InPlace[Image]) -> Table:
    raise AssertionError


def returns_maybe(image: Image) -> Annotated[Wcs | None, "wcs"]:
    raise AssertionError


def returns_twice(image: Image) -> tuple[Annotated[Table, "a"], Annotated[Table, "a"]]:
    raise AssertionError


def returns_odd_name(image: Image) -> Annotated[Table, "not a name"]:
    raise AssertionError


def two_generators(
    image: Image, *, a: np.random.Generator, b: np.random.Generator
) -> Annotated[Image, "image"]:
    raise AssertionError


def positional_generator(image: Image, rng: np.random.Generator) -> Annotated[Image, "image"]:
    raise AssertionError


def untomlable(image: Image, *, weird: np.ndarray = NO_NUMBERS) -> Annotated[Image, "image"]:
    raise AssertionError


async def coroutine(image: Image) -> Annotated[Image, "image"]:
    raise AssertionError


def unresolvable(image: "Missing") -> Annotated[Image, "image"]:  # type: ignore[name-defined]  # noqa: F821
    raise AssertionError


def marked_twice(bias: InPlace[Reference[Image]]) -> Image:
    raise AssertionError


def marked_twice_inside(image: Image, bias: Reference[InPlace[Image]]) -> Annotated[Image, "b"]:
    raise AssertionError


def change_lost(image: InPlace[Image]) -> Annotated[Table, "sources"]:
    raise AssertionError


def second_change_lost(image: InPlace[Image], mask: InPlace[Mask]) -> Annotated[Image, "image"]:
    raise AssertionError


def returns_empty_tuple(image: Image) -> tuple[()]:
    raise AssertionError


def returns_tuple_of_one(image: Image) -> tuple[Annotated[Table, "sources"]]:
    raise AssertionError


def returns_any_number(image: Image) -> tuple[Annotated[Table, "sources"], ...]:
    raise AssertionError


def generator(image: Image) -> Annotated[Image, "image"]:  # type: ignore[misc]
    yield image


async def async_generator(image: Image) -> Annotated[Image, "image"]:  # type: ignore[misc]
    yield image


def private_parameter(image: Image, *, _scale: float = 1.0) -> Annotated[Image, "copied"]:
    raise AssertionError


def model_config_parameter(
    image: Image, *, model_config: float = 1.0
) -> Annotated[Image, "copied"]:
    raise AssertionError


def shadowing_parameter(image: Image, *, copy: bool = True) -> Annotated[Image, "copied"]:
    raise AssertionError


def shadowing_schema(image: Image, *, schema: str = "x") -> Annotated[Image, "copied"]:
    raise AssertionError


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (marked_twice, "'bias' is marked Reference and InPlace; keep one"),
        (marked_twice_inside, "keep one"),
        (change_lost, 'or Annotated[Image, "image"], or take it without InPlace'),
        (second_change_lost, "'mask' is InPlace but not returned"),
        (returns_empty_tuple, "returns a tuple of 0"),
        (returns_tuple_of_one, "returns a tuple of 1"),
        (returns_any_number, "which is no product"),
        (generator, "is a generator (it has a yield); write a plain function"),
        (async_generator, "is a coroutine"),
        (private_parameter, "'_scale': pydantic keeps names"),
        (model_config_parameter, "give the parameter another name"),
        (shadowing_parameter, "give the parameter another name"),
        (shadowing_schema, "give the parameter another name"),
        (no_annotation, "'image' has no annotation; write its type"),
        (star, "name every parameter"),
        (double_star, "name every parameter"),
        (positional_setting, "'scale' has type float, which is no product"),
        (product_after_star, "'mask' is a product or a reference; put it before the bare *"),
        (reference_after_star, "'bias' is a product or a reference; put it before the bare *"),
        (in_place_series, "write the stage for one element"),
        (in_place_optional, "cannot be absent"),
        (list_of_images, "a series is written Sequence"),
        (series_reference, "a reference is one product"),
        (odd_default, "may only default to None"),
        (no_return, "has no return annotation; write ->"),
        (returns_none, "returns nothing"),
        (returns_number, "returns float, which is no product"),
        (returns_unnamed, "needs exactly one InPlace input, it has 0; name it"),
        (returns_other_type, "must be the same"),
        (returns_maybe, "raise NotApplicable instead"),
        (returns_twice, "returns 'a' twice"),
        (returns_odd_name, "is no identifier"),
        (two_generators, "2 random generators"),
        (positional_generator, "put the random generator after a bare"),
        (untomlable, "a type that TOML cannot give"),
        (coroutine, "is a coroutine; write a plain function"),
        (Image, "write a plain function"),
        (unresolvable, "import it outside 'if TYPE_CHECKING'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_mistake_is_told_how_to_mend(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        inspect_stage(function, "x.stage")
    assert "x.stage" in str(raised.value)
    assert told in str(raised.value)
