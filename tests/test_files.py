"""What the stages write is there for others, too."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from wwm.common import files


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_is_written_has_the_modes_of_any_other_file(tmp_path):
    (tmp_path / "usual").touch()
    (tmp_path / "folder").mkdir()
    with files.new_folder(tmp_path / "model") as folder:
        save_file({"weight": np.zeros(3)}, folder / "model.safetensors")
        Path(tempfile.mkdtemp(dir=folder)).rename(folder / "inside")
    with files.new_file(tmp_path / "model.safetensors") as file:
        save_file({"weight": np.zeros(3)}, file)
    usual = mode(tmp_path / "usual")
    assert usual == mode(tmp_path / "model/model.safetensors") == mode(tmp_path / "model.safetensors")
    assert mode(tmp_path / "folder") == mode(tmp_path / "model") == mode(tmp_path / "model/inside")


def test_a_file_that_cannot_take_its_place_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "there/inside").mkdir(parents=True)
    with pytest.raises(OSError), files.new_file(tmp_path / "there") as file:
        file.write_text("new", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
