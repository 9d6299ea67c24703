/** The entry of /admin. */
import { mount } from 'svelte';
import '../ui/theme.css';
import Page from './Page.svelte';

mount(Page, { target: document.getElementById('app')! });
