// Edits of several images by a model that uses all of them, through OpenAI's Node.js package or the AI SDK: whichever there is.
// usage: node references.mjs BASE_URL FOLDER
import fs from 'node:fs';
import { colorPng } from './png.mjs';

const [baseURL] = process.argv.slice(2);
const report = (name, passed, why = '') => console.log(passed ? `ok ${name}` : `not ok ${name}: ${why}`);
const prompt = 'a fox', size = '128x96', settings = { num_inference_steps: 2, seed: 5 };

async function editorOfOpenAi() {
  const { default: OpenAI, toFile } = await import('openai');
  const client = new OpenAI({ apiKey: 'any key', baseURL, maxRetries: 0 });
  return async (images) => {
    const files = await Promise.all(images.map((bytes) => toFile(bytes, 'image.png', { type: 'image/png' })));
    return (await client.images.edit({ image: files, prompt, model: 'klein', size, ...settings })).data[0].b64_json;
  };
}

async function editorOfAiSdk() {
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');
  const ai = await import('ai');
  const provider = createOpenAICompatible({ name: 'easel', baseURL, apiKey: 'any key' });
  const generateImage = ai.generateImage ?? ai.experimental_generateImage;
  return async (images) => (await generateImage({ model: provider.imageModel('klein'), size, maxRetries: 0, prompt: { text: prompt, images },
    providerOptions: { easel: settings } })).image.base64;
}

const edit = await (fs.existsSync('node_modules/ai') ? editorOfAiSdk() : editorOfOpenAi());
const [first, second, other] = [[200, 40, 40], [40, 200, 40], [40, 40, 200]].map((color) => colorPng(96, 80, color));
const both = await edit([first, second]);
report('two images give the same image again', await edit([first, second]) === both, 'it is another');
for (const [name, images] of [['another second image', [first, other]], ['no second image', [first]]]) {
  report(`${name} gives another result`, await edit(images) !== both, 'it is the same');
}
