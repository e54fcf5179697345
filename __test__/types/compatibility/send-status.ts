// The results of `send`, distinguished by number.

import { App, type WebSocket } from 'uWebSockets.js';

enum SendStatus {
  Backpressure = 0,
  Success = 1,
  Dropped = 2,
}

type Outcome = 'waiting' | 'sent' | 'dropped';
const outcomes: readonly Outcome[] = ['waiting', 'sent', 'dropped'];

export class Sender<UserData> {
  #waiting: string[] = [];

  constructor(readonly ws: WebSocket<UserData>) {}

  send(message: string): Outcome {
    const status: SendStatus = this.ws.send(message);
    switch (status) {
      case SendStatus.Success:
        return 'sent';
      case SendStatus.Backpressure:
        return 'waiting';
      case SendStatus.Dropped:
        this.#waiting.push(message);
        return 'dropped';
    }
  }

  drained(): void {
    while (this.#waiting.length > 0 && this.ws.getBufferedAmount() < 1024) {
      if (this.ws.send(this.#waiting[0] ?? '') === 2) return;
      this.#waiting.shift();
    }
  }

  ping(): boolean {
    return this.ws.ping() !== 2 && this.ws.ping('are you there?') === 1;
  }
}

App().ws('/*', {
  message: (ws, message, isBinary) => {
    const status = ws.send(message, isBinary);
    if (status === 0 || status === 2) console.log(outcomes[status], ws.getBufferedAmount());
    const published: boolean = ws.publish('all', message, isBinary);
    if (!published && !ws.send('nobody is here')) ws.end(1013, 'too slow');
  },
});
