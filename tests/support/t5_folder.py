"""A tokenizer of T5 for small random checkpoints."""

import random

import sentencepiece
from transformers import T5Tokenizer

WORDS = ("a an the on in of and with fox whale cat dog bird house tree red green blue background painting photo of light dark water "
         "mountain river night day small large old new").split()


def t5_tokenizer(folder):
    """Trains a spiece.model with T5's control pieces and normalisation, and returns the tokenizer of that folder."""
    folder.mkdir(parents=True)
    rng = random.Random(1910)
    sentences = [" ".join(rng.choices(WORDS, k=10)) for _ in range(2000)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(folder / "spiece"), model_type="unigram", vocab_size=120, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, normalization_rule_name="nmt_nfkc", character_coverage=1.0, hard_vocab_limit=False, num_threads=1,
        minloglevel=2)
    (folder / "spiece.vocab").unlink()
    return T5Tokenizer.from_pretrained(folder)
