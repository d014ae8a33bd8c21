"""transformers 4.50.3's collator for whole word masking, timed in an environment of its own, which has that version.

FOLDER/python collator.py EXAMPLES VOCAB    EXAMPLES: JSON lines with input_ids and chinese_ref; prints tokens and the
                                            best seconds of CPU
"""

import json
import sys
import time

from transformers import BertTokenizerFast, DataCollatorForWholeWordMask


def main(examples: str, vocab: str, repeats: int = 3) -> None:
    import torch

    torch.set_num_threads(1)
    with open(examples, encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    collate = DataCollatorForWholeWordMask(BertTokenizerFast(vocab), mlm_probability=0.15)
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        for first in range(0, len(rows), 32):
            collate(rows[first : first + 32])
        best = min(best, time.process_time() - start)
    print(json.dumps({"tokens": sum(len(row["input_ids"]) for row in rows), "seconds": best}))


if __name__ == "__main__":
    main(*sys.argv[1:])
