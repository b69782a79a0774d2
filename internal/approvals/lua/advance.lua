-- Carries the epoch on after an acknowledged loss. KEYS: 1 epoch. ARGV: 1 the epoch that was known.
local now = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if now < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 'ok'
