"""What the page says, in each of its languages."""

LANGUAGES = ("en", "zh")
CATALOGUE: dict[str, tuple[str, str]] = {
    "title": ("wwm playground", "wwm 试用页面"),
    "other_language": ("中文", "English"),
    "text": ("Text", "文本"),
    "text_hint": (
        "A sentence for words, masks and labels; with [MASK] for each piece of a word, or [WORD] for a word of unknown"
        " length, it is filled in. A Chinese character is a piece. At most {limit} characters.",
        "输入一句话，查看分词、掩码和标签；文中有 [MASK]（每个词元一个）或 [WORD]（长度未知的词）时，"
        "由模型填词。一个汉字是一个词元。不超过 {limit} 个字符。",
    ),
    "text_b": ("Second text", "第二段文本"),
    "text_b_hint": ("For models of pairs.", "供文本对模型使用。"),
    "question": ("Question", "问题"),
    "question_hint": ("For reading models, which answer it from the text.", "供阅读理解模型使用，答案取自文本。"),
    "draws": ("Draws of masks", "掩码抽取次数"),
    "masked_lm_prob": ("Share of pieces masked (masked_lm_prob)", "掩码比例（masked_lm_prob）"),
    "seed": ("Seed", "随机种子"),
    "models": ("Models", "模型"),
    "mlm": ("Filling in words", "填词"),
    "single": ("Labels of a text", "单文本标签"),
    "pair": ("Labels of a pair", "文本对标签"),
    "reading": ("Answers from the text", "阅读理解"),
    "tagging": ("Entities of a text", "序列标注（实体）"),
    "submit": ("Show", "查看"),
    "words": ("Words", "词"),
    "pieces": ("WordPieces", "词元"),
    "units": ("Units", "掩码单元"),
    "masks": ("Draws of masks", "掩码抽取"),
    "masks_note": (
        "{limit} of {pieces} pieces are chosen at most; of these 80 % are masked, 10 % kept, 10 % replaced at random.",
        "{pieces} 个词元中最多选出 {limit} 个，其中 80 % 换成 [MASK]，10 % 保持不变，10 % 换成随机词元。",
    ),
    "masked": ("masked", "换成 [MASK]"),
    "same": ("kept", "保持不变"),
    "random": ("replaced at random", "换成随机词元"),
    "wordpiece": ("WordPiece masking", "WordPiece 掩码"),
    "whole_word": ("Whole word masking", "全词掩码"),
    "ngram": ("n-gram masking", "n-gram 掩码"),
    "fillings": ("Words for the gaps", "空位的填法"),
    "probability": ("probability", "概率"),
    "word": ("word", "词"),
    "filled": ("text", "文本"),
    "no_filling": ("No word of the vocabulary fits.", "词表中没有合适的词。"),
    "said": ("Labels and answers", "标签与答案"),
    "no_entity": ("No entity in the text.", "文中没有实体。"),
    "no_answer": ("no answer in the text", "文中没有答案"),
    "cut": ("Longer than the model takes; the end was cut off.", "超过模型的最大长度，后面的部分已截去。"),
    "empty": ("Type a text first.", "请先输入文本。"),
    "too_long": (
        "{name}: {length} characters, and at most {limit} are taken. Shorten it.",
        "{name}有 {length} 个字符，最多 {limit} 个，请缩短。",
    ),
    "no_number": (
        "{name}: give a number from {low} to {high}.",
        "{name}：请输入 {low} 到 {high} 之间的数。",
    ),
    "no_model": (
        "{given!r} is none of the models that were named at the start. Choose from the list.",
        "启动时没有指定模型 {given!r}，请从列表中选择。",
    ),
    "no_filler": (
        "The text has a gap: choose a model that fills in words.",
        "文本中有空位，请选择一个填词模型。",
    ),
    "lacks_text_b": ("Type a second text, too.", "请再输入第二段文本。"),
    "lacks_question": ("Type a question, too.", "请再输入问题。"),
}


def of(language: str) -> dict[str, str]:
    """Each text by its key."""
    number = LANGUAGES.index(language)
    return {key: both[number] for key, both in CATALOGUE.items()}
