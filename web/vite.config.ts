import { defineConfig } from 'vite';

// The server's CSP allows nothing inline and no data: URL, so nothing may be inlined here either:
// no module-preload polyfill (it is an inline script) and no assets as data: URLs.
export default defineConfig({
  base: '/',
  build: {
    target: 'es2022',
    assetsDir: 'assets',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    sourcemap: false,
    reportCompressedSize: false,
  },
  worker: { format: 'es' },
  server: { proxy: { '/api': 'http://127.0.0.1:8080' } },
});
