/** The entry of /demo. */
import { mount } from 'svelte';
import '../ui/theme.css';
import Page from './Page.svelte';

mount(Page, { target: document.getElementById('app')! });
