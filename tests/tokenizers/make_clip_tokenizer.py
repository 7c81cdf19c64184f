"""Writes tokenizer folders, texts, and the ids that transformers' CLIPTokenizer gives them.

usage: make_clip_tokenizer.py OUT

OUT/FOLDER/             a tokenizer folder, for each of the functions below
OUT/FOLDER.ids          int32 [texts, model_max_length]
OUT/FOLDER.truncated    one byte a text: 1 where it had more tokens than fit
OUT/texts.bin           the texts: uint32 bytes, then the bytes, which need not be UTF-8
OUT/code_points.*       the same for one text a code point, with the real vocabulary
"""

import gzip
import importlib.util
import json
import pathlib
import random
import shutil
import struct
import sys
import unicodedata
import warnings

import numpy as np
from transformers import CLIPTokenizer

warnings.filterwarnings("ignore")
REPO = pathlib.Path(__file__).resolve().parents[2]
SEED = 2021
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


# --- vocabularies ---------------------------------------------------------------------------------------------------


def byte_alphabet():
    """GPT-2's spelling of each byte, in CLIP's order: the printable ones first."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]


def real_merges():
    """OpenAI's own list, as the package open_clip_torch ships it; importing that package would need torchvision."""
    folder = importlib.util.find_spec("open_clip").submodule_search_locations[0]
    lines = gzip.open(pathlib.Path(folder) / "bpe_simple_vocab_16e6.txt.gz").read().decode().split("\n")
    return lines[1 : 49152 - 256 - 2 + 1]


def vocabulary_of(merges, alphabet=None):
    alphabet = alphabet or byte_alphabet()
    tokens = alphabet + [c + "</w>" for c in alphabet] + ["".join(m.split()) for m in merges] + [BOS, EOS]
    return {token: i for i, token in enumerate(tokens)}


def random_merges(rng, inner, last, count):
    """Merges that chain, collide and tie, unlike those of a trained vocabulary, from `inner` and `last` bytes."""
    inner, last, merges, seen = list(inner), [c + "</w>" for c in last], [], set()
    while len(merges) < count:
        left, right = rng.choice(inner), rng.choice(inner + last)
        if left + right in seen or len(left + right) > 24:
            continue
        seen.add(left + right)
        merges.append(f"{left} {right}")
        (last if right.endswith("</w>") else inner).append(left + right)
    return merges


# --- folders --------------------------------------------------------------------------------------------------------


def write_folder(folder, vocabulary, merges, **files):
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False, **flags}


def typed(content, **flags):
    return {"__type": "AddedToken", **token(content, **flags)}


def sd15(folder, merges):
    """The files of SD 1.x as they are: the same tokens as objects and as names, normalised and not."""
    write_folder(
        folder,
        vocabulary_of(merges),
        merges,
        tokenizer_config={
            "add_prefix_space": False,
            "bos_token": typed(BOS),
            "do_lower_case": True,
            "eos_token": typed(EOS),
            "errors": "replace",
            "model_max_length": 77,
            "name_or_path": "openai/clip-vit-large-patch14",
            "pad_token": EOS,
            "special_tokens_map_file": "./special_tokens_map.json",
            "tokenizer_class": "CLIPTokenizer",
            "unk_token": typed(EOS),
        },
        special_tokens_map={
            "bos_token": token(BOS),
            "eos_token": token(EOS),
            "pad_token": EOS,
            "unk_token": token(EOS),
        },
    )


def sd21(folder, merges):
    """SD 2.x pads with "!", which makes it a special token that is found inside words."""
    write_folder(
        folder,
        vocabulary_of(merges),
        merges,
        tokenizer_config={"model_max_length": 77, "pad_token": "!", "bos_token": typed(BOS), "eos_token": typed(EOS)},
        special_tokens_map={
            "bos_token": token(BOS, normalized=False),
            "eos_token": EOS,
            "pad_token": "!",
            "unk_token": EOS,
        },
    )


def bare(folder, merges):
    """Only what must be there, and room for long texts."""
    write_folder(folder, vocabulary_of(merges), merges, tokenizer_config={"model_max_length": 160})


def saved(folder, merges):
    """As transformers 5 saves it: a tokenizer.json, with the truncation of its last use."""
    parts = folder.with_name("saved_parts")
    bare(parts, merges)
    tokenizer = CLIPTokenizer.from_pretrained(parts, model_max_length=16)
    tokenizer.add_tokens(["<cat-toy>", "SKS dog"])
    tokenizer("once", padding="max_length", truncation=True)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(parts)


def inversion(folder, merges):
    """Words that textual inversion taught, the old way, and more special tokens."""
    write_folder(
        folder,
        vocabulary_of(merges),
        merges,
        tokenizer_config={"model_max_length": 40, "padding_side": "left", "truncation_side": "left",
                          "unk_token": typed(EOS),
                          "sep_token": typed("<SEP>", normalized=False)},
        special_tokens_map={"bos_token": token(BOS), "pad_token": EOS, "mask_token": "<MASK>",
                            "additional_special_tokens": ["<Extra>", "and"]},
        added_tokens={"<cat-toy>": 49410, "SKS dog": 49409, "Straße": 49408, "<MASK>": 49411, "é": 49412,
                      "<SEP>": 49413, "<Extra>": 49414},
    )


def decoder(folder, merges):
    """Every flag of an added token; what stands in added_tokens_decoder makes the older files void."""
    write_folder(
        folder,
        vocabulary_of(merges),
        merges,
        tokenizer_config={
            "max_len": 50,
            "split_special_tokens": False,
            "additional_special_tokens": [typed("<extra>", lstrip=True, normalized=False), "dog"],
            "added_tokens_decoder": {
                "49406": token(BOS, special=True, normalized=False),
                "49407": token(EOS, special=True),
                "49500": token("<cat-toy>", lstrip=True, rstrip=True, normalized=False, special=False),
                "49409": token("SKS", single_word=True, special=False),
                "49411": token("cat", single_word=True, lstrip=True, normalized=False),
                "49410": {"content": "sks dog", "rstrip": True},
                "6": token("'", single_word=True, special=True, normalized=False),
            },
        },
        special_tokens_map={"pad_token": "!"},
        added_tokens={"dog": 3},
    )


def split_special(folder, merges):
    write_folder(
        folder,
        vocabulary_of(merges),
        merges,
        tokenizer_config={"model_max_length": 60, "split_special_tokens": True, "pad_token": "!"},
        added_tokens={"<cat-toy>": 49408},
    )


def tiny(folder, _merges):
    """Merges at random, and bytes that the vocabulary does not have."""
    rng = random.Random(SEED)
    alphabet = [c for c in byte_alphabet() if c not in "qxÃ£ðŁ5"]
    merges = random_merges(rng, "abcdefghijklmnoprstuvwyz'!.", "abcdefghiklmnoprstuvwy!", 400)
    vocabulary = vocabulary_of(merges, alphabet)
    vocabulary = {t: i for t, i in vocabulary.items() if t not in ("j</w>", "z</w>")}
    write_folder(folder, vocabulary, merges, tokenizer_config={"model_max_length": 120})


def tiny_json(folder, _merges):
    """A tokenizer.json with pairs as lists, ids in no order, an unknown token of its own, and no end token."""
    rng = random.Random(SEED + 1)
    alphabet = byte_alphabet()[:150]
    merges = random_merges(rng, "abcdefghijklmnopqrstuvwyz", "abcdefghijklmnopqrsuvwyz", 300)
    tokens = [t for t in vocabulary_of(merges, alphabet) if t != EOS and t != "t</w>"] + ["[UNK]"]
    ids = list(range(len(tokens)))
    rng.shuffle(ids)
    added = {"single_word": False, "lstrip": False, "rstrip": False}
    folder.mkdir(parents=True)
    content = {
        "version": "1.0",
        "truncation": {"direction": "Left", "max_length": 9, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 1,
                    "pad_type_id": 0, "pad_token": "a"},
        "added_tokens": [
            {"id": 900, "content": "<cat-toy>", "normalized": True, "special": False, **added},
            {"id": 899, "content": BOS, "normalized": False, "special": True, **added},
        ],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": False, "ignore_merges": False,
                  "vocab": dict(zip(tokens, ids)), "merges": [m.split(" ") for m in merges]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 64, "unk_token": "[UNK]"}))


def shipped(folder, _merges):
    shutil.copytree(REPO / "models/emoji/tokenizer", folder)


FOLDERS = [sd15, sd21, bare, saved, inversion, decoder, split_special, tiny, tiny_json, shipped]


# --- texts ----------------------------------------------------------------------------------------------------------


def is_assigned(cp):
    """In the data of this Python, 14.0: older than ICU's on any system that easel runs on."""
    return unicodedata.category(chr(cp)) not in ("Cn", "Cs", "Co")


WORDS = """a photo of an astronaut riding horse on mars highly detailed 4k oil painting by van gogh cat dog sks
the and it's don't we're I've I'M they'll he'd CAN'T 's 'S 't 'D
rock'n'roll O'Neill l'été café naïve Zürich Straße STRASSE İstanbul
IĞDIR ışık ΟΔΥΣΣΕΥΣ Ὀδυσσεύς ΣΑΣ ς Σ ǅungla ǈ ẞ ﬁne ﬀ Å Å K Ω ΑΣ. Ⅷ ⅷ Ⓐ Ꭰ ꭰ Ა ა 𐐀 𐐨 𞤀 Đặng Việt Nam привет МИР Ёлка
你好世界 猫 東京タワー 안녕하세요 한국어 مرحبا بالعالم हिन्दी ภาษาไทย தமிழ் עברית ქართული 123 3.14 1,000 ١٢٣ ४५६ ๗๘ 𝟘𝟙𝟚 ½ ² ①
http://a.b/c?d=e&f user@example.com #tag $9.99 (masterpiece:1.2) [red|blue] <lora:x:0.5> -- ... !!! ?!
"quoted" “so” `x`""".split()
EMOJI = ["😀", "👩‍🚀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "👍🏽", "1️⃣", "❤️", "❤", "☕", "🧑🏿‍🤝‍🧑🏻", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "‍", "️", "🫠"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u1680", "\u2003", "\u2028", "\u3000",
          "\u0085", "\u200b", "\ufeff", "\u180e", "\x1c"]
MARKS = [chr(c) for c in range(0x300, 0x370)] + list("\u0323\u05b0\u064b\u093c\u0e38\u3099\u1dfa\U00011839\U0001e4ec")
DIGITS = [chr(c) for c in range(0x110000) if is_assigned(c) and unicodedata.category(chr(c))[0] == "N"]
SPECIAL = [BOS, EOS, "<|STARTOFTEXT|>", "<|EndOfText|>", "<|startoftext|", "|endoftext|>", "<|pad|>", "!", "<cat-toy>",
           "<CAT-toy>", " <cat-toy>  ", "SKS dog", "sks dog", "sks  dog", "SKS", "dog", "<extra>",
           "  <extra>", "<EXTRA>", "<SEP>", "<sep>", "<MASK>",
           "<mask>", "and", "cat", "straße", "STRASSE", "e\u0301", "é", "'", "[UNK]"]
UTF8_PARTS = b"A\x80\xbf\xc1\xc3\xe0\xed\xa0\xf0\x9f\xf4\x90\xf8\xff"
CONTROLS = [chr(c) for c in [*range(32), *range(127, 160)]]


def word_of_marks(rng):
    def marked(letter):
        return letter + "".join(rng.choices(MARKS, k=rng.randrange(4)))

    return "".join(marked(rng.choice("aeoucnsAEOUßΣक가한")) for _ in range(rng.randint(1, 6)))


def make_texts(rng):
    pool = [c for c in range(0x110000) if is_assigned(c)]
    pool = [c for c in pool if not 0x3400 <= c < 0xD7A4 and c < 0x17000] + rng.sample(pool, 4000)
    pieces = [
        lambda: rng.choice(WORDS),
        lambda: rng.choice(WORDS).upper(),
        lambda: rng.choice(SPECIAL),
        lambda: rng.choice(EMOJI),
        lambda: chr(rng.choice(pool)),
        lambda: "".join(rng.choices(DIGITS, k=rng.randint(1, 5))),
        lambda: rng.choice(CONTROLS),
        lambda: word_of_marks(rng),
        lambda: "'" + rng.choice(["s", "S", "t", "re", "RE", "ve", "m", "ll", "LL", "d", "ſ", "x", "'", ""]),
    ]
    texts = ["", " ", "   ", "\n", "\0", "a", "!", "'", BOS, EOS, BOS + EOS, "\u0301", "\ufffd", "\ufeff"]
    texts += ["'s", " 's's"]
    texts += WORDS + EMOJI + SPACES + SPECIAL + MARKS + CONTROLS
    for _ in range(4000):  # prompts
        texts.append(rng.choice([" ", ", "]).join(rng.choices(WORDS, k=rng.randint(1, 30))))
    for _ in range(5000):  # any combination
        gaps = ["", "", " ", rng.choice(SPACES)]
        texts.append("".join(rng.choice(pieces)() + rng.choice(gaps) for _ in range(rng.randint(1, 14))))
    for _ in range(1000):  # any script
        texts.append("".join(chr(rng.choice(pool)) for _ in range(rng.randint(1, 20))))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        texts += [unicodedata.normalize(form, "".join(rng.choices(WORDS, k=3))) for _ in range(250)]
    for _ in range(150):  # very long words
        alphabet = rng.choice(["ab", "etaoinshrdlu", "0123456789", "!?.-", "猫犬", "aé'S!"])
        texts.append("".join(rng.choices(alphabet, k=rng.randint(100, 3000))))
    as_bytes = [t.encode("utf-8") for t in texts]
    for _ in range(1000):  # not UTF-8: broken in one place, or bytes at random
        broken = bytearray(rng.choice(WORDS + EMOJI).encode("utf-8") * 2)
        broken[rng.randrange(len(broken))] = rng.randrange(256)
        del broken[rng.randrange(len(broken))]
        as_bytes.append(bytes(broken))
        as_bytes.append(bytes(rng.choices(UTF8_PARTS, k=8)))
    return as_bytes


def code_point_texts(rng):
    """Each code point next to a letter, a mark and a digit; of the large uniform blocks, a sample."""
    def wanted(c):
        uniform = 0x3400 <= c < 0xD7A4 or 0x17000 <= c < 0x1B000 or c >= 0x20000
        return is_assigned(c) and (not uniform or rng.random() < 0.005)

    points = [chr(c) for c in range(0x110000) if wanted(c)]
    return [f"a{c}b {c}\u0301\u0323 e{c}\u0323\u0301 1{c}'s".encode() for c in points]


# --- writing --------------------------------------------------------------------------------------------------------


def write_texts(path, texts):
    path.write_bytes(b"".join(struct.pack("<I", len(t)) + t for t in texts))


def write_ids(path, folder, texts):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    length = tokenizer.model_max_length
    decoded = [t.decode("utf-8", "replace") for t in texts]
    # The call of diffusers' encode_prompt.
    batch = tokenizer(decoded, padding="max_length", max_length=length, truncation=True)
    ids = np.array(batch.input_ids, "<i4")
    assert ids.shape == (len(texts), length), ids.shape
    path.with_suffix(".ids").write_bytes(ids.tobytes())
    path.with_suffix(".truncated").write_bytes(bytes(bool(e.overflowing) for e in batch.encodings))


def main():
    out = pathlib.Path(sys.argv[1])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    rng = random.Random(SEED)
    merges = real_merges()
    texts = make_texts(rng)
    write_texts(out / "texts.bin", texts)
    for make in FOLDERS:
        folder = out / make.__name__
        make(folder, merges)
        write_ids(folder.with_name(folder.name + ".x"), folder, texts)
    texts = code_point_texts(rng)
    write_texts(out / "code_points.bin", texts)
    write_ids(out / "code_points.x", out / "sd15", texts)


if __name__ == "__main__":
    main()
