-- Claims a request for one transition. KEYS: 1 its hash, 2 head of the ledger. ARGV: 1 state, 2 version, 3 nonce, 4 lease in ms.
-- Returns {'ok', time in ms, head}, {'changed', 0, head} (not this state and version any more) or {'busy', 0, head} (another claim stands).
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lease = tonumber(ARGV[4])

local head = text(KEYS[2], 100)
local has = redis.call('HMGET', KEYS[1], 'state', 'version', 'claim', 'claim_until')
if has[1] ~= ARGV[1] or has[2] ~= ARGV[2] then return {'changed', 0, head} end
local till = tonumber(has[4] or '0') or 0
-- No honest claim lasts longer than a lease: one that says so is not waited for.
if has[3] and has[3] ~= ARGV[3] and till > now and till <= now + lease then return {'busy', 0, head} end

redis.call('HSET', KEYS[1], 'claim', ARGV[3], 'claim_until', string.format('%.0f', now + lease))
return {'ok', now, head}
