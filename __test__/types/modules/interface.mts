// Every member with its arguments and the type of its result.

import * as uWS from 'milliways';

/** Compiles only if the value has exactly this type, neither wider nor narrower, and not `any`. */
function is<Expected>() {
  return <Actual,>(_value: Actual, ..._same: Same<Expected, Actual> extends true ? [] : [never]): void => {};
}
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

interface User {
  id: number;
}

const app = uWS.App();
is<uWS.TemplatedApp>()(app);
is<uWS.TemplatedApp>()(new uWS.App());

uWS.App({});
uWS.App({
  key_file_name: 'key.pem',
  cert_file_name: new Uint8Array(8),
  ca_file_name: new ArrayBuffer(8),
  passphrase: '1234',
  dh_params_file_name: 'dh.pem',
  ssl_ciphers: 'HIGH',
  ssl_prefer_low_memory_usage: true,
  maxHeaderSize: 16 * 1024,
  maxBodySize: 1024 * 1024,
  idleTimeout: 0,
  proxyProtocol: true,
  maxConnections: 1000,
  onConnectionLimit: 'pause',
  maxConnectionsPerAddress: 10,
  drainEachMessage: true,
});
uWS.SSLApp({ key: 'PEM', cert: new Uint8Array(8), ca: new ArrayBuffer(8) });
is<uWS.AppConstructor>()(uWS.SSLApp);
// H3App throws, but programs that mention it compile.
is<uWS.AppConstructor>()(uWS.H3App);

const answer = (res: uWS.HttpResponse, req: uWS.HttpRequest) => {
  is<string>()(req.getUrl());
  is<string>()(req.getHeader('host'));
  is<string>()(req.getMethod());
  is<string>()(req.getCaseSensitiveMethod());
  is<string>()(req.getQuery());
  is<string | undefined>()(req.getQuery('key'));
  is<string | undefined>()(req.getQuery(new Uint8Array(1)));
  is<string | undefined>()(req.getParameter(0));
  is<string | undefined>()(req.getParameter('name'));
  is<string | undefined>()(req.getParameter(new ArrayBuffer(1)));
  is<void>()(req.forEach((key, value) => [is<string>()(key), is<string>()(value)]));
  req.forEach(() => {});
  is<uWS.HttpRequest>()(req.setYield(true));

  res.anything = { at: 'all' };
  is<uWS.HttpResponse>()(res.onAborted(() => {}));
  is<uWS.HttpResponse>()(res.onAborted(async () => {}));
  is<uWS.HttpResponse>()(res.onWritable((offset) => offset > 5));
  is<uWS.HttpResponse>()(res.onData((chunk, isLast) => [is<ArrayBuffer>()(chunk), is<boolean>()(isLast)]));
  res.onData(async (chunk) => void chunk.byteLength);
  is<uWS.HttpResponse>()(res.onDataV2((chunk, remaining) => [is<ArrayBuffer>()(chunk), is<bigint>()(remaining)]));
  is<uWS.HttpResponse>()(res.collectBody(5, (body) => is<ArrayBuffer | null>()(body)));
  res.collectBody(5, async (body) => res.end(body ?? 'too much'));
  is<uWS.HttpResponse>()(res.pause());
  is<uWS.HttpResponse>()(res.resume());
  is<uWS.HttpResponse>()(res.cork(() => {}));
  is<uWS.HttpResponse>()(res.collect(() => {}));
  is<uWS.HttpResponse>()(res.writeStatus('200 OK'));
  is<uWS.HttpResponse>()(res.writeHeader('name', new Uint8Array(4)));
  is<uWS.HttpResponse>()(res.beginWrite());
  is<boolean>()(res.write('chunk'));
  is<boolean>()(res.write(new Uint8Array(4)));
  is<[boolean, boolean]>()(res.tryEnd('body'));
  is<[boolean, boolean]>()(res.tryEnd(new ArrayBuffer(5), 10));
  is<[boolean, boolean]>()(res.tryEnd('chunk', 10, true));
  is<number>()(res.getWriteOffset());
  is<ArrayBuffer>()(res.getRemoteAddress());
  is<ArrayBuffer>()(res.getRemoteAddressAsText());
  is<number>()(res.getRemotePort());
  is<ArrayBuffer>()(res.getProxiedRemoteAddress());
  is<ArrayBuffer>()(res.getProxiedRemoteAddressAsText());
  is<number>()(res.getProxiedRemotePort());
  is<string>()(res.getX509Certificate());
  is<uWS.HttpResponse>()(res.endWithoutBody());
  is<uWS.HttpResponse>()(res.endWithoutBody(5));
  is<uWS.HttpResponse>()(res.endWithoutBody(5, true));
  is<uWS.HttpResponse>()(res.end());
  is<uWS.HttpResponse>()(res.end('body', true));
  is<uWS.HttpResponse>()(res.close());
};

for (const method of ['get', 'post', 'options', 'del', 'patch', 'put', 'head', 'connect', 'trace', 'any'] as const) {
  is<uWS.TemplatedApp>()(app[method]('/', answer));
  app[method](new Uint8Array(1), (res) => res.end('an expression as the body'));
  app[method]('/', async (res) => void res.end());
  app[method]('/', () => {});
  app[method]('/', null);
  app[method]('/', new uWS.DeclarativeResponse().end());
}
const handlers: uWS.RouteHandler[] = [answer, null, new ArrayBuffer(3)];
export { handlers };

const declared = new uWS.DeclarativeResponse();
is<uWS.DeclarativeResponse>()(declared.writeStatus('200 OK'));
is<uWS.DeclarativeResponse>()(declared.writeHeader('name', 'value'));
is<uWS.DeclarativeResponse>()(declared.write('text'));
is<uWS.DeclarativeResponse>()(declared.writeBody());
is<uWS.DeclarativeResponse>()(declared.writeQueryValue('key'));
is<uWS.DeclarativeResponse>()(declared.writeHeaderValue('host'));
is<uWS.DeclarativeResponse>()(declared.writeParameterValue('name'));
is<ArrayBuffer>()(declared.end());
is<ArrayBuffer>()(declared.end('text'));

is<uWS.MultipartField[] | undefined>()(uWS.getParts(new ArrayBuffer(1), 'multipart/form-data; boundary=x'));
for (const field of uWS.getParts('', '') ?? []) {
  is<ArrayBuffer>()(field.data);
  is<string>()(field.name);
  is<string | undefined>()(field.type);
  is<string | undefined>()(field.filename);
}
is<void>()(uWS._cfg('key'));

is<string>()(uWS.getString('key'));
is<string>()(uWS.getString(new Uint8Array(1), 'collection'));
is<void>()(uWS.setString('key', 'value'));
is<void>()(uWS.setString('key', new ArrayBuffer(1), 'collection'));
is<number>()(uWS.getInteger('key'));
is<number>()(uWS.getInteger('key', 'collection'));
is<void>()(uWS.setInteger('key', 5));
is<void>()(uWS.setInteger('key', 5, 'collection'));
is<number>()(uWS.incInteger('key', -1));
is<number>()(uWS.incInteger('key', 1, 'collection'));
is<string[]>()(uWS.getStringKeys());
is<string[]>()(uWS.getStringKeys('collection'));
is<string[]>()(uWS.getIntegerKeys());
is<string[]>()(uWS.getIntegerKeys('collection'));
is<void>()(uWS.deleteString('key'));
is<void>()(uWS.deleteString('key', 'collection'));
is<void>()(uWS.deleteInteger('key'));
is<void>()(uWS.deleteInteger('key', 'collection'));
is<void>()(uWS.deleteStringCollection());
is<void>()(uWS.deleteStringCollection('collection'));
is<void>()(uWS.deleteIntegerCollection());
is<void>()(uWS.deleteIntegerCollection('collection'));
is<void>()(uWS.lock());
is<void>()(uWS.unlock());

const behavior: uWS.WebSocketBehavior<User> = {
  compression: uWS.DEDICATED_COMPRESSOR_4KB | uWS.DEDICATED_DECOMPRESSOR,
  maxPayloadLength: 16 * 1024,
  idleTimeout: 120,
  maxBackpressure: 64 * 1024,
  closeOnBackpressureLimit: false,
  sendPingsAutomatically: true,
  maxLifetime: 0,
  maxFragments: 0,
  maxTopics: 1000,
  compressionThreshold: 100,
  upgrade: (res, req, context) => {
    is<uWS.HttpResponse>()(res);
    is<uWS.HttpRequest>()(req);
    is<uWS.us_socket_context_t>()(context);
    is<void>()(res.upgrade({ id: 5 }, req.getHeader('sec-websocket-key'), new Uint8Array(0), '', context));
    res.upgrade<User>({ id: 5 }, '', '', '', context);
    res.upgrade(undefined, '', '', '', context);
  },
  open: (ws, req) => {
    is<uWS.WebSocket<User>>()(ws);
    is<uWS.HttpRequest>()(req);
    is<User>()(ws.getUserData());
    is<number>()(ws.send('text'));
    is<number>()(ws.send(new ArrayBuffer(1), true, false));
    is<number>()(ws.sendFirstFragment('a', true, false));
    is<number>()(ws.sendFragment('a', false));
    is<number>()(ws.sendLastFragment(new Uint8Array(4)));
    is<boolean>()(ws.subscribe('topic'));
    is<boolean>()(ws.unsubscribe(new ArrayBuffer(1)));
    is<boolean>()(ws.unsubscribeAll());
    is<boolean>()(ws.isSubscribed('topic'));
    is<string[]>()(ws.getTopics());
    is<(string | ArrayBuffer)[]>()(ws.getTopics<string | ArrayBuffer>());
    for (const topic of ws.getTopics<string | ArrayBuffer>()) ws.unsubscribe(topic);
    is<boolean>()(ws.publish('topic', 'message'));
    is<boolean>()(ws.publish('topic', new Uint8Array(1), true, true));
    is<uWS.WebSocket<User>>()(ws.pause().resume());
    is<number>()(ws.ping());
    is<number>()(ws.ping('are you there?'));
    is<number>()(ws.getBufferedAmount());
    is<ArrayBuffer>()(ws.getRemoteAddress());
    is<ArrayBuffer>()(ws.getRemoteAddressAsText());
    is<number>()(ws.getRemotePort());
    is<uWS.WebSocket<User>>()(ws.cork(() => ws.send('corked')));
    is<uWS.WebSocket<User>>()(ws.experimental_cork(() => {}));
    is<void>()(ws.end());
    is<void>()(ws.end(4000));
    is<void>()(ws.end(4000, new Uint8Array(2)));
    is<void>()(ws.close());
  },
  message: (ws, message, isBinary) => {
    is<uWS.WebSocket<User>>()(ws);
    is<ArrayBuffer>()(message);
    is<boolean>()(isBinary);
  },
  dropped: async (_ws, message, isBinary) => {
    is<ArrayBuffer>()(message);
    is<boolean>()(isBinary);
  },
  drain: (ws) => ws.getBufferedAmount(),
  close: (_ws, code, message) => {
    is<number>()(code);
    is<ArrayBuffer>()(message);
  },
  ping: (_ws, message) => is<ArrayBuffer>()(message),
  pong: (_ws, message) => is<ArrayBuffer>()(message),
};
is<uWS.TemplatedApp>()(app.ws('/*', behavior));
app.ws<User>('/*', { open: (ws) => ws.send(String(ws.getUserData().id)) });
app.ws('/*', {
  textAsString: true,
  message: (ws, message, isBinary) => {
    is<string | ArrayBuffer>()(message);
    is<boolean>()(isBinary);
    ws.send(message, isBinary);
  },
});
app.ws('/*', {
  subscription: (ws, topic, newCount, oldCount) => {
    is<uWS.WebSocket<unknown>>()(ws);
    is<ArrayBuffer>()(topic);
    is<number>()(newCount - oldCount);
  },
});
is<boolean>()(app.publish('topic', 'message'));
is<boolean>()(app.publish('topic', new ArrayBuffer(1), true, true));
is<number>()(app.numSubscribers('topic'));
const behaviors: uWS.RouteBehavior<User>[] = [
  behavior,
  { textAsString: false, message: (_ws, message) => is<ArrayBuffer>()(message) },
  { textAsString: true, message: (_ws, message) => is<string | ArrayBuffer>()(message) },
];
for (const each of behaviors) app.ws('/*', each);
is<uWS.WebSocketBehavior<unknown>>()({} as Parameters<uWS.TemplatedApp['ws']>[1]);
is<uWS.HttpHandler>()({} as Parameters<uWS.TemplatedApp['get']>[1]);
app.ws('/*', { message: (ws, message, isBinary) => ws.send(message, isBinary) });
app.ws('/*', { upgrade: async (res) => void res.writeStatus('401 Unauthorized').end() });
app.ws('/*', {});

// Code that stores the token may have been written for an interface without members.
let kept: uWS.us_listen_socket | null = null;
const keep = (token: uWS.us_listen_socket): void => {
  kept = token;
};
is<uWS.TemplatedApp>()(app.listen(0, keep));
app.listen(0, (token) => {
  is<false | uWS.us_listen_socket>()(token);
  kept = token;
});
app.listen(0, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, keep);
app.listen(0, uWS.ListenOptions.LIBUS_LISTEN_EXCLUSIVE_PORT, keep);
app.listen(0, 1, keep);
app.listen('127.0.0.1', 0, keep);
app.listen('127.0.0.1', 0, uWS.LIBUS_LISTEN_DEFAULT, keep);
app.listen(0, '127.0.0.1', keep);
app.listen(0, '127.0.0.1', uWS.LIBUS_LISTEN_DEFAULT, keep);
app.listen(Number('0'), () => {});
is<uWS.TemplatedApp>()(app.listen_unix(keep, '/tmp/socket'));
app.listen_unix((token) => is<false | uWS.us_listen_socket>()(token), new Uint8Array(1));

is<uWS.TemplatedApp>()(app.filter((res, count) => [is<uWS.HttpResponse>()(res), is<any>()(count)]));
app.filter((_res, count: number) => count > 0);
app.filter(() => {});
is<uWS.TemplatedApp>()(app.domain('example.com'));
is<uWS.TemplatedApp>()(app.addServerName('example.com'));
is<uWS.TemplatedApp>()(app.addServerName('*.example.com', { key_file_name: 'key.pem', cert_file_name: 'cert.pem' }));
is<uWS.TemplatedApp>()(app.removeServerName('example.com'));
is<uWS.TemplatedApp | undefined>()(app.reloadCertificates?.());
is<uWS.TemplatedApp>()(app.missingServerName((hostname) => is<string>()(hostname)));
is<uWS.AppDescriptor>()(app.getDescriptor());
is<number>()(app.getDescriptor());
is<uWS.TemplatedApp>()(app.addChildAppDescriptor(app.getDescriptor()));
is<uWS.TemplatedApp>()(app.removeChildAppDescriptor(1));
is<uWS.TemplatedApp>()(app.adoptSocket(3).adoptSocket(4, '192.0.2.1').adoptSocket(5, new Uint8Array(16)));
// @ts-expect-error
app.adoptSocket();
is<Promise<uWS.ShutdownResult> | undefined>()(app.shutdown?.({ code: 1001, reason: 'moving', timeout: 5000 }));
const outcome: uWS.ShutdownResult = { closed: 1, forced: 0 };
const shutdownOptions: uWS.ShutdownOptions = { reason: new Uint8Array(1) };
is<Promise<uWS.ShutdownResult> | undefined>()(app.shutdown?.(shutdownOptions));
is<number>()(outcome.closed + outcome.forced);
is<uWS.AppStats | undefined>()(app.stats?.());
is<string | undefined>()(app.metrics?.());
is<uWS.ProcessStats>()(uWS.stats());
is<number[]>()(uWS.stats().threads.map(({ threadId, memory }) => threadId + memory.tls));
is<string>()(uWS.metrics());
const causes: (keyof uWS.HttpErrorStats)[] = ['MISSING_HOST'];
is<number>()(uWS.stats().http.errors[causes[0]!] + uWS.stats().http.responses['2xx']);
is<uWS.TemplatedApp>()(app.close());
is<void>()(uWS.us_listen_socket_close({}));
is<number>()(uWS.us_socket_local_port({}));
const portOf: (socket: uWS.us_socket) => number = uWS.us_socket_local_port;
export { portOf };
export { kept };

const data: uWS.TextOrBytes[] = [
  'string',
  new ArrayBuffer(1),
  new SharedArrayBuffer(1),
  new Uint8Array(1),
  new Uint8Array(new SharedArrayBuffer(1)),
  new Uint8ClampedArray(1),
  new Int8Array(1),
  new Uint16Array(1),
  new Int16Array(1),
  new Uint32Array(1),
  new Int32Array(1),
  new Float32Array(1),
  new Float64Array(1),
  new BigUint64Array(1),
  new BigInt64Array(1),
];
export { data };
is<uWS.RecognizedString>()(
  '' as Exclude<uWS.TextOrBytes, SharedArrayBuffer | Uint8ClampedArray | BigUint64Array | BigInt64Array>,
);

const compressions: uWS.CompressOptions[] = [
  uWS.DISABLED,
  uWS.SHARED_COMPRESSOR,
  uWS.SHARED_DECOMPRESSOR,
  uWS.DEDICATED_COMPRESSOR,
  uWS.DEDICATED_COMPRESSOR_3KB,
  uWS.DEDICATED_COMPRESSOR_4KB,
  uWS.DEDICATED_COMPRESSOR_8KB,
  uWS.DEDICATED_COMPRESSOR_16KB,
  uWS.DEDICATED_COMPRESSOR_32KB,
  uWS.DEDICATED_COMPRESSOR_64KB,
  uWS.DEDICATED_COMPRESSOR_128KB,
  uWS.DEDICATED_COMPRESSOR_256KB,
  uWS.DEDICATED_DECOMPRESSOR,
  uWS.DEDICATED_DECOMPRESSOR_512B,
  uWS.DEDICATED_DECOMPRESSOR_1KB,
  uWS.DEDICATED_DECOMPRESSOR_2KB,
  uWS.DEDICATED_DECOMPRESSOR_4KB,
  uWS.DEDICATED_DECOMPRESSOR_8KB,
  uWS.DEDICATED_DECOMPRESSOR_16KB,
  uWS.DEDICATED_DECOMPRESSOR_32KB,
];
export { compressions };

// A handler from a behavior is assignable to one that returns void or a promise.
const opened: ((ws: uWS.WebSocket<User>, req: uWS.HttpRequest) => void | Promise<void>) | undefined = behavior.open;
const upgraded:
  | ((res: uWS.HttpResponse, req: uWS.HttpRequest, context: uWS.us_socket_context_t) => void | Promise<void>)
  | undefined = behavior.upgrade;
const openedAlone: ((ws: uWS.WebSocket<User>) => void | Promise<void>) | undefined = behavior.open;
export { opened, openedAlone, upgraded };

// A subscriber of node:diagnostics_channel is called with a message whose type is unknown.
export function subscriber(message: unknown) {
  const closed = message as uWS.DiagnosticsMessages['milliways.close'];
  is<uWS.TemplatedApp | undefined>()(closed.app);
  is<uWS.DiagnosticsConnection>()(closed.connection);
  if (closed.protocol === 'webSocket') is<number>()(closed.code);
  else is<keyof uWS.AppStats['ended']['http']>()(closed.reason);
}
const failed = {} as uWS.DiagnosticsMessages['milliways.error'];
is<uWS.DiagnosticsConnection | undefined>()(failed.connection);
is<Error | undefined>()(failed.error);
if (failed.kind === 'tls') is<keyof uWS.AppStats['tls']['errors']>()(failed.code);
is<keyof uWS.AppStats['limits']>()(({} as uWS.DiagnosticsMessages['milliways.limit']).limit);

try {
  app.close();
} catch (error) {
  is<uWS.MilliwaysErrorCode>()((error as uWS.MilliwaysError).code);
}
