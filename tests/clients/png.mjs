// PNG files for the tests.
import zlib from 'node:zlib';

function chunk(kind, body) {
  const content = Buffer.concat([Buffer.from(kind, 'latin1'), body]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(zlib.crc32(content));
  return Buffer.concat([length, content, checksum]);
}

// 8 bits, RGB and alpha. colorOf: the four values of a pixel in a column.
function columnsPng(width, height, colorOf) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 6, 0, 0, 0], 8);
  const row = Buffer.from([0, ...Array.from({ length: width }, (_, x) => colorOf(x)).flat()]);
  const rows = Buffer.concat(Array(height).fill(row));
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', header), chunk('IDAT', zlib.deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0))]);
}

// In the form of OpenAI's masks: opaque up to a column, and transparent, that is, to be redrawn, from it on.
export const maskPng = (width, height, firstColumn) => columnsPng(width, height, (x) => [0, 0, 0, x < firstColumn ? 255 : 0]);

export const colorPng = (width, height, color) => columnsPng(width, height, () => [...color, 255]);
