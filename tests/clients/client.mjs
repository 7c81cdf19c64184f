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
fs.writeFileSync(path.join(folder, 'edited--512x512--yellow.png'), Buffer.from(b64(edited), 'base64'));
const bytes = await toFile(fs.readFileSync(file), 'fox.png', { type: 'image/png' });
report('a streamed file and a buffered one give the same edit',
  b64(await edit({ image: [bytes], prompt, seed: 3, strength: 0.9 })) === b64(edited), 'they differ');
await expectError('an edit of what is no image', async () => edit({ image: await toFile(Buffer.from('text'), 'a.png'), prompt }),
  OpenAI.BadRequestError, { status: 400, param: 'image' });

await expectError('bad size', () => draw({ prompt: 'a fox', size: '512' }), OpenAI.BadRequestError, { status: 400, param: 'size' });
await expectError('unknown model', () => draw({ prompt: 'a fox', model: 'no-such-model' }), OpenAI.NotFoundError,
  { status: 404, code: 'model_not_found' });

const ids = [];
for await (const model of client.models.list()) ids.push(model.id);
report('models are listed', ids.join() === 'emoji', `got ${ids}`);
report('a model is found', (await client.models.retrieve('emoji')).id === 'emoji', 'another one came');
