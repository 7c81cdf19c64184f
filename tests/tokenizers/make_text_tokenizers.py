"""Writes tokenizer folders of T5 and Qwen, texts, and the ids that transformers gives them.

usage: make_text_tokenizers.py OUT

OUT/texts.bin        the texts: uint32 bytes, then the bytes, which need not be UTF-8
OUT/FOLDER/          a tokenizer folder, for each of T5_FOLDERS and QWEN_FOLDERS
OUT/FOLDER.ids       int32 ids of all texts in a row, without padding, T5's with their end token
OUT/FOLDER.counts    int32, the number of ids of each text
OUT/FOLDER.cut       int32 [texts, 24], cut and padded to that length
OUT/templates.bin    the texts that two chat templates make of the prompts below, in the format of texts.bin

If the environment variable EASEL_PUBLISHED_VOCABULARIES names a folder that published_vocabularies.py has written, the
folders t5_published, t5_published_json and qwen_published with the vocabularies of T5 and Qwen3 are written, too.
"""

import base64
import json
import os
import pathlib
import random
import shutil
import sys

import numpy as np
import sentencepiece
from transformers import Qwen2Tokenizer, T5Tokenizer
from transformers.convert_slow_tokenizer import import_protobuf

from make_clip_tokenizer import WORDS, byte_alphabet, make_texts, random_merges, write_texts

SEED = 1808
CUT = 24
TEXTS = 15000
SPECIAL = ["</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_99>", "<extra_id_100>", "<EXTRA_ID_1>", " <extra_id_7> ",
           "＜/s＞", "＜unk＞", "＜pad＞", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>",
           "<|im_start|>user\n", "<tool_call>"]
SENTENCE_ENDS = [".", "!", "?", "...", ",", ";", ":", "--", "----", "-" * 40, "a" * 70, "''", "()", "\u0085", "\u2581"]
PROMPTS = ["", "a cat", "a cat\n", "  two  spaces ", "</think>", "<|im_end|>", "猫"]


# --- texts ----------------------------------------------------------------------------------------------------------


def more_texts(rng):
    texts = [*SPECIAL, *SENTENCE_ENDS, "\r\n", " \r\n x", "a\r\n\r\nb", "  \n  x", "\t\tx", "x  ", "'S'ſ'LL'rex 'Ve'D"]
    while len(texts) < 2500:
        words = rng.choices(WORDS, k=rng.randint(1, 9))
        texts.append("".join(w + rng.choice([" ", " ", *SENTENCE_ENDS, *SPECIAL, "\n", "\r\n", "  "]) for w in words))
    return [t.encode() for t in texts]


# --- T5 -------------------------------------------------------------------------------------------------------------


def train_sentencepiece(folder, rng):
    """A spiece.model of 420 pieces with T5's control pieces and normalisation."""
    folder.mkdir(parents=True)
    plain = [w for w in WORDS if w.isascii()]
    sentences = [" ".join(rng.choices(plain if rng.random() < 0.8 else WORDS, k=12)) for _ in range(4000)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(folder / "spiece"), model_type="unigram", vocab_size=420,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="nmt_nfkc", character_coverage=1.0,
        hard_vocab_limit=False, num_threads=1, minloglevel=2)
    (folder / "spiece.vocab").unlink()


def model_proto(folder):
    proto = import_protobuf().ModelProto()
    proto.ParseFromString((folder / "spiece.model").read_bytes())
    return proto


def tokenizer_json(pieces, charsmap):
    """What of a tokenizer.json transformers reads for T5; the other settings are wrong on purpose."""
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}]},
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "Unigram", "unk_id": 2, "vocab": pieces, "byte_fallback": False},
    }


def flagged(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": True, **flags}


def t5_folders(out, rng):
    trained = out / "t5_model"
    train_sentencepiece(trained, rng)
    proto = model_proto(trained)
    size = len(proto.pieces)
    sentinels = [f"<extra_id_{i}>" for i in range(99, -1, -1)]
    pieces = [[p.piece, p.score] for p in proto.pieces] + [[s, 0.0] for s in sentinels]

    from_json = out / "t5_json"
    from_json.mkdir()
    file = tokenizer_json(pieces, proto.normalizer_spec.precompiled_charsmap)
    (from_json / "tokenizer.json").write_text(json.dumps(file))

    # As published folders have it; the flags of SD3's third tokenizer.
    listed = out / "t5_listed"
    shutil.copytree(trained, listed)
    decoder = {str(i): flagged(t) for i, t in enumerate(["<pad>", "</s>", "<unk>"])}
    decoder |= {str(size + i): flagged(s, lstrip=True, rstrip=True) for i, s in enumerate(sentinels)}
    (listed / "tokenizer_config.json").write_text(json.dumps({
        "add_prefix_space": True, "added_tokens_decoder": decoder, "additional_special_tokens": sentinels[::-1],
        "eos_token": "</s>", "extra_ids": 100, "legacy": True, "model_max_length": 512, "pad_token": "<pad>",
        "sp_model_kwargs": {}, "tokenizer_class": "T5Tokenizer", "unk_token": "<unk>"}))
    return [trained, from_json, listed]


def published_t5(out, published):
    """The same vocabulary as tokenizer.json and as the spiece.model from which it was made."""
    file = json.loads((published / "t5_tokenizer.json").read_text())
    from_json = out / "t5_published_json"
    from_json.mkdir()
    (from_json / "tokenizer.json").write_text(json.dumps(file))
    proto = import_protobuf().ModelProto()
    for i, (text, score) in enumerate(file["model"]["vocab"][:32000]):
        proto.pieces.add(piece=text, score=score, type=2 if i == 2 else 3 if i < 2 else 1)
    proto.trainer_spec.model_type = 1
    proto.trainer_spec.unk_id = 2
    normalizer = file["normalizer"]["normalizers"][0]
    proto.normalizer_spec.precompiled_charsmap = base64.b64decode(normalizer["precompiled_charsmap"])
    folder = out / "t5_published"
    folder.mkdir()
    (folder / "spiece.model").write_bytes(proto.SerializeToString())
    return [folder, from_json]


# --- Qwen -----------------------------------------------------------------------------------------------------------

QWEN_ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<think>x"]


def write_qwen(folder, vocabulary, merges, **files):
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def qwen_config(first):
    decoder = {str(first + i): flagged(t, special="|" in t) for i, t in enumerate(QWEN_ADDED)}
    return {"added_tokens_decoder": decoder, "add_prefix_space": False, "add_bos_token": False, "bos_token": None,
            "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None, "model_max_length": 131072,
            "additional_special_tokens": QWEN_ADDED[1:3], "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer"}


def qwen_vocabulary(merges):
    tokens = byte_alphabet() + ["".join(m.split(" ")) for m in merges]
    return {t: i for i, t in enumerate(dict.fromkeys(tokens))}


def qwen_folders(out, rng):
    letters = "abcdefghijklmnopqrstuvwxyzĠĠĠĊ'ÃÂâĢ.-"
    merges = [m for m in random_merges(rng, letters, "", 700)]
    vocabulary = qwen_vocabulary(merges)
    size = len(vocabulary)
    config = qwen_config(size)
    write_qwen(out / "qwen_files", vocabulary, merges, tokenizer_config=config)

    older = {k: v for k, v in config.items() if k != "added_tokens_decoder"}
    write_qwen(out / "qwen_older", vocabulary, merges, tokenizer_config=older,
               added_tokens={t: size + i for i, t in enumerate(QWEN_ADDED)})

    saved = out / "qwen_saved"
    Qwen2Tokenizer.from_pretrained(out / "qwen_files").save_pretrained(saved)
    return [out / "qwen_files", out / "qwen_older", saved]


def published_qwen(out, published):
    merges = (published / "qwen_merges.txt").read_text().splitlines()
    vocabulary = qwen_vocabulary(merges)
    folder = out / "qwen_published"
    write_qwen(folder, vocabulary, merges, tokenizer_config=qwen_config(len(vocabulary)))
    return [folder]


# --- writing --------------------------------------------------------------------------------------------------------


def write_ids(folder, tokenizer, texts):
    decoded = [t.decode("utf-8", "replace") for t in texts]
    rows = tokenizer(decoded).input_ids
    folder.with_suffix(".ids").write_bytes(np.array([i for row in rows for i in row], "<i4").tobytes())
    folder.with_suffix(".counts").write_bytes(np.array([len(row) for row in rows], "<i4").tobytes())
    cut = tokenizer(decoded, padding="max_length", max_length=CUT, truncation=True).input_ids
    folder.with_suffix(".cut").write_bytes(np.array(cut, "<i4").tobytes())


QWEN_TEMPLATE = """{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"""


def write_templates(path, tokenizer):
    texts = []
    for prompt in PROMPTS:
        for thinking in (True, False):
            texts.append(tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], chat_template=QWEN_TEMPLATE, tokenize=False,
                add_generation_prompt=True, enable_thinking=thinking).encode())
    write_texts(path, [t for pair in zip((p.encode() for p in PROMPTS), texts[::2], texts[1::2]) for t in pair])


def main():
    out = pathlib.Path(sys.argv[1])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    rng = random.Random(SEED)
    texts = more_texts(rng) + make_texts(rng)
    texts = texts[:2500] + rng.sample(texts[2500:], TEXTS - 2500)
    write_texts(out / "texts.bin", texts)
    t5, qwen = t5_folders(out, rng), qwen_folders(out, rng)
    if os.environ.get("EASEL_PUBLISHED_VOCABULARIES"):
        published = pathlib.Path(os.environ["EASEL_PUBLISHED_VOCABULARIES"])
        t5, qwen = t5 + published_t5(out, published), qwen + published_qwen(out, published)
    for folder in t5:
        write_ids(folder, T5Tokenizer.from_pretrained(folder), texts)
    for folder in qwen:
        write_ids(folder, Qwen2Tokenizer.from_pretrained(folder), texts)
    write_templates(out / "templates.bin", Qwen2Tokenizer.from_pretrained(out / "qwen_files"))


if __name__ == "__main__":
    main()
