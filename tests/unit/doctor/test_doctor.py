"""Doctor: each thing that stops a sweep is found, named with its fix, within seconds, and nothing is left behind."""

import os
import shutil
import socket
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sweep.config.load import load_config
from sweep.core.errors import InputError
from sweep.doctor import machine_checks, ray_checks
from sweep.doctor.__main__ import CHECKS, examine, main
from sweep.doctor.machine_checks import (
    Subject,
    check_data,
    check_disk,
    check_storage,
    check_versions,
    check_weights,
    locked_packages,
)
from sweep.doctor.ray_checks import Room, ask, check_ray
from sweep.importers import import_dataset
from tests.fakes import brest
from tests.fakes.sweep_config import TEXT, write_config


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No settings of this machine's user, and an empty folder to stand in."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def listener():
    """Something that takes connections and never speaks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def sweep_config(tmp_path, text=TEXT):
    return load_config(write_config(tmp_path, text))


def states(findings):
    return {f"{finding.check}: {finding.state}" for finding in findings}


def only(findings, check):
    return next(finding for finding in findings if finding.check == check)


def test_without_a_sweep_config_everything_general_is_looked_at():
    findings = list(examine(None, {}, None, None))
    assert {finding.check for finding in findings} >= {"versions", "ray", "storage", "disk", "data", "resources"}
    assert all(finding.fix for finding in findings if finding.state != "ok")
    assert not Path("results").exists()


def test_command_prints_a_line_a_check_and_ends_with_its_code(tmp_path):
    app = main.app()
    path = str(write_config(tmp_path))
    good = CliRunner().invoke(app, [path])
    assert good.exit_code == 0, good.output
    assert "sweep_config" in good.output and "FAIL" not in good.output
    bad = CliRunner().invoke(app, [path, "--address", f"127.0.0.1:{free_port()}", "--set", "data.source=shards/none"])
    assert bad.exit_code == 2 and "did not answer" in bad.output and "python -m sweep.importers" in bad.output
    assert CliRunner().invoke(app, [path, "--set", "nothing"]).exit_code == 2


def test_sweep_config_with_mistakes_is_a_finding_for_each_and_the_rest_goes_on(tmp_path):
    path = write_config(tmp_path, TEXT.replace("small_cnn", "resnet81").replace("seeds: 2", "seeds: 0"))
    findings = list(examine(path, {}, None, None))
    assert [finding.state for finding in findings if finding.check == "sweep_config"] == ["FAIL", "FAIL"]
    assert only(findings, "storage").state == "ok"
    assert next(examine(tmp_path / "none.yaml", {}, None, None)).state == "FAIL"


def test_storage_that_is_no_address_does_not_stop_the_other_checks():
    findings = list(examine(None, {}, "nowhere://bucket", None))
    assert only(findings, "storage").state == "FAIL" and only(findings, "versions").state != "FAIL"
    assert {finding.check for finding in findings} >= {"versions", "ray", "storage", "data"} and len(CHECKS) == 6


class TestVersions:
    def lock(self, tmp_path, text):
        path = tmp_path / "requirements.lock"
        path.write_text(text)
        return path

    def test_lines_for_other_machines_are_not_asked_for(self, tmp_path):
        text = "a==1.0 \\\n    --hash=sha256:00\n    # via b\nb==2.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00\nc-d==3.0+cpu\n"
        assert locked_packages(self.lock(tmp_path, text)) == {"a": "1.0", "c-d": "3.0+cpu"}

    def test_another_ray_fails_another_package_warns(self, tmp_path):
        subject = Subject(None, "results", None)
        (found,) = check_versions(subject, self.lock(tmp_path, "ray==1.0\nnumpy==1.0\n"))
        assert found.state == "FAIL" and "the lock has 1.0" in found.text
        (found,) = check_versions(subject, self.lock(tmp_path, "numpy==1.0\nno-such-package==2\n"))
        assert found.state == "warn" and "no-such-package missing for 2" in found.text
        (found,) = check_versions(subject, tmp_path / "none.lock")
        assert found.state == "warn"

    def test_old_python_fails(self, tmp_path, monkeypatch):
        monkeypatch.setattr(machine_checks, "_OLDEST_PYTHON", (9, 0))
        assert "versions: FAIL" in states(check_versions(Subject(None, "results", None)))


class TestInlineEngine:
    """A machine without Ray: `resources.engine: inline` runs there, so nothing that Ray needs may fail."""

    @pytest.fixture
    def without_ray(self, monkeypatch):
        found = machine_checks._installed
        monkeypatch.setattr(machine_checks, "_installed", lambda name: None if name == "ray" else found(name))

    def test_every_check_passes_without_ray_whatever_the_environment_names(self, tmp_path, monkeypatch, without_ray):
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
        findings = list(examine(write_config(tmp_path), {}, None, None, "inline"))
        assert not [finding for finding in findings if finding.state == "FAIL"]
        assert only(findings, "ray").text == "not needed by the inline engine"
        assert "Ray" not in " ".join(finding.text for finding in findings)
        by_key = list(examine(write_config(tmp_path), {"resources.engine": "inline"}, None, None))
        assert by_key == findings

    def test_command_ends_with_code_0(self, tmp_path, without_ray):
        done = CliRunner().invoke(main.app(), [str(write_config(tmp_path)), "--engine", "inline"])
        assert done.exit_code == 0, done.output
        assert CliRunner().invoke(main.app(), ["--engine", "dask"]).exit_code == 2

    def test_missing_ray_stops_only_who_asks_for_it(self, tmp_path, without_ray):
        assert only(examine(None, {}, None, None), "versions").state == "warn"
        (found, *_) = check_versions(Subject(sweep_config(tmp_path), "results", None, "ray"))
        assert found.state == "FAIL" and "resources.engine: inline" in found.fix

    def test_address_is_refused_as_the_sweep_refuses_it(self, tmp_path):
        findings = list(examine(write_config(tmp_path), {}, None, "127.0.0.1:1", "inline"))
        assert only(findings, "ray").state == "FAIL" and "does not join 127.0.0.1:1" in only(findings, "ray").text

    def test_more_than_this_machine_has_is_found(self, tmp_path):
        asked = {"resources.cpus_per_worker": "9999"}
        assert only(examine(write_config(tmp_path), asked, None, None, "inline"), "resources").state == "FAIL"


class TestAddress:
    def test_dead_address_is_known_at_once_and_nothing_else_is_asked(self):
        (found,) = check_ray(Subject(None, "results", f"127.0.0.1:{free_port()}"))
        assert found.state == "FAIL" and "refused" in found.text

    def test_address_that_swallows_packets_is_given_three_seconds(self, monkeypatch):
        asked = []

        def connect(place, timeout):
            asked.append(timeout)
            raise TimeoutError("timed out")

        monkeypatch.setattr(socket, "create_connection", connect)
        (found,) = check_ray(Subject(None, "results", "ray://10.0.0.1:10001"))
        assert found.state == "FAIL" and asked == [3] and "within 3 s" in found.text

    @pytest.mark.parametrize("address", ["here", "host:port", "host:99999999", ":6379"])
    def test_what_is_no_address(self, address):
        (found,) = check_ray(Subject(None, "results", address))
        assert found.state == "FAIL" and "10.0.0.5:6379" in found.fix

    def test_dashboard_address_is_for_submitting(self, listener):
        found = only(check_ray(Subject(None, "results", f"http://{listener}")), "ray")
        assert found.state == "warn" and "ray job submit" in found.fix

    def test_something_that_is_not_ray_is_left_within_the_limit(self, listener):
        with pytest.raises(RuntimeError, match="within 0.3 s"):
            ask(listener, wait_s=0.3)

    def test_answer_and_reason_come_from_the_process_that_joined(self, tmp_path, monkeypatch):
        fake = tmp_path / "python"
        fake.write_text('#!/bin/sh\necho noise\necho \'{"nodes": 3, "cpus": 8.0, "gpus": 2.0}\'\n')
        fake.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(fake))
        assert ask("10.0.0.5:6379") == Room(3, 8.0, 2.0)
        fake.write_text("#!/bin/sh\necho 'Traceback' >&2\necho 'RuntimeError: Version mismatch' >&2\nexit 1\n")
        with pytest.raises(RuntimeError, match="Version mismatch"):
            ask("10.0.0.5:6379")


class TestToken:
    def found(self, listener, monkeypatch, **environment):
        monkeypatch.setattr(ray_checks, "ask", lambda address: Room(2, 8, 0))
        environment.setdefault("HOME", os.environ["HOME"])
        return only(check_ray(Subject(None, "results", listener), environment), "token")

    def test_no_token_fails(self, listener, monkeypatch):
        found = self.found(listener, monkeypatch, RAY_AUTH_MODE="token")
        assert found.state == "FAIL" and "get-auth-token --generate" in found.fix

    def test_token_of_the_environment(self, listener, monkeypatch):
        assert self.found(listener, monkeypatch, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="x").state == "ok"
        assert self.found(listener, monkeypatch, RAY_AUTH_TOKEN="x").state == "warn"
        assert self.found(listener, monkeypatch, RAY_AUTH_MODE="disabled").state == "warn"

    def test_token_file_must_be_full_and_private(self, listener, monkeypatch, tmp_path):
        path = tmp_path / "home" / ".ray" / "auth_token"
        path.parent.mkdir()
        path.write_text("")
        assert self.found(listener, monkeypatch, RAY_AUTH_MODE="token").state == "FAIL"
        path.write_text("abc")
        path.chmod(0o644)
        assert "chmod 600" in self.found(listener, monkeypatch, RAY_AUTH_MODE="token").fix
        path.chmod(0o600)
        assert self.found(listener, monkeypatch, RAY_AUTH_MODE="token").state == "ok"

    def test_path_that_leads_nowhere_does_not_fall_back(self, listener, monkeypatch, tmp_path):
        found = self.found(listener, monkeypatch, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(tmp_path / "none"))
        assert found.state == "FAIL" and "none" in found.text


class TestResources:
    @pytest.mark.parametrize(
        ("room", "state"),
        [(Room(2, 8, 1), "ok"), (Room(1, 4, 1), "FAIL"), (Room(2, 8, 0), "FAIL"), (Room(1, 0, 0), "warn")],
    )
    def test_room_on_a_cluster(self, tmp_path, monkeypatch, listener, room, state):
        monkeypatch.setattr(ray_checks, "ask", lambda address: room)
        asked = sweep_config(tmp_path, TEXT + "resources: {cpus_per_worker: 4, gpus_per_worker: 1}\n")
        findings = list(
            check_ray(
                Subject(asked, "results", listener), {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x", "HOME": "/"}
            )
        )
        assert only(findings, "resources").state == state

    def test_cluster_that_refuses(self, monkeypatch, listener):
        def refuse(address):
            raise RuntimeError("Version mismatch: 2.59 and 2.60")

        monkeypatch.setattr(ray_checks, "ask", refuse)
        findings = list(
            check_ray(
                Subject(None, "results", listener), {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x", "HOME": "/"}
            )
        )
        assert only(findings, "cluster").state == "FAIL" and "Version mismatch" in only(findings, "cluster").text

    def test_more_than_this_machine_has(self, tmp_path):
        asked = sweep_config(tmp_path, TEXT + "resources: {cpus_per_worker: 4096}\n")
        assert only(check_ray(Subject(asked, "results", None), {}), "resources").state == "FAIL"


class TestStorage:
    def test_probe_leaves_nothing(self, tmp_path):
        (tmp_path / "kept").mkdir()
        (found,) = check_storage(Subject(None, str(tmp_path / "kept" / "new" / "run"), None))
        assert found.state == "ok" and list((tmp_path / "kept").iterdir()) == []

    def test_folder_of_one_machine_on_a_cluster(self, tmp_path):
        assert states(check_storage(Subject(None, str(tmp_path), "10.0.0.5:6379"))) == {"storage: ok", "storage: warn"}

    @pytest.mark.parametrize("step", ["write", "read", "names", "delete"])
    def test_step_that_fails_is_named(self, tmp_path, monkeypatch, step):
        def broken(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(machine_checks.Storage, step, broken)
        (found,) = check_storage(Subject(None, str(tmp_path), None))
        assert (
            found.state == "FAIL"
            and f"cannot {'list' if step == 'names' else step} " in found.text
            and "No space left" in found.text
        )

    def test_other_bytes_than_were_written(self, tmp_path, monkeypatch):
        monkeypatch.setattr(machine_checks.Storage, "read", lambda *_: b"other")
        assert "other bytes" in next(check_storage(Subject(None, str(tmp_path), None))).text

    def test_storage_that_never_answers(self, tmp_path, monkeypatch):
        answer = threading.Event()
        monkeypatch.setattr(machine_checks.Storage, "write", lambda *_: answer.wait(60))
        (found,) = check_storage(Subject(None, str(tmp_path), None), wait_s=0.1)
        assert found.state == "FAIL" and "no answer" in found.text and not answer.is_set()
        answer.set()


@pytest.mark.parametrize(
    ("free", "used", "state"), [(5e8, 5e9, "FAIL"), (5e9, 5e9, "warn"), (40e9, 960e9, "warn"), (500e9, 500e9, "ok")]
)
def test_disk(monkeypatch, tmp_path, free, used, state):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(free + used, used, free))
    assert states(check_disk(Subject(None, str(tmp_path / "new"), None))) == {f"disk: {state}"}


class TestData:
    @pytest.fixture
    def shards(self, tmp_path):
        import_dataset("phantom-a", None, tmp_path / "shards" / "a", patients=12)
        return tmp_path / "shards" / "a"

    def test_shards_of_the_sweep_config_or_of_the_folder(self, shards, tmp_path):
        asked = sweep_config(tmp_path, TEXT.replace("source: phantom-a", "source: shards/a"))
        findings = list(check_data(Subject(asked, "results", None)))
        assert (
            states(findings) == {"data: ok"} and "hashes agree" in findings[0].text and "simulated" in findings[1].text
        )
        assert ["hashes agree" in finding.text for finding in check_data(Subject(None, "results", None))] == [True]

    def test_one_changed_byte_is_found(self, shards):
        part = next(shards.glob("*.parquet"))
        content = bytearray(part.read_bytes())
        content[len(content) // 2] ^= 1
        part.write_bytes(content)
        (found,) = check_data(Subject(None, "results", None))
        assert found.state == "FAIL" and part.name in found.text and "import it again" in found.fix

    def test_shards_that_are_not_there(self, tmp_path):
        asked = sweep_config(tmp_path, TEXT.replace("source: phantom-a", "source: shards/none"))
        assert states(check_data(Subject(asked, "results", None))) == {"data: FAIL", "data: ok"}


class TestWeights:
    def test_nothing_is_built_when_none_are_asked_for(self, tmp_path, monkeypatch):
        monkeypatch.setattr(machine_checks, "_build", lambda *_: pytest.fail("built"))
        assert states(check_weights(Subject(sweep_config(tmp_path), "results", None))) == {"weights: ok"}
        assert list(check_weights(Subject(None, "results", None))) == []

    def test_every_pair_is_built_without_the_network(self, tmp_path, monkeypatch):
        built = []

        def build(asked, backbone, weights):
            built.append((backbone, weights, os.environ.get("HF_HUB_OFFLINE")))
            if backbone == "resnet18":
                raise InputError("weights of resnet18", "cannot be fetched", "go online once")

        monkeypatch.setattr(machine_checks, "_build", build)
        text = TEXT.replace("grid:", "grid:\n  backbone: [resnet10t, resnet18]").replace(
            "backbone: small_cnn", "weights: imagenet"
        )
        findings = list(check_weights(Subject(sweep_config(tmp_path, text), "results", None)))
        assert [finding.state for finding in findings] == ["ok", "FAIL"] and findings[1].fix == "go online once"
        assert (
            built == [("resnet10t", "imagenet", "1"), ("resnet18", "imagenet", "1")]
            and "HF_HUB_OFFLINE" not in os.environ
        )

    @pytest.mark.parametrize(
        ("weights", "said"),
        [
            ("imagenet", ["the training data of the weights imagenet of resnet10t are not given"]),
            (
                "w.pth, weights_name: openus",
                ["the weights openus have seen shards/brest (BrEaST)", "a result on it is no test"],
            ),
            ("w.pth, weights_name: tinyusfm", ["the weights tinyusfm may have seen shards/brest (BrEaST)"]),
            ("w.pth, weights_name: biomedclip", ["the weights biomedclip may have seen shards/brest (BrEaST)"]),
            ("w.pth, weights_name: rad_dino", []),
        ],
    )
    def test_what_the_weights_may_have_seen_is_a_warning(self, tmp_path, monkeypatch, weights, said):
        monkeypatch.setattr(machine_checks, "_build", lambda *_: None)
        import_dataset("brest", brest.write(tmp_path / "brest"), tmp_path / "shards" / "brest")
        text = TEXT.replace("source: phantom-a", "source: shards/brest").replace(
            "phantom_patients: 40", "normals: drop"
        )
        text = text.replace("backbone: small_cnn", f"backbone: resnet10t, weights: {weights}")
        warned = [one.text for one in check_weights(Subject(sweep_config(tmp_path, text), "results", None))][1:]
        assert len(warned) == bool(said) and all(words in warned[0] for words in said)

    def test_file_that_does_not_fit(self, tmp_path):
        torch.save({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "w.pth")
        text = TEXT.replace("backbone: small_cnn", f"backbone: resnet10t, weights: {tmp_path / 'w.pth'}")
        (found,) = check_weights(Subject(sweep_config(tmp_path, text), "results", None))
        assert found.state == "FAIL" and "w.pth" in found.text and found.fix
