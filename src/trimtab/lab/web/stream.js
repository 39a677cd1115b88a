// One experiment's events. A new one ends the one before; a lost connection is told, and nothing is run twice by itself.
export class Stream {
  constructor(told) { this.told = told; this.source = null; }

  open(address) {
    this.close();
    const source = this.source = new EventSource(address);
    this.began = performance.now();
    source.onmessage = event => { if (source === this.source) this.told(JSON.parse(event.data), performance.now() - this.began); };
    source.onerror = () => {
      if (source !== this.source) return;
      const wasOver = this.isOver;
      this.close();
      if (!wasOver) this.told({ kind: "lost" });
    };
    this.isOver = false;
  }

  // Nothing more will come: the end of the stream is no lost connection.
  over() { this.isOver = true; this.close(); }

  close() { if (this.source) { this.source.close(); this.source = null; } }
}

// What the lab answers; `given` is sent, a file as it is and anything else as JSON. Throws the sentence that refuses it.
export async function asked(address, given = undefined) {
  const sent = given instanceof Blob ? { body: given } : { headers: { "content-type": "application/json" }, body: JSON.stringify(given) };
  const answer = await fetch(address, given === undefined ? {} : { method: "POST", ...sent });
  if (!answer.ok) {
    const body = await answer.text();
    let sentence = body;
    try { sentence = JSON.parse(body).sentence ?? body; } catch { /* a plain text is said as it is */ }
    throw new Error(sentence);
  }
  return answer;
}
