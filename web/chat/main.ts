/** The entry of /chat: one view, which asks for a name and then shows the room. */
import { mount } from 'svelte';
import '../ui/theme.css';
import { listenForErrors } from '../send/problems.svelte';
import Page from './Page.svelte';

listenForErrors();
mount(Page, { target: document.getElementById('app')! });
