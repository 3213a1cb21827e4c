// Light or dark, before the first paint: as chosen here, else as the system has it.
;(() => {
  const system = matchMedia('(prefers-color-scheme: dark)')
  const chosen = () => localStorage.getItem('stentor-theme')
  const show = () => (document.documentElement.dataset.theme = chosen() ?? (system.matches ? 'dark' : 'light'))
  system.addEventListener('change', show)
  show()
  window.stentorTheme = {
    get current() {
      return document.documentElement.dataset.theme
    },
    toggle() {
      localStorage.setItem('stentor-theme', this.current === 'dark' ? 'light' : 'dark')
      show()
    },
  }
})()
