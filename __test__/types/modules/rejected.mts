// Code that must not compile. A line that did compile would be an error because of its @ts-expect-error.

import * as uWS from 'milliways';

const app = uWS.App();
declare const ws: uWS.WebSocket<{ id: number }>;
declare const res: uWS.HttpResponse;
declare const req: uWS.HttpRequest;

// @ts-expect-error the constants are constants
uWS.DISABLED = 1;
// @ts-expect-error unknown option
uWS.App({ port: 9001 });
// @ts-expect-error file names are not numbers
uWS.App({ key_file_name: 5 });

// @ts-expect-error the handler is missing
app.get('/');
// @ts-expect-error not a function
app.get('/', 'text');
// @ts-expect-error null removes a route, undefined does not
app.get('/', undefined);
// @ts-expect-error there is no third argument
app.get('/', (a: uWS.HttpResponse, b: uWS.HttpRequest, c: number) => {});
// @ts-expect-error the method is called del
app.delete('/', () => {});

// @ts-expect-error the callback is missing
app.listen(9001);
// @ts-expect-error the port is a number
app.listen('9001', () => {});
// @ts-expect-error there is no such option
app.listen(9001, 2, () => {});
// @ts-expect-error the token may be false
app.listen(9001, (token: string) => {});

// @ts-expect-error the behavior is missing
app.ws('/*');
// @ts-expect-error unknown handler
app.ws('/*', { onmessage: () => {} });
// @ts-expect-error an upgrade handler is a function
app.ws('/*', { upgrade: true });
// @ts-expect-error a subscription handler is a function
app.ws('/*', { subscription: 'topic' });
// @ts-expect-error the topic is missing
app.publish('message');
// @ts-expect-error seconds are a number
app.ws('/*', { idleTimeout: '120' });
// @ts-expect-error messages are ArrayBuffers
app.ws('/*', { message: (_ws, message: string) => {} });
// @ts-expect-error with textAsString, messages can also be strings
app.ws('/*', { textAsString: true, message: (_ws, message: ArrayBuffer) => {} });
// @ts-expect-error textAsString requires another type of behavior
const behavior: uWS.WebSocketBehavior = { textAsString: true };

// @ts-expect-error the message is missing
ws.send();
// @ts-expect-error a number is not a message
ws.send(5);
// @ts-expect-error null is not a message
ws.send(null);
// @ts-expect-error a DataView is not a message
ws.send(new DataView(new ArrayBuffer(1)));
// @ts-expect-error an object is not a message
ws.send({ toString: () => 'text' });
// @ts-expect-error isBinary is a flag, not an options object
ws.send('text', { binary: true });
// @ts-expect-error the code comes first
ws.end('bye');
// @ts-expect-error unlike end, close takes no arguments
ws.close(1000);
// @ts-expect-error the user data has no such property
ws.getUserData().name;
// @ts-expect-error the user data has another type
const other: uWS.WebSocket<{ name: string }> = ws;
// @ts-expect-error the result of send is a number
const sent: boolean = ws.send('text');

// @ts-expect-error the status is text
res.writeStatus(404);
// @ts-expect-error the value is missing
res.writeHeader('name');
// @ts-expect-error a number is not a value
res.writeHeader('content-length', 5);
// @ts-expect-error a number is not a body
res.end(5);
// @ts-expect-error the handler is missing
res.onAborted();
// @ts-expect-error the name is missing
req.getHeader();

// @ts-expect-error the token is missing
uWS.us_listen_socket_close();
// @ts-expect-error null is not a token
uWS.us_listen_socket_close(null);

export { behavior, other, sent };
