"""Batches of (image, threat, epsilon) pairs break what one threat and epsilon after the other breaks, recorded or not.

The tape repeats operations as a CUDA graph does and refuses what would wait for the device; the test marked `gpu` uses CUDA graphs.
"""

import pytest
import torch

from sweep.attacks.attack_options import AttackOptions
from sweep.attacks.batched.engine import Engine
from sweep.attacks.batched.pairs import Pairs, first_true
from sweep.attacks.epsilon_sweep import epsilon_sweep
from sweep.core.errors import InputError
from tests.fakes.attack_models import lit_halves, trained_cnn
from tests.fakes.tape import Tape

GRID = ["0.5/255", "2/255", "8/255"]
THREATS = ["fgsm", "pgd", "mifgsm4", "pgd2x2_margin", "apgd6", "square5", "fmn6", "pgd3_l2", "noise"]


@pytest.fixture(scope="module")
def model():
    return trained_cnn()


@pytest.fixture(scope="module")
def data():
    return lit_halves(12, seed=5)


def run(model, data, threats=THREATS, pairs="on", **options):
    return epsilon_sweep(model, *data, threats, GRID, AttackOptions(pairs=pairs, batch_size=8, **options))


def assert_same(ours, theirs):
    for name in ours.threats:
        assert torch.equal(ours.breaking_epsilon[name], theirs.breaking_epsilon[name]), name
        for alarm in ("no_gradient", "unmoved", "non_finite"):
            assert torch.equal(getattr(ours, alarm)[name], getattr(theirs, alarm)[name]), (name, alarm)


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_every_threat_breaks_the_same_images_at_the_same_epsilons(model, data, mode):
    ours = run(model, data, mode=mode, keep_examples=True)
    assert_same(ours, run(model, data, pairs="off", mode=mode))
    for name, images in ours.examples.items():
        broken = torch.isfinite(ours.breaking_epsilon[name]) & ours.clean_right
        assert (model(images[broken]).argmax(1) != data[1][broken]).all()
        length = (images[broken] - data[0][broken]).flatten(1)
        length = length.norm(dim=1) if ours.norms[name] == "l2" else length.abs().amax(1)
        assert (length <= ours.breaking_epsilon[name][broken] + 1e-6).all()
        assert torch.allclose(length.double(), ours.distance[name][broken])


def test_recorded_turns_break_the_same(model, data):
    names, tape = ["fgsm", "bim3", "pgd", "apgd5", "square5", "fmn5"], Tape()
    assert_same(run(model, data, names, recorder=tape), run(model, data, names, pairs="off"))
    assert tape.recordings >= 4 and tape.replays > 20


def test_a_model_that_is_a_function_and_several_findings_at_once(data):
    weights = torch.randn(144, 3, generator=torch.Generator().manual_seed(0)) / 12

    def model(images):
        return images.flatten(1) @ weights

    labels = (model(data[0]) > 0).float()
    names = ["fgsm", "pgd4", "square5", "fmn5"]
    ours, theirs = (run(model, (data[0], labels), names, pairs=pairs) for pairs in ("on", "off"))
    assert_same(ours, theirs)
    assert ours.worst_case("8/255") < ours.worst_case("0.5/255")


def test_worst_case_alone(model, data):
    names = ["fgsm", "pgd", "apgd"]
    ours, theirs = (run(model, data, names, pairs=pairs, worst_only=True) for pairs in ("on", "off"))
    assert [ours.worst_case(epsilon) for epsilon in GRID] == [theirs.worst_case(epsilon) for epsilon in GRID]
    assert ours.passes.gradient < run(model, data, names).passes.gradient


@pytest.mark.parametrize(
    "left_out",
    ["aten::convolution_backward", "aten::minimum", "aten::scatter_reduce_", "aten::cumsum", "aten::index_add_"],
)
def test_a_faulty_recording_is_found_and_not_used(model, data, left_out):
    tape = Tape(broken=lambda name: name.startswith(left_out))
    with pytest.warns(RuntimeWarning, match="attack steps run without a CUDA graph: "):
        ours = run(model, data, ["pgd"], recorder=tape)
    assert_same(ours, run(model, data, ["pgd"], pairs="off"))


def test_a_break_that_the_model_does_not_confirm_is_not_believed(model, data, monkeypatch):
    whole = Engine.run

    def claims_the_clean_images(engine):
        whole(engine)
        count = len(engine.tables.images)
        engine.tables.examples[:count].copy_(engine.tables.images)
        engine.tables.nearest[:count] = 1e-3

    monkeypatch.setattr(Engine, "run", claims_the_clean_images)
    with pytest.warns(RuntimeWarning, match="not confirmed by the model; these images are attacked again"):
        ours = run(model, data, ["pgd"])
    assert_same(ours, run(model, data, ["pgd"], pairs="off"))


def test_what_does_not_fit_the_smaller_batch_starts_again(model, data):
    """All pairs of 12 images in 32 slots, then 8: with one image left over the batch changes while pairs wait."""
    tape = Tape()
    assert_same(run(model, data, ["pgd10x2"], recorder=tape), run(model, data, ["pgd10x2"], pairs="off"))
    assert tape.recordings == 2


def test_selections_without_a_look():
    mask = torch.tensor([False, True, True, False, True])
    assert first_true(mask, 2, 9).tolist() == [1, 2]
    assert first_true(mask, 4, 9).tolist() == [1, 2, 4, 9]
    pairs = Pairs.of(2, [0.1, 0.2], [[0, 1], [1]], [1, 1], [1, 0], torch.zeros(1))
    assert len(pairs) == 2 * (2 + 2 + 1)
    assert pairs.level.tolist()[:-1] == sorted(pairs.level.tolist()[:-1])
    assert pairs.chance.sum() == 4 and pairs.run[pairs.chance].eq(1).all()


def test_an_unknown_way_is_refused(model, data):
    with pytest.raises(InputError, match="pairs"):
        run(model, data, ["fgsm"], pairs="yes")


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_cuda_graphs_are_not_weaker_than_one_threat_after_the_other(model, data, mode, gpu, recwarn):
    on_gpu = (model.to(gpu), tuple(part.to(gpu) for part in data))
    ours, theirs = (run(*on_gpu, pairs=pairs, mode=mode) for pairs in ("on", "off"))
    for name in ours.threats:
        for epsilon in GRID:
            assert ours.robust_accuracy(name, epsilon) <= theirs.robust_accuracy(name, epsilon) + 0.051
    assert not [one for one in recwarn if "CUDA graph" in str(one.message)]
