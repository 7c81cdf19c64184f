"""Weighted and long prompts, and textual inversion: see checkpoints.py and prompt_rules.py. Usage: make_prompts.py OUT

OUT/parsed.json     [prompt, [[text, weight], ...]] of random prompts
OUT/chunks.json     [prompt, [[ids, weights], ...]] of random prompts, with the shipped tokenizer
OUT/words, OUT/xl_words   folders of textual inversions
OUT/<case>.embeds.safetensors   prompt_embeds [k, T, D], text_embeds [k, P]: the negative prompt's row first
"""
import copy
import json
import pathlib
import random
import sys

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from transformers.utils.logging import set_verbosity_error

sys.dont_write_bytecode = True
import prompt_rules  # noqa: E402
from checkpoints import SD_BETAS, Writer, calibrate, channels_last, draw, text_encoder, tokenizer, unet, vae  # noqa: E402
from sdxl_checkpoints import sdxl_parts  # noqa: E402

set_verbosity_error()  # of prompts that are longer than the encoder
EULER = EulerDiscreteScheduler(**SD_BETAS, steps_offset=1)
LONG = ", ".join(["a fox and a whale on a green background"] * 14)
WIDTH, WIDTH_2 = 48, 64
# A chunk's mean is divided by; of an untrained encoder it is nothing.
STATE_BIAS = 0.4


# --- checkpoints and words ------------------------------------------------------------------------------------------


def move_means(encoder):
    encoder.text_model.final_layer_norm.bias.add_(STATE_BIAS)
    encoder.text_model.embeddings.position_embedding.weight.add_(STATE_BIAS)


def save(pipe, folder):
    pipe.set_progress_bar_config(disable=True)
    calibrate(pipe)
    pipe.save_pretrained(folder)


def make_sd(out, name, pad_token="<|endoftext|>", **text):
    tok = tokenizer(pad_token=pad_token)
    encoder = text_encoder(tok, **text)
    move_means(encoder)
    width = encoder.config.hidden_size
    save(StableDiffusionPipeline(vae(), encoder, tok, unet(attention_head_dim=4, cross_attention_dim=width), EULER, None, None,
                                 requires_safety_checker=False), out / name)


def make_xl(out, name, eos_token_id=None):
    parts = sdxl_parts(EULER)
    for encoder in (parts["text_encoder"], parts["text_encoder_2"]):
        move_means(encoder)
    if eos_token_id is not None:
        parts["text_encoder_2"].config.eos_token_id = eos_token_id
    save(StableDiffusionXLPipeline(**parts, add_watermarker=False), out / name)


def vectors(*shape):
    return torch.randn(shape) * 2


def make_words(out):
    """One file in each format that people share."""
    words, xl = out / "words", out / "xl_words"
    words.mkdir()
    xl.mkdir()
    save_file({"emb_params": vectors(3, WIDTH)}, words / "mystyle.safetensors")
    torch.save({"<cat-toy>": vectors(WIDTH)}, words / "<cat-toy>.bin")
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.nn.Parameter(vectors(2, WIDTH))}, "name": "another name",
                "step": 7, "sd_checkpoint": None, "sd_checkpoint_name": None}, words / "bad-hands.pt")
    save_file({"own token": vectors(1, WIDTH)}, words / "Painter.safetensors")
    save_file({"clip_l": vectors(2, WIDTH), "clip_g": vectors(2, WIDTH_2)}, xl / "twofold.safetensors")
    torch.save({"clip_l": vectors(1, WIDTH), "clip_g": vectors(1, WIDTH_2)}, xl / "single-word.pt")
    save_file({"clip_l": vectors(1, WIDTH), "clip_g": vectors(70, WIDTH_2)}, xl / "uneven.safetensors")


def load_words(folder):
    """{word: {part: [n, D]}} in the order of the words; the part of a file with one tensor is ""."""
    found = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.stem.encode()):
        stored = load_file(path) if path.suffix == ".safetensors" else torch.load(path)
        stored = stored.get("string_to_param", stored)
        parts = {key if len(stored) > 1 else "": value.detach().reshape(-1, value.shape[-1]) for key, value in stored.items()}
        found[path.stem] = parts
    return found


# --- the syntax -----------------------------------------------------------------------------------------------------


def random_prompts(rng, count):
    parts = ["(", ")", "[", "]", "\\", ":", ":1.2)", ": -0.5 )", ":.)", ":1.2.3)", "BREAK", " ", " ", ",", "a", "fox", "é", "0", "_", "\n", "²", "❤\ufe0f", "e\u0301"]
    return ["".join(rng.choices(parts, k=rng.randrange(40))) for _ in range(count)]


def long_prompts(rng, count):
    parts = ["a fox", "a whale on a green background", "(red", ")", "[", "]", ":1.3)", " BREAK ", "in front of a house", "cat dog"]
    return [" ".join(rng.choice(parts) + ("," if rng.random() < rng.choice((0.05, 0.4)) else "") for _ in range(rng.randrange(20, 90)))
            for _ in range(count)]


def write_tables(out):
    rng = random.Random(5)
    prompts = random_prompts(rng, 3000)
    (out / "parsed.json").write_text(json.dumps([[prompt, prompt_rules.parse(prompt)] for prompt in prompts]))
    tok = tokenizer(pad_token="!")
    comma, table = tok.convert_tokens_to_ids(",</w>"), []
    for prompt in random_prompts(rng, 200) + long_prompts(rng, 300):
        chunks = prompt_rules.split(prompt, token_ids(tok), comma)
        table.append([prompt, [prompt_rules.framed(c, tok.bos_token_id, tok.eos_token_id, tok.pad_token_id) for c in chunks]])
    assert max(len(chunks) for _, chunks in table) > 4
    (out / "chunks.json").write_text(json.dumps(table))


def token_ids(tok):
    return lambda text: tok(text, truncation=False, add_special_tokens=False)["input_ids"]


class Encoder:
    """One tokenizer and text encoder, and the words it was taught."""

    def __init__(self, tok, model, words, part, penultimate):
        self.tok, self.model, self.penultimate = tok, model, penultimate
        taught = copy.deepcopy(tok)
        first = len(taught)
        taught.add_tokens(list(words))
        self.token_ids = token_ids(taught)
        self.vectors = {first + i: parts.get(part, parts.get("")) for i, parts in enumerate(words.values())}

    def __call__(self, prompt, clip_skip, chunks=1):
        """Embeddings of at least so many chunks, and the first one's pooled state."""
        comma = self.tok.convert_tokens_to_ids(",</w>")
        rows = prompt_rules.split(prompt, self.token_ids, comma, {key: len(value) for key, value in self.vectors.items()})
        rows += [[]] * (chunks - len(rows))
        encoded = [self.encode(row, clip_skip) for row in rows]
        return torch.cat([states for states, _ in encoded], 1), encoded[0][1]

    def encode(self, chunk, clip_skip):
        ids, weights = prompt_rules.framed(chunk, self.tok.bos_token_id, self.tok.eos_token_id, self.tok.pad_token_id)

        def teach(module, args, embeds):
            for i, (token, _, row) in enumerate(chunk):
                if row is not None:
                    embeds[0, 1 + i] = self.vectors[token][row]

        hook = self.model.get_input_embeddings().register_forward_hook(teach)
        out = self.model(torch.tensor([ids]), output_hidden_states=True)
        hook.remove()
        if self.penultimate:
            states = out.hidden_states[-2 - clip_skip]
        else:
            states = self.model.final_layer_norm(out.hidden_states[-1 - clip_skip])
        assert states.mean().abs() > 0.02, "the mean is too small to be divided by"
        return torch.from_numpy(prompt_rules.weigh(states.numpy(), weights)), getattr(out, "text_embeds", None)


def encoders_of(pipe, words):
    if hasattr(pipe, "text_encoder_2"):
        return [Encoder(pipe.tokenizer, pipe.text_encoder, words, "clip_l", True),
                Encoder(pipe.tokenizer_2, pipe.text_encoder_2, words, "clip_g", True)]
    return [Encoder(pipe.tokenizer, pipe.text_encoder, words, "", False)]


def encode_pair(pipe, words, case):
    """The arguments that stand for both prompts in a pipeline of diffusers."""
    encoders = encoders_of(pipe, words)
    prompts = [(case["prompt"], case.get("clip_skip", 0)), (case.get("negative_prompt", ""), 0)]
    chunks = max(encoder(*prompt)[0].shape[1] for encoder in encoders for prompt in prompts) // 77
    rows = [[encoder(*prompt, chunks) for encoder in encoders] for prompt in prompts]
    embeds = [torch.cat([states for states, _ in row], -1) for row in rows]
    arguments = {"prompt_embeds": embeds[0], "negative_prompt_embeds": embeds[1]}
    if len(encoders) == 2:
        arguments |= {"pooled_prompt_embeds": rows[0][1][1], "negative_pooled_prompt_embeds": rows[1][1][1]}
        if "negative_prompt" not in case:
            arguments |= {key: torch.zeros_like(value) for key, value in arguments.items() if key.startswith("negative")}
    return arguments


# --- images -------------------------------------------------------------------------------------------------------


class Drawer:
    def __init__(self, out):
        self.out, self.words = out, {"": {}}
        self.words |= {folder: load_words(out / folder) for folder in ("words", "xl_words")}

    def __call__(self, pipe, case):
        if case["prompt_syntax"] == "plain":  # diffusers itself reads the prompt
            arguments = self.encode_plain(pipe, case)
        else:
            arguments = encode_pair(pipe, self.words[case.get("embeddings", "")], case)
        rows = {"prompt_embeds": torch.cat([arguments["negative_prompt_embeds"], arguments["prompt_embeds"]])}
        if "pooled_prompt_embeds" in arguments:
            rows["text_embeds"] = torch.cat([arguments["negative_pooled_prompt_embeds"], arguments["pooled_prompt_embeds"]])
        if "name" in case:
            save_file(rows, self.out / f"{case['name']}.embeds.safetensors")
        own = ("prompt", "negative_prompt", "prompt_syntax", "embeddings", "clip_skip")
        return draw(pipe, {**{key: value for key, value in case.items() if key not in own}, **arguments})

    @staticmethod
    def encode_plain(pipe, case):
        encoded = pipe.encode_prompt(case["prompt"], device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True,
                                     negative_prompt=case.get("negative_prompt"))
        names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
        return dict(zip(names, encoded))


def teach(pipe, words):
    """diffusers' own loading, in the order of the words."""
    for word, parts in words.items():
        if hasattr(pipe, "text_encoder_2"):
            pipe.load_textual_inversion(parts["clip_l"], token=word, text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer)
            pipe.load_textual_inversion(parts["clip_g"], token=word, text_encoder=pipe.text_encoder_2, tokenizer=pipe.tokenizer_2)
        else:
            pipe.load_textual_inversion(parts[""], token=word)
    return pipe


def make_cases():
    base = dict(seed=7, steps=3, guidance_scale=4.0, width=128, height=128)
    weighted = dict(base, prompt_syntax="a1111", folder="clip_l",
                    prompt="a (fox:1.4), [[a whale]] on ((a green:0.8) background) \\(blue\\)")
    long = dict(weighted, prompt=f"(red:1.3) {LONG} BREAK a cat", negative_prompt="a [dog], ((house:-0.3))")
    taught = dict(base, prompt_syntax="plain", folder="clip_l", embeddings="words", prompt="a fox in mystyle, <CAT-TOY>s and painter",
                  negative_prompt="bad-hands, a whale")
    xl_taught = dict(taught, folder="xl", embeddings="xl_words", prompt="a twofold fox", negative_prompt="single-word")
    return {
        "weighted": weighted,
        "weighted_skip": dict(weighted, clip_skip=1, negative_prompt="(a dog:2)"),
        "weighted_long": long,
        "weighted_long_negative": dict(long, prompt="a fox", negative_prompt=LONG),
        "open_clip": dict(weighted, folder="open_clip", negative_prompt="! (a cat!:1.5) !"),
        "open_clip_long": dict(long, folder="open_clip"),
        "xl_weighted": dict(weighted, folder="xl"),
        "xl_long": dict(long, folder="xl"),
        "xl_long_negative": dict(long, folder="xl", prompt="a (fox:0.7)", negative_prompt=LONG),
        "xl_long_no_negative": {key: value for key, value in dict(long, folder="xl").items() if key != "negative_prompt"},
        "taught": taught,
        "taught_cut": dict(taught, prompt="a fox, " * 24 + "mystyle a mystyle"),
        "taught_weighted": dict(taught, prompt_syntax="a1111", prompt="a fox (mystyle:1.3), " + "a whale, " * 24 + "Painter"),
        "xl_taught": xl_taught,
        "xl_taught_legacy_end": dict(xl_taught, folder="xl_legacy_end", prompt="a twofold fox, single-word cat"),
        "xl_taught_weighted": dict(xl_taught, folder="xl_legacy_end", prompt_syntax="a1111", prompt="an (uneven:1.2) twofold fox, single-word"),
    }


def load(folder, words):
    cls = StableDiffusionXLPipeline if folder.name.startswith("xl") else StableDiffusionPipeline
    extra = dict(add_watermarker=False) if cls is StableDiffusionXLPipeline else dict(safety_checker=None)
    pipe = teach(cls.from_pretrained(folder, dtype=torch.float32, **extra), words)
    pipe.set_progress_bar_config(disable=True)
    return pipe, channels_last(pipe)


def main():
    out = pathlib.Path(sys.argv[1])
    writer = Writer(out)
    torch.manual_seed(21)
    make_words(out)
    make_sd(out, "clip_l")
    make_sd(out, "open_clip", pad_token="!", hidden_act="gelu", hidden_size=64, intermediate_size=128, num_hidden_layers=4,
            eos_token_id=2, pad_token_id=1)
    make_xl(out, "xl")
    make_xl(out, "xl_legacy_end", eos_token_id=2)
    write_tables(out)
    writer.draw = drawer = Drawer(out)
    cases, pipes = make_cases(), {}
    for name, case in cases.items():
        plain_words = case.get("embeddings", "") if case["prompt_syntax"] == "plain" else ""
        key = (case["folder"], plain_words)
        if key not in pipes:
            pipes[key] = load(out / case["folder"], drawer.words[plain_words])
        writer.add(name, *pipes[key], dict(case, name=name))
    weighted = cases["weighted"]
    writer.check_changes("weighted", pipes["clip_l", ""][0], weighted, prompt=weighted["prompt"].replace("1.4", "0.6"))
    writer.check_changes("taught", pipes["clip_l", "words"][0], cases["taught"], prompt="a fox in style, <CAT-TOY>s and painter")
    writer.finish()


main()
