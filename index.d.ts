// The public interface of milliways: what uWebSockets.js has under the same names, as far as this version goes. Code
// that is typed against uWebSockets.js, and uses nothing that README.md lists as missing, compiles against this file.
//
// Every error that milliways makes has a `code` that stays the same when its text is improved. docs/ERRORS.md explains
// each.

/** Makes an app: the place where routes are registered, and that listens. Works with and without `new`. */
export const App: AppConstructor;

/** The type of {@link App}. */
export interface AppConstructor {
  /** @param options Accepted for the sake of code that shares them with an SSLApp; a plain app has no use for any. */
  (options?: AppOptions): TemplatedApp;
  new (options?: AppOptions): TemplatedApp;
}

/**
 * Options of an app. They are all about TLS, which this version does not have: they are accepted and ignored, and so is
 * every key that is not named here.
 */
export interface AppOptions {
  /** Path of the private key, a PEM file. */
  key_file_name?: RecognizedString;
  /** Path of the certificate and its chain, a PEM file. */
  cert_file_name?: RecognizedString;
  /** Path of the authorities that client certificates are checked against, a PEM file. */
  ca_file_name?: RecognizedString;
  /** What the private key is encrypted with. */
  passphrase?: RecognizedString;
  /** Path of Diffie-Hellman parameters. */
  dh_params_file_name?: RecognizedString;
  /** The allowed ciphers, as an OpenSSL cipher list. */
  ssl_ciphers?: RecognizedString;
  /** Gives up speed for less memory per connection. */
  ssl_prefer_low_memory_usage?: boolean;
}

/**
 * An app. Its methods return it, so that calls can be chained.
 *
 * Routes are registered on a method and a pattern, before or after listening. A pattern starts with `/` and is matched
 * segment by segment: `name` matches itself (upper and lower case are different), `:name` any segment that is not
 * empty, and `*`, as the last one, all that follows, the empty segment included: `/x/*` matches `/x/` and `/x/y/z`, not
 * `/x`. Where several match, a plain segment goes before `:name`, and `:name` before `*`. The routes of the request's
 * method are tried first, with all of their matches, and those of {@link any} only then. What matches nothing is
 * answered with `404 File Not Found`.
 *
 * Registering a pattern again replaces its handler, and `null` as handler removes the route.
 *
 * Any registration throws an Error
 *  - `ERR_MILLIWAYS_MISSING_ARGUMENT` with fewer arguments than it needs,
 *  - `ERR_MILLIWAYS_INVALID_PATTERN` when the pattern cannot be one,
 *  - `ERR_MILLIWAYS_INVALID_HANDLER` when the handler is neither a function nor null.
 */
export interface TemplatedApp {
  /** Registers a handler of GET requests. Unlike in other servers it does not get HEAD requests; see {@link head}. */
  get(pattern: RecognizedString, handler: HttpHandler | null): TemplatedApp;
  /** Registers a handler of POST requests. */
  post(pattern: RecognizedString, handler: HttpHandler | null): TemplatedApp;
  /** Registers a handler of OPTIONS requests. */
  options(pattern: RecognizedString, handler: HttpHandler | null): TemplatedApp;
  /** Registers a handler of DELETE requests. */
  del(pattern: RecognizedString, handler: HttpHandler | null): TemplatedApp;
  /** Registers a handler of PATCH requests. */
  patch(pattern: RecognizedString, handler: HttpHandler | null): TemplatedApp;
  /** Registers a handler of PUT requests. */
  put(pattern: RecognizedString, handler: HttpHandler | null): TemplatedApp;
  /** Registers a handler of HEAD requests. */
  head(pattern: RecognizedString, handler: HttpHandler | null): TemplatedApp;
  /** Registers a handler of CONNECT requests. */
  connect(pattern: RecognizedString, handler: HttpHandler | null): TemplatedApp;
  /** Registers a handler of TRACE requests. */
  trace(pattern: RecognizedString, handler: HttpHandler | null): TemplatedApp;
  /** Registers a handler of requests of any method that no route of their own method matches. */
  any(pattern: RecognizedString, handler: HttpHandler | null): TemplatedApp;

  /**
   * Registers a WebSocket route. It takes the requests that ask for the WebSocket protocol (RFC 6455 section 4.2.1) and
   * goes before all other routes that match them; plain requests pass it by. One that asks for another version of the
   * protocol than 13 is answered with `426 Upgrade Required`.
   *
   * @param behavior Read once, here; changes to the object later have no effect.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when a handler is given that is no function.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` when a number is out of the range that its option names.
   * @throws Error `ERR_MILLIWAYS_NOT_SUPPORTED` for the handlers `upgrade` and `subscription`, which this version does
   * not have: a server that relies on one would otherwise appear to work.
   */
  ws<UserData>(pattern: RecognizedString, behavior: WebSocketBehavior<UserData>): TemplatedApp;

  /**
   * Listens on a port of all addresses, IPv6 and IPv4. With port 0 the system chooses one; {@link us_socket_local_port}
   * tells which.
   *
   * The callback is called before this returns, and what it throws comes out of here. It gets a token, which closes the
   * port again with {@link us_listen_socket_close}, or `false` when the port or the host is not to be had.
   *
   * An app may listen several times. While it does, or has connections, it keeps the process running.
   *
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without at least a port and a callback.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when the callback is no function.
   */
  listen(port: number, callback: ListenHandler): TemplatedApp;
  /** Listens on a port of all addresses, with an option such as {@link LIBUS_LISTEN_EXCLUSIVE_PORT}. */
  listen(port: number, options: ListenOptions, callback: ListenHandler): TemplatedApp;
  /**
   * Listens on a port of one address.
   *
   * @param host An IP address, or a name. A name is looked up, for which the whole process waits.
   */
  listen(host: RecognizedString, port: number, callback: ListenHandler): TemplatedApp;
  /** Listens on a port of one address, with an option such as {@link LIBUS_LISTEN_EXCLUSIVE_PORT}. */
  listen(host: RecognizedString, port: number, options: ListenOptions, callback: ListenHandler): TemplatedApp;

  /**
   * Stops listening and ends all connections at once, without a close frame: `close` handlers run with code 1006, and
   * `onAborted` handlers. The app can listen again afterwards.
   */
  close(): TemplatedApp;
}

/**
 * Answers a request. It must do so before it returns, or attach {@link HttpResponse.onAborted} and do so later. If it
 * does neither, the connection is answered with 500 and closed, and an Error `ERR_MILLIWAYS_NO_RESPONSE` that names the
 * request becomes an `uncaughtException`.
 *
 * Microtasks and `process.nextTick` callbacks still count as part of it, so an async function may answer after an
 * `await` that needs no input or output. What it throws becomes an `uncaughtException`.
 */
export type HttpHandler = (res: HttpResponse, req: HttpRequest) => HandlerResult;

/** Gets a token of the listening socket, or `false` when listening failed. */
export type ListenHandler = (listenSocket: us_listen_socket | false) => HandlerResult;

// Any type, so that `(ws, message) => ws.send(message)` and async functions both fit. `unknown` would do that as well,
// but a handler read back from a behavior would no longer be assignable to one that is declared to return void.
/** What a handler returns is ignored, but for a promise that delays the detaching of the message it was given. */
export type HandlerResult = any;

/** Options and handlers of a WebSocket route. The type argument is what {@link WebSocket.getUserData} returns. */
export interface WebSocketBehavior<UserData = unknown> {
  /**
   * Which compression may be negotiated: {@link DISABLED}, or a compressor and a decompressor combined with `|`.
   *
   * All values are accepted, but this version does not negotiate permessage-deflate (RFC 7692): messages are sent as
   * they are, and clients that offer it connect without.
   *
   * @default DISABLED
   */
  compression?: CompressOptions;

  /**
   * The longest message, in bytes, that is received; for one in fragments their sum counts. A client that sends a
   * longer one is disconnected with close code 1009 (RFC 6455 section 7.4.1), as soon as a frame's header announces it.
   *
   * @default 16384
   */
  maxPayloadLength?: number;

  /**
   * Seconds without anything received after which the client is disconnected: 0 for never, or 8 to 960. It is measured
   * coarsely, to some seconds. With {@link sendPingsAutomatically} only a client that does not answer runs into it.
   *
   * @default 120
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} for 1 to 7, and for more than 960.
   */
  idleTimeout?: number;

  /**
   * The bytes that may wait to be sent to one client. While more than that are waiting, further messages to it are
   * dropped; one message that goes over it still queues. 0 for no limit.
   *
   * @default 65536
   */
  maxBackpressure?: number;

  /**
   * Whether a client is disconnected at the first message that {@link maxBackpressure} would drop.
   *
   * @default false
   */
  closeOnBackpressureLimit?: boolean;

  /**
   * Whether pings go out by themselves before {@link idleTimeout} ends.
   *
   * @default true
   */
  sendPingsAutomatically?: boolean;

  /**
   * Minutes after which a connection is closed with code 1000 and the reason `please reconnect`: 0 for never, up to
   * 240.
   *
   * @default 0
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} for more than 240.
   */
  maxLifetime?: number;

  /**
   * A client has connected.
   *
   * The request is passed to a function that declares two parameters, as code of 2019 does, and valid as it is in an
   * {@link HttpHandler}. A function that declares one is called with one.
   */
  open?: (ws: WebSocket<UserData>, req: HttpRequest) => HandlerResult;

  /**
   * A message has come in, whole.
   *
   * The ArrayBuffer is lent. It is detached, which makes it empty, when the handler has returned; if it returned a
   * promise, when the microtasks and `process.nextTick` callbacks that were due have run. Copy what is needed longer:
   * `message.slice(0)`. Passing it to {@link WebSocket.send} copies it.
   *
   * @param isBinary Whether it is binary. Text is UTF-8, and was checked to be (RFC 6455 section 8.1).
   */
  message?: (ws: WebSocket<UserData>, message: ArrayBuffer, isBinary: boolean) => HandlerResult;

  /**
   * A message to this client was dropped, because more than {@link maxBackpressure} bytes were waiting; `send` has not
   * returned yet. The ArrayBuffer is lent as in {@link message}.
   */
  dropped?: (ws: WebSocket<UserData>, message: ArrayBuffer, isBinary: boolean) => HandlerResult;

  /** Some of what was waiting has been sent; {@link WebSocket.getBufferedAmount} tells how much is left. */
  drain?: (ws: WebSocket<UserData>) => HandlerResult;

  /**
   * The connection has ended, in whatever way. It is the last handler that runs for it, and runs once. The methods of
   * `ws` throw from here on, except {@link WebSocket.getUserData}; its properties remain.
   *
   * @param code What the client sent (RFC 6455 section 7.4), or was passed to {@link WebSocket.end}. 1005: the client
   * closed without one. 1006: it ended without a close frame of the client's, and `message` says why.
   * @param message The reason, UTF-8. Lent as in {@link message}.
   */
  close?: (ws: WebSocket<UserData>, code: number, message: ArrayBuffer) => HandlerResult;

  /**
   * A ping has come in, and was answered already. The ArrayBuffer, of at most 125 bytes, is lent as in {@link message}.
   */
  ping?: (ws: WebSocket<UserData>, message: ArrayBuffer) => HandlerResult;

  /** A pong has come in, asked for or not. The ArrayBuffer, of at most 125 bytes, is lent as in {@link message}. */
  pong?: (ws: WebSocket<UserData>, message: ArrayBuffer) => HandlerResult;
}

/**
 * A WebSocket connection. It can be used, and kept, from `open` until `close` is called for it. After that its methods
 * throw an Error `ERR_MILLIWAYS_WEBSOCKET_CLOSED`.
 *
 * Properties of your own may be set on it; in TypeScript through {@link getUserData}, which gives the WebSocket itself.
 */
export interface WebSocket<UserData = unknown> {
  /**
   * Sends a message. It is copied, so the memory passed may be reused at once.
   *
   * @param isBinary Whether it goes out as binary. It is text by default, whatever type it is passed as, and has to be
   * valid UTF-8 then.
   * @param compress Whether to compress it where that was negotiated. Without effect in this version.
   * @returns 1 when it was handed to the system (in a handler or a cork: will be, at its end), 0 when it waits because
   * the client reads too slowly, and 2 when it was dropped because more than `maxBackpressure` bytes were waiting.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the message is no {@link RecognizedString}.
   */
  send(message: RecognizedString, isBinary?: boolean, compress?: boolean): number;

  /**
   * Sends a ping (RFC 6455 section 5.5.2). The client answers it by itself; see {@link WebSocketBehavior.pong}.
   *
   * @param message At most 125 bytes. None by default.
   * @returns As {@link send} does.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the message is no {@link RecognizedString}.
   */
  ping(message?: RecognizedString): number;

  /**
   * Closes the connection in good order: what was sent before goes out, then a close frame (RFC 6455 section 5.5.1),
   * then the TCP connection ends. The `close` handler runs before this returns, with the same code and reason.
   *
   * @param code 1000, or 3000 to 4999 for reasons of your own. Without one the frame is empty, and the handler gets 0.
   * Others are sent as they are (16 bits of them), as uWebSockets.js does; a client takes most of them for an error.
   * @param shortMessage The reason. A close frame has room for 123 bytes of UTF-8; a longer one is cut between two
   * characters. It is sent only with a code.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the reason is no {@link RecognizedString}.
   */
  end(code?: number, shortMessage?: RecognizedString): void;

  /**
   * Drops the connection, without a close frame; what was waiting to be sent is lost. The `close` handler runs before
   * this returns, with code 1006.
   */
  close(): void;

  /** The bytes that wait to be sent, because the client reads too slowly. Frame headers count. */
  getBufferedAmount(): number;

  /**
   * Calls the function, now, and sends what it sends in one system call. That is faster, for the client too. In
   * handlers it is so anyway; it is for timers, promises and the like.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function. What it throws comes out of here.
   */
  cork(callback: () => HandlerResult): WebSocket<UserData>;

  /**
   * The name that {@link cork} had in 2019.
   *
   * @deprecated
   */
  experimental_cork(callback: () => HandlerResult): WebSocket<UserData>;

  /** The properties that this connection carries: the WebSocket object itself. It may be called after `close`, too. */
  getUserData(): UserData;
}

/**
 * A request. It may be read until its handler has returned and the microtasks and `process.nextTick` callbacks that
 * were due then have run; so after an `await` of something that is there already, and not after one of input or output.
 * Later its methods throw an Error `ERR_MILLIWAYS_REQUEST_EXPIRED`. Copy what is needed longer.
 */
export interface HttpRequest {
  /** The path, as it was sent: not decoded, and without the query. */
  getUrl(): string;

  /**
   * The value of a header, without white space around it, or `''` when there is none. Of several with one name it is
   * the first.
   *
   * @param lowerCaseKey The name in lower case, whatever the client wrote. Nothing is found with a name in upper case.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the name is no {@link RecognizedString}.
   */
  getHeader(lowerCaseKey: RecognizedString): string;

  /** The method in lower case: `get`, `post` and so on. */
  getMethod(): string;

  /** The method as it was sent. */
  getCaseSensitiveMethod(): string;

  // `string` alone is what uWebSockets.js declares, and code that passes it on would not compile with more.
  /**
   * What follows the `?` in the address, not decoded; `''` when nothing does. Where there is no `?` the value is
   * `undefined`, contrary to the declared type, which is that of uWebSockets.js. Asking for the value of a key throws an
   * Error `ERR_MILLIWAYS_NOT_SUPPORTED` in this version.
   */
  getQuery(): string;
}

/**
 * The response to a request. It may be used until {@link end} or {@link close} was called, or the client went away,
 * which calls {@link onAborted}. After that its methods throw an Error `ERR_MILLIWAYS_RESPONSE_DONE`.
 *
 * Its methods return it, so that calls can be chained.
 */
export interface HttpResponse {
  /**
   * Sets the status, such as `404 Not Found`. It comes first: once a header or the body was written, or a status, it
   * has no effect. Without it the status is `200 OK`.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when it is no {@link RecognizedString}.
   * @throws Error `ERR_MILLIWAYS_INVALID_HEADER` when it contains CR, LF or NUL (RFC 9110 section 5.5).
   */
  writeStatus(status: RecognizedString): HttpResponse;

  /**
   * Adds a header. Content-Length, Date and what the connection needs are written for you.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when name or value is no {@link RecognizedString}.
   * @throws Error `ERR_MILLIWAYS_INVALID_HEADER` when one contains CR, LF or NUL (RFC 9110 section 5.5), or the name is
   * empty.
   */
  writeHeader(key: RecognizedString, value: RecognizedString): HttpResponse;

  /**
   * Sends the response. Where HTTP allows no body (HEAD, 204, 304) the body's bytes are left out.
   *
   * @param body It is copied, so its memory may be reused at once. Empty by default.
   * @param closeConnection Whether to close the connection when the response was sent. `false` by default, unless the
   * client asked for it.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the body is no {@link RecognizedString}.
   */
  end(body?: RecognizedString, closeConnection?: boolean): HttpResponse;

  /**
   * Closes the connection at once. What was written and not yet sent is lost, and the {@link onAborted} handler runs
   * before this returns.
   */
  close(): HttpResponse;

  /**
   * Calls the function, now, and sends what it writes in one system call. In route handlers it is so anyway; it is for
   * what runs later.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function. What it throws comes out of here.
   */
  cork(callback: () => HandlerResult): HttpResponse;

  /**
   * Sets the function that runs when the connection ends before the response did, whoever ended it. A route handler
   * that answers after it has returned must set one, and remember there that there is nobody left to answer.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function.
   */
  onAborted(handler: () => HandlerResult): HttpResponse;

  /** Properties of your own may be set on it. */
  [key: string]: any;
}

// Empty, and so no stricter than `{}`, because in uWebSockets.js it is: code assigns `false` to variables of this type.
/** A listening socket, as the callback of {@link TemplatedApp.listen} gets it. It has no members. */
export interface us_listen_socket {}

/** What a WebSocket route gives its `upgrade` handler to pass on. Named here for code that mentions it. */
export interface us_socket_context_t {}

/**
 * Closes a listening socket. Connections that it has accepted stay. Calling it again has no effect.
 *
 * @throws TypeError `ERR_MILLIWAYS_INVALID_TOKEN` when it is not what a `listen` callback got.
 */
export function us_listen_socket_close(listenSocket: us_listen_socket): void;

/**
 * The port that a listening socket is bound to, or -1 when it is closed.
 *
 * @throws TypeError `ERR_MILLIWAYS_INVALID_TOKEN` when it is not what a `listen` callback got.
 */
export function us_socket_local_port(listenSocket: us_listen_socket): number;

/**
 * What is taken as text or bytes. Strings are sent as UTF-8, everything else byte by byte, and of a view the part that
 * it shows. `undefined` counts as the empty string where the argument is optional; all else throws an Error
 * `ERR_MILLIWAYS_INVALID_DATA`, a DataView included.
 */
export type RecognizedString =
  | string
  | ArrayBuffer
  | SharedArrayBuffer
  | Uint8Array
  | Uint8ClampedArray
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

// `const`: there is no such object to import, here or in uWebSockets.js, only the two constants below.
/** Options of {@link TemplatedApp.listen}. */
export const enum ListenOptions {
  LIBUS_LISTEN_DEFAULT = 0,
  LIBUS_LISTEN_EXCLUSIVE_PORT = 1,
}
/** 0. Several sockets, of any processes of one user, may share the port; each gets a part of the connections. */
export const LIBUS_LISTEN_DEFAULT: ListenOptions;
/** 1. Listening fails when anybody listens on the port. */
export const LIBUS_LISTEN_EXCLUSIVE_PORT: ListenOptions;

/** One of the constants below, or a compressor and a decompressor combined with `|`. */
export type CompressOptions = number;
/** 0. No compression. */
export const DISABLED: CompressOptions;
/** 1. Each message is compressed for itself: no memory per connection. */
export const SHARED_COMPRESSOR: CompressOptions;
/** 256. Each message is decompressed for itself: no memory per connection. */
export const SHARED_DECOMPRESSOR: CompressOptions;
/** 248. The same as {@link DEDICATED_COMPRESSOR_256KB}. */
export const DEDICATED_COMPRESSOR: CompressOptions;
/** 145. Messages are compressed with reference to earlier ones, with 3 KB of memory per connection. */
export const DEDICATED_COMPRESSOR_3KB: CompressOptions;
/** 146. The same with 4 KB. */
export const DEDICATED_COMPRESSOR_4KB: CompressOptions;
/** 163. The same with 8 KB. */
export const DEDICATED_COMPRESSOR_8KB: CompressOptions;
/** 180. The same with 16 KB. */
export const DEDICATED_COMPRESSOR_16KB: CompressOptions;
/** 197. The same with 32 KB. */
export const DEDICATED_COMPRESSOR_32KB: CompressOptions;
/** 214. The same with 64 KB. */
export const DEDICATED_COMPRESSOR_64KB: CompressOptions;
/** 231. The same with 128 KB. */
export const DEDICATED_COMPRESSOR_128KB: CompressOptions;
/** 248. The same with 256 KB. */
export const DEDICATED_COMPRESSOR_256KB: CompressOptions;
/** 3840. The same as {@link DEDICATED_DECOMPRESSOR_32KB}. */
export const DEDICATED_DECOMPRESSOR: CompressOptions;
/** 2304. Messages may refer to earlier ones, up to 512 bytes back. */
export const DEDICATED_DECOMPRESSOR_512B: CompressOptions;
/** 2560. The same up to 1 KB back. */
export const DEDICATED_DECOMPRESSOR_1KB: CompressOptions;
/** 2816. The same up to 2 KB back. */
export const DEDICATED_DECOMPRESSOR_2KB: CompressOptions;
/** 3072. The same up to 4 KB back. */
export const DEDICATED_DECOMPRESSOR_4KB: CompressOptions;
/** 3328. The same up to 8 KB back. */
export const DEDICATED_DECOMPRESSOR_8KB: CompressOptions;
/** 3584. The same up to 16 KB back. */
export const DEDICATED_DECOMPRESSOR_16KB: CompressOptions;
/** 3840. The same up to 32 KB back. */
export const DEDICATED_DECOMPRESSOR_32KB: CompressOptions;

/**
 * An error of milliways, for `catch` clauses: `(error as MilliwaysError).code`. Some are a TypeError or a RangeError.
 */
export interface MilliwaysError extends Error {
  code: MilliwaysErrorCode;
}

/** The codes of errors. docs/ERRORS.md says when each occurs and what to do. */
export type MilliwaysErrorCode =
  | 'ERR_MILLIWAYS_INTERNAL'
  | 'ERR_MILLIWAYS_INVALID_DATA'
  | 'ERR_MILLIWAYS_INVALID_HANDLER'
  | 'ERR_MILLIWAYS_INVALID_HEADER'
  | 'ERR_MILLIWAYS_INVALID_PATTERN'
  | 'ERR_MILLIWAYS_INVALID_TOKEN'
  | 'ERR_MILLIWAYS_MISSING_ARGUMENT'
  | 'ERR_MILLIWAYS_NOT_SUPPORTED'
  | 'ERR_MILLIWAYS_NO_RESPONSE'
  | 'ERR_MILLIWAYS_OUT_OF_RANGE'
  | 'ERR_MILLIWAYS_PLATFORM'
  | 'ERR_MILLIWAYS_REQUEST_EXPIRED'
  | 'ERR_MILLIWAYS_RESPONSE_DONE'
  | 'ERR_MILLIWAYS_WEBSOCKET_CLOSED';
