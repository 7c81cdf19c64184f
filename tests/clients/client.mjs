// openai-node: images, edits, variations, streams, errors by class, models. usage: node client.mjs BASE_URL FOLDER
import fs from 'node:fs';
import path from 'node:path';
import { maskPng } from './png.mjs';
import OpenAI, { toFile } from 'openai';

const [baseURL, folder] = process.argv.slice(2);
const client = new OpenAI({ apiKey: 'any key', baseURL, maxRetries: 0 });

function report(name, passed, why) {
  console.log(passed ? `ok ${name}` : `not ok ${name}: ${why}`);
}

async function expectError(name, call, errorClass, wanted) {
  try {
    await call();
    report(name, false, 'was answered');
  } catch (error) {
    const same = Object.entries(wanted).every(([key, value]) => error[key] === value);
    report(name, error.constructor === errorClass && same,
      `got ${error.constructor.name} ${error.status} ${error.param} ${error.code}: ${error.message}`);
  }
}

const draw = (fields) => client.images.generate({ size: '128x128', response_format: 'b64_json', ...fields });
const b64 = (answer) => answer.data[0].b64_json;

const fox = await draw({ prompt: 'a fox on a green background', size: '512x512', seed: 3 });
fs.writeFileSync(path.join(folder, 'fox--512x512--green.png'), Buffer.from(b64(fox), 'base64'));
report('the seed that was used comes back', fox.data[0].seed === 3, `got ${fox.data[0].seed}`);
const again = await draw({ prompt: 'a fox on a green background', size: '512x512', seed: 3 });
report('the same seed gives the same bytes', b64(fox) === b64(again), 'they differ');
const pair = await draw({ prompt: 'a red apple', n: 2, seed: 1 });
report('n images', pair.data.length === 2 && pair.data[0].b64_json !== pair.data[1].b64_json, `got ${pair.data.length}`);

const edit = (fields) => client.images.edit({ response_format: 'b64_json', ...fields });
const file = path.join(folder, 'fox--512x512--green.png');
const prompt = 'a fox on a yellow background';
const edited = await edit({ image: fs.createReadStream(file), prompt, seed: 3, strength: 0.9 });
// Without a size, an image of more than twice the model's area is scaled down to it.
fs.writeFileSync(path.join(folder, 'edited--128x128--yellow.png'), Buffer.from(b64(edited), 'base64'));
const bytes = await toFile(fs.readFileSync(file), 'fox.png', { type: 'image/png' });
report('a streamed file and a buffered one give the same edit',
  b64(await edit({ image: [bytes], prompt, seed: 3, strength: 0.9 })) === b64(edited), 'they differ');
await expectError('an edit of what is no image', async () => edit({ image: await toFile(Buffer.from('text'), 'a.png'), prompt }),
  OpenAI.BadRequestError, { status: 400, param: 'image' });

await expectError('bad size', () => draw({ prompt: 'a fox', size: '512' }), OpenAI.BadRequestError, { status: 400, param: 'size' });
await expectError('unknown model', () => draw({ prompt: 'a fox', model: 'no-such-model' }), OpenAI.BadRequestError,
  { status: 400, code: 'model_not_found', param: 'model' });

const linked = await draw({ prompt: 'a red apple', n: 2, seed: 1, response_format: 'url' });
const fetched = await Promise.all(linked.data.map(async ({ url }) => Buffer.from(await (await fetch(url)).arrayBuffer()).toString('base64')));
report('links lead to the images of the same seeds', fetched.join() === pair.data.map((image) => image.b64_json).join(), 'they differ');
for (const [format, magic] of [['png', '89504e47'], ['jpeg', 'ffd8ff'], ['webp', '52494646']]) {
  const made = await draw({ prompt: 'a fox', seed: 1, output_format: format, output_compression: 80 });
  report(`output_format ${format}`, Buffer.from(b64(made), 'base64').toString('hex').startsWith(magic) && made.output_format === format,
    `got ${made.output_format}`);
}
const several = await edit({ image: [bytes, bytes], prompt, seed: 3, strength: 0.9 });
report('of two images the first is used', several.images_used === 1 && b64(several) === b64(edited), `got ${several.images_used}`);
report('what is not used is listed', (await draw({ prompt: 'a fox', foo: 1 })).ignored?.join() === 'foo', 'it is not');

// Masks in OpenAI's form, and variations.
const apple = () => toFile(Buffer.from(b64(pair), 'base64'), 'apple.png', { type: 'image/png' });
const mask = (width) => toFile(maskPng(width, 128, 64), 'mask.png', { type: 'image/png' });
const masked = await edit({ image: await apple(), mask: await mask(128), prompt, n: 2, seed: 5 });
report('n masked edits', masked.data.length === 2 && b64(masked) !== masked.data[1].b64_json && b64(masked) !== b64(pair), 'they are the same');
await expectError('a mask of another size', async () => edit({ image: await apple(), mask: await mask(64), prompt }), OpenAI.BadRequestError,
  { status: 400, param: 'mask', code: 'invalid_mask_image_format' });
if (client.images.createVariation) {
  const varied = await client.images.createVariation({ image: await apple(), response_format: 'b64_json', size: '128x128' });
  report('a variation', varied.data.length === 1 && b64(varied) !== b64(pair), 'it is the image itself');
}

// Streams, which version 4 does not read.
const version = JSON.parse(fs.readFileSync('node_modules/openai/package.json', 'utf8')).version;
const appleAgain = () => draw({ prompt: 'a red apple', seed: 1 });
if (!version.startsWith('4.')) {
  const events = [];
  for await (const event of await client.images.generate({ prompt: 'a red apple', size: '128x128', seed: 1, stream: true, partial_images: 2 })) {
    events.push(event);
  }
  report('the events of a stream', events.map((event) => event.type).join() ===
    'image_generation.partial_image,image_generation.partial_image,image_generation.completed', `got ${events.map((event) => event.type)}`);
  report('a streamed image is the same image', events.at(-1).b64_json === b64(pair), 'it is another');
  const kinds = [];
  for await (const event of await edit({ image: await apple(), prompt, seed: 5, stream: true })) kinds.push(event.type);
  report('the events of a streamed edit', kinds.join() === 'image_edit.completed', `got ${kinds}`);
  for await (const event of await client.images.generate({ prompt: 'a fox', size: '128x128', stream: true, partial_images: 3 })) {
    if (event) break;
  }
  report('a request after a stream that was left', b64(await appleAgain()) === b64(pair), 'it is another');
  await expectError('a stream of a bad request', () => client.images.generate({ prompt: 'a fox', size: '512', stream: true }),
    OpenAI.BadRequestError, { status: 400, param: 'size' });
}

// A caller that gives up.
try {
  await client.images.generate({ prompt: 'a fox', num_inference_steps: 250 }, { signal: AbortSignal.timeout(200) });
  report('a call that is given up', false, 'was answered');
} catch (error) {
  report('a call that is given up', error instanceof OpenAI.APIUserAbortError, `got ${error.constructor.name}: ${error.message}`);
}
report('the next request is answered', b64(await appleAgain()) === b64(pair), 'it is another');

const ids = [];
for await (const model of client.models.list()) ids.push(model.id);
report('models are listed', ids.join() === 'emoji', `got ${ids}`);
report('a model is found', (await client.models.retrieve('emoji')).id === 'emoji', 'another one came');
