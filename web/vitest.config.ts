import { defineConfig } from 'vitest/config';

export default defineConfig({ test: { include: ['{lib,send,chat,stats,ui}/**/*.test.ts'], environment: 'node', testTimeout: 30_000 } });
