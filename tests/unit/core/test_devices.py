"""What a record says about the device that computed it."""

import json
import threading

import pytest
import torch

from sweep.core import devices
from sweep.core.devices import cpu_features, device_facts, device_text, float32_products, same_device
from sweep.core.storage import Storage
from sweep.store.run_folder import ENVIRONMENT_FILE, devices_of, note_device

H100 = {"type": "cuda", "name": "NVIDIA H100", "driver": "580.1", "cuda": "13.0", "cudnn": 91000, "precision": "bf16"}


def test_a_cpu_is_named_with_its_vector_instructions_and_precision():
    facts = device_facts("cpu", "fp32")
    assert facts["type"] == "cpu" and facts["name"] and facts["precision"] == "fp32"
    assert facts["features"] == cpu_features() and torch.backends.cpu.get_cpu_capability() in facts["features"]
    assert json.loads(json.dumps(facts)) == facts


def test_precision_alone_does_not_make_another_device():
    facts = device_facts("cpu")
    assert same_device(facts, device_facts("cpu", "bf16")) and not same_device(facts, H100)


def test_a_gpu_is_named_with_its_driver_cuda_and_cudnn():
    assert device_text(H100) == "NVIDIA H100, driver 580.1, cuda 13.0, cudnn 91000"


@pytest.mark.gpu
def test_this_gpu_names_its_driver_and_libraries(gpu):
    facts = device_facts(gpu, "bf16")
    assert facts["name"] and facts["driver"] and facts["cuda"] and facts["cudnn"] and facts["memory_gib"] > 0


@pytest.mark.parametrize(
    ("gpu", "usable", "device"), [(True, True, "cuda"), (True, False, "cpu"), (False, True, "cpu")]
)
def test_a_workers_gpu_is_initialised_beside_the_reading_of_its_data(monkeypatch, gpu, usable, device):
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    monkeypatch.setattr(devices, "_initialise_gpu", lambda: begun.set() or go_on.wait(60))
    assert devices.started_device(gpu) == device  # returns while the initialisation goes on
    assert begun.wait(60) if device == "cuda" else not begun.is_set()
    go_on.set()


def test_a_gpu_that_cannot_be_initialised_is_left_to_its_first_use(monkeypatch):
    def refuse(*shape, device):
        raise RuntimeError(f"{device} out of memory")

    monkeypatch.setattr(torch, "zeros", refuse)
    devices._initialise_gpu()


def test_a_run_that_goes_on_on_another_device_says_so_once(tmp_path):
    run = Storage(str(tmp_path))
    run.write(ENVIRONMENT_FILE, b'{"cpus": 2}')
    assert note_device(run, H100) is None
    assert note_device(run, H100 | {"precision": "fp32"}) is None
    note = note_device(run, H100 | {"name": "NVIDIA A100"})
    assert "NVIDIA A100" in note and "NVIDIA H100, driver 580.1" in note and note.count("NVIDIA H100") == 1
    assert note_device(run, H100 | {"name": "NVIDIA A100"}) is None
    assert len(devices_of(run)) == 3 and json.loads(run.read(ENVIRONMENT_FILE))["cpus"] == 2


def test_float32_products_leave_a_cpu_alone():
    before = torch.backends.cuda.matmul.fp32_precision
    with float32_products("cpu", "ieee"):
        assert torch.backends.cuda.matmul.fp32_precision == before


@pytest.mark.gpu
def test_float32_products_are_set_and_restored(gpu):
    before = torch.backends.cudnn.conv.fp32_precision
    with float32_products(gpu, "ieee"):
        assert torch.backends.cudnn.conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == before
