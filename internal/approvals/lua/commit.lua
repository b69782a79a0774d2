-- Commits a claimed transition.
-- KEYS: 1 the request's hash, 2 pending, 3 pending of the owner
-- ARGV: 1 nonce, 2 version it was claimed at, 3 new state, 4 new version, 5 sealed, 6 id, 7 channel
-- Returns 'ok' or 'lost' (the claim ran out).
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local has = redis.call('HMGET', KEYS[1], 'version', 'claim', 'claim_until')
if has[1] ~= ARGV[2] or has[2] ~= ARGV[1] or (tonumber(has[3] or '0') or 0) <= now then return 'lost' end

redis.call('HSET', KEYS[1], 'state', ARGV[3], 'version', ARGV[4], 'sealed', ARGV[5])
redis.call('HDEL', KEYS[1], 'claim', 'claim_until')
if ARGV[3] ~= 'pending' then
  redis.call('ZREM', KEYS[2], ARGV[6])
  redis.call('ZREM', KEYS[3], ARGV[6])
end
redis.call('PUBLISH', ARGV[7], ARGV[6]) -- a hint: who hears it reads again
return 'ok'
