import { defineConfig } from 'vitest/config';

export default defineConfig({ test: { include: ['{lib,send,chat,stats,demo,admin,ui}/**/*.test.ts'], environment: 'node', testTimeout: 30_000 } });
