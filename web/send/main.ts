/** The entry: a fragment makes the page a receiver's, no fragment a sender's; each loads only its own code. */
import { mount, type Component } from 'svelte';
import '../ui/theme.css';
import App from './App.svelte';
import { listenForErrors, problems } from './problems.svelte';

listenForErrors();
// Another link in the same tab is another visit.
addEventListener('hashchange', () => location.reload());

const Nothing = (() => {}) as unknown as Component;

async function start(): Promise<void> {
  const receiver = location.hash.length > 1;
  const loading = receiver ? import('./Receiver.svelte') : import('./Sender.svelte');
  const view = await loading.then((module) => module.default).catch((error: unknown) => {
    problems.report(error);
    return Nothing;
  });
  mount(App, { target: document.getElementById('app')!, props: { view } });
}

void start();
