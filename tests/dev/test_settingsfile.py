"""Commands on a store say what is wrong with their settings file."""

import pytest

from shared.dev import backup, fsck, sweep


@pytest.mark.parametrize(
    ("command", "words"), [(fsck, ()), (sweep, ()), (backup, ("save", "tables"))], ids=["fsck", "sweep", "backup"]
)
@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("{}", "has no object named Values")])
def test_a_settings_file_that_cannot_be_read_is_named(tmp_path, capsys, command, words, content, said):
    file = tmp_path / "settings.json"
    if content is not None:
        file.write_text(content)
    assert command.main(["--settings", str(file), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert str(file) in err
    assert said in err
    assert "Traceback" not in err
