"""Embeddings on disk: what was saved is read, whatever is not as it was saved is refused, and memory stays small."""

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cdc
from causalvlm.cli.main import run
from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.embeddings.encode import embed, embed_clip_retrieval, embed_into
from causalvlm.embeddings.store import FEATURES, LOGITS, MANIFEST, ROWS, read_clip_retrieval
from causalvlm.embeddings.table import EmbeddingTable, Source, load_embeddings
from causalvlm.errors import InputError


def table_of(rows=40, **more):
    rng = np.random.default_rng(0)
    source = Source(**{field.name: field.name for field in fields(Source)} | {"pretrained": None})
    return EmbeddingTable(
        features=rng.normal(size=(rows, 3)).astype(np.float32), logits=rng.normal(size=(rows, 2)).astype(np.float32),
        labels=np.arange(rows) % 2, factors={"light": np.where(np.arange(rows) % 3, "day", "nïght")},
        class_names=("cat", "dog"), source=source, **more,
    )  # fmt: skip


def same(a, b):
    for name in ("features", "logits", "labels"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert {name: column.tolist() for name, column in a.factors.items()} == {
        name: column.tolist() for name, column in b.factors.items()
    }
    assert (a.class_names, a.unreadable, a.source) == (b.class_names, b.unreadable, b.source)


@pytest.mark.parametrize("files", [(), tuple(Path(f"/photos/{row}.jpg") for row in range(40))])
def test_what_was_saved_is_read_and_mapped(files, tmp_path):
    table = table_of(files=files, unreadable=((Path("/photos/lost.jpg"), "the file is empty"),))
    table.save(tmp_path / "new" / "folder")
    again = load_embeddings(tmp_path / "new" / "folder")
    same(again, table)
    assert again.files == files
    assert isinstance(again.features, np.memmap)
    assert not [path for path in tmp_path.rglob("*") if ".partial" in path.name]
    diagnose(again, causes=False)


def test_embeddings_that_exist_are_kept(tmp_path):
    table_of().save(tmp_path)
    with pytest.raises(InputError, match=r"must not exist yet.*force=True"):
        table_of(rows=10).save(tmp_path)
    assert len(load_embeddings(tmp_path)) == 40
    table_of(rows=10).save(tmp_path, force=True)
    assert len(load_embeddings(tmp_path)) == 10


@pytest.mark.parametrize("path", [FEATURES, LOGITS, ROWS])
def test_a_changed_cut_or_missing_file_is_refused(path, tmp_path):
    table_of().save(tmp_path)
    content = (tmp_path / path).read_bytes()
    for damaged in (content[:-1], content[:200] + bytes([content[200] ^ 1]) + content[201:], b""):
        (tmp_path / path).write_bytes(damaged)
        with pytest.raises(InputError, match=rf"as it was saved; received .*{path.name} differs. Save them again"):
            load_embeddings(tmp_path)
    (tmp_path / path).unlink()
    with pytest.raises(InputError, match=f"{path.name}: no such file"):
        load_embeddings(tmp_path)


def test_files_of_two_tables_do_not_go_together(tmp_path):
    table_of().save(tmp_path / "a")
    replace(table_of(), features=np.zeros((40, 3))).save(tmp_path / "b")
    (tmp_path / "b" / FEATURES).replace(tmp_path / "a" / FEATURES)
    with pytest.raises(InputError, match=r"img_emb_0\.npy differs"):
        load_embeddings(tmp_path / "a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "must have format 1; received 99"),
        ({"rows": 7}, "other rows or columns"),
        ({"factors": ["light", "pose"]}, "other rows or columns"),
        ({"rows": "many"}, "rows of Manifest must be"),
        ({"sha256": {}}, "lists no file"),
        ({"class_names": ["cat"]}, "one column per class name"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(change, message, tmp_path):
    table_of().save(tmp_path)
    record = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(record | change))
    with pytest.raises(InputError, match=message):
        load_embeddings(tmp_path)


@pytest.mark.parametrize(("text", "message"), [("{", "is no JSON"), ("[]", "must have format 1"), (None, "without it")])
def test_a_folder_without_a_sound_manifest_is_refused(text, message, tmp_path):
    table_of().save(tmp_path)
    (tmp_path / MANIFEST).unlink()
    if text is not None:
        (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=message):
        load_embeddings(tmp_path)


def test_an_interrupted_save_leaves_what_was_there(tmp_path, monkeypatch):
    table_of().save(tmp_path)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("causalvlm.embeddings.table.EmbeddingTable.append_to", stop)
    with pytest.raises(KeyboardInterrupt):
        table_of(rows=10).save(tmp_path, force=True)
    same(load_embeddings(tmp_path), table_of())
    assert not list(tmp_path.rglob("*.partial"))


def test_clip_retrieval_reads_what_was_saved_and_the_other_way_round(tmp_path):
    files = tuple(Path(f"/photos/{row}.jpg") for row in range(40))
    table = table_of(files=files)
    table.save(tmp_path / "ours")
    frame = pd.read_parquet(tmp_path / "ours" / "metadata" / "metadata_0.parquet")  # as its index does
    assert frame["image_path"].tolist() == list(map(str, files))
    np.testing.assert_array_equal(np.load(tmp_path / "ours" / "img_emb" / "img_emb_0.npy"), table.features)
    theirs = tmp_path / "theirs"
    (theirs / "img_emb").mkdir(parents=True)
    (theirs / "metadata").mkdir()
    for number in range(12):  # ten comes after nine
        part = slice(number, number + 1)
        np.save(theirs / "img_emb" / f"img_emb_{number}.npy", table.features[part].astype(np.float16))
        frame.iloc[part][["image_path"]].to_parquet(theirs / "metadata" / f"metadata_{number}.parquet")
    features, paths = read_clip_retrieval(theirs)
    assert paths == files[:12]
    np.testing.assert_array_equal(features, table.features[:12].astype(np.float16))
    (theirs / "metadata" / "metadata_3.parquet").unlink()
    with pytest.raises(InputError, match=r"a metadata/metadata_N\.parquet for every"):
        read_clip_retrieval(theirs)


def test_embeddings_of_clip_retrieval_are_classified_among_their_folders(colour_folder, tiny_backbone, tmp_path):
    data = cdc.load_dataset(colour_folder)
    embed_into(tmp_path, data, tiny_backbone, cache=None)
    (tmp_path / MANIFEST).unlink()
    found, known = embed_clip_retrieval(tmp_path, tiny_backbone), embed(data, tiny_backbone, cache=None)
    assert found.class_names == data.class_names
    np.testing.assert_allclose(found.logits, known.logits, atol=1e-3)
    np.testing.assert_array_equal(found.labels, known.labels)
    np.save(tmp_path / FEATURES, np.ones((48, 7)))
    with pytest.raises(InputError, match="with 32 numbers an image; received 7"):
        embed_clip_retrieval(tmp_path, tiny_backbone)


def test_blocks_are_the_whole(colour_folder, tiny_backbone, tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr("causalvlm.embeddings.encode.BLOCK", 20)
    data = cdc.load_dataset(colour_folder)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    data = replace(data, test=(*data.test, cdc.Example(broken, 0)))
    embed_into(tmp_path / "out", data, tiny_backbone, cache=tmp_path / "cache")
    same(load_embeddings(tmp_path / "out"), embed(data, tiny_backbone, cache=tmp_path / "cache"))


def test_embed_and_diagnose_as_a_person_types_them(colour_folder, tiny_clip_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path / "cache"))
    shades = [f"{file.relative_to(colour_folder)},{'ab'[int(file.stem) % 2]}" for file in colour_folder.rglob("*.png")]
    (tmp_path / "factors.csv").write_text("\n".join(["file,shade", *shades]))
    kept = str(tmp_path / "kept")
    arguments = ["embed", str(colour_folder), "--backbone", str(tiny_clip_folder), "--out", kept]
    assert run([*arguments, "--factors", str(tmp_path / "factors.csv"), "--json", str(tmp_path / "e.json")]) == 0
    assert "48 embeddings of 32 numbers saved" in capsys.readouterr().out
    about = json.loads((tmp_path / "e.json").read_text())
    assert (about["images"], about["settings"]["backbone"]) == (48, str(tiny_clip_folder))
    assert run(arguments) == 2
    assert "--force" in capsys.readouterr().err
    assert run(["diagnose", kept, "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert [(factor["factor"], factor["source"]) for factor in result["factors"]] == [("shade", "label")]
    assert result["settings"]["backbone_fingerprint"] == about["settings"]["backbone_fingerprint"]
    capsys.readouterr()
    for option in (["--backbone", "photo"], ["--factors", "domain/class"], ["--adapter", "a"]):
        assert run(["diagnose", kept, "--out", str(tmp_path / "no"), *option]) == 2
        assert f"received {option[0]} beside them" in capsys.readouterr().err
    (tmp_path / "kept" / MANIFEST).unlink()
    assert run(["diagnose", kept, "--out", str(tmp_path / "no")]) == 2
    assert "must come with the backbone that made them" in capsys.readouterr().err


def test_a_killed_embed_is_finished_by_the_same_command(colour_folder, tiny_clip_folder, tmp_path):
    """Killed without warning while it encodes; what was encoded is not encoded again."""
    cache = tmp_path / "cache"
    command = ["embed", str(colour_folder), "--backbone", str(tiny_clip_folder), "--out", str(tmp_path / "out")]
    code = (
        "import os, signal, sys; import cdc.images.cache as c; from causalvlm.cli.main import run\n"
        "write, count = c.FeatureCache.write, [0]\n"
        "def kill(self, *a):\n"
        "    write(self, *a); count[0] += 1\n"
        "    if count[0] == int(os.environ['KILL_AT']): os.kill(os.getpid(), signal.SIGKILL)\n"
        "c.FeatureCache.write = kill; status = run(sys.argv[1:]); print(count[0]); sys.exit(status)"
    )

    def start(kill_at):
        environment = {**os.environ, "CAUSALVLM_CACHE": str(cache), "KILL_AT": str(kill_at)}
        return subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, env=environment)

    assert start(16).returncode == -9
    done = start(-1)
    assert (done.returncode, done.stdout.split()[-1]) == (0, "32")
    assert len(load_embeddings(tmp_path / "out")) == 48


def test_large_tables_are_read_without_being_in_memory(tmp_path):
    """300,000 rows of 512 numbers, 0.6 GB: the process that reads them has less than half of that of its own."""
    rows = 300_000
    code = (
        "import resource, sys, numpy as np; from pathlib import Path\n"
        "from causalvlm.embeddings.store import StoreWriter\n"
        "from causalvlm.embeddings.table import load_embeddings\n"
        "folder, rows = Path(sys.argv[1]), int(sys.argv[2])\n"
        "block = np.ones((1000, 512), np.float32)\n"
        "with StoreWriter(folder) as writer:\n"
        "    for k in range(rows // 1000):\n"
        "        files = [f'/p/{k}-{i}.jpg' for i in range(1000)]\n"
        "        writer.append(block, block[:, :2], {'image_path': files, 'label': [0] * 1000})\n"
        "    writer.describe(class_names=('a', 'b'), factors=(), unreadable=(), source=None, provenance={})\n"
        "table = load_embeddings(folder)\n"
        "own = [int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('RssAnon')][0]\n"
        "print(len(table), float(table.features[-1].sum()), own)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "large"), str(rows)], capture_output=True, text=True, check=True
    )
    read, total, own = done.stdout.split()
    assert (int(read), float(total)) == (rows, 512.0)
    assert int(own) * 1024 < rows * 512 * 4 / 2
