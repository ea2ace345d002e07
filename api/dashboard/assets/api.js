/** Requests to potok. Errors carry the words of the problem that the server sent. */
export class RequestError extends Error {
  constructor(message, status) {
    super(message)
    this.status = status
  }
}

async function request(path, options = {}) {
  const response = await fetch(path, { ...options, signal: AbortSignal.timeout(15_000) })
  const isJson = /json/.test(response.headers.get('content-type') ?? '')
  const body = isJson ? await response.json() : null
  if (!response.ok) {
    throw new RequestError(
      body?.detail ?? `${response.status} ${response.statusText}`,
      response.status,
    )
  }
  return body
}

export const getCameras = (search) =>
  request(`/kvfv?${new URLSearchParams({ search, limit: '500' })}`)
export const getCamera = (id) => request(`/v1/cameras/${encodeURIComponent(id)}`)
export const getSpeeds = (id, query) =>
  request(`/kvfv/${encodeURIComponent(id)}/avg-speed?${new URLSearchParams(query)}`)
export const getDays = () => request('/v1/days?limit=62')
export const getStatus = () => request('/v1/status')
export const getRun = (id) => request(`/v1/recompute/${encodeURIComponent(id)}`)
export const postRecompute = () =>
  request('/v1/recompute', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  })
