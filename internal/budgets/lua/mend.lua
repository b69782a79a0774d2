-- Writes what is known of a replica that does not do so itself, where Redis shows what the writer
-- has seen there.
-- KEYS: a hash. ARGV: field, text as it is shown, text to write, seconds that it is kept.
local text = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if text ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
