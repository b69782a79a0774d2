-- Commits a claimed transition.
-- KEYS: 1 the request's hash, 2 pending, 3 pending of the owner, 4 all, 5 grants by digest, 6 epoch, 7 outbox
-- ARGV: 1 nonce, 2 version it was claimed at, 3 new state, 4 new version, 5 sealed, 6 id, 7 channel, 8 garbage ms (0: as it was), then messages
-- Returns {'ok', epoch} or {'lost', 0} (the claim ran out).
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local has = redis.call('HMGET', KEYS[1], 'version', 'claim', 'claim_until')
if has[1] ~= ARGV[2] or has[2] ~= ARGV[1] or (tonumber(has[3] or '0') or 0) <= now then return {'lost', 0} end

redis.call('HSET', KEYS[1], 'state', ARGV[3], 'version', ARGV[4], 'sealed', ARGV[5])
redis.call('HDEL', KEYS[1], 'claim', 'claim_until')
if ARGV[3] ~= 'pending' then
  redis.call('ZREM', KEYS[2], ARGV[6])
  redis.call('ZREM', KEYS[3], ARGV[6])
end
if ARGV[8] ~= '0' then -- it became a standing grant: it lives longer, and is found by what it allows
  redis.call('PEXPIREAT', KEYS[1], ARGV[8])
  redis.call('ZADD', KEYS[4], ARGV[8], ARGV[6])
  redis.call('ZADD', KEYS[5], ARGV[8], ARGV[6])
  local left = redis.call('PTTL', KEYS[5])
  if left < 0 or now + left < tonumber(ARGV[8]) then redis.call('PEXPIREAT', KEYS[5], ARGV[8]) end
end
for i = 9, #ARGV do redis.call('ZADD', KEYS[7], now, ARGV[i]) end
redis.call('PUBLISH', ARGV[7], ARGV[6]) -- a hint: who hears it reads again
return {'ok', redis.call('INCR', KEYS[6])}
