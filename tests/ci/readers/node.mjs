// A stream of fetch, read with eventsource-parser.
import { EventSourceParserStream } from 'eventsource-parser/stream';

const [url, wanted] = process.argv.slice(2);
const response = await fetch(url, { headers: { accept: 'text/event-stream' } });
if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
const lines = [];
for await (const { event, id, data } of events) {
  if (event !== 'log') continue;
  lines.push(JSON.stringify([id, data]));
  if (lines.length === Number(wanted)) break;
}
process.stdout.write(lines.join('\n') + '\n', () => process.exit(0));
