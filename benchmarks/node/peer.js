// The peer: Socket.IO on Node with nothing around it. It prints its port when it listens.
// It follows the directive of Talksy's mock model, as far as the benchmarks use it.
'use strict';

const { createServer } = require('http');
const { Server } = require('socket.io');

const server = createServer();
const io = new Server(server, { serveClient: false });
const ID = 'x'.repeat(22);

function plan(text) {
  const parts = { tokens: 20, at_ms: 0, delay_ms: 0, burst: 1 };
  for (const [, name, value] of text.matchAll(/(\w+)=(\d+)/g)) parts[name] = Number(value);
  return parts;
}

const pause = (ms) => new Promise((done) => (ms > 0 ? setTimeout(done, ms) : setImmediate(done)));

async function answer(socket, text) {
  const { tokens, at_ms, delay_ms, burst } = plan(text);
  const turnId = `trn_${ID}`;
  socket.emit('stream_start', { sessionId: `ses_${ID}`, turnId, messageId: `msg_${ID}`, seq: 0 });
  if (at_ms) await pause(at_ms - Date.now());
  let due = performance.now();
  for (let index = 0; index < tokens && socket.connected; index++) {
    if (index && index % burst === 0) {
      due += delay_ms;
      await pause(delay_ms ? due - performance.now() : 0);
    }
    socket.emit('stream_chunk', { content: `${index} `, index, turnId, seq: index + 1 });
  }
  socket.emit('stream_end', { sessionId: `ses_${ID}`, turnId, seq: tokens + 1, reason: 'completed' });
}

io.on('connection', (socket) => {
  socket.on('user_message_stream', ({ text }, acknowledge) => {
    acknowledge({ ok: true, messageId: `msg_${ID}`, turnId: `trn_${ID}` });
    answer(socket, text);
  });
  socket.on('echo', (payload, acknowledge) => acknowledge({ ok: true, expiresAt: payload.expiresAt }));
});

process.on('SIGUSR2', () => global.gc());
process.on('SIGTERM', () => process.exit(0));
server.listen(0, '127.0.0.1', 4096, () => console.log(server.address().port));
