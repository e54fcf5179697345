// The public interface of milliways. It has the same names as that of uWebSockets.js, as far as this version implements
// it. Code typed against uWebSockets.js compiles with this file if it uses nothing that README.md lists as missing;
// docs/COMPATIBILITY.md lists the exceptions among the types.
//
// Every error that milliways creates has a `code`, which stays the same even if the text changes. docs/ERRORS.md
// explains each code. Two of them are possible in any call and are therefore not repeated below: a TypeError
// `ERR_MILLIWAYS_INVALID_THIS` if a method is called on anything but its object, and an Error
// `ERR_MILLIWAYS_DETACHED_BUFFER` if an ArrayBuffer is detached.

// The types below need these libraries, which a program's own `lib` may not include.
/// <reference lib="es2017.sharedmemory" />
/// <reference lib="es2020.bigint" />

/** Creates an app, which routes are registered on and which listens. Works with and without `new`. */
export const App: AppConstructor;

/**
 * Creates an app that uses TLS 1.3 or 1.2 (RFC 8446, RFC 5246) with every client, and is otherwise like {@link App}.
 * Works with and without `new`. It requires a key and a certificate: {@link AppOptions.key_file_name} and
 * {@link AppOptions.cert_file_name}, or {@link AppOptions.key} and {@link AppOptions.cert}. docs/TLS.md is a guide to
 * TLS.
 *
 * A client has 10 seconds for the handshake. The server selects `http/1.1` by ALPN (RFC 7301), and rejects a client
 * that offers protocols without offering this one. Sessions are resumed with tickets.
 *
 * @throws Error `ERR_MILLIWAYS_TLS` if the key or the certificate is missing, a file cannot be read or has the wrong
 * content, the key does not belong to the certificate or is of an unsupported kind, a passphrase is wrong or missing,
 * or a cipher is unknown. The text names the option, the file and the reason. Neither the text nor `cause` contains any
 * part of a key or a passphrase.
 */
export const SSLApp: AppConstructor;

/**
 * Always throws an Error `ERR_MILLIWAYS_NOT_SUPPORTED`, because milliways does not support HTTP/3. A proxy in front of
 * an {@link App} can.
 */
export const H3App: AppConstructor;

/** The type of {@link App}. */
export interface AppConstructor {
  /**
   * @param options Read once, by this call.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if a number is outside the range of its option.
   */
  (options?: AppOptions): TemplatedApp;
  new (options?: AppOptions): TemplatedApp;
}

/**
 * Options of an app. uWebSockets.js does not have the first eight. The others concern TLS: {@link SSLApp} and
 * {@link TemplatedApp.addServerName} read them once, and an App ignores them, so that code can share them. Unknown
 * keys, and keys whose value is undefined, are ignored. For those that uWebSockets.js does not have, so is null.
 *
 * An {@link SSLApp} whose TLS options are invalid throws an Error `ERR_MILLIWAYS_TLS`, or an Error
 * `ERR_MILLIWAYS_INVALID_DATA` if a value is not of the declared type.
 */
export interface AppOptions {
  /**
   * The maximum number of bytes of a request line together with the headers. A client that sends more is answered with
   * `431 Request Header Fields Too Large` (RFC 6585 section 5) and disconnected.
   *
   * @default The environment variable `UWS_HTTP_MAX_HEADERS_SIZE` if it is a whole number, otherwise 4096
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if it is not a whole number.
   */
  maxHeaderSize?: number;

  /**
   * The maximum number of bytes of a request body. A longer body is answered with `413 Content Too Large` (RFC 9110
   * section 15.5.14), and the client is disconnected: before any handler runs if Content-Length announces the length,
   * otherwise as soon as that many bytes have arrived, unless the response has begun by then. `onAborted` handlers run.
   *
   * @default No limit; each call of {@link HttpResponse.collectBody} has its own
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if it is not a whole number.
   */
  maxBodySize?: number;

  /**
   * The number of seconds that an HTTP connection may be idle while the server waits for the client, after which it is
   * dropped: up to 960, or 0 for no limit. The server waits for the client before and between requests, until the head
   * of a request is complete, while a body that a handler has asked for is incomplete, and while a response waits
   * because the client does not accept it. A body is considered idle below 16 KB/s, averaged over this time. The time
   * that a handler takes to answer does not count. However, a body of more than 64 KiB that no handler asks for within
   * this time is discarded, and asking for it later throws an Error `ERR_MILLIWAYS_RESPONSE_DONE`.
   *
   * WebSockets have {@link WebSocketBehavior.idleTimeout} instead.
   *
   * @default 10
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if it is not a whole number, or more than 960.
   */
  idleTimeout?: number;

  /**
   * Whether a connection may begin with a PROXY protocol header, version 1 or 2, which states where it comes from; see
   * {@link HttpResponse.getProxiedRemoteAddress}. Connections without the header are accepted, too, so anyone who can
   * connect can claim any address: set this only if nobody but the proxy can connect.
   *
   * @default false
   */
  proxyProtocol?: boolean;

  /**
   * The maximum number of connections that the app has at a time, WebSockets included, and those that are closing; 0 for
   * no limit. {@link onConnectionLimit} decides what happens to others. `stats().limits.maxConnections` counts how often.
   *
   * The number of file descriptors of a process is a limit in any case: beyond it, connections wait in the system's
   * backlog until others have ended. This option keeps some of them for other purposes, such as files and databases.
   *
   * Connections that the app hands over to a child ({@link TemplatedApp.addChildAppDescriptor}) count for the child. A
   * WebSocket counts for the app whose context its request was upgraded with, which may exceed its limits by that.
   *
   * @default 0
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if it is not a whole number, or more than 4294967295.
   */
  maxConnections?: number;

  /**
   * What happens to a connection that would be one more than {@link maxConnections}:
   *
   * - `'refuse'`: it is closed at once, so that the client, or the load balancer, can try elsewhere.
   * - `'pause'`: nothing is accepted until another connection has ended. It waits in the system's backlog, up to 4,096
   *   connections or `net.core.somaxconn`, and clients that wait for longer than they are willing to give up.
   *   Connections that another app hands over ({@link TemplatedApp.addChildAppDescriptor}) have been accepted already
   *   and are closed.
   *
   * @default 'refuse'
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if it is neither.
   */
  onConnectionLimit?: 'refuse' | 'pause';

  /**
   * The maximum number of connections that the app has at a time from one address; 0 for no limit. Others are closed at
   * once, and `stats().limits.maxConnectionsPerAddress` counts them. For IPv6, all addresses with the same first 64 bits
   * count as one, since a single host has all of them. Unix domain sockets have no address, and no limit.
   *
   * With {@link proxyProtocol} the address is the one that the PROXY header names, and a header without an address, as
   * of a proxy's own health checks, is not counted. Behind a proxy that does not send the header, all connections come
   * from the address of the proxy, so leave the limit to the proxy.
   *
   * Many clients may share an address, such as all those of a company or of a mobile network. That is why there is no
   * limit by default.
   *
   * @default 0
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if it is not a whole number, or more than 4294967295.
   */
  maxConnectionsPerAddress?: number;

  /**
   * Whether microtasks and `process.nextTick` callbacks run after each `message`, `drain`, `dropped`, `ping`, `pong`,
   * `subscription` and `close` handler, as in uWebSockets.js. Otherwise they run after a batch of events that arrived
   * together, up to 64 events and 64 KiB, which is a quarter faster with many small messages. In either case they run
   * after a handler that returns a promise, as async functions do. Only a handler that starts an asynchronous
   * operation, does not return its promise, and needs it to proceed before the next message requires this option.
   *
   * @default false
   */
  drainEachMessage?: boolean;

  /**
   * The path of the private key, a PEM file (RFC 7468): ECDSA on P-256 or P-384, RSA with 2048, 3072 or 4096 bits, or
   * Ed25519. The key has the format of PKCS #8 or the traditional format of OpenSSL, and may be encrypted; see
   * {@link passphrase}. If the file contains several keys, the first is used.
   */
  key_file_name?: RecognizedString;

  /**
   * The path of the certificate, a PEM file, followed by its chain: the certificates that lead from it to an authority
   * that clients know, in this order. The authority itself may be left out. Keys and certificate requests in the file
   * are skipped, and so are text before a section and lines after the last section that begin with `#`. Anything else
   * is an error.
   */
  cert_file_name?: RecognizedString;

  /**
   * The path of the authorities that sign client certificates, a PEM file with one or more certificates. With this
   * option clients are asked for a certificate. The handshake fails if none of these authorities has signed it. A
   * client without a certificate is served, and {@link HttpResponse.getX509Certificate} returns what the client sent.
   *
   * @default Clients are not asked for a certificate
   */
  ca_file_name?: RecognizedString;

  /** The passphrase of the private key. Has no effect if the key is not encrypted. */
  passphrase?: RecognizedString;

  /**
   * Accepted but not read: finite-field Diffie-Hellman is not supported, and neither is any cipher that would use it.
   * The first use in a process emits the warning `WARN_MILLIWAYS_DH_PARAMS`.
   */
  dh_params_file_name?: RecognizedString;

  /**
   * The allowed ciphers, by their OpenSSL names, separated by colons. docs/TLS.md lists them. Groups of OpenSSL, such
   * as `HIGH` or `!aNULL`, are not supported. If no cipher of TLS 1.3 is named, all ciphers of TLS 1.3 are allowed; if
   * none of TLS 1.2 is named, TLS 1.2 is disabled.
   *
   * @default All nine
   */
  ssl_ciphers?: RecognizedString;

  /** Accepted, and has no effect: an idle connection has no buffers. */
  ssl_prefer_low_memory_usage?: boolean;

  /**
   * The private key itself, with the content of the file, instead of {@link key_file_name}. Its line breaks may be
   * missing or written as `\n`, as in environment variables. uWebSockets.js has no such option.
   */
  key?: RecognizedString;

  /** The certificate and its chain themselves, instead of {@link cert_file_name}. uWebSockets.js has no such option. */
  cert?: RecognizedString;

  /** The authorities themselves, instead of {@link ca_file_name}. uWebSockets.js has no such option. */
  ca?: RecognizedString;
}

/**
 * An app. Its methods return it, so that calls can be chained.
 *
 * Routes are registered for a method and a pattern, before or after listening. A pattern starts with `/` and is matched
 * segment by segment: `name` matches itself, case-sensitively; `:name` matches any segment that is not empty; and `*`,
 * as the last segment, matches everything that follows, including an empty segment: `/x/*` matches `/x/` and `/x/y/z`,
 * but not `/x`. If several patterns match, a literal segment takes precedence over `:name`, and `:name` over `*`. All
 * matching routes of the request's method are tried before those of {@link any}. A request that matches no route is
 * answered with `404 File Not Found`.
 *
 * Registering a pattern again replaces its handler, and `null` as the handler removes the route. An ArrayBuffer as the
 * handler is a {@link DeclarativeResponse}, which then answers all requests of the route.
 *
 * Every method that registers a route throws an Error
 *  - `ERR_MILLIWAYS_MISSING_ARGUMENT` if an argument is missing,
 *  - `ERR_MILLIWAYS_INVALID_DATA` if the pattern is not {@link TextOrBytes},
 *  - `ERR_MILLIWAYS_INVALID_PATTERN` if the pattern is invalid,
 *  - `ERR_MILLIWAYS_INVALID_DECLARATION` if an ArrayBuffer is not the return value of {@link DeclarativeResponse.end},
 *  - `ERR_MILLIWAYS_INVALID_HANDLER` if the handler is none of these,
 *  - `ERR_MILLIWAYS_NOT_SUPPORTED` if there are more arguments than the method takes. So does every other method here
 *    that is not called for each message, so that no argument is silently ignored.
 */
export interface TemplatedApp {
  // The second of each two signatures is for programs that call a value of the type
  // `Parameters<TemplatedApp['get']>[1]`, or ask for its parameters: TypeScript takes that type from the last
  // signature.
  /**
   * Registers a handler of GET requests. Unlike in other servers, it does not receive HEAD requests; see {@link head}.
   */
  get(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  get(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /** Registers a handler of POST requests. */
  post(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  post(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;
  /**
   * Registers a handler of OPTIONS requests. `OPTIONS *`, which concerns the server as a whole, matches the patterns
   * `*` and `/*`.
   */
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
  /** Registers a handler of requests, of any method, that no route of their own method matches. */
  any(pattern: TextOrBytes, handler: RouteHandler): TemplatedApp;
  any(pattern: TextOrBytes, handler: HttpHandler): TemplatedApp;

  /**
   * Registers a WebSocket route. It handles the requests that ask for the WebSocket protocol (RFC 6455 section 4.2.1),
   * and takes precedence over all other routes that match them; other requests are not affected. A request for a
   * version of the protocol other than 13 is answered with `426 Upgrade Required`, and one with more than one key or
   * version with `400 Bad Request`. All others become WebSockets, unless there is an {@link WebSocketBehavior.upgrade}
   * handler, which then decides.
   *
   * @param behavior Read once, by this call; later changes to the object have no effect.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if a handler is not a function; a TypeError with this code if the
   * behavior is not an object.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if a number is outside the range of its option.
   */
  ws<UserData>(pattern: TextOrBytes, behavior: RouteBehavior<UserData>): TemplatedApp;
  // For `Parameters<TemplatedApp['ws']>[1]`, whose type is that of the last signature.
  ws<UserData>(pattern: TextOrBytes, behavior: WebSocketBehavior<UserData>): TemplatedApp;

  // The signatures have the order of uWebSockets.js, because the type of `Parameters<TemplatedApp['listen']>` is that
  // of the last.
  /**
   * Listens on a port of one address; otherwise like `listen` without a host.
   *
   * @param host An IP address or a name. A name is resolved synchronously, which blocks the process. `''` means all
   * addresses.
   */
  listen(host: TextOrBytes, port: number, callback: ListenHandler): TemplatedApp;
  /**
   * Listens on a port of one address, with an option such as {@link LIBUS_LISTEN_EXCLUSIVE_PORT}. The port may come
   * before the host.
   */
  listen(
    hostOrPort: TextOrBytes | number,
    portOrHost: number | TextOrBytes,
    options: ListenOptions,
    callback: ListenHandler,
  ): TemplatedApp;
  /**
   * Listens on a port of all addresses, IPv6 and IPv4. With port 0 the system chooses a port, which
   * {@link us_socket_local_port} returns.
   *
   * The callback is called before this returns, and what it throws is thrown by this call. It is called with a listen
   * socket, which {@link us_listen_socket_close} closes again, or with `false` and an Error if the port or the host is
   * not available.
   *
   * An app may listen several times. While it is listening or has connections, it keeps the process running.
   *
   * @param port From 0 to 65535; if it is undefined, the system chooses. For anything else the callback is called with
   * a RangeError.
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a port and a callback.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if the callback is not a function.
   */
  listen(port: number, callback: ListenHandler): TemplatedApp;
  // One signature serves both: a class that replaces an app of uWebSockets.js has it for options.
  /**
   * Listens on a port of all addresses, with an option such as {@link LIBUS_LISTEN_EXCLUSIVE_PORT}; or, if a host is
   * passed instead, on a port of one address. The latter is the order of node:http; uWebSockets.js ignores the host and
   * listens on all addresses.
   */
  listen(port: number, optionsOrHost: ListenOptions | TextOrBytes, callback: ListenHandler): TemplatedApp;

  /**
   * Listens on a Unix domain socket. An existing socket at the path is replaced; any other file is not. Only processes
   * of the same user may connect (mode 0700). The file remains when listening ends.
   *
   * The callback is called before this returns, with a listen socket as in {@link listen}, or with `false` and an Error
   * if the path is not available. {@link us_socket_local_port} returns -1 for the listen socket.
   *
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a callback and a path.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if the callback is not a function.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the path is not {@link TextOrBytes}.
   */
  listen_unix(callback: ListenHandler, path: TextOrBytes): TemplatedApp;

  // The count is a number. uWebSockets.js declares it as the object type `Number`, which does not allow arithmetic. If
  // this were `number`, a class whose `filter` is declared like that of uWebSockets.js would not be assignable to an
  // app.
  /**
   * Adds a function that is called for every connection that the app serves: with 1 when the connection has been accepted, and with -1 when
   * it has ended. A connection that becomes a WebSocket remains the same connection. Several functions are called in
   * the order in which they were added. For a connection that was accepted before the first function was added, they
   * are called only with -1.
   *
   * The response represents the connection. When the count is 1, its addresses and ports are available, and
   * {@link HttpResponse.close} rejects the client. There is no request to answer yet, so methods that write throw an
   * Error `ERR_MILLIWAYS_RESPONSE_DONE`. When the count is -1, nothing is available any more.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if it is not a function.
   */
  filter(handler: (res: HttpResponse, count: any) => HandlerResult): TemplatedApp;

  /**
   * In an SSLApp, makes the routes that are registered from now on, until the next call, belong to a name that was
   * added with {@link addServerName}. Each name has only its own routes: a request that matches none of them is
   * answered with 404. Pass a name that was not added, such as `''`, to return to the routes of the app, which serve
   * all clients that ask for no name or for an unknown one.
   *
   * The name is that of the TLS handshake (RFC 6066 section 3), not the Host of the request. Topics belong to the app,
   * whatever the name.
   *
   * An app without TLS does not know which name a client asks for: all names share the routes, and the first call in a
   * process emits the warning `WARN_MILLIWAYS_DOMAIN`.
   *
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a host name.
   */
  domain(hostname: TextOrBytes): TemplatedApp;

  /**
   * In an SSLApp, adds a certificate for a host name, before or after listening. If the name exists, its certificate is
   * replaced, and its routes remain. Clients that ask for the name get the certificate from now on. Letter case and a
   * trailing dot are ignored, and `bücher.example` is the same as `xn--bcher-kva.example` (RFC 5890). If the first
   * label is `*`, as in `*.example.com`, the name matches all names that have exactly one label in its place and were
   * not added themselves.
   *
   * Has no effect in an app without TLS.
   *
   * @param options The options that concern TLS. They have their own defaults and do not inherit the app's options.
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a host name.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the name is not {@link TextOrBytes}.
   * @throws Error `ERR_MILLIWAYS_INVALID_SERVER_NAME` if no client can ask for the name, for example because it is an
   * IP address.
   * @throws Error `ERR_MILLIWAYS_TLS` like {@link SSLApp}. The name then keeps its previous certificate.
   */
  addServerName(hostname: TextOrBytes, options?: AppOptions): TemplatedApp;

  /**
   * In an SSLApp, removes a name that was added, with its certificate and its routes. Connections that use it stay open
   * and get a 404 for every later request, even if the name is added again; their WebSockets stay. Call {@link domain}
   * before you add more routes: adding a route to a removed name throws an Error `ERR_MILLIWAYS_INVALID_SERVER_NAME`.
   * Has no effect for an unknown name, and in an app without TLS.
   *
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a host name.
   */
  removeServerName(hostname: TextOrBytes): TemplatedApp;

  /**
   * In an SSLApp, sets the function that is called during a handshake for a name that was not added, and replaces the
   * one set before. If the function adds the name, the handshake continues with its certificate; otherwise the client
   * gets the certificate and the routes of the app. It has to add the name synchronously, before it returns.
   *
   * An app without TLS never calls it.
   *
   * It is not called for something that is not a host name, such as an IP address: such clients are served like those
   * that ask for no name.
   *
   * @param handler Called with the name in lower case, without a trailing dot, and converted by IDNA. What it throws
   * becomes an `uncaughtException`, and the name is considered not added.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if it is not a function.
   */
  missingServerName(handler: (hostname: string) => HandlerResult): TemplatedApp;

  // Optional, because a class that replaces an app of uWebSockets.js has no such method. Apps do have it.
  /**
   * In an SSLApp, reads all files of its options and of those of its server names again. New connections use their
   * contents; open connections are not affected. Options that were passed as contents remain.
   *
   * Has no effect in an app without TLS. uWebSockets.js has no such method.
   *
   * @throws Error `ERR_MILLIWAYS_TLS` like {@link SSLApp}. Nothing has changed in that case, so the call can be
   * repeated.
   */
  reloadCertificates?(): TemplatedApp;

  /**
   * Sends a message to all WebSockets of this app that have subscribed to a topic with {@link WebSocket.subscribe}. The
   * message is sent at the end of this turn of the event loop, in order with messages that are sent to each WebSocket
   * directly. A client that reads too slowly does not get it, as in {@link WebSocket.send}, and its `dropped` handler
   * runs.
   *
   * @param isBinary Whether the message is sent as binary. By default it is text, and must be valid UTF-8.
   * @param compress Whether to compress the message for clients with which compression was negotiated, see
   * {@link WebSocketBehavior.compression}.
   * @returns Whether the topic has any subscribers.
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` without a topic and a message.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if either is not {@link TextOrBytes}.
   */
  publish(topic: TextOrBytes, message: TextOrBytes, isBinary?: boolean, compress?: boolean): boolean;

  /** Returns the number of WebSockets of this app that have subscribed to a topic. */
  numSubscribers(topic: TextOrBytes): number;

  /**
   * Returns a number by which any thread of this process can hand connections over to this app; see
   * {@link addChildAppDescriptor}. Send it to that thread, for example by `postMessage`.
   *
   * From now on the app waits for connections, and keeps its thread running, as if it listened. {@link close} and
   * {@link shutdown} end that, and so does the end of the thread; afterwards the number stands for nothing, and never
   * for another app. Until then, every call returns the same number.
   *
   * @throws Error `ERR_MILLIWAYS_SHUTTING_DOWN` while the app is being shut down.
   * @throws Error `ERR_MILLIWAYS_INVALID_DESCRIPTOR` if the system has no descriptor left to wake this thread by.
   */
  getDescriptor(): AppDescriptor;

  /**
   * Makes this app an acceptor: it hands each connection that it accepts from now on over to its children, in turn. A
   * child is an app in any thread of this process. It serves the connection as if it had accepted it, with its own
   * routes, options and certificates: an App may be the acceptor of SSLApps.
   *
   * A child that has been closed, or whose thread has ended, is skipped and forgotten; so is one that has ended before
   * this call. An app without children serves its connections itself. Adding a child again has no effect.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_DESCRIPTOR` if {@link getDescriptor} has never returned the number in this
   * process.
   */
  addChildAppDescriptor(descriptor: AppDescriptor): TemplatedApp;

  /**
   * Undoes {@link addChildAppDescriptor}. The connections that the child has got stay with it. Does nothing if it is not
   * a child.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_DESCRIPTOR` if {@link getDescriptor} has never returned the number in this
   * process.
   */
  removeChildAppDescriptor(descriptor: AppDescriptor): TemplatedApp;

  /**
   * Serves a connection that something else has accepted, such as a parent process, as if the app had accepted it. An
   * app with children serves it itself.
   *
   * @param fd The file descriptor of the connection, which is a stream socket: TCP, or a Unix domain socket. It belongs
   * to the app from now on, which closes it, and nothing else may use or close it any more. A socket of `node:net` keeps
   * its own descriptor and closes it, so that one must not be passed. After an error, the descriptor is as before.
   * @param ip The address of the client if the socket does not know it, for {@link WebSocket.getRemoteAddress} and the
   * like: as text, or as 4 or 16 bytes.
   * @throws Error `ERR_MILLIWAYS_INVALID_SOCKET` if `fd` is not the descriptor of an open stream socket, if it listens
   * or is a standard stream of the process (0 to 2), or if an app of this process has it already; or if the app has as many connections as
   * {@link AppOptions.maxConnections} or {@link AppOptions.maxConnectionsPerAddress} allows, whatever
   * {@link AppOptions.onConnectionLimit} says. A connection that has failed is no error; it closes.
   * @throws Error `ERR_MILLIWAYS_INVALID_ADDRESS` if `ip` is not an address.
   * @throws Error `ERR_MILLIWAYS_SHUTTING_DOWN` while the app is being shut down.
   */
  adoptSocket(fd: number, ip?: TextOrBytes): TemplatedApp;

  /**
   * Stops without cutting anybody off. Listening stops before this returns. What is under way is finished:
   *
   *  - A request that has arrived is answered, with `Connection: close`.
   *  - A connection that waits for another request closes. A new one has one to two seconds to send its first, its TLS
   *    handshake included.
   *  - A WebSocket gets a Close frame, after what has been sent to it, and waits for the client's. Its `close` handler
   *    runs with the code and the reason. A request that becomes a WebSocket meanwhile opens, and then closes likewise.
   *
   * What is left at the timeout is cut. Handlers may go on publishing and sending. When the promise has resolved, the app
   * can listen again. {@link close} ends the waiting. A second call returns the same promise, and ignores its options,
   * until the app listens again, or gets a connection in another way.
   *
   * This is not in uWebSockets.js. It is optional here so that classes which implement that interface still do; call it
   * as `app.shutdown?.()` in TypeScript.
   *
   * @returns a promise for the numbers of connections that have closed in order and that have been cut.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if the code or the timeout is invalid.
   * @throws TypeError `ERR_MILLIWAYS_INVALID_OPTIONS` if the options are not an object.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the reason is not {@link TextOrBytes}.
   */
  shutdown?(options?: ShutdownOptions): Promise<ShutdownResult>;

  /**
   * Stops listening and drops all connections at once, without a Close frame. `close` handlers run with code 1006, and
   * `onAborted` handlers run. The app can listen again afterwards.
   */
  close(): TemplatedApp;

  /**
   * Returns what the app has done and holds. The numbers are always counted, and are exact. docs/METRICS.md is a guide.
   *
   * This is not in uWebSockets.js. It is optional here so that classes which implement that interface still do; call it
   * as `app.stats?.()` in TypeScript.
   */
  stats?(): AppStats;

  /**
   * Returns the numbers of {@link stats} as text in the format of Prometheus, version 0.0.4, without a label for the
   * app. In a process with several apps or threads, use the module's {@link metrics}.
   *
   * This is not in uWebSockets.js, and optional as {@link stats} is.
   */
  metrics?(): string;
}

/** A number that stands for an app in all threads of a process; see {@link TemplatedApp.getDescriptor}. */
export type AppDescriptor = number;

/** Options of {@link TemplatedApp.shutdown}. */
export interface ShutdownOptions {
  /**
   * The close code of WebSockets: 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 section 7.4). The default is
   * 1001, for a server that goes away.
   */
  code?: number;
  /** The reason in the Close frame, up to 123 bytes of UTF-8; more is cut off. The default is empty. */
  reason?: TextOrBytes;
  /** Milliseconds after which what is left is cut. 0 or more; `Infinity` is no limit. The default is 10,000. */
  timeout?: number;
}

/** The result of {@link TemplatedApp.shutdown}. */
export interface ShutdownResult {
  /** The number of connections that have closed in order since the call. */
  closed: number;
  /** The number of connections that have been cut, at the timeout or by {@link TemplatedApp.close}. */
  forced: number;
}

/**
 * Answers a request. It must answer before it returns, or attach {@link HttpResponse.onAborted} and answer later. If it
 * does neither, the request is answered with 500, the connection is closed, and an Error `ERR_MILLIWAYS_NO_RESPONSE`
 * that names the request becomes an `uncaughtException`.
 *
 * Microtasks and `process.nextTick` callbacks still count as part of the handler, so an async function may answer after
 * an `await` that needs no I/O. If the handler throws, or returns a promise that is rejected, also after
 * {@link HttpResponse.onAborted}, the client gets a 500, or is disconnected if the response has begun; `onAborted` is
 * called; and the error becomes an `uncaughtException` or an `unhandledRejection`. A response that is complete is not
 * affected.
 */
export type HttpHandler = (res: HttpResponse, req: HttpRequest) => HandlerResult;

// The function is an HttpHandler that is declared as a method, which TypeScript compares less strictly. A class whose
// handlers get requests with additional members can therefore replace an app.
/** The handler of a route: a function, a {@link DeclarativeResponse}, or null to remove the route. */
export type RouteHandler =
  { handle(res: HttpResponse, req: HttpRequest): HandlerResult }['handle'] | ArrayBuffer | null;

/**
 * Called with a listen socket, or with `false` and the reason if listening failed. uWebSockets.js does not pass the
 * second argument.
 */
export type ListenHandler = (listenSocket: us_listen_socket | false, error?: ListenError) => HandlerResult;

/**
 * The reason why listening failed: an Error like those that Node's servers emit, or a RangeError
 * `ERR_MILLIWAYS_OUT_OF_RANGE` for an invalid port.
 */
export interface ListenError extends Error {
  /**
   * The system's code, such as `EADDRINUSE`, `EACCES` or `EADDRNOTAVAIL`; `ENOTFOUND` or `EAI_AGAIN` for a host name;
   * `ERR_MILLIWAYS_OUT_OF_RANGE` for a port.
   */
  code: string;
  /** The system's error number, negated as in libuv. */
  errno?: number;
  /** `listen`, or `getaddrinfo` if resolving the host failed. */
  syscall?: string;
  /** The host, `::` if there is none, or the path. */
  address?: string;
  /** The port, unless it is 0; -1 for a path. */
  port?: number;
  /** The host name that could not be resolved. */
  hostname?: string;
}

// Any type, so that `(ws, message) => ws.send(message)` and async functions both match. `unknown` would achieve that,
// too, but then a handler that is read from a behavior would not be assignable to one that is declared to return void.
/**
 * The return value of a handler. It is ignored, except that microtasks run before the next event if it is a promise.
 */
export type HandlerResult = any;

/**
 * Options and handlers of a WebSocket route. The type argument is the type that {@link WebSocket.getUserData} returns.
 *
 * A number may also be passed as numeric text, as a boolean or as an object with a `valueOf`; a fraction is truncated.
 * Anything else, such as null, NaN or `'1mb'`, is a RangeError. A value that is undefined is the same as a missing one.
 * {@link maxFragments} and {@link maxTopics}, which uWebSockets.js does not have, take nothing but numbers, and null is
 * the same as undefined.
 */
export interface WebSocketBehavior<UserData = unknown> {
  /**
   * The compression that may be negotiated (permessage-deflate, RFC 7692): {@link DISABLED}, or a compressor and a
   * decompressor combined with `|`. Clients that do not support compression connect without it. Messages that clients
   * compress are decompressed; messages are compressed if {@link WebSocket.send} asks for it. Safari 15.0 to 15.3, and
   * all browsers that use its engine on iOS 15.0 to 15.3, fail on compressed messages. They are recognized by their
   * User-Agent and connect without compression.
   *
   * Shared contexts process each message independently and take no memory per connection. Dedicated contexts remember
   * the end of the data that their connection has sent or received, which makes short messages much shorter. Their
   * memory grows with that data: a compressor takes at most an eighth to a sixth of the size in its name, a
   * decompressor at most the size in its name. docs/COMPRESSION.md describes what each constant costs and saves.
   *
   * A compressor alone implies the shared decompressor, and a decompressor alone the shared compressor.
   *
   * @default DISABLED
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} for any other number.
   */
  compression?: CompressOptions;

  /**
   * The maximum length of a received message, in bytes; for a fragmented message, of all fragments together. A client
   * that sends a longer message is disconnected with close code 1009 (RFC 6455 section 7.4.1), as soon as a frame
   * header announces it. If compression was negotiated, a header is only rejected if it exceeds the limit by more than
   * a sixteenth; a message in between is rejected when it has arrived.
   *
   * Infinity, and any value above 4 GiB, counts as 4 GiB less one byte.
   *
   * @default 16384
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} if it is not a number, or below 0.
   */
  maxPayloadLength?: number;

  /**
   * The maximum number of fragments of a received message (RFC 6455 section 5.4); 0 for no limit. A client that sends
   * more is disconnected with close code 1008. Each fragment takes time even if it is empty, so that
   * {@link maxPayloadLength} alone does not limit the work of a message. uWebSockets.js has no such limit.
   *
   * @default 16384
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} if it is not a whole number, or more
   * than 4294967295.
   */
  maxFragments?: number;

  /**
   * The maximum number of topics that a WebSocket has subscribed to at a time; 0 for no limit. {@link WebSocket.subscribe}
   * returns false for others. Set it if clients choose topics: each subscription takes memory. uWebSockets.js has no
   * such limit.
   *
   * @default 0
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} if it is not a whole number, or more
   * than 4294967295.
   */
  maxTopics?: number;

  /**
   * The number of seconds without any input after which a client is disconnected: 8 to 960, or 0 for no limit. A client
   * that accepts some of the data that waits for it is not idle. The time is accurate to a few seconds. With
   * {@link sendPingsAutomatically}, only a client that does not answer is disconnected.
   *
   * @default 120
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} if it is not a number, below 0, 1 to
   * 7, or more than 960.
   */
  idleTimeout?: number;

  /**
   * The number of bytes that may wait to be sent to a client. While more bytes than that are waiting, further messages
   * to it are dropped; the message that exceeds the limit is still queued. 0 or Infinity means no limit.
   *
   * @default 65536
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} if it is not a number, or below 0.
   */
  maxBackpressure?: number;

  // Earlier versions of uWebSockets.js declare a number.
  /**
   * Whether a client is disconnected at the first message that {@link maxBackpressure} would drop. 0 is false, other
   * numbers are true.
   *
   * @default false
   */
  closeOnBackpressureLimit?: boolean | number;

  /**
   * Whether pings are sent automatically before {@link idleTimeout} expires.
   *
   * @default true
   */
  sendPingsAutomatically?: boolean;

  /**
   * The number of minutes after which a connection is closed with code 1000 and the reason `please reconnect`: up to
   * 240, or 0 for no limit.
   *
   * @default 0
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} if it is not a number, below 0, or
   * more than 240.
   */
  maxLifetime?: number;

  /**
   * The minimum length, in bytes, of messages that are compressed on request: compressing shorter ones costs more than
   * it saves. With Infinity no message is compressed. uWebSockets.js has no such option.
   *
   * @default 0
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` from {@link TemplatedApp.ws} if it is not a number, or below 0.
   */
  compressionThreshold?: number;

  /** Whether {@link message} is called with text as a string: see {@link TextAsStringBehavior}. */
  textAsString?: false;

  /**
   * Called when a client asks for a WebSocket. The handler decides: {@link HttpResponse.upgrade} accepts the client,
   * and any other answer, such as `res.writeStatus('401 Unauthorized').end()`, rejects it. It must answer before it
   * returns, or attach {@link HttpResponse.onAborted} and answer later, like an {@link HttpHandler}.
   * {@link HttpRequest.setYield} passes the request on to the next routes.
   *
   * Without this handler every client is accepted, and the first subprotocol that it offers is selected. An invalid
   * handshake (RFC 6455 section 4.2.1) is answered without calling the handler.
   *
   * @param context The last argument for {@link HttpResponse.upgrade}. It may be kept.
   */
  upgrade?: (res: HttpResponse, req: HttpRequest, context: us_socket_context_t) => HandlerResult;

  // uWebSockets.js declares the WebSocket alone, and code that wraps a behavior calls this with nothing else. Among the
  // types that allow such calls, this is the one with which a handler's second parameter is not
  // `HttpRequest | undefined`.
  /**
   * Called when a client has connected.
   *
   * A function that declares two parameters, as code of 2019 does, is also called with the request, which is valid as
   * in an {@link HttpHandler}. A function that declares one parameter is called with one argument, and so is every
   * function if an {@link upgrade} handler has accepted the client, because that handler had the request.
   */
  open?: (ws: WebSocket<UserData>, ...req: HttpRequest[]) => HandlerResult;

  /**
   * Called when a whole message has been received.
   *
   * The ArrayBuffer has its own memory, which is not reused. It may be kept, written to, transferred and passed to
   * asynchronous functions such as `fs.write`.
   *
   * @param isBinary Whether the message is binary. Otherwise it is text, which has been checked to be valid UTF-8 (RFC
   * 6455 section 8.1).
   */
  message?: (ws: WebSocket<UserData>, message: ArrayBuffer, isBinary: boolean) => HandlerResult;

  /**
   * Called when a message to this client was dropped, because more than {@link maxBackpressure} bytes were waiting.
   * Either `send` has not returned yet, or the message was published. The ArrayBuffer has its own memory, as in
   * {@link message}. For a message that is sent in fragments the handler is called for each fragment, and only the
   * first call's `isBinary` is meaningful. Without this handler, dropping a long message takes no longer than dropping
   * a short one.
   *
   * The handler is not called while a `dropped` handler is running: inside it, `send` just returns 2.
   */
  dropped?: (ws: WebSocket<UserData>, message: ArrayBuffer, isBinary: boolean) => HandlerResult;

  /**
   * Called when some of the waiting data has been sent; {@link WebSocket.getBufferedAmount} returns how much is left.
   */
  drain?: (ws: WebSocket<UserData>) => HandlerResult;

  /**
   * Called once when the connection has ended, in whatever way, as the last handler of the connection. From now on the
   * methods of `ws` throw, except {@link WebSocket.getUserData}; its properties remain.
   *
   * @param code The code that the client sent (RFC 6455 section 7.4) or that was passed to {@link WebSocket.end}. 1005:
   * the client closed the connection without a code. 1006: the connection ended without a Close frame from the client,
   * and `message` says why.
   * @param message The reason, in UTF-8. The ArrayBuffer has its own memory, as in {@link message}.
   */
  close?: (ws: WebSocket<UserData>, code: number, message: ArrayBuffer) => HandlerResult;

  /**
   * Called when a ping has been received; the pong has been sent already. (While many bytes wait for a slow client,
   * only the newest of its pings is answered, as soon as the frame that is being sent is complete: RFC 6455 section
   * 5.5.3.) The ArrayBuffer, of at most 125 bytes, has its own memory.
   */
  ping?: (ws: WebSocket<UserData>, message: ArrayBuffer) => HandlerResult;

  /**
   * Called when a pong has been received, solicited or not. The ArrayBuffer, of at most 125 bytes, has its own memory.
   */
  pong?: (ws: WebSocket<UserData>, message: ArrayBuffer) => HandlerResult;

  /**
   * Called when this WebSocket has changed the number of a topic's subscribers: by {@link WebSocket.subscribe} or
   * {@link WebSocket.unsubscribe}, which have not returned yet, or because its connection has ended. In the latter case
   * the methods of `ws` throw as in {@link close}, which is called next.
   *
   * @param topic The ArrayBuffer has its own memory, as in {@link message}.
   */
  subscription?: (ws: WebSocket<UserData>, topic: ArrayBuffer, newCount: number, oldCount: number) => HandlerResult;
}

/**
 * A WebSocket route whose `message` handler is called with text as a string, and with binary messages as an
 * ArrayBuffer. Creating a string is cheaper than creating an ArrayBuffer and decoding it. uWebSockets.js has no such
 * option.
 */
export interface TextAsStringBehavior<UserData = unknown> extends Omit<
  WebSocketBehavior<UserData>,
  'textAsString' | 'message'
> {
  textAsString: true;
  /**
   * Like {@link WebSocketBehavior.message}. The message is a string if `isBinary` is false. A client that sends text
   * which exceeds the maximum length of a string (`buffer.constants.MAX_STRING_LENGTH`) is disconnected with close code
   * 1009.
   */
  message?: (ws: WebSocket<UserData>, message: string | ArrayBuffer, isBinary: boolean) => HandlerResult;
}

/** The behavior of a WebSocket route: a {@link WebSocketBehavior} or a {@link TextAsStringBehavior}. */
export type RouteBehavior<UserData = unknown> = WebSocketBehavior<UserData> | TextAsStringBehavior<UserData>;

/**
 * A WebSocket connection. It may be used and kept from `open` until `close` is called for it. After that its methods
 * throw an Error `ERR_MILLIWAYS_WEBSOCKET_CLOSED`.
 *
 * Programs may set their own properties on it; in TypeScript through {@link getUserData}, which returns the WebSocket
 * itself.
 */
export interface WebSocket<UserData = unknown> {
  /**
   * Sends a message. The message is copied, so the caller may reuse its memory at once.
   *
   * @param isBinary Whether the message is sent as binary. By default it is text, whatever type is passed, and must be
   * valid UTF-8.
   * @param compress Whether to compress the message if compression was negotiated, see
   * {@link WebSocketBehavior.compression}.
   * @returns 1 if the message was passed to the system (or, in a handler or a cork, will be at its end), 0 if it waits
   * because the client reads too slowly, and 2 if it was dropped because more than `maxBackpressure` bytes were
   * waiting.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the message is not {@link TextOrBytes}.
   */
  send(message: TextOrBytes, isBinary?: boolean, compress?: boolean): number;

  /**
   * Sends the first fragment of a message (RFC 6455 section 5.4), to be followed by any number of {@link sendFragment}
   * and one {@link sendLastFragment}. In between, only pings can be sent, and published messages wait until the message
   * is complete. Fragmented messages are not compressed, whatever `compress` says.
   *
   * @returns The same as {@link send}. If the first fragment was dropped, so are the others.
   * @throws Error `ERR_MILLIWAYS_FRAGMENT_ORDER` while another fragmented message is incomplete. So does {@link send}.
   */
  sendFirstFragment(message: TextOrBytes, isBinary?: boolean, compress?: boolean): number;

  /**
   * Sends a further fragment of a message.
   *
   * @returns The same as {@link send}. The fragment is dropped only if the first one was.
   * @throws Error `ERR_MILLIWAYS_FRAGMENT_ORDER` without a first fragment.
   */
  sendFragment(message: TextOrBytes, compress?: boolean): number;

  /** Sends the last fragment of a message; otherwise like {@link sendFragment}. */
  sendLastFragment(message: TextOrBytes, compress?: boolean): number;

  /**
   * Sends a ping (RFC 6455 section 5.5.2). The client answers it automatically; see {@link WebSocketBehavior.pong}. The
   * ping is sent after everything that was sent before, and is dropped where a message would be. (The pings of
   * {@link WebSocketBehavior.sendPingsAutomatically} precede the data that waits.)
   *
   * @param message At most 125 bytes; empty by default.
   * @returns The same as {@link send}.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the message is not {@link TextOrBytes}.
   */
  ping(message?: TextOrBytes): number;

  /**
   * Closes the connection gracefully: everything that was sent before is transmitted, then a Close frame (RFC 6455
   * section 5.5.1). The TCP connection ends when the client has answered with its own Close frame, or when for 10
   * seconds it has neither answered nor accepted any of the data that is left. The `close` handler is called before
   * this returns, with the same code and reason.
   *
   * @param code 1000, or 3000 to 4999 for a reason of your own; also 1001 to 1003 and 1007 to 1014, which have a
   * defined meaning (RFC 6455 section 7.4.1). Without a code the frame is empty, and the handler is called with 0.
   * @param shortMessage The reason. A Close frame has room for 123 bytes of UTF-8; a longer reason is cut between two
   * characters. It is sent only together with a code.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` for a code that must not be sent. The WebSocket is still open.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the reason is not {@link TextOrBytes}.
   */
  end(code?: number, shortMessage?: TextOrBytes): void;

  /**
   * Drops the connection without a Close frame; data that was waiting to be sent is lost. The `close` handler is called
   * before this returns, with code 1006.
   */
  close(): void;

  /**
   * Returns the number of bytes that wait to be sent because the client reads too slowly, or that can no longer be sent
   * because the connection has failed and `close` is about to be called. Frame headers count.
   */
  getBufferedAmount(): number;

  /** Returns the address of the client, in the form of {@link HttpResponse.getRemoteAddress}. */
  getRemoteAddress(): ArrayBuffer;

  /** Returns the same as text, in the form of {@link HttpResponse.getRemoteAddressAsText}. */
  getRemoteAddressAsText(): ArrayBuffer;

  /** Returns the port of the client; 0 on a Unix domain socket. */
  getRemotePort(): number;

  /**
   * Subscribes to a topic: messages published to it are sent to this WebSocket from now on. A topic is any text or
   * bytes, and exists as long as it has subscribers. The subscription ends with the WebSocket.
   *
   * @returns true, even if the WebSocket has already subscribed, in which case nothing changes; false if it would be one
   * topic more than {@link WebSocketBehavior.maxTopics} allows.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the topic is not {@link TextOrBytes}.
   * @throws RangeError `ERR_MILLIWAYS_TOO_DEEP` in a handler that is nested more than 100 calls deep, such as a
   * `subscription` handler that subscribes to another topic each time. So do {@link unsubscribe} and
   * {@link unsubscribeAll}.
   */
  subscribe(topic: TextOrBytes): boolean;

  /**
   * Ends a subscription. Messages that were published before still arrive.
   *
   * @returns Whether the WebSocket had subscribed.
   */
  unsubscribe(topic: TextOrBytes): boolean;

  /**
   * Ends all subscriptions.
   *
   * @deprecated It belongs to the interface of 2019.
   */
  unsubscribeAll(): boolean;

  /** Returns whether the WebSocket has subscribed to a topic. */
  isSubscribed(topic: TextOrBytes): boolean;

  // uWebSockets.js declares only strings, and programs expect only strings.
  /** Returns the topics that the WebSocket has subscribed to, in no particular order. */
  getTopics(): string[];
  /**
   * The same for topics that may not be valid UTF-8, which are returned as ArrayBuffers:
   * `getTopics<string | ArrayBuffer>()`. {@link unsubscribe} and {@link isSubscribed} accept them.
   */
  getTopics<Topic extends string | ArrayBuffer>(): Topic[];

  /**
   * Publishes like {@link TemplatedApp.publish}, to all subscribers except this WebSocket, whether or not it has
   * subscribed itself.
   *
   * @returns Whether the topic has any other subscribers.
   */
  publish(topic: TextOrBytes, message: TextOrBytes, isBinary?: boolean, compress?: boolean): boolean;

  /**
   * Stops reading. When the buffers on the way are full, the client has to slow down, so that a client which sends
   * faster than its messages can be processed does not fill memory. Until {@link resume} is called, nothing that the
   * client sends reaches a handler, not even that it has closed the connection (unless the connection breaks), and
   * {@link WebSocketBehavior.idleTimeout} does not run. Sending still works. uWebSockets.js has no such method.
   */
  pause(): WebSocket<UserData>;

  /** Resumes reading. */
  resume(): WebSocket<UserData>;

  /**
   * Calls the function synchronously, and sends everything that it sends in one system call, which is faster for the
   * client, too. Handlers are corked already; use this in timers, promise callbacks and the like.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if it is not a function. What the function throws is thrown by this
   * call.
   */
  cork(callback: () => HandlerResult): WebSocket<UserData>;

  /**
   * The name of {@link cork} in 2019.
   *
   * @deprecated
   */
  experimental_cork(callback: () => HandlerResult): WebSocket<UserData>;

  /**
   * Returns the WebSocket object itself, which has the connection's user data as properties. It may be called after
   * `close`, too.
   */
  getUserData(): UserData;
}

/**
 * A request. It may be read until its handler has returned and the microtasks and `process.nextTick` callbacks that
 * were due then have run; that is, after an `await` of a value that is available already, but not after an `await` of
 * I/O. Later its methods throw an Error `ERR_MILLIWAYS_REQUEST_EXPIRED`. Copy what you need for longer.
 */
export interface HttpRequest {
  /**
   * Returns the path as it was sent: not decoded, and without the query. For a target in absolute form (RFC 9112
   * section 3.2.2) it is the path of the URI, and for `OPTIONS *` it is `*`.
   */
  getUrl(): string;

  /**
   * Returns the value of a header, without surrounding white space, or `''` if there is none. If several headers have
   * the name, it returns the first, except for `sec-websocket-protocol` and `sec-websocket-extensions`, whose values
   * are joined to one list by commas (RFC 6455 section 11.3). `host` is the host of the target, if the target is in
   * absolute form. A request of HTTP/1.0 may have no `host`.
   *
   * @param lowerCaseKey The name in lower case, whatever the client sent. A name with upper-case letters is never
   * found.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the name is not {@link TextOrBytes}.
   */
  getHeader(lowerCaseKey: TextOrBytes): string;

  /** Returns the method in lower case: `get`, `post` and so on. */
  getMethod(): string;

  /** Returns the method as it was sent. */
  getCaseSensitiveMethod(): string;

  // uWebSockets.js declares `string` alone, and code that passes the value on would not compile with more.
  /**
   * Returns everything after the `?` of the target, not decoded; `''` if nothing follows. Without a `?` it returns
   * `undefined`, contrary to the declared type, which is that of uWebSockets.js.
   */
  getQuery(): string;

  /**
   * Returns the value of the first pair `key=value` of the query with this key, or `undefined` if there is none. The
   * value is decoded like a form (WHATWG URL section 5.1): `+` is a space, and `%41` is `A`; an invalid escape is kept
   * as it is. The key is compared as it was sent, not decoded, and a key without `=` is not a pair.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the key is not {@link TextOrBytes}.
   */
  getQuery(key: TextOrBytes): string | undefined;

  /**
   * Returns the value of a parameter of the route's pattern, not decoded, or `undefined` if the pattern has no such
   * parameter. For `/users/:id` and the path `/users/5`, both `getParameter(0)` and `getParameter('id')` return `5`.
   *
   * @param index The parameter's position in the pattern, counted from 0, or its name without the colon. If several
   * have the name, the first is returned.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if it is neither a number nor {@link TextOrBytes}.
   */
  getParameter(index: number | TextOrBytes): string | undefined;

  /**
   * Calls the function synchronously for each header, in the order in which they were sent, with the name in lower case
   * and the value without surrounding white space. Values are decoded as UTF-8, whereas {@link getHeader} decodes them
   * as Latin-1; uWebSockets.js does the same.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if it is not a function. What the function throws is thrown by this
   * call.
   */
  forEach(callback: (key: string, value: string) => HandlerResult): void;

  /**
   * Sets whether the request goes on to the next matching route if the handler returns without having answered; after
   * the last route it is answered with `404 File Not Found`. A handler that yields should leave the response alone,
   * because the next handler gets it as it is.
   *
   * @param yields The last call counts. Without a call the request does not go on.
   */
  setYield(yields: boolean): HttpRequest;
}

/**
 * The response to a request. It may be used until it is complete ({@link end}, {@link endWithoutBody}, the last
 * {@link tryEnd}, {@link upgrade}), until {@link close} is called, or until the client disconnects, which calls
 * {@link onAborted}. After that its methods throw an Error `ERR_MILLIWAYS_RESPONSE_DONE`.
 *
 * Most methods return the response, so that calls can be chained. Data is copied or sent before a method returns, so
 * the caller may reuse its memory at once.
 *
 * Write in a handler or in {@link cork}, so that everything is sent in one system call. The first write elsewhere in a
 * process emits the warning `WARN_MILLIWAYS_UNCORKED`.
 *
 * **The body of a response** is sent in one of three ways: all at once with {@link end}; in an unknown number of chunks
 * with {@link write}, and `end` for the last; or, with a known length, as fast as the socket accepts it, with
 * {@link tryEnd}. A response to HEAD, or with status 204 or 304, never has a body (RFC 9110 sections 9.3.2, 15.3.5,
 * 15.4.5): bytes that are passed for it are not sent.
 *
 * **The body of a request** is passed to the handler that {@link onData}, {@link onDataV2} or {@link collectBody}
 * attaches. Attaching another one throws an Error `ERR_MILLIWAYS_BODY_TAKEN`, except that a handler of `onData` or
 * `onDataV2` which has not been called yet may be replaced. If the handler fails with the last chunk, the response
 * fails like that of an {@link HttpHandler}. Until a handler is attached, which may be after an `await`, the body stays
 * in the kernel's buffer and slows its sender down. When the response is complete, the rest of the body is read and
 * discarded, because the next request follows it. Uploads slower than 16 KB/s, averaged over
 * {@link AppOptions.idleTimeout}, are aborted. Receiving a body takes time, so {@link onAborted} is required as well.
 */
export interface HttpResponse {
  /**
   * Sets the status, such as `404 Not Found`. It has to come first: after a status, a header or a part of the body has
   * been written, it has no effect. The default status is `200 OK`, and that of {@link upgrade}
   * `101 Switching Protocols`. A number alone, such as `404`, gets its registered reason phrase, or an empty one.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if it is not {@link TextOrBytes}.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if it is neither 101 nor a number from 200 to 999 followed by a
   * space and a reason phrase (RFC 9112 section 4). If the status is 101, every call that would complete the response
   * throws it.
   * @throws Error `ERR_MILLIWAYS_INVALID_HEADER` if it contains CR, LF or NUL (RFC 9110 section 5.5).
   */
  writeStatus(status: TextOrBytes): HttpResponse;

  /**
   * Adds a header. Content-Length, Transfer-Encoding, Date and the headers of the connection are written for you. If
   * you write one of them yourself, in any letter case, it replaces the automatic one and is sent once:
   *
   * - Content-Length must be the length of the body; otherwise completing the response throws. With {@link write} the
   *   body is then sent without chunks. In a response to HEAD, or with 304, it is sent as it is; with 204 it is left
   *   out.
   * - `Transfer-Encoding: chunked` is left out if the length is known.
   * - `Connection: close` closes the connection after the response. `keep-alive` is ignored if the connection has to
   *   close.
   * - If Date is written several times, the first one counts.
   * - Before {@link upgrade}, Connection, Upgrade, Sec-WebSocket-Accept and Sec-WebSocket-Extensions are replaced by
   *   those of the handshake, and Sec-WebSocket-Protocol replaces the subprotocol that is passed to `upgrade`.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the name or the value is not {@link TextOrBytes}.
   * @throws Error `ERR_MILLIWAYS_INVALID_HEADER` if the value contains CR, LF or NUL (RFC 9110 section 5.5), the name
   * is not a token (section 5.6.2), a Content-Length is not a whole number or differs from an earlier one, or a
   * Transfer-Encoding is not `chunked`.
   * @throws Error `ERR_MILLIWAYS_RESPONSE_ORDER` if the body has begun.
   */
  writeHeader(key: TextOrBytes, value: TextOrBytes): HttpResponse;

  /**
   * Ends the headers of a response whose body is sent in chunks, and sends them without waiting for the first chunk.
   * {@link write} does so implicitly. Headers are not sent before that, or before the response is complete. An HTTP/1.0
   * client, which does not support chunks, gets the body as it is, and the end of the connection ends it (RFC 9112
   * section 6.3).
   *
   * @throws Error `ERR_MILLIWAYS_RESPONSE_ORDER` after {@link tryEnd}.
   */
  beginWrite(): HttpResponse;

  /**
   * Sends a chunk of the body (RFC 9112 section 7.1); {@link end} sends the last one. An empty chunk is not sent. After
   * a Content-Length of your own, the data is sent without chunk framing.
   *
   * @returns Whether the client keeps up. If it does not, the rest is kept in memory, and {@link onWritable} is called
   * when all of it has been sent. You may continue to write; waiting saves memory.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the chunk is not {@link TextOrBytes}.
   * @throws Error `ERR_MILLIWAYS_CONTENT_LENGTH` if the body would exceed your Content-Length.
   * @throws Error `ERR_MILLIWAYS_RESPONSE_ORDER` after {@link tryEnd}.
   */
  write(chunk: TextOrBytes): boolean;

  /**
   * Completes the response. After {@link write}, the argument is the last chunk. After {@link tryEnd}, it is the data
   * that follows {@link getWriteOffset}: bytes beyond the announced length are not sent, and if there are fewer, the
   * connection is closed so that the client can tell.
   *
   * @param body Empty by default.
   * @param closeConnection Whether to close the connection when the response has been sent. `false` by default, unless
   * the client asked for it.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the body is not {@link TextOrBytes}.
   * @throws Error `ERR_MILLIWAYS_CONTENT_LENGTH` if the length of the body differs from your Content-Length. The
   * response can still be completed.
   */
  end(body?: TextOrBytes, closeConnection?: boolean): HttpResponse;

  /**
   * Completes the response without a body, with the given Content-Length, as in a response to HEAD or with status 304
   * (RFC 9110 section 8.6; with 204 it is left out). In response to other methods the client would wait for that many
   * bytes, or, without a length, for the end of the connection: pass 0, or close the connection.
   *
   * @param reportedContentLength In bytes. By default there is no Content-Length. Has no effect once the body has
   * begun.
   * @param closeConnection As in {@link end}.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if the length is not a whole number.
   * @throws Error `ERR_MILLIWAYS_CONTENT_LENGTH` if it differs from your Content-Length.
   */
  endWithoutBody(reportedContentLength?: number, closeConnection?: boolean): HttpResponse;

  /**
   * Sends a part of a body of known length, as far as the socket accepts it, and completes the response with the last
   * byte. Data that the socket does not accept is not kept, so bodies of any length can be sent: if this returns
   * `[false, false]`, continue in {@link onWritable}, with the byte at {@link getWriteOffset}.
   *
   * A part of less than 32 KiB is accepted as a whole, unless earlier ones are still waiting.
   *
   * @param fullBodyOrChunk The data that follows the bytes accepted so far. Data beyond `totalSize` is not sent.
   * @param totalSize The length of the whole body in bytes. The first call counts; later calls cannot change it. If it
   * is missing or 0, the first part is the whole body.
   * @param closeConnection As in {@link end}. The headers tell the client only if the first call says so.
   * @returns Whether the socket has accepted the whole part, and whether the response is complete.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the part is not {@link TextOrBytes}.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if the size is not a whole number.
   * @throws Error `ERR_MILLIWAYS_CONTENT_LENGTH` if it differs from your Content-Length.
   * @throws Error `ERR_MILLIWAYS_RESPONSE_ORDER` after {@link beginWrite} or {@link write}.
   */
  tryEnd(fullBodyOrChunk: TextOrBytes, totalSize?: number, closeConnection?: boolean): [boolean, boolean];

  /**
   * Returns the number of bytes of the body that {@link tryEnd} has accepted so far, over all calls; 0 for a body in
   * chunks.
   */
  getWriteOffset(): number;

  /**
   * Closes the connection at once. Data that has been written but not yet sent is lost, and the {@link onAborted}
   * handler is called before this returns.
   */
  close(): HttpResponse;

  /**
   * Stops reading the request's body, and stops its timeout: the handler gets no more chunks, and the sender has to
   * slow down when the buffers in between are full. A client that disconnects meanwhile is detected as
   * {@link onAborted} describes, unless more of the body precedes its FIN than these buffers can hold.
   */
  pause(): HttpResponse;

  /** Resumes reading after {@link pause}. Has no effect if it was not paused. */
  resume(): HttpResponse;

  /**
   * Calls the function synchronously, and sends everything that it writes in one system call. Handlers are corked
   * already; use this in code that runs later.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if it is not a function. What the function throws is thrown by this
   * call.
   */
  cork(callback: () => HandlerResult): HttpResponse;

  /**
   * A former name of {@link cork}.
   *
   * @deprecated
   */
  collect(callback: () => HandlerResult): HttpResponse;

  /**
   * Turns the request into a WebSocket, in an {@link WebSocketBehavior.upgrade} handler or later. The `open` handler is
   * called before this returns, and the response must not be used any more.
   *
   * Headers that were written before are sent with the handshake. The status is 101, even if {@link writeStatus} is not
   * called.
   *
   * @param userData An object whose own properties (with names or symbols as keys) are copied to the WebSocket object.
   * Any other value is ignored.
   * @param secWebSocketKey The value of the request's header `sec-websocket-key`, from which the response is computed
   * (RFC 6455 section 4.2.2). Read the headers before the first `await`.
   * @param secWebSocketProtocol The subprotocols, separated by commas, of which the first is selected: the value of the
   * request's header `sec-websocket-protocol`, or your choice from it. With `''` none is selected.
   * @param secWebSocketExtensions The value of the request's header `sec-websocket-extensions`, or `''` for no
   * extensions.
   * @param context The context that the handler was called with.
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` with fewer than five arguments.
   * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if the key or the protocol is not {@link TextOrBytes}.
   * @throws Error `ERR_MILLIWAYS_INVALID_UPGRADE` if the body of the response has begun, the key is not the base64
   * encoding of 16 bytes, the protocol contains CR, LF or NUL, or a status other than 101 was written; a TypeError with
   * this code if the context is invalid. The response can still be used after any of these.
   * @throws RangeError `ERR_MILLIWAYS_TOO_DEEP` in a handler that is nested more than 100 calls deep.
   */
  upgrade<UserData>(
    userData: UserData,
    secWebSocketKey: TextOrBytes,
    secWebSocketProtocol: TextOrBytes,
    secWebSocketExtensions: TextOrBytes,
    context: us_socket_context_t,
  ): void;

  /**
   * Sets the function that is called if the connection ends before the response is complete, whoever ended it. A route
   * handler that answers after it has returned must set one, and remember in it that there is nobody left to answer.
   * Setting it again replaces the function.
   *
   * A client that has finished sending, by a FIN or by TLS's close_notify, may still be waiting for the response. It
   * gets the response, and then the connection closes. But the client may also have left. It is therefore considered
   * gone if a write to it is answered with a reset, or if nothing is written to it for 5 seconds, or for 500 ms if it
   * finished after its request and body, while it was waiting, because this is what a client that leaves looks like. A
   * client that vanishes without a FIN is detected after some 30 seconds, or after {@link AppOptions.idleTimeout} if
   * that is longer, and so is a client that accepts nothing of what was written to it for that long.
   *
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if it is not a function.
   */
  onAborted(handler: () => HandlerResult): HttpResponse;

  /**
   * Sets the function that is called when the client has caught up: after {@link write} has returned false, when
   * everything that was written has been sent; after {@link tryEnd} has returned false, when the socket accepts more.
   * It may be called several times. Setting it again replaces the function.
   *
   * @param handler Called with the value of {@link getWriteOffset}. It must return true if it has written everything
   * that there was to write, otherwise false; in milliways nothing depends on which. The first other return value in a
   * process emits the warning `WARN_MILLIWAYS_WRITABLE`.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if it is not a function.
   */
  onWritable(handler: (offset: number) => boolean): HttpResponse;

  /**
   * Receives the request's body in chunks, as they arrive. For a request without a body the handler is called with one
   * empty chunk, which is the last. See {@link HttpResponse} for when a body is read.
   *
   * @param handler Called with a chunk, and with whether it is the last. The ArrayBuffer has its own memory: it may be
   * kept, and passed to asynchronous functions such as `fs.write`.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if it is not a function.
   */
  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => HandlerResult): HttpResponse;

  /**
   * Receives the request's body like {@link onData}.
   *
   * @param handler Called with a chunk, as in `onData`, and with the number of bytes that may still follow it:
   * `2n ** 64n - 1n` while that is unknown, because the body arrives in chunks (RFC 9112 section 7.1), and `0n` for the
   * last chunk.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if it is not a function.
   */
  onDataV2(handler: (chunk: ArrayBuffer, maxRemainingBodyLength: bigint) => HandlerResult): HttpResponse;

  /**
   * Receives the request's body as a whole.
   *
   * @param maxSize The maximum length of a body that is kept, in bytes.
   * @param handler Called once: with the body, which may be empty, or with null as soon as the body exceeds `maxSize`.
   * The rest is then discarded, and the request can still be answered. The ArrayBuffer has its own memory, as in
   * {@link onData}.
   * @throws Error `ERR_MILLIWAYS_MISSING_ARGUMENT` with fewer than two arguments.
   * @throws Error `ERR_MILLIWAYS_INVALID_HANDLER` if the handler is not a function.
   * @throws RangeError `ERR_MILLIWAYS_OUT_OF_RANGE` if the size is not a whole number.
   */
  collectBody(maxSize: number, handler: (fullBody: ArrayBuffer | null) => HandlerResult): HttpResponse;

  /**
   * Returns the address of the client, in network byte order: 4 bytes for an IPv4 address, 16 for an IPv6 address, 0 on
   * a Unix domain socket. A listen socket for all addresses reports IPv4 addresses as IPv4-mapped IPv6 addresses,
   * `::ffff:0:0/96` (RFC 4291 section 2.5.5.2). The ArrayBuffer has its own memory.
   */
  getRemoteAddress(): ArrayBuffer;

  /**
   * Returns the same as text, in ASCII: `127.0.0.1`, or eight groups of four lower-case digits, without abbreviation,
   * such as `0000:0000:0000:0000:0000:0000:0000:0001`; empty on a Unix domain socket. `Buffer.from(buffer).toString()`
   * converts it to a string.
   */
  getRemoteAddressAsText(): ArrayBuffer;

  /** Returns the port of the client; 0 on a Unix domain socket. */
  getRemotePort(): number;

  /**
   * Returns the source address in the proxy's header, in the form of {@link getRemoteAddress}; empty if there was no
   * such header, or if it names no address. See {@link AppOptions.proxyProtocol}.
   */
  getProxiedRemoteAddress(): ArrayBuffer;

  /** Returns the same as text, in the form of {@link getRemoteAddressAsText}. */
  getProxiedRemoteAddressAsText(): ArrayBuffer;

  /** Returns the source port in the proxy's header; 0 if {@link getProxiedRemoteAddress} is empty. */
  getProxiedRemotePort(): number;

  /**
   * Returns the certificate that the client has sent, as PEM, in an SSLApp; the certificate alone, without its chain.
   * One of {@link AppOptions.ca_file_name} has signed it. Empty if the client has not sent one, or was not asked.
   * Responses of an app without TLS do not have this method.
   */
  getX509Certificate(): string;

  /** Programs may set their own properties. */
  [key: string]: any;
}

// Empty, and thus no stricter than `{}`, because it is empty in uWebSockets.js: some code assigns `false` to variables
// of this type.
/** A listen socket, with which the callback of {@link TemplatedApp.listen} is called. It has no members. */
export interface us_listen_socket {}

/** The type of the argument of {@link us_socket_local_port} in uWebSockets.js. Here it is always a listen socket. */
export interface us_socket {}

/**
 * The context that an {@link WebSocketBehavior.upgrade} handler is called with, for {@link HttpResponse.upgrade}. It
 * has no members.
 */
export interface us_socket_context_t {}

/**
 * Closes a listen socket. Connections that it has accepted stay open. Calling it again has no effect.
 *
 * @throws TypeError `ERR_MILLIWAYS_INVALID_TOKEN` if the argument is not a listen socket.
 */
export function us_listen_socket_close(listenSocket: us_listen_socket): void;

/**
 * Returns the port that a listen socket is bound to, or -1 if it is closed or is a Unix domain socket.
 *
 * @throws TypeError `ERR_MILLIWAYS_INVALID_TOKEN` if the argument is not a listen socket.
 */
export function us_socket_local_port(listenSocket: us_listen_socket): number;

/**
 * Builds a response that is the same for every request, except for the values of the request that it includes. It is
 * sent without calling JavaScript, which is faster:
 *
 * `app.get('/hello/:name', new DeclarativeResponse().write('Hello ').writeParameterValue('name').end('!'))`
 *
 * The status and the headers come before the body. If they are invalid, registering the route throws the error that
 * {@link HttpResponse.writeStatus} or {@link HttpResponse.writeHeader} would throw. If you write a Content-Length,
 * whether the body matches it depends on the request: a response that does not match is aborted, or replaced by a 500
 * if nothing has been written, and an Error `ERR_MILLIWAYS_NO_RESPONSE` becomes an `uncaughtException`.
 *
 * All methods throw an Error `ERR_MILLIWAYS_MISSING_ARGUMENT` if a required argument is missing. Lengths are those of
 * the text in UTF-8; a longer text throws a RangeError `ERR_MILLIWAYS_OUT_OF_RANGE`.
 */
export class DeclarativeResponse {
  /** Sets the status, such as `404 Not Found`, of at most 255 bytes. The default is `200 OK`. */
  writeStatus(status: string): DeclarativeResponse;
  /** Adds a header. The name and the value may have at most 255 bytes each. */
  writeHeader(key: string, value: string): DeclarativeResponse;
  /** Includes the body of the request. In this version it adds nothing, and the body is discarded. */
  writeBody(): DeclarativeResponse;
  /**
   * Adds the decoded value that {@link HttpRequest.getQuery} returns for a key of at most 255 bytes; adds nothing if
   * there is none.
   */
  writeQueryValue(key: string): DeclarativeResponse;
  /** Adds the value of a request header. Its name is in lower case and has at most 255 bytes. */
  writeHeaderValue(lowerCaseKey: string): DeclarativeResponse;
  /** Adds the value of a parameter of the route. Its name has at most 255 bytes and no colon. */
  writeParameterValue(name: string): DeclarativeResponse;
  /** Adds text of at most 65,535 bytes to the body, which is then sent in chunks (RFC 9112 section 7.1). */
  write(value: string): DeclarativeResponse;
  /**
   * Ends the response with text of at most 65,535 bytes, empty by default. If this is the whole body, it is sent with a
   * Content-Length.
   *
   * @returns A handler for routes. It may be used for several routes.
   */
  end(value?: string): ArrayBuffer;
}

/** A part of a form, as returned by {@link getParts}. */
export interface MultipartField {
  /** The content, as a copy in its own memory. */
  data: ArrayBuffer;
  // Code typed against uWebSockets.js expects `string` alone.
  /** The field's name. Contrary to the declared type it is missing if the part has none, which no browser sends. */
  name: string;
  /** The part's Content-Type, if it has one. */
  type?: string;
  /**
   * The file name that the client sent, if the part is a file. Do not use it as a path.
   *
   * A `filename*` (RFC 8187) is decoded, and takes precedence over `filename`. In the latter, `\"` is decoded to a
   * quote; other backslashes, and the `%22` that browsers write for a quote, are kept, because a file name may contain
   * them.
   */
  filename?: string;
}

/**
 * Parses a multipart body (RFC 7578) and returns its parts in order. Parts that cannot be parsed are skipped, and so
 * are parts with more than ten headers or without an end.
 *
 * @param body The whole body; see {@link HttpResponse.collectBody}.
 * @param contentType The value of the request's header `content-type`, which contains the boundary.
 * @returns The parts, or `undefined` if the content type is not that of a multipart body.
 * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if an argument is not {@link TextOrBytes}.
 */
export function getParts(body: TextOrBytes, contentType: TextOrBytes): MultipartField[] | undefined;

/**
 * Sets an option of the thread, by its key; unknown keys have no effect. The only key of uWebSockets.js removes the
 * header that names the interface from responses.
 */
export function _cfg(key: string): void;

/**
 * Node's `setTimeout`. The function of this name in uWebSockets.js is undocumented and has no effect.
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

// The key-value store. A collection is a separate set of pairs; the default collection has the name ''. Strings and
// integers do not share collections. All functions throw an Error ERR_MILLIWAYS_MISSING_ARGUMENT if a required argument
// is missing, and ERR_MILLIWAYS_INVALID_DATA if a key, a string or a collection is not TextOrBytes.

/**
 * Returns the string that is stored under a key, or `''` if there is none.
 *
 * The key-value store is shared by all threads of the process and exists as long as the process. Each call is atomic;
 * {@link lock} makes several calls atomic.
 *
 * @param collection The set of pairs to use. `''` by default.
 * @throws Error `ERR_MILLIWAYS_INVALID_DATA` if an argument is not {@link TextOrBytes}.
 */
export function getString(key: TextOrBytes, collection?: TextOrBytes): string;
/** Stores a string under a key. See {@link getString}. */
export function setString(key: TextOrBytes, value: TextOrBytes, collection?: TextOrBytes): void;
/** Returns the integer that is stored under a key, or 0 if there is none. Integers and strings do not share keys. */
export function getInteger(key: TextOrBytes, collection?: TextOrBytes): number;
/** Stores a signed 32-bit integer under a key; a larger number is truncated, like `value | 0`. */
export function setInteger(key: TextOrBytes, value: number, collection?: TextOrBytes): void;
/**
 * Adds to the integer that is stored under a key, or to 0 if there is none, and returns the sum, which wraps at 32
 * bits.
 */
export function incInteger(key: TextOrBytes, value: number, collection?: TextOrBytes): number;
/** Returns the keys of all strings of a collection, in byte order. */
export function getStringKeys(collection?: TextOrBytes): string[];
/** The same for keys that may not be valid UTF-8, which are returned as ArrayBuffers. */
export function getStringKeys<Key extends string | ArrayBuffer>(collection?: TextOrBytes): Key[];
/** Returns the keys of all integers of a collection, in byte order. */
export function getIntegerKeys(collection?: TextOrBytes): string[];
/** The same for keys that may not be valid UTF-8, which are returned as ArrayBuffers. */
export function getIntegerKeys<Key extends string | ArrayBuffer>(collection?: TextOrBytes): Key[];
/** Removes a string, if it exists. */
export function deleteString(key: TextOrBytes, collection?: TextOrBytes): void;
/** Removes an integer, if it exists. */
export function deleteInteger(key: TextOrBytes, collection?: TextOrBytes): void;
/** Removes all strings of a collection. */
export function deleteStringCollection(collection?: TextOrBytes): void;
/** Removes all integers of a collection. */
export function deleteIntegerCollection(collection?: TextOrBytes): void;
/**
 * Locks the store for this thread. Every call of another thread that uses the store blocks that thread, including its
 * connections, until {@link unlock} has been called as often as this. The lock is released if the thread ends. Do not
 * wait for anything while holding it.
 */
export function lock(): void;
/** Undoes one {@link lock}. Has no effect if this thread has not locked the store. */
export function unlock(): void;

// The same types as in uWebSockets.js and no more. Programs keep values of this type and read them, which a
// SharedArrayBuffer or an array of bigints would break.
/** The types of text and bytes that uWebSockets.js declares. Methods accept more types: see {@link TextOrBytes}. */
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
 * The types that are accepted as text or bytes. Strings are sent as UTF-8, everything else byte by byte; only the
 * visible part of a view is sent. `undefined` counts as the empty string if the argument is optional. Anything else,
 * including a DataView, throws an Error `ERR_MILLIWAYS_INVALID_DATA`.
 */
export type TextOrBytes = RecognizedString | SharedArrayBuffer | Uint8ClampedArray | BigUint64Array | BigInt64Array;

// `const`, because there is no such object to import, here or in uWebSockets.js, but only the two constants below.
/** Options of {@link TemplatedApp.listen}. */
export const enum ListenOptions {
  LIBUS_LISTEN_DEFAULT = 0,
  LIBUS_LISTEN_EXCLUSIVE_PORT = 1,
}
/** 0. Several sockets, of any processes of one user, may share the port; each receives some of the connections. */
export const LIBUS_LISTEN_DEFAULT: ListenOptions;
/** 1. Listening fails if any other socket listens on the port. */
export const LIBUS_LISTEN_EXCLUSIVE_PORT: ListenOptions;

/** One of the constants below, or a compressor and a decompressor combined with `|`. */
export type CompressOptions = number;
/** 0. No compression. */
export const DISABLED: CompressOptions;
/** 1. Compresses each message independently: no memory per connection. */
export const SHARED_COMPRESSOR: CompressOptions;
/** 256. Decompresses each message independently: no memory per connection. */
export const SHARED_DECOMPRESSOR: CompressOptions;
/** 248. The same as {@link DEDICATED_COMPRESSOR_256KB}. */
export const DEDICATED_COMPRESSOR: CompressOptions;
/**
 * 145. Compresses messages with reference to the last 512 bytes of earlier ones, which the connection keeps. (The 3 KB
 * are what zlib would take for such a window, except for 6 KB of its own.)
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
/** 2304. Messages may refer to up to 512 bytes of earlier ones. */
export const DEDICATED_DECOMPRESSOR_512B: CompressOptions;
/** 2560. The same with 1 KB. */
export const DEDICATED_DECOMPRESSOR_1KB: CompressOptions;
/** 2816. The same with 2 KB. */
export const DEDICATED_DECOMPRESSOR_2KB: CompressOptions;
/** 3072. The same with 4 KB. */
export const DEDICATED_DECOMPRESSOR_4KB: CompressOptions;
/** 3328. The same with 8 KB. */
export const DEDICATED_DECOMPRESSOR_8KB: CompressOptions;
/** 3584. The same with 16 KB. */
export const DEDICATED_DECOMPRESSOR_16KB: CompressOptions;
/** 3840. The same with 32 KB. */
export const DEDICATED_DECOMPRESSOR_32KB: CompressOptions;

/**
 * The numbers of an app, as {@link TemplatedApp.stats} returns them. A *counter* only rises, from 0 at the creation of
 * the app. A *gauge* rises and falls. All are whole numbers. A counter is exact up to 2^53, which a counter that rises
 * a million times a second reaches after 285 years.
 *
 * Each number is also in the text of {@link TemplatedApp.metrics}; docs/METRICS.md has the names there.
 */
export interface AppStats {
  /** Gauge: sockets that listen. */
  listeners: number;
  /** The connections of the app. */
  connections: {
    /** Those without TLS. */
    plain: ConnectionStats;
    /** Those with TLS. */
    tls: ConnectionStats;
    /** Counter: connections that could not be accepted, because they had failed or the system lacked memory. */
    acceptErrors: number;
    /** Counter: connections that were handed over to another app; see {@link TemplatedApp.addChildAppDescriptor}. */
    handedOver: number;
  };
  /**
   * How connections have ended. Each counts once, by the first reason. A WebSocket counts for the app whose context its
   * request was upgraded with, and the connection was counted as begun for the app that had accepted it.
   */
  ended: {
    /** Connections that were not WebSockets. */
    http: HttpEndStats;
    /** WebSockets. */
    webSocket: WebSocketEndStats;
  };
  /** What went through sockets. */
  sockets: {
    /** Counter: bytes read from sockets, TLS and framing included. */
    bytesReceived: number;
    /** Counter: bytes written to sockets, TLS and framing included. */
    bytesSent: number;
    /**
     * Gauge: bytes that wait because sockets have refused them (back pressure). What a handler adds to them is included
     * once the handler has returned.
     */
    bytesWaiting: number;
  };
  /** The messages of WebSockets. */
  webSocket: {
    /** What WebSockets have sent to the server. */
    received: {
      /** Counter: messages, whole ones. */
      messages: number;
      /** Counter: bytes of these messages, after decompression. */
      bytes: number;
      /** Counter: Pings. */
      pings: number;
      /** Counter: Pongs. */
      pongs: number;
    };
    /** What the server has sent to WebSockets. */
    sent: {
      /**
       * Counter: messages, including each delivery of a published message. A message that is sent in fragments counts
       * with the last one.
       */
      messages: number;
      /** Counter: bytes of these messages and of fragments, before compression. */
      bytes: number;
      /** Counter: Pings, of the program and automatic ones. */
      pings: number;
    };
    /**
     * Counter: messages and fragments that were not sent because of {@link WebSocketBehavior.maxBackpressure}, each
     * counted once for every WebSocket that did not get it.
     */
    dropped: number;
    /** Counters: WebSockets that have violated the protocol or a limit. */
    errors: WebSocketErrorStats;
  };
  /** Publish and subscribe. */
  pubSub: {
    /** Gauge: topics that have a subscriber. */
    topics: number;
    /** Gauge: subscriptions, each of a WebSocket to a topic. */
    subscriptions: number;
    /** Counter: messages published, with or without subscribers. */
    published: number;
    /** Counter: published messages that were sent to a subscriber, each counted once for every subscriber. */
    delivered: number;
  };
  /** HTTP requests and responses. */
  http: {
    /** Gauges: requests whose response is not complete. */
    activeRequests: {
      /** Those without TLS. */
      plain: number;
      /** Those with TLS. */
      tls: number;
    };
    /** Counter: requests whose head has been received, upgrades included. */
    requests: number;
    /** Counter: requests to become a WebSocket, whatever became of them. */
    upgradeRequests: number;
    /**
     * Counters: responses whose head has been written, by the class of the status (RFC 9110 section 15). Those that the
     * server sends by itself, such as 404 and 400, are included.
     */
    responses: {
      /** 101 of upgrades, and interim responses (100). */
      '1xx': number;
      /** Successful. */
      '2xx': number;
      /** Redirection. */
      '3xx': number;
      /** Client errors. */
      '4xx': number;
      /** Server errors. */
      '5xx': number;
      /** Statuses from 600 on. */
      other: number;
    };
    /** Counter: requests whose connection ended before their response was complete. */
    aborted: number;
    /** Counter: bytes of the bodies of requests, without the framing of chunks. */
    requestBodyBytes: number;
    /** Counter: bytes of the bodies of responses, without the framing of chunks. */
    responseBodyBytes: number;
    /** Counters: requests that the server has refused by itself. */
    errors: HttpErrorStats;
  };
  /** TLS. */
  tls: {
    /** Counters: handshakes that have been completed. */
    handshakes: {
      /** Those with certificate and key exchange. */
      full: number;
      /** Those that have resumed an earlier session. */
      resumed: number;
    };
    /** Counters: handshakes and sessions that have failed. */
    errors: TlsErrorStats;
  };
  /**
   * Counter: exceptions that handlers have thrown, and rejections of promises that handlers of HTTP requests have
   * returned.
   */
  handlerErrors: number;
  /** Counter: connections that were dropped because of an error of milliways itself (`ERR_MILLIWAYS_INTERNAL`). */
  internalErrors: number;
  /** Counters: limits that were exceeded. */
  limits: LimitStats;
  /** Counters: times that something was not done in time. */
  timeouts: TimeoutStats;
}

/** Numbers of connections; see {@link AppStats.connections}. */
export interface ConnectionStats {
  /** Connections that are not WebSockets. Each connection begins as one. */
  http: {
    /** Gauge: those that are open. */
    open: number;
    /** Counter: those that have begun, which is the number of all connections. */
    total: number;
  };
  /** WebSockets. */
  webSocket: {
    /** Gauge: those that are open. */
    open: number;
    /** Counter: those that have been opened, which is the number of upgrades. */
    total: number;
  };
  /**
   * Gauge: connections that are over for the program, and whose last output or closing handshake is still under way.
   */
  closing: number;
}

/** Counters of connections that were not WebSockets, by how they ended. */
export interface HttpEndStats {
  /** The server has closed the connection after a response, as the client, the program or HTTP/1.0 demanded. */
  answered: number;
  /** The server has refused a request by itself; see {@link HttpErrorStats}. */
  refused: number;
  /** The client was too slow; see {@link TimeoutStats}. */
  timedOut: number;
  /**
   * The server has dropped the connection: the program has called {@link HttpResponse.close} or its handler has failed in
   * the middle of a response, the address that a PROXY header names has too many connections, or the thread has ended.
   */
  cut: number;
  /** The client has closed the connection. */
  fin: number;
  /** The connection has failed, for example because the client has reset it. */
  failed: number;
  /** TLS, or the PROXY header before it, has failed; see {@link TlsErrorStats}. */
  tlsError: number;
  /** The connection was idle when the app was shut down; see {@link TemplatedApp.shutdown}. */
  shutDown: number;
}

/** Counters of WebSockets, by how they ended. */
export interface WebSocketEndStats {
  /** The program has closed the WebSocket by {@link WebSocket.end}. */
  closedByServer: number;
  /** The client has sent a Close frame first. */
  closedByClient: number;
  /** The client has violated the protocol or a limit; see {@link WebSocketErrorStats}. */
  protocolError: number;
  /** The client was silent for {@link WebSocketBehavior.idleTimeout}. */
  timedOut: number;
  /** {@link WebSocketBehavior.maxLifetime} has passed. */
  lifetime: number;
  /**
   * The server has dropped the connection: by {@link WebSocket.close} or closeOnBackpressureLimit, or because the thread
   * has ended.
   */
  cut: number;
  /** The client has closed the connection without a Close frame. */
  fin: number;
  /** The connection has failed, for example because the client has reset it. */
  failed: number;
  /** The TLS session has failed; see {@link TlsErrorStats}. */
  tlsError: number;
  /** The app has been shut down; see {@link TemplatedApp.shutdown}. */
  shutDown: number;
}

/** Counters of exceeded limits. Each has the name of its option, or of what is limited if there is no option. */
export interface LimitStats {
  /** {@link AppOptions.maxHeaderSize}: a request was refused. */
  maxHeaderSize: number;
  /** A request with more than 100 header fields was refused. */
  headerCount: number;
  /** A chunked body with more framing than its data justifies was refused. */
  chunkFraming: number;
  /** {@link AppOptions.maxBodySize}: a request was refused. */
  maxBodySize: number;
  /** {@link WebSocketBehavior.maxPayloadLength}: a WebSocket was closed, perhaps because of a decompressed message. */
  maxPayloadLength: number;
  /** {@link WebSocketBehavior.maxFragments}: a WebSocket was closed. */
  maxFragments: number;
  /** A WebSocket was closed because of a text longer than the longest string. */
  stringLength: number;
  /** {@link WebSocketBehavior.maxBackpressure}: a message or fragment was dropped. */
  maxBackpressure: number;
  /** {@link WebSocketBehavior.closeOnBackpressureLimit}: a WebSocket was closed. */
  closeOnBackpressureLimit: number;
  /** {@link WebSocketBehavior.maxTopics}: a WebSocket was not subscribed to a topic. */
  maxTopics: number;
  /**
   * {@link AppOptions.maxConnections}: a connection was closed, or, with {@link AppOptions.onConnectionLimit} `'pause'`,
   * accepting was paused.
   */
  maxConnections: number;
  /** {@link AppOptions.maxConnectionsPerAddress}: a connection was closed. */
  maxConnectionsPerAddress: number;
  /** A client was dropped that sent more than 128 KiB during its TLS handshake. */
  tlsHandshakeSize: number;
  /** A connection could not be accepted, because the process or the system had no file descriptor or no memory left. */
  descriptors: number;
}

/** Counters of times that something was not done in time. The connection ends unless stated otherwise. */
export interface TimeoutStats {
  /** A TLS handshake was not complete after 10 seconds. */
  tlsHandshake: number;
  /** {@link AppOptions.idleTimeout}: no request came. This is the usual end of a kept-alive connection. */
  httpIdle: number;
  /** {@link AppOptions.idleTimeout}: the head of a request was not complete. */
  httpHead: number;
  /** {@link AppOptions.idleTimeout}: the body of a request made too little progress. */
  httpBody: number;
  /** {@link AppOptions.idleTimeout}: the client did not take a response. */
  httpResponse: number;
  /** {@link AppOptions.idleTimeout}: no handler asked for the body of a request, which was discarded. */
  unclaimedBody: number;
  /** A client that had sent its FIN was considered gone, because nothing was written to it for a while. */
  halfClosed: number;
  /** A connection that was closing made no progress for 10 seconds. */
  closing: number;
  /** {@link WebSocketBehavior.idleTimeout}: a WebSocket was silent. */
  webSocketIdle: number;
  /** {@link WebSocketBehavior.maxLifetime} has passed. */
  webSocketLifetime: number;
}

/**
 * Counters of requests that the server has refused by itself, by cause. The response is 400 unless stated otherwise.
 * Each request counts once. Those over a limit are in {@link LimitStats} as well.
 */
export interface HttpErrorStats {
  /** The method or the target has a byte that is not allowed, or more than one space follows. */
  INVALID_REQUEST_LINE: number;
  /** The target is neither a path, nor a URI of HTTP, nor the asterisk of OPTIONS. */
  INVALID_TARGET: number;
  /** What follows the target is not a version of HTTP. */
  INVALID_VERSION: number;
  /** The request's version of HTTP is neither 1.0 nor a later HTTP/1. The response is 505. */
  UNSUPPORTED_VERSION: number;
  /** A line of the head does not end with CR and LF. */
  INVALID_LINE_END: number;
  /** The name of a header field is not a token. */
  INVALID_HEADER_NAME: number;
  /** The value of a header field has a control character. */
  INVALID_HEADER_VALUE: number;
  /** The header field Host is missing or empty. */
  MISSING_HOST: number;
  /** The header field Host occurs more than once. */
  REPEATED_HOST: number;
  /** The value of Content-Length is not a number of at most 18 digits. */
  INVALID_CONTENT_LENGTH: number;
  /** The transfer coding is not chunked, or the version is HTTP/1.0. */
  INVALID_TRANSFER_ENCODING: number;
  /** More than one header field says where the body ends. */
  AMBIGUOUS_LENGTH: number;
  /** The size of a chunk is not a hexadecimal number of at most 60 bits. */
  INVALID_CHUNK_SIZE: number;
  /** The extension of a chunk is malformed. */
  INVALID_CHUNK_EXTENSION: number;
  /** The data of a chunk is not followed by CR and LF. */
  INVALID_CHUNK_END: number;
  /** A trailer field is malformed. */
  INVALID_TRAILER: number;
  /** The header of the PROXY protocol before the request is malformed. */
  INVALID_PROXY_HEADER: number;
  /** A request to become a WebSocket has a body. */
  UPGRADE_WITH_BODY: number;
  /** The header field Sec-WebSocket-Key occurs more than once. */
  REPEATED_WEBSOCKET_KEY: number;
  /** The header field Sec-WebSocket-Version occurs more than once. */
  REPEATED_WEBSOCKET_VERSION: number;
  /**
   * A handler has passed a request on that becomes a WebSocket, and has written a status other than 101. This is
   * an error of the program.
   */
  UNEXPECTED_RESPONSE: number;
  /** The upgrade is for a WebSocket version other than 13. The response is 426. */
  UNSUPPORTED_WEBSOCKET_VERSION: number;
  /** The head of the request is over {@link AppOptions.maxHeaderSize}. The response is 431. */
  HEAD_TOO_LARGE: number;
  /** The head has more header fields than are allowed. The response is 431. */
  TOO_MANY_HEADERS: number;
  /** The sizes, extensions and trailers of a chunked body are over their limit in bytes. The response is 431. */
  CHUNK_FRAMING_TOO_LARGE: number;
  /** The body of the request is over {@link AppOptions.maxBodySize}. The response is 413. */
  BODY_TOO_LARGE: number;
  /**
   * No handler has answered the request, or its handler has failed before the response began. This is an error of the
   * program. The response is 500.
   */
  NO_RESPONSE: number;
}

/**
 * Counters of WebSockets that have violated the protocol (RFC 6455) or a limit, by cause. Each WebSocket counts once,
 * since the server fails it. Those over a limit are in {@link LimitStats} as well.
 */
export interface WebSocketErrorStats {
  /** Frame with RSV2 or RSV3 set. */
  UNEXPECTED_RSV_2_3: number;
  /** RSV1 set without permessage-deflate, or not in a message's first frame. */
  UNEXPECTED_RSV_1: number;
  /** Frame with a reserved opcode. */
  INVALID_OPCODE: number;
  /** Frame without a mask. */
  EXPECTED_MASK: number;
  /** Control frame in fragments. */
  FRAGMENTED_CONTROL_FRAME: number;
  /** Control frame of more than 125 bytes. */
  INVALID_CONTROL_PAYLOAD_LENGTH: number;
  /** Payload length in more bytes than needed. */
  PAYLOAD_LENGTH_NOT_MINIMAL: number;
  /** Payload length of more than 63 bits. */
  PAYLOAD_LENGTH_OVER_63_BITS: number;
  /** Continuation frame without a message to continue. */
  UNEXPECTED_CONTINUATION: number;
  /** Message between the fragments of another. */
  EXPECTED_CONTINUATION: number;
  /** Text that is not UTF-8. */
  INVALID_UTF8: number;
  /** Close frame with a payload of one byte. */
  INVALID_CLOSE_PAYLOAD_LENGTH: number;
  /** Close frame with a code that must not be sent (RFC 6455 section 7.4). */
  INVALID_CLOSE_CODE: number;
  /** Close frame with a reason that is not UTF-8. */
  INVALID_CLOSE_REASON: number;
  /** Message that cannot be decompressed. */
  INVALID_DEFLATE: number;
  /** Message over {@link WebSocketBehavior.maxPayloadLength}, as announced by the headers of its frames. */
  MESSAGE_TOO_BIG: number;
  /** Message of more fragments than {@link WebSocketBehavior.maxFragments} allows. */
  TOO_MANY_FRAGMENTS: number;
  /** Text longer than the longest string of JavaScript, with {@link WebSocketBehavior.textAsString}. */
  TEXT_TOO_LONG: number;
  /** Compressed message that decompresses to more than {@link WebSocketBehavior.maxPayloadLength}. */
  INFLATED_MESSAGE_TOO_BIG: number;
}

/**
 * Counters of TLS handshakes and sessions that have failed, by cause. Most are named after the alerts of RFC 8446
 * section 6. A handshake that was not complete in time is in {@link TimeoutStats} instead.
 */
export interface TlsErrorStats {
  /** The first byte is not that of a TLS handshake. */
  NOT_TLS: number;
  /** The client supports no version of TLS that the server does. */
  PROTOCOL_VERSION: number;
  /** Client and server have no cipher suite, group or signature scheme in common. */
  HANDSHAKE_FAILURE: number;
  /** The client offers protocols (ALPN), and none that the server has. */
  NO_APPLICATION_PROTOCOL: number;
  /** The client's certificate has expired. */
  CERTIFICATE_EXPIRED: number;
  /** The client's certificate is not from a known authority. */
  UNKNOWN_CA: number;
  /** The client's certificate or its signature is invalid for another reason. */
  BAD_CERTIFICATE: number;
  /** A message is malformed. */
  DECODE_ERROR: number;
  /** A message contradicts the protocol or an earlier message. */
  ILLEGAL_PARAMETER: number;
  /** A message or a record came out of turn, or many without data. */
  UNEXPECTED_MESSAGE: number;
  /** A record is longer than allowed. */
  RECORD_OVERFLOW: number;
  /** A record cannot be decrypted. */
  BAD_RECORD_MAC: number;
  /** The client asks for renegotiation in TLS 1.2. */
  NO_RENEGOTIATION: number;
  /** The client's part of the handshake is longer than the server keeps. */
  HANDSHAKE_TOO_LONG: number;
  /** The client has refused the server's certificate. */
  PEER_REFUSED_CERTIFICATE: number;
  /** The client has sent another fatal alert. */
  PEER_ALERT: number;
  /** The client has ended the connection in the middle of the handshake. */
  ABANDONED: number;
  /** The server could not go on, which is an error of milliways. */
  INTERNAL_ERROR: number;
}

/**
 * The numbers of a thread, or of the process: the sums of those of its apps, and the native memory that is held. The
 * memory of JavaScript is not included; `process.memoryUsage` has it.
 */
export interface ThreadStats extends AppStats {
  /**
   * Gauges: bytes of native memory, as of the end of a thread's last turn, by what they are held for. They are computed
   * from the numbers and sizes of what there is. What the allocator adds, and the buffers of the kernel, are not
   * included.
   */
  memory: {
    /** The entries that every connection has, idle or not. They are reused, and stay when connections have ended. */
    connections: number;
    /**
     * What only busy connections have: incomplete requests and messages, heads of responses, compression windows. This
     * is noted at the end of each activity of a connection.
     */
    busyConnections: number;
    /** Output that waits, and boxes for it, of which some are kept for the next output. */
    output: number;
    /** TLS sessions. This is an estimate, as if all were idle: the library that shakes hands does not say. */
    tls: number;
    /** Topics and subscriptions, without the names of topics. This is an estimate. */
    pubSub: number;
    /** Buffers that all connections of a thread share, for reading, publishing, compressing and decompressing. */
    buffers: number;
  };
}

/** The numbers of the process; see {@link stats}. */
export interface ProcessStats extends ThreadStats {
  /** The threads that have loaded the module and have not ended, in the order in which they have loaded it. */
  threads: (ThreadStats & {
    /** The `threadId` of node:worker_threads, which is 0 for the main thread. */
    threadId: number;
  })[];
}

/**
 * Returns what all apps of the process, in all of its threads, have done and hold. What apps and threads that have
 * ended had counted is included in the counters of the process, which never fall. This may be called at any time in any
 * thread, and does not wait for other threads.
 */
export function stats(): ProcessStats;

/**
 * Returns the numbers of all threads that have not ended as text in the format of Prometheus, version 0.0.4. The label
 * `thread` has the `threadId`. Serve it with the Content-Type `text/plain; version=0.0.4`; docs/METRICS.md shows how,
 * and explains each metric.
 */
export function metrics(): string;

/** A connection in the messages of diagnostics channels. It is the same object in all messages about it. */
export interface DiagnosticsConnection {
  /** A number that no other connection of the thread has, counted from 1. */
  readonly id: number;
  /** Whether the connection uses TLS. Undefined if it is not known yet; see {@link DiagnosticsConnection.remoteAddress}. */
  readonly secure: boolean | undefined;
  /**
   * The address of the peer as text. Undefined for a Unix socket, and, until it becomes a WebSocket or ends, for a
   * connection that is older than the first subscriber.
   */
  readonly remoteAddress: string | undefined;
  /** The port of the peer. Undefined with {@link DiagnosticsConnection.remoteAddress}. */
  readonly remotePort: number | undefined;
  /**
   * The address of the client, as text, that a header of the PROXY protocol has named; see
   * {@link AppOptions.proxyProtocol}. Undefined before the connection becomes a WebSocket or ends.
   */
  readonly proxiedRemoteAddress: string | undefined;
  /** The port of that client. Undefined with {@link DiagnosticsConnection.proxiedRemoteAddress}. */
  readonly proxiedRemotePort: number | undefined;
}

/** A message about an app. */
export interface DiagnosticsMessage {
  /** The app. Undefined if the program has dropped its reference to it and it has been collected. */
  readonly app: TemplatedApp | undefined;
}

/** A message about a connection of an app. */
export interface ConnectionDiagnosticsMessage extends DiagnosticsMessage {
  readonly connection: DiagnosticsConnection;
}

/**
 * The messages that are published on channels of node:diagnostics_channel, by the names of the channels. Without a
 * subscriber no message is made. docs/DIAGNOSTICS.md says when each is published.
 *
 * ```ts
 * subscribe('milliways.close', (message) => {
 *   const { connection, reason } = message as DiagnosticsMessages['milliways.close'];
 * });
 * ```
 *
 * This is not in uWebSockets.js.
 */
export interface DiagnosticsMessages {
  /** An app listens: on a port, or on a Unix socket. */
  'milliways.listen': DiagnosticsMessage &
    (
      | { readonly address: string; readonly port: number; readonly path?: undefined }
      | { readonly path: string; readonly address?: undefined; readonly port?: undefined }
    );
  /** A connection has begun. TLS, if there is any, follows. */
  'milliways.connect': ConnectionDiagnosticsMessage;
  /** A connection has become a WebSocket of the app. */
  'milliways.upgrade': ConnectionDiagnosticsMessage & {
    /** Whether permessage-deflate has been agreed on (RFC 7692). */
    readonly compression: boolean;
  };
  /** The socket of a connection has been closed. */
  'milliways.close': ConnectionDiagnosticsMessage &
    (
      | {
          readonly protocol: 'http';
          /** The first reason for the end. */
          readonly reason: keyof AppStats['ended']['http'];
          /** The timeout that has passed, for the reason `timedOut`. */
          readonly timeout: keyof AppStats['timeouts'] | undefined;
          readonly code: undefined;
        }
      | {
          readonly protocol: 'webSocket';
          /** The first reason for the end. */
          readonly reason: keyof AppStats['ended']['webSocket'];
          /** The timeout that has passed, for the reasons `timedOut` and `lifetime`. */
          readonly timeout: keyof AppStats['timeouts'] | undefined;
          /** The close code that the `close` handler was called with. */
          readonly code: number;
        }
    );
  /** Something has failed, `count` times in a row. */
  'milliways.error': DiagnosticsMessage & {
    /** The connection, if it is known. */
    readonly connection: DiagnosticsConnection | undefined;
    readonly count: number;
  } & (
      | { readonly kind: 'http'; readonly code: keyof AppStats['http']['errors']; readonly error: undefined }
      | { readonly kind: 'webSocket'; readonly code: keyof AppStats['webSocket']['errors']; readonly error: undefined }
      | { readonly kind: 'tls'; readonly code: keyof AppStats['tls']['errors']; readonly error: undefined }
      | { readonly kind: 'handler'; readonly code: 'HANDLER_ERROR'; readonly error: undefined }
      | { readonly kind: 'internal'; readonly code: 'INTERNAL_ERROR'; readonly error: undefined }
      | { readonly kind: 'accept'; readonly code: 'ACCEPT_ERROR'; readonly error: undefined }
      /** `error` is what the callback of `listen` is called with, and `code` its code. */
      | { readonly kind: 'listen'; readonly code: string; readonly error: Error }
    );
  /** A limit has been exceeded, `count` times in a row. */
  'milliways.limit': DiagnosticsMessage & {
    /** The connection, if it is known. */
    readonly connection: DiagnosticsConnection | undefined;
    readonly limit: keyof AppStats['limits'];
    readonly count: number;
  };
  /** {@link TemplatedApp.shutdown} has begun or has ended. */
  'milliways.shutdown': DiagnosticsMessage &
    (
      | {
          readonly phase: 'begin';
          /** The close code for WebSockets. */
          readonly code: number;
          /** Milliseconds after which what is left is cut. */
          readonly timeout: number;
        }
      | ({ readonly phase: 'end' } & Readonly<ShutdownResult>)
    );
}

/**
 * The type of an error of milliways, for `catch` clauses: `(error as MilliwaysError).code`. Some are a TypeError or a
 * RangeError.
 */
export interface MilliwaysError extends Error {
  code: MilliwaysErrorCode;
}

/** The error codes. docs/ERRORS.md says when each occurs and what to do. */
export type MilliwaysErrorCode =
  | 'ERR_MILLIWAYS_BODY_TAKEN'
  | 'ERR_MILLIWAYS_CONTENT_LENGTH'
  | 'ERR_MILLIWAYS_DETACHED_BUFFER'
  | 'ERR_MILLIWAYS_FRAGMENT_ORDER'
  | 'ERR_MILLIWAYS_INTERNAL'
  | 'ERR_MILLIWAYS_INVALID_ADDRESS'
  | 'ERR_MILLIWAYS_INVALID_DATA'
  | 'ERR_MILLIWAYS_INVALID_DECLARATION'
  | 'ERR_MILLIWAYS_INVALID_DESCRIPTOR'
  | 'ERR_MILLIWAYS_INVALID_HANDLER'
  | 'ERR_MILLIWAYS_INVALID_HEADER'
  | 'ERR_MILLIWAYS_INVALID_OPTIONS'
  | 'ERR_MILLIWAYS_INVALID_PATTERN'
  | 'ERR_MILLIWAYS_INVALID_SERVER_NAME'
  | 'ERR_MILLIWAYS_INVALID_SOCKET'
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
  | 'ERR_MILLIWAYS_SHUTTING_DOWN'
  | 'ERR_MILLIWAYS_TLS'
  | 'ERR_MILLIWAYS_TOO_DEEP'
  | 'ERR_MILLIWAYS_WEBSOCKET_CLOSED';
