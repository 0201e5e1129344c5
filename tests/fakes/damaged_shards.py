"""Ways in which a shard folder can be damaged, each a change of a folder that the writer made.

`FILES` damage files and the manifest as they are; `CONTENTS` rewrite a part and put its new size and hash into the manifest,
as a tool would that knows the layout but not its rules. Each maps to the text that its error must hold.
"""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sweep.shards.schema import MULTI_LABEL, Header, ShardRow
from sweep.shards.writer import write_dataset

PART = "part-00000.parquet"


def write(folder, multi_label=False):
    """A small data set of two classes, or of two findings per image."""
    draw = np.random.default_rng(0)
    header = Header(name="toy", domain="here", classes=("benign", "malignant"), licence="CC0",
                    positive="" if multi_label else "malignant", task=MULTI_LABEL if multi_label else "single-label")  # fmt: skip
    rows = (
        ShardRow(f"image {k}", draw.integers(0, 256, (12, 16), dtype=np.uint8), ("benign", "malignant")[k % 2],
                 patient=f"p{k // 2}", labels=(1.0, float("nan")) if multi_label else ())
        for k in range(40)
    )  # fmt: skip
    write_dataset(folder, header, rows)
    return folder


def manifest(**fields):
    """Give fields of the manifest other values."""
    return lambda folder: _edit(folder, lambda value: value.update(fields))


def part(**fields):
    """Give fields of the first part's entry other values."""
    return lambda folder: _edit(folder, lambda value: value["parts"][0].update(fields))


def text(content):
    """Put something else where the manifest is."""
    return lambda folder: (folder / "manifest.json").write_bytes(content)


def rewritten(change):
    """Rewrite the part as `change` of its table, and its entry in the manifest to match."""

    def apply(folder):
        path = folder / PART
        pq.write_table(change(pq.read_table(path)), path)
        _register(folder)

    return apply


def column(name, values=None, kind=None):
    """Give the first rows of a column other values, or all of them another type."""

    def change(table):
        place = table.schema.get_field_index(name)
        found = table[name].to_pylist()
        found[: len(values or ())] = values or ()
        return table.set_column(place, name, pa.array(found, type=kind or table.schema.field(name).type))

    return rewritten(change)


def _edit(folder, change):
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def _register(folder):
    data = (folder / PART).read_bytes()
    part(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())(folder)


def _flip(folder):
    path = folder / PART
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    data[200] ^= 128
    path.write_bytes(data)


def _no_parquet(folder):
    path = folder / PART
    path.write_bytes(b"x" * path.stat().st_size)
    _register(folder)


def _cut_footer(folder):
    path = folder / PART
    data = bytearray(path.read_bytes())
    data[-200:-20] = bytes(180)
    path.write_bytes(data)
    _register(folder)


def _as_folder(name):
    def apply(folder):
        (folder / name).unlink()
        (folder / name).mkdir()

    return apply


def _another_part(folder):
    (folder / "part-00001.parquet").write_bytes((folder / PART).read_bytes())


def _second_part_with_equal_ids(folder):
    _another_part(folder)

    def change(value):
        value["parts"].append(value["parts"][0] | {"file": "part-00001.parquet"})
        value["images"] *= 2

    _edit(folder, change)


def _repeated_key(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"name": "toy",', '"name": "toy", "name": "other",'))


def _missing_field(folder):
    _edit(folder, lambda value: value.pop("licence"))


def _no_folder(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


FILES = {
    "no folder": (_no_folder, "no such folder"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json"),
    "manifest is a folder": (_as_folder("manifest.json"), "no manifest.json"),
    "manifest not JSON": (text(b"["), "cannot be read as a manifest"),
    "manifest not UTF-8": (text(b"\xff\xfe{}"), "cannot be read as a manifest"),
    "manifest nested too deeply": (text(b"[" * 100_000), "cannot be read as a manifest"),
    "manifest a list": (text(b"[]"), "list instead of object"),
    "manifest empty": (text(b""), "cannot be read as a manifest"),
    "key repeated": (_repeated_key, "'name' is repeated"),
    "field missing": (_missing_field, "'licence' is missing"),
    "field unknown": (manifest(clases=[]), "unknown field 'clases'; did you mean classes?"),
    "other format": (manifest(format=99), "format: 99"),
    "no parts": (manifest(parts=[]), "parts: [] is not a list of one or more parts"),
    "parts a number": (manifest(parts=3), "parts: 3"),
    "part a text": (manifest(parts=[PART]), "parts[0]"),
    "part outside": (part(file=f"../x/{PART}"), "parts[0].file"),
    "part elsewhere": (part(file=f"/tmp/{PART}"), "parts[0].file"),
    "part without hash": (part(sha256=""), "parts[0].sha256"),
    "part of no rows": (part(rows=0), "parts[0].rows: 0"),
    "part listed twice": (
        lambda folder: _edit(folder, lambda value: value["parts"].append(value["parts"][0])),
        "twice",
    ),
    "no class": (manifest(classes=[], positive=""), "no class in a labelled data set"),
    "class without name": (manifest(classes=["benign", "malignant", ""]), "classes"),
    "class repeated": (manifest(classes=["benign", "malignant", "benign"]), "'benign' is listed twice"),
    "positive no class": (manifest(positive="malign"), "did you mean malignant?"),
    "images a text": (manifest(images="40"), 'images: "40"'),
    "images negative": (manifest(images=-40), "images: -40"),
    "more images than rows": (manifest(images=300), "300 images, and 40 rows"),
    "fewer rows than the file": (lambda folder: (manifest(images=39)(folder), part(rows=39)(folder)), "40 rows where"),
    "unknown task": (manifest(task="regression"), "task"),
    "task of another kind": (manifest(task=MULTI_LABEL), "the column 'labels' is missing"),
    "labelled neither": (manifest(labelled="no"), "labelled"),
    "settings a list": (manifest(settings=[]), "settings"),
    "rows of another set": (manifest(sha256="0" * 64), "sha256: the rows of the parts are not those"),
    "another name": (manifest(name="other"), "row 1, column dataset: 'toy' is not the manifest's 'other'"),
    "another licence": (manifest(licence="CC-BY-4.0"), "row 1, column licence"),
    "part absent": (lambda folder: (folder / PART).unlink(), "absent"),
    "part a folder": (_as_folder(PART), "absent"),
    "part cut short": (lambda folder: (folder / PART).write_bytes((folder / PART).read_bytes()[:-1]), "bytes where"),
    "two bytes flipped": (_flip, "its bytes are not those"),
    "part not listed": (_another_part, "part-00001.parquet: a part that the manifest does not list"),
}

CONTENTS = {
    "no Parquet": (_no_parquet, f"{PART}: damaged"),
    "footer damaged": (_cut_footer, f"{PART}: damaged"),
    "id repeated": (column("image_id", ["image 7"]), "row 8, column image_id: 'image 7' comes twice"),
    "id repeated in another part": (_second_part_with_equal_ids, "part-00001.parquet, row 1, column image_id"),
    "id empty": (column("image_id", [""]), "row 1, column image_id: an empty id"),
    "id null": (column("image_id", ["image 0", None]), "row 2, column image_id: no value"),
    "label null": (column("label", [None]), "row 1, column label: no value"),
    "label of no class": (column("label", ["benign", "norml"]), "row 2, column label: 'norml'"),
    "label empty": (column("label", [""]), "row 1, column label: ''"),
    "patient null": (column("patient", [None]), "column patient: no value"),
    "height too large": (column("height", [12, 13]), "row 2, column image: 192 bytes, height x width is 208"),
    "height zero": (column("height", [0]), "row 1, column height: 0"),
    "width negative": (column("width", [-16]), "row 1, column width: -16"),
    "sizes whose product overflows": (column("height", [2**31 - 1]), "column image"),
    "height and width exchanged": (lambda folder: (column("height", [16])(folder), column("width", [12])(folder)), "sha256"),
    "image null": (column("image", [None]), "row 1, column image: no value"),
    "image of other pixels": (column("image", [bytes(192)]), "row 1, column image: its pixels do not have the hash"),
    "hash of other pixels": (column("sha256", ["0" * 64]), "row 1, column image"),
    "label exchanged": (column("label", ["malignant"]), "sha256: the rows"),
    "patient exchanged": (column("patient", ["p9"]), "sha256: the rows"),
    "tint not a number": (column("colour", [float("nan")]), "column colour"),
    "tint above one": (column("colour", [1.5]), "column colour: 1.5"),
    "original size zero": (column("original_width", [0]), "column original_width"),
    "column missing": (rewritten(lambda table: table.drop_columns(["patient"])), "the column 'patient' is missing"),
    "column unknown": (rewritten(lambda table: table.append_column("age", table["width"])), "unknown column 'age'"),
    "column of another type": (column("height", kind=pa.int64()), "column height: int64 values instead of int32"),
    "rows missing": (rewritten(lambda table: table.slice(1)), "39 rows where the manifest says 40"),
    "rows in another order": (rewritten(lambda table: table.take(list(range(39, -1, -1)))), "sha256: the rows"),
}  # fmt: skip

FINDINGS = {
    "a label too few": (column("labels", [[1.0]]), "row 1, column labels: 1 labels for 2 findings"),
    "no labels": (column("labels", [None]), "row 1, column labels: no value"),
    "a label null": (column("labels", [[1.0, 0.0], [1.0, None]]), "row 2, column labels: no value"),
    "a label of two": (column("labels", [[2.0, 0.0]]), "row 1, column labels: 2 is none of"),
}
