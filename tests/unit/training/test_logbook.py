"""The logbook writes TensorBoard events, or nothing at all."""

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sweep.training.logbook import Logbook


def fill(book):
    with book:
        book.scalars({"loss/train": 0.5, "note": "left out"}, step=1)
        book.scalar("auroc/source_val", 0.75, step=2)
        book.image("samples", np.zeros((4, 4), np.uint8), step=1)
        book.image("colours", np.zeros((4, 4, 3), np.uint8), step=1)
        book.hparams({"lr": 1e-3, "backbone": "small_cnn", "weights": None}, {"auroc/target": 0.7})


def test_without_a_folder_nothing_happens():
    fill(Logbook(None))


def test_with_a_folder_the_events_can_be_read_back(tmp_path):
    fill(Logbook(tmp_path))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Scalars("auroc/source_val")[0].value == 0.75
    assert {"loss/train", "auroc/target"} <= set(events.Tags()["scalars"])
    assert set(events.Tags()["images"]) == {"samples", "colours"}
