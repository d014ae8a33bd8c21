"""Word F1 of a segmenter on gold words by script, with and without the conversion to simplified characters."""

from pathlib import Path

from opencc import OpenCC

from wwm import segment
from wwm.segmenter import perceptron_file, read_gold, word_scores
from wwm.text import boundaries


def main(gold: Path, segmenter: Path) -> None:
    perceptron_file(segmenter, str(segmenter))
    cut = segment.load_ltp(str(segmenter), [])
    convert = OpenCC("t2s").convert
    sentences = read_gold(gold)
    scripts: dict[str, list[list[str]]] = {"simplified": [], "traditional": []}
    for words in sentences:
        text = "".join(words)
        scripts["traditional" if convert(text) != text else "simplified"].append(words)
    print(f"{'script':<14}{'sentences':>10}{'words':>10}{'F1 as is':>12}{'F1 simplified':>16}")
    for script, part in scripts.items():
        if part:
            scores = []
            for way in (cut, boundaries.on_simplified(cut)):
                _, word_ends = boundaries.segment_texts(["".join(words) for words in part], way)
                found = [
                    ["".join(words)[a:b] for a, b in zip([0, *ends], ends)] for words, ends in zip(part, word_ends)
                ]
                scores.append(word_scores(part, found)["f1"])
            print(f"{script:<14}{len(part):>10,}{sum(map(len, part)):>10,}{scores[0]:>12.2f}{scores[1]:>16.2f}")
