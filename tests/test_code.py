"""What a stage's bytes come from is found by following its imports."""

from pathlib import Path

import pytest

from wwm.common import code

TOY = {
    "__init__.py": '"""A docstring changes nothing."""',
    "stage.py": (
        "import numpy\n\nfrom wwm import one"
        "\n\n\ndef main():\n    from wwm.room.two import name\n    from wwm.track import"
        " run\n"
    ),
    "one.py": "import wwm.room.three\n\nTABLE = 'table.csv'\n",
    "other.py": "from wwm import stage\n",
    "room/__init__.py": "",
    "room/two.py": "from wwm.room.three import name\nfrom wwm import stage\n",
    "room/three.py": "from wwm.common import hub\n\nname = 1\n",
    "room/four.py": "number = 4\n",
    "common/hub.py": "number = 5\n",
    "table.csv": "a,b\n",
    "unnamed.csv": "a,b\n",
    "track/__init__.py": "from wwm import other\nfrom wwm.common import errors\n",
    "common/errors.py": "number = 6\n",
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    for name, text in TOY.items():
        (tmp_path / "wwm" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "wwm" / name).write_text(text)
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "wwm")
    forget()
    yield tmp_path / "wwm"
    forget()


def forget() -> None:
    for function in (code.key, code.reached, code.source):
        function.cache_clear()


def found(package: Path) -> set[str]:
    forget()
    return {path.relative_to(package).as_posix() for path in code.changing("stage")}


def changes_the_key(file: Path) -> bool:
    forget()
    before = code.key("stage")
    file.write_text(file.read_text() + "# changed\n")
    forget()
    return code.key("stage") != before


def test_imports_are_followed_into_functions_and_packages_to_the_files_that_modules_name(toy):
    assert found(toy) == {"stage.py", "one.py", "room/two.py", "room/three.py", "common/hub.py", "table.csv"}


def test_package_counts_once_it_has_code(toy):
    (toy / "room/__init__.py").write_text("from wwm.room import four\n")
    assert {"room/__init__.py", "room/four.py"} <= found(toy)


def test_scratch_is_keyed_by_the_code_that_makes_what_lies_there(toy):
    assert changes_the_key(toy / "room/three.py") and changes_the_key(toy / "stage.py")
    assert not any(
        changes_the_key(toy / name)
        for name in ("other.py", "room/four.py", "track/__init__.py", "common/errors.py", "common/hub.py")
    )


def test_modules_that_change_nothing_are_there():
    assert all(code.path_of(module).is_file() for module in code.CHANGES_NOTHING | code.HANDS_ON)
