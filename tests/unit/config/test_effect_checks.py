"""Settings that are no mistake and have no effect."""

import pytest

from sweep.config.effect_checks import without_effect
from sweep.config.load import load_config
from sweep.space import main
from tests.fakes.sweep_config import write_config

HEAD = "name: tiny\ndata: {source: phantom-a, target: phantom-b}\n"
IDLE = "fixed.train_attack (pgd) has no effect in this sweep: it counts where train_eps is above 0, and train_eps is 0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fixed: {train_attack: pgd}", [IDLE]),
        ("fixed: {train_attack: pgd, train_eps: 0.01}", []),
        ("fixed: {train_attack: pgd}\ngrid: {train_eps: [0, 0.01]}", []),
        ("fixed: {input_norm: grey, backbone: resnet18}", []),  # decided by the whole configuration: nothing is claimed
        ("fixed: {uncertain: zeros}", []),  # active unless it is left out itself
        (
            "fixed: {generator_steps: 5}",
            ["fixed.generator_steps (5) has no effect in this sweep: it counts where synthetic_per_real is above 0, and synthetic_per_real is 0"],
        ),
    ],
)  # fmt: skip
def test_fixed_values_without_effect_are_named(tmp_path, text, said, capsys):
    path = write_config(tmp_path, HEAD + text + "\n")
    assert without_effect(load_config(path)) == said
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"  note: {line}" for line in said]
