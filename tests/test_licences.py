"""docs/licences.md has each package of the lock, and what may be GPL is named where licences are spoken of."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([\w-]+)` \| \S+ \| (.+) \|$", PAGE, re.M))


def test_each_package_of_the_lock_is_there_in_its_version_with_a_licence():
    locked = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert re.findall(r"^\| `([\w-]+)` \| (\S+) \|", PAGE, re.M) == [tuple(line.split("==")) for line in locked]
    assert len(ROWS) == len(locked) and "UNKNOWN" not in ROWS.values()


@pytest.mark.parametrize(("page", "title"), [("README.md", "Licences"), ("README_ZH.md", "许可")])
def test_what_is_gpl_or_asks_a_fee_is_named_in_the_readme_and_above_the_table(page, title):
    part = (ROOT / page).read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    named = {name for name, licence in ROWS.items() if re.search("GPL|GNU|General Public|LTP", licence)}
    assert {"pygit2", "grandalf", "ltp-extension"} <= named
    for text in (part, PAGE.partition("\n|---|")[0]):
        assert not {name for name in named if f"`{name}`" not in text}
