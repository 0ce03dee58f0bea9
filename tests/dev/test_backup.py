"""Tables that were saved and loaded are the same store, and what is no whole file is never loaded."""

from __future__ import annotations

import gzip
import json

import pytest

from shared.dev import backup
from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.client import StorageClient
from shared.storage.keys import SCHEMA
from tests.support.recorded import dump, load, recorded
from tests.support.storage import fresh_account

ROW = ["feed", {"PartitionKey": "p", "RowKey": "r"}]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """The command on an account; its exit code."""
    (tmp_path / "settings.json").write_text('{"Values": {}}')
    monkeypatch.delenv("DICOM_STORAGE__accountName", raising=False)

    def ran(account, *words):
        monkeypatch.setenv("DICOM_STORAGE", account)
        return backup.main(["--settings", str(tmp_path / "settings.json"), *map(str, words)])

    return ran


def written(file, *lines):
    with gzip.open(file, "wt") as out:
        out.writelines(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    return file


@pytest.mark.azurite
async def test_what_is_loaded_is_what_was_saved_with_all_its_types(azurite, tmp_path):
    record = recorded(SCHEMA)
    source, target = (fresh_account(azurite.connection_string) for _ in range(2))
    await load(source, record)
    await load(target, {**record, "tables": {}})
    clients = [StorageClient(account_of(Settings(storage_connection=one))) for one in (source, target)]
    try:
        number = await backup.save(clients[0], tmp_path / "tables")
        assert await backup.load(clients[1], tmp_path / "tables") == number > 100
    finally:
        for client in clients:
            await client.close()
    full = {name: rows for name, rows in record["tables"].items() if rows}
    assert (await dump(target))["tables"] == full, "a table without rows comes to be with its first one"
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]


@pytest.mark.azurite
def test_the_command_saves_loads_and_refuses_an_account_that_has_tables(azurite, run, tmp_path, capsys):
    file = written(tmp_path / "tables", {"schema": SCHEMA}, ROW, {"rows": 1})
    account = fresh_account(azurite.connection_string)
    assert run(account, "load", file) == 0
    assert run(account, "load", file) == 1
    assert "1 tables already, such as feed" in capsys.readouterr().err


@pytest.mark.azurite
@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("no JSON",),
        ("[]",),
        ({"schema": SCHEMA + 1}, {"rows": 0}),
        ({"schema": SCHEMA}, ROW),
        ({"schema": SCHEMA}, ROW, {"rows": 2}),
        ({"schema": SCHEMA}, ROW, {"rows": 1}, ROW),
        ({"schema": SCHEMA}, 7, {"rows": 1}),
        ({"schema": SCHEMA}, ["feed", {"PartitionKey": "p"}], {"rows": 1}),
        ({"schema": SCHEMA}, [1, ROW[1]], {"rows": 1}),
        ({"schema": SCHEMA}, [*ROW, 1], {"rows": 1}),
    ],
)
def test_what_is_not_a_whole_saved_file_is_not_loaded(azurite, run, tmp_path, capsys, lines):
    assert run(azurite.connection_string, "load", written(tmp_path / "tables", *lines)) == 1
    assert str(tmp_path / "tables") in capsys.readouterr().err


@pytest.mark.azurite
def test_a_folder_that_is_not_there_is_told(azurite, run, tmp_path, capsys):
    assert run(azurite.connection_string, "save", tmp_path / "no" / "tables") == 1
    assert str(tmp_path / "no") in capsys.readouterr().err


@pytest.mark.azurite
def test_a_file_that_is_cut_or_not_there_is_not_loaded(azurite, run, tmp_path, capsys):
    file = written(tmp_path / "tables", {"schema": SCHEMA}, ROW, {"rows": 1})
    file.write_bytes(file.read_bytes()[:-9])
    assert run(azurite.connection_string, "load", file) == 1
    assert run(azurite.connection_string, "load", tmp_path / "none") == 1
    assert capsys.readouterr().err.count(str(tmp_path)) >= 2


def test_settings_that_name_no_account_are_told(run, tmp_path, capsys):
    assert run("", "save", tmp_path / "tables") == 2
    assert "DICOM_STORAGE" in capsys.readouterr().err
    assert backup.main(["--settings", str(tmp_path / "none"), "save", str(tmp_path / "tables")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert not (tmp_path / "tables").exists()


def test_long_partitions_are_written_in_transactions_that_storage_takes():
    rows = [("t", {"PartitionKey": "p", "RowKey": f"{number:03}", "x": "y" * 10}) for number in range(250)]
    rows += [("t", {"PartitionKey": "q", "RowKey": f"{number}", "x": "y" * 900_000}) for number in range(4)]
    sizes = [(partition, len(writes)) for _, partition, writes in backup._batches(iter(rows))]
    assert sizes == [("p", 100), ("p", 100), ("p", 50), *[("q", 1)] * 4]
