// AI SDK 6 and 7: images, edits, masks, errors. usage: node ai_sdk.mjs BASE_URL FOLDER
import fs from 'node:fs';
import path from 'node:path';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import * as ai from 'ai';
import { maskPng } from './png.mjs';

const [baseURL, folder] = process.argv.slice(2);
const provider = createOpenAICompatible({ name: 'easel', baseURL, apiKey: 'any key' });
const generateImage = ai.generateImage ?? ai.experimental_generateImage;

function report(name, passed, why) {
  console.log(passed ? `ok ${name}` : `not ok ${name}: ${why}`);
}

const draw = (fields) => generateImage({
  model: provider.imageModel(fields.id ?? 'emoji'),
  size: '128x128',
  maxRetries: 0,
  ...fields,
  providerOptions: { easel: fields.options ?? {} },
});

const fox = await draw({ prompt: 'a fox on a green background', size: '512x512', options: { seed: 3 } });
fs.writeFileSync(path.join(folder, 'fox--512x512--green.png'), fox.image.uint8Array);
const first = await draw({ prompt: 'a red apple', options: { seed: 1 } });
const pair = await draw({ prompt: 'a red apple', n: 2, options: { seed: 1 } });
report('n images', pair.images.length === 2 && pair.images[0].base64 === first.image.base64 &&
  pair.images[1].base64 !== first.image.base64, `got ${pair.images.length}`);
for (const [format, magic] of [['jpeg', 'ffd8ff'], ['webp', '52494646']]) {
  const made = await draw({ prompt: 'a fox', options: { output_format: format, seed: 1 } });
  const type = made.image.mediaType ?? made.image.mimeType;
  report(`output_format ${format}`, Buffer.from(made.image.uint8Array).toString('hex').startsWith(magic) && type === `image/${format}`,
    `got ${type}`);
}
for (const id of ['dall-e-3', 'gpt-image-1']) {
  const made = await draw({ prompt: 'a red apple', id, options: { seed: 1 } });
  report(`the default model under the name ${id}`, made.image.base64 === first.image.base64, 'another image came');
}
const images = [fox.image.uint8Array, first.image.uint8Array];
for (const used of [images.slice(0, 1), images]) {
  const edited = await draw({ prompt: { text: 'a fox on a yellow background', images: used }, options: { seed: 3, strength: 0.9 } });
  fs.writeFileSync(path.join(folder, `edited${used.length}--128x128--yellow.png`), edited.image.uint8Array);
}
const masked = await draw({ prompt: { text: 'a fox', images: images.slice(1), mask: maskPng(128, 128, 64) }, n: 2, options: { seed: 5 } });
report('n masked edits', masked.images.length === 2 && masked.images[0].base64 !== masked.images[1].base64 &&
  masked.images[0].base64 !== first.image.base64, 'they are the same');
// Version 6 does not read them from this provider.
if (!JSON.parse(fs.readFileSync('node_modules/ai/package.json', 'utf8')).version.startsWith('6.')) {
  const { usage } = await draw({ prompt: 'a fox', options: { seed: 1 } });
  report('tokens are counted', usage.totalTokens > 0, JSON.stringify(usage));
}
try {
  await draw({ prompt: 'a fox', options: { num_inference_steps: 250 }, abortSignal: AbortSignal.timeout(200) });
  report('a call that is given up', false, 'was answered');
} catch (error) {
  report('a call that is given up', /abort|timeout/i.test(`${error.name} ${error.message}`), `got ${error.name}: ${error.message}`);
}
report('the next request is answered', (await draw({ prompt: 'a red apple', options: { seed: 1 } })).image.base64 === first.image.base64, 'it is another');
try {
  await draw({ prompt: 'a fox', id: 'no-such-model' });
  report('unknown model', false, 'was answered');
} catch (error) {
  report('unknown model', error.statusCode === 400 && /no-such-model/.test(error.message), `got ${error.statusCode}: ${error.message}`);
}
