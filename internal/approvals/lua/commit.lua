-- Commits a claimed transition.
-- KEYS: 1 the request's hash, 2 grants by digest, 3 head of the ledger, 4 ledger, 5 outbox
-- ARGV: 1 nonce, 2 version it was claimed at, 3 new state, 4 new version, 5 sealed, 6 id, 7 channel, 8 garbage ms (0: as it was),
--       9 head before, 10 head after, 11 number, 12 message of the ledger, 13 and 14 drop messages from … to below …, then messages of the outbox
-- Returns 'ok', 'lost' (the claim ran out) or 'behind' (the writer has not read all of the ledger).
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local has = redis.call('HMGET', KEYS[1], 'version', 'claim', 'claim_until')
if has[1] ~= ARGV[2] or has[2] ~= ARGV[1] or (tonumber(has[3] or '0') or 0) <= now then return 'lost' end
if text(KEYS[3], 100) ~= ARGV[9] then return 'behind' end
hint(KEYS[2], 'zset')
hint(KEYS[5], 'zset')

-- First, so that nothing is changed of which no message tells.
redis.call('HSET', KEYS[4], ARGV[11], ARGV[12])
redis.call('SET', KEYS[3], ARGV[10])
for n = tonumber(ARGV[13]), tonumber(ARGV[14]) - 1 do redis.call('HDEL', KEYS[4], string.format('%.0f', n)) end

redis.call('HSET', KEYS[1], 'state', ARGV[3], 'version', ARGV[4], 'sealed', ARGV[5])
redis.call('HDEL', KEYS[1], 'claim', 'claim_until')
if ARGV[8] ~= '0' then -- it became a standing grant: it lives longer, and is found by what it allows
  redis.call('PEXPIREAT', KEYS[1], ARGV[8])
  redis.call('ZADD', KEYS[2], ARGV[8], ARGV[6])
  local left = redis.call('PTTL', KEYS[2])
  if left < 0 or now + left < tonumber(ARGV[8]) then redis.call('PEXPIREAT', KEYS[2], ARGV[8]) end
end
for i = 15, #ARGV do redis.call('ZADD', KEYS[5], now, ARGV[i]) end
redis.call('PUBLISH', ARGV[7], ARGV[6]) -- a hint: who hears it reads again
return 'ok'
