/** Light or dark: the visitor's choice, remembered; without one, the system's. */
const storageKey = 'potok.theme'
const system = matchMedia('(prefers-color-scheme: dark)')

function remembered() {
  try {
    const value = localStorage.getItem(storageKey)
    return value === 'dark' || value === 'light' ? value : null
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
    return null
  }
}

let theme = remembered() ?? (system.matches ? 'dark' : 'light')
document.documentElement.dataset.theme = theme

export function currentTheme() {
  return theme
}

export function switchTheme() {
  theme = theme === 'dark' ? 'light' : 'dark'
  document.documentElement.dataset.theme = theme
  try {
    localStorage.setItem(storageKey, theme)
  } catch {
    // As above.
  }
}

export function followSystemTheme(changed) {
  system.addEventListener('change', () => {
    if (remembered() !== null) return
    theme = system.matches ? 'dark' : 'light'
    document.documentElement.dataset.theme = theme
    changed()
  })
}
