"""Export (contract C12): what goes out, from which identifiers, by which keys, and what is written of errors."""

from __future__ import annotations

from io import BytesIO

import orjson
import pydicom
import pytest

from shared.storage import destinations
from shared.storage.account import EMULATOR_KEY
from shared.storage.operations import Operation, Progress
from tests.edits.exporting import begin, destination, exported, wanted
from tests.edits.made import Desk, desk, name_is
from tests.edits.test_bulk_update import file_of
from tests.support.files import synthetic_instance
from tests.support.jobs import received
from tests.support.storage import WatchedTransport

pytestmark = pytest.mark.azurite


def identifier(study: str, number: int, series: int = 0) -> str:
    return f"{study}/{study}.{series}/{study}.{series}.{number}"


async def store(at: Desk, study: str, count: int, series: int = 0) -> dict[str, bytes]:
    """Store so many instances; gives them by identifier."""
    files = {identifier(study, number, series): file_of(study, number, series) for number in range(count)}
    await at.store(*files.values())
    return files


async def operation_of(at: Desk, operation_id: str) -> Operation:
    """The operation as workers have it."""
    operation = await at.stores.operations.find(operation_id)
    assert operation is not None
    return operation


async def private_row(at: Desk, operation_id: str) -> bytes:
    """Everything that the operation's row holds."""
    operation = await operation_of(at, operation_id)
    return orjson.dumps([operation.state, operation.results, operation.resources, operation.reason])


async def test_studies_series_and_instances_go_out_as_they_are_stored(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        first, second = await store(at, "1.2.1", 3), await store(at, "1.2.1", 2, 1)
        third, fourth = await store(at, "1.2.2", 2), await store(at, "1.2.3", 2)
        await store(at, "1.2.4", 1)
        one = identifier("1.2.3", 1)
        operation = await exported(at, wanted(out.settings, "1.2.1", "1.2.2/1.2.2.0", one, one))
        log = f"{operation['operationId']}/errors.log"
        assert (operation["type"], operation["status"]) == ("export", "succeeded")
        assert operation["results"] == {"exported": 8, "skipped": 0, "errorHref": f"{out.url}/{log}"}
        assert "percentComplete" not in operation
        expected = {**first, **second, **third, one: fourth[one]}
        assert await out.results(operation["operationId"]) == expected
        assert await out.log(operation["operationId"]) == []
        properties = await out.client.get_blob_client(
            f"{operation['operationId']}/results/{one}.dcm"
        ).get_blob_properties()
        assert properties.content_settings.content_type == "application/dicom"
        assert len(await out.blobs()) == len(expected) + 1


@pytest.mark.parametrize("source", [None, {"type": "Identifiers"}, {"type": "identifiers", "settings": None}])
async def test_without_identifiers_everything_of_the_partition_goes_out(azurite, source):
    async with (
        desk(azurite.connection_string, data_partitions=True) as opened,
        destination(azurite.connection_string) as out,
    ):
        at, other = opened.within("here"), opened.within("there")
        files: dict[str, bytes] = {}
        for number in range(20):
            files |= await store(at, f"1.2.{number}", 2, number % 3)
        await store(other, "1.2.3", 3)
        operation = await exported(at, {**wanted(out.settings), "source": source})
        assert operation["results"]["exported"] == len(files) == 40
        assert await out.results(operation["operationId"]) == files


@pytest.mark.parametrize(("rows", "size_bytes"), [(3, 10**9), (100, 1), (100, 3000)])
@pytest.mark.parametrize("everything", [True, False])
async def test_the_bounds_of_slices_lose_and_repeat_nothing(azurite, monkeypatch, everything, rows, size_bytes):
    monkeypatch.setattr("shared.edits.export_source.PART_ROWS", rows)
    monkeypatch.setattr("shared.edits.export_source.PART_BYTES", size_bytes)
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        files = {**await store(at, "1.2.1", 8), **await store(at, "1.2.1", 5, 1), **await store(at, "1.2.2", 1)}
        values = [] if everything else ["1.2.9", "1.2.1/1.2.1.0", "1.2.8", "1.2.1/1.2.1.1", identifier("1.2.2", 0)]
        operation = await exported(at, wanted(out.settings, *values))
        counts = operation["results"]["exported"], operation["results"]["skipped"]
        assert counts == (len(files), 0 if everything else 2)
        assert await out.results(operation["operationId"]) == files


async def test_everything_of_an_empty_service_is_nothing(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        operation = await exported(at, wanted(out.settings))
        assert (operation["status"], operation["results"]["exported"]) == ("succeeded", 0)


async def test_what_is_not_stored_is_skipped_and_each_has_a_line_in_the_log(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        files = await store(at, "1.2.1", 2)
        await store(at, "1.2.7", 1)
        assert (await at.front.ask("DELETE", "/v2/studies/1.2.7")).status == 204
        absent = ["1.2.7", "1.2.1/1.9", identifier("1.2.1", 9), identifier("1.2.8", 0)]
        operation = await exported(at, wanted(out.settings, "1.2.1", *absent))
        assert operation["status"] == "succeeded"
        assert (operation["results"]["exported"], operation["results"]["skipped"]) == (2, 4)
        lines = await out.log(operation["operationId"])
        assert [line["identifier"] for line in lines] == absent
        assert all(line.keys() == {"timestamp", "identifier", "error"} and line["error"] for line in lines)
        assert await out.results(operation["operationId"]) == files


async def test_more_errors_than_a_slice_holds_are_all_there_once(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        absent = [f"1.2.{number}" for number in range(250)]
        operation = await exported(at, wanted(out.settings, *absent))
        assert operation["results"]["skipped"] == 250
        assert [line["identifier"] for line in await out.log(operation["operationId"])] == absent


async def test_an_updated_instance_goes_out_as_it_is_now(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        await store(at, "1.2.1", 1)
        await at.update(["1.2.1"], name_is("Neu^Eva"))
        operation = await exported(at, wanted(out.settings, "1.2.1"))
        (content,) = (await out.results(operation["operationId"])).values()
        assert pydicom.dcmread(BytesIO(content)).PatientName == "Neu^Eva"
        assert content == await at.file("1.2.1/series/1.2.1.0/instances/1.2.1.0.0")


async def test_a_long_instance_goes_out_in_blocks(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        options = {"study_uid": "1.2.1", "series_uid": "1.2.1.0", "sop_instance_uid": "1.2.1.0.0"}
        content = synthetic_instance(pixel_bytes=3 * destinations.BLOCK_BYTES, **options)
        assert len(content) > 3 * destinations.BLOCK_BYTES
        await at.store(content)
        operation = await exported(at, wanted(out.settings, "1.2.1"))
        assert await out.results(operation["operationId"]) == {identifier("1.2.1", 0): content}
        blob = out.client.get_blob_client(f"{operation['operationId']}/results/{identifier('1.2.1', 0)}.dcm")
        assert len((await blob.get_block_list())[0]) == 4
        assert (await blob.get_blob_properties()).content_settings.content_type == "application/dicom"


@pytest.mark.parametrize("form", ["uri", "connection"])
async def test_a_sas_that_can_only_write_is_enough_and_is_nowhere_afterwards(azurite, form, caplog):
    caplog.set_level("DEBUG")
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        files = await store(at, "1.2.1", 2)
        endpoint = out.url.rpartition("/")[0]
        sas = out.sas()
        settings = {
            "uri": {"blobContainerUri": f"{out.url}?{sas}"},
            "connection": {
                "connectionString": f"BlobEndpoint={endpoint};SharedAccessSignature={sas}",
                "blobContainerName": out.name,
            },
        }[form]
        begun = await begin(at, wanted(settings, "1.2.1", "1.2.9"))
        assert begun.status == 202, begun.content
        operation_id = begun.json()["id"]
        assert b"sig" in await private_row(at, operation_id)
        (text,) = await received(at.settings.storage_connection)
        await at.stores.operations.post(operation_id)
        await at.work()
        operation = await at.operation(operation_id)
        assert (operation["status"], operation["results"]["exported"]) == ("succeeded", 2)
        assert await out.results(operation_id) == files
        assert [line["identifier"] for line in await out.log(operation_id)] == ["1.2.9"]
        signature = sas.partition("sig=")[2].partition("&")[0][:8]
        seen = [begun.content, orjson.dumps(operation), await private_row(at, operation_id), text.encode()]
        assert [one for one in seen if b"sig=" in one or signature.encode() in one] == []
        assert "sig=" not in caplog.text
        assert signature not in caplog.text


async def test_a_destination_that_closes_meanwhile_fails_the_export_and_its_key_is_forgotten(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        await store(at, "1.2.1", 1)
        begun = await begin(at, wanted({"blobContainerUri": f"{out.url}?{out.sas()}"}, "1.2.1"))
        async with destination(azurite.connection_string) as other:
            # Another container's SAS is what an expired one is: no key.
            operation = await operation_of(at, begun.json()["id"])
            taken = await at.stores.operations.take(operation.id, "w")
            progress = Progress({**operation.state, "sas": other.sas()})
            assert taken is not None
            await at.stores.operations.save(taken, progress, release=True)
        await at.work()
        found = await at.operation(operation.id)
        assert (found["status"], found["results"]["exported"]) == ("failed", 0)
        assert found["reason"].startswith("The destination does not take files any more: 403")
        assert (await operation_of(at, operation.id)).state == {}


async def test_the_key_is_forgotten_when_an_export_is_given_up(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        begun = await begin(at, wanted({"blobContainerUri": f"{out.url}?{out.sas()}"}))
        operation = await operation_of(at, begun.json()["id"])
        await at.stores.operations.fail(operation, "Given up.")
        assert b"sig" not in await private_row(at, operation.id)


async def test_a_container_that_is_not_there_is_said_at_once_and_nothing_is_begun(azurite):
    async with desk(azurite.connection_string) as at:
        settings = {"connectionString": azurite.connection_string, "blobContainerName": "nowhere"}
        answer = await begin(at, wanted(settings))
        assert (answer.status, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
        assert b"404 ContainerNotFound" in answer.content
        assert await received(at.settings.storage_connection) == []


async def test_a_key_that_does_not_open_the_container_is_said_at_once(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        for sas in (out.sas("r"), out.sas(hours=-1), out.sas().replace("sig=", "sig=AA")):
            answer = await begin(at, wanted({"blobContainerUri": f"{out.url}?{sas}"}))
            assert answer.status == 400
            assert b"nothing can be written to the container (403" in answer.content
            assert b"sig" not in answer.content
        assert await out.blobs() == {}


async def test_a_destination_that_does_not_answer_is_said_at_once(azurite):
    # Nobody listens there; it is an emulator's address only because this app stores in it.
    async with desk(azurite.connection_string, export_destinations=("emulator", "sas")) as at:
        port = "1"
        object.__setattr__(at.stores.destinations.rules, "emulators", frozenset({f"http://127.0.0.1:{port}"}))
        uri = f"http://127.0.0.1:{port}/devstoreaccount1/nowhere?sv=1&sig=AAAA"
        answer = await begin(at, wanted({"blobContainerUri": uri}))
        assert (answer.status, answer.content) == (400, b"destination: the container cannot be reached.")


async def test_when_exports_are_off_there_is_nothing_there(azurite):
    async with desk(azurite.connection_string, export=False) as at:
        answer = await begin(at, b"nonsense")
        assert (answer.status, answer.content) == (404, b"")


@pytest.mark.parametrize(("permissions", "left"), [("cwad", 0), ("cwa", 1)])
async def test_an_export_that_cannot_begin_leaves_no_log_where_it_may_delete_it(azurite, permissions, left):
    transport = WatchedTransport()
    async with (
        desk(azurite.connection_string, transport=transport) as at,
        destination(azurite.connection_string) as out,
    ):
        transport.fault = lambda request: "before" if "$batch" in request.url else None
        body = orjson.dumps(wanted({"blobContainerUri": f"{out.url}?{out.sas(permissions)}"}, "1.2.1"))
        answer = await at.front.ask("POST", "/v2/export", body, Content_Type="application/json")
        assert (answer.status, len(await out.blobs())) == (503, left)
        transport.fault = lambda _: None


async def test_the_operation_is_found_where_the_answer_says(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        for root in ("/v1", "/v2"):
            body = orjson.dumps(wanted(out.settings))
            answer = await at.front.ask("POST", f"{root}/export", body, Content_Type="application/json")
            assert answer.status == 202
            assert answer.json().keys() == {"id", "href"}
            assert answer.headers["location"] == answer.json()["href"]
            assert answer.json()["href"].endswith(f"{root}/operations/{answer.json()['id']}")
            assert answer.headers["api-supported-versions"] == "1, 2"
            waiting = await at.operation(answer.json()["id"])
            assert waiting["status"] == "notStarted"
        await at.work()
        assert {line for line in await out.blobs() if line.endswith("errors.log")} == set(await out.blobs())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"nonsense", b"JSON"),
        (b"[]", b"$: must be an object"),
        (b"{}", b"destination: is missing"),
        ({"sources": {}, **wanted({})}, b"$: has a member that is none of source, destination"),
        ({"source": {}, **wanted({"blobContainerUri": "x"})}, b"source.type"),
        ({"source": {"type": "everything"}, **wanted({})}, b"source.type"),
        ({"source": {"type": "identifiers", "settings": {}}, **wanted({})}, b"source.settings.values"),
        ({"source": {"type": "identifiers", "settings": {"values": []}}, **wanted({})}, b"source.settings.values"),
        (wanted({}, "1.2", "x"), b"source.settings.values[1]"),
        (wanted({}, "1.2/"), b"source.settings.values[0]"),
        (wanted({}, "1/2/3/4"), b"source.settings.values[0]"),
        (wanted({}, "../1.2"), b"source.settings.values[0]"),
        ({"destination": {"type": "file", "settings": {}}}, b"destination.type"),
        ({"destination": {"type": "azureblob"}}, b"destination.settings: must be an object"),
        (wanted({}), b"destination.settings: needs blobContainerUri"),
        (wanted({"connectionString": "UseDevelopmentStorage=true"}), b"destination.settings: needs"),
        (wanted({"blobContainerName": "out"}), b"destination.settings: needs"),
        (wanted({"blobContainerUri": "https://a", "connectionString": "b"}), b"not both"),
        (wanted({"blobContainerUri": 7}), b"destination.settings.blobContainerUri: must be a text"),
        (wanted({"containerUri": "https://account.blob.core.windows.net/out"}), b"destination.settings: has a member"),
        (wanted({"useManagedIdentity": "yes"}), b"useManagedIdentity: must be true or false"),
        (wanted({"connectionString": "a=b", "blobContainerName": "out", "useManagedIdentity": True}),
         b"useManagedIdentity: does not go"),
        (wanted({"connectionString": f"AccountName=hospital;AccountKey={EMULATOR_KEY}", "blobContainerName": "out"}),
         b"account keys are not taken"),
        (wanted({"blobContainerUri": "https://account.blob.core.windows.net/out"}), b"must carry a SAS"),
        (wanted({"blobContainerUri": "http://169.254.169.254/metadata?sig=a"}), b"must be the https URL"),
    ],
)  # fmt: skip
async def test_what_cannot_be_asked_for_is_refused_without_a_call(azurite, body, told):
    async with desk(azurite.connection_string) as at:
        answer = await begin(at, body)
        assert (answer.status, told in answer.content) == (400, True), answer.content
        assert await received(at.settings.storage_connection) == []


async def test_the_services_own_container_is_no_destination(azurite):
    async with desk(azurite.connection_string) as at:
        own = {"connectionString": at.settings.storage_connection, "blobContainerName": "dicom"}
        assert (await begin(at, wanted(own))).status == 400


async def test_a_body_of_identifiers_as_long_as_is_taken_fits_the_operation(azurite):
    async with desk(azurite.connection_string) as at, destination(azurite.connection_string) as out:
        values = [f"{2**200 // 7 + n}/{3**120 // 5 * (n + 1)}"[:100] for n in range(9_900)]
        body = orjson.dumps(wanted(out.settings, *values))
        assert 1_000_000 < len(body) < 1024 * 1024
        assert (await begin(at, body)).status == 202
        answer = await begin(at, body + b" " * 100_000)
        assert answer.status == 413
