"""Facts of the host's web server: how a request target becomes the path that routes see."""

import pytest

from shared.dev.host import paths


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/a%20b", "/a b"),
        (b"/a%2Fb", "/a%2Fb"),
        (b"/a%2fb%41", "/a%2fbA"),
        (b"/%252F", "/%2F"),
        (b"/%C3%A9", "/é"),
        (b"/%C3", "/%C3"),
        (b"/%C3%41", "/%C3A"),
        (b"/%E2%82%AC%FF", "/€%FF"),
        (b"/a+b", "/a+b"),
        (b"/100%", "/100%"),
        (b"/%zz", "/%zz"),
        (b"/a/../b", "/b"),
        (b"/a/./b/", "/a/b/"),
        (b"/a/b/..", "/a/"),
        (b"/%2e%2e/b", "/b"),
        (b"/../../b", "/b"),
        (b"/a//b", "/a//b"),
        (b"/.hidden/a", "/.hidden/a"),
        (b"http://host:1/a/b", "/a/b"),
        (b"http://host", "/"),
    ],
)
def test_a_path_is_decoded_once_and_keeps_an_escaped_slash(raw, expected):
    assert paths.decode(raw) == expected


@pytest.mark.parametrize("raw", [b"/a%00b", b"/\xff"])
def test_a_path_the_web_server_refuses(raw):
    with pytest.raises(paths.BadPath):
        paths.decode(raw)


def test_the_path_handed_on_decodes_to_the_same():
    assert paths.encode("/a b/é/%2F") == b"/a%20b/%C3%A9/%2F"
