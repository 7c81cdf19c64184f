"""openai 1.x, 2.x and 3.x: images, seeds, errors by class, models.

usage: modern.py BASE_URL FOLDER
"""
import asyncio
import pathlib
import sys

import checks
import openai

base_url, folder = sys.argv[1:]
client = openai.OpenAI(api_key="any key", base_url=base_url, max_retries=0)


def draw(prompt, size="128x128", n=1, **extra):
    return client.images.generate(prompt=prompt, size=size, n=n, response_format="b64_json", extra_body=extra)


response = draw("a fox on a yellow background", size="512x512", seed=0)
checks.save(folder, "fox--512x512--yellow", response.data[0].b64_json)
checks.expect_equal("the seed that was used comes back", response.data[0].seed, 0)
checks.report("created is a time", response.created > 1_600_000_000)

first = draw("a red apple on a pink background", seed=7).data[0]
again = draw("a red apple on a pink background", seed=7).data[0]
other = draw("a red apple on a pink background", seed=8).data[0]
checks.save(folder, "apple--128x128--pink", first.b64_json)
checks.report("the same seed gives the same bytes", first.b64_json == again.b64_json, "they differ")
checks.report("another seed gives another image", first.b64_json != other.b64_json, "they are the same")

pair = draw("a red apple on a pink background", n=2, seed=7).data
checks.expect_equal("n images", len(pair), 2)
checks.report("image i of seed s is the image of seed s + i", [d.b64_json for d in pair] == [first.b64_json, other.b64_json],
              "they differ")
checks.expect_equal("each says its seed", [d.seed for d in pair], [7, 8])

chance = draw("a red apple")
checks.report("a seed is drawn where none is given", 0 <= chance.data[0].seed < 2**32, str(chance.data[0].seed))
checks.expect_equal("a name of OpenAI's means the default model",
                    client.images.generate(prompt="a red apple on a pink background", size="128x128", model="dall-e-3", n=1,
                                           quality="standard", style="vivid", user="someone", response_format="b64_json",
                                           extra_body={"seed": 7}).data[0].b64_json, first.b64_json)

# Edits: with files as users open them, with bytes, and the mask made as OpenAI's are.
fox = pathlib.Path(folder) / "fox--512x512--yellow.png"
small = pathlib.Path(folder) / "apple--128x128--pink.png"


def edit(image, **fields):
    fields = {"prompt": "a fox on a blue background", "response_format": "b64_json", **fields}
    return client.images.edit(image=image, **fields)


with fox.open("rb") as file:
    edited = edit(file, extra_body={"seed": 3, "strength": 0.9})
# Without a size, an image of more than twice the model's area is scaled down to it.
checks.save(folder, "edited--128x128--blue", edited.data[0].b64_json)
checks.report("a fox edited by a file and by bytes is the same fox",
              edited.data[0].b64_json == edit([fox.read_bytes()], extra_body={"seed": "3", "strength": "0.9"}).data[0].b64_json, "they differ")
checks.expect_equal("an edit says its seed", edited.data[0].seed, 3)
mask = checks.mask_png(128, 128, 64)
half = edit(small, mask=("mask.png", mask), n=2, extra_body={"seed": 5}).data
checks.expect_equal("n edits", len(half), 2)
checks.save(folder, "masked--128x128", half[0].b64_json)
checks.report("a masked edit is another image", half[0].b64_json != half[1].b64_json != first.b64_json, "they are the same")
larger = edit(small, size="256x256", extra_body={"seed": 1, "num_inference_steps": 4})
checks.save(folder, "larger--256x256", larger.data[0].b64_json)
checks.expect_equal("lists travel in a form", len(edit(small, extra_body={"original_size": [128, 128]}).data), 1)
checks.expect_error("a list's entry is named", lambda: edit(small, extra_body={"original_size": [128, -1]}), openai.BadRequestError,
                    param="original_size[1]", status_code=400)

checks.expect_error("an edit of a file that is not an image", lambda: edit(b"GIF89a"), openai.BadRequestError, param="image",
                    code="invalid_image_file", status_code=400)
checks.expect_error("a mask of another size", lambda: edit(small, mask=checks.mask_png(64, 64, 32)), openai.BadRequestError,
                    param="mask", code="invalid_mask_image_format", status_code=400)
two = edit([small, fox], size="128x128", extra_body={"seed": 5})
checks.expect_equal("a model that begins from one image uses the first of two", two.images_used, 1)
checks.report("two images, the first used, give the image of the first by itself",
              two.data[0].b64_json == edit([small], size="128x128", extra_body={"seed": 5}).data[0].b64_json, "they differ")
checks.expect_error("17 images", lambda: edit([small] * 17), openai.BadRequestError, param="image", status_code=400)
checks.expect_error("strength beyond 1", lambda: edit(small, extra_body={"strength": 1.5}), openai.BadRequestError, param="strength",
                    status_code=400)
if hasattr(client.images, "create_variation"):
    varied = client.images.create_variation(image=small, response_format="b64_json", size="128x128")
    checks.expect_equal("a variation", len(varied.data), 1)

# Streams. The same image as without; a stream that breaks off in the middle does not disturb the next request.
streamed = list(client.images.generate(prompt="a red apple on a pink background", size="128x128", stream=True, partial_images=2,
                                       extra_body={"seed": 7}))
checks.expect_equal("a stream's events", [event.type for event in streamed],
                    ["image_generation.partial_image"] * 2 + ["image_generation.completed"])
checks.expect_equal("partial images are numbered", [event.partial_image_index for event in streamed[:-1]], [0, 1])
checks.report("a streamed image is the same image", streamed[-1].b64_json == first.b64_json, "they differ")
checks.expect_equal("a stream says its size", streamed[-1].size, "128x128")
edit_stream = list(edit(small, stream=True, extra_body={"seed": 5}))
checks.expect_equal("the events of a streamed edit", [event.type for event in edit_stream], ["image_edit.completed"])
for _event in client.images.generate(prompt="a fox", size="128x128", stream=True, partial_images=3):
    break
checks.expect_error("a stream of two images", lambda: client.images.generate(prompt="a fox", n=2, stream=True), openai.BadRequestError,
                    param="n", status_code=400)
checks.expect_error("a streamed request that is not valid", lambda: client.images.generate(prompt="a fox", size="512", stream=True),
                    openai.BadRequestError, param="size", status_code=400)

odd = draw("a fox on a blue background", size="200x100", seed=1)
checks.save(folder, "fox--200x100--blue", odd.data[0].b64_json)

checks.expect_error("bad size", lambda: draw("a fox", size="512"), openai.BadRequestError, param="size", status_code=400)
checks.expect_error("no prompt", lambda: client.images.generate(prompt="", response_format="b64_json"), openai.BadRequestError,
                    param="prompt", status_code=400)
checks.expect_error("n too small", lambda: draw("a fox", n=0), openai.BadRequestError, param="n", status_code=400)
checks.expect_error("unknown scheduler", lambda: draw("a fox", scheduler="no-such"), openai.BadRequestError, param="scheduler",
                    status_code=400)
checks.expect_error("unknown model", lambda: client.images.generate(prompt="a fox", model="no-such-model", response_format="b64_json"),
                    openai.BadRequestError, code="model_not_found", param="model", status_code=400)

# Links, and the formats of files.
linked = client.images.generate(prompt="a red apple on a pink background", size="128x128", n=2, response_format="url", extra_body={"seed": 7})
checks.report("links have no base64", all(image.b64_json is None for image in linked.data), "they have it")
checks.report("a link leads to the image of the same seed", [checks.fetch_base64(image.url) for image in linked.data] ==
              [first.b64_json, other.b64_json], "it leads to another")
plain = client.images.generate(prompt="a red apple on a pink background", size="128x128", extra_body={"seed": 7}).data[0]
checks.report("a request that names no model gets both", plain.b64_json == first.b64_json == checks.fetch_base64(plain.url), "it does not")
for output_format, magic in (("png", b"\x89PNG"), ("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")):
    made = draw("a fox", seed=1, output_format=output_format, output_compression=80)
    checks.report(f"output_format {output_format}", checks.decode(made.data[0].b64_json).startswith(magic), str(made)[:200])
    checks.expect_equal(f"the response says {output_format}", made.output_format, output_format)
sizes = [len(draw("a fox", seed=1, output_format="jpeg", output_compression=quality).data[0].b64_json) for quality in (10, 60, 100)]
checks.report("a lower compression makes smaller files", sizes == sorted(sizes) and len(set(sizes)) == 3, str(sizes))
said = draw("a fox", seed=1, foo=1, cfg_scale=3)
checks.expect_equal("what is not used is listed", said.ignored, ["foo"])
usage = said.usage
checks.report("usage adds up", usage.total_tokens == usage.input_tokens + usage.output_tokens and usage.input_tokens_details.text_tokens > 0, str(usage))
checks.expect_error("strict", lambda: draw("a fox", foo=1, strict=True), openai.BadRequestError, param="foo", status_code=400)

checks.expect_equal("models are listed", [model.id for model in client.models.list()], ["emoji"])
checks.expect_equal("a model is found", client.models.retrieve("emoji").id, "emoji")
checks.expect_error("a model that is not there", lambda: client.models.retrieve("no-such-model"), openai.NotFoundError, status_code=404)

# Several requests at once, and a client that gives up.


async def draw_both():
    async with openai.AsyncOpenAI(api_key="any key", base_url=base_url, max_retries=0) as many:
        made = await asyncio.gather(*(many.images.generate(prompt="a red apple on a pink background", size="128x128",
                                                           response_format="b64_json", extra_body={"seed": seed}) for seed in (7, 8)))
        return [answer.data[0].b64_json for answer in made]


checks.report("the asynchronous client gets the same images", asyncio.run(draw_both()) == [first.b64_json, other.b64_json], "they differ")
impatient = client.with_options(timeout=0.2)
checks.expect_error("a client that gives up", lambda: impatient.images.generate(prompt="a fox", extra_body={"num_inference_steps": 250}),
                    openai.APITimeoutError)
checks.report("the next request is answered", draw("a red apple on a pink background", seed=7).data[0].b64_json == first.b64_json, "it is another")
