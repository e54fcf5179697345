// The public interface of milliways: what uWebSockets.js has under the same names, as far as this version goes. Code
// that is typed against uWebSockets.js, and uses nothing that README.md lists as missing, compiles against this file, but
// for what docs/COMPATIBILITY.md says of types.
//
// Every error that milliways makes has a `code` that stays the same when its text is improved. docs/ERRORS.md explains
// each. Two can come from any call and are therefore not repeated below: a TypeError `ERR_MILLIWAYS_INVALID_THIS` where a
// method is called on anything but its object, and an Error `ERR_MILLIWAYS_DETACHED_BUFFER` for an ArrayBuffer that is
// detached.

// Types that are used below, and that a program's own `lib` may not reach to.
/// <reference lib="es2017.sharedmemory" />
/// <reference lib="es2020.bigint" />

/** Makes an app: the place where routes are registered, and that listens. Works with and without `new`. */
export const App: AppConstructor;

/**
 * Makes an app that speaks TLS 1.3 and 1.2 (RFC 8446, RFC 5246) with every client, and is an {@link App} in all else.
 * Works with and without `new`. It needs a key and a certificate: {@link AppOptions.key_file_name} and
 * {@link AppOptions.cert_file_name}, or {@link AppOptions.key} and {@link AppOptions.cert}. docs/TLS.md is its guide.
 *
 * A client has 10 seconds for the handshake. ALPN (RFC 7301) is answered with `http/1.1`; a client that offers
 * protocols, and not that one, is refused. Sessions are resumed by tickets.
 *
 * @throws Error `ERR_MILLIWAYS_TLS` when there is no key or certificate, a file cannot be read or is not what it should
 * be, the key is not that of the certificate or of a kind that is not supported, a passphrase is wrong or missing, or a
 * cipher is not there. The text names the option, the file and the reason, and has nothing of a key or a passphrase in
 * it; so does `cause`.
 */
export const SSLApp: AppConstructor;

/**
 * Always throws an Error `ERR_MILLIWAYS_NOT_SUPPORTED`: there is no HTTP/3 here. A proxy in front of an {@link App} can
 * speak it.
 */
export const H3App: AppConstructor;

/** The type of {@link App}. */
export interface AppConstructor {
  /**
   * @param options Read once, here.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` when a number is out of the range that its option names.
   */
  (options?: AppOptions): TemplatedApp;
  new (options?: AppOptions): TemplatedApp;
}

/**
 * Options of an app. The first five are ours. The others are about TLS: an {@link SSLApp} and
 * {@link TemplatedApp.addServerName} read them, once; an App ignores them, for the sake of code that shares them. So is
 * every key ignored that is not named here, and one whose value is undefined.
 *
 * Whatever is wrong with the options of TLS is an Error `ERR_MILLIWAYS_TLS` of {@link SSLApp}, and a value of another
 * type than declared an Error `ERR_MILLIWAYS_INVALID_DATA`.
 */
export interface AppOptions {
  /**
   * The bytes that a request's line and headers may have together. A client that sends more is answered with
   * `431 Request Header Fields Too Large` (RFC 6585 section 5) and disconnected.
   *
   * @default The environment variable `UWS_HTTP_MAX_HEADERS_SIZE` if it is a whole number, else 4096
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` when it is no whole number.
   */
  maxHeaderSize?: number;

  /**
   * The bytes that a request's body may have. A longer one is answered with `413 Content Too Large` (RFC 9110 section
   * 15.5.14) and the client disconnected: before any handler runs when Content-Length announces it, else as soon as
   * that much has come, unless the response has begun by then. `onAborted` handlers run.
   *
   * @default No limit; {@link HttpResponse.collectBody} has one for each call
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` when it is no whole number.
   */
  maxBodySize?: number;

  /**
   * Seconds that an HTTP connection may stand still while it is the client's turn, after which it is dropped: 0 for
   * ever, up to 960. It is the client's turn before and between requests, until a request's head is complete, while a
   * body that a handler asked for is not, and while a response waits because the client does not take it. A body counts
   * as standing still below 16 KB/s, averaged over this time. The time a handler takes to answer does not count; but a
   * body of more than 64 KiB that no handler has asked for in this time is thrown away, and asking for it later throws
   * an Error `ERR_MILLIWAYS_RESPONSE_DONE`.
   *
   * WebSockets have {@link WebSocketBehavior.idleTimeout} instead.
   *
   * @default 10
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` when it is no whole number, or more than 960.
   */
  idleTimeout?: number;

  /**
   * Whether connections may begin with a header of the PROXY protocol, version 1 or 2, which says where they come from; see
   * {@link HttpResponse.getProxiedRemoteAddress}. Connections without the header are taken too, so anybody who can
   * connect can claim any address: turn it on where only the proxy can.
   *
   * @default false
   */
  proxyProtocol?: boolean;

  /**
   * Whether microtasks and `process.nextTick` callbacks run after each `message`, `drain`, `dropped`, `ping`, `pong`,
   * `subscription` and `close` handler. That is what uWebSockets.js does. Without, they run when all events that came in
   * together have been handled, up to 64 of them and 64 KiB: that is a quarter faster with many small messages. Handlers
   * that return a promise, as async functions do, have them run in either case; only one that starts something
   * asynchronous, does not return it and wants it done before the next message needs this.
   *
   * @default false
   */
  drainEachMessage?: boolean;

  /**
   * Path of the private key, a PEM file (RFC 7468): of ECDSA with P-256 or P-384, of RSA with 2048, 3072 or 4096 bits, or
   * of Ed25519. It is in the form of PKCS #8 or in the traditional one of OpenSSL, encrypted or not; see
   * {@link passphrase}. Where several are in it the first counts.
   */
  key_file_name?: RecognizedString;

  /**
   * Path of the certificate, a PEM file, with the chain behind it: those that lead from it to an authority that clients
   * know, in this order. The authority itself may be left out. Keys and requests beside them are skipped, and so are
   * text before a section and lines behind the last that begin with `#`; whatever else is in it is an error.
   */
  cert_file_name?: RecognizedString;

  /**
   * Path of the authorities that sign certificates of clients, a PEM file with one or several. With it clients are asked
   * for a certificate. One that no authority here has signed ends the handshake; a client without any is served, and
   * {@link HttpResponse.getX509Certificate} tells which it is.
   *
   * @default Clients are not asked for a certificate
   */
  ca_file_name?: RecognizedString;

  /** What the private key is encrypted with. Without effect where it is not. */
  passphrase?: RecognizedString;

  /**
   * Taken and not read: there is no key exchange with finite fields here, and no cipher that would use it. The first
   * time in a process it emits the warning `WARN_MILLIWAYS_DH_PARAMS`.
   */
  dh_params_file_name?: RecognizedString;

  /**
   * The allowed ciphers, by the names that OpenSSL has for them, separated by colons. They are those of the table in
   * docs/TLS.md; groups of OpenSSL, such as `HIGH` or `!aNULL`, are none. Where none of TLS 1.3 is named all of those are
   * allowed, and where none of TLS 1.2 is named there is no TLS 1.2.
   *
   * @default All nine
   */
  ssl_ciphers?: RecognizedString;

  /** Taken, and without effect: a connection has no buffers while it is idle. */
  ssl_prefer_low_memory_usage?: boolean;

  /**
   * The private key itself, as the file would have it, in place of {@link key_file_name}. Its line breaks may be missing
   * or written as `\n`, which is how environment variables have them. Ours: uWebSockets.js has no such option.
   */
  key?: RecognizedString;

  /** The certificate and its chain themselves, in place of {@link cert_file_name}. Ours as well. */
  cert?: RecognizedString;

  /** The authorities themselves, in place of {@link ca_file_name}. Ours as well. */
  ca?: RecognizedString;
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
 * Registering a pattern again replaces its handler, and `null` as handler removes the route. An ArrayBuffer as handler
 * is a {@link DeclarativeResponse}, with which all of its requests are answered.
 *
 * Any registration throws an Error
 *  - `ERR_MILLIWAYS_MISSING_ARGUMENT` with fewer arguments than it needs,
 *  - `ERR_MILLIWAYS_INVALID_DATA` when the pattern is not {@link TextOrBytes},
 *  - `ERR_MILLIWAYS_INVALID_PATTERN` when the pattern cannot be one,
 *  - `ERR_MILLIWAYS_INVALID_DECLARATION` when an ArrayBuffer is not what {@link DeclarativeResponse.end} returned,
 *  - `ERR_MILLIWAYS_INVALID_HANDLER` when the handler is none of these,
 *  - `ERR_MILLIWAYS_NOT_SUPPORTED` when there is an argument more than it takes, as of every method here that is not called
 *    for a message: what is passed is not ignored.
 */
export interface TemplatedApp {
  // The second of each two is for `Parameters<TemplatedApp['get']>[1]`, which programs call, or ask for its parameters: it
  // is that of the last.
  /** Registers a handler of GET requests. Unlike in other servers it does not get HEAD requests; see {@link head}. */
  get(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  get(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /** Registers a handler of POST requests. */
  post(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  post(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /** Registers a handler of OPTIONS requests. `OPTIONS *`, about the server as a whole, goes to the patterns `*` and `/*`. */
  options(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  options(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /** Registers a handler of DELETE requests. */
  del(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  del(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /** Registers a handler of PATCH requests. */
  patch(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  patch(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /** Registers a handler of PUT requests. */
  put(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  put(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /** Registers a handler of HEAD requests. */
  head(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  head(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /** Registers a handler of CONNECT requests. */
  connect(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  connect(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /** Registers a handler of TRACE requests. */
  trace(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  trace(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /** Registers a handler of requests of any method that no route of their own method matches. */
  any(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  any(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;

  /**
   * Registers a WebSocket route. It takes the requests that ask for the WebSocket protocol (RFC 6455 section 4.2.1) and
   * goes before all other routes that match them; plain requests pass it by. One that asks for another version of the
   * protocol than 13 is answered with `426 Upgrade Required`, and one with several keys or versions with `400 Bad Request`. All
   * others become WebSockets, unless an
   * {@link WebSocketBehavior.upgrade} handler decides.
   *
   * @param behavior Read once, here; changes to the object later have no effect.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when a handler is given that is no function; a TypeError with this
   * code when the behavior is no object.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` when a number is out of the range that its option names.
   */
  ws<UserData>(pattern: TextOrBytes, behavior: RouteBehavior<UserData>): TemplatedApp;
  // For `Parameters<TemplatedApp['ws']>[1]`, which is that of the last.
  ws<UserData>(pattern: TextOrBytes, behavior: WebSocketBehavior<UserData>): TemplatedApp;

  // In the order of uWebSockets.js, since `Parameters<TemplatedApp['listen']>` has those of the last.
  /**
   * Listens on a port of one address; else as without a host.
   *
   * @param host An IP address, or a name. A name is looked up, for which the whole process waits. `''` is all addresses.
   */
  listen(host: TextOrBytes, port: number, callback: ListenHandler): TemplatedApp;
  /**
   * Listens on a port of one address, with an option such as {@link LIBUS_LISTEN_EXCLUSIVE_PORT}. The port may stand before
   * the host.
   */
  listen(
    hostOrPort: TextOrBytes | number,
    portOrHost: number | TextOrBytes,
    options: ListenOptions,
    callback: ListenHandler,
  ): TemplatedApp;
  /**
   * Listens on a port of all addresses, IPv6 and IPv4. With port 0 the system chooses one; {@link us_socket_local_port}
   * tells which.
   *
   * The callback is called before this returns, and what it throws comes out of here. It gets a token, which closes the
   * port again with {@link us_listen_socket_close}, or `false` and an Error when the port or the host is not to be had.
   *
   * An app may listen several times. While it does, or has connections, it keeps the process running.
   *
   * @param port From 0 to 65535; without one the system chooses. Anything else is told to the callback as a RangeError.
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without at least a port and a callback.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when the callback is no function.
   */
  listen(port: number, callback: ListenHandler): TemplatedApp;
  // One signature for both: a class that stands for an app of uWebSockets.js has it for options.
  /**
   * Listens on a port of all addresses, with an option such as {@link LIBUS_LISTEN_EXCLUSIVE_PORT}; or, with a host in its
   * place, on a port of one address. That is the order of node:http, which in uWebSockets.js is all addresses.
   */
  listen(port: number, optionsOrHost: ListenOptions | TextOrBytes, callback: ListenHandler): TemplatedApp;

  /**
   * Listens on a Unix socket. A socket that is at the path already is replaced, any other file is not. Only processes
   * of the same user may connect (mode 0700). The file stays when listening ends.
   *
   * The callback is called before this returns, with a token as in {@link listen}, or `false` and an Error when the path
   * is not to be had. {@link us_socket_local_port} gives -1 for the token.
   *
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a callback and a path.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when the callback is no function.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the path is not {@link TextOrBytes}.
   */
  listen_unix(callback: ListenHandler, path: TextOrBytes): TemplatedApp;

  // The count is a number. uWebSockets.js declares the object, `Number`, with which nothing can be calculated; a class with
  // a `filter` that is declared so would not be an app if this were `number`.
  /**
   * Sets a function that is called for every connection: with 1 when it was accepted, and with -1 when it has ended. A
   * connection that becomes a WebSocket stays the same connection. Several functions are called in the order in which
   * they were set; for connections that came before the first, only the -1 is told.
   *
   * The response stands for the connection. With 1 its addresses and ports can be asked for, and
   * {@link HttpResponse.close} turns the client away; there is no request to answer yet, and methods that write throw
   * an Error `ERR_MILLIWAYS_RESPONSE_DONE`. With -1 there is nothing to ask for any more.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function.
   */
  filter(handler: (res: HttpResponse, count: any) => HandlerResult): TemplatedApp;

  /**
   * In an SSLApp, has the routes that are registered next, until the next call, apply to one name that was added with
   * {@link addServerName}. Each name has routes of its own and no others: a request that none of them matches is answered
   * with 404. A name that was not added, such as `''`, leads back to the routes of the app, which all clients get that ask
   * for no name or for another one.
   *
   * What counts is the name of the handshake (RFC 6066 section 3), not the Host of the request. Topics are those of the
   * app, whatever the name.
   *
   * An app without TLS does not know which name a client asks for: all share the routes, whatever names were given, and
   * the first call in a process emits the warning `WARN_MILLIWAYS_DOMAIN`.
   *
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a host name.
   */
  domain(hostname: TextOrBytes): TemplatedApp;

  /**
   * In an SSLApp, adds a certificate for a host name, before or after listening, or replaces the one that the name had;
   * its routes stay. Clients get it that ask for the name from then on. Letter case and a dot at the end do not matter, and
   * `bücher.example` is `xn--bcher-kva.example` (RFC 5890). With `*` as its first label, `*.example.com`, a name stands for
   * all that have one label in its place and were not added themselves.
   *
   * Without effect in an app without TLS.
   *
   * @param options Those about TLS count, all of them, with their own defaults and not the app's.
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a host name.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the name is not {@link TextOrBytes}.
   * @throws Error `ERR_MILLIWAYS_INVALID_SERVER_NAME` when no client can ask for the name, such as an address.
   * @throws Error `ERR_MILLIWAYS_TLS` as {@link SSLApp} does. What the name had before stays.
   */
  addServerName(hostname: TextOrBytes, options?: AppOptions): TemplatedApp;

  /**
   * In an SSLApp, removes a name that was added, with its certificate and its routes. Connections that have it live on,
   * and get 404 for whatever they ask next, also when the name is added again; their WebSockets stay. Call {@link domain}
   * before more routes are added: those of a name that was removed are refused, with an Error
   * `ERR_MILLIWAYS_INVALID_SERVER_NAME`. Without effect for a name that is not there, and in an app without TLS.
   *
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a host name.
   */
  removeServerName(hostname: TextOrBytes): TemplatedApp;

  /**
   * In an SSLApp, sets the function that is called in a handshake for a name that was not added. It may add the name, and
   * the handshake then goes on with that; else the client gets the certificate and the routes of the app. It has to do so
   * before it returns: what it awaits is too late. It replaces the one that was set before.
   *
   * An app without TLS never calls it.
   *
   * It is not called for what is no host name, such as an address: such clients are served as those who ask for no name.
   *
   * @param handler Gets the name in lower case, without a dot at its end, and in the form of IDNA. What it throws becomes an `uncaughtException`, and counts as not added.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function.
   */
  missingServerName(handler: (hostname: string) => HandlerResult): TemplatedApp;

  // Optional, since a class that stands for an app of uWebSockets.js has no such method. Apps do have it.
  /**
   * In an SSLApp, reads all files of its options, and of those of its server names, again. Connections that come from
   * then on get what they hold; those that are open live on. What was given as contents stays.
   *
   * Without effect in an app without TLS. Ours: uWebSockets.js has no such method.
   *
   * @throws Error `ERR_MILLIWAYS_TLS` as {@link SSLApp} does. Everything is then as it was, so another attempt can follow.
   */
  reloadCertificates?(): TemplatedApp;

  /**
   * Sends a message to all WebSockets of this app that have subscribed to a topic with {@link WebSocket.subscribe}. It
   * is on its way at the end of this turn of the event loop, and in order with what is sent to each of them directly.
   * One whose client reads too slowly is skipped, as in {@link WebSocket.send}, and its `dropped` handler runs.
   *
   * @param isBinary Whether it goes out as binary. It is text by default, and has to be valid UTF-8 then.
   * @param compress Whether to compress it where that was negotiated, see {@link WebSocketBehavior.compression}.
   * @returns Whether anybody has subscribed to the topic.
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a topic and a message.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when either is not {@link TextOrBytes}.
   */
  publish(topic: TextOrBytes, message: TextOrBytes, isBinary?: boolean, compress?: boolean): boolean;

  /** How many WebSockets of this app have subscribed to a topic. */
  numSubscribers(topic: TextOrBytes): number;

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
 * `await` that needs no input or output. When it throws, or the promise that it returns is rejected, also after
 * {@link HttpResponse.onAborted}, the client gets a 500, or is disconnected in the middle of the response, `onAborted` is called,
 * and the error becomes an `uncaughtException` or an `unhandledRejection`. Nothing happens to a response that is complete.
 */
export type HttpHandler = (res: HttpResponse, req: HttpRequest) => HandlerResult;

// The function is an HttpHandler, as a method, which TypeScript compares less strictly. So a class may stand for an app
// whose handlers get requests that have more members.
/** What a route is registered with: a function, a {@link DeclarativeResponse}, or null to remove the route. */
export type RouteHandler =
  { handle(res: HttpResponse, req: HttpRequest): HandlerResult }['handle'] | ArrayBuffer | null;

/**
 * Gets a token of the listening socket, or `false` when listening failed, and then why. The second argument is ours:
 * uWebSockets.js tells `false` alone.
 */
export type ListenHandler = (listenSocket: us_listen_socket | false, error?: ListenError) => HandlerResult;

/** Why listening failed. It is an Error as the servers of Node emit it, or a RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` of a port. */
export interface ListenError extends Error {
  /**
   * The system's code, such as `EADDRINUSE`, `EACCES` or `EADDRNOTAVAIL`; `ENOTFOUND` or `EAI_AGAIN` of a host name;
   * `ERR_MILLIWAYS_OUT_OF_RANGE` of a port.
   */
  code: string;
  /** The system's number for it, negated as libuv has it. */
  errno?: number;
  /** `listen`, or `getaddrinfo` when the host was looked up. */
  syscall?: string;
  /** The host, `::` without one, or the path. */
  address?: string;
  /** The port, if it is not 0; -1 with a path. */
  port?: number;
  /** The host that was looked up. */
  hostname?: string;
}

// Any type, so that `(ws, message) => ws.send(message)` and async functions both fit. `unknown` would do that as well,
// but a handler read back from a behavior would no longer be assignable to one that is declared to return void.
/** What a handler returns is ignored. After one that returns a promise, microtasks run before the next event. */
export type HandlerResult = any;

/**
 * Options and handlers of a WebSocket route. The type argument is what {@link WebSocket.getUserData} returns.
 *
 * For a number, text that has one, a boolean or an object with a `valueOf` will do; a fraction is cut off. Anything else,
 * such as null, NaN or `'1mb'`, is a RangeError. A value that is undefined is the same as none.
 */
export interface WebSocketBehavior<UserData = unknown> {
  /**
   * Which compression may be negotiated (permessage-deflate, RFC 7692): {@link DISABLED}, or a compressor and a
   * decompressor combined with `|`. Clients that cannot do it connect without. Messages that clients compress are
   * decompressed; what is sent is compressed where {@link WebSocket.send} asks for it. Safari 15.0 to 15.3, and all that is
   * made of its engine on iOS 15.0 to 15.3, break on compressed messages, and connect without as well, by their User-Agent.
   *
   * The shared ones take no memory for a connection, and see each message for itself. Dedicated ones remember the end of
   * what their connection has sent or received, which makes short messages much shorter. They take the memory for that
   * as it comes: a compressor at most an eighth to a sixth of what its name says, a decompressor what its name says.
   * docs/COMPRESSION.md has what each constant takes and gives.
   *
   * A compressor alone goes with the shared decompressor, and a decompressor alone with the shared compressor.
   *
   * @default DISABLED
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} for any other number.
   */
  compression?: CompressOptions;

  /**
   * The longest message, in bytes, that is received; for one in fragments their sum counts. A client that sends a
   * longer one is disconnected with close code 1009 (RFC 6455 section 7.4.1), as soon as a frame's header announces it; where
   * compression was agreed on, that is so from a sixteenth more on, and else when it is there.
   *
   * Infinity, and whatever is more than 4 GiB, counts as 4 GiB less one byte.
   *
   * @default 16384
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} for what is not a number, or below 0.
   */
  maxPayloadLength?: number;

  /**
   * Seconds without anything received after which the client is disconnected: 0 for never, or 8 to 960. A client that takes
   * some of what waits to be sent to it counts as heard from. The time is measured coarsely, to some seconds. With
   * {@link sendPingsAutomatically} only a client that does not answer runs into it.
   *
   * @default 120
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} for what is not a number, below 0, 1 to
   * 7, or more than 960.
   */
  idleTimeout?: number;

  /**
   * The bytes that may wait to be sent to one client. While more than that are waiting, further messages to it are
   * dropped; one message that goes over it still queues. 0 or Infinity for no limit.
   *
   * @default 65536
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} for what is not a number, or below 0.
   */
  maxBackpressure?: number;

  // A number is what earlier versions of uWebSockets.js declare.
  /**
   * Whether a client is disconnected at the first message that {@link maxBackpressure} would drop. 0 is false, and other
   * numbers are true.
   *
   * @default false
   */
  closeOnBackpressureLimit?: boolean | number;

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
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} for what is not a number, below 0, or
   * more than 240.
   */
  maxLifetime?: number;

  /**
   * Bytes from which on messages are compressed, of those that are to be: compressing short ones costs more than it
   * saves. With Infinity none is. Ours: uWebSockets.js has no such option.
   *
   * @default 0
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} for what is not a number, or below 0.
   */
  compressionThreshold?: number;

  /** Whether {@link message} gets text as a string: see {@link TextAsStringBehavior}. */
  textAsString?: false;

  /**
   * A client asks for a WebSocket. The handler decides: {@link HttpResponse.upgrade} makes it one, and any other
   * answer, such as `res.writeStatus('401 Unauthorized').end()`, does not. It must do so before it returns, or attach
   * {@link HttpResponse.onAborted} and do so later, as an {@link HttpHandler} must. {@link HttpRequest.setYield} passes
   * the request on to the routes behind.
   *
   * Without this handler every client is accepted, and gets the first subprotocol that it offers. What is wrong with
   * the handshake (RFC 6455 section 4.2.1) is answered before the handler would run.
   *
   * @param context What {@link HttpResponse.upgrade} takes as its last argument. It can be kept.
   */
  upgrade?: (res: HttpResponse, req: HttpRequest, context: us_socket_context_t) => HandlerResult;

  // uWebSockets.js declares the WebSocket alone, and code that wraps a behavior calls this with nothing else. Of the types
  // that allow it, this is the one by which a handler's second parameter is no `HttpRequest | undefined`.
  /**
   * A client has connected.
   *
   * The request is passed to a function that declares two parameters, as code of 2019 does, and valid as it is in an
   * {@link HttpHandler}. A function that declares one is called with one, and so is every function when an
   * {@link upgrade} handler has accepted the client: the request was that handler's.
   */
  open?: (ws: WebSocket<UserData>, ...req: HttpRequest[]) => HandlerResult;

  /**
   * A message has come in, whole.
   *
   * The ArrayBuffer is the handler's own. It may be kept, written to, transferred and handed to asynchronous functions
   * such as `fs.write`: its memory is used for nothing else.
   *
   * @param isBinary Whether it is binary. Text is UTF-8, and was checked to be (RFC 6455 section 8.1).
   */
  message?: (ws: WebSocket<UserData>, message: ArrayBuffer, isBinary: boolean) => HandlerResult;

  /**
   * A message to this client was dropped, because more than {@link maxBackpressure} bytes were waiting; `send` has not
   * returned yet, or it was published. The ArrayBuffer is the handler's own, as in {@link message}. Of a message in
   * parts this is told for each, and `isBinary` counts for the first. Without this handler nobody looks at what is
   * dropped, and dropping a long message takes no longer than dropping a short one.
   *
   * While a handler of this runs, none is called for what is dropped: `send` returns 2 in it, and that is all.
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
   * @param message The reason, UTF-8. The ArrayBuffer is the handler's own, as in {@link message}.
   */
  close?: (ws: WebSocket<UserData>, code: number, message: ArrayBuffer) => HandlerResult;

  /**
   * A ping has come in, and was answered already. (While much waits for a client that reads slowly, only the newest of its
   * pings is answered, as soon as the frame that is going out ends: RFC 6455 section 5.5.3.) The ArrayBuffer, of at most
   * 125 bytes, is the handler's own.
   */
  ping?: (ws: WebSocket<UserData>, message: ArrayBuffer) => HandlerResult;

  /** A pong has come in, asked for or not. The ArrayBuffer, of at most 125 bytes, is the handler's own. */
  pong?: (ws: WebSocket<UserData>, message: ArrayBuffer) => HandlerResult;

  /**
   * The number of a topic's subscribers has changed with this WebSocket: by {@link WebSocket.subscribe} or
   * {@link WebSocket.unsubscribe}, which have not returned yet, or because its connection has ended. Then the methods
   * of `ws` throw as in {@link close}, which runs next.
   *
   * @param topic The ArrayBuffer is the handler's own, as in {@link message}.
   */
  subscription?: (ws: WebSocket<UserData>, topic: ArrayBuffer, newCount: number, oldCount: number) => HandlerResult;
}

/**
 * A WebSocket route whose `message` handler gets text as a string, and binary messages as an ArrayBuffer. Making a
 * string costs less than making an ArrayBuffer and decoding that. Ours: uWebSockets.js has no such option.
 */
export interface TextAsStringBehavior<UserData = unknown> extends Omit<
  WebSocketBehavior<UserData>,
  'textAsString' | 'message'
> {
  textAsString: true;
  /**
   * As {@link WebSocketBehavior.message}. The message is a string when `isBinary` is false. A client that sends a text which
   * no string can hold (`buffer.constants.MAX_STRING_LENGTH`) is disconnected with close code 1009.
   */
  message?: (ws: WebSocket<UserData>, message: string | ArrayBuffer, isBinary: boolean) => HandlerResult;
}

/** What a WebSocket route is registered with: a {@link WebSocketBehavior}, or a {@link TextAsStringBehavior}. */
export type RouteBehavior<UserData = unknown> = WebSocketBehavior<UserData> | TextAsStringBehavior<UserData>;

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
   * @param compress Whether to compress it where that was negotiated, see {@link WebSocketBehavior.compression}.
   * @returns 1 when it was handed to the system (in a handler or a cork: will be, at its end), 0 when it waits because
   * the client reads too slowly, and 2 when it was dropped because more than `maxBackpressure` bytes were waiting.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the message is not {@link TextOrBytes}.
   */
  send(message: TextOrBytes, isBinary?: boolean, compress?: boolean): number;

  /**
   * Sends the first part of a message (RFC 6455 section 5.4), to be followed by any number of {@link sendFragment} and
   * one {@link sendLastFragment}. In between, only pings can be sent; what is published to topics waits for the end of
   * the message. Messages in parts are not compressed, whatever `compress` says.
   *
   * @returns As {@link send} does. When the first part was dropped, so are the others.
   * @throws Error `ERR_MILLIWAYS_FRAGMENT_ORDER` while another message in parts is not complete. So does {@link send}.
   */
  sendFirstFragment(message: TextOrBytes, isBinary?: boolean, compress?: boolean): number;

  /**
   * Sends a further part of a message.
   *
   * @returns As {@link send} does. It is dropped only if the first part was.
   * @throws Error `ERR_MILLIWAYS_FRAGMENT_ORDER` without a first part.
   */
  sendFragment(message: TextOrBytes, compress?: boolean): number;

  /** Sends the last part of a message; else as {@link sendFragment}. */
  sendLastFragment(message: TextOrBytes, compress?: boolean): number;

  /**
   * Sends a ping (RFC 6455 section 5.5.2). The client answers it by itself; see {@link WebSocketBehavior.pong}. It goes out
   * behind what was sent before, and is dropped where a message would be. (Those of
   * {@link WebSocketBehavior.sendPingsAutomatically} go ahead of what waits.)
   *
   * @param message At most 125 bytes. None by default.
   * @returns As {@link send} does.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the message is not {@link TextOrBytes}.
   */
  ping(message?: TextOrBytes): number;

  /**
   * Closes the connection in good order: what was sent before goes out, then a close frame (RFC 6455 section 5.5.1).
   * The TCP connection ends once the client has answered with its own, or after 10 seconds in which it has neither done so
   * nor taken any of what was still to be sent. The `close` handler runs before this returns, with the same code and reason.
   *
   * @param code 1000, or 3000 to 4999 for reasons of your own; also 1001 to 1003 and 1007 to 1014, which have a meaning (RFC
   * 6455 section 7.4.1). Without one the frame is empty, and the handler gets 0.
   * @param shortMessage The reason. A close frame has room for 123 bytes of UTF-8; a longer one is cut between two
   * characters. It is sent only with a code.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` for a code that must not be sent: the WebSocket is still open.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the reason is not {@link TextOrBytes}.
   */
  end(code?: number, shortMessage?: TextOrBytes): void;

  /**
   * Drops the connection, without a close frame; what was waiting to be sent is lost. The `close` handler runs before
   * this returns, with code 1006.
   */
  close(): void;

  /**
   * The bytes that wait to be sent, because the client reads too slowly, or that can't be sent any more, because the
   * connection has failed and `close` is about to be called. Frame headers count.
   */
  getBufferedAmount(): number;

  /** The address that the connection comes from, as {@link HttpResponse.getRemoteAddress} gives it. */
  getRemoteAddress(): ArrayBuffer;

  /** The same as text, as {@link HttpResponse.getRemoteAddressAsText} gives it. */
  getRemoteAddressAsText(): ArrayBuffer;

  /** The port that the connection comes from; 0 on a Unix socket. */
  getRemotePort(): number;

  /**
   * Subscribes to a topic: what is published to it is sent to this WebSocket from now on. A topic is any text or bytes,
   * and exists as long as somebody has subscribed to it. The subscription ends with the WebSocket.
   *
   * @returns true, also when it has subscribed before, which changes nothing.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the topic is not {@link TextOrBytes}.
   * @throws RangeError `ERR_MILLIWAYS_TOO_DEEP` in a handler inside more than 100 others that have called each other, as a
   * `subscription` handler does that subscribes to something else each time. So do {@link unsubscribe} and
   * {@link unsubscribeAll}.
   */
  subscribe(topic: TextOrBytes): boolean;

  /**
   * Ends a subscription. What has been published before still arrives.
   *
   * @returns Whether there was one.
   */
  unsubscribe(topic: TextOrBytes): boolean;

  /**
   * Ends all subscriptions.
   *
   * @deprecated It is of 2019.
   */
  unsubscribeAll(): boolean;

  /** Whether it has subscribed to a topic. */
  isSubscribed(topic: TextOrBytes): boolean;

  // uWebSockets.js declares strings alone, and so programs expect them.
  /** The topics that it has subscribed to, in no particular order. */
  getTopics(): string[];
  /**
   * The same where topics may be bytes that are not UTF-8, which come as an ArrayBuffer: `getTopics<string | ArrayBuffer>()`.
   * Each is what {@link unsubscribe} and {@link isSubscribed} take.
   */
  getTopics<Topic extends string | ArrayBuffer>(): Topic[];

  /**
   * Publishes as {@link TemplatedApp.publish} does, to all subscribers but this WebSocket, whether it has subscribed
   * itself or not.
   *
   * @returns Whether anybody else has subscribed.
   */
  publish(topic: TextOrBytes, message: TextOrBytes, isBinary?: boolean, compress?: boolean): boolean;

  /**
   * Stops reading. The client is slowed down when the buffers on the way are full: so one that sends faster than its
   * messages can be dealt with does not fill memory. Meanwhile no handler tells of it, not even that it has closed,
   * unless its connection breaks, and {@link WebSocketBehavior.idleTimeout} does not run. Sending works. Ours:
   * uWebSockets.js has nothing of the kind.
   */
  pause(): WebSocket<UserData>;

  /** Goes on reading. */
  resume(): WebSocket<UserData>;

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
  /**
   * The path, as it was sent: not decoded, and without the query. Of a target in absolute form (RFC 9112 section 3.2.2) it is
   * the path, too, and of `OPTIONS *` it is `*`.
   */
  getUrl(): string;

  /**
   * The value of a header, without white space around it, or `''` when there is none. Of several with one name it is
   * the first, but for `sec-websocket-protocol` and `sec-websocket-extensions`: theirs are one list (RFC 6455 section 11.3),
   * separated by commas.
   * `host` is the one that the target names, if the target is in absolute form. A request of HTTP/1.0 need not have one.
   *
   * @param lowerCaseKey The name in lower case, whatever the client wrote. Nothing is found with a name in upper case.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the name is not {@link TextOrBytes}.
   */
  getHeader(lowerCaseKey: TextOrBytes): string;

  /** The method in lower case: `get`, `post` and so on. */
  getMethod(): string;

  /** The method as it was sent. */
  getCaseSensitiveMethod(): string;

  // `string` alone is what uWebSockets.js declares, and code that passes it on would not compile with more.
  /**
   * What follows the `?` in the address, not decoded; `''` when nothing does. Where there is no `?` the value is
   * `undefined`, contrary to the declared type, which is that of uWebSockets.js.
   */
  getQuery(): string;

  /**
   * The value of the first pair `key=value` of the query with this key, or `undefined` when there is none. The value is
   * decoded as forms encode it (WHATWG URL section 5.1): `+` is a space, and `%41` is `A`; what is no valid escape
   * stands for itself. The key is compared as it was sent, not decoded, and what has no `=` is no pair.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the key is not {@link TextOrBytes}.
   */
  getQuery(key: TextOrBytes): string | undefined;

  /**
   * The value of a parameter of the route's pattern, not decoded, or `undefined` when the pattern has no such
   * parameter. In `/users/:id` with the address `/users/5`, both `getParameter(0)` and `getParameter('id')` give `5`.
   *
   * @param index Its position in the pattern, counted from 0, or its name without the colon. Of several with one name
   * it is the first.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when it is neither a number nor {@link TextOrBytes}.
   */
  getParameter(index: number | TextOrBytes): string | undefined;

  /**
   * Calls the function, now, for each header in the order in which they were sent: with its name in lower case, and its
   * value without white space around it. Bytes of a value that are not ASCII are taken for UTF-8, unlike by
   * {@link getHeader}, which takes them for Latin-1: uWebSockets.js does the same.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function. What it throws comes out of here.
   */
  forEach(callback: (key: string, value: string) => HandlerResult): void;

  /**
   * Whether the request goes on to the next route that matches it, if the handler returns without having answered;
   * after the last one it is answered with `404 File Not Found`. A handler that yields should leave the response alone:
   * the next one gets it as it is.
   *
   * @param yields The last call counts. Without one it does not go on.
   */
  setYield(yields: boolean): HttpRequest;
}

/**
 * The response to a request. It may be used until it is complete ({@link end}, {@link endWithoutBody}, the last {@link
 * tryEnd}, {@link upgrade}), or {@link close} was called, or the client went away, which calls {@link onAborted}. After
 * that its methods throw an Error `ERR_MILLIWAYS_RESPONSE_DONE`.
 *
 * Most methods return it, so that calls can be chained. Data that is passed is copied or sent before they return, so
 * its memory may be reused at once.
 *
 * What writes, outside of handlers and of {@link cork}, costs system calls of its own. The first time in a process it
 * emits the warning `WARN_MILLIWAYS_UNCORKED`.
 *
 * **The body of a response** is given in one of three ways: all at once with {@link end}; in chunks of unknown number
 * with {@link write}, and `end` for the last; or, with its length announced, as far as the socket takes it, with
 * {@link tryEnd}. A response to HEAD, or with the status 204 or 304, never has a body (RFC 9110 sections 9.3.2, 15.3.5,
 * 15.4.5): the bytes that are given for it are left out.
 *
 * **The body of a request** is given to the handler that {@link onData}, {@link onDataV2} or {@link collectBody}
 * attaches. Another one throws an Error `ERR_MILLIWAYS_BODY_TAKEN`, but that a handler of pieces may take the place of one that
 * has not been called yet. When it fails with the last piece, the response fails as that of an {@link HttpHandler} does. Until one is attached, which may be after an `await`,
 * the body stays in the kernel's buffer and slows its sender down. When the response is complete, what is left of the
 * body is read and discarded, since the next request stands behind it. Uploads slower than 16 KB/s, averaged over
 * {@link AppOptions.idleTimeout}, are cut off. To receive a body takes time, so {@link onAborted} is needed as well.
 */
export interface HttpResponse {
  /**
   * Sets the status, such as `404 Not Found`. It comes first: once a header or the body was written, or a status, it
   * has no effect. Without it the status is `200 OK`, and that of {@link upgrade} `101 Switching Protocols`. A number alone,
   * `404`, gets the reason phrase that is registered with it, or an empty one.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when it is not {@link TextOrBytes}.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` when it is not a number from 200 to 999 with, after a space, a reason
   * phrase (RFC 9112 section 4), or 101. A response that has 101 throws it from what would complete it.
   * @throws Error `ERR_MILLIWAYS_INVALID_HEADER` when it contains CR, LF or NUL (RFC 9110 section 5.5).
   */
  writeStatus(status: TextOrBytes): HttpResponse;

  /**
   * Adds a header. Content-Length, Transfer-Encoding, Date and what the connection needs are written for you. Those of your
   * own, in any letter case, stand for them, and are sent once:
   *
   * - Content-Length must be the length of the body, or completing the response throws. With {@link write} the body then
   *   comes without chunks. In answer to HEAD, and with 304, it is sent as it is; with 204 it is left out.
   * - `Transfer-Encoding: chunked` is left out where the length is known.
   * - `Connection: close` closes the connection after the response. `keep-alive` gives way to a close.
   * - Of several Dates the first counts.
   * - Before {@link upgrade}, Connection, Upgrade, Sec-WebSocket-Accept and Sec-WebSocket-Extensions give way to those of the
   *   handshake, and Sec-WebSocket-Protocol stands for the subprotocol that is passed to it.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when name or value is not {@link TextOrBytes}.
   * @throws Error `ERR_MILLIWAYS_INVALID_HEADER` when the value contains CR, LF or NUL (RFC 9110 section 5.5), the name is not
   * a token (section 5.6.2), a Content-Length is not a whole number or another one than before, or a Transfer-Encoding is
   * not `chunked`.
   * @throws Error `ERR_MILLIWAYS_RESPONSE_ORDER` when the body has begun.
   */
  writeHeader(key: TextOrBytes, value: TextOrBytes): HttpResponse;

  /**
   * Ends the headers of a response whose body comes in chunks, and sends them without waiting for the first. {@link
   * write} does so by itself. Until then, or until the response is complete, the headers are not sent. To a client of
   * HTTP/1.0, which knows no chunks, the body goes as it is, and the end of the connection ends it (RFC 9112 section 6.3).
   *
   * @throws Error `ERR_MILLIWAYS_RESPONSE_ORDER` after {@link tryEnd}.
   */
  beginWrite(): HttpResponse;

  /**
   * Sends a chunk of the body (RFC 9112 section 7.1); {@link end} sends the last. An empty one is left out. After a
   * Content-Length of your own it is sent as it is.
   *
   * @returns Whether the client keeps up. When it does not, what was written is kept in memory, and {@link onWritable}
   * tells when all of it has been sent. Writing goes on being possible; waiting saves the memory.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the chunk is not {@link TextOrBytes}.
   * @throws Error `ERR_MILLIWAYS_CONTENT_LENGTH` when the body is longer with it than your Content-Length says.
   * @throws Error `ERR_MILLIWAYS_RESPONSE_ORDER` after {@link tryEnd}.
   */
  write(chunk: TextOrBytes): boolean;

  /**
   * Completes the response. After {@link write}, the body is its last chunk. After {@link tryEnd}, it is what follows
   * {@link getWriteOffset}: bytes above the announced length are left out, and with fewer the connection is closed,
   * which is how the client can tell.
   *
   * @param body Empty by default.
   * @param closeConnection Whether to close the connection when the response was sent. `false` by default, unless the
   * client asked for it.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the body is not {@link TextOrBytes}.
   * @throws Error `ERR_MILLIWAYS_CONTENT_LENGTH` when the body is not as long as your Content-Length says. The response can
   * still be completed.
   */
  end(body?: TextOrBytes, closeConnection?: boolean): HttpResponse;

  /**
   * Completes the response without a body, and with the Content-Length that is given: as a HEAD, or a 304, is answered
   * (RFC 9110 section 8.6; with 204 it is left out). In answer to other methods a client waits for as many bytes as that says, and without a
   * length for the end of the connection: pass 0, or close it.
   *
   * @param reportedContentLength In bytes. By default there is no Content-Length. Without effect once the body has
   * begun.
   * @param closeConnection As in {@link end}.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` when the length is no whole number.
   * @throws Error `ERR_MILLIWAYS_CONTENT_LENGTH` when it is not what your Content-Length says.
   */
  endWithoutBody(reportedContentLength?: number, closeConnection?: boolean): HttpResponse;

  /**
   * Sends a piece of a body whose length is announced, as far as the socket takes it, and completes the response with
   * the last byte. What the socket does not take is not kept, which makes it fit for bodies of any length: on
   * `[false, false]` go on in {@link onWritable}, from the byte that {@link getWriteOffset} names.
   *
   * A piece of less than 32 KiB is taken whole, unless earlier ones still wait.
   *
   * @param fullBodyOrChunk What follows the bytes that have been taken. What goes beyond `totalSize` is left out.
   * @param totalSize The length of the whole body in bytes. The first call counts, and later ones cannot change it.
   * Without it, or with 0, the first piece is the whole body.
   * @param closeConnection As in {@link end}. The headers tell the client only if the first call says so.
   * @returns Whether the socket has taken all of the piece, and whether the response is complete.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when the piece is not {@link TextOrBytes}.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` when the size is no whole number.
   * @throws Error `ERR_MILLIWAYS_CONTENT_LENGTH` when it is not what your Content-Length says.
   * @throws Error `ERR_MILLIWAYS_RESPONSE_ORDER` after {@link beginWrite} or {@link write}.
   */
  tryEnd(fullBodyOrChunk: TextOrBytes, totalSize?: number, closeConnection?: boolean): [boolean, boolean];

  /** The bytes of the body that {@link tryEnd} has taken so far, over all calls; 0 for a body in chunks. */
  getWriteOffset(): number;

  /**
   * Closes the connection at once. What was written and not yet sent is lost, and the {@link onAborted} handler runs
   * before this returns.
   */
  close(): HttpResponse;

  /**
   * Stops reading the request's body, and the timeout that runs for it: no more chunks come, and the sender is slowed
   * down when the buffers in between are full. That the client has gone meanwhile is noticed as {@link onAborted} says, unless
   * more of the body lies before its end than these buffers hold.
   */
  pause(): HttpResponse;

  /** Goes on reading after {@link pause}. Without effect when it was not paused. */
  resume(): HttpResponse;

  /**
   * Calls the function, now, and sends what it writes in one system call. In handlers it is so anyway; it is for what
   * runs later.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function. What it throws comes out of here.
   */
  cork(callback: () => HandlerResult): HttpResponse;

  /**
   * The name that {@link cork} had once.
   *
   * @deprecated
   */
  collect(callback: () => HandlerResult): HttpResponse;

  /**
   * Makes the request a WebSocket, in an {@link WebSocketBehavior.upgrade} handler or later. The `open` handler runs
   * before this returns, and the response is not to be used any more.
   *
   * Headers that were written go out with the handshake. Its status is 101, and {@link writeStatus} need not be called.
   *
   * @param userData An object, whose own properties (names and symbols) are copied onto the WebSocket object; anything
   * else leaves it without.
   * @param secWebSocketKey The request's header `sec-websocket-key`, from which the answer is computed (RFC 6455
   * section 4.2.2). Read the headers before the first `await`.
   * @param secWebSocketProtocol The subprotocols, separated by commas, of which the first is chosen: the request's
   * header `sec-websocket-protocol`, or your choice from it. With `''` none is.
   * @param secWebSocketExtensions The request's header `sec-websocket-extensions`, or `''` for none of them.
   * @param context What the handler was called with.
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` with fewer than five arguments.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when key or protocol is not {@link TextOrBytes}.
   * @throws Error `ERR_MILLIWAYS_INVALID_UPGRADE` when the body of the response has begun, the key is not the base64 form of
   * 16 bytes, the protocol contains CR, LF or NUL, or a status other than 101 was written; a TypeError with this code when the
   * context is none. The response can be used on after any of these.
   * @throws RangeError `ERR_MILLIWAYS_TOO_DEEP` in a handler inside more than 100 others that have called each other.
   */
  upgrade<UserData>(
    userData: UserData,
    secWebSocketKey: TextOrBytes,
    secWebSocketProtocol: TextOrBytes,
    secWebSocketExtensions: TextOrBytes,
    context: us_socket_context_t,
  ): void;

  /**
   * Sets the function that runs when the connection ends before the response did, whoever ended it. A route handler
   * that answers after it has returned must set one, and remember there that there is nobody left to answer. Setting it
   * again replaces the function.
   *
   * A client that has finished sending, by a FIN or TLS's close_notify, may still wait for the response, and gets it; then the
   * connection closes. It may as well have gone. So it is taken for gone when what is written to it is answered by a reset, or
   * when nothing is written to it for 5 seconds, or for 500 ms if it finished while it waited, and not with its request or body:
   * that is what a client that leaves looks like. A client that vanishes without a word is noticed after some 30 seconds, or after
   * {@link AppOptions.idleTimeout} if that is more, and so is one that takes nothing of what was written to it for as long.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function.
   */
  onAborted(handler: () => HandlerResult): HttpResponse;

  /**
   * Sets the function that runs when the client has caught up: after {@link write} has returned false, when all that
   * was written has been sent; after {@link tryEnd} has, when the socket takes more. It may run again and again.
   * Setting it again replaces the function.
   *
   * @param handler Gets what {@link getWriteOffset} gives. It must return true when it has written all that there was
   * to write, or false; here nothing depends on which. The first time in a process that it returns anything else, the
   * warning `WARN_MILLIWAYS_WRITABLE` is emitted.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function.
   */
  onWritable(handler: (offset: number) => boolean): HttpResponse;

  /**
   * Receives the request's body in chunks, as they come. A request without a body gives one empty chunk, which is the
   * last. See {@link HttpResponse} for when a body is read.
   *
   * @param handler Gets a chunk and whether it is the last. The ArrayBuffer is the handler's own: it may be kept, and
   * handed to asynchronous functions such as `fs.write`.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function.
   */
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => HandlerResult): HttpResponse;

  /**
   * Receives the request's body as {@link onData} does.
   *
   * @param handler Gets a chunk, as in `onData`, and the bytes that can still come after it: `2n ** 64n - 1n`
   * while that is unknown, because the body comes in chunks (RFC 9112 section 7.1), and `0n` with the last.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when it is no function.
   */
  onDataV2(handler: (chunk: ArrayBuffer, maxRemainingBodyLength: bigint) => HandlerResult): HttpResponse;

  /**
   * Receives the request's body as a whole.
   *
   * @param maxSize The longest body, in bytes, that is kept.
   * @param handler Runs once: with the body, empty when there is none, or with null as soon as the body is larger than
   * `maxSize`. The rest is discarded then, and the response can still be given. The ArrayBuffer is the
   * handler's own, as in {@link onData}.
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` with fewer than two arguments.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` when the handler is no function.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` when the size is no whole number.
   */
  collectBody(maxSize: number, handler: (fullBody: ArrayBuffer | null) => HandlerResult): HttpResponse;

  /**
   * The address that the connection comes from, in network byte order: 4 bytes of an IPv4 address, 16 of an IPv6
   * address, none on a Unix socket. What listens on all addresses sees IPv4 addresses as those of IPv6 that they are
   * mapped to, `::ffff:0:0/96` (RFC 4291 section 2.5.5.2). The ArrayBuffer is yours.
   */
  getRemoteAddress(): ArrayBuffer;

  /**
   * The same as text, in ASCII: `127.0.0.1`, or eight groups of four digits in lower case, none left out, such as
   * `0000:0000:0000:0000:0000:0000:0000:0001`; empty on a Unix socket. `Buffer.from(buffer).toString()` makes it a
   * string.
   */
  getRemoteAddressAsText(): ArrayBuffer;

  /** The port that the connection comes from; 0 on a Unix socket. */
  getRemotePort(): number;

  /**
   * The address that a proxy's header names as the source, in the form of {@link getRemoteAddress}; empty when there
   * was no such header, or it names none. See {@link AppOptions.proxyProtocol}.
   */
  getProxiedRemoteAddress(): ArrayBuffer;

  /** The same as text, in the form of {@link getRemoteAddressAsText}. */
  getProxiedRemoteAddressAsText(): ArrayBuffer;

  /** The port that a proxy's header names as the source; 0 when {@link getProxiedRemoteAddress} is empty. */
  getProxiedRemotePort(): number;

  /**
   * In an SSLApp, the certificate that the client has shown, as PEM; the certificate alone, without those that it was sent
   * with. It was signed by one of {@link AppOptions.ca_file_name}. Empty when the client has shown none, or was not asked.
   * Responses of an app without TLS do not have it.
   */
  getX509Certificate(): string;

  /** Properties of your own may be set on it. */
  [key: string]: any;
}

// Empty, and so no stricter than `{}`, because in uWebSockets.js it is: code assigns `false` to variables of this type.
/** A listening socket, as the callback of {@link TemplatedApp.listen} gets it. It has no members. */
export interface us_listen_socket {}

/** What {@link us_socket_local_port} takes in the types of uWebSockets.js: nothing but a listening socket, here. */
export interface us_socket {}

/** What an {@link WebSocketBehavior.upgrade} handler gets, for {@link HttpResponse.upgrade}. It has no members. */
export interface us_socket_context_t {}

/**
 * Closes a listening socket. Connections that it has accepted stay. Calling it again has no effect.
 *
 * @throws TypeError `ERR_MILLIWAYS_INVALID_TOKEN` when it is not what a `listen` callback got.
 */
export function us_listen_socket_close(listenSocket: us_listen_socket): void;

/**
 * The port that a listening socket is bound to, or -1 when it is closed or is a Unix socket.
 *
 * @throws TypeError `ERR_MILLIWAYS_INVALID_TOKEN` when it is not what a `listen` callback got.
 */
export function us_socket_local_port(listenSocket: us_listen_socket): number;

/**
 * Builds a response that is the same for every request but for what it quotes of it. It is given without calling any
 * JavaScript, which is faster:
 *
 * `app.get('/hello/:name', new DeclarativeResponse().write('Hello ').writeParameterValue('name').end('!'))`
 *
 * The status and the headers come before the body. What no response can have throws when the route is registered, with the
 * code that {@link HttpResponse.writeStatus} or {@link HttpResponse.writeHeader} would throw. Whether the body is as long as a
 * Content-Length of your own says depends on the request: a response that is not is broken off, with a 500 if nothing of it was
 * written, and an Error `ERR_MILLIWAYS_NO_RESPONSE` becomes an `uncaughtException`.
 *
 * All methods throw an Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without an argument that they need. Lengths are those of
 * the text in UTF-8; a longer one throws a RangeError `ERR_MILLIWAYS_OUT_OF_RANGE`.
 */
export class DeclarativeResponse {
  /** Sets the status, such as `404 Not Found`, of at most 255 bytes. Without it the status is `200 OK`. */
  writeStatus(status: string): DeclarativeResponse;
  /** Adds a header. Name and value have at most 255 bytes each. */
  writeHeader(key: string, value: string): DeclarativeResponse;
  /** Stands for the body of the request. It adds nothing in this version, and the body is discarded. */
  writeBody(): DeclarativeResponse;
  /**
   * Adds the decoded value of {@link HttpRequest.getQuery} with a key of at most 255 bytes; nothing when there is none.
   */
  writeQueryValue(key: string): DeclarativeResponse;
  /** Adds the value of a header of the request, by its name in lower case, of at most 255 bytes. */
  writeHeaderValue(lowerCaseKey: string): DeclarativeResponse;
  /** Adds the value of a parameter of the route, by its name, of at most 255 bytes and without the colon. */
  writeParameterValue(name: string): DeclarativeResponse;
  /** Adds text of at most 65,535 bytes to the body, which then goes out in chunks (RFC 9112 section 7.1). */
  write(value: string): DeclarativeResponse;
  /**
   * Ends the response with text of at most 65,535 bytes, none by default. Alone it has a Content-Length.
   *
   * @returns What routes take as a handler. It may be used for several.
   */
  end(value?: string): ArrayBuffer;
}

/** A part of a form, as {@link getParts} gives it. */
export interface MultipartField {
  /** The content. It is a copy, and yours. */
  data: ArrayBuffer;
  // `string` alone is what code that is typed against uWebSockets.js expects.
  /** The field's name. It is missing, contrary to the declared type, when the part has none, as no browser sends it. */
  name: string;
  /** The part's Content-Type, if it has one. */
  type?: string;
  /**
   * The name of the file, if it is one, as the client gave it. Do not use it as a path.
   *
   * A `filename*` (RFC 8187) is decoded, and goes before a `filename`. Of the latter, `\"` is a quote; other backslashes and the
   * `%22` that browsers write for a quote stay, since a file may have such a name.
   */
  filename?: string;
}

/**
 * Takes a multipart body apart (RFC 7578), in order. Parts that cannot be read are left out, and so is one that has
 * more than ten headers or no end.
 *
 * @param body All of it; see {@link HttpResponse.collectBody}.
 * @param contentType The request's header `content-type`, which names the boundary.
 * @returns The parts, or `undefined` when the content type is none of a multipart body.
 * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when an argument is not {@link TextOrBytes}.
 */
export function getParts(body: TextOrBytes, contentType: TextOrBytes): MultipartField[] | undefined;

/**
 * Sets something for the thread, by a key; those that are not known have no effect. The one that uWebSockets.js knows
 * keeps responses from naming the interface in a header.
 */
export function _cfg(key: string): void;

/**
 * Node's `setTimeout`. uWebSockets.js has a function of this name, undocumented and without effect.
 *
 * @returns Node's `Timeout`.
 */
export function setTimeout(
  callback: (...parameters: any[]) => HandlerResult,
  delay?: number,
  ...parameters: any[]
): any;
/** Node's `clearTimeout`. */
export function clearTimeout(timeout?: any): void;
/** Does nothing, as in uWebSockets.js. */
export function arm(): void;

// The key-value store. A collection is a set of pairs of its own; without one it is that of the name ''. Strings and
// integers do not share theirs. All functions throw an Error ERR_MILLIWAYS_MISSING_ARGUMENT without an argument that
// they need, and ERR_MILLIWAYS_INVALID_DATA when a key, a string or a collection is not TextOrBytes.

/**
 * The string that is stored under a key, or `''` when there is none.
 *
 * The key-value store is shared by all threads of the process and lives as long as it does. Each call is atomic;
 * {@link lock} makes several so.
 *
 * @param collection The set of pairs that is meant. `''` by default.
 * @throws Error `ERR_MILLIWAYS_INVALID_DATA` when an argument is not {@link TextOrBytes}.
 */
export function getString(key: TextOrBytes, collection?: TextOrBytes): string;
/** Stores a string under a key. See {@link getString}. */
export function setString(key: TextOrBytes, value: TextOrBytes, collection?: TextOrBytes): void;
/** The integer that is stored under a key, or 0 when there is none. Integers and strings do not share keys. */
export function getInteger(key: TextOrBytes, collection?: TextOrBytes): number;
/** Stores an integer of 32 bits, with a sign, under a key; what is more is cut off, as `value | 0` does it. */
export function setInteger(key: TextOrBytes, value: number, collection?: TextOrBytes): void;
/** Adds to the integer that is stored under a key, or to 0, and gives the sum, which wraps at 32 bits. */
export function incInteger(key: TextOrBytes, value: number, collection?: TextOrBytes): number;
/** The keys of all strings of a collection, in the order of their bytes. */
export function getStringKeys(collection?: TextOrBytes): string[];
/** The same where keys may be bytes that are not UTF-8, which come as an ArrayBuffer. */
export function getStringKeys<Key extends string | ArrayBuffer>(collection?: TextOrBytes): Key[];
/** The keys of all integers of a collection, in the order of their bytes. */
export function getIntegerKeys(collection?: TextOrBytes): string[];
/** The same where keys may be bytes that are not UTF-8, which come as an ArrayBuffer. */
export function getIntegerKeys<Key extends string | ArrayBuffer>(collection?: TextOrBytes): Key[];
/** Removes a string, if it is there. */
export function deleteString(key: TextOrBytes, collection?: TextOrBytes): void;
/** Removes an integer, if it is there. */
export function deleteInteger(key: TextOrBytes, collection?: TextOrBytes): void;
/** Removes all strings of a collection. */
export function deleteStringCollection(collection?: TextOrBytes): void;
/** Removes all integers of a collection. */
export function deleteIntegerCollection(collection?: TextOrBytes): void;
/**
 * Keeps the store for this thread: every call of another thread for the store blocks that thread, its connections
 * included, until {@link unlock} was called as often as this. A thread that ends gives it back. Do not wait for
 * anything in between.
 */
export function lock(): void;
/** Takes one {@link lock} back. Without effect when this thread has not locked the store. */
export function unlock(): void;

// No more than uWebSockets.js has in it. Programs keep values of this type and read them, as what a SharedArrayBuffer, or
// an array of bigints, would not be taken for.
/** The types of text and bytes that uWebSockets.js declares. Methods take some more: see {@link TextOrBytes}. */
export type RecognizedString =
  | string
  | ArrayBuffer
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array;

/**
 * What is taken as text or bytes. Strings are sent as UTF-8, everything else byte by byte, and of a view the part that
 * it shows. `undefined` counts as the empty string where the argument is optional; all else throws an Error
 * `ERR_MILLIWAYS_INVALID_DATA`, a DataView included.
 */
export type TextOrBytes = RecognizedString | SharedArrayBuffer | Uint8ClampedArray | BigUint64Array | BigInt64Array;

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
/**
 * 145. Messages are compressed with reference to the last 512 bytes of earlier ones, which is what a connection then keeps.
 * (The 3 KB are what zlib would take for such a window, but for 6 KB of its own.)
 */
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
  | 'ERR_MILLIWAYS_BODY_TAKEN'
  | 'ERR_MILLIWAYS_CONTENT_LENGTH'
  | 'ERR_MILLIWAYS_DETACHED_BUFFER'
  | 'ERR_MILLIWAYS_FRAGMENT_ORDER'
  | 'ERR_MILLIWAYS_INTERNAL'
  | 'ERR_MILLIWAYS_INVALID_DATA'
  | 'ERR_MILLIWAYS_INVALID_DECLARATION'
  | 'ERR_MILLIWAYS_INVALID_HANDLER'
  | 'ERR_MILLIWAYS_INVALID_HEADER'
  | 'ERR_MILLIWAYS_INVALID_PATTERN'
  | 'ERR_MILLIWAYS_INVALID_SERVER_NAME'
  | 'ERR_MILLIWAYS_INVALID_THIS'
  | 'ERR_MILLIWAYS_INVALID_TOKEN'
  | 'ERR_MILLIWAYS_INVALID_UPGRADE'
  | 'ERR_MILLIWAYS_MISSING_ARGUMENT'
  | 'ERR_MILLIWAYS_NOT_SUPPORTED'
  | 'ERR_MILLIWAYS_NO_RESPONSE'
  | 'ERR_MILLIWAYS_OUT_OF_RANGE'
  | 'ERR_MILLIWAYS_PLATFORM'
  | 'ERR_MILLIWAYS_REQUEST_EXPIRED'
  | 'ERR_MILLIWAYS_RESPONSE_DONE'
  | 'ERR_MILLIWAYS_RESPONSE_ORDER'
  | 'ERR_MILLIWAYS_TLS'
  | 'ERR_MILLIWAYS_TOO_DEEP'
  | 'ERR_MILLIWAYS_WEBSOCKET_CLOSED';
