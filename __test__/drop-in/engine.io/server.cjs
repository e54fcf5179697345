'use strict';

// An echo server on engine.io and uWebSockets.js.

const { uServer } = require('engine.io');
const uWS = require('uWebSockets.js');
const { port, note, listening } = require('./serving.cjs');

const app = uWS.App();
const engine = new uServer({
  pingInterval: 300,
  pingTimeout: 2_000,
  maxHttpBufferSize: 200_000,
  cookie: { name: 'session', path: '/', httpOnly: true },
  cors: { origin: '*', methods: ['GET', 'POST'], maxAge: 600 },
});
engine.attach(app, { path: '/engine', compression: uWS.DEDICATED_COMPRESSOR_8KB, idleTimeout: 60 });

engine.on('initial_headers', (headers) => {
  headers['x-first'] = 'yes';
});
engine.on('headers', (headers) => {
  headers['x-each'] = 'yes';
});
engine.on('connection_error', ({ code, message }) => note('refused', code, message));
engine.on('connection', (socket) => {
  socket.send('welcome');
  socket.on('message', (data) => socket.send(data));
  socket.on('upgrade', () => note('upgraded'));
  socket.on('close', (reason) => note('closed', reason));
});

app.get('/sessions', (res) => {
  res.end(String(engine.clientsCount));
});
app.any('/*', (res, req) => {
  res.writeStatus('404 Not Found').end(`no ${req.getUrl()}`);
});

app.listen('127.0.0.1', port, (token) => {
  listening(token, () => {
    engine.close();
    app.close();
    // Otherwise engine.io would wait half a minute for polls that never come.
    process.exit();
  });
});
