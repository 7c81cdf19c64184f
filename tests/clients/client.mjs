// openai-node: images, errors by class, models. usage: node client.mjs BASE_URL FOLDER
import fs from 'node:fs';
import path from 'node:path';
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

const ids = [];
for await (const model of client.models.list()) ids.push(model.id);
report('models are listed', ids.join() === 'emoji', `got ${ids}`);
report('a model is found', (await client.models.retrieve('emoji')).id === 'emoji', 'another one came');
