"""Recorded steps of a generator train as direct ones, and are not used where they would differ.

The tape repeats operations as a CUDA graph does; the test marked `gpu` uses CUDA graphs.
"""

import numpy as np
import pytest

from sweep.synth.train import train_generator
from tests.fakes.tape import Tape

SETTINGS = {"steps": 3, "batch_size": 4, "width": 4, "latent": 8, "precision": "fp32", "ema": 0.5}
ROWS = {
    "wgan": {**SETTINGS, "critic_steps": 2, "lipschitz": "clip"},
    "wgan_diffaug": {**SETTINGS, "lipschitz": "gp"},
    "fastgan": {**SETTINGS},
    "ddpm": {name: value for name, value in SETTINGS.items() if name != "latent"} | {"dropout": 0.0},
    "aae": SETTINGS,
}


def run(name, recorder=None, **more):
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32), dtype=np.uint8)
    losses = []
    trained = train_generator(
        name, images, settings=ROWS[name], seed=1, recorder=recorder,
        on_step=lambda step, facts: losses.append({key: value for key, value in facts.items() if key.startswith("loss")}), **more,
    )  # fmt: skip
    return trained, [one for one in losses if one]


@pytest.mark.parametrize("name", ROWS)
def test_replayed_steps_train_as_direct_ones(name):
    tape = Tape()
    (ours, our_losses), (theirs, their_losses) = run(name, tape), run(name)
    assert tape.replays > SETTINGS["steps"]
    assert our_losses == [pytest.approx(one, rel=1e-3, abs=1e-4) for one in their_losses]
    for (key, mine), other in zip(ours.network.state_dict().items(), theirs.network.state_dict().values(), strict=True):
        assert np.allclose(mine.float(), other.float(), atol=2e-3), key


@pytest.mark.parametrize("left_out", ["aten::_fused_adam_", "aten::convolution_backward"])
def test_a_faulty_recording_is_found_and_not_used(left_out):
    tape = Tape(broken=lambda name: name.startswith(left_out))
    with pytest.warns(RuntimeWarning, match=r"(critic|generator) steps run without a CUDA graph: .*check"):
        _, ours = run("wgan", tape)
    assert ours == [pytest.approx(one, rel=1e-4, abs=1e-5) for one in run("wgan")[1]]


def test_capture_can_be_turned_off():
    tape = Tape()
    run("wgan", tape, capture=False)
    assert tape.recordings == 0


@pytest.mark.gpu
@pytest.mark.parametrize("name", ROWS)
def test_cuda_graphs_train_as_direct_steps(name, gpu, recwarn):
    ours, theirs = (run(name, device=gpu, capture=capture)[1] for capture in (True, False))
    assert ours == [pytest.approx(one, rel=1e-2, abs=1e-3) for one in theirs]
    assert not [one for one in recwarn if "CUDA graph" in str(one.message)]
