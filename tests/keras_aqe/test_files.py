"""Files are written whole, whatever fails."""

import pytest

from keras_aqe.files import write_whole


def test_a_file_is_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "notes.txt"
    write_whole(path, lambda path: path.write_text("old"))

    def fail(temporary):
        assert temporary.suffix == ".txt" and temporary != path
        temporary.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_whole(path, fail)
    assert path.read_text() == "old"
    write_whole(str(path), lambda path: path.write_text("new"))
    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["notes.txt"]


def test_errors_name_the_file_and_not_the_temporary_one(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("none", "file"):
        path = tmp_path / folder / "notes.txt"
        with pytest.raises(OSError) as info:
            write_whole(path, lambda path: path.write_text("new"))
        assert info.value.filename == str(path)
