// Dark, light, or what the system says.

import { effect, signal } from '@preact/signals';

export type Theme = 'auto' | 'light' | 'dark';
const KEY = 'rollcast.theme';
const system = matchMedia('(prefers-color-scheme: dark)');

export const theme = signal<Theme>(stored());
const systemDark = signal(system.matches);
system.addEventListener('change', (event) => (systemDark.value = event.matches));

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'auto';
  } catch {
    return 'auto';
  }
}

export const isDark = (): boolean => theme.value === 'dark' || (theme.value === 'auto' && systemDark.value);

export function toggleTheme(): void {
  // Back to what the system says when that is what was asked for: then it follows the system again.
  const wanted: Theme = isDark() ? 'light' : 'dark';
  theme.value = (wanted === 'dark') === systemDark.value ? 'auto' : wanted;
  try {
    if (theme.value === 'auto') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme.value);
  } catch {
    // The choice then lives as long as the page.
  }
}

effect(() => {
  document.documentElement.dataset['theme'] = isDark() ? 'dark' : 'light';
});
