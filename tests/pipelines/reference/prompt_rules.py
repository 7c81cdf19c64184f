"""Prompts as AUTOMATIC1111's web UI reads them, written down a second time, in plain Python: what easel's reading is compared with.

The rules are those in src/tokenizers/prompt_weights.h and token_chunks.h, and easel's additions to them: a weight that is not a
number is text, and the vectors of a word stay together when a chunk is split after a comma.
"""
import re

import numpy as np

ROUND, SQUARE = 1.1, 1 / 1.1
ITEM = re.compile(r"\\[\\()\[\]]|\\|[()\[\]]|:\s*[+-]?[.\d]+\s*\)|[^\\()\[\]:]+|:")
NUMBER = re.compile(r":\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)")
ROOM = 75
NEAR = 20


def parse(prompt):
    """[[text, weight], ...]; a break is ["BREAK", -1]."""
    texts, spans, open_at = [], [], {"(": [], "[": []}  # a break's text is None; a span is (first piece, end, factor)
    for item in ITEM.findall(prompt):
        number = NUMBER.fullmatch(item)
        if item[0] == "\\":
            texts.append(item[1:])
        elif item in ("(", "["):
            open_at[item].append(len(texts))
        elif number and open_at["("]:
            spans.append((open_at["("].pop(), len(texts), float(number[1])))
        elif item == "]" and open_at["["]:
            spans.append((open_at["["].pop(), len(texts), SQUARE))
        elif item[-1] == ")" and open_at["("]:  # by itself, or after text that is not a number
            texts += [item[:-1]] if item[:-1] else []
            spans.append((open_at["("].pop(), len(texts), ROUND))
        else:
            for i, text in enumerate(re.split(r"\s*\bBREAK\b\s*", item)):
                texts += [None, text] if i else [text]
    spans += [(begin, len(texts), ROUND) for begin in open_at["("]] + [(begin, len(texts), SQUARE) for begin in open_at["["]]
    pieces = []
    for i, text in enumerate(texts):
        weight = 1.0 if text is not None else -1
        for begin, end, factor in spans:
            weight = weight * factor if begin <= i < end else weight
        text = "BREAK" if text is None else text
        if pieces and pieces[-1][1] == weight:
            pieces[-1][0] += text
        else:
            pieces.append([text, weight])
    return pieces or [["", 1.0]]


def split(prompt, token_ids, comma, lengths=None):
    """Chunks of (id, weight, row): `row` counts the vectors of a word, whose ids are the keys of `lengths`; else it is None."""
    chunks, now = [], []
    for text, weight in parse(prompt):
        if [text, weight] == ["BREAK", -1]:
            chunks.append(now)
            now = []
            continue
        for token in token_ids(text):
            unit = [(token, weight, row) for row in range(lengths[token])] if lengths and token in lengths else [(token, weight, None)]
            if len(now) == ROOM and token != comma:
                near = [i for i in range(ROOM - NEAR, ROOM) if now[i][0] == comma]
                if near:
                    chunks.append(now[:near[-1] + 1])
                    now = now[near[-1] + 1:]
            if len(now) + len(unit) > ROOM:
                chunks.append(now)
                now = []
            now = now + unit
    return chunks + [now] if now or not chunks else chunks


def framed(chunk, bos, eos, pad):
    """Ids and weights of a chunk at the encoder's full length."""
    padding = ROOM - len(chunk)
    ids = [bos] + [0 if row is not None else token for token, _, row in chunk] + [eos] + [pad] * padding
    return ids, [1.0] + [weight for _, weight, _ in chunk] + [1.0] * (padding + 1)


def weigh(states, weights):
    """Multiplies tokens by their weights and gives the chunk its mean back. [1, 77, D]"""
    scaled = states * np.asarray(weights, np.float32)[None, :, None]
    return scaled * (states.mean(dtype=np.float32) / scaled.mean(dtype=np.float32))
