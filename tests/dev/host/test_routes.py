"""Facts of ASP.NET Core's route patterns, as the Functions host uses them."""

import pytest

from shared.dev.host.routes import TemplateError, parse

VERSION = r"{version:regex(^v0*1(\.0+)?$)}"


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("studies/{study}", "/studies/1.2", {"study": "1.2"}),
        ("/studies/{study}", "/STUDIES/Ab", {"study": "Ab"}),
        ("studies/{study}", "/studies/1.2/", {"study": "1.2"}),
        ("studies/{study}", "/studies", None),
        ("studies/{study}", "/studies/", None),
        ("studies/{study}", "/studies//", None),
        ("studies/{study}", "//studies/1", None),
        ("studies/{study}", "/studies/1/2", None),
        ("studies/{study?}", "/studies", {}),
        ("studies/{study?}", "/studies/7", {"study": "7"}),
        ("studies/{study=all}", "/studies", {"study": "all"}),
        ("v2/{*path}", "/v2", {}),
        ("v2/{*path}", "/v2/", {}),
        ("v2/{*path}", "/v2/a//b/", {"path": "a//b/"}),
        ("v2/{*path}", "/v2//a", None),
        ("v2/{**path}", "/v2/a/b", {"path": "a/b"}),
        ("v2/{*path=none}", "/v2", {"path": "none"}),
        ("", "/", {}),
        ("", "/a", None),
        ("v2/api.yaml", "/v2/API.yaml", {}),
        ("v2/$bulk", "/v2/$bulk", {}),
        ("{a}.{b}", "/x.y.z", {"a": "x.y", "b": "z"}),
        ("{a}.{b}", "/x.", None),
        ("{a}.{b?}", "/x", {"a": "x"}),
        ("{a}.{b?}", "/x.", None),
        ("pre-{a}", "/PRE-7", {"a": "7"}),
        ("x/{a}/y", "/x/%2F/y", {"a": "%2F"}),
        (VERSION + "/studies", "/V1/studies", {"version": "V1"}),
        (VERSION + "/studies", "/v01.00/studies", {"version": "v01.00"}),
        (VERSION + "/studies", "/v1.1/studies", None),
        (r"{n:regex(^\d{{2,3}}$)}", "/123", {"n": "123"}),
        (r"{n:regex(^\d{{2,3}}$)}", "/1", None),
        ("{n:int}", "/-12", {"n": "-12"}),
        ("{n:int}", "/2147483648", None),
        ("{n:long}", "/2147483648", {"n": "2147483648"}),
        ("{n:int:range(1,9)}", "/10", None),
        ("{n:int:range(1,9)}", "/9", {"n": "9"}),
        ("{n:min(3)}", "/2", None),
        ("{n:max(3)}", "/3", {"n": "3"}),
        ("{n:alpha}", "/ab1", None),
        ("{n:bool}", "/True", {"n": "True"}),
        ("{n:guid}", "/6f9619ff-8b86-d011-b42d-00c04fc964ff", {"n": "6f9619ff-8b86-d011-b42d-00c04fc964ff"}),
        ("{n:guid}", "/6f9619ff", None),
        ("{n:length(3)}", "/abcd", None),
        ("{n:length(2,3)}", "/abc", {"n": "abc"}),
        ("{n:minlength(2)}", "/a", None),
        ("{n:maxlength(2)}", "/ab", {"n": "ab"}),
        ("{n:int?}", "/", {}),
        ("{n:required}", "/a", {"n": "a"}),
    ],
)
def test_a_template_matches_as_the_host_matches(template, path, expected):
    assert parse(template).match(path) == expected


@pytest.mark.parametrize(
    "template",
    [
        "a//b",
        "{a",
        "a}",
        "{}",
        "{a}{b}",
        "{*a}/b",
        "x{*a}",
        "{a}/{A}",
        "{a?}.{b}",
        "{a}-{b?}",
        "{a?=1}",
        "{a=1?}",
        "{*a?}",
        "{a:nosuch}",
        "{a:regex(()}",
        "{a:regex(x}",
        "{a:length(1,2,3)}",
        "{a:int(}",
        "{a:}",
        "what?",
        "{a b:int c}",
        "{***a}",
        "{n:range(1)}",
        r"{n:regex(^\d{2}$)}",
    ],
)
def test_a_template_the_host_cannot_read_is_refused(template):
    with pytest.raises(TemplateError, match="'"):
        parse(template)
