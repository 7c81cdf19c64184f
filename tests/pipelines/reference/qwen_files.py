"""A small tokenizer of Qwen's kind, whose files and chat template are those of the published folders in miniature."""
import json

from transformers import Qwen2Tokenizer, Qwen3Config

TEMPLATE = """{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"""
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]


def byte_alphabet():
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(others))]


def tokenizer(folder):
    merges = ["Ġ a", "f o", "fo x", "Ġ o", "Ġo n", "b l", "u e", "bl ue"]
    tokens = [*byte_alphabet(), *(m.replace(" ", "") for m in merges)]
    decoder = {str(len(tokens) + i): {"content": t, "special": "|" in t, "lstrip": False, "normalized": False, "rstrip": False,
                                      "single_word": False} for i, t in enumerate(ADDED)}
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "added_tokens_decoder": decoder, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None, "bos_token": None,
        "model_max_length": 131072, "tokenizer_class": "Qwen2Tokenizer", "chat_template": TEMPLATE}))
    return Qwen2Tokenizer.from_pretrained(folder)


def qwen_config(tok, **fields):
    """Of a small text encoder."""
    return Qwen3Config(vocab_size=len(tok) + 3, hidden_size=24, intermediate_size=40, num_attention_heads=6, num_key_value_heads=2, head_dim=8,
                       max_position_embeddings=1024, rope_parameters={"rope_theta": 1e4, "rope_type": "default"}, **fields)
