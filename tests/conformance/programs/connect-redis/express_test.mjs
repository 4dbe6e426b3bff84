// express-session over HTTP with each client that Express applications use: what connect-redis' own test, which calls the store by itself, does not reach.
import {RedisStore} from "connect-redis"
import {RedisStore as RedisStore8} from "connect-redis-8"
import express from "express"
import session from "express-session"
import {Redis} from "ioredis"
import {createClient} from "redis"
import {createClient as createClient5} from "redis-5"
import request from "supertest"
import {afterAll, beforeAll, describe, expect, test} from "vitest"

const HOUR = 3600

async function nodeRedis(create) {
  const client = create({url: "redis://127.0.0.1:6379"})
  await client.connect()
  return {client, end: () => client.close()}
}

async function ioredis() {
  const client = new Redis()
  return {client, end: () => client.quit()}
}

describe.each([
  ["node-redis 6", () => nodeRedis(createClient), RedisStore],
  ["node-redis 5", () => nodeRedis(createClient5), RedisStore],
  // The last one that takes this client.
  ["ioredis 6 and connect-redis 8", ioredis, RedisStore8],
])("%s", (name, connect, Store) => {
  const prefix = `${name}:`
  let client, end, store, app

  beforeAll(async () => {
    ;({client, end} = await connect())
    store = new Store({client, prefix, ttl: HOUR})
    app = express()
    app.use(session({store, secret: "conformance", resave: false, saveUninitialized: false}))
    app.get("/count", (req, res) => {
      req.session.count = (req.session.count ?? 0) + 1
      res.send(String(req.session.count))
    })
    app.get("/look", (req, res) => res.json({id: req.sessionID, count: req.session.count ?? null}))
    app.get("/keep/:ms", (req, res) => {
      req.session.cookie.maxAge = Number(req.params.ms)
      req.session.kept = req.params.ms
      res.send("kept")
    })
    app.get("/login", (req, res, next) => req.session.regenerate((error) => (error ? next(error) : res.send((req.session.user = "ann")))))
    app.get("/logout", (req, res, next) => req.session.destroy((error) => (error ? next(error) : res.send("gone"))))
    await store.clear()
  })

  afterAll(async () => {
    await store.clear()
    await end()
  })

  const ttl = (id) => client.ttl(prefix + id)

  test("a browser keeps its session, and another one gets another", async () => {
    const [ann, ben] = [request.agent(app), request.agent(app)]
    for (const count of ["1", "2", "3"]) expect((await ann.get("/count").expect(200)).text).toBe(count)
    expect((await ben.get("/count")).text).toBe("1")
    expect((await ann.get("/look")).body.count).toBe(3)
  })

  test("a visitor without anything to remember has no session", async () => {
    const before = await store.length()
    const response = await request(app).get("/look").expect(200)
    expect(response.headers["set-cookie"]).toBeUndefined()
    expect(await store.length()).toBe(before)
  })

  test("a session lives as long as the store says, and a request touches it", async () => {
    const ann = request.agent(app)
    await ann.get("/count")
    const {id} = (await ann.get("/look")).body
    expect(await ttl(id)).toBeGreaterThan(HOUR - 60)
    await client.expire(prefix + id, 60)
    await ann.get("/look")
    expect(await ttl(id)).toBeGreaterThan(HOUR - 60)
  })

  test("a cookie that ends takes its session along", async () => {
    const ann = request.agent(app)
    await ann.get("/count")
    const {id} = (await ann.get("/look")).body
    await ann.get("/keep/1000")
    expect(await ttl(id)).toBeLessThanOrEqual(1)
    await expect.poll(() => client.exists(prefix + id), {timeout: 10_000}).toBe(0)
    expect((await ann.get("/count")).text).toBe("1")
  })

  test("a login gives the session a new id and ends the old one", async () => {
    const ann = request.agent(app)
    await ann.get("/count")
    const {id: before} = (await ann.get("/look")).body
    await ann.get("/login").expect(200)
    const {id: after} = (await ann.get("/look")).body
    expect(after).not.toBe(before)
    expect(await client.exists(prefix + before)).toBe(0)
    expect(await client.exists(prefix + after)).toBe(1)
  })

  test("a logout ends the session", async () => {
    const ann = request.agent(app)
    await ann.get("/count")
    const {id} = (await ann.get("/look")).body
    await ann.get("/logout").expect(200)
    expect(await client.exists(prefix + id)).toBe(0)
    expect((await ann.get("/count")).text).toBe("1")
  })

  test("all sessions are listed, counted and cleared, and those of another prefix left alone", async () => {
    await store.clear()
    const other = new Store({client, prefix: `other-${prefix}`})
    await other.set("far", {cookie: {}})
    for (let number = 0; number < 250; number++) await store.set(`s${number}`, {number, cookie: {}})
    expect(await store.length()).toBe(250)
    expect(new Set(await store.ids()).size).toBe(250)
    expect((await store.all()).map(({number}) => number).sort((a, b) => a - b)).toEqual([...Array(250).keys()])
    await store.clear()
    expect(await store.length()).toBe(0)
    expect(await other.get("far")).toEqual({cookie: {}})
    await other.destroy("far")
  })

  test("many requests of many browsers at once stay apart", async () => {
    const counts = await Promise.all(
      [...Array(40)].map(async () => {
        const one = request.agent(app)
        for (let number = 0; number < 5; number++) await one.get("/count")
        return (await one.get("/look")).body.count
      }),
    )
    expect(counts).toEqual(Array(40).fill(5))
  })
})
