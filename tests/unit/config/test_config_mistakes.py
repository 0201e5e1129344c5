"""Questions that could be read but not meant: each is refused once, at its line, with its fix; none ends in a traceback."""

import pytest

from sweep.config.distribution import Distribution
from sweep.config.load import load_config
from sweep.core.errors import InputError, InputErrors
from sweep.core.seeds import rng
from sweep.search.axes import make_axis
from sweep.search.sampling import draw

GOOD = "name: good\ndata: {source: phantom-a, target: phantom-b}\n"
RANDOM = "searcher: {algorithm: random, trials: 3}\n"


def load(tmp_path, text, **options):
    path = tmp_path / "sweep_config.yaml"
    path.write_text(GOOD + text)
    return load_config(path, **options)


def refused(tmp_path, text, **options):
    with pytest.raises(InputErrors) as caught:
        load(tmp_path, text, **options)
    return [str(error) for error in caught.value.errors]


ONE_MISTAKE = {
    # distributions
    "search: {backbone: {values: []}}": "line 4, search.backbone.values: [] does not fit; list at least one",
    "search: {lr: {distribution: uniformm, min: 0, max: 1}}": "line 4, search.lr.distribution: 'uniformm' is not offered; choose 'uniform', 'log_uniform'",
    "search: {lr: {values: [0.1, 0.2], probabilities: [-1, 2]}}": "search.lr: probabilities [-1.0, 2.0] do not fit 2 values",
    "search: {lr: {values: [0.1, 0.2], probabilities: [.nan, 1]}}": "search.lr.probabilities[0]: nan does not fit; give a finite number",
    "search: {lr: {distribution: uniform, min: 0.1, max: 0.1}}": "search.lr: min and max are both 0.1; give a max above min, or put the one value under fixed",
    "search: {lr: {distribution: uniform, min: .nan, max: 0.1}}": "search.lr.min: nan does not fit; give a finite number",
    "search: {dropout: {distribution: q_uniform, min: 0, max: 0.5, q: 2}}": "search.dropout: q 2 is wider than the 0.5 from min to max",
    "search: {epochs: {distribution: uniform, min: 1, max: 10}}": "search.epochs: uniform samples fractions, epochs takes whole numbers; use int_uniform",
    "search: {epochs: {distribution: normal, mean: 10, sd: 2}}": "search.epochs: normal samples fractions",
    "search: {epochs: {distribution: int_uniform, min: 1.5, max: 10}}": "search.epochs: min 1.5 cannot be drawn by int_uniform; give whole numbers",
    "search: {backbone: {distribution: normal, mean: 0, sd: 1}}": "search.backbone: normal samples numbers, backbone takes none; list its choices",
    "search: {lr: {distribution: normal, mean: 0, sd: 1}}": " is out of range; give a number from 0 to 100: add min, which truncates the distribution",
    "search: {lr: {distribution: normal, mean: 0, sd: 1, min: 50}}": "search.lr: mean 0 with sd 1 draws next to nothing between min and max",
    # conditions
    "search: {lr: {values: [0.1], when: {colorizer: {nott: none}}}}": "search.lr.when.colorizer: unknown operator nott; write a value, a list of values, or {not: ...}",
    "search: {lr: {values: [0.1], when: {dropout: {min: 0.1}}}}": "search.lr.when.dropout: unknown operator min",
    "search: {lr: {values: [0.1], when: {colorizer: {not: none, or: unet}}}}": "search.lr.when.colorizer: unknown operator or",
    "search: {lr: {values: [0.1], when: {colorizer: {not: {not: none}}}}}": "search.lr.when.colorizer: not is nested in not",
    "search: {lr: {values: [0.1], when: {colorizer: colouru}}}": "search.lr.when.colorizer: never holds: 'colouru' is unknown; did you mean coloru?",
    "search: {lr: {values: [0.1], when: {colorizer: {not: [none, [coloru]]}}}}": "search.lr.when.colorizer: never holds: ['coloru'] is no value",
    "search: {lr: {values: [0.1], when: {colorizer: []}}}": "search.lr.when.colorizer: lists no value",
    "search: {lr: {values: [0.1], when: {lr: 0.1}}}": "search.lr.when.lr: lr depends on itself",
    "search: {lr: {values: [0.1], when: {dropout: 0.1}}, dropout: {values: [0.1], when: {lr: 0.1}}}": "when: conditions form a cycle: lr on dropout on lr",
    # sizes and settings that decide nothing
    "search: {lr: {values: [0.1]}}\nscheduler: {type: asha, grace_epochs: 20}": "scheduler.grace_epochs: 20 is not below the 20 epochs of a training, so nothing is ever stopped",
    "search: {lr: {values: [0.1]}}\nfixed: {epochs: 4}\nscheduler: {type: asha, grace_epochs: 5}": "line 6, scheduler.grace_epochs: 5 is not below the 4 epochs",
    # settings without effect or meaning
    "search: {lr: {values: [0.1, 0.2, 0.1]}}": "line 4, search.lr.values[2]: 0.1 is listed twice; remove one",
    "search: {lr: {distribution: uniform, min: 0.1, max: 0.2, values: [0.1]}}": "line 4, search.lr.values: values has no effect on distribution uniform; remove it",
    "search: {lr: {values: [0.1], min: 0.1}}": "line 4, search.lr.min: min has no effect on distribution values",
    "search: {lr: {distribution: log_uniform, min: 0.1, max: 0.2, q: 0.1}}": "search.lr.q: q has no effect on distribution log_uniform",
    "search: {lr: {values: [0, 0.1]}}": "search.lr.values[0]: a learning rate of 0 trains nothing; give a positive number",
    "search: {lr: {values: [0.1], when: {colorizer: coloru}}}": "search.lr.when.colorizer: never holds: colorizer is only ever none in this sweep; add the value",
    "fixed: {optimizer: sgd}\nsearch: {lr: {values: [0.1], when: {optimizer: {not: sgd}}}}": "line 5, search.lr.when.optimizer: never holds: optimizer is only ever sgd",
}


@pytest.mark.parametrize("text", ONE_MISTAKE, ids=lambda text: text[:70])
def test_one_mistake_of_a_search_is_reported_once(tmp_path, text):
    found = refused(tmp_path, RANDOM + text + "\n")
    assert len(found) == 1 and ONE_MISTAKE[text] in found[0], found


ALONE = {
    "objectives: []": "line 3, objectives: [] does not fit; list at least one",
    "objectives: [{metric: auroc/target, goal: minimize}]": "objectives[0].goal: auroc/target is better when larger; write goal: maximize",
    "objectives: [{metric: domain_gap, goal: maximize}]": "objectives[0].goal: domain_gap is better when smaller; write goal: minimize",
    "objectives: [{metric: auroc/target, goal: maximize}, {metric: auroc/target, goal: minimize}]": "objectives[1]: auroc/target is to be maximized and minimized; keep one of them",
    "objectives: [{metric: auroc/target, goal: maximize}, {metric: auroc/target, goal: maximize}]": "objectives[1]: auroc/target is given twice",
    "objectives: [{metric: auroc/target, goal: maximize, eps: 1/255}]": "objectives[0]: auroc/target takes no eps",
    "objectives: [{metric: robust_accuracy, goal: maximize}]\nthreats: {attacks: [fgsm], eps: [1/255]}": "objectives[0]: has no eps",
    "searcher: {trials: 50}": "searcher.trials: 50 trials have no effect under algorithm grid",
    "grid: {lr: [0.1, 0.2, 0.1]}": "line 3, grid.lr[2]: 0.1 is listed twice; remove one",
    "grid: {backbone: [[a]]}": "line 3, grid.backbone[0]: ['a'] does not fit; give true or false, a whole number, a number or text",
    "fixed: {lr: .inf}": "line 3, fixed.lr: inf does not fit; give a finite number",
    "grid: {"
    + ", ".join(f"{name}: {list(range(8, 208))}" for name in ("epochs", "patience", "batch_size"))
    + "}": "line 3, grid: 200 x 200 x 200 = 8000000 cells; a sweep takes at most 100000",
    "threats: {attacks: [fgsm, fgsm], eps: [1/255]}": "threats.attacks[1]: fgsm is listed twice",
    "threats: {attacks: [fgsm], eps: [1/255, 0.00392156862745098]}": "threats.eps[1]: 0.00392156862745098 is listed twice",
    "threats: {attacks: [fgsm], eps: [1/255], images: -5}": "threats.images: -5 does not fit; input should be greater than or equal to 1",
    "threats: {attacks: [fgsm], eps: [1/255], images: 0}": "threats.images: 0 does not fit",
    "threats: {attacks: [fgsm], eps: [1/255], images: some}": "threats.images: 'some' does not fit; give a whole number or all",
    "threats: {attacks: [fgsm], eps: [1/255], splits: []}": "threats.splits: [] does not fit; list at least one",
    "seeds: true": "line 3, seeds: True is no number of seeds; give a whole number, or {min: 2, max: 5, race: true}",
    "seeds: {min: true}": "line 3, seeds.min: True does not fit; give a whole number",
    "budget: {wall: ²h}": "line 3, budget.wall: '²h' is not a duration",
    "budget: {wall: 0h}": "line 3, budget.wall: '0h' is not a duration",
    "resources: {max_silence: never}": "line 3, resources.max_silence: 'never' is not a duration; write it like 90s, 30m, 2h or 1d",
    "resources: {max_trial_time: 90}": "line 3, resources.max_trial_time: 90 does not fit; give text",
    "resources: {memory_per_worker: 4TB}": "line 3, resources.memory_per_worker: '4TB' does not fit; write it like 500MB or 4GB",
    "smoke: [a]": "line 3, smoke: ['a'] is not a section",
    "smoke: yes": "line 3, smoke: 'yes' is not a section",
    "smoke: {fixed: {epoch: 1}}": "line 3, smoke: fixed.epoch: unknown name; did you mean epochs?",
    "smoke:\n  seeds: 1\n  data: {image_px: 5}": "line 5, smoke: data.image_px: 5 does not fit",
    # settings without effect or meaning
    "grid: {train_attack: [pgd, trades]}": "line 3, grid.train_attack: has no effect in this sweep: it counts where train_eps is above 0, and train_eps is 0; remove train_attack, or change that",
    "grid: {generator_networks: [shared, per_class], synthetic_per_real: [1]}\nfixed: {generator: wgan}": "grid.generator_networks: has no effect in this sweep: it counts where generator is cgan or fastgan or r3gan, and generator is wgan",
    "search: {generator_steps: {distribution: int_uniform, min: 10, max: 20}}\nsearcher: {algorithm: random, trials: 2}": "search.generator_steps: has no effect in this sweep: it counts where synthetic_per_real is above 0",
    "fixed: {lr: 0}": "line 3, fixed.lr: a learning rate of 0 trains nothing",
    "grid: {lr: [0.1, 0.0]}": "line 3, grid.lr[1]: a learning rate of 0 trains nothing",
    "threats: {attacks: [fgsm], eps: [2]}": "line 3, threats.eps[0]: 2.0 is more than the whole range of an image; images are scaled to 0..1: write grey levels as 2/255",
    "threats: {attacks: [fgsm], eps: [300/255]}": "threats.eps[0]: 300/255 is more than the whole range",
    "grid: {epochs: [1, 2, 3], patience: [1, 2, 3, 4, 5], seed_of_nothing: [1]}\nseeds: 1000": "seed_of_nothing: unknown name",
    "data.train_images: 3": "data.train_images: unknown key",
}


@pytest.mark.parametrize("text", ALONE, ids=lambda text: text[:70])
def test_one_mistake_is_reported_once(tmp_path, text):
    found = refused(tmp_path, text + "\n")
    assert len(found) == 1 and ALONE[text] in found[0], found


def test_two_unknown_threats_are_not_repeated(tmp_path):
    found = refused(tmp_path, "threats: {attacks: [fgsn, pgb], eps: [1/255, one, two]}\n")
    assert len(found) == 4 and not any("twice" in one for one in found), found


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("fixed: {train_images: 50}", "line 3, fixed.train_images: is given under data too"),
        ("grid: {train_images: [50, 200]}", "line 3, grid.train_images[1]: 200 of the 100 training images"),
    ],
)
def test_training_images_in_two_places(tmp_path, section, expected):
    path = tmp_path / "sweep_config.yaml"
    path.write_text(GOOD.replace("phantom-b", "phantom-b, train_images: 100") + section + "\n")
    with pytest.raises(InputErrors) as caught:
        load_config(path)
    assert [expected in str(error) for error in caught.value.errors] == [True]


def test_a_source_without_a_name(tmp_path):
    path = tmp_path / "sweep_config.yaml"
    path.write_text(GOOD.replace("phantom-a", "''"))
    with pytest.raises(InputErrors, match=r"line 2, data.source: '' does not fit; give a name"):
        load_config(path)


UNREADABLE = {
    "fixed: &f {lr: 1e-3}\ngrid: {<<: *f}": r"sweep_config\.yaml:4: merge keys \(<<\) are not read; write the keys out",
    "fixed: !!python/object/apply:os.system ['touch called']": r"sweep_config\.yaml:3: the tag .*os\.system is not read",
    "fixed: {lr: !!float 1}": r"sweep_config\.yaml:3: the tag .*float is not read",
    "grid: " + "[" * 3000: r"sweep_config\.yaml:3: is nested deeper than 20 levels",
    "smoke:\n  a: &a ["
    + "1, " * 99
    + "1]\n"
    + "\n".join(
        f"  {name}: &{name} [{', '.join([f'*{before}'] * 99)}]" for before, name in zip("abc", "bcd", strict=True)
    ): "aliases expand without end",
}


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:40])
def test_more_than_plain_values_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=UNREADABLE[text]):
        load(tmp_path, text + "\n")
    assert not (tmp_path / "called").exists()


def test_an_alias_is_expanded(tmp_path):
    sweep_config = load(
        tmp_path, "search:\n  lr: &d {distribution: uniform, min: 0.1, max: 0.2}\n  dropout: *d\n" + RANDOM
    )
    assert sweep_config.search["dropout"].min == 0.1


@pytest.mark.parametrize("text", ["[1", "a: b: c", "!!python/object:x {}", "[" * 500])
def test_an_override_that_is_no_value(tmp_path, text):
    with pytest.raises(InputError, match=r"^--set fixed\.lr: "):
        load(tmp_path, "", overrides={"fixed.lr": text})


def test_a_mistake_of_an_override_names_it(tmp_path):
    assert refused(tmp_path, "", overrides={"data.image_px": "9999"}) == [
        "--set data.image_px: 9999 does not fit; input should be less than or equal to 512"
    ]
    assert refused(tmp_path, "grid: {lr: [0.1]}\n", overrides={"grid.lr": "[0.1, a]"}) == [
        "--set grid.lr[1]: 'a' is text; give a number"
    ]


def test_the_short_form_of_seeds_can_be_overridden(tmp_path):
    assert load(tmp_path, "seeds: 2\n", overrides={"seeds.min": "3"}).seeds.min == 3
    with pytest.raises(InputError, match="--set name.x: name is not a section"):
        load(tmp_path, "", overrides={"name.x": "3"})


def test_smoke_needs_its_section(tmp_path):
    with pytest.raises(InputError, match="has no smoke section, so --smoke would run it at full size; write the sizes"):
        load(tmp_path, "", smoke=True)


def test_what_only_the_smaller_sweep_config_gets_wrong_is_said_too(tmp_path):
    text = (
        RANDOM + "search: {lr: {values: [0.1]}}\nscheduler: {type: asha, grace_epochs: 4}\nsmoke: {fixed.epochs: 2}\n"
    )
    assert refused(tmp_path, text) == [
        "line 5, scheduler.grace_epochs with --smoke: 4 is not below the 2 epochs of a training, so nothing is ever stopped; give fewer, or set scheduler type none"
    ]


def test_epsilons_are_compared_as_numbers(tmp_path):
    text = "objectives: [{metric: robust_accuracy, goal: maximize, eps: 0.0039215686}]\nthreats: {attacks: [fgsm], eps: [1/255]}\n"
    assert load(tmp_path, text).objectives[0].name == "robust_accuracy/target/worst@1/255"


def test_a_truncated_normal_is_the_same_in_both_kinds_of_draws():
    cut = Distribution(distribution="normal", mean=0, sd=1, min=-0.5, max=3)
    values = [draw(cut, rng(0, "test", number)) for number in range(2000)]
    assert -0.5 <= min(values) < -0.45 and max(values) <= 3
    assert abs(sum(value < 0 for value in values) / 2000 - 0.277) < 0.03  # (0.5 - 0.3085) / (0.9987 - 0.3085)
    axis = make_axis(cut)
    assert axis.decode(axis.coordinate.low) == pytest.approx(-0.5) and axis.decode(
        axis.coordinate.high
    ) == pytest.approx(3)
    assert axis.decode(axis.encode(0.7)) == pytest.approx(0.7)
    with pytest.raises(ValueError, match="outside"):
        axis.encode(-1)


def test_more_records_than_any_machine_can_run(tmp_path):
    text = "search: {lr: {distribution: uniform, min: 0.1, max: 0.2}}\nsearcher: {algorithm: random, trials: 100000}\nseeds: 1000\n"
    (found,) = refused(tmp_path, text)
    assert (
        "line 5, seeds: 1 cells x 100000 trials x 1000 seeds = 100000000 records; a sweep takes at most 1000000"
        in found
    )


def test_source_and_target_are_two_data_sets(tmp_path):
    path = tmp_path / "sweep_config.yaml"
    path.write_text(GOOD.replace("phantom-b", "phantom-a"))
    with pytest.raises(InputErrors, match=r"line 2, data.target: is the source too \(phantom-a\)"):
        load_config(path)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("6_4", "6_4 is a number in YAML 1.1 alone; write 64, or"),
        ("0b1000000", "0b1000000 is a number in YAML 1.1 alone; write 64, or"),
        ("1_0.5", "1_0.5 is a number in YAML 1.1 alone; write 10.5, or"),
    ],
)
def test_numbers_of_yaml_1_1(tmp_path, written, says):
    with pytest.raises(Exception, match=says):
        load(tmp_path, f"fixed: {{batch_size: {written}}}\n")
    with pytest.raises(Exception, match=f"--set fixed.batch_size: {says}"):
        load(tmp_path, "", overrides={"fixed.batch_size": written})


@pytest.mark.parametrize("text", ['fixed: {weights: "6_4"}', "name_: x", "fixed: {batch_size: 0x40}"])
def test_text_with_digits_and_lines_is_no_number_of_yaml_1_1(tmp_path, text):
    try:
        load(tmp_path, text + "\n")
    except InputErrors as other:
        assert "YAML 1.1" not in str(other)


def test_all_is_the_whole_training_fold(tmp_path):
    config = load(tmp_path, "grid: {train_images: [100, all]}\n")
    assert config.grid["train_images"] == [100, None]
    assert load(tmp_path, "fixed: {train_images: all}\n").fixed["train_images"] is None
    assert load(tmp_path, RANDOM + "search: {train_images: {values: [100, all]}}\n").search["train_images"].values == [
        100,
        None,
    ]
    path = tmp_path / "sweep_config.yaml"
    path.write_text(GOOD.replace("phantom-b", "phantom-b, train_images: all"))
    assert load_config(path).data.train_images is None
    path.write_text(GOOD.replace("phantom-b", "phantom-b, train_images: [100, all]"))
    with pytest.raises(
        InputErrors, match=r"data.train_images: .*list them under grid, like grid: {train_images: \[100, all\]}"
    ):
        load_config(path)
