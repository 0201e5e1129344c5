"""One contract for every kind of place: a folder, file:// and an object store behave alike."""

import numpy as np
import pytest

from sweep.core import location
from sweep.core.errors import InputError
from sweep.core.storage import Storage
from sweep.shards import reader
from sweep.shards.schema import Header, ShardRow
from sweep.shards.writer import write_dataset
from sweep.store.lease import leased
from sweep.store.ledger import FOLDER, Ledger, read_ledger
from tests.fakes.object_store import BUCKET, object_store

KINDS = ("path", "file", "s3", "s3 with options")


@pytest.fixture(scope="module")
def store():
    with object_store() as found_by:
        yield found_by


@pytest.fixture(params=KINDS)
def place(request, tmp_path, store):
    name = f"{tmp_path.name}-{KINDS.index(request.param)}"
    endpoint = store["AWS_ENDPOINT_URL"]
    return {
        "path": str(tmp_path / "run"),
        "file": f"file://{tmp_path}/run",
        "s3": f"s3://{BUCKET}/{name}/run",
        "s3 with options": f"s3://{BUCKET}/{name}/run?endpoint_override={endpoint.replace(':', '%3A').replace('/', '%2F')}",
    }[request.param]


def test_whole_files_by_name(place):
    run = Storage(place)
    assert not run.exists() and run.names() == []
    run.write("a/b.txt", b"one")
    run.write("a/b.txt", b"two")
    run.write("a/c/d.txt", b"three")
    assert run.read("a/b.txt") == b"two" and run.names("a") == ["b.txt", "c"] and run.sizes("a") == {"b.txt": 3}
    assert run.exists() and run.exists("a") and run.exists("a/b.txt") and not run.exists("b")
    assert run.child("a").read("c/d.txt") == b"three" and Storage(run.address("a/c")).names() == ["d.txt"]
    folder, name = Storage.of_file(run.address("a/b.txt"))
    assert folder.read(name) == b"two"
    with pytest.raises(FileNotFoundError):
        run.read("none")
    run.delete("a/b.txt")
    run.delete("a/c")
    assert not run.exists("a/b.txt") and not run.exists("a/c")


def test_a_file_made_of_blocks_is_whole_or_as_it_was(place):
    run = Storage(place)

    def broken():
        yield b"half"
        raise ZeroDivisionError

    run.write_blocks("pool", (bytes([number]) * 1000 for number in range(200)))
    with pytest.raises(ZeroDivisionError):
        run.write_blocks("pool", broken())
    assert run.read("pool")[::1000] == bytes(range(200)) and run.names() == ["pool"]


def test_probe_uses_it_once_and_leaves_nothing(place):
    Storage(place).probe()
    assert Storage(place).names() == []


def test_a_folder_of_files_arrives_even_when_the_block_fails(place):
    run = Storage(place)
    with pytest.raises(ZeroDivisionError), run.folder("board/x") as folder:
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "events").write_bytes(b"1")
        raise ZeroDivisionError
    assert run.read("board/x/deep/events") == b"1"


def test_ledger_reads_back_in_order_and_keeps_what_must_not_be_lost(place):
    run = Storage(place)
    ledger = Ledger(run)
    for epoch in range(5):
        ledger.append({"event": "epoch", "signature": "s", "seed": 0, "epoch": epoch, "metrics": {}})
    ledger.append({"event": "finish", "signature": "s", "seed": 0})
    ledger.append(
        {"event": "start", "signature": "t", "seed": 0}
    )  # not urgent: written with the next one, or at the end
    seen = [event["event"] for event in read_ledger(run).events]
    assert seen[:6] == ["epoch"] * 5 + ["finish"] and len(run.names(FOLDER)) == 1
    ledger.flush()
    assert [event["event"] for event in read_ledger(run).events][-1] == "start"
    assert Ledger(run).attempt == ledger.attempt + 1


def test_shards_are_written_read_and_verified(place):
    rows = [ShardRow(str(index), np.full((8, 8), index, np.uint8), "ab"[index % 2]) for index in range(6)]
    shards = location.below(place, "shards")
    write_dataset(shards, Header(name="tiny", domain="here"), rows)
    assert reader.verify(shards).images == 6
    images = reader.read_images(shards, 8, ["4", "1"]).images
    assert images[:, 0, 0].tolist() == [4, 1]
    with pytest.raises(InputError, match="not empty"):
        write_dataset(shards, Header(name="tiny", domain="here"), rows)
    Storage(shards).write(reader.read_manifest(shards).parts[0].file, b"short")
    with pytest.raises(InputError, match="5 bytes where the manifest says"):
        reader.read_manifest(shards)


def test_one_driver_at_a_time(place):
    run = Storage(place)
    with leased(run, settle_s=0), pytest.raises(InputError, match="another sweep"), leased(run, settle_s=0):
        pass


@pytest.mark.parametrize("address", ["s3://absent-bucket/run", "nowhere://x"])
def test_what_cannot_be_used_is_said_with_its_step(address, store):
    with pytest.raises(InputError, match="cannot write|not a usable address"):
        Storage(address).probe()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("a\0b", "a NUL byte"),
        ("a\nb", "a line break"),
        ("s3://", "it names no bucket"),
        ("s3:///", "Missing bucket name"),
        ("gs://", "it names no bucket"),
        ("s3://bucket/x?unknown=1", "Unexpected query parameter"),
        ("ftp://host/x", "Unrecognized filesystem type"),
        ("file://", "cannot be relative"),
    ],
)
def test_an_address_that_is_none_is_refused_with_the_forms_that_are(address, says):
    with pytest.raises(InputError, match=f"not a usable address .*{says}.*s3://BUCKET/PATH") as refused:
        Storage(address)
    assert "\n" not in str(refused.value) and "\0" not in str(refused.value)


def test_an_object_store_that_does_not_answer_is_named_with_what_to_check():
    nowhere = Storage("s3://bucket/run?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1")
    with pytest.raises(InputError, match=r"--storage s3://bucket/run.*: cannot be reached .*; check the address"):
        nowhere.check_reachable(wait_s=1)
