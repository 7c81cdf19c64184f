// LangChain's DallEAPIWrapper for Node.js: one call for each image, and all of them at once.
// usage: node langchain.mjs BASE_URL FOLDER
import { writeFile } from 'node:fs/promises';
import { DallEAPIWrapper } from '@langchain/openai';

const [baseURL, folder] = process.argv.slice(2);
const report = (name, passed, why = '') => console.log(passed ? `ok ${name}` : `not ok ${name}: ${why}`);
const settings = { apiKey: 'any key', baseUrl: baseURL, size: '1024x1024', model: 'dall-e-3' };

const link = await new DallEAPIWrapper({ ...settings, n: 1 }).invoke('a red apple on a pink background');
const response = await fetch(link);
report('a link', response.ok && response.headers.get('content-type') === 'image/png', `${link} ${response.status}`);
await writeFile(`${folder}/apple--1024x1024--pink.png`, Buffer.from(await response.arrayBuffer()));
const encoded = await new DallEAPIWrapper({ ...settings, n: 1, dallEResponseFormat: 'b64_json' }).invoke('a fox');
const content = Array.isArray(encoded) ? encoded[0].image_url : encoded;
report('b64_json', Buffer.from(String(content?.url ?? content).split(',').pop(), 'base64').subarray(1, 4).toString() === 'PNG', String(encoded).slice(0, 200));
const several = await new DallEAPIWrapper({ ...settings, n: 2 }).invoke('a fox');
report('n images', Array.isArray(several) && several.length === 2, JSON.stringify(several).slice(0, 300));
try {
  await new DallEAPIWrapper({ ...settings, model: 'no-such-model', maxRetries: 0 }).invoke('a fox');
  report('unknown model', false, 'was answered');
} catch (error) {
  report('unknown model', String(error).includes('no-such-model'), String(error));
}
