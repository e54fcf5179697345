'use strict';

// A chat with rooms: open http://localhost:9001 in two tabs. Each path is a separate room, such as /kitchen. The page
// is chat.html.
//
// A client sends {"name":"Arthur"} first, and then {"text":"Hello"} for each message. It receives {"welcome":…} when it
// has joined, then {"said":…} for each message, {"joined":…} and {"left":…} when others come and go, and {"error":…} if
// what it sends is invalid.

const fs = require('node:fs');
const path = require('node:path');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** The number of messages of a room that are kept for clients that join later. */
const HISTORY = 20;

const ROOM = /^[\w-]{1,32}$/;
/** 1 to 20 characters, without surrounding white space. */
const NAME = /^\S(.{0,18}\S)?$/u;
const MAX_TEXT = 1000;

/** @typedef {{ name: string, text: string }} Message */
/** @typedef {{ id: string, names: Set<string>, history: Message[] }} Room */
/** @typedef {{ roomId: string, name: string, room?: Room }} UserData There is no room until the client has joined. */

/**
 * The rooms that have members. A room is removed with its last member; otherwise strangers could fill memory with
 * rooms.
 *
 * @type {Map<string, Room>}
 */
const rooms = new Map();

const page = fs.readFileSync(path.join(__dirname, 'chat.html'));

const app = uWS.App();

app
  .ws(
    '/:room',
    /** @type {import('../dist/uws.js').WebSocketBehavior<UserData>} */ ({
      // In bytes. A character can take six bytes in JSON.
      maxPayloadLength: 8 * 1024,
      // Half of a conversation is worse than none: a client that misses a message is disconnected. It gets the history
      // when it reconnects.
      closeOnBackpressureLimit: true,

      upgrade: (res, req, context) => {
        const roomId = req.getParameter(0) ?? '';
        if (!ROOM.test(roomId)) {
          res.writeStatus('404 Not Found').end();
          return;
        }
        res.upgrade(
          { roomId, name: '' },
          req.getHeader('sec-websocket-key'),
          req.getHeader('sec-websocket-protocol'),
          req.getHeader('sec-websocket-extensions'),
          context,
        );
      },
      message: (ws, message) => {
        const { room, name } = ws.getUserData();
        const request = parse(message);
        const error = room ? say(room, name, request.text) : join(ws, request.name);
        if (error) ws.send(JSON.stringify({ error }));
      },
      close: (ws) => {
        const { room, name } = ws.getUserData();
        if (!room) return;
        room.names.delete(name);
        if (room.names.size === 0) rooms.delete(room.id);
        // Publish with the app: in a close handler the WebSocket cannot be used any more, not even to publish.
        else tell(room, { left: name });
      },
    }),
  )
  // This pattern is the same as above. Requests for a WebSocket match the route above, all others this one.
  .get('/:room', (res, req) => {
    if (ROOM.test(req.getParameter(0) ?? '')) res.writeHeader('Content-Type', 'text/html; charset=utf-8').end(page);
    else res.writeStatus('404 Not Found').end();
  })
  .get('/', (res, req) => {
    // getQuery() returns undefined if there is no query, contrary to its declared type.
    const query = req.getQuery() === undefined ? '' : `?${req.getQuery()}`;
    res.writeStatus('302 Found').writeHeader('Location', `/lobby${query}`).end();
  })
  .listen(wantedPort, uWS.LIBUS_LISTEN_EXCLUSIVE_PORT, (listenSocket, error) => {
    if (listenSocket) {
      console.log(`Listening on port ${uWS.us_socket_local_port(listenSocket)}`);
    } else {
      console.error(error?.message);
      process.exitCode = 1;
    }
  });

/**
 * Lets a client join a room. Returns the reason if it cannot.
 *
 * @param {import('../dist/uws.js').WebSocket<UserData>} ws
 * @param {unknown} name
 */
function join(ws, name) {
  if (typeof name !== 'string' || !NAME.test(name)) return 'A name has 1 to 20 characters.';
  const user = ws.getUserData();
  const room = rooms.get(user.roomId) ?? { id: user.roomId, names: new Set(), history: [] };
  if (room.names.has(name)) return `The name ${name} is taken.`;

  rooms.set(room.id, room);
  room.names.add(name);
  Object.assign(user, { name, room });
  // The order matters: the others learn of the new member, and the new member receives everything that is said from now
  // on.
  tell(room, { joined: name });
  ws.subscribe(room.id);
  ws.send(JSON.stringify({ welcome: { names: [...room.names], history: room.history } }));
  return undefined;
}

/**
 * Sends a message to everybody in the room. Returns the reason if the message is invalid.
 *
 * @param {Room} room
 * @param {string} name
 * @param {unknown} text
 */
function say(room, name, text) {
  if (typeof text !== 'string' || text.trim() === '' || text.length > MAX_TEXT) {
    return `A message has 1 to ${MAX_TEXT} characters.`;
  }
  room.history.push({ name, text });
  if (room.history.length > HISTORY) room.history.shift();
  // The sender receives it as well, so that all members see the same order.
  tell(room, { said: { name, text } });
  return undefined;
}

/**
 * @param {Room} room
 * @param {object} event
 */
function tell(room, event) {
  app.publish(room.id, JSON.stringify(event));
}

/**
 * Returns the object that a message contains, or an empty object, because clients can send anything.
 *
 * @param {ArrayBuffer} message
 * @returns {Record<string, unknown>}
 */
function parse(message) {
  try {
    return Object(JSON.parse(Buffer.from(message).toString()));
  } catch {
    return {};
  }
}
