// What must not compile. Each line would turn into an error of its own if it did.

import * as uWS from 'milliways';

const app = uWS.App();
declare const ws: uWS.WebSocket<{ id: number }>;
declare const res: uWS.HttpResponse;
declare const req: uWS.HttpRequest;

// @ts-expect-error the constants are constants
uWS.DISABLED = 1;
// @ts-expect-error unknown option
uWS.App({ port: 9001 });
// @ts-expect-error file names are no numbers
uWS.App({ key_file_name: 5 });

// @ts-expect-error no handler
app.get('/');
// @ts-expect-error not a function
app.get('/', 'text');
// @ts-expect-error undefined removes nothing; null does
app.get('/', undefined);
// @ts-expect-error there is no third argument
app.get('/', (a: uWS.HttpResponse, b: uWS.HttpRequest, c: number) => {});
// @ts-expect-error the method is called del
app.delete('/', () => {});

// @ts-expect-error no callback
app.listen(9001);
// @ts-expect-error the port is a number
app.listen('9001', () => {});
// @ts-expect-error there is no such option
app.listen(9001, 2, () => {});
// @ts-expect-error the token may be false
app.listen(9001, (token: string) => {});

// @ts-expect-error no behavior
app.ws('/*');
// @ts-expect-error unknown handler
app.ws('/*', { onmessage: () => {} });
// @ts-expect-error an upgrade handler is a function
app.ws('/*', { upgrade: true });
// @ts-expect-error a subscription handler is a function
app.ws('/*', { subscription: 'topic' });
// @ts-expect-error a topic has to be named
app.publish('message');
// @ts-expect-error seconds are a number
app.ws('/*', { idleTimeout: '120' });
// @ts-expect-error messages are ArrayBuffers
app.ws('/*', { message: (_ws, message: string) => {} });
// @ts-expect-error or strings as well
app.ws('/*', { textAsString: true, message: (_ws, message: ArrayBuffer) => {} });
// @ts-expect-error which the type of the behavior says
const behavior: uWS.WebSocketBehavior = { textAsString: true };

// @ts-expect-error nothing to send
ws.send();
// @ts-expect-error a number is no message
ws.send(5);
// @ts-expect-error neither is null
ws.send(null);
// @ts-expect-error nor a DataView
ws.send(new DataView(new ArrayBuffer(1)));
// @ts-expect-error nor an object
ws.send({ toString: () => 'text' });
// @ts-expect-error a flag, not options
ws.send('text', { binary: true });
// @ts-expect-error the code comes first
ws.end('bye');
// @ts-expect-error takes no arguments, unlike end
ws.close(1000);
// @ts-expect-error a property that user data does not have
ws.getUserData().name;
// @ts-expect-error another type of user data
const other: uWS.WebSocket<{ name: string }> = ws;
// @ts-expect-error the result of send is a number
const sent: boolean = ws.send('text');

// @ts-expect-error the status is text
res.writeStatus(404);
// @ts-expect-error no value
res.writeHeader('name');
// @ts-expect-error a number is no value
res.writeHeader('content-length', 5);
// @ts-expect-error a number is no body
res.end(5);
// @ts-expect-error no handler
res.onAborted();
// @ts-expect-error headers are asked for by name
req.getHeader();

// @ts-expect-error no token
uWS.us_listen_socket_close();
// @ts-expect-error not a token either
uWS.us_listen_socket_close(null);

export { behavior, other, sent };
