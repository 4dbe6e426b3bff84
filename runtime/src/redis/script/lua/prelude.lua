-- What a script finds around it. `host` is what is done outside of Lua.
local host = ...
local error, ipairs, pcall, rawget, rawset, setmetatable, tostring, type, xpcall =
    error, ipairs, pcall, rawget, rawset, setmetatable, tostring, type, xpcall

-- A script that has to end must not go on by catching the error that ends it.
local function passed(is_right, ...)
    host.check()
    if is_right then
        return true, ...
    end
    return false, host.told((...))
end

-- As in Redis, `pcall` returns the text of what a command answered, where `redis.pcall` returns a table.
local function caught(is_right, ...)
    if is_right or type((...)) ~= 'table' or type(rawget((...), 'err')) ~= 'string' then
        return is_right, ...
    end
    return false, rawget((...), 'err')
end

local function guarded_pcall(f, ...)
    return caught(passed(pcall(f, ...)))
end

local function guarded_xpcall(f, handler)
    return passed(xpcall(f, function(failure)
        -- Whoever is stopped would run in here with no limit on time: Lua calls this from within the look at the clock.
        host.check()
        return handler(host.told(failure))
    end))
end

-- Matching takes time that no limit on instructions sees.
for _, name in ipairs({ 'find', 'match', 'gmatch', 'gsub' }) do
    local search, cost = string[name], host.cost
    string[name] = function(subject, pattern, ...)
        cost(subject, pattern)
        return search(subject, pattern, ...)
    end
end
local rep = string.rep
function string.rep(text, count)
    -- Which would be as many steps as there are copies of nothing.
    if text == '' then
        return text
    end
    return rep(text, count)
end
string.gfind = nil
string.dump = nil

local redis = host.redis

function redis.status_reply(text)
    if type(text) ~= 'string' then
        return { err = 'ERR wrong number or type of arguments' }
    end
    return { ok = text }
end

function redis.replicate_commands()
    return true
end

local globals = {
    assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs, next = next, pairs = pairs,
    pcall = guarded_pcall, rawequal = rawequal, rawget = rawget, rawset = rawset, select = select,
    setmetatable = setmetatable, tonumber = tonumber, tostring = tostring, type = type, unpack = unpack,
    xpcall = guarded_xpcall, _VERSION = _VERSION,
    math = math, string = string, table = table, redis = redis, KEYS = host.keys, ARGV = host.argv,
}

setmetatable(globals, {
    __index = function(_, name)
        error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
    end,
})

local environment = setmetatable({}, {
    __index = globals,
    __newindex = function()
        error('Attempt to modify a readonly table', 2)
    end,
    __metatable = false,
})
globals._G = environment

-- Where an error was raised is only known while it is being raised.
local function handler(failure)
    local told = host.told(failure)
    if type(told) ~= 'table' then
        told = { err = 'ERR ' .. tostring(told) }
    end
    local source, line = host.where()
    rawset(told, 'source', source)
    rawset(told, 'line', line)
    return told
end

local function run(script)
    return xpcall(script, handler)
end

return environment, run
