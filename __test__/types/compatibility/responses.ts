// Uses of a response, and properties that programs store on it.

import { createReadStream, statSync } from 'node:fs';
import { App, getParts, type HttpRequest, type HttpResponse, type MultipartField } from 'uWebSockets.js';

export function readJson<T>(res: HttpResponse, done: (value: T) => void, failed: () => void): void {
  let buffer: Buffer | undefined;
  res.onData((chunk, isLast) => {
    const piece = Buffer.from(chunk);
    buffer = buffer ? Buffer.concat([buffer, piece]) : Buffer.concat([piece]);
    if (!isLast) return;
    try {
      done(JSON.parse(buffer.toString()) as T);
    } catch {
      res.close();
    }
  });
  res.onAborted(failed);
}

export const readBody = (res: HttpResponse): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    res
      .onData((chunk: ArrayBuffer, isLast: boolean) => {
        chunks.push(new Uint8Array(chunk.slice(0)));
        if (isLast) resolve(Buffer.concat(chunks));
      })
      .onAborted(() => reject(new Error('gone')));
  });

export function sendFile(res: HttpResponse, path: string): void {
  const { size } = statSync(path);
  const stream = createReadStream(path);
  stream.on('data', (data: string | Buffer) => {
    const chunk = Buffer.from(data as Buffer);
    const bytes = chunk.buffer.slice(chunk.byteOffset, chunk.byteOffset + chunk.byteLength) as ArrayBuffer;
    res.cork(() => {
      const offset = res.getWriteOffset();
      const [ok, done]: [boolean, boolean] = res.tryEnd(bytes, size);
      if (done) return stream.destroy();
      if (ok) return;
      stream.pause();
      res.waiting = { bytes, offset };
      res.onWritable((from: number) => {
        const [resumed, ended] = res.tryEnd(res.waiting.bytes.slice(from - res.waiting.offset), size);
        if (ended) stream.destroy();
        else if (resumed) stream.resume();
        return resumed;
      });
    });
  });
  res.onAborted(() => stream.destroy());
}

export function address(res: HttpResponse): string {
  const proxied: ArrayBuffer = res.getProxiedRemoteAddressAsText();
  const text = proxied.byteLength > 0 ? proxied : res.getRemoteAddressAsText();
  const isV6 = (res.getProxiedRemoteAddress().byteLength || res.getRemoteAddress().byteLength) === 16;
  return `${Buffer.from(text).toString()}${isV6 ? ' (6)' : ''}`;
}

/** Overrides a method of a response, and adds properties. */
export function extend(res: HttpResponse): HttpResponse {
  const end = res.end;
  res.aborted = false;
  res.end = (body) => {
    res.ended = true;
    return end.call(res, body);
  };
  res.status = (code: number) => res.writeStatus(String(code));
  res.json = function (this: HttpResponse, value: unknown): HttpResponse {
    return this.writeHeader('content-type', 'application/json').end(JSON.stringify(value));
  };
  return res.onAborted(() => {
    res.aborted = true;
  });
}

interface Body extends HttpResponse {
  user?: { id: number };
}
type Annotated = HttpResponse & { startedAt: number };

function answer(res: Body, req: HttpRequest & { ip?: string }): void {
  req.ip = address(res);
  (res as Annotated).startedAt = Date.now();
  res.user = { id: 5 };
  res.pause();
  setTimeout(() => res.resume(), 10);
  const keepsUp: boolean = res.write('a') && res.write(new Uint8Array(1));
  const chained: HttpResponse = res.cork(() => {
    res.writeStatus('200 OK').writeHeader('x-keeps-up', String(keepsUp)).write('b');
  });
  chained.end('c', true);
}

App()
  .any('/*', answer)
  .post('/form', async (res, req) => {
    const type = req.getHeader('content-type');
    const body = await readBody(extend(res));
    const fields: MultipartField[] | undefined = getParts(body, type);
    const files = fields?.filter((field) => field.filename !== undefined) ?? [];
    for (const { name, type = 'text/plain', data } of files) console.log(name, type, data.byteLength);
    if (!res.aborted) res.json(fields?.map(({ name }) => name));
  })
  .filter((res, count) => {
    if ((count as number) > 0) console.log(`${address(res)} came`);
  });
