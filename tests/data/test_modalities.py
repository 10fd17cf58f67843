"""Rows of several modalities come back from Parquet as they were written, in order, shuffled, and one by one."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from tests.covering import covering, each
from tests.data.test_share import together

from dsae import DeepSparseAutoencoder
from dsae.data import Batch, Modality, ModalityWriter, open_rows

N = 70
SEVERAL = [
    Modality("image", (3, 4), numbers="uint8", divisor=255),
    Modality("audio", (5, 2), numbers="float16"),
    Modality("numbers", (6,)),
    Modality("text", (40,), sparse=True),
]


def made(seed=0):
    rng = np.random.default_rng(seed)
    rows = {
        "image": rng.integers(0, 256, (N, 12)).astype(np.float32) / np.float32(255),
        "audio": rng.normal(size=(N, 10)).astype(np.float16).astype(np.float32),
        "numbers": rng.normal(size=(N, 6)).astype(np.float32),
        "text": sp.random(N, 40, 0.1, "csr", np.float32, rng),
    }
    present = {name: rng.random(N) < 0.7 for name in rows}
    present["numbers"][:] = True
    return rows, present


def written(folder, pieces=(N,), labels=True):
    rows, present = made()
    folder.mkdir()
    with ModalityWriter(folder, SEVERAL, labels) as writer:
        start = 0
        for n in pieces:
            span = slice(start, start + n)
            ids, classes = [f"r{i}" for i in range(N)][span], [f"c{i % 3}" for i in range(N)][span]
            parts = {name: each[span] for name, each in rows.items()}
            writer.write(parts, {name: has[span] for name, has in present.items()}, ids, classes if labels else None)
            start += n
    return rows, present


def dense(rows):
    return rows.toarray() if sp.issparse(rows) else rows


def check(batch, rows, present):
    for name in rows:
        has = present[name][batch.numbers]
        np.testing.assert_array_equal(batch.present[name], has)
        np.testing.assert_array_equal(dense(batch.parts[name]), dense(rows[name])[batch.numbers] * has[:, None])


@covering(pieces=((N,), (30, 40), (1, 69)), batch_size=(16, 64, 1000), seed=(None, 0), world=(1, 3), by="pieces")
def test_rows_come_back_bit_for_bit(pieces, batch_size, seed, world, tmp_path):
    folder = tmp_path / f"{len(pieces)}-{batch_size}-{seed}-{world}"
    rows, present = written(folder, pieces)
    source = open_rows(folder)
    assert (len(source), source.n_features, source.shape) == (N, 68, (N, 68))
    assert {name: part.kind for name, part in source.parts.items()} == {
        **dict.fromkeys(("image", "audio", "numbers"), "dense"),
        "text": "csr",
    }
    assert source.parts["image"].fields[0].shape == (3, 4)
    seen = []
    for rank in range(world):
        for batch in source.batches(batch_size, seed, rank, world):
            check(batch, rows, present)
            seen += batch.numbers.tolist()
            if seed is None:
                assert batch.ids.tolist() == [f"r{i}" for i in batch.numbers]
                assert batch.labels.tolist() == [f"c{i % 3}" for i in batch.numbers]
    assert sorted(seen) == list(range(N))


@each(world=[2, 3])
def test_workers_share_rows_of_several_modalities(tmp_path, world):
    rows, present = written(tmp_path / "rows", (30, 40))

    def ask(share):
        batches = list(share.batches(16, 0))
        for batch in batches:
            check(batch, rows, present)
        mean, _ = share.of("text").moments()
        return len(share), [batch.numbers.tolist() for batch in batches], mean, share.has("text").sum()

    found = together(tmp_path / "rows", world, ask)
    assert {(n, len(batches)) for n, batches, *_ in found} == {(N, -(-N // 16))}
    assert sorted(number for _, batches, *_ in found for numbers in batches for number in numbers) == list(range(N))
    for *_, mean, n in found:
        np.testing.assert_allclose(mean, dense(rows["text"])[present["text"]].mean(axis=0), rtol=1e-5, atol=1e-7)
        assert n == present["text"].sum()


def test_several_row_groups_and_files_are_one_source(tmp_path, monkeypatch):
    monkeypatch.setattr("dsae.data._modality_writer._GROUP_BYTES", 1000)
    monkeypatch.setattr("dsae.data._modality_writer._GROUPS", 2)
    rows, present = written(tmp_path / "rows", (10,) * 7)
    source = open_rows(tmp_path / "rows")
    assert len(source.files()) > 1
    assert source.reader.n_parts > len(source.files())
    for name in rows:
        np.testing.assert_array_equal(source.has(name), present[name])
    check(source.load(), rows, present)
    shuffled = np.concatenate([batch.numbers for batch in source.batches(8, seed=1)])
    assert sorted(shuffled) == list(range(N))
    assert shuffled.tolist() != list(range(N))


def test_two_sources_of_a_split_are_all_rows(tmp_path):
    rows, present = written(tmp_path / "rows")
    kept, out = open_rows(tmp_path / "rows").split(0.3, seed=0)
    assert len(kept) + len(out) == N
    numbers = [np.concatenate([batch.numbers for batch in part.batches(16)]) for part in (kept, out)]
    assert sorted(np.concatenate(numbers)) == list(range(N))
    for name in rows:
        np.testing.assert_array_equal(out.has(name), present[name][numbers[1]])
        one = dense(rows[name])[numbers[1]][present[name][numbers[1]]]
        np.testing.assert_array_equal(dense(out.of(name).read()), one)


def test_a_sample_has_distinct_rows_in_order(tmp_path):
    rows, present = written(tmp_path / "rows")
    batch = open_rows(tmp_path / "rows").sample(20, np.random.default_rng(0))
    assert batch.n_rows == 20
    assert (np.diff(batch.numbers) > 0).all()
    check(batch, rows, present)


@each(name=["image", "text", "numbers"])
def test_one_modality_is_a_plain_source(name, tmp_path):
    folder = tmp_path / name
    rows, present = written(folder)
    for source in (open_rows(folder, columns=[name]), open_rows(folder).of(name)):
        expected = dense(rows[name])[present[name]]
        assert source.shape == expected.shape
        np.testing.assert_array_equal(dense(source.read()), expected)
        np.testing.assert_allclose(source.moments()[0], expected.mean(axis=0), atol=1e-6)
        assert sum(len(batch) for batch in source.batches(8, seed=0)) == len(expected)
    dsa = DeepSparseAutoencoder(2, hidden_layer_sizes=(4,), density=0.5, max_iter=1, random_state=0)
    assert dsa.fit(open_rows(folder, columns=[name])).n_features_in_ == rows[name].shape[1]


def test_modalities_are_chosen_by_name(tmp_path):
    written(tmp_path / "rows", labels=False)
    assert list(open_rows(tmp_path / "rows", columns=["text", "image"]).parts) == ["text", "image"]
    assert list(open_rows(tmp_path / "rows", exclude=["text"]).parts) == ["image", "audio", "numbers"]
    assert next(open_rows(tmp_path / "rows").batches(3)).labels is None
    with pytest.raises(ValueError, match=r"has no column 'sound'; it has image, audio"):
        open_rows(tmp_path / "rows", columns=["sound"])
    with pytest.raises(ValueError, match=r"has no column 'sound'"):
        open_rows(tmp_path / "rows").of("sound")


def test_a_model_of_one_table_says_what_to_do(tmp_path):
    written(tmp_path / "rows")
    dsa = DeepSparseAutoencoder(2, hidden_layer_sizes=(4,), density=0.5, max_iter=1, random_state=0)
    with pytest.raises(
        ValueError, match=r"holds rows of several modalities \(image, audio, numbers, text\); use Multi"
    ):
        dsa.fit(open_rows(tmp_path / "rows"))
    with pytest.raises(ValueError, match=r"\[read\] .* holds rows of several modalities"):
        open_rows(tmp_path / "rows").read()


def test_batches_of_several_parts_are_stacked_and_chosen_from(tmp_path):
    rows, present = written(tmp_path / "rows")
    whole = Batch.stack(list(open_rows(tmp_path / "rows").batches(9)))
    check(whole, rows, present)
    check(whole[np.array([5, 3])], rows, present)


def edited(path, change=None, metadata=None, field=None):
    """The file with a column, the metadata of the schema or of a column replaced."""
    table = pq.read_table(path)
    if change is not None:
        name, column = change
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(at), column(table.column(at).combine_chunks()))
    if field is not None:
        name, told = field
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(at).with_metadata({b"dsae": told}), table.column(at))
    if metadata is not None:
        table = table.replace_schema_metadata({b"dsae": metadata})
    pq.write_table(table, path)


def out_of_range(column):
    values = column.flatten()
    indices = pa.array(np.full(len(values), 99, np.int32))
    pairs = pa.StructArray.from_arrays([indices, values.field(1)], ["index", "value"])
    return pa.ListArray.from_arrays(column.offsets, pairs, mask=column.is_null())


def holes(column):
    values = column.flatten().to_pylist()
    values[0] = None
    known = column.is_valid().to_pylist()
    width = column.type.list_size
    it = iter([values[i : i + width] for i in range(0, len(values), width)])
    return pa.array([next(it) if has else None for has in known], column.type)


@each(
    {
        "change, message": [
            ({"metadata": b"{"}, "modalities that are not described"),
            ({"metadata": b"[]"}, "modalities that are not described"),
            ({"metadata": json.dumps({"format": "dsae modalities", "format_version": 2}).encode()}, "another version"),
            ({"field": ("image", b'{"shape": [3, 4]}')}, "'image' is described wrongly"),
            ({"field": ("image", b'{"shape": [3, 5], "divisor": 255}')}, "'image' must have the type"),
            ({"field": ("image", b'{"shape": [], "divisor": 255}')}, "its shape is"),
            ({"field": ("image", b'{"shape": [-3, -4], "divisor": 255}')}, "its shape is"),
            ({"field": ("image", b'{"shape": [3, 4], "divisor": 0}')}, "its divisor is 0"),
            ({"field": ("text", b'{"shape": [99999999999], "divisor": 1}')}, "values"),
            ({"field": ("id", b'{"shape": [3], "divisor": 1}')}, "'id' is described wrongly"),
            ({"change": ("text", out_of_range)}, "indices outside 0..39"),
            ({"change": ("image", holes)}, "only some values are missing"),
        ]
    }
)
def test_a_file_that_lies_is_refused(change, message, tmp_path):
    folder = tmp_path / "rows"
    if not folder.exists():
        written(folder)
        (folder / "part-00000.parquet").rename(tmp_path / "good.parquet")
    path = tmp_path / "bad.parquet"
    path.write_bytes((tmp_path / "good.parquet").read_bytes())
    edited(path, **change)
    with pytest.raises(ValueError, match=rf"^\[read\] {path} must be a whole .*parquet file; .*{message}"):
        open_rows(path).load()


def test_files_that_differ_in_form_or_names_are_refused(tmp_path):
    def write(name, *modalities):
        with ModalityWriter(tmp_path / "one", list(modalities), False) as writer:
            rows = {each.name: sp.csr_matrix((2, 5)) if each.sparse else np.zeros((2, 5)) for each in modalities}
            writer.write(rows, {each.name: np.ones(2, bool) for each in modalities}, ["a", "b"], None)
        return (tmp_path / "one" / "part-00000.parquet").rename(tmp_path / "rows" / name)

    for folder in ("one", "rows"):
        (tmp_path / folder).mkdir()
    write("a.parquet", Modality("x", (5,)), Modality("y", (5,)))
    write("b.parquet", Modality("x", (5,), sparse=True), Modality("y", (5,)))
    with pytest.raises(ValueError, match=r"b.parquet must have 'x' as a.parquet has it, dense; got sparse rows"):
        open_rows(tmp_path / "rows")
    write("b.parquet", Modality("x", (5,)), Modality("z", (5,)))
    with pytest.raises(ValueError, match=r"b.parquet must have the fields of a.parquet, x, y; got x, z"):
        open_rows(tmp_path / "rows")
