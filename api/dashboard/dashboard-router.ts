/**
 * The dashboard's files: its own modules and styles, and uPlot from its package. Nothing comes from elsewhere,
 * nothing is built, no script or style is inline, so that the policy can forbid all of it.
 */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import express, { type NextFunction, type Request, type Response, type Router } from 'express'

const assets = join(import.meta.dirname, 'assets')
const uplot = join(dirname(createRequire(import.meta.url).resolve('uplot/package.json')), 'dist')

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const headers = {
  'Content-Security-Policy': policy,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
}

export function createDashboardRouter(): Router {
  const router = express.Router()
  const vendored = { 'uplot.js': 'uPlot.esm.js', 'uplot.css': 'uPlot.min.css' }
  for (const [name, file] of Object.entries(vendored)) {
    router.get(`/vendor/${name}`, secure, (_request, response) => {
      response.set('Cache-Control', 'no-cache')
      response.sendFile(file, { root: uplot, cacheControl: false })
    })
  }
  // Only its own names pass on to the files: what is served beside it answers its own paths and errors.
  router.use(
    ['/assets'],
    secure,
    express.static(assets, { index: false, redirect: false, etag: true, cacheControl: false }),
  )
  router.get('/', secure, (_request, response) => {
    response.set('Cache-Control', 'no-cache')
    response.sendFile('index.html', { root: assets, cacheControl: false })
  })
  router.get('/favicon.ico', (_request, response) => {
    response.redirect(301, '/assets/favicon.svg')
  })
  return router
}

function secure(_request: Request, response: Response, next: NextFunction): void {
  response.set(headers)
  next()
}
