// Runs the unit tests: Vite bundles each test file to plain JavaScript (Node 20 cannot read
// TypeScript), then Node's own runner runs them. No second test framework is needed.
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { build } from 'vite';

const root = new URL('..', import.meta.url).pathname;
const out = `${root}node_modules/.unit`;
rmSync(out, { recursive: true, force: true });

const types = spawnSync('npx', ['tsc', '--noEmit', '-p', 'test/tsconfig.json'], { cwd: root, stdio: 'inherit' });
if (types.status !== 0) process.exit(1);

const input = Object.fromEntries(
  readdirSync(`${root}test/unit`)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => [name.slice(0, -3), `${root}test/unit/${name}`]),
);
await build({
  root,
  configFile: false,
  logLevel: 'warn',
  build: { ssr: true, outDir: out, target: 'node20', rollupOptions: { input } },
});
const run = spawnSync(process.execPath, ['--test', ...Object.keys(input).map((name) => `${out}/${name}.js`)], { stdio: 'inherit' });
process.exit(run.status ?? 1);
