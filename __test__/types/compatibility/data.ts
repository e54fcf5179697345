// Text and bytes that methods accept, both read and passed on, and the bytes that handlers receive.

import { createHash } from 'node:crypto';
import { App, type HttpResponse, type RecognizedString, type WebSocket } from 'uWebSockets.js';

const kinds: RecognizedString[] = [
  'text',
  Buffer.from('bytes'),
  new ArrayBuffer(1),
  new Uint8Array(1),
  new Uint8Array(new SharedArrayBuffer(1)),
  new Int8Array(1),
  new Uint16Array(1),
  new Int16Array(1),
  new Uint32Array(1),
  new Int32Array(1),
  new Float32Array(1),
  new Float64Array(1),
];

export function byteLength(data: RecognizedString): number {
  return typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength;
}

export function toBytes(data: RecognizedString): Uint8Array {
  if (typeof data === 'string') return new TextEncoder().encode(data);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export function toText(data: RecognizedString): string {
  return typeof data === 'string' ? data : new TextDecoder().decode(data);
}

export function toBuffer(data: RecognizedString): Buffer {
  if (typeof data === 'string') return Buffer.from(data, 'utf8');
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}

export function digest(data: RecognizedString): string {
  return createHash('sha256')
    .update(data instanceof ArrayBuffer ? new Uint8Array(data) : data)
    .digest('hex');
}

/** The elements of every view are numbers. */
export function sum(view: Exclude<RecognizedString, string | ArrayBuffer>): number {
  let total = view[0] ?? 0;
  for (const element of view) total += element;
  return total;
}

interface Store {
  get(key: string): Promise<RecognizedString | undefined>;
}

export async function answerFrom(store: Store, key: string, res: HttpResponse): Promise<void> {
  const value = await store.get(key);
  res.cork(() => {
    if (value === undefined) res.writeStatus('404 Not Found').endWithoutBody(0);
    else res.writeHeader('x-length', `${byteLength(value)}`).end(value);
  });
}

export function relay(from: WebSocket<unknown>, to: Iterable<WebSocket<unknown>>, data: RecognizedString): void {
  const isBinary = typeof data !== 'string';
  for (const ws of to) if (ws !== from) ws.send(data, isBinary, byteLength(data) > 512);
  from.publish('all', data, isBinary);
}

App()
  .ws<{ received: Buffer[] }>('/*', {
    open: (ws) => {
      const send: (data: RecognizedString, isBinary?: boolean, compress?: boolean) => number = ws.send.bind(ws);
      for (const data of kinds) send(data, typeof data !== 'string');
    },
    message: (ws, message, isBinary) => {
      const kept: ArrayBuffer = message.slice(0);
      const copied: Buffer = Buffer.from(new Uint8Array(message));
      const shown: Uint8Array<ArrayBuffer> = new Uint8Array(message);
      const text: string = isBinary ? Buffer.from(message).toString('base64') : new TextDecoder().decode(message);
      const command = new DataView(message).getUint8(0);
      ws.getUserData().received.push(copied, Buffer.from(kept), Buffer.from(message));
      ws.send(Buffer.concat([Buffer.of(command), shown]), true);
      ws.send(JSON.stringify({ text, object: JSON.parse(text) as { id: number } }));
    },
    close: (_ws, code, message) => {
      console.log(code, Buffer.from(message).toString(), String.fromCharCode(...new Uint8Array(message)));
    },
  })
  .post('/sum', (res) => {
    let body = Buffer.alloc(0);
    res.onData((chunk, isLast) => {
      body = Buffer.concat([body, Buffer.from(chunk)]);
      if (isLast) res.end(digest(body));
    });
    res.onAborted(() => {});
  });
