// Prints what the page weighs on the wire and fails above the budget: everything together, brotli.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

const BUDGET = 60 * 1024;
const dist = new URL('../dist/', import.meta.url).pathname;

const files = (dir) =>
  readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });

let total = 0;
for (const path of files(dist).sort()) {
  const raw = readFileSync(path);
  const packed = brotliCompressSync(raw, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
  total += packed;
  console.log(`${path.slice(dist.length).padEnd(40)} ${String(raw.length).padStart(8)}  br ${String(packed).padStart(6)}`);
}
console.log(`page: ${total} bytes of brotli, budget ${BUDGET}`);
if (total > BUDGET) {
  console.error(`page: ${total - BUDGET} bytes over its budget`);
  process.exit(1);
}
