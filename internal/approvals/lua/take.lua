-- Takes messages that are due. Whoever takes one and dies leaves it to be taken again when its lease is over.
-- KEYS: 1 outbox, 2 attempts. ARGV: 1 most, 2 lease in ms. Returns [message, attempts so far] of each.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local out = {}
hint(KEYS[1], 'zset')
hint(KEYS[2], 'hash')
for i, message in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, tonumber(ARGV[1]))) do
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), message)
  local attempts = redis.pcall('HINCRBY', KEYS[2], message, 1)
  if type(attempts) ~= 'number' then -- no count of the gateway's
    redis.call('HSET', KEYS[2], message, 1)
    attempts = 1
  end
  out[i] = {message, attempts}
end
return out
