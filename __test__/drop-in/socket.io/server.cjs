'use strict';

// A chat with rooms on socket.io and uWebSockets.js.

const { Server } = require('socket.io');
const uWS = require('uWebSockets.js');
const { port, note, listening } = require('./serving.cjs');

const app = uWS.App();
const io = new Server({
  cors: { origin: 'http://chat.example', credentials: true },
  maxHttpBufferSize: 100_000,
  connectTimeout: 5_000,
  allowRequest: (req, callback) => callback(null, req.headers['x-banned'] === undefined),
});
// Enough for a slow reader to lose nothing.
io.attachApp(app, { compression: uWS.SHARED_COMPRESSOR, maxBackpressure: 64 * 1024 * 1024 });

io.use((socket, next) => {
  const { token } = socket.handshake.auth;
  next(token === 'wrong' ? Object.assign(new Error('unknown token'), { data: { token } }) : undefined);
});

io.on('connection', (socket) => {
  const { address, headers, query, xdomain, secure } = socket.handshake;
  socket.emit('welcome', { address, agent: headers['x-agent'], query: query.color, xdomain, secure });
  socket.on('echo', (...args) => args.pop()(...args));
  socket.on('transport', (answer) => answer(socket.conn.transport.name));
  socket.on('join', async (room, answer) => {
    await socket.join(room);
    answer([...socket.rooms].filter((name) => name !== socket.id));
  });
  socket.on('leave', async (room, answer) => {
    await socket.leave(room);
    answer([...socket.rooms].length);
  });
  socket.on('say', (room, message) => socket.to(room).emit('said', message));
  socket.on('sayAll', (room, message) => io.to(room).emit('said', message));
  socket.on('sayBut', (room, but, message) => io.to(room).except(but).emit('said', message));
  socket.on('count', async (room, answer) => answer((await io.in(room).fetchSockets()).length));
  socket.on('ask', async (room, question, answer) => {
    const answers = await io.in(room).timeout(10_000).emitWithAck('question', question);
    answer(answers.sort());
  });
  socket.on('kick', (room) => io.in(room).disconnectSockets(true));
  socket.on('flood', (count, size) => {
    for (let index = 0; index < count; index += 1) socket.emit('drop', index, Buffer.alloc(size, index));
  });
  socket.on('disconnect', (reason) => note('disconnected', socket.handshake.query.color, reason));
});

io.of('/news').on('connection', (socket) => {
  socket.emit('headline', 'It runs.');
});

// Routes that are not socket.io's belong to the program.
app.get('/health', (res) => {
  res.end(String(io.engine.clientsCount));
});

app.listen('127.0.0.1', port, (token) => {
  listening(token, () => {
    io.disconnectSockets(true);
    io.engine.close();
    app.close();
  });
});
