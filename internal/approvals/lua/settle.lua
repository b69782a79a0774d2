-- Settles a message that was taken. KEYS: 1 outbox, 2 attempts, 3 dead, 4 errors of dead ones.
-- ARGV: 1 message, 2 'sent', 'later' or 'dead', 3 ms from now when it is due again, 4 why, 5 most dead ones that are kept
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
hint(KEYS[1], 'zset')
hint(KEYS[2], 'hash')
hint(KEYS[3], 'zset')
hint(KEYS[4], 'hash')
if ARGV[2] == 'later' then
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
  redis.call('HSET', KEYS[4], ARGV[1], ARGV[4])
  return 'ok'
end
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[2] == 'dead' then
  redis.call('ZADD', KEYS[3], now, ARGV[1])
  redis.call('HSET', KEYS[4], ARGV[1], ARGV[4])
  local over = redis.call('ZRANGE', KEYS[3], 0, -1 - tonumber(ARGV[5]))
  for _, message in ipairs(over) do
    redis.call('ZREM', KEYS[3], message)
    redis.call('HDEL', KEYS[4], message)
    redis.call('HDEL', KEYS[2], message)
  end
else
  redis.call('HDEL', KEYS[4], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
end
return 'ok'
