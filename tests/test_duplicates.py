"""Near-duplicates: what MinHash estimates, and that bands find the pairs which comparing all with all would find."""

import numpy as np
import pytest

from wwm.text import duplicates


def jaccard(one: str, other: str) -> float:
    first, second = (
        {text[i : i + duplicates.SHINGLE] for i in range(len(text) - duplicates.SHINGLE + 1)} for text in (one, other)
    )
    return len(first & second) / len(first | second)


def varied(rng: np.random.Generator, text: str, changes: int) -> str:
    characters = list(text)
    for place in rng.integers(len(text), size=changes):
        characters[place] = chr(0x4E00 + rng.integers(3000))
    return "".join(characters)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """60 families of a text and four that differ from it more and more."""
    rng = np.random.default_rng(3)
    families = ["".join(chr(0x4E00 + i) for i in rng.integers(3000, size=300)) for _ in range(60)]
    return [varied(rng, text, changes) for text in families for changes in (0, 1, 2, 5, 30)]


def test_share_of_equal_entries_estimates_the_similarity_of_the_texts(texts):
    signatures = [duplicates.signature(text, seed=1) for text in texts]
    for i, j in [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (10, 13)]:
        expected = jaccard(texts[i], texts[j])
        assert (
            abs((signatures[i] == signatures[j]).mean() - expected)
            <= 4.5 * (expected * (1 - expected) / duplicates.PERMUTATIONS) ** 0.5
        )


def test_white_space_makes_no_difference_and_a_long_text_is_taken_in_slices(monkeypatch):
    text = "全词掩码把同一个词的所有字一起遮住，模型便要看得更远。"
    whole = duplicates.signature(text, seed=1)
    assert (duplicates.signature(" ".join(text) + "\n", seed=1) == whole).all()
    monkeypatch.setattr(duplicates, "SLICE", 7)
    assert (duplicates.signature(text, seed=1) == whole).all()


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_bands_find_what_comparing_every_document_with_all_before_it_finds(texts, tmp_path, threshold):
    matrix = np.array([duplicates.signature(text, seed=1) for text in texts])
    expected = [bool(((matrix[:i] == matrix[i]).mean(1) >= threshold).any()) for i in range(len(matrix))]
    with duplicates.Signatures(tmp_path) as signatures:
        for part in np.array_split(matrix, 7):
            signatures.add(part)
        found = signatures.repeated(threshold, np.ones(len(matrix), bool))
    assert 20 < sum(expected) < 240
    # None is dropped that should stay; of those to drop a few share no band.
    assert not (found & ~np.array(expected)).any() and found.sum() >= 0.95 * sum(expected)


def test_first_of_equal_documents_is_kept():
    digests = np.array([[5, 1], [5, 2], [5, 1], [0, 1], [5, 1], [5, 2]], np.uint64)
    assert duplicates.exact(digests).tolist() == [False, False, True, False, True, True]
