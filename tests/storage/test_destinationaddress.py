"""Addresses that may be exported to, and a list of those that may not (contract C12)."""

from __future__ import annotations

import pytest

from shared.errors import InvalidParameter
from shared.settings import Settings, SettingsError
from shared.storage.account import EMULATOR_KEY, account_of
from shared.storage.destinationaddress import Access, Rules, rules_of, target_of_connection, target_of_uri

SAS = "sv=2021-12-02&sp=cw&sig=a%2Bb%2F%3D"
GOOD = "https://hospital.blob.core.windows.net/out"
EMULATOR = "http://127.0.0.1:10000/devstoreaccount1/out"


def rules(connection: str = "UseDevelopmentStorage=true", **others) -> Rules:
    settings = Settings(storage_connection=connection, **others)
    return rules_of(settings, account_of(settings))


CLOUD = rules(f"AccountName=hospital;AccountKey={EMULATOR_KEY}")


@pytest.mark.parametrize(
    "url",
    [
        GOOD,
        "https://hospital.blob.core.usgovcloudapi.net/out",
        "https://hospital.blob.core.chinacloudapi.cn/out",
        "https://hospital.privatelink.blob.core.windows.net/out",
        "https://hospital.z13.blob.storage.azure.net/a-b-c",
    ],
)
def test_containers_of_azures_blob_services_are_taken(url):
    assert target_of_uri(url, CLOUD, identity=True).access is Access.IDENTITY
    target = target_of_uri(f"{url}?{SAS}", CLOUD, identity=False)
    assert (target.url, target.access, target.sas) == (url, Access.SAS, SAS)
    assert "sig" not in repr(target)


@pytest.mark.parametrize(
    "url",
    ["HTTPS://Hospital.BLOB.core.windows.net/out", "https://hospital.blob.core.windows.net:443/out/"],
)
def test_an_address_is_written_in_one_way(url):
    assert target_of_uri(url, CLOUD, identity=True).url == GOOD


def test_a_sas_is_encoded_again_whatever_it_came_as():
    target = target_of_uri(f"{GOOD}?sv=2021&se=2026-01-01T00:00:00Z&sig=a+b/=", CLOUD, identity=False)
    assert target.sas == "sv=2021&se=2026-01-01T00%3A00%3A00Z&sig=a%2Bb%2F%3D"


ATTACKS = [
    "",
    "out",
    "//hospital.blob.core.windows.net/out",
    "http://hospital.blob.core.windows.net/out",
    "ftp://hospital.blob.core.windows.net/out",
    "file:///etc/passwd",
    "https://hospital.blob.core.windows.net",
    "https://hospital.blob.core.windows.net/",
    "https://hospital.blob.core.windows.net/out/blob",
    "https://hospital.blob.core.windows.net//out",
    "https://hospital.blob.core.windows.net/../out",
    "https://hospital.blob.core.windows.net/%6Fut",
    "https://hospital.blob.core.windows.net/out%2F..%2Fdicom",
    "https://hospital.blob.core.windows.net/OUT",
    "https://hospital.blob.core.windows.net/ou",
    "https://hospital.blob.core.windows.net/$root",
    "https://hospital.blob.core.windows.net/out#fragment",
    "https://hospital.blob.core.windows.net/out\n",
    "https://hospital.blob.core.windows.net/out\r\nX-Header: 1",
    " https://hospital.blob.core.windows.net/out",
    "https://hospital.blob.core.windows.net./out",
    "https://hospital.blob.core.windows.net:8443/out",
    "https://hospital.blob.core.windows.net:0443/out",
    "https://hospital.blob.core.windows.net\\@evil.example/out",
    "https://hospital.blob.core.windows.net@evil.example/out",
    "https://user@hospital.blob.core.windows.net/out",
    "https://user:password@hospital.blob.core.windows.net/out",
    "https://evil.example/hospital.blob.core.windows.net/out",
    "https://evil.example?hospital.blob.core.windows.net/out",
    "https://evil.example#.blob.core.windows.net/out",
    "https://evil.example%23.blob.core.windows.net/out",
    "https://hospital.blob.core.windows.net.evil.example/out",
    "https://hospital.blob.core.windows.netevil.example/out",
    "https://evilblob.core.windows.net/out",
    "https://hospital.blob-core.windows.net/out",
    "https://hospital.blob.core.windows.com/out",
    "https://hospitalxblobxcorexwindowsxnet/out",
    "https://evil.example.blob.core.windows.net/out",
    "https://hospital-secondary.blob.core.windows.net/out",
    "https://hospital.dfs.core.windows.net/out",
    "https://hospital.table.core.windows.net/out",
    "https://hospital.vault.azure.net/out",
    "https://blob.core.windows.net/out",
    "https://.blob.core.windows.net/out",
    "https://hospital。blob。core。windows。net/out",
    "https://hospital.blob.core.windows.net/оut",
    "https://hоspital.blob.core.windows.net/out",
    "https://hospital.blob.core.windows。net/out",
    "https://ⓗospital.blob.core.windows.net/out",
    "https://hospital.blob.core.windows.net\u200b/out",
    "https://xn--hspital-0fg.blob.core.windows.net/out",
    "https://127.0.0.1/out",
    "http://127.0.0.1:80/devstoreaccount1/out",
    "http://127.0.0.1:10001/devstoreaccount1/out",
    "http://127.0.0.1/devstoreaccount1/out",
    "http://127.1:10000/devstoreaccount1/out",
    "http://2130706433:10000/devstoreaccount1/out",
    "http://0x7f000001:10000/devstoreaccount1/out",
    "http://0177.0.0.1:10000/devstoreaccount1/out",
    "http://0.0.0.0:10000/devstoreaccount1/out",
    "http://[::1]:10000/devstoreaccount1/out",
    "http://[::ffff:127.0.0.1]:10000/devstoreaccount1/out",
    "http://127.0.0.1.nip.io:10000/devstoreaccount1/out",
    "http://localhost.evil.example:10000/devstoreaccount1/out",
    "http://user@127.0.0.1:10000/devstoreaccount1/out",
    "http://127.0.0.1:10000@evil.example/devstoreaccount1/out",
    "http://127.0.0.1:10000/otheraccount/out",
    "http://127.0.0.1:10000/devstoreaccount1/../admin/out",
    "http://169.254.169.254/metadata/instance",
    "http://169.254.169.254:10000/devstoreaccount1/out",
    "https://169.254.169.254/out",
    "https://2852039166/out",
    "https://[fe80::1]/out",
    "https://[fd00:ec2::254]/out",
    "http://168.63.129.16:10000/devstoreaccount1/out",
    "http://metadata.google.internal:10000/devstoreaccount1/out",
    "https://10.0.0.1/out",
    "https://localhost/out",
]


@pytest.mark.parametrize("url", ATTACKS)
@pytest.mark.parametrize("where", [rules(), CLOUD], ids=["laptop", "cloud"])
def test_anything_else_is_refused(url, where):
    for text, identity in ((f"{url}?{SAS}", False), (url, True)):
        with pytest.raises(InvalidParameter) as refused:
            target_of_uri(text, where, identity=identity)
        assert "sig" not in str(refused.value)


@pytest.mark.parametrize(
    "query",
    ["sig=a&comp=block", "sig=a&restype=container", "sig=a&sig=b", "sv=1", "x", "sig=a&Sig=b", "sig=a&timeout=1"],
)
def test_a_query_that_is_more_or_less_than_a_sas_is_refused(query):
    with pytest.raises(InvalidParameter, match="not a SAS"):
        target_of_uri(f"{GOOD}?{query}", CLOUD, identity=False)


def test_the_emulator_is_one_only_for_a_service_that_stores_in_it_or_is_told_so():
    assert target_of_uri(f"{EMULATOR}?{SAS}", rules(), identity=False).url == EMULATOR
    local = EMULATOR.replace("127.0.0.1", "localhost")
    assert target_of_uri(f"{local}?{SAS}", rules(), identity=False).url == EMULATOR
    told = rules(f"AccountName=a;AccountKey={EMULATOR_KEY}", export_destinations=("emulator", "sas"))
    assert target_of_uri(f"{EMULATOR}?{SAS}", told, identity=False).url == EMULATOR
    for strict in (CLOUD, rules(export_destinations=("identity", "sas")), rules(export_destinations=("emulator",))):
        with pytest.raises(InvalidParameter):
            target_of_uri(f"{EMULATOR}?{SAS}", strict, identity=False)


def test_the_emulator_on_another_port_is_that_which_the_service_stores_in():
    root = "http://127.0.0.1:41234/devstoreaccount1"
    connection = f"AccountName=devstoreaccount1;AccountKey={EMULATOR_KEY};BlobEndpoint={root}"
    assert target_of_connection(f"{connection};", "out", rules(connection)).access is Access.EMULATOR
    with pytest.raises(InvalidParameter):
        target_of_connection(connection, "out", rules())


def test_the_short_form_of_the_emulator_is_its_usual_port():
    target = target_of_connection("UseDevelopmentStorage=true", "out", rules())
    assert (target.url, target.access, target.sas) == (EMULATOR, Access.EMULATOR, "")
    with pytest.raises(InvalidParameter):
        target_of_connection("UseDevelopmentStorage=true", "out", CLOUD)


@pytest.mark.parametrize(
    "text",
    [
        f"BlobEndpoint=https://hospital.blob.core.windows.net/;SharedAccessSignature={SAS}",
        f"BlobEndpoint=https://hospital.blob.core.windows.net;SharedAccessSignature=?{SAS};",
        f"AccountName=hospital;EndpointSuffix=core.windows.net;SharedAccessSignature={SAS}",
        f"DefaultEndpointsProtocol=https;accountname=hospital;sharedaccesssignature={SAS}",
    ],
)
def test_a_connection_string_with_a_sas_is_the_same_as_a_url_with_it(text):
    target = target_of_connection(text, "out", CLOUD)
    assert (target.url, target.access, target.sas) == (GOOD, Access.SAS, SAS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "nonsense",
        "=;",
        "AccountName=hospital",
        f"AccountName=hospital;AccountKey={EMULATOR_KEY}",
        f"AccountName=hospital;AccountKey={EMULATOR_KEY};SharedAccessSignature={SAS}",
        f"AccountName=devstoreaccount1;AccountKey=YQ==;BlobEndpoint={EMULATOR.removesuffix('/out')}",
        f"AccountName=devstoreaccount1;AccountKey={EMULATOR_KEY}",
        f"AccountName=devstoreaccount1;AccountKey={EMULATOR_KEY};BlobEndpoint=http://169.254.169.254/devstoreaccount1",
        f"AccountName=devstoreaccount1;AccountKey={EMULATOR_KEY};BlobEndpoint=https://hospital.blob.core.windows.net",
        f"BlobEndpoint=https://evil.example;SharedAccessSignature={SAS}",
        f"BlobEndpoint=http://hospital.blob.core.windows.net;SharedAccessSignature={SAS}",
        f"BlobEndpoint=https://hospital.blob.core.windows.net/x;SharedAccessSignature={SAS}",
        f"AccountName=evil.example/;SharedAccessSignature={SAS}",
        f"AccountName=evil.example#;SharedAccessSignature={SAS}",
        f"AccountName=hospital;EndpointSuffix=core.windows.net.evil.example;SharedAccessSignature={SAS}",
        f"AccountName=hospital;AccountName=hospital;SharedAccessSignature={SAS}",
        "AccountName=hospital;SharedAccessSignature=",
        "AccountName=hospital;SharedAccessSignature=sv=1",
    ],
)
@pytest.mark.parametrize("where", [rules(), CLOUD], ids=["laptop", "cloud"])
def test_any_other_connection_string_is_refused(text, where):
    with pytest.raises(InvalidParameter) as refused:
        target_of_connection(text, "out", where)
    assert EMULATOR_KEY not in str(refused.value)


@pytest.mark.parametrize("name", ["", "ou", "Out", "out/x", "out?x", "-out", "out-", "o--ut", "../out", "o" * 64])
def test_a_name_that_no_container_has_is_refused(name):
    with pytest.raises(InvalidParameter, match="blobContainerName"):
        target_of_connection("UseDevelopmentStorage=true", name, rules())


@pytest.mark.parametrize(
    ("allowed", "url", "identity"),
    [(("identity",), f"{GOOD}?{SAS}", False), (("sas", "emulator"), GOOD, True)],
)
def test_what_the_app_does_not_allow_is_refused(allowed, url, identity):
    with pytest.raises(InvalidParameter, match="not allowed here"):
        target_of_uri(url, rules(export_destinations=allowed), identity=identity)


def test_an_identity_goes_with_a_plain_address_only():
    for url in (f"{GOOD}?{SAS}", EMULATOR):
        with pytest.raises(InvalidParameter, match="useManagedIdentity"):
            target_of_uri(url, rules(), identity=True)
    with pytest.raises(InvalidParameter, match="must carry a SAS"):
        target_of_uri(GOOD, rules(), identity=False)


@pytest.mark.parametrize("host", ["hospital.blob.core.windows.net", "hospital.privatelink.blob.core.windows.net"])
def test_the_services_own_container_is_refused(host):
    with pytest.raises(InvalidParameter, match="own container"):
        target_of_uri(f"https://{host}/dicom", CLOUD, identity=True)


def test_settings_name_known_destinations_only():
    known = {"DICOM_STORAGE": "UseDevelopmentStorage=true", "DICOM_EXPORT_DESTINATIONS": " Identity,sas "}
    assert Settings.from_env(known).export_destinations == ("identity", "sas")
    with pytest.raises(SettingsError, match="DICOM_EXPORT_DESTINATIONS must be words of: identity, sas, emulator"):
        Settings.from_env({**known, "DICOM_EXPORT_DESTINATIONS": "anywhere"})
