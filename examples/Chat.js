'use strict';

// A chat with rooms: open http://localhost:9001 in two tabs. Each path is a room of its own, such as /kitchen. The page
// is chat.html.
//
// A client says {"name":"Arthur"} first, and then {"text":"Hello"} for each message. It is told {"welcome":…} when it
// is in, what is {"said":…}, who has {"joined":…} and {"left":…}, and {"error":…} if something is wrong with what it
// says.

const fs = require('node:fs');
const path = require('node:path');
const uWS = require('../dist/uws.js');

const wantedPort = Number(process.env.PORT || 9001);

/** Messages of a room that are kept, for those who come later. */
const HISTORY = 20;

const ROOM = /^[\w-]{1,32}$/;
/** 1 to 20 characters, without white space around them. */
const NAME = /^\S(.{0,18}\S)?$/u;
const MAX_TEXT = 1000;

/** @typedef {{ name: string, text: string }} Message */
/** @typedef {{ id: string, names: Set<string>, history: Message[] }} Room */
/** @typedef {{ roomId: string, name: string, room?: Room }} UserData Without a room until it is known who it is. */

/**
 * The rooms that somebody is in. A room goes with the last who leaves it, or strangers could fill memory with them.
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
      // Bytes. In JSON a character can take six.
      maxPayloadLength: 8 * 1024,
      // Half of a conversation is worse than none: a client that misses something is disconnected. When it connects
      // again it gets the history.
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
        // By way of the app: here the WebSocket cannot be used any more, not even to publish.
        else tell(room, { left: name });
      },
    }),
  )
  // The same pattern as above: requests for a WebSocket go there, all others come here.
  .get('/:room', (res, req) => {
    if (ROOM.test(req.getParameter(0) ?? '')) res.writeHeader('Content-Type', 'text/html; charset=utf-8').end(page);
    else res.writeStatus('404 Not Found').end();
  })
  .get('/', (res, req) => {
    // getQuery() is undefined without a query, whatever its type says.
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
 * Lets somebody in, or tells why not.
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
  // In this order, so that the others hear of it, and whoever has come hears of everything that is said from here on.
  tell(room, { joined: name });
  ws.subscribe(room.id);
  ws.send(JSON.stringify({ welcome: { names: [...room.names], history: room.history } }));
  return undefined;
}

/**
 * Tells everybody in the room, or the one who says it why not.
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
  // To the one who says it as well, and so in the same order for all.
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
 * The object that a message is, or an empty one: anybody can send anything.
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
