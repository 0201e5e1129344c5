"""Every row of the hyperparameters: complete, sound in its default, described to editors and readers, and known to what takes it."""

import inspect
from pathlib import Path

import pytest

from sweep.config.hyperparameters import GROUPS, HYPERPARAMETERS, complete, default_values
from sweep.config.json_schema import schema
from sweep.config.reference import reference
from sweep.core.hyperparameter import ANYTHING, Accepted, Between
from sweep.losses.glcm import GLCMLoss
from sweep.models.classifier import ClassifierSpec
from sweep.models.cnn_transformer import CNNTransformer
from sweep.models.colorizers import COLORIZERS
from sweep.synth.generators import GENERATORS
from sweep.training.recipe import Recipe

PAGE = Path(__file__).parents[2] / "docs" / "hyperparameters.md"
SCHEMA = schema()
PARTS = {  # part -> everything that is built from its arguments
    "network": (ClassifierSpec,),
    "texture": (GLCMLoss,),
    "backbone": (CNNTransformer,),
    "colorizer": tuple(row.build.load() for row in COLORIZERS.values()),
}


def constructor_defaults(part, argument):
    """The defaults that the constructors of a part give to an argument."""
    parameters = [inspect.signature(build).parameters for build in PARTS[part]]
    return [found[argument].default for found in parameters if argument in found]


@pytest.mark.parametrize("name", HYPERPARAMETERS)
class TestEveryRow:
    def test_its_default_can_be_used_and_its_type_is_checked(self, name):
        row = HYPERPARAMETERS[name]
        assert row.name == name and row.violation(row.default) is None
        assert row.violation(row.introduced_with) is None
        assert "; " in row.violation(object())
        if not row.optional:
            assert row.violation(None) == "has no value; give one"

    def test_it_says_in_one_sentence_what_it_sets(self, name):
        row = HYPERPARAMETERS[name]
        assert len(row.help) > 5 and not row.help.endswith(".") and "setting of" not in row.help
        described = [SCHEMA["properties"][place]["properties"][name]["description"] for place in ("grid", "fixed")]
        assert described == [row.help] * 2
        assert f"| `{name}` |" in PAGE.read_text()

    def test_numbers_have_a_range_and_texts_have_choices(self, name):
        row = HYPERPARAMETERS[name]
        if {int, float} & {*row.kinds}:
            assert isinstance(row.check, Between) or row.check.choices()
            low, high = row.check.bounds() or (min(row.check.choices()), max(row.check.choices()))
            assert row.violation(high + 1) and row.violation(low - 1)
        elif str in row.kinds and name not in ("weights", "colorizer_from"):  # files
            assert row.check.choices() or isinstance(row.check, Accepted)
            assert row.violation("no such value at all")
        else:
            assert row.check is ANYTHING

    def test_the_part_that_takes_it_has_the_argument_with_the_same_default(self, name):
        row = HYPERPARAMETERS[name]
        if row.argument is None:
            return
        part, _, argument = row.argument.partition(".")
        if part == "generator":
            assert all(argument in generator.defaults for generator in GENERATORS.values()) or name.endswith(
                "lipschitz"
            )
            return
        defaults = constructor_defaults(part, argument)
        assert defaults
        if row.default is not None and name != "backbone":  # a network has no usual backbone
            assert {*defaults} == {row.default}


def test_every_group_has_rows_and_no_name_stands_twice():
    names = [row.name for rows in GROUPS.values() for row in rows]
    assert sorted(names) == sorted({*names}) == sorted(HYPERPARAMETERS) and all(GROUPS.values())


def test_the_defaults_are_the_recipe_of_a_training_without_changes():
    assert Recipe.from_config(default_values()) == Recipe()
    assert complete(complete({})) == complete({})


def test_the_reference_page_is_what_the_command_prints():
    assert PAGE.read_text() == reference(), "run: python -m sweep.space --reference > docs/hyperparameters.md"
