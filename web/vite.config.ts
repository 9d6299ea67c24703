import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

/** The development server gives the service worker the address that it has in a build. */
function workerInDevelopment(): Plugin {
  return {
    name: 'service-worker-in-development',
    configureServer({ middlewares }) {
      middlewares.use((request, _, next) => {
        if (request.url === '/sw.js') request.url = '/send/sw/sw.ts';
        next();
      });
    },
  };
}

const server = 'http://localhost:8080';

export default defineConfig({
  plugins: [svelte(), workerInDevelopment()],
  build: {
    outDir: '../internal/web/dist',
    // The folder keeps its .gitignore: scripts/clean.js empties it.
    emptyOutDir: false,
    target: ['chrome110', 'firefox115', 'safari16.4'],
    manifest: true,
    assetsInlineLimit: 0, // the content security policy has no place for inlined code
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { index: 'index.html', chat: 'chat.html', stats: 'stats.html', demo: 'demo.html', admin: 'admin.html', sw: 'send/sw/sw.ts' },
      // The service worker's address must never change.
      output: { entryFileNames: (chunk) => (chunk.name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
    },
  },
  server: { proxy: { '/api': { target: server, ws: true } } },
});
