"""Content-Type and Accept as real clients write them."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import NotAcceptable, UnsupportedMediaType
from shared.wire.media import Choice, Offer, choose, parse_content_type

# No deadline: a busy machine must not turn a passing example into a failing one.
quick = settings(deadline=None)

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
SYNTAXES = ("*", EXPLICIT, JPEG_2000)

DICOM_PARTS = Offer("application/dicom", True, SYNTAXES, EXPLICIT, wildcard=True, wildcard_syntax="*")
DICOM_FILE = Offer("application/dicom", False, SYNTAXES, EXPLICIT)
STUDY = (DICOM_PARTS,)
INSTANCE = (DICOM_FILE, DICOM_PARTS)
FRAMES = (
    Offer("application/octet-stream", False, ("*", EXPLICIT), EXPLICIT),
    Offer("application/octet-stream", True, ("*", EXPLICIT), EXPLICIT, wildcard=True, wildcard_syntax="*"),
    Offer("image/jp2", True, (JPEG_2000,), JPEG_2000),
)
JSON = (Offer("application/dicom+json", wildcard=True),)
RENDERED = (Offer("image/jpeg", wildcard=True), Offer("image/png", wildcard=True))

FILE = Choice("application/dicom", False, EXPLICIT)
PARTS = Choice("application/dicom", True, EXPLICIT)
PARTS_AS_STORED = Choice("application/dicom", True, "*")
FRAME_PARTS = Choice("application/octet-stream", True, EXPLICIT)
FRAME_PARTS_AS_STORED = Choice("application/octet-stream", True, "*")
JSON_CHOICE = Choice("application/dicom+json")


@pytest.mark.parametrize(
    ("text", "media_type", "parameters"),
    [
        ("application/dicom", "application/dicom", {}),
        ("  Application/DICOM ", "application/dicom", {}),
        ("application/dicom;", "application/dicom", {}),
        (
            'multipart/related; type="application/dicom"; boundary=abc',
            "multipart/related",
            {"type": "application/dicom", "boundary": "abc"},
        ),
        (
            "Multipart/Related;TYPE=application/dicom\t;\tBoundary=AbC=?:",
            "multipart/related",
            {"type": "application/dicom", "boundary": "AbC=?:"},
        ),
        ('multipart/related; boundary="a;b,c \\"d\\\\"', "multipart/related", {"boundary": 'a;b,c "d\\'}),
        ("multipart/related; boundary=a; boundary=a", "multipart/related", {"boundary": "a"}),
        ('multipart/related; boundary=""', "multipart/related", {"boundary": ""}),
    ],
)
def test_content_type_is_read_with_and_without_quotes(text, media_type, parameters):
    read = parse_content_type(text)
    assert (read.media_type, read.parameters) == (media_type, parameters)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "no Content-Type"),
        (" ", "no Content-Type"),
        ("application", "type/subtype"),
        ("application/", "type/subtype"),
        ("/dicom", "type/subtype"),
        ("appli cation/dicom", "type/subtype"),
        ("application/dicom, text/plain", "type/subtype"),
        ("; boundary=a", "type/subtype"),
        ("multipart/related; boundary", "name=value"),
        ("multipart/related; =a", "name=value"),
        ("multipart/related; bound ary=a", "name=value"),
        ('multipart/related; boundary="a', "not quoted"),
        ('multipart/related; boundary="a\\"', "not quoted"),
        ('multipart/related; boundary="a"b', "not quoted"),
        ("multipart/related; boundary=a b", "not quoted"),
        ("multipart/related; boundary=a\x00", "not quoted"),
        ("multipart/related; boundary=a; boundary=b", "twice"),
    ],
)
def test_malformed_content_type_is_unsupported(text, fault):
    with pytest.raises(UnsupportedMediaType, match=fault):
        parse_content_type(text)


@quick
@given(st.text())
def test_any_content_type_is_read_or_unsupported(text):
    try:
        parse_content_type(text)
    except UnsupportedMediaType:
        return
    assert "/" in text


@quick
@given(st.text())
def test_quoted_value_comes_back_as_it_was(value):
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_content_type(f'a/b; x=1; name="{quoted}"; y="2"').parameters == {"x": "1", "name": value, "y": "2"}


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        " , ,",
        "*/*",
        "*",
        "application/*",
        "application/json",
        "application/dicom+json",
        "APPLICATION/DICOM+JSON; Charset=UTF-8; transfer-syntax=*",
        "application/dicom+json, application/json",
        "application/dicom, application/json;q=0.1",
        "application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*",
        'multipart/related; type="application/octet-stream"; transfer-syntax="*", application/dicom+json',
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        "text/html, image/gif, image/jpeg, *; q=.2",
    ],
)
def test_json_is_chosen_for_every_form_clients_send(accept):
    assert choose(JSON, accept, None) == JSON_CHOICE


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom",
        "application/dicom+xml",
        'multipart/related; type="application/dicom+json"',
        "image/*",
        "application/json;q=0",
        "*/*;q=0.0",
        "application/dicom+json;q=0, */*",
        "json",
        ";q=1",
        '"application/json',
    ],
)
def test_json_is_refused_to_who_does_not_accept_it(accept):
    with pytest.raises(NotAcceptable, match=r"application/dicom\+json"):
        choose(JSON, accept, None)


def test_exact_one_of_two_json_types_is_chosen():
    offers = (Offer("application/dicom+json", wildcard=True), Offer("application/json"))
    assert choose(offers, "application/json", None) == Choice("application/json")
    assert choose(offers, "application/dicom+json", None) == JSON_CHOICE


@pytest.mark.parametrize(
    ("accept", "choice"),
    [
        ("application/dicom", FILE),
        ("application/dicom; transfer-syntax=*", Choice("application/dicom", False, "*")),
        ('application/dicom; transfer-syntax="*"', Choice("application/dicom", False, "*")),
        (f"application/dicom;transfer-syntax={JPEG_2000}", Choice("application/dicom", False, JPEG_2000)),
        ('multipart/related; type="application/dicom"', PARTS),
        ("multipart/related; type=application/dicom", PARTS),
        ("MULTIPART/RELATED; TYPE=APPLICATION/DICOM; TRANSFER-SYNTAX=*", PARTS_AS_STORED),
        (f'multipart/related; type="application/dicom"; transfer-syntax="{EXPLICIT}"', PARTS),
        (
            f'multipart/related; type="application/dicom; transfer-syntax={JPEG_2000}"',
            Choice("application/dicom", True, JPEG_2000),
        ),
        ("application/dicom; transfer-syntax=", FILE),
        ('multipart/related; type="*/*"', PARTS_AS_STORED),
        ("multipart/related; type=*/*", PARTS_AS_STORED),
        ("multipart/related", PARTS_AS_STORED),
        ("multipart/*", PARTS_AS_STORED),
        (f"*/*; transfer-syntax={EXPLICIT}", PARTS),
        ("*/*", PARTS_AS_STORED),
        ("application/*", PARTS_AS_STORED),
        (None, PARTS_AS_STORED),
        ("", PARTS_AS_STORED),
    ],
)
def test_instance_is_given_as_the_table_says(accept, choice):
    """Contract C3.1."""
    assert choose(INSTANCE, accept, None) == choice


@pytest.mark.parametrize("accept", ["*/*", None, "application/*", 'multipart/related; type="*/*"'])
def test_wildcard_gives_a_study_in_parts_as_stored(accept):
    """Contract E11: the documents' answer, where the original refuses."""
    assert choose(STUDY, accept, None) == PARTS_AS_STORED


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom",
        "application/octet-stream",
        'multipart/related; type="application/octet-stream"',
        'multipart/related; type="image/*"',
        'multipart/form-data; type="application/dicom"',
        "multipart/related; type=application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50",
        "image/*",
        "nonsense",
    ],
)
def test_study_is_refused_in_other_forms(accept):
    with pytest.raises(NotAcceptable):
        choose(STUDY, accept, None)


@pytest.mark.parametrize(
    ("accept", "choice"),
    [
        # dicomweb-client asks without a syntax and needs an uncompressed one
        ('multipart/related; type="application/octet-stream"', FRAME_PARTS),
        # OHIF with and without quotes, cornerstone3D
        ('multipart/related; type="application/octet-stream"; transfer-syntax="*"', FRAME_PARTS_AS_STORED),
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", FRAME_PARTS_AS_STORED),
        ("application/octet-stream", Choice("application/octet-stream", False, EXPLICIT)),
        ('multipart/related; type="image/jp2"', Choice("image/jp2", True, JPEG_2000)),
        (
            'multipart/related; type="image/jls", multipart/related; type="image/jp2"; transfer-syntax=' + JPEG_2000,
            Choice("image/jp2", True, JPEG_2000),
        ),
        ("*/*", FRAME_PARTS_AS_STORED),
    ],
)
def test_frames_are_given_as_the_table_says(accept, choice):
    """Contract C3.1."""
    assert choose(FRAMES, accept, None) == choice


@pytest.mark.parametrize(
    ("accept", "choice"),
    [
        (None, Choice("image/jpeg")),
        ("image/png", Choice("image/png")),
        ("image/png, image/jpeg", Choice("image/png")),
        ("image/png;q=0.5, image/jpeg", Choice("image/jpeg")),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", Choice("image/jpeg")),
        ("image/jpeg;q=0, */*", Choice("image/png")),
        ("image/jpeg;q=0, image/*;q=0.5", Choice("image/png")),
    ],
)
def test_rendered_image_is_the_heaviest_accepted(accept, choice):
    assert choose(RENDERED, accept, None) == choice


@pytest.mark.parametrize(
    ("accept", "choice"),
    [
        ('application/dicom, multipart/related; type="application/dicom"', FILE),
        ('application/dicom;q=0.5, multipart/related; type="application/dicom";Q=0.8', PARTS),
        ('application/dicom;q=.5, multipart/related; type="application/dicom"', PARTS),
        # broken weights count as 1
        ('application/dicom;q=x, multipart/related; type="application/dicom";q=0.9', FILE),
        ('application/dicom;q=-1, multipart/related; type="application/dicom";q=0.9', FILE),
        ('application/dicom;q=7, multipart/related; type="application/dicom"', FILE),
        ('application/dicom;q=nan, multipart/related; type="application/dicom"', FILE),
        # as stored wins among equals, whatever comes first
        ('application/dicom, multipart/related; type="application/dicom"; transfer-syntax=*', PARTS_AS_STORED),
        (
            "application/dicom; transfer-syntax=*, multipart/related; type=application/dicom; transfer-syntax=*",
            Choice("application/dicom", False, "*"),
        ),
        ('application/dicom, multipart/related; type="application/dicom"; transfer-syntax=*; q=0.9', FILE),
        # an element with a syntax that is not on offer is passed over
        ('application/dicom; transfer-syntax=1.2.3, multipart/related; type="application/dicom"', PARTS),
        # a bare wildcard does not ask for the stored bytes in so many words
        ("application/dicom, */*", FILE),
        # the leading multipart does not change what the second element says
        (
            f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}; q=0.1, application/dicom',
            FILE,
        ),
        # refusals
        ('application/dicom;q=0, application/dicom, multipart/related; type="application/dicom"', PARTS),
        ("multipart/related;q=0, */*;q=0.1, application/dicom;q=0.01", FILE),
        ("*/*;q=0, application/dicom", FILE),
        ('*/*;q=0, multipart/related; type="*/*"', PARTS_AS_STORED),
        # commas and semicolons in quotes do not separate
        ('text/x; note="a, application/json; \\" b"; q=1, application/dicom', FILE),
    ],
)
def test_order_of_preference(accept, choice):
    """Contract C3.1, rules 2 to 5."""
    assert choose(INSTANCE, accept, None) == choice


def test_as_stored_does_not_replace_what_has_no_transfer_syntax():
    accept = "application/dicom+json, multipart/related; type=application/dicom; transfer-syntax=*"
    assert choose((*JSON, *STUDY), accept, None) == JSON_CHOICE


def test_refused_syntax_leaves_the_others():
    accept = f"application/dicom; transfer-syntax={EXPLICIT}; q=0, application/dicom; transfer-syntax={JPEG_2000}"
    assert choose(INSTANCE, accept, None) == Choice("application/dicom", False, JPEG_2000)


@pytest.mark.parametrize(
    ("query", "header", "choice"),
    [
        ("image/png", "image/jpeg", Choice("image/png")),
        # OHIF sends its bulk-data header along with ?accept=image/jpeg
        ("image/jpeg", 'multipart/related; type="application/octet-stream"', Choice("image/jpeg")),
        ("image/webp, image/png", "image/jpeg", Choice("image/png")),
        ("image/png;q=0.1", "image/jpeg", Choice("image/png")),
        ("", "image/png", Choice("image/png")),
        (" , ", "image/png", Choice("image/png")),
    ],
)
def test_query_wins_over_the_header(query, header, choice):
    assert choose(RENDERED, header, query) == choice


def test_header_is_asked_when_the_query_is_not_on_offer():
    """PS3.18 §8.7.8.1, step 3."""
    assert choose(RENDERED, "image/png", "image/webp") == Choice("image/png")


def test_query_that_is_not_on_offer_is_refused_without_a_header():
    """PS3.18 §8.7.8.1, step 5."""
    with pytest.raises(NotAcceptable):
        choose(RENDERED, None, "image/webp")


def test_plus_that_a_query_decoder_turned_into_a_space_is_understood():
    assert choose(JSON, "text/plain", "application/dicom json") == JSON_CHOICE


def test_refusal_lists_what_is_on_offer():
    with pytest.raises(NotAcceptable) as refusal:
        choose(INSTANCE, "text/plain", None)
    text = str(refusal.value)
    assert f'type="application/dicom" (transfer-syntax * or {EXPLICIT} or {JPEG_2000})' in text
    assert 'multipart/related; type="application/dicom"' in text
    assert "text/plain" not in text


@quick
@given(st.text(alphabet='*/,;="\\ q.01ab-' + "\u00e9"), st.sampled_from([STUDY, INSTANCE, FRAMES, JSON, RENDERED]))
def test_any_accept_is_answered_or_refused(accept, offers):
    try:
        choice = choose(offers, accept, accept)
    except NotAcceptable:
        return
    assert any((offer.media_type, offer.multipart) == (choice.media_type, choice.multipart) for offer in offers)


@pytest.mark.parametrize(
    "text",
    [
        '"\\' * 32_000,
        "a," * 32_000,
        "a;" * 32_000,
        '"' * 65_001,
        "a/b;q=0," * 4_000 + "application/dicom;q=0," + "application/dicom," * 4_000,
    ],
)
def test_hostile_accept_costs_little(text):
    start = time.process_time()
    with pytest.raises(NotAcceptable):
        choose(INSTANCE, text, None)
    assert time.process_time() - start < 1


OCTETS_AS_STORED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
PICTURE_FRAMES = (
    *FRAMES,
    Offer("image/jpeg", True, ("*", "1.2.840.10008.1.2.4.50"), "*"),
    Offer("image/jpeg", False, ("*", "1.2.840.10008.1.2.4.50"), "*"),
)


@pytest.mark.parametrize(
    ("accept", "choices"),
    [
        ("*/*", [FRAME_PARTS_AS_STORED]),
        ('multipart/related; type="image/jpeg"', [Choice("image/jpeg", True, "*")]),
        (
            'multipart/related; type="image/jpeg", multipart/related; type="application/octet-stream"',
            [Choice("image/jpeg", True, "*"), FRAME_PARTS],
        ),
        (
            'multipart/related; type="application/octet-stream"; q=0.5, text/html, image/jpeg;q=0.9, image/jpeg;q=0.1',
            [Choice("image/jpeg", False, "*"), FRAME_PARTS],
        ),
        (
            f'multipart/related; type="image/jpeg", {OCTETS_AS_STORED}',
            [Choice("image/jpeg", True, "*"), FRAME_PARTS_AS_STORED],
        ),
        (
            f'multipart/related; type="image/jp2", {OCTETS_AS_STORED}',
            [FRAME_PARTS_AS_STORED, Choice("image/jp2", True, JPEG_2000)],
        ),
    ],
)
def test_what_else_is_accepted_follows_the_choice_in_its_order(accept, choices):
    choice = choose(PICTURE_FRAMES, accept, None)
    assert [choice, *choice.others] == choices


def test_what_the_header_accepts_follows_what_the_query_accepts():
    choice = choose(PICTURE_FRAMES, "application/octet-stream", "image/jpeg, text/html")
    assert [choice, *choice.others] == [
        Choice("image/jpeg", False, "*"),
        Choice("application/octet-stream", False, EXPLICIT),
    ]


def test_a_media_type_in_two_forms_is_listed_once():
    with pytest.raises(NotAcceptable) as caught:
        choose(PICTURE_FRAMES, "text/html", None)
    assert str(caught.value).count("transfer-syntax") == 3
    assert "image/jpeg (transfer-syntax * or 1.2.840.10008.1.2.4.50)." in str(caught.value)
