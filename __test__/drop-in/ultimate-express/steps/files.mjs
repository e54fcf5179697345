// Files, whole and in ranges.

import support from '../../../support/http.js';
import { digest, inParallel, pattern, send } from '../../parts/bytes.mjs';
import { request } from '../../parts/http.mjs';
import { getAll, head } from './requests.mjs';

const { exchange } = support;

export const files = {
  'what has not changed is not sent again': async ({ server }) => {
    const seen = [];
    for (const target of ['/send/string?text=same', '/file/hello.txt', '/files/hello.txt', '/files/big.bin', '/page']) {
      const { headers } = await request(server, target, { method: 'HEAD' });
      const { etag } = (await request(server, target)).headers;
      seen.push(headers);
      for (const conditions of [
        { 'if-none-match': etag ?? '' },
        { 'if-none-match': `"other", ${etag}` },
        { 'if-none-match': '"other"' },
        { 'if-none-match': etag ?? '', 'cache-control': 'no-cache' },
        { 'if-modified-since': 'Sat, 03 Feb 2024 04:05:06 GMT' },
        { 'if-modified-since': 'Sat, 03 Feb 2024 04:05:05 GMT' },
        { 'if-match': '"other"' },
        { 'if-match': etag ?? '' },
        { 'if-unmodified-since': 'Sat, 03 Feb 2024 04:05:05 GMT' },
      ]) {
        const { status, body } = await request(server, target, { headers: conditions });
        seen.push([target, conditions, status, body.length]);
      }
    }
    return seen;
  },

  files: async ({ server }) =>
    getAll(server, [
      '/files/',
      '/files',
      '/files/hello.txt',
      '/files/hello.txt?version=1',
      '/files/gr%C3%BC%C3%9Fe.txt',
      '/files/empty.txt',
      '/files/docs',
      '/files/docs/',
      '/files/docs/deep/data.json',
      '/files/docs/deep/',
      '/files/.secret',
      '/files/nothing.txt',
      '/files/%',
      '/files/%00',
      '/strict/',
      '/strict/page',
      '/strict/docs',
      '/strict/nothing',
      '/strict/%zz',
      '/file/hello.txt',
      '/file/hello.txt?as=g%C3%BCnther.txt',
      '/file/.secret',
      '/file/.secret?dotfiles=allow',
      '/file/docs',
      '/file/..%2Foutside.txt',
      '/file/%E0%A4%A',
    ]),

  'nobody gets out of the folder': async ({ server }) => {
    const seen = [];
    for (const target of [
      '/files/../outside.txt',
      '/files/../../package.json',
      '/files/%2e%2e/outside.txt',
      '/files/..%2foutside.txt',
      '/files/docs/../../outside.txt',
      '/files/..\\outside.txt',
      '/files//etc/passwd',
      '//files/hello.txt',
      '/strict/../outside.txt',
      '/strict/%2e%2e%2foutside.txt',
    ]) {
      seen.push(target, await exchange(server.port, head(`GET ${target}`)));
    }
    return seen;
  },

  'parts of files': async ({ server }) => {
    const seen = [];
    for (const target of ['/files/hello.txt', '/files/big.bin', '/file/middle.bin', '/files/empty.txt']) {
      for (const range of [
        'bytes=0-4',
        'bytes=5-',
        'bytes=-3',
        'bytes=0-0',
        'bytes=2-3,8-9',
        'bytes=99999999-',
        'lines=1-2',
      ]) {
        for (const method of ['GET', 'HEAD']) {
          const { status, headers, body } = await send(server, target, { method, headers: { range } });
          delete headers.date;
          seen.push([method, target, range, status, headers, digest(body)]);
        }
      }
    }
    const matching = { range: 'bytes=0-4', 'if-range': 'Sat, 03 Feb 2024 04:05:06 GMT' };
    seen.push(await request(server, '/files/hello.txt', { headers: matching }));
    seen.push(await request(server, '/files/hello.txt', { headers: { ...matching, 'if-range': '"other"' } }));
    return seen;
  },

  'large files are whole': async ({ server }) => {
    const { body } = await send(server, '/files/big.bin');
    const many = await inParallel(12, 6, async (number) => {
      const part = await send(server, '/files/big.bin', { headers: { range: `bytes=${number * 1_000_000}-` } });
      return part.status === 206 && part.body.equals(body.subarray(number * 1_000_000));
    });
    const middle = await inParallel(60, 30, async () => digest((await send(server, '/files/middle.bin')).body));
    return [body.equals(pattern(12_000_000)), many, [...new Set(middle)]];
  },
};
