// Reports the progress of a run on standard error.

/** Rewrites one line on a terminal; prints separate lines elsewhere. */
export class Progress {
  #done = 0;
  #began = Date.now();
  #total;

  constructor(total) {
    this.#total = total;
  }

  step(what) {
    this.#done += 1;
    const minutes = ((Date.now() - this.#began) / this.#done / 60_000) * (this.#total - this.#done);
    const line = `${this.#done} of ${this.#total}, ${minutes.toFixed(0)} min left; ${what}`;
    if (!process.stderr.isTTY) return void process.stderr.write(`${line}\n`);
    process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  }

  end() {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  }
}
