"""The Triton kernels, run by Triton's interpreter on the CPU, and the choice among backends by measurement."""

import importlib.util
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from sweep.core.errors import InputError
from sweep.losses.glcm import backend, glcm

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def interpreted():
    if importlib.util.find_spec("triton") is None:
        pytest.skip("needs the package triton, which comes with torch for NVIDIA GPUs")
    command = [sys.executable, "-m", "tests.fakes.fused_kernels"]
    variables = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_hard_counts_are_bit_equal(interpreted):
    assert interpreted["hard_counts_equal"] == {"5": True, "17": True, "200": True}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["soft_counts", "statistics", "loss"])
def test_values_and_gradients_are_those_of_the_dense_float64_way(interpreted, what):
    assert interpreted[what]["values"] < 1e-5 and interpreted[what]["gradient"] < 1e-5


@pytest.mark.slow
def test_not_a_number_comes_out_as_not_a_number(interpreted):
    assert interpreted["nan_stays"]


def test_without_a_gpu_the_kernels_are_refused():
    with pytest.raises(InputError, match="needs Triton, a GPU"):
        glcm(torch.zeros(1, 4, 4, dtype=torch.uint8), 8, backend="triton")


def trial(seconds, wrong=(), fails=()):
    def run(way):
        if way in fails:
            raise RuntimeError("no kernel image")
        time.sleep(seconds[way])
        return torch.full((3,), 2.0 if way in wrong else 1.0)

    return run


def test_the_quickest_backend_is_taken():
    seconds = {"scatter": 0.004, "dense": 0.008, "triton": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert backend.measured(tuple(seconds), trial(seconds)) == "triton"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"wrong": ["triton"]}, "differs from plain PyTorch by 1"), ({"fails": ["triton"]}, "no kernel")],
)
def test_a_backend_that_differs_or_fails_is_not_used(options, words):
    seconds = {"scatter": 0.0, "dense": 0.004, "triton": 0.0}
    with pytest.warns(RuntimeWarning, match=f"texture backend triton is not used: .*{words}"):
        assert backend.measured(tuple(seconds), trial(seconds, **options)) == "scatter"


@pytest.mark.gpu
def test_kernels_on_a_gpu_count_as_plain_pytorch_does(gpu):
    images = torch.randint(0, 32, (4, 60, 44), dtype=torch.uint8, device=gpu)
    for levels in (32, 200):
        assert torch.equal(glcm(images, levels, backend="triton"), glcm(images, levels, backend="scatter"))
