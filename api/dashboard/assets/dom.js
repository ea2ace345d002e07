/** Small things about elements. Text goes in as text only: ids and names of cameras are not ours. */
export const byId = (id) => document.getElementById(id)

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue
    if (key in made && key !== 'list') made[key] = value
    else made.setAttribute(key, value === true ? '' : value)
  }
  made.append(...children.filter((child) => child !== null && child !== undefined))
  return made
}

/** Sets text only where it changed: screen readers and selections are left in peace. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text
}

/**
 * Brings the children of a list in line with items: elements are kept by key, so that focus, hover and
 * scrolling survive a refresh every two seconds.
 */
export function reconcile(list, items, keyOf, make, update) {
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]))
  let before = list.firstElementChild
  for (const item of items) {
    const key = keyOf(item)
    let child = known.get(key)
    known.delete(key)
    if (child === undefined) {
      child = make(item)
      child.dataset.key = key
    }
    if (child === before) before = before.nextElementSibling
    else list.insertBefore(child, before)
    update(child, item)
  }
  for (const gone of known.values()) gone.remove()
}

export function badge(status, text, title) {
  return element('span', { className: 'badge', 'data-status': status, title: title ?? null }, text)
}
